# SPDX-License-Identifier: BSD-3-Clause
"""Random shapes, options and dtypes against the PyTorch and scikit-learn that are installed, loss and gradient.

The examples are the same in every run (derandomize), so that a failure in CI is one that everybody has. Peers compute
the same numbers in float64, and bounds are those of torch_cases.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from bounds import assert_within
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from profiles import examples

import xent_native as xn
import xent_native.torch as xt

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from torch_cases import DTYPES, as_double, eps, grad_bound, loss_bound, oracle  # noqa: E402

functional = torch.nn.functional
PROFILE = settings(examples(4), suppress_health_check=list(HealthCheck))
REDUCTIONS = st.sampled_from(["none", "mean", "sum"])
# Few and many classes, on either side of where the loop order changes.
CLASSES = st.one_of(st.integers(1, 12), st.sampled_from([16, 17, 64, 112, 113, 130, 257, 1000]))


@st.composite
def shapes(draw):
    """(C,), (N, C) or (N, C, d1, ...)."""
    classes = draw(CLASSES)
    others = draw(st.lists(st.integers(0, 5), max_size=3))
    return (*others[:1], classes, *others[1:])


def numbers(draw, shape, dtype, spread):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng, torch.from_numpy(spread * rng.standard_normal(shape)).to(dtype)


def rearranged(draw, x):
    """The same tensor at other strides."""
    way = draw(st.sampled_from(["plain", "transposed", "gaps", "reversed axes"]))
    if way == "transposed" and x.dim() > 1:
        return x.transpose(0, -1).contiguous().transpose(0, -1)
    if way == "gaps":
        return torch.stack([x, x + 1], -1)[..., 0]
    if way == "reversed axes":
        order = list(range(x.dim()))[::-1]
        return x.permute(order).contiguous().permute(order)
    return x


@st.composite
def cross_entropy_calls(draw):
    """(input, target, keywords): class indices, or probabilities of the input's shape."""
    shape, dtype = draw(shapes()), DTYPES[draw(st.sampled_from(list(DTYPES)))]
    axis = 1 if len(shape) > 1 else 0
    rng, x = numbers(draw, shape, dtype, draw(st.sampled_from([0.1, 1.0, 5.0, 20.0])))
    rows = shape[:axis] + shape[axis + 1 :]
    keywords = {"reduction": draw(REDUCTIONS), "label_smoothing": draw(st.sampled_from([0.0, 0.1, 1.0]))}
    if draw(st.booleans()) and x.dim() > 0:
        target = torch.from_numpy(np.moveaxis(rng.dirichlet(np.ones(shape[axis]), rows), -1, axis).copy()).to(
            dtype
        )
    else:
        labels = rng.integers(0, shape[axis], rows)
        ignored = draw(st.sampled_from([None, -100, 0, 255]))
        if ignored is not None:
            keywords["ignore_index"] = ignored
            labels = np.where(rng.random(rows) < 0.3, ignored, labels)
        target = torch.as_tensor(labels)
    if draw(st.booleans()):
        keywords["weight"] = torch.from_numpy(rng.random(shape[axis]) + 0.5).to(dtype)
    return rearranged(draw, x).requires_grad_(), target, keywords


def divisor(x, target, keywords):
    """What PyTorch's mean divides by; infinite where nothing counts."""
    if keywords["reduction"] != "mean":
        return 1.0
    if target.is_floating_point():
        return float(np.prod(np.delete(x.shape, 1 if x.dim() > 1 else 0))) or np.inf
    valid = target[target != keywords.get("ignore_index", -100)]
    return (
        float(keywords["weight"].double()[valid].sum() if "weight" in keywords else valid.numel()) or np.inf
    )


