# SPDX-License-Identifier: BSD-3-Clause
"""xent_native.sklearn's losses: scikit-learn's values in its dtypes and orders, and the same trees."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.9")

from sklearn._loss.loss import HalfBinomialLoss, HalfMultinomialLoss
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier

from xent_native import _core
from xent_native.sklearn import BinomialLoss, MultinomialLoss

FLOATS = (np.float32, np.float64)
CLASSES = 5
PAIRS = {
    "multinomial": (MultinomialLoss(CLASSES), HalfMultinomialLoss(n_classes=CLASSES)),
    "binomial": (BinomialLoss(), HalfBinomialLoss()),
}
# Both sides compute in the dtype of the raw predictions, each within 4 units of its last place, and round once.
UNITS = 8


def problem(ours, dtype, rows=77, order="C", weighted=False):
    rng = np.random.default_rng(7)
    if ours.is_multiclass:
        y, raw = rng.integers(0, CLASSES, rows), 3 * rng.normal(size=(rows, CLASSES))
    else:
        y, raw = rng.integers(0, 2, rows), 3 * rng.normal(size=rows)
    weight = rng.random(rows) + 0.5 if weighted else None
    return (
        y.astype(dtype),
        np.asarray(raw, dtype, order=order),
        None if weight is None else weight.astype(dtype),
    )


def assert_same(got, wanted, computed):
    """Equal but for the last places of the type that was computed in and of the one that holds it."""
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    unit = max(np.finfo(computed).eps, np.finfo(got.dtype).eps)
    np.testing.assert_allclose(got, wanted, rtol=UNITS * unit, atol=UNITS * unit)


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("out", FLOATS)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("weighted", [False, True])
def test_all_methods_give_scikit_learns_values(kind, dtype, out, order, weighted):
    ours, theirs = PAIRS[kind]
    y, raw, weight = problem(ours, dtype, order=order, weighted=weighted)
    names = {
        "loss": ("loss_out",),
        "gradient": ("gradient_out",),
        "loss_gradient": ("loss_out", "gradient_out"),
        "gradient_hessian": ("gradient_out", "hessian_out"),
    }
    if ours.is_multiclass:
        names["gradient_proba"] = ("gradient_out", "proba_out")
    for method, outputs in names.items():
        shapes = [raw.shape[:1] if name == "loss_out" else raw.shape for name in outputs]
        buffers = {n: np.full(s, np.nan, out, order=order) for n, s in zip(outputs, shapes, strict=True)}
        wanted = getattr(theirs, method)(y, raw, weight, **{n: b.copy("K") for n, b in buffers.items()})
        got = getattr(ours, method)(y, raw, weight, **buffers)
        for one, other, buffer in zip(_each(got), _each(wanted), buffers.values(), strict=True):
            assert one is buffer
            assert_same(one, other, dtype)


def _each(result):
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_new_arrays_have_scikit_learns_dtypes_and_order(kind, dtype):
    ours, theirs = PAIRS[kind]
    y, raw, _ = problem(ours, dtype, order="F")
    other = np.empty_like(raw, dtype=FLOATS[dtype is np.float32])
    calls = [
        ("loss", {}), ("gradient", {}), ("loss_gradient", {}), ("gradient_hessian", {}),
        ("loss_gradient", {"gradient_out": other}), ("gradient_hessian", {"hessian_out": other}),
        ("loss_gradient", {"loss_out": other if other.ndim == 1 else other[:, 0].copy()}),
    ]  # fmt: skip
    for method, options in calls:
        got, wanted = (_each(getattr(loss, method)(y, raw, **options)) for loss in (ours, theirs))
        assert [a.dtype for a in got] == [a.dtype for a in wanted]
        assert [a.flags.f_contiguous for a in got] == [a.flags.f_contiguous for a in wanted]
    assert ours(y, raw) == pytest.approx(theirs(y, raw), rel=float(UNITS * np.finfo(dtype).eps))
    assert_same(ours.predict_proba(raw), theirs.predict_proba(raw), dtype)
    assert ours.fit_intercept_only(y) == pytest.approx(theirs.fit_intercept_only(y))
    assert ours.predict_proba(raw.astype(np.longdouble)).dtype == np.longdouble


def test_a_column_of_raw_predictions_is_taken_as_scikit_learn_takes_it():
    y, raw, _ = problem(BinomialLoss(), np.float64)
    gradient, hessian = np.empty((2, len(y), 1), np.float32)
    one, two = BinomialLoss().gradient_hessian(y, raw[:, None], gradient_out=gradient, hessian_out=hessian)
    assert one.shape == two.shape == y.shape
    assert np.shares_memory(one, gradient)
    assert np.shares_memory(two, hessian)
    np.testing.assert_array_equal(gradient[:, 0], BinomialLoss().gradient(y, raw).astype(np.float32))


def test_boostings_arrays_are_not_copied(monkeypatch):
    """float64 in and float32 out, both in F order, reach the core as they are."""
    seen = []
    softmax, binary = _core.cross_entropy, _core.binary_cross_entropy
    monkeypatch.setattr(_core, "cross_entropy", lambda *a: (seen.append(a), softmax(*a))[1])
    monkeypatch.setattr(_core, "binary_cross_entropy", lambda *a: (seen.append(a), binary(*a))[1])
    for ours, _ in PAIRS.values():
        y, raw, _ = problem(ours, np.float64, order="F")
        gradient, hessian = ours.init_gradient_and_hessian(len(y), dtype=np.float32)
        ours.gradient_hessian(y, raw, gradient_out=gradient, hessian_out=hessian)
        passed = [a for a in seen.pop() if isinstance(a, np.ndarray)]
        for array in (y, raw, gradient, hessian):
            assert any(np.shares_memory(array, one) for one in passed)
        assert len(passed) == 4


@pytest.mark.parametrize(
    ("load", "loss"),
    [(load_iris, MultinomialLoss(3)), (load_wine, MultinomialLoss(3)), (load_breast_cancer, BinomialLoss())],
)
def test_boosting_grows_the_same_trees(load, loss):
    X, y = load(return_X_y=True)
    options = {"max_iter": 4, "random_state": 0, "early_stopping": True}
    theirs = HistGradientBoostingClassifier(**options).fit(X, y)
    ours = HistGradientBoostingClassifier(loss=loss, **options).fit(X, y)
    for one, other in zip(ours._predictors, theirs._predictors, strict=True):
        for tree, twin in zip(one, other, strict=True):
            np.testing.assert_array_equal(tree.nodes, twin.nodes)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-14)
    np.testing.assert_allclose(ours.train_score_, theirs.train_score_, rtol=1e-14)
    again = pickle.loads(pickle.dumps(ours))
    np.testing.assert_array_equal(again.predict_proba(X), ours.predict_proba(X))


def test_losses_can_be_copied():
    loss = copy.deepcopy(MultinomialLoss(4))
    assert type(loss) is MultinomialLoss
    assert loss.n_classes == 4


@pytest.mark.parametrize("bad", [-1.0, 3.0, 0.5, np.nan, np.inf, -0.5, 2.0**40])
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_label_that_is_none_is_named_and_nothing_is_written(bad, dtype):
    y, raw = np.array([0, 1, bad, 2, bad], dtype), np.zeros((5, 3), dtype)
    gradient = np.full((5, 3), 7, np.float32)
    with pytest.raises(IndexError, match=r"y_true must hold whole numbers in \[0, 3\); got .* at index 2"):
        MultinomialLoss(3).gradient(y, raw, gradient_out=gradient)
    assert (gradient == 7).all()


def test_what_does_not_fit_is_refused():
    y, raw, _ = problem(MultinomialLoss(CLASSES), np.float64)
    loss = MultinomialLoss(CLASSES)
    narrow = np.empty_like(raw, dtype=np.float32)
    with pytest.raises(
        TypeError, match="raw_prediction must be a NumPy array of float32 or float64; got list"
    ):
        loss.loss(y, [[0.0]], loss_out=y.copy())
    with pytest.raises(
        TypeError, match=r"raw_prediction must be a NumPy array of float32 .* got dtype int64"
    ):
        loss.gradient(y, raw.astype(int))
    for columns in (slice(0, 4), 0):
        with pytest.raises(
            ValueError, match=r"raw_prediction must have shape \(n_samples, n_classes=5\); got"
        ):
            loss.gradient(y, raw[:, columns])
        with pytest.raises(
            ValueError, match=r"raw_prediction must have shape \(n_samples, n_classes=5\); got"
        ):
            loss.predict_proba(raw[:, columns])
    with pytest.raises(
        ValueError, match=r"y_true must have shape \(77,\), one value per sample; got \(76,\)"
    ):
        loss.gradient(y[1:], raw)
    with pytest.raises(ValueError, match="gradient_out and hessian_out must have the same dtype"):
        loss.gradient_hessian(y, raw, gradient_out=raw.copy(), hessian_out=narrow)
    with pytest.raises(ValueError, match="gradient_out must not overlap hessian_out"):
        loss.gradient_hessian(y, raw, gradient_out=narrow, hessian_out=narrow)
    with pytest.raises(ValueError, match="n_threads must be an integer of at least 1; got 0"):
        loss.gradient(y, raw, n_threads=0)
    with pytest.raises(ValueError, match=r"n_classes must be an integer in \[2, \d+\]; got 1"):
        MultinomialLoss(1)
    with pytest.raises(TypeError, match=r"n_classes must be an integer in \[2, \d+\]; got '3'"):
        MultinomialLoss("3")
    with pytest.raises(ValueError, match=r"n_classes must be an integer in \[2, \d+\]; got 1000"):
        MultinomialLoss(10**30)
    with pytest.raises(ValueError, match=r"n_classes must be an integer in .*; got an object of type int"):
        MultinomialLoss(10**5000)


@pytest.mark.parametrize(
    ("load", "loss", "error", "words"),
    [
        (load_iris, MultinomialLoss(5), ValueError, "n_classes must be 3, .* largest label in y_true; got 5"),
        (load_iris, MultinomialLoss(2), IndexError, r"y_true must hold .* in \[0, n_classes=2\); got 2.0 at"),
        (load_iris, BinomialLoss(), ValueError, r"y_true must lie in \[0, 1\]; got 2.0 at index 100"),
        (
            load_breast_cancer,
            MultinomialLoss(2),
            ValueError,
            "n_classes must .* two want a BinomialLoss; got n_classes=2",
        ),
        (
            load_breast_cancer,
            MultinomialLoss(3),
            ValueError,
            "n_classes must .*; got n_classes=3 and labels up to 1",
        ),
    ],
)
def test_boosting_with_the_loss_of_another_number_of_classes(load, loss, error, words):
    with pytest.raises(error, match=words):
        HistGradientBoostingClassifier(loss=loss, max_iter=1).fit(*load(return_X_y=True))


@pytest.mark.parametrize("bad", [-1.0, -2.0, 3.0, 0.5, np.nan, np.inf, -np.inf])
def test_no_intercept_of_what_is_no_target(bad):
    y = np.array([0, 1, 2, bad, bad])
    with pytest.raises(IndexError, match=r"y_true must hold .* in \[0, n_classes=3\); got .* at index 3"):
        MultinomialLoss(3).fit_intercept_only(y)
    if bad != 0.5:
        with pytest.raises(ValueError, match=r"y_true must lie in \[0, 1\]; got .* at index 2"):
            BinomialLoss().fit_intercept_only(y[[0, 1, 3, 4]])


def test_intercepts():
    for (ours, theirs), y in zip(PAIRS.values(), (np.arange(5), np.array([0, 1, 1])), strict=True):
        weight = 1.0 + y
        wanted = theirs.fit_intercept_only(y.astype(float), weight)
        np.testing.assert_array_equal(ours.fit_intercept_only(y.astype(float), weight), wanted)
        np.testing.assert_array_equal(ours.fit_intercept_only(y, list(weight)), wanted)
        with pytest.raises(ValueError, match=r"sample_weight must have shape \(\d,\), .* got \(1,\)"):
            ours.fit_intercept_only(y, weight[:1])
        for array in (y[:0], y[:, None]):
            with pytest.raises(ValueError, match=r"y_true must have shape \(n_samples,\), not empty; got"):
                ours.fit_intercept_only(array)
    with pytest.raises(TypeError, match="y_true must hold whole numbers; got dtype bool"):
        MultinomialLoss(3).fit_intercept_only([True])


def test_targets_of_the_binary_loss_are_put_into_the_formula_as_they_are():
    ours, theirs = PAIRS["binomial"]
    y, raw = np.array([2.0, -1.0, np.nan]), np.array([0.5, -3.0, 1.0])
    for method in ("loss", "gradient"):
        assert_same(getattr(ours, method)(y, raw), getattr(theirs, method)(y, raw), np.float64)


PAIRS_OF_OUTPUTS = [
    ("loss_gradient", "loss_out", "gradient_out"),
    ("gradient_hessian", "gradient_out", "hessian_out"),
    ("gradient_proba", "gradient_out", "proba_out"),
]


@pytest.mark.parametrize(
    ("kind", "method", "one", "other"),
    [(kind, *case) for kind in PAIRS for case in PAIRS_OF_OUTPUTS if hasattr(PAIRS[kind][0], case[0])],
)
def test_of_two_outputs_the_one_that_does_not_fit_is_named(kind, method, one, other):
    ours, _ = PAIRS[kind]
    y, raw, _ = problem(ours, np.float64)
    for name, partner in ((one, other), (other, one)):
        good = np.full(raw.shape[:1] if partner == "loss_out" else raw.shape, 7.0)
        shape = raw.shape[:1] if name == "loss_out" else raw.shape
        for bad, words in (
            ([[0.0]], "be a NumPy array; got list"),
            ([[0.0], []], "be a NumPy array; got list"),
            (np.zeros(shape, np.float16), "have dtype float32 or float64; got float16"),
            (np.zeros((2, *shape)), re.escape(f"have shape {shape}; got")),
            (np.zeros((shape[0] + 1, *shape[1:]), np.float32), r"have shape .*; got \(78,"),
        ):
            for others in ({}, {partner: good}):
                with pytest.raises(ValueError, match=f"^{name} must {words}"):
                    getattr(ours, method)(y, raw, **{name: bad}, **others)
        assert (good == 7).all()


def test_losses_go_to_memory_that_c_cannot_take():
    for ours, _ in PAIRS.values():
        y, raw, _ = problem(ours, np.float64)
        out = np.zeros(len(y) * 8 + 1, np.uint8)[1:].view(np.float64)
        assert ours.loss(y, raw, loss_out=out) is out
        np.testing.assert_array_equal(out, ours.loss(y, raw))


def test_probabilities_of_what_does_not_fit():
    several, two = (ours for ours, _ in PAIRS.values())
    for loss in (several, two):
        with pytest.raises(TypeError, match="raw_prediction must be an array; got None"):
            loss.predict_proba(None)
        with pytest.raises(TypeError, match="raw_prediction must hold floats; got dtype int"):
            loss.predict_proba(np.zeros((3, CLASSES), int))
        for shape in ((), (3, 0), (2, 3, 4)):
            with pytest.raises(ValueError, match=r"raw_prediction must have shape \(n_samples,"):
                loss.predict_proba(np.zeros(shape))
    with pytest.raises(ValueError, match=r"raw_prediction must have shape \(n_samples,\); got \(2, 2\)"):
        two.predict_proba(np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"raw_prediction must have shape .* got \(5,\)"):
        several.predict_proba(np.zeros(CLASSES, np.longdouble))
    with pytest.raises(ValueError, match=r"n_samples, n_classes=5\); got \(2, 4\)"):
        several.predict_proba(np.zeros((2, 4)))
    np.testing.assert_array_equal(two.predict_proba([0.0, 0.0]), np.full((2, 2), 0.5))
    np.testing.assert_allclose(several.predict_proba([[1.0] * CLASSES]), np.full((1, CLASSES), 1 / CLASSES))


def test_the_gradient_may_take_the_place_of_the_raw_predictions():
    for ours, _ in PAIRS.values():
        y, raw, _ = problem(ours, np.float64)
        wanted = ours.gradient(y, raw)
        assert ours.gradient(y, raw, gradient_out=raw) is raw
        np.testing.assert_array_equal(raw, wanted)


@pytest.mark.parametrize("order", ["C", "F"])
def test_any_output_may_take_the_place_of_the_raw_predictions(order):
    for ours, _ in PAIRS.values():
        y, raw, _ = problem(ours, np.float64, order=order)
        for method, *names in PAIRS_OF_OUTPUTS:
            for name in names if hasattr(ours, method) else ():
                if name == "loss_out" and ours.is_multiclass:
                    continue  # it has another shape
                place = raw.copy("K")
                wanted = getattr(ours, method)(y, raw)
                got = getattr(ours, method)(y, place, **{name: place})
                assert place is got[names.index(name)]
                for array, other in zip(got, wanted, strict=True):
                    np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("dtype", FLOATS)
def test_views_of_the_raw_predictions_may_take_their_gradient(dtype):
    for ours, theirs in PAIRS.values():
        y, raw, _ = problem(ours, dtype)
        wanted = ours.gradient(y, raw)
        views = [lambda a: a[:]]
        if not ours.is_multiclass:
            views += [lambda a: a[:, None]]
        for given in views:
            for taken in views:
                for loss in (ours, theirs):
                    place = raw.copy()
                    loss.gradient(y, given(place), gradient_out=taken(place))
                    assert_same(place, wanted, dtype)
        column = np.ascontiguousarray(raw.reshape(len(raw), -1))
        ours.gradient(y, column, gradient_out=column)
        np.testing.assert_array_equal(column.reshape(raw.shape), wanted)
        for out in (raw[::-1][1:], raw[:-1]):
            with pytest.raises(ValueError, match="gradient_out must not overlap raw_prediction"):
                ours.gradient(y[1:], raw[1:], gradient_out=out)


def test_arrays_that_c_cannot_walk_are_copied_both_ways():
    ours = MultinomialLoss(CLASSES)
    y, raw, _ = problem(ours, np.float64)
    bytes_ = np.zeros(raw.nbytes + 1, np.uint8)
    crooked = bytes_[1:].view(np.float64).reshape(raw.shape)
    crooked[...] = raw
    np.testing.assert_array_equal(ours.gradient(y, crooked), ours.gradient(y, raw))
    out = np.zeros(raw.size * 4 + 1, np.uint8)[1:].view(np.float32).reshape(raw.shape)
    assert ours.gradient(y, raw, gradient_out=out) is out
    np.testing.assert_array_equal(out, ours.gradient(y, raw).astype(np.float32))
