# SPDX-License-Identifier: BSD-3-Clause
"""The table of edge cases, row by row: for every function, dtype, instruction set, loop order and kind of target.

Functions come from edge_functions.py, GRID has what all of them are tried with. "The same bits" stands for "contributes
nothing": a logit of -1e4 has an exponential of exactly 0 beside ordinary ones, and -inf has to give what it gives.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from cases import INTEGERS
from edge_functions import (
    CALLS,
    DTYPES,
    ELEMENTWISE,
    LABELLED,
    LOSSES,
    ORDERS,
    PLANES,
    SOFTMAX,
    computed,
    dtype_of,
)
from edge_rows import Sparse, bad_buffers, check_same, labels_of, masked, most, rows_of, spoiled

import xent_native as xn

inf, nan = np.inf, np.nan
FAR = -1e4
# One vector, its neighbours, where lanes over rows end, and rows of several blocks.
CLASSES = (2, 3, 17, 65, 200, 5000)
GRID = [
    (dtype, order, classes)
    for dtype in DTYPES
    for order in ORDERS
    for classes in CLASSES
    if classes < 1000 or order == "last"
]
# Predictions that are divided by their sum; KL and the binary losses take them as they are.
DIVIDED = [
    call
    for call in LOSSES
    if not call.logits and call.targets != "bits" and not call.name.lower().startswith("kl")
]
TARGETED = [call for call in SOFTMAX if call.targets]


def each(function):
    return pytest.mark.parametrize("call", function, ids=str)


# | label outside [0, C), not ignored | IndexError naming the first such row and value; nothing written; the same in
# |                                   | every gradient call |  (more places and values: test_labels.py)


@each(LABELLED)
def test_label_out_of_range(call):
    for dtype in INTEGERS:
        limits = np.iinfo(dtype)
        for order in ORDERS:
            for value in {4, limits.max, *((-1, limits.min) if limits.min else ())}:
                y, x, axis = call.placed(np.zeros(6, dtype), call.problem(6, 4, "float32")[1], order)
                y.reshape(-1)[[3, 5]] = value
                place = re.escape("3" if y.ndim == 1 else "(1, 0)")
                buffers = call.buffers(x, axis)
                with pytest.raises(
                    IndexError, match=rf"must lie in \[0, 4\).*; got {value} at index {place}(: |$)"
                ):
                    call(y, x, axis, **buffers)
                assert all(np.isnan(buffer.astype(float)).all() for buffer in buffers.values())


# | float or bool labels, object arrays, complex, masked arrays with a mask, sparse matrices, None | TypeError naming
# |                                                                                                | the argument |


NO_NUMBERS = [
    np.zeros((3, 4), object),
    np.zeros((3, 4), complex),
    np.full((3, 4), "a"),
    np.ma.array(np.zeros((3, 4)), mask=np.eye(3, 4, dtype=bool)),
    Sparse(),
    None,
]


@each(CALLS)
def test_no_numbers(call):
    y, x = call.problem(3, 4, "float32")
    given, target = ("x", "y") if call.host == "activation" else ("y_pred", "y_true")
    given, target = ("input", "target") if call.host == "torch" else (given, target)
    for value in NO_NUMBERS:
        with pytest.raises(TypeError, match=f"^{given} must"):
            call(y, value)
        if call.targets:
            with pytest.raises(TypeError, match=f"^{target} must"):
                call(value, x)
        for weight in {"sample_weight", "class_weight", "pos_weight", "alpha", "weight"} & call.arguments:
            if value is not None and not (weight == "alpha" and call.targets == "bits"):
                with pytest.raises(TypeError, match=f"^{weight} must"):
                    call(y, x, **{weight: value})


@each(LABELLED)
def test_labels_that_are_no_integers(call):
    x = call.problem(3, 4, "float32")[1]
    for dtype in (*DTYPES, "bool"):
        with pytest.raises(TypeError, match=f"must hold integer class indices; got dtype {dtype}"):
            call(np.array([0, 1, 0]).astype(dtype_of(dtype)), x)


# | shapes that do not fit, C = 0, bad axis, unknown reduction | ValueError naming both shapes |


@each(CALLS)
def test_shapes_axes_and_reductions(call):
    y, x = call.problem(3, 4, "float32")
    if call.targets:
        for shape in ((), (4,), (3, 3), (2, 4), (3, 4, 2), (6, 2)):
            fitting = np.zeros(shape, y.dtype)
            expected = re.escape("(3, 4)" if call.host != "torch" or call.targets != "labels" else "(3,)")
            with pytest.raises(ValueError, match=f"{expected}.*{re.escape(str(shape))}"):
                call(fitting, x)
    if "axis" in call.arguments:
        with pytest.raises(ValueError, match=r"must have at least one class; got shape \(3, 0\)"):
            call(y[:, :0] if y.ndim == 2 else y, x[:, :0])
        for axis in (2, -3, 2**63, 10**30):
            with pytest.raises(
                ValueError, match=r"axis must lie in \[-2, 2\) for .* of shape \(3, 4\); got "
            ):
                call(y, x, axis)
        for axis in (1.0, "1", None, True, (0,)):
            with pytest.raises(ValueError, match="axis must be an integer; got "):
                call(y, x, axis)
    if "reduction" in call.arguments:
        for reduction in ("avg", "Mean", 1, [], b"sum"):
            with pytest.raises(ValueError, match=r"reduction must be one of .*'sum'.*; got "):
                call(y, x, reduction=reduction)


# | N = 0 | none gives an empty array, sum 0.0, mean 0.0 (Keras); NaN in xent_native.torch |

REDUCTIONS = ("sum", "mean", "sum_over_batch_size", "mean_with_sample_weight")


@each(CALLS)
def test_no_rows(isa, call):
    for dtype, order, classes in GRID[::5]:
        y, x = (a[:0] for a in rows_of(call, dtype, classes))
        for name, value in call.rows(y, x, order if order != "middle" else "last").items():
            assert value.shape == ((0, classes) if name in PLANES else (0,)), name
        for reduction in REDUCTIONS if call.host != "torch" else ("sum", "mean"):
            if "reduction" in call.arguments:
                found = call(y, x, reduction=reduction)
                for name in {"loss", "each"} & found.keys():
                    expected = nan if call.host == "torch" and reduction == "mean" else 0.0
                    np.testing.assert_equal(float(found[name]), expected)
                    assert isinstance(found[name], float)


# | every row ignored, or weights sum to 0 | mean 0.0 (Keras); NaN in xent_native.torch |


@each([call for call in CALLS if call.targets])
def test_nothing_counts(isa, call):
    """The rows may hold anything then; gradients are 0."""
    for dtype, order, classes in GRID[::5]:
        y, x = rows_of(call, dtype, classes)
        n = len(x)
        ways = [(y, {"sample_weight": np.zeros(1)})] if "sample_weight" in call.arguments else []
        if call.targets == "labels":
            option = "ignore_index" if call.host == "torch" else "ignore_class"
            ways.append((np.full(n, -100), {option: -100}))
        x[1] = nan
        for target, options in ways:
            placed, given, axis = call.placed(target, x, order)
            for reduction in (
                "none",
                "sum",
                "mean",
                *(["mean_with_sample_weight"] if call.host != "torch" else []),
            ):
                for name, value in call(placed, given, axis, reduction=reduction, **options).items():
                    wanted = nan if call.host == "torch" and reduction == "mean" else 0.0
                    where = f"{name}, {reduction}, {dtype}, {order}, {classes} classes"
                    np.testing.assert_array_equal(np.asarray(value, float), wanted, err_msg=where)


def test_weights_of_classes_sum_to_nothing_in_torch():
    loss = xn.torch.cross_entropy(np.zeros((3, 2)), np.zeros(3, int), weight=np.array([0.0, 1.0]))
    assert np.isnan(loss)


# | logit -inf at another class | contributes nothing; gradient exactly 0 there |
# | target 0 at logit -inf (dense) | 0 * -inf counts as 0 |


@each(SOFTMAX)
def test_minus_infinity_at_another_class(isa, call):
    for kind, (dtype, order, classes) in enumerate(GRID):
        y, x = rows_of(call, dtype, classes, kind)
        gone = masked(x, labels_of(classes, len(x), 0))
        targets = [y]
        if call.targets == "rows":
            soft = call.problem(len(x), classes, dtype)[0]
            soft[gone] = 0
            targets.append(soft)
        away, far = (np.where(gone, np.asarray(value, x.dtype), x) for value in (-inf, FAR))
        for target in targets:
            found, wanted = call.rows(target, away, order), call.rows(target, far, order)
            where = f"{dtype}, {order}, {classes} classes"
            for name, value in found.items():
                if name == "log_prob":
                    assert np.isneginf(value[gone].astype(float)).all(), where
                    assert value[~gone].tobytes() == wanted[name][~gone].tobytes(), where
                    continue
                assert np.isfinite(value.astype(float)).all(), f"{name}: {where}"
                assert value.tobytes() == wanted[name].tobytes(), f"{name}: {where}"
                if name in PLANES:
                    assert (value[gone] == 0).all(), f"{name}: {where}"


@each([call for call in TARGETED if {"class_weight", "weight"} & call.arguments])
def test_a_weight_of_0_at_minus_infinity(isa, call):
    """The target may be what it likes there."""
    name = "weight" if call.host == "torch" else "class_weight"
    for kind, (dtype, order, classes) in enumerate(GRID):
        y, x = rows_of(call, dtype, classes, kind)
        x[:, 0] = -inf
        weight = np.ones(classes)
        weight[0] = 0
        for output, value in call.rows(y, x, order, **{name: weight}).items():
            assert np.isfinite(value.astype(float)).all(), f"{output}: {dtype}, {order}, {classes} classes"


@each([call for call in ELEMENTWISE if call.logits])
def test_an_infinite_logit_that_is_right(isa, call):
    """Binary losses: a certain element counts nothing, gradient and curvature 0."""
    for dtype, order, classes in GRID:
        y, x = rows_of(call, dtype, classes)
        for target, sign in ((0, 1), (1, -1)):
            spot = (slice(None), classes // 2)
            if call.targets:
                y[spot] = target
            away, far = x.copy(), x.copy()
            away[spot], far[spot] = -sign * inf, sign * FAR
            found = call.rows(y, away, order)
            check_same(
                found, call.rows(y, far, order), f"{dtype}, {order}, {classes} classes, target {target}"
            )
            for name in {"grad", "hess", "each"} & found.keys():
                assert (found[name][spot] == 0).all(), name
            if "prob" in found:
                assert (found["prob"][spot] == target).all()


# | logit -inf at the target | +inf; finite gradient |


@each(TARGETED)
def test_minus_infinity_at_the_target(isa, call):
    for kind, (dtype, order, classes) in enumerate(GRID):
        y, x = rows_of(call, dtype, classes, kind)
        n = len(x)
        away, far = x.copy(), x.copy()
        hit = (np.arange(0, n, 2), labels_of(classes, n, 0)[::2].astype(int))
        away[hit], far[hit] = -inf, FAR
        where = f"{dtype}, {order}, {classes} classes"
        found, wanted = call.rows(y, away, order), call.rows(y, far, order)
        if "loss" in found:
            assert (found["loss"][::2] == inf).all(), where
            assert np.isfinite(found["loss"][1::2]).all(), where
        for name in {"grad", "hess"} & found.keys():
            assert np.isfinite(found[name].astype(float)).all(), f"{name}: {where}"
            assert found[name].tobytes() == wanted[name].tobytes(), f"{name}: {where}"
        if "loss" in found and "label_smoothing" in call.arguments and classes < 1000:
            assert (call.rows(y, away, order, label_smoothing=0.1)["loss"][::2] == inf).all(), where


@each([call for call in ELEMENTWISE if call.logits and call.targets])
def test_an_infinite_logit_that_is_wrong(isa, call):
    for dtype, order, classes in GRID:
        y, x = rows_of(call, dtype, classes)
        for target, sign in ((0, -1), (1, 1), (0.25, 1), (0.25, -1)):
            spot = (slice(0, None, 2), classes // 2)
            y[spot] = target
            away, far = x.copy(), x.copy()
            away[spot], far[spot] = -sign * inf, sign * FAR
            found, wanted = call.rows(y, away, order), call.rows(y, far, order)
            where = f"{dtype}, {order}, {classes} classes, target {target}"
            for name in {"loss", "each"} & found.keys():
                assert (found[name][spot if name == "each" else slice(0, None, 2)] == inf).all(), where
                check_same({name: found[name]}, wanted, where, slice(1, None, 2))
            for name in {"grad", "hess"} & found.keys():
                assert np.isfinite(found[name].astype(float)).all(), f"{name}: {where}"
                if "focal" not in call.name.lower() or target != 0.25:
                    assert found[name].tobytes() == wanted[name].tobytes(), f"{name}: {where}"


# | NaN or +inf logit, or a row of -inf alone | NaN for that row alone; its neighbours are untouched |


@pytest.mark.parametrize("bad", ["nan", "-nan", "inf", "all", "both"])
@each(SOFTMAX)
def test_a_bad_row_is_nan_and_alone(isa, call, bad):
    for kind, (dtype, order, classes) in enumerate(GRID):
        y, x = rows_of(call, dtype, classes, kind)
        n, clean = len(x), call.rows(y, x, order)
        for row, column in ((0, 0), (n // 2, classes // 2), (n - 1, classes - 1)):
            found = call.rows(y, spoiled(x, row, column, bad), order)
            where = f"{dtype}, {order}, {classes} classes, row {row}, column {column}"
            for name, value in found.items():
                assert np.isnan(value[row].astype(float)).all(), f"{name}: {where}"
            check_same(found, clean, where, np.arange(n) != row)


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf", "zeros"])
@each(DIVIDED)
def test_a_row_without_a_sum_is_nan_and_alone(isa, call, bad):
    """Probabilities are divided by their sum: there is nothing to clip where that is NaN, infinite or 0."""
    for kind, (dtype, order, classes) in enumerate(GRID):
        y, x = rows_of(call, dtype, classes, kind)
        n, clean = len(x), call.rows(y, x, order)
        for row, column in ((0, 0), (n // 2, classes // 2), (n - 1, classes - 1)):
            given = x.copy()
            given[row, column if bad != "zeros" else slice(None)] = 0 if bad == "zeros" else float(bad)
            found = call.rows(y, given, order)
            where = f"{dtype}, {order}, {classes} classes, row {row}, column {column}"
            for name, value in found.items():
                assert np.isnan(value[row].astype(float)).all(), f"{name}: {where}"
            check_same(found, clean, where, np.arange(n) != row)


@each([*ELEMENTWISE, *(call for call in LOSSES if call.name.lower().startswith("kl"))])
def test_nan_stays_in_its_element(isa, call):
    """The loss of the row is NaN where it has one for the row; other elements keep their derivatives."""
    for dtype, order, classes in GRID:
        y, x = rows_of(call, dtype, classes)
        n, clean = len(x), call.rows(y, x, order)
        for row, column in ((0, 0), (n // 2, classes // 2), (n - 1, classes - 1)):
            found = call.rows(y, spoiled(x, row, column, "nan"), order)
            where = f"{dtype}, {order}, {classes} classes, row {row}, column {column}"
            for name, value in found.items():
                spot = (row, column) if name in PLANES else row
                assert np.isnan(float(value[spot])), f"{name}: {where}"
                others = np.ones(value.shape, bool)
                others[spot] = False
                check_same({name: value}, clean, where, others)


# | +-3e38 logits | exact where float32 can hold it, else inf; no NaN |


@each(TARGETED)
def test_huge_logits(isa, call):
    """Losses are the difference of two logits: times alpha for the focal one, and 2 more for poly1."""
    factor = 0.25 if "focal" in call.name.lower() else 1.0
    more = 2.0 if "poly1" in call.name.lower() else 0.0
    for kind, (dtype, order, classes) in enumerate(GRID):
        kind_of = dtype_of(dtype)
        big = float(kind_of.type(most(dtype)))
        x = np.zeros((6, classes), kind_of)
        x[:, 0] = [big, -big, big, big, -big, big]
        x[:, 1] = [0, 0, -big, big, -big, big]
        x[4], x[5] = -big, big
        labels = np.array([1, 0, 1, 0, 0, 1]).astype(INTEGERS[kind % 8])
        found = call.rows(call.one_hot(labels, classes, dtype), x, order)
        where = f"{dtype}, {order}, {classes} classes"
        for name, value in found.items():
            assert not np.isnan(value.astype(float)).any(), f"{name}: {where}"
        if "loss" in found:
            with np.errstate(over="ignore"):  # row 1 has all the other classes ahead of its label
                wanted = factor * np.array([big, big + np.log(classes - 1), 1]) + more
                wanted[2] = factor * big * 2 + more
                wanted = wanted.astype(computed(kind_of))
            ulp = np.finfo(wanted.dtype).eps
            np.testing.assert_allclose(found["loss"][:3], wanted, rtol=2 * ulp, err_msg=where)
            if factor == 1 and more == 0:
                assert found["loss"][[0, 2]].tobytes() == wanted[[0, 2]].tobytes(), where
                np.testing.assert_allclose(found["loss"][3:], np.log([2, classes, classes]), rtol=1e-6)
        if "grad" in found:
            slope = factor * np.array([[1, -1], [-1, 1], [1, -1]])
            if classes > 2:  # else row 1 is the mirror image of row 0
                slope[1] = found["grad"][1, :2] = 0
            np.testing.assert_array_equal(found["grad"][:3, :2].astype(float), slope, err_msg=where)
        if "hess" in found:
            assert (found["hess"][0] == 0).all()


@each([call for call in SOFTMAX if call.host == "activation"])
def test_huge_logits_of_activations(isa, call):
    for dtype, order, classes in GRID:
        kind = dtype_of(dtype)
        big = kind.type(most(dtype))
        x = np.zeros((4, classes), kind)
        x[0, 0], x[1, :2], x[2], x[3] = big, [big, -big], -big, big
        (found,) = call.rows(np.zeros(4, int), x, order).values()
        where = f"{dtype}, {order}, {classes} classes"
        assert not np.isnan(found.astype(float)).any(), where
        if call.name == "softmax":
            assert found[:2].astype(float).tolist() == [[1, *[0] * (classes - 1)]] * 2, where
        elif call.name == "logsumexp":
            wanted = np.array([big, big, -big, big], float) + np.log([1, 1, classes, classes])
            np.testing.assert_allclose(found.astype(float), wanted, rtol=2e-7, err_msg=where)
        else:
            assert float(found[0, 0]) == 0, where
            assert float(found[0, 1]) == -float(big), where


@each([call for call in ELEMENTWISE if call.logits])
def test_huge_logits_of_binary_losses(isa, call):
    """All elements are wrong, or all are right: the mean of a row is what each of them has. Their sum is a float64."""
    for dtype, order, classes in GRID:
        big = float(dtype_of(dtype).type(min(most(dtype), 1e304)))
        for target in (0, 1):
            y = np.full((4, classes), target, dtype_of(dtype))
            x = np.full((4, classes), big, dtype_of(dtype))
            x[::2] = -big
            wrong = slice(1, None, 2) if target == 0 else slice(0, None, 2)
            found = call.rows(y, x, order)
            alpha = {0: 0.75, 1: 0.25}[target] if "balanced" in call.name else 1.0
            where = f"{dtype}, {order}, {classes} classes, target {target}"
            for name, value in found.items():
                assert not np.isnan(value.astype(float)).any(), f"{name}: {where}"
            for name in {"loss", "each"} & found.keys():
                np.testing.assert_allclose(found[name][wrong], alpha * big, rtol=1e-6, err_msg=where)
                assert (found[name][1 - wrong.start :: 2] == 0).all(), where
            for name in {"grad"} & found.keys():
                slope = (alpha if target == 0 else -alpha) / classes
                np.testing.assert_allclose(found[name][wrong].astype(float), slope, rtol=1e-2, err_msg=where)
                assert (found[name][1 - wrong.start :: 2] == 0).all(), where


# | more than 2^31 elements | right |  test_big.py, and all functions and dtypes: slow/big.py


# | C = 1 | loss 0, gradient 0, from logits |


@each(SOFTMAX)
def test_one_class(isa, call):
    for kind, dtype in enumerate(DTYPES):
        for order in ORDERS:
            x = np.array([[0.0], [5.0], [-6e4], [6e4]], dtype_of(dtype))
            y = call.one_hot(labels_of(1, 4, kind), 1, dtype)
            for name, value in call.rows(y, x, order).items():
                wanted = {"prob": 1, "lse": x[:, 0].astype(float)}.get(name, 0)
                assert (value.astype(float).ravel() == wanted).all(), f"{name}: {dtype}, {order}"


@each(DIVIDED)
def test_one_class_from_probabilities(isa, call):
    """p / p = 1 is clipped, and has no gradient."""
    for dtype in DTYPES:
        for order in ORDERS:
            x = np.array([[0.5], [1.0], [3.0], [0.25]], dtype_of(dtype))
            found = call.rows(call.one_hot(np.zeros(4, int), 1, dtype), x, order)
            assert "loss" not in found or (found["loss"] < 4e-3).all()
            assert "grad" not in found or (found["grad"] == 0).all()


@each(ELEMENTWISE)
def test_one_class_is_the_usual_case_of_binary_losses(isa, call):
    """A row of one class is an element like any other: as in a row of two with a certain one, which halves it."""
    for dtype in DTYPES:
        for order in ORDERS:
            y, x = call.problem(9, 1, dtype)
            found = call.rows(y, x, order)
            beside = np.full_like(x, -inf if call.logits else 0)
            both = np.hstack([y, np.zeros_like(y)]) if call.targets else y
            unclipped = (
                {} if call.logits else {"epsilon": 0.0}
            )  # a clip would leave something of a certain element
            for name, other in call.rows(both, np.hstack([x, beside]), order, **unclipped).items():
                other = other[:, :1] if name in PLANES else other
                factor = np.asarray(1 if name in ("prob", "each") else 2, other.dtype)
                assert found[name].tobytes() == (factor * other).tobytes(), f"{name}: {dtype}, {order}"


# | out of wrong shape, dtype, read-only or overlapping | ValueError before anything is written |


@each([call for call in CALLS if {"out", "grad_out", "hess_out"} & call.arguments])
def test_buffers_that_do_not_fit(call):
    for dtype in DTYPES:
        y, x = call.problem(4, 3, dtype)
        for name in call.buffers(x):
            for bad in (*bad_buffers(call.buffers(x)[name]), call.buffers(x)[name].tolist(), "out"):
                buffers = {**call.buffers(x), name: bad}
                with pytest.raises(ValueError, match=f"^{name} must (have|be|not overlap)"):
                    call(y, x, **buffers)
                for buffer in buffers.values():
                    if isinstance(buffer, np.ndarray):
                        assert np.isnan(buffer.astype(float)).all(), f"{name}: {dtype}"


@each([call for call in CALLS if {"out", "grad_out", "hess_out"} & call.arguments])
def test_overlapping_buffers(call):
    """Every pair of a buffer and something else: what is given last begins one item into the first."""
    y, x = call.problem(4, 3, "float64")
    weight = np.ones(4)
    inputs = {"x" if call.host == "activation" else "y_pred": x}
    if call.targets:
        inputs["y_true"] = y
    if "sample_weight" in call.arguments:
        inputs["sample_weight"] = weight
    for name in sorted({"class_weight", "pos_weight"} & call.arguments):
        if call.host == "function":  # a class has a copy
            inputs[name] = np.ones(3)
    names = list(call.buffers(x))
    pairs = [(one, other) for one in names for other in (*inputs, *names) if one != other]
    assert pairs
    for one, other in pairs:
        memory = np.ones(100)
        given, buffers = dict(inputs), call.buffers(x)
        target = buffers if other in buffers else given
        if target[other].dtype.kind != "f":  # labels
            memory = memory.view(target[other].dtype)
            memory[:] = 0
        target[other] = memory[: target[other].size].reshape(target[other].shape)
        moved = memory.view(buffers[one].dtype)[target[other].size - 1 :]
        buffers[one] = moved[: buffers[one].size].reshape(buffers[one].shape)
        before = memory.tobytes()
        options = {k: v for k, v in given.items() if k not in ("x", "y_pred", "y_true")}
        with pytest.raises(ValueError, match=r"^(out|grad_out|hess_out) must not overlap "):
            call(given.get("y_true"), given.get("x", given.get("y_pred")), **options, **buffers)
        assert memory.tobytes() == before, f"{one}, {other}"


# | KeyboardInterrupt in a long call | raised within about 0.1 s |  test_interrupt.py
# | called in a forked child, in a thread pool, at interpreter exit, from free-threaded Python | works |
# |   test_fork.py, test_threads.py


# | threads refused by the system, absurd n_threads | clamped; 0 or a non-integer is a ValueError |
# |   refused: test_threads.py


@each([call for call in CALLS if "n_threads" in call.arguments])
def test_numbers_of_threads(call):
    y, x = call.problem(20_000, 4, "float32")
    alone = call.rows(y, x, n_threads=1)
    for threads in (2, 3, 10_000, 2**31, 2**63, 10**30, np.int8(2)):
        check_same(call.rows(y, x, n_threads=threads), alone, f"{threads} threads")
    for threads in (0, -1, -(2**63), 1.0, "1", True, nan, [1]):
        with pytest.raises(ValueError, match="n_threads must be an integer of at least 1; got "):
            call(y, x, n_threads=threads)
