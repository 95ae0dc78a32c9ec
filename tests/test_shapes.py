# SPDX-License-Identifier: BSD-3-Clause
"""Focal loss, poly1 and KL divergence: exact values and gradients, options, bits, edge cases, buffers, errors."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from bounds import A1, ULPS_FROM, assert_within
from cases import LAYOUTS, as_rows, logits, probabilities, rows_like
from conftest import ISAS
from hard_rows import KINDS, hard_rows, soft_targets
from shapes import FROM_LOGITS, FROM_PROBABILITIES, LOSSES

import xent_native as xn

FLOATS = ["float32", "float64"]
CLASSES = [2, 3, 10, 40, 112, 113, 129, 1000, 5003, 100_000]
ORDERS = ["last", "first"]


def check(found, expected, axis, where: str) -> None:
    loss, grad = found
    assert_within(np.ravel(loss), expected.loss, expected.loss_bound, f"{where}: loss")
    assert_within(as_rows(grad, axis), expected.grad, expected.grad_bound, f"{where}: gradient")


def hard_problem(kind: str, classes: int, dtype: str, one_hot: bool):
    """Logits and targets; no target is at a logit of -inf: its loss has a test of its own."""
    n = max(1, min(30, 40_000 // classes))
    x, labels = hard_rows(kind, n, classes, dtype)
    if not one_hot:
        return x, soft_targets(x, dtype)
    targets = np.zeros_like(x)
    targets[np.arange(n), labels] = 1
    targets[np.isneginf(x)] = 0
    return x, targets


@pytest.mark.parametrize("one_hot", [True, False], ids=["one-hot", "soft"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FROM_LOGITS)
def test_hard_rows(each_isa, name, kind, dtype, one_hot):
    """Within what the roundings can add up to; and small losses of one term within A1's relative bound."""
    loss = FROM_LOGITS[name]
    for classes in CLASSES:
        x, y = hard_problem(kind, classes, dtype, one_hot)
        expected = loss.rows(y, x, dtype)
        for order in ORDERS:
            (placed, axis), (targets, _) = LAYOUTS[order](x), LAYOUTS[order](y)
            for isa, found in each_isa(lambda p=placed, t=targets, a=axis: loss.both(t, p, axis=a)).items():
                check(found, expected, axis, f"{classes} classes, {order}, {isa}")
                if name == "poly1, negative" or loss.coefficient > 2:
                    continue
                small = (expected.loss < ULPS_FROM) & (expected.loss > 1e-30)
                off = np.abs(found[0] - expected.loss)[small] / expected.loss[small]
                assert (off <= A1[dtype][1]).all(), f"{classes} classes, {order}, {isa}: {off.max()}"


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", FROM_PROBABILITIES)
def test_probabilities(each_isa, name, dtype, rng):
    loss = FROM_PROBABILITIES[name]
    for classes in (
        *CLASSES[:-1],
        20_011,
    ):  # with 100,000, the rows of probabilities() are at a bound of the clip
        n = max(3, min(18, 40_000 // classes))
        y = probabilities(n, classes, dtype)
        sharp = np.zeros((n, classes))
        sharp[np.arange(n), rng.integers(0, classes, n)] = 1
        soft = rng.dirichlet(np.full(classes, 0.5), n)
        if name == "KL":
            soft[::2] = np.abs(y[::2] * (1 + 1e-3 * rng.standard_normal((len(y[::2]), classes))))  # next to y
        soft[(soft > 0.9e-7) & (soft < 1.1e-7)] = 0
        for t in (sharp.astype(dtype), soft.astype(dtype)):
            expected = loss.rows(t, y, dtype)
            for order in ORDERS:
                (placed, axis), (targets, _) = LAYOUTS[order](y), LAYOUTS[order](t)
                for isa, found in each_isa(
                    lambda p=placed, t=targets, a=axis: loss.both(t, p, axis=a)
                ).items():
                    check(found, expected, axis, f"{classes} classes, {order}, {isa}")


def options_of(name: str, classes: int, n: int, rng):
    """Options of the function, what of them changes the targets, and the weights of rows."""
    weight = np.where(rng.random(n) < 0.2, 0.0, rng.random(n) + 0.25)
    if name == "KL":
        return {}, weight
    return {"label_smoothing": 0.25, "class_weight": rng.random(classes).astype("float32") + 0.5}, weight


@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "mean_with_sample_weight"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", LOSSES)
def test_options_and_layouts(name, dtype, layout, reduction, rng):
    loss = LOSSES[name]
    for classes in (2, 17, 64, 130, 1025):
        n = 18
        x = logits(n, classes, dtype) if loss.logits else probabilities(n, classes, dtype)
        x[np.isneginf(x)] = -20
        t = rng.dirichlet(np.ones(classes), n).astype(dtype)
        options, weight = options_of(name, classes, n, rng)
        exactly = loss.rows(t, x, dtype, options.get("label_smoothing", 0.0), options.get("class_weight"))
        divisor = {"mean": n, "mean_with_sample_weight": weight.sum()}.get(reduction, 1.0)
        (placed, axis), (targets, _) = LAYOUTS[layout](x), LAYOUTS[layout](t)
        weights = rows_like(weight, placed, axis)
        value, grad = loss.both(
            targets, placed, axis=axis, sample_weight=weights, reduction=reduction, **options
        )
        where = f"{classes} classes"
        bound = weight * exactly.loss_bound + 2e-16 * weight * np.abs(exactly.loss)
        if reduction == "none":
            rounding = np.spacing(np.abs(weight * exactly.loss).astype(dtype))
            assert_within(np.ravel(value), weight * exactly.loss, bound + rounding, where)
        else:
            assert_within(value, np.sum(weight * exactly.loss) / divisor, np.sum(bound) / divisor, where)
        factor = (weight / divisor)[:, None]
        slack = 3 * np.finfo(dtype).eps * np.abs(factor * exactly.grad) + np.finfo(dtype).tiny
        assert_within(as_rows(grad, axis), factor * exactly.grad, factor * exactly.grad_bound + slack, where)
        assert (as_rows(grad, axis)[weight == 0] == 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_half_types_have_the_bits_of_float32(name, rng):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    loss = LOSSES[name]
    for half in (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)):
        for classes in (2, 40, 113, 2000):
            x = (logits if loss.logits else probabilities)(17, classes, np.float32).astype(half)
            t = rng.dirichlet(np.ones(classes), 17).astype(half)
            t[np.isneginf(x.astype(np.float32))] = 0
            for order in ORDERS:
                (placed, axis), (targets, _) = LAYOUTS[order](x), LAYOUTS[order](t)
                wide = loss.both(targets.astype(np.float32), placed.astype(np.float32), axis=axis)
                found = loss.both(targets, placed, axis=axis)
                assert found[0].tobytes() == wide[0].tobytes()
                assert found[1].dtype == half
                with np.errstate(over="ignore"):
                    rounded = wide[1].astype(half)
                assert found[1].tobytes() == rounded.tobytes(), f"{half}, {classes}, {order}"


def results(loss, t, x, axis, **options) -> list[bytes]:
    found = [loss.both(t, x, axis=axis, reduction=r, **options) for r in ("none", "sum", "mean")]
    return [np.asarray(part).tobytes() for pair in found for part in pair]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", LOSSES)
def test_bits_depend_on_the_row_alone(each_isa, name, dtype, rng):
    """D1 to D3: not on threads, on the batch, on the address, nor on AVX2 or AVX-512."""
    loss = LOSSES[name]
    for n, classes, layout in (
        (9_001, 10, "last"),
        (3_001, 30, "first"),
        (301, 300, "last"),
        (7, 20_011, "last"),
    ):
        rows = logits(n, classes, dtype) if loss.logits else probabilities(n, classes, dtype)
        rows[np.isneginf(rows)] = -30
        targets = rng.random((n, classes)).astype(dtype)
        (x, axis), (t, _) = LAYOUTS[layout](rows), LAYOUTS[layout](targets)
        where = f"{n} rows of {classes} classes"
        expected = results(loss, t, x, axis, n_threads=1)
        for threads in (2, 3):
            assert results(loss, t, x, axis, n_threads=threads) == expected, f"{where}, {threads} threads"
        by_isa = each_isa(lambda t=t, x=x, axis=axis: results(loss, t, x, axis))
        fused = [by_isa[isa] for isa in ISAS if isa != "baseline"]
        assert all(found == fused[0] for found in fused), f"{where}, ISAs"
        whole, slopes = loss.both(targets, rows)
        some = np.sort(rng.choice(n, min(n, 5), replace=False))
        for first in (some[0], some[-1]):
            value, slope = loss.both(targets[first : first + 1], rows[first : first + 1])
            assert value.tobytes() == whole[first : first + 1].tobytes(), f"{where}, one row"
            assert slope.tobytes() == slopes[first : first + 1].tobytes(), f"{where}, one row"


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", LOSSES)
def test_loss_alone_is_the_loss_beside_a_gradient(each_isa, name, dtype, rng):
    loss = LOSSES[name]
    for classes in (2, 40, 113, 3000):
        x = logits(20, classes, dtype) if loss.logits else probabilities(20, classes, dtype)
        x[np.isneginf(x)] = -30
        t = rng.random((20, classes)).astype(dtype)
        for order in ORDERS:
            (placed, axis), (targets, _) = LAYOUTS[order](x), LAYOUTS[order](t)
            for alone, both in each_isa(
                lambda t=targets, p=placed, a=axis: (loss.value(t, p, axis=a), loss.both(t, p, axis=a)[0])
            ).values():
                assert alone.tobytes() == both.tobytes(), f"{classes} classes, {order}"


@pytest.mark.parametrize("classes", [5, 40, 200, 3000])
@pytest.mark.parametrize("name", FROM_LOGITS)
def test_infinite_logits(each_isa, name, classes):
    """What a row holds reaches that row alone; a target of 0 at -inf counts nothing; one that is not is infinite."""
    loss = FROM_LOGITS[name]
    x = np.zeros((6, classes), np.float32)
    x[:, 1] = 1
    y = np.zeros_like(x)
    y[:, 0] = 1
    x[1, 3], x[2, 3], x[3], x[4, 0], x[5, 4] = np.nan, np.inf, -np.inf, -np.inf, -np.inf
    for order in ORDERS:
        (placed, axis), (targets, _) = LAYOUTS[order](x), LAYOUTS[order](y)
        for isa, (value, grad) in each_isa(
            lambda t=targets, p=placed, a=axis: loss.both(t, p, axis=a)
        ).items():
            grad = as_rows(grad, axis)
            assert np.isfinite(value[[0, 5]]).all(), isa
            assert np.isnan(value[1:4]).all(), isa
            assert np.isnan(grad[1:4]).any(axis=1).all(), isa
            assert value[4] == np.inf, isa
            assert np.isfinite(grad[[0, 4, 5]]).all(), isa
            assert grad[5, 4] == 0, isa
            alone = loss.both(y[:1], x[:1])[0] if order == "last" else None
            assert alone is None or alone[0] == loss.both(y, x)[0][0], isa


@pytest.mark.parametrize("name", FROM_LOGITS)
def test_huge_logits(name):
    loss = FROM_LOGITS[name]
    for most, dtype in ((3e38, np.float32), (1e308, np.float64)):
        x = np.array([[most, -most, 0], [most, most, 0], [-most, 0, 0]], dtype)
        y = np.eye(3, dtype=dtype)[[0, 0, 1]]
        value, grad = loss.both(y, x)
        assert np.isfinite(value).all()
        assert np.isfinite(grad).all()
        assert not np.isnan(loss.both(y[[1]], x[[0]])[0]).any()


@pytest.mark.parametrize("name", FROM_LOGITS)
def test_one_class(name):
    with pytest.warns(SyntaxWarning, match="more than one class") as caught:
        value, grad = FROM_LOGITS[name].both(np.ones((3, 1)), np.array([[1.0], [-5.0], [300.0]]))
    assert caught[0].filename.endswith("shapes.py")
    assert (value == 0).all()
    assert (grad == 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_dropped_rows_and_no_rows(name):
    loss = LOSSES[name]
    for classes in (3, 200, 2000):
        x = np.full((4, classes), 0.5)
        x[1] = np.nan
        y = np.full((4, classes), 1 / classes)
        value, grad = loss.both(y, x, sample_weight=[1, 0, 1, 1])
        assert np.isfinite(value).all()
        assert value[1] == 0
        assert (grad[1] == 0).all()
        for reduction, nothing in (("none", np.zeros(0)), ("sum", 0.0), ("mean", 0.0)):
            value, grad = loss.both(np.zeros((0, classes)), np.zeros((0, classes)), reduction=reduction)
            assert np.array_equal(value, nothing)
            assert grad.shape == (0, classes)


def test_a_row_that_sums_to_nothing_has_no_probabilities():
    for name in ("focal, probabilities", "poly1, probabilities"):
        value, grad = FROM_PROBABILITIES[name].both(
            np.full((2, 3), 1 / 3), np.array([[0, 0, 0], [1, 1, 2.0]])
        )
        assert np.isnan(value).tolist() == [True, False]
        assert np.isnan(grad[0]).all()
        assert np.isfinite(grad[1]).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_no_clip(dtype):
    """epsilon 0: a target of 0 counts nothing, a prediction of 0 is infinite."""
    y, t = np.array([[0, 1.0], [0, 1]], dtype), np.array([[0, 1.0], [0.5, 0.5]], dtype)
    assert xn.kl_divergence(t, y, epsilon=0.0).tolist() == [0, np.inf]
    assert xn.categorical_focal_crossentropy(t, y, epsilon=0.0).tolist() == [0, np.inf]
    assert xn.poly1_crossentropy(t, y, from_logits=False, clip_epsilon=0.0).tolist() == [0, np.inf]


def test_alpha_of_each_class(rng):
    x, t = rng.standard_normal((5, 4)), rng.dirichlet(np.ones(4), 5)
    alpha, weight = np.array([0.25, 1.0, 2.0, 0.5]), np.array([1.0, 3.0, 0.5, 2.0])
    focal = xn.categorical_focal_crossentropy_value_and_grad
    for logits_given, given in ((True, x), (False, np.exp(x))):
        expected = focal(t, given, 1.0, 2.0, logits_given, class_weight=alpha * weight)
        found = focal(t, given, alpha.tolist(), 2.0, logits_given, class_weight=weight)
        assert np.array_equal(found[0], expected[0])
        assert np.array_equal(found[1], expected[1])
    scaled = focal(t, x, 0.25, 2.0, True)
    assert np.array_equal(scaled[0], 0.25 * focal(t, x, 1.0, 2.0, True)[0])


def test_gamma_and_epsilon_of_0_are_cross_entropy(rng):
    x, t = rng.standard_normal((50, 9)), rng.dirichlet(np.ones(9), 50)
    for given, from_logits in ((x, True), (np.exp(x), False)):
        expected = xn.categorical_crossentropy(t, given, from_logits)
        focal = xn.categorical_focal_crossentropy(t, given, 1.0, 0.0, from_logits)
        poly1 = xn.poly1_crossentropy(t, given, 0.0, from_logits)
        assert np.allclose(focal, expected, rtol=1e-14, atol=0)
        assert np.array_equal(poly1, focal)


# Buffers and errors.


@pytest.mark.parametrize("name", LOSSES)
def test_callers_buffers(name, rng):
    loss = LOSSES[name]
    for classes in (3, 150):
        x = rng.random((4, classes)) + 0.1
        t = rng.dirichlet(np.ones(classes), 4)
        value, grad = loss.both(t, x)
        out, grad_out = np.full(4, np.nan), np.full_like(x, np.nan)
        found = loss.both(t, x, out=out, grad_out=grad_out)
        assert found[0] is out
        assert found[1] is grad_out
        assert np.array_equal(out, value)
        assert np.array_equal(grad_out, grad)
        with pytest.raises(ValueError, match="grad_out must not overlap y_true"):
            loss.both(t, x, grad_out=t)
        if loss.logits:
            same = x.copy()
            assert loss.both(t, same, grad_out=same)[1] is same
            assert np.array_equal(same, grad)
        else:
            with pytest.raises(ValueError, match="grad_out must not overlap y_pred"):
                loss.both(t, x, grad_out=x)


X, T = np.full((3, 4), 0.25), np.eye(3, 4)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "gamma must be a finite number, at least 0; got -1", lambda f, p, k: f(T, X, gamma=-1)),
        (ValueError, "gamma must be a finite number", lambda f, p, k: f(T, X, gamma=float("nan"))),
        (TypeError, "gamma must be a finite number", lambda f, p, k: f(T, X, gamma="2")),
        (TypeError, "gamma must be a finite number", lambda f, p, k: f(T, X, gamma=None)),
        (ValueError, "alpha must be a number or have shape", lambda f, p, k: f(T, X, alpha=[0.25, 0.5])),
        (ValueError, "alpha must be a number or one per class", lambda f, p, k: f(T, X, alpha=[[0.25]])),
        (ValueError, "alpha must be finite", lambda f, p, k: f(T, X, alpha=float("inf"))),
        (TypeError, "alpha must be an array; got None", lambda f, p, k: f(T, X, alpha=None)),
        (ValueError, "epsilon must be a finite number", lambda f, p, k: p(T, X, float("inf"))),
        (ValueError, "epsilon must be a finite number", lambda f, p, k: p(T, X, 10**400)),
        (ValueError, "clip_epsilon must lie in", lambda f, p, k: p(T, X, clip_epsilon=0.7)),
        (ValueError, "epsilon must be less than 0.5", lambda f, p, k: k(T, X, epsilon=0.5)),
        (ValueError, "y_true must have the shape of y_pred", lambda f, p, k: k(T[:2], X)),
        (ValueError, "axis must lie in", lambda f, p, k: k(T, X, axis=2)),
        (ValueError, "reduction must be one of", lambda f, p, k: f(T, X, reduction="max")),
        (ValueError, "sample_weight must broadcast", lambda f, p, k: k(T, X, sample_weight=[1, 2])),
        (TypeError, "y_true must be an array; got None", lambda f, p, k: p(None, X)),
        (TypeError, "y_pred must hold real numbers", lambda f, p, k: p(T, X.astype(complex))),
    ],
)
def test_errors(error, message, call):
    with pytest.raises(error, match=message):
        call(xn.categorical_focal_crossentropy, xn.poly1_crossentropy, xn.kl_divergence)


def test_signatures():
    def signature(function):
        parameters = inspect.signature(function).parameters.values()
        return (
            [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD],
            {p.name: p.default for p in parameters if p.default is not p.empty},
        )

    common = {"axis": -1, "sample_weight": None, "reduction": "none", "out": None, "n_threads": None}
    dense = {"label_smoothing": 0.0, "class_weight": None}
    expected = {
        "categorical_focal_crossentropy": (
            ["y_true", "y_pred", "alpha", "gamma", "from_logits", "label_smoothing", "axis"],
            {**common, **dense, "alpha": 0.25, "gamma": 2.0, "from_logits": False, "epsilon": 1e-7},
        ),
        "poly1_crossentropy": (
            ["y_true", "y_pred", "epsilon", "from_logits", "axis"],
            {**common, **dense, "epsilon": 2.0, "from_logits": True, "clip_epsilon": 1e-7},
        ),
        "kl_divergence": (["y_true", "y_pred", "axis"], {**common, "epsilon": 1e-7}),
    }
    for name, (positional, defaults) in expected.items():
        assert signature(getattr(xn, name)) == (positional, defaults)
        assert signature(getattr(xn, f"{name}_value_and_grad")) == (
            positional,
            {**defaults, "grad_out": None},
        )
