# SPDX-License-Identifier: BSD-3-Clause
"""binary_cross_entropy_with_logits and its module with tensors: values and gradients as PyTorch's own."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
from bounds import assert_within
from torch_cases import (
    DTYPES,
    as_double,
    grad_bound,
    loss_bound,
    oracle,
)

import xent_native.torch as xt

torch = pytest.importorskip("torch")
functional = torch.nn.functional

BINARY_SHAPES = ((), (1,), (7,), (64, 10), (3, 130), (2, 3, 4, 5), (5, 1))
# How weight and pos_weight broadcast: to nothing, one, the last axis, all but the last, and everything.
WEIGHTS = {
    "none": lambda shape: None,
    "one": lambda shape: (),
    "last": lambda shape: shape[-1:],
    "rows": lambda shape: (*shape[:-1], 1) if shape else (),
    "all": lambda shape: shape,
}


@pytest.mark.parametrize("pos_weight", WEIGHTS)
@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_binary_loss_and_gradient_are_those_of_pytorch(dtype, weight, pos_weight):
    dtype = DTYPES[dtype]
    function = xt.binary_cross_entropy_with_logits
    own = functional.binary_cross_entropy_with_logits
    for shape in BINARY_SHAPES:
        rng = np.random.default_rng([5, *shape])
        target = torch.as_tensor(
            np.where(rng.random(shape) < 0.5, rng.random(shape), rng.integers(0, 2, shape))
        ).to(dtype)
        keywords = {
            name: torch.as_tensor(0.5 + rng.random(WEIGHTS[kind](shape))).to(dtype)
            for name, kind in (("weight", weight), ("pos_weight", pos_weight))
            if kind != "none"
        }
        for reduction in ("none", "mean", "sum"):
            x = torch.as_tensor(4 * np.asarray(rng.standard_normal(shape))).to(dtype).requires_grad_()
            loss = function(x, target, reduction=reduction, **keywords)
            assert (loss.shape, loss.dtype) == ((shape if reduction == "none" else ()), dtype)
            upstream = torch.as_tensor(rng.standard_normal(loss.shape)).to(dtype)
            loss.backward(upstream)
            expected, slope = oracle(x, target, {"reduction": reduction, **keywords}, upstream, own)
            where = f"{shape}, {reduction}"
            bound = 1.5 * loss_bound(expected, max(1, x.numel()), dtype, reduction)
            assert_within(as_double(loss), expected, bound, f"loss, {where}")
            scale = 1.5 * np.abs(as_double(upstream)) / (x.numel() if reduction == "mean" else 1)
            assert x.grad.dtype == dtype
            # Twice the bound: what is two problems has the gradients of both.
            assert_within(as_double(x.grad), slope, 2 * grad_bound(slope, scale, dtype), f"gradient, {where}")


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_binary_gradcheck(reduction):
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    target = torch.rand(3, 4, dtype=torch.float64)
    for weight in (None, torch.rand(3, 1), torch.rand(3, 4)):
        for pos_weight in (None, torch.rand(4), torch.rand(3, 1)):
            loss = partial(
                xt.binary_cross_entropy_with_logits, target=target, weight=weight, pos_weight=pos_weight,
                reduction=reduction,
            )  # fmt: skip
            assert torch.autograd.gradcheck(loss, x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_binary_edges(dtype):
    """No elements; targets of other dtypes; layouts; a retained graph; a loss scale in float16."""
    function = xt.binary_cross_entropy_with_logits
    kind = DTYPES[dtype]
    for shape in ((0,), (3, 0), (0, 3)):
        x = torch.zeros(shape, dtype=kind, requires_grad=True)
        assert function(x, x.detach()).isnan()
        assert function(x, x.detach(), reduction="sum") == 0
        function(x, x.detach(), reduction="none").sum().backward()
        assert x.grad.shape == shape
    x = torch.randn(4, 6).to(kind)
    y = torch.randint(0, 2, (4, 6))
    assert function(x, y) == function(x, y.to(kind)) == function(x, y.bool())
    plain = function(x, y, reduction="none")
    for placed in (x.t().contiguous().t(), torch.stack([x, x], -1)[..., 0], x[:, :1].expand(4, 6)):
        given = placed.detach().requires_grad_()
        loss = function(given, y, reduction="none", weight=torch.ones(4, 6))
        loss.sum().backward()
        if placed.stride(-1) != 0:
            assert torch.allclose(loss, plain, rtol=4 * torch.finfo(kind).eps)
    grown = x.clone().requires_grad_()
    loss = function(grown, y)
    first = torch.autograd.grad(loss, grown, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(loss, grown)[0], first)
    if dtype == "float16":
        many = torch.zeros(300_000, dtype=kind, requires_grad=True)
        function(many, torch.zeros_like(many)).backward(torch.tensor(32768.0, dtype=kind))
        assert torch.allclose(many.grad.double(), torch.tensor(0.5 * 32768 / 300_000).double(), rtol=2**-10)


@pytest.mark.parametrize(
    ("error", "message", "keywords"),
    [
        (
            ValueError,
            r"target must have the shape of input, \(4, 3\); got \(4,\)",
            {"target": torch.zeros(4)},
        ),
        (
            ValueError,
            r"weight must broadcast to the shape of input, \(4, 3\); got \(4,\)",
            {"weight": torch.ones(4)},
        ),
        (ValueError, r"pos_weight must broadcast .*got \(2, 4, 3\)", {"pos_weight": torch.ones(2, 4, 3)}),
        (ValueError, "target must not require", {"target": torch.zeros(4, 3, requires_grad=True)}),
        (ValueError, "pos_weight must not require", {"pos_weight": torch.ones(3, requires_grad=True)}),
        (ValueError, "reduction must be one of", {"reduction": "batch"}),
        (TypeError, "weight must be on the CPU", {"weight": torch.ones(3, device="meta")}),
        (TypeError, "input must be one of", {"input": torch.zeros(4, 3).long()}),
        (TypeError, "target must be a tensor", {"target": np.zeros((4, 3))}),
    ],
)
def test_binary_errors(error, message, keywords):
    with pytest.raises(error, match=message):
        xt.binary_cross_entropy_with_logits(
            **{"input": torch.zeros(4, 3), "target": torch.zeros(4, 3), **keywords}
        )


def test_binary_module():
    x, y = torch.randn(4, 3), torch.randint(0, 2, (4, 3)).float()
    loss = xt.BCEWithLogitsLoss(pos_weight=np.array([1.0, 2.0, 3.0], np.float32), reduction="sum")
    own = torch.nn.BCEWithLogitsLoss(pos_weight=loss.pos_weight, reduction="sum")
    assert isinstance(loss, torch.nn.Module)
    assert list(loss.state_dict()) == ["pos_weight"] == list(own.state_dict())
    # 12 terms of either sign's weight: half an ulp for each of a few roundings.
    assert loss(x, y).item() == pytest.approx(own(x, y).item(), rel=1e-6)
    assert loss(x.numpy(), y.numpy()) == pytest.approx(own(x, y).item(), rel=1e-6)
    assert repr(pickle.loads(pickle.dumps(loss))) == "BCEWithLogitsLoss(reduction='sum')"
