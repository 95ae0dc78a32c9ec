# SPDX-License-Identifier: BSD-3-Clause
"""Binary cross-entropy, its focal form and the sigmoid: values against mpmath, options, layouts, errors, classes."""

import itertools
import json
import math
import pickle

import mpmath
import numpy as np
import pytest

import xent_native as xn
from xent_native import losses
from xent_native.functional._binary import binary

# The contract's bounds, as in bounds.py: ulp of losses from 0.01 on, relative below.
ULPS = {"float32": 2, "float64": 4}
RELATIVE = {"float32": 5e-6, "float64": 2e-13}
ABSOLUTE = {"float32": 1.2e-7, "float64": 4e-16}
HARD = [
    0.0,
    -0.0,
    1e-40,
    1e-10,
    0.5,
    -0.5,
    3.0,
    -3.0,
    12.5,
    -20.0,
    40.0,
    -68.0,
    69.0,
    -86.0,
    700.0,
    1e4,
    -1e4,
]


def exact(x, t, *, gamma=None, smoothing=0.0, pos=1.0, alpha=None):
    """(loss, gradient) of an element from logits, with 60 digits."""
    with mpmath.workdps(60):
        x, t, s = mpmath.mpf(float(x)), mpmath.mpf(float(t)), mpmath.mpf(smoothing)
        y, v = t * (1 - s) + s / 2, (1 - t) * (1 - s) + s / 2
        u = y * mpmath.mpf(float(pos))
        p, q = 1 / (1 + mpmath.exp(-x)), 1 / (1 + mpmath.exp(x))
        far, near = mpmath.log1p(mpmath.exp(x)), mpmath.log1p(mpmath.exp(-x))
        loss, grad = u * near + v * far, v * p - u * q
        if gamma is not None:
            g = mpmath.mpf(gamma)
            m = y * q + v * p
            factor = m**g * (1 if alpha is None else alpha * y + (1 - mpmath.mpf(alpha)) * v)
            loss, grad = factor * loss, factor * (grad + g * p * q / m * (v - y) * loss)
        return loss, grad


def close(actual, expected, dtype, *, ulps=0, scale=1.0):
    """Whether a loss keeps the contract, with `ulps` more."""
    expected = mpmath.mpf(expected)
    if not np.isfinite(actual):
        return float(expected) == float(actual)
    error = abs(mpmath.mpf(float(actual)) - expected)
    allowed = (ULPS[dtype] + ulps) * float(np.spacing(np.dtype(dtype).type(float(expected))))
    if expected < 0.01:
        allowed = max(RELATIVE[dtype] * expected, mpmath.mpf(float(np.finfo(dtype).tiny)))
    return error <= allowed * scale


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_a1_a2_hard_elements_are_exact_from_logits(isa, dtype, target):
    x = np.array(HARD, dtype)[:, None]
    t = np.full_like(x, target)
    loss, grad = xn.binary_crossentropy_value_and_grad(t, x, from_logits=True)
    for value, slope, logit in zip(loss, grad[:, 0], x[:, 0], strict=True):
        want, want_slope = exact(logit, target)
        assert close(value, want, dtype), (logit, value, want)
        if abs(want_slope) >= float(np.finfo(dtype).tiny):
            error = abs(mpmath.mpf(float(slope)) - want_slope)
            assert error <= min(RELATIVE[dtype] * abs(want_slope), ABSOLUTE[dtype]), (
                logit,
                slope,
                want_slope,
            )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_hard_elements_are_exact_from_logits(isa, dtype, gamma):
    """float32 keeps the contract; in float64 the power multiplies the errors of its logarithm by gamma."""
    for target in (0.0, 1.0):
        x = np.array(HARD, dtype)[:, None]
        t = np.full_like(x, target)
        loss, grad = xn.binary_focal_crossentropy_value_and_grad(t, x, gamma=gamma, from_logits=True)
        for value, slope, logit in zip(loss, grad[:, 0], x[:, 0], strict=True):
            want, want_slope = exact(logit, target, gamma=gamma)
            assert close(value, want, dtype, ulps=4 * gamma if dtype == "float64" else 0), (
                logit,
                value,
                want,
            )
            if abs(want_slope) >= float(np.finfo(dtype).tiny) * 2:
                error = abs(mpmath.mpf(float(slope)) - want_slope)
                assert error <= RELATIVE[dtype] * abs(want_slope), (logit, slope, want_slope)


