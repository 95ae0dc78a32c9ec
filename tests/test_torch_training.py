# SPDX-License-Identifier: BSD-3-Clause
"""A training loop in PyTorch gives the same weights as with PyTorch's own loss."""

from __future__ import annotations

import numpy as np
import pytest

import xent_native.torch as xt

torch = pytest.importorskip("torch")


def train(loss_function, dtype):
    """Weights of a linear classifier of scikit-learn's digits after four epochs of SGD with momentum."""
    datasets = pytest.importorskip("sklearn.datasets")
    pixels, labels = datasets.load_digits(return_X_y=True)
    torch.manual_seed(0)
    model = torch.nn.Linear(64, 10).to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = torch.from_numpy(pixels / 16.0).to(dtype), torch.from_numpy(labels)
    for order in [torch.from_numpy(np.random.default_rng(epoch).permutation(len(y))) for epoch in range(4)]:
        for batch in order.split(64):
            optimizer.zero_grad()
            loss_function(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return torch.cat([p.detach().double().reshape(-1) for p in model.parameters()]), loss_function(
        model(x), y
    )


@pytest.fixture
def one_thread():
    """PyTorch's threads wait for work by spinning, which takes longer than these small steps."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}], ids=str)
@pytest.mark.usefixtures("one_thread")
def test_training_on_the_digits_gives_the_weights_of_pytorchs_own_loss(options):
    """float32 against a run in float64: at most twice as far from it as PyTorch's own float32 run.

    The two float32 runs share every rounding but those of the loss and its gradient, so that their errors are alike.
    """
    truth, loss = train(torch.nn.CrossEntropyLoss(**options), torch.float64)
    own, _ = train(torch.nn.CrossEntropyLoss(**options), torch.float32)
    ours, _ = train(xt.CrossEntropyLoss(**options), torch.float32)
    double, _ = train(xt.CrossEntropyLoss(**options), torch.float64)
    assert loss < (0.3 if not options else 0.9)  # it has learnt
    error = (own - truth).abs().max()
    assert (ours - truth).abs().max() <= 2 * error
    assert error < 1e-5
    assert (double - truth).abs().max() < 1e-12