@PROFILE
@given(cross_entropy_calls())
def test_cross_entropy(call):
    x, target, keywords = call
    loss = xt.cross_entropy(x, target, **keywords)
    own = functional.cross_entropy(x.detach(), target, **keywords)
    assert (loss.shape, loss.dtype) == (own.shape, own.dtype)
    upstream = torch.ones_like(loss) if loss.dim() else torch.tensor(0.5, dtype=loss.dtype)
    loss.backward(upstream)
    expected, slope = oracle(x, target, keywords, upstream, functional.cross_entropy)
    rows = max(1, x.numel() // x.shape[1 if x.dim() > 1 else 0])
    assert_within(
        as_double(loss), expected, loss_bound(expected, rows, x.dtype, keywords["reduction"]), "loss"
    )
    scale = as_double(upstream).max(initial=1.0) / divisor(x, target, keywords)
    assert_within(as_double(x.grad), slope, grad_bound(slope, scale, x.dtype), "gradient")


@st.composite
def binary_calls(draw):
    shape = tuple(draw(st.lists(st.integers(0, 40), min_size=1, max_size=3)))
    dtype = DTYPES[draw(st.sampled_from(list(DTYPES)))]
    rng, x = numbers(draw, shape, dtype, draw(st.sampled_from([0.1, 1.0, 5.0, 40.0])))
    hard = draw(st.booleans())
    target = torch.from_numpy(rng.integers(0, 2, shape).astype(float) if hard else rng.random(shape)).to(
        dtype
    )
    keywords = {"reduction": draw(REDUCTIONS)}
    if draw(st.booleans()):
        keywords["pos_weight"] = torch.from_numpy(rng.random(shape[-1:]) + 0.5).to(dtype)
    if draw(st.booleans()):
        of = shape if draw(st.booleans()) else (*shape[:-1], 1)
        keywords["weight"] = torch.from_numpy(rng.random(of) + 0.5).to(dtype)
    return rearranged(draw, x).requires_grad_(), target, keywords


@pytest.mark.skipif("binary_cross_entropy_with_logits" not in xt.__all__, reason="not there yet")
@PROFILE
@given(binary_calls())
def test_binary_cross_entropy_with_logits(call):
    x, target, keywords = call
    loss = xt.binary_cross_entropy_with_logits(x, target, **keywords)
    own = functional.binary_cross_entropy_with_logits(x.detach(), target, **keywords)
    assert (loss.shape, loss.dtype) == (own.shape, own.dtype)
    upstream = torch.full_like(loss, 0.5)
    loss.backward(upstream)
    expected, slope = oracle(x, target, keywords, upstream, functional.binary_cross_entropy_with_logits)
    # A sum beyond the type is infinite, as PyTorch's own.
    assume(np.abs(expected).max(initial=0) < 0.99 * torch.finfo(x.dtype).max)
    bound = loss_bound(expected, max(1, x.numel()), x.dtype, keywords["reduction"])
    assert_within(as_double(loss), expected, 1.5 * bound, "loss")  # two weights of up to 1.5
    scale = 1.5 / (max(1, x.numel()) if keywords["reduction"] == "mean" else 1)
    assert_within(as_double(x.grad), slope, grad_bound(slope, scale, x.dtype), "gradient")


@st.composite
def multinomial_calls(draw):
    n, classes = draw(st.integers(1, 30)), draw(st.integers(3, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    x = (draw(st.sampled_from([0.1, 2.0, 10.0])) * rng.standard_normal((n, classes))).astype(dtype)
    x = np.asfortranarray(x) if draw(st.booleans()) else x
    weight = (rng.random(n) + 0.5).astype(dtype) if draw(st.booleans()) else None
    return rng.integers(0, classes, n), x, weight


@PROFILE
@given(multinomial_calls())
def test_scikit_learns_multinomial_loss(call):
    """Loss, gradient and diagonal Hessian."""
    module = pytest.importorskip("sklearn._loss")
    y, x, weight = call
    peer = module.HalfMultinomialLoss(n_classes=x.shape[1])
    wide, heavy = x.astype(np.float64), None if weight is None else weight.astype(np.float64)
    expected = peer.loss(y.astype(np.float64), wide, heavy)
    slope, curve = peer.gradient_hessian(y.astype(np.float64), wide, heavy)
    kind = DTYPES[x.dtype.name]
    loss, grad = xn.sparse_categorical_crossentropy_value_and_grad(y, x, True, sample_weight=weight)
    again, hess = xn.sparse_categorical_crossentropy_grad_and_hess(y, x, sample_weight=weight)
    assert_within(loss, expected, 1.5 * loss_bound(expected, 1, kind, "none"), "loss")
    for found in (grad, again):
        assert_within(found, slope, grad_bound(slope, 1.5, kind), "gradient")
    # p (1 - p) w: bounds.hess_bound, 10 ulp and a product. The peer's 1 - p has the roundings of each term of a sum, of
    # an exponential, a quotient and a difference, in float64, and weights are up to 1.5.
    of_peer = 1.5 * (x.shape[1] + 4) * 2.0**-53
    bound = 11 * eps(kind) * np.abs(curve) + np.finfo(x.dtype).tiny + of_peer
    assert_within(hess, curve, bound, "Hessian")


@PROFILE
@given(multinomial_calls())
def test_scikit_learns_log_loss(call):
    """From probabilities that sum to 1, with scikit-learn's bound of clipping."""
    metrics = pytest.importorskip("sklearn.metrics")
    y, x, weight = call
    p = xn.softmax(x.astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    heavy = None if weight is None else weight.astype(np.float64)
    ours = xn.sparse_categorical_crossentropy(
        y, p, epsilon=np.finfo(np.float64).eps, sample_weight=heavy, reduction="mean_with_sample_weight"
    )
    own = metrics.log_loss(y, p, sample_weight=heavy, labels=np.arange(x.shape[1]))
    assert ours == pytest.approx(own, rel=1e-12, abs=1e-14)


@st.composite
def binomial_calls(draw):
    n = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    x = (draw(st.sampled_from([0.1, 2.0, 20.0, 100.0])) * rng.standard_normal(n)).astype(dtype)
    y = rng.integers(0, 2, n) if draw(st.booleans()) else rng.random(n)
    return y.astype(dtype), x


@pytest.mark.skipif("binary_crossentropy" not in xn.__all__, reason="not there yet")
@PROFILE
@given(binomial_calls())
def test_scikit_learns_binomial_loss(call):
    module = pytest.importorskip("sklearn._loss")
    y, x = call
    peer = module.HalfBinomialLoss()
    expected = peer.loss(y.astype(np.float64), x.astype(np.float64))
    slope, curve = peer.gradient_hessian(y.astype(np.float64), x.astype(np.float64))
    kind = DTYPES[x.dtype.name]
    loss, grad = xn.binary_crossentropy_value_and_grad(y[:, None], x[:, None], True)
    _, hess = xn.binary_crossentropy_grad_and_hess(y[:, None], x[:, None])
    assert_within(loss, expected, loss_bound(expected, 1, kind, "none"), "loss")
    assert_within(grad[:, 0], slope, grad_bound(slope, 1.0, kind), "gradient")
    assert_within(hess[:, 0], curve, grad_bound(curve, 1.0, kind), "Hessian")