@pytest.mark.parametrize("options", [
    {}, {"label_smoothing": 0.1}, {"pos_weight": 2.5}, {"label_smoothing": 0.2, "pos_weight": [0.5, 2.0, 3.0]},
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_options_from_logits(rng, dtype, options):
    x = (rng.standard_normal((9, 3)) * 4).astype(dtype)
    t = rng.random((9, 3)).astype(dtype)
    loss, grad = xn.binary_crossentropy_value_and_grad(t, x, True, **options)
    pos = np.broadcast_to(options.get("pos_weight", 1.0), 3)
    # Targets between 0 and 1: u, v and their products are rounded, four half ulps each way.
    for i in range(9):
        parts = [
            exact(x[i, c], t[i, c], smoothing=options.get("label_smoothing", 0), pos=pos[c]) for c in range(3)
        ]
        assert close(loss[i], sum(p[0] for p in parts) / 3, dtype, ulps=4)
        for c in range(3):
            scale = 1 + float(pos[c])
            assert abs(float(grad[i, c]) - float(parts[c][1] / 3)) <= 4 * ABSOLUTE[dtype] * scale


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("focal", [False, True])
def test_probabilities_are_keras_formula_clip_included(dtype, focal):
    p = np.array([0.0, 1e-9, 1e-6, 0.1, 0.5, 0.9, 1.0 - 1e-6, 1.0], dtype)
    for target in (0.0, 1.0, 0.3):
        t = np.full_like(p, target)
        q = np.clip(p.astype(float), 1e-7, 1 - 1e-7)
        # Of a bound itself: 1 - (1 - epsilon), rounded twice, would lose half of its digits.
        log_other = np.where(p > 1 - 1e-7, np.log(1e-7), np.log1p(-q))
        log_p = np.where(p > 1 - 1e-7, np.log1p(-1e-7), np.log(q))
        want = -(target * log_p + (1 - target) * log_other)
        inside = (p >= np.dtype(dtype).type(1e-7)) & (p <= np.dtype(dtype).type(1 - 1e-7))
        with np.errstate(all="ignore"):
            slope = np.where(inside, (1 - target) / (1 - p.astype(float)) - target / p.astype(float), 0)
        call = xn.binary_crossentropy_value_and_grad
        options = {}
        if focal:
            wrong = target * (1 - p.astype(float)) + (1 - target) * p
            balance = 0.25 * target + 0.75 * (1 - target)
            slope = balance * (wrong**2 * slope + 2 * wrong * want * (1 - 2 * target))
            want = balance * wrong**2 * want
            call, options = xn.binary_focal_crossentropy_value_and_grad, {"apply_class_balancing": True}
        loss, grad = call(t[:, None], p[:, None], **options)
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(loss, want, rtol=8 * eps)
        np.testing.assert_allclose(grad[:, 0], slope, rtol=16 * eps, atol=16 * eps)


def test_infinities_and_nan_hit_their_row_alone(isa):
    for dtype in (np.float32, np.float64):
        x = np.zeros((6, 40), dtype)
        t = np.zeros((6, 40), dtype)
        x[1, 3] = np.nan
        x[2, 3], t[2, 3] = np.inf, 1
        x[3, 3], t[3, 3] = -np.inf, 0
        x[4, 3], t[4, 3] = np.inf, 0
        for gamma in (None, 2.0):
            call = xn.binary_crossentropy_value_and_grad
            if gamma is not None:
                call = xn.binary_focal_crossentropy_value_and_grad
            loss, grad = call(t, x, from_logits=True)
            assert np.isnan(loss[1])
            assert np.isnan(grad[1, 3])
            assert np.isinf(loss[4])
            assert grad[4, 3] == 1 / dtype(40)
            for row in (2, 3):
                assert loss[row] == pytest.approx(float(loss[0]) * 39 / 40)
                assert grad[row, 3] == 0
            others = np.delete(np.arange(40), 3)
            assert (grad[:, others] == grad[0, 0]).all()


def test_sums_of_huge_losses_do_not_overflow():
    """float32 holds the mean of these, though not their sum, on either side of the loop orders."""
    for classes in (4, 100, 500):
        x = np.full((2, classes), 3e38, np.float32)
        loss = xn.binary_crossentropy(np.zeros_like(x), x, True)
        assert (loss == np.float32(3e38)).all()


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize("from_logits", [True, False])
def test_a4_half_types_are_the_float32_problem(rng, name, from_logits):
    dtype = np.dtype(name) if name == "float16" else np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    x = rng.standard_normal((5, 130)) if from_logits else rng.random((5, 130))
    x = x.astype(dtype)
    t = (rng.random((5, 130)) < 0.5).astype(dtype)
    loss, grad = xn.binary_crossentropy_value_and_grad(t, x, from_logits)
    wide, wide_grad = xn.binary_crossentropy_value_and_grad(
        t.astype(np.float32), x.astype(np.float32), from_logits
    )
    assert loss.dtype == np.float32
    assert grad.dtype == dtype
    assert (loss == wide).all()
    assert (grad.astype(np.float32) == wide_grad.astype(dtype).astype(np.float32)).all()


def layouts(a):
    """The same values in other places: (array, axis of the classes)."""
    yield a, -1
    yield np.asfortranarray(a), -1
    yield np.ascontiguousarray(a.T), 0
    yield np.repeat(a, 2, axis=1)[:, ::2], -1
    yield np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1], -1
    yield np.ascontiguousarray(a.T.reshape(a.shape[1], -1, 2)), 0


@pytest.mark.parametrize("classes", [1, 2, 5, 17, 112, 113, 600])
@pytest.mark.parametrize("call", ["binary_crossentropy", "binary_focal_crossentropy"])
def test_layouts_agree(rng, classes, call):
    """Elements have the same bits wherever they lie, sums do within a loop order."""
    function = getattr(xn, f"{call}_value_and_grad")
    x = rng.standard_normal((34, classes)).astype(np.float32)
    t = (rng.random((34, classes)) < 0.5).astype(np.float32)
    weight = rng.random(34)
    weight[3] = 0
    want, want_grad = function(t, x, from_logits=True, sample_weight=weight)
    assert want[3] == 0
    assert (want_grad[3] == 0).all()
    for (a, axis), (b, _) in zip(layouts(x), layouts(t), strict=True):
        w = weight.reshape(a.shape[1:]) if axis == 0 else weight
        loss, grad = function(b, a, from_logits=True, sample_weight=w, axis=axis)
        grad = np.moveaxis(grad, axis, -1).reshape(x.shape)
        assert (grad == want_grad).all()
        if classes <= 112:
            assert (loss.reshape(-1) == want).all()
        np.testing.assert_allclose(loss.reshape(-1), want, rtol=3e-7)


@pytest.mark.parametrize("classes", [3, 200, 40_000])
def test_d1_rows_depend_on_themselves_alone(rng, classes):
    x = rng.standard_normal((7, classes)).astype(np.float32)
    t = (rng.random((7, classes)) < 0.5).astype(np.float32)
    loss, grad = xn.binary_crossentropy_value_and_grad(t, x, True)
    for i in range(7):
        one, one_grad = xn.binary_crossentropy_value_and_grad(t[i : i + 1], x[i : i + 1], True)
        assert one[0] == loss[i]
        assert (one_grad[0] == grad[i]).all()


@pytest.mark.parametrize("shape", [(200_000,), (70_000, 3), (50, 5000), (3, 70_000)])
def test_d2_threads_do_not_change_bits(rng, shape):
    x, t = rng.standard_normal(shape).astype(np.float32), rng.random(shape).astype(np.float32)
    for reduction in ("mean", "sum", "none"):
        results = [
            xn.binary_crossentropy_value_and_grad(t, x, True, reduction=reduction, n_threads=n)
            for n in (1, 2, 5)
        ]
        for loss, grad in results[1:]:
            assert np.array_equal(loss, results[0][0])
            assert np.array_equal(grad, results[0][1])


def test_d3_instruction_sets_give_the_same_bits(rng, each_isa):
    x = rng.standard_normal((40, 130)).astype(np.float32) * 9
    t = rng.random((40, 130)).astype(np.float32)

    def results():
        found = [
            *xn.binary_focal_crossentropy_value_and_grad(t, x, from_logits=True),
            *xn.binary_crossentropy_value_and_grad(t, x, True, 0.1),
            *xn.binary_crossentropy_value_and_grad(t, 1 / (1 + np.exp(-x))),
            xn.sigmoid(x),
        ]
        return b"".join(array.tobytes() for array in found)

    assert len({bits for name, bits in each_isa(results).items() if name != "baseline"}) <= 1


def test_reductions(rng):
    x, t, w = rng.standard_normal((8, 5)), rng.random((8, 5)), rng.random(8)
    rows = xn.binary_crossentropy(t, x, True, sample_weight=w)
    for reduction, want in (
        ("sum", rows.sum()),
        ("mean", rows.mean()),
        ("sum_over_batch_size", rows.mean()),
        ("mean_with_sample_weight", rows.sum() / w.sum()),
    ):
        loss, grad = xn.binary_crossentropy_value_and_grad(t, x, True, sample_weight=w, reduction=reduction)
        assert loss == pytest.approx(want, rel=1e-14)
        _, each = xn.binary_crossentropy_value_and_grad(t, x, True, sample_weight=w)
        np.testing.assert_allclose(grad, each * (want / rows.sum()), rtol=1e-13)
        free, free_grad = xn.binary_crossentropy_value_and_grad(t, x, True, reduction=reduction)
        ones, ones_grad = xn.binary_crossentropy_value_and_grad(
            t, x, True, sample_weight=np.ones(8), reduction=reduction
        )
        assert free == pytest.approx(ones, rel=1e-14)
        np.testing.assert_allclose(free_grad, ones_grad, rtol=1e-14)
    assert xn.binary_crossentropy(t[:0], x[:0], reduction="mean") == 0.0
    assert xn.binary_crossentropy(t[:0], x[:0]).shape == (0,)


def test_gradient_and_hessian(rng):
    x, t = rng.standard_normal((6, 4)) * 3, rng.random((6, 4))
    grad, hess = xn.binary_crossentropy_grad_and_hess(t, x, pos_weight=2.0)
    p = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(grad, ((1 - t) * p - 2 * t * (1 - p)) / 4, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(hess, (1 + t) * p * (1 - p) / 4, rtol=1e-13)
    with pytest.raises(ValueError, match="from_logits=True"):
        xn.binary_crossentropy_grad_and_hess(t, x, False)


def test_losses_of_elements(rng):
    """What hosts ask for that reduce over elements."""
    x, t, w = rng.standard_normal((6, 4)), rng.random((6, 4)), rng.random(6)
    loss, grad, _, each = binary(
        t, x, True, 0.0, -1, sample_weight=w, reduction="none", epsilon=1e-7, n_threads=None, grad=True, each=True,
        class_sum=True,
    )  # fmt: skip
    want = w[:, None] * (np.logaddexp(0, x) - t * x)
    np.testing.assert_allclose(each, want, rtol=1e-13)
    np.testing.assert_allclose(loss, want.sum(axis=1), rtol=1e-13)
    np.testing.assert_allclose(grad, w[:, None] * (1 / (1 + np.exp(-x)) - t), rtol=1e-12)


def test_targets_of_any_type(rng):
    x = rng.standard_normal((5, 3)).astype(np.float32)
    t = rng.random((5, 3)) < 0.5
    want = xn.binary_crossentropy(t.astype(np.float32), x, True)
    for kind in (bool, np.int8, np.uint64, np.float64, np.float16):
        assert (xn.binary_crossentropy(t.astype(kind), x, True) == want).all()
    assert (xn.binary_crossentropy(t.tolist(), x, True) == want).all()


def test_buffers_and_in_place(rng):
    x, t = rng.standard_normal((9, 7)), rng.random((9, 7))
    want, want_grad = xn.binary_crossentropy_value_and_grad(t, x, True)
    out, buffer = np.empty(9), x.copy()
    loss, grad = xn.binary_crossentropy_value_and_grad(t, buffer, True, out=out, grad_out=buffer)
    assert loss is out
    assert grad is buffer
    assert (out == want).all()
    assert (buffer == want_grad).all()
    for wrong, name in ((np.empty(8), "out"), (np.empty(9, np.float32), "out")):
        with pytest.raises(ValueError, match=name):
            xn.binary_crossentropy(t, x, True, out=wrong)
    with pytest.raises(ValueError, match="must not overlap"):
        xn.binary_crossentropy_value_and_grad(t, x, False, grad_out=x)
    with pytest.raises(ValueError, match="must not overlap"):
        xn.binary_crossentropy_value_and_grad(t, x, True, grad_out=t)


@pytest.mark.parametrize(("options", "error", "text"), [
    ({"label_smoothing": 1.5}, ValueError, "label_smoothing"),
    ({"pos_weight": [1.0, 2.0]}, ValueError, "pos_weight must be a number or have shape"),
    ({"pos_weight": "two"}, TypeError, "pos_weight"),
    ({"axis": 3}, ValueError, "axis"),
    ({"reduction": "total"}, ValueError, "reduction"),
    ({"epsilon": 0.5}, ValueError, "epsilon"),
    ({"n_threads": 0}, ValueError, "n_threads"),
    ({"sample_weight": np.ones(4)}, ValueError, "sample_weight"),
])  # fmt: skip
def test_errors(options, error, text):
    with pytest.raises(error, match=text):
        xn.binary_crossentropy(np.zeros((5, 3)), np.zeros((5, 3)), True, **options)


def test_errors_of_shapes_and_focal_options():
    with pytest.raises(ValueError, match="y_true must have the shape"):
        xn.binary_crossentropy(np.zeros(5), np.zeros((5, 1)))
    with pytest.raises(TypeError, match="y_true"):
        xn.binary_crossentropy(None, np.zeros(5))
    for option in ({"gamma": -1.0}, {"gamma": np.inf}, {"alpha": 1.5}):
        with pytest.raises(ValueError, match=next(iter(option))):
            xn.binary_focal_crossentropy(np.zeros(5), np.zeros(5), **option)


@pytest.mark.parametrize("kind", [xn.BinaryCrossentropy, xn.BinaryFocalCrossentropy])
def test_classes(rng, kind):
    loss = kind(from_logits=True, label_smoothing=0.1, name="mine", reduction="sum")
    config = json.loads(json.dumps(loss.get_config()))
    assert kind.from_config(config) == loss == pickle.loads(pickle.dumps(loss))
    assert losses.deserialize(losses.serialize(loss)) == loss
    assert losses.get(kind.__name__) == kind()
    function = getattr(
        xn, "binary_crossentropy" if kind is xn.BinaryCrossentropy else "binary_focal_crossentropy"
    )
    assert losses.get(function.__name__) is function
    x, t = rng.standard_normal((6, 3)), rng.random((6, 3))
    options = {"from_logits": True, "label_smoothing": 0.1, "reduction": "sum"}
    assert loss(t, x) == function(t, x, **options)
    assert loss.call(t, x).shape == (6,)


@pytest.mark.parametrize(
    ("y_shape", "x_shape"), [((6,), (6, 1)), ((6, 1), (6,)), ((6, 2), (6, 2, 1)), ((6, 2, 1), (6, 2))]
)
def test_classes_fix_ranks_as_keras(rng, y_shape, x_shape):
    x, t = rng.standard_normal(x_shape), (rng.random(y_shape) < 0.5).astype(float)
    loss = xn.BinaryCrossentropy(from_logits=True)
    flat = t.reshape(-1)
    want = np.mean(np.logaddexp(0, x.reshape(-1)) - flat * x.reshape(-1))
    assert loss(t, x) == pytest.approx(want, rel=1e-13)
    value, grad = loss.value_and_grad(t, x)
    assert value == pytest.approx(want, rel=1e-13)
    assert grad.shape == x.shape
    np.testing.assert_allclose(
        grad.reshape(-1), (1 / (1 + np.exp(-x.reshape(-1))) - flat) / flat.size, rtol=1e-12
    )
    buffer = np.empty(x.shape)
    assert loss.value_and_grad(t, x, grad_out=buffer)[1] is buffer
    assert (buffer == grad).all()


def test_positional_order_is_keras():
    t, p = [[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]
    assert xn.BinaryFocalCrossentropy(True, 0.25, 2.0, False, 0.0, -1, "sum", "n", None)(
        t, p
    ) == pytest.approx(xn.binary_focal_crossentropy(t, p, True, 0.25, 2.0, False, 0.0, -1).sum())
    assert xn.BinaryCrossentropy(False, 0.1, -1, "none", "n", "float32")(t, p).dtype == np.float32


def test_sigmoid(isa, rng):
    for dtype in (np.float16, np.float32, np.float64):
        x = np.array([0.0, 1.5, -1.5, 30.0, -30.0, -80.0, np.inf, -np.inf, np.nan, 1e4, -1e4] * 5).astype(
            dtype
        )
        p = xn.sigmoid(x)
        assert p.dtype == dtype
        with mpmath.workdps(40):
            for value, logit in zip(p, x, strict=True):
                if np.isnan(logit):
                    assert np.isnan(value)
                    continue
                want = (
                    1 / (1 + mpmath.exp(-mpmath.mpf(float(logit))))
                    if np.isfinite(logit)
                    else mpmath.mpf(float(logit > 0))
                )
                tiny = float(np.finfo(dtype).smallest_subnormal)
                assert abs(mpmath.mpf(float(value)) - want) <= max(
                    2 * float(np.finfo(dtype).eps) * want, tiny
                )
    x = rng.standard_normal((4, 6, 5)).astype(np.float32)
    want = xn.sigmoid(x)
    for view in (x[:, ::2], x[::-1], x.transpose(2, 0, 1), x[:, :, 1], x[0, 0, 0]):
        assert (xn.sigmoid(view) == xn.sigmoid(np.ascontiguousarray(view))).all()
    assert xn.sigmoid(x, out=x) is x
    assert (x == want).all()
    with pytest.raises(ValueError, match="out"):
        xn.sigmoid(x, out=np.empty(3, np.float32))
    assert xn.sigmoid([]).shape == (0,)


def test_against_peers_on_ordinary_rows(rng):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    for smoothing, weighted in itertools.product((0.0,), (False, True)):
        x, t = rng.standard_normal((20, 4)), rng.random((20, 4))
        pos = rng.random(4) + 0.5 if weighted else None
        logits = torch.from_numpy(x).requires_grad_()
        want = functional.binary_cross_entropy_with_logits(
            logits, torch.from_numpy(t), pos_weight=None if pos is None else torch.from_numpy(pos)
        )
        want.backward()
        loss, grad = xn.binary_crossentropy_value_and_grad(
            t, x, True, smoothing, pos_weight=pos, reduction="mean"
        )
        assert loss == pytest.approx(want.item(), rel=1e-13)
        np.testing.assert_allclose(grad, logits.grad.numpy(), rtol=1e-11, atol=1e-16)


def test_a_binary_sum_is_one_of_float64():
    """Of float32 losses, too, and whether rows are joined or not."""
    x = np.full((1000, 1), 2.586466, np.float32)
    t = np.ones_like(x)
    rows = math.fsum(xn.binary_crossentropy(t, x, True).astype(float))
    for options in ({}, {"sample_weight": 1.0}):
        total = xn.binary_crossentropy(t, x, True, reduction="sum", **options)
        assert abs(total - rows) <= 1000 * np.finfo(np.float64).eps * rows


@pytest.mark.parametrize("name", ["binary_crossentropy", "binary_focal_crossentropy"])
@pytest.mark.parametrize(
    ("dtype", "epsilon"), [("float32", 1e-8), ("float16", 1e-8), ("float32", 1e-7), ("float64", 1e-17)]
)
def test_a_probability_of_one_is_clipped_however_small_epsilon_is(name, dtype, epsilon):
    """1 - epsilon does not become 1."""
    function = getattr(xn, f"{name}_value_and_grad")
    loss, grad = function(np.zeros((1, 1)), np.ones((1, 1), dtype), epsilon=epsilon)
    assert loss[0] == pytest.approx(-math.log(epsilon), rel=1e-6)
    if name == "binary_crossentropy":
        assert grad[0, 0] == 0
