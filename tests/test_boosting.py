# SPDX-License-Identifier: BSD-3-Clause
"""The boosters' objectives as functions: values, layouts, errors, copies. No booster is needed."""

from __future__ import annotations

import copy
import functools
import io
import pickle
import re
import subprocess
import sys

import boosters
import joblib
import numpy as np
import pytest

from xent_native.boosting import catboost_objective, lightgbm_objective, xgboost_objective

FACTORS = {"diagonal": 1.0, "doubled": 2.0, "friedman": 1.5}
ALL = [xgboost_objective, lightgbm_objective, catboost_objective]


def ids(value):
    return ",".join(value) or "none" if isinstance(value, dict) else getattr(value, "__name__", str(value))


@pytest.fixture
def rows(rng):
    """Labels as floats, scores of three classes, weights."""
    return (
        rng.integers(0, 3, 300).astype(np.float32),
        3 * rng.normal(size=(300, 3)),
        rng.uniform(0.5, 2, 300).astype(np.float32),
    )


@pytest.mark.parametrize("options", boosters.OPTIONS, ids=ids)
@pytest.mark.parametrize("weighted", [False, True])
def test_xgboost_is_row_major_float32(rows, options, weighted):
    y, x, weight = rows
    weight = weight if weighted else None
    x = x.astype(np.float32)
    grad, hess = xgboost_objective(**options)(y, x, weight)
    expected, whole = boosters.grad_and_hess(y, x.astype(float), options, weight)
    for found in (grad, hess):
        assert found.dtype == np.float32
        assert found.flags.c_contiguous
    np.testing.assert_allclose(grad, expected, atol=4e-6, rtol=0)
    np.testing.assert_allclose(hess, 2 * np.diagonal(whole, axis1=1, axis2=2), atol=4e-6, rtol=0)


@pytest.mark.parametrize("options", boosters.OPTIONS, ids=ids)
@pytest.mark.parametrize("classes", [3, 130])
def test_lightgbm_is_column_major_and_rounded_once(rng, options, classes):
    y = rng.integers(0, 3, 300).astype(np.float32)
    x = np.asfortranarray(2 * rng.normal(size=(300, classes)))
    if isinstance(options.get("class_weight"), list):
        options = {**options, "class_weight": dict(enumerate(options["class_weight"]))}
    grad, hess = lightgbm_objective(**options)(y, x)
    expected, whole = boosters.grad_and_hess(y, x, options)
    for found in (grad, hess):
        assert found.dtype == np.float32
        assert found.flags.f_contiguous
        assert found.shape == x.shape
    np.testing.assert_allclose(grad, expected, rtol=1e-7, atol=1e-12)
    factor = classes / (classes - 1)
    np.testing.assert_allclose(hess, factor * np.diagonal(whole, axis1=1, axis2=2), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("options", boosters.OPTIONS, ids=ids)
def test_catboost_has_the_whole_hessian_of_the_negative_loss(rows, options):
    y, x, weight = rows
    expected, whole = boosters.grad_and_hess(y, x, options, weight.astype(float))
    objective = catboost_objective(**options)
    for i in range(40):
        ders, second = objective.calc_ders_multi(x[i], float(y[i]), float(weight[i]))
        np.testing.assert_allclose(ders, -expected[i], rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(second, -whole[i], rtol=1e-11, atol=1e-14)


def test_catboost_rows_of_many_classes(rng):
    x = rng.normal(size=(1, 60))
    ders, second = catboost_objective().calc_ders_multi(x[0], 7.0, 1.0)
    expected, whole = boosters.grad_and_hess(np.array([7]), x, {})
    np.testing.assert_allclose(ders, -expected[0], rtol=1e-12)
    np.testing.assert_allclose(second, -whole[0], rtol=1e-12)


def test_a_sure_row_has_a_whole_hessian_too():
    """Where p rounds to 1, its distance from it does not round to 0."""
    x = np.array([[60.0, 0.0, 1.0]])
    _, second = catboost_objective().calc_ders_multi(x[0], 0.0, 1.0)
    e = np.exp(np.array([0.0, -60.0, -59.0]))
    others = e[1] + e[2]
    np.testing.assert_allclose(second[0], [-others, e[1], e[2]], rtol=1e-13)
    np.testing.assert_allclose(np.sum(second, axis=1), 0, atol=1e-40)


@pytest.mark.parametrize("form", FACTORS)
def test_forms_of_the_hessian(rows, form):
    y, x, _ = rows
    _, whole = boosters.grad_and_hess(y, x, {})
    expected = FACTORS[form] * np.diagonal(whole, axis1=1, axis2=2)
    np.testing.assert_allclose(xgboost_objective(hessian=form)(y, x)[1], expected, rtol=1e-11)
    np.testing.assert_allclose(lightgbm_objective(hessian=form)(y, x)[1], expected, rtol=1e-6)
    second = catboost_objective(hessian=form).calc_ders_multi(x[0], float(y[0]), 1.0)[1]
    np.testing.assert_allclose(second, -np.diag(expected[0]), rtol=1e-11)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"label_smoothing": 0.2},
        {"class_weight": [0.5, 2.0]},
        {"class_weight": {0: 0.0}},
        {"gamma": 2.0},
        {"hessian": "friedman"},
        {"gamma": 1.5, "label_smoothing": 0.1, "class_weight": {1: 3.0}},
    ],
    ids=ids,
)
@pytest.mark.parametrize("weighted", [False, True])
def test_one_score_a_row_is_that_of_the_second_of_two_classes(rng, options, weighted):
    y, z = rng.integers(0, 2, 1000).astype(np.float32), 3 * rng.normal(size=1000)
    weight = rng.uniform(0.5, 2, 1000).astype(np.float32) if weighted else None
    grad, whole = boosters.grad_and_hess(y, np.stack([0 * z, z], 1), options, weight)
    hess = whole[:, 1, 1] * (2.0 if options.get("hessian") else 1.0)
    ours = xgboost_objective(**options)(y, z, weight)
    column = xgboost_objective(**options)(y, z[:, None], weight)
    ders = catboost_objective(**options).calc_ders_range(z, y, weight)
    np.testing.assert_allclose(ours[0], grad[:, 1], rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(ours[1], hess, rtol=1e-11, atol=1e-15)
    assert column[0].shape == (1000, 1)
    assert column[0][:, 0].tobytes() == ours[0].tobytes()
    np.testing.assert_allclose(ders, -np.stack(ours, 1), rtol=1e-11, atol=1e-15)
    of_lightgbm = lightgbm_objective(**options)(y, z, weight)
    assert of_lightgbm[0].dtype == np.float32
    np.testing.assert_allclose(of_lightgbm[0], grad[:, 1], rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(of_lightgbm[1], hess, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "weights",
    [[1e-40, 1], [1, 1e-40], [1e-30, 1e30], [1e30, 1e-30], [1e-320, 1], [1e-200, 1e200], [1e200, 1e-200], [0, 1],
     [1, 0], [0, 0], [-1, 1], [1, -1], [-2, -3]],
    ids=str,
)  # fmt: skip
def test_class_weights_of_one_score_a_row_whatever_their_ratio(rng, weights, dtype):
    """What two scores a row give: weights that the dtype can hold are never lost in their ratio."""
    y, z = rng.integers(0, 2, 100).astype(np.float32), rng.normal(size=100).astype(dtype)
    with np.errstate(all="ignore"):
        weights = np.array(weights, np.float64).astype(dtype)
    objective = xgboost_objective(class_weight=weights, hessian="diagonal")
    found = objective(y, z)
    both = objective(y, np.stack([0 * z, z], 1))
    for one, two in zip(found, both, strict=True):
        np.testing.assert_allclose(one, two[:, 1], rtol=1e-5 if dtype == np.float32 else 1e-12)
    if dtype == np.float64:
        p, factor = 1 / (1 + np.exp(-z)), weights[y.astype(int)]
        tiny = np.finfo(dtype).tiny  # below, the gradient has fewer digits
        np.testing.assert_allclose(found[0], factor * (p - y), rtol=1e-12, atol=tiny)
        np.testing.assert_allclose(found[1], factor * p * (1 - p), rtol=1e-12, atol=tiny)


@pytest.mark.parametrize("options", boosters.OPTIONS, ids=ids)
def test_the_metric_is_the_mean_loss(rows, options):
    y, x, weight = rows
    expected = boosters.losses(y, x, options)
    assert np.isclose(xgboost_objective(**options).cross_entropy(y, x), expected.mean(), rtol=1e-12)
    mean = np.average(expected, weights=weight)
    assert lightgbm_objective(**options).cross_entropy(y, x, weight) == (
        "cross_entropy",
        pytest.approx(mean, rel=1e-12),
        False,
    )
    objective = catboost_objective(**options)
    error, total = objective.evaluate(tuple(x.T), y, weight)
    assert np.isclose(objective.get_final_error(error, total), mean, rtol=1e-12)
    assert np.isclose(objective.get_final_error(*objective.evaluate(tuple(x.T), y)), expected.mean())
    assert not objective.is_max_optimal()


def test_the_metric_of_one_score_a_row(rng):
    y, z = rng.integers(0, 2, 50), rng.normal(size=50)
    expected = boosters.losses(y, np.stack([0 * z, z], 1), {}).mean()
    for raw in (z, z[:, None]):
        assert np.isclose(xgboost_objective().cross_entropy(y, raw), expected, rtol=1e-12)


def test_probabilities_of_scores(rng):
    x, z = rng.normal(size=(20, 4)), rng.normal(size=20)
    np.testing.assert_allclose(lightgbm_objective().proba(x), np.exp(boosters.log_softmax(x)), rtol=1e-12)
    both = np.exp(boosters.log_softmax(np.stack([0 * z, z], 1)))
    np.testing.assert_allclose(lightgbm_objective().proba(z), both, rtol=1e-12)
    np.testing.assert_allclose(lightgbm_objective().proba(z[:, None]), both, rtol=1e-12)


def test_the_average_is_where_the_gradient_is_zero(rng):
    y, weight = rng.integers(0, 3, 500), rng.uniform(0.5, 2, 500)
    for options in boosters.OPTIONS[:3]:
        objective = lightgbm_objective(**options, hessian="diagonal")
        scores = np.tile(objective.init_score(y, weight), (500, 1))
        assert np.abs(objective(y, scores, weight)[0].sum(axis=0, dtype=float)).max() < 1e-4
        margins = np.tile(xgboost_objective(**options).base_score(y, weight), (500, 1))
        np.testing.assert_allclose(objective.proba(margins), objective.proba(scores), rtol=1e-12)
    assert abs(sum(xgboost_objective().base_score(y))) < 1e-12
    assert np.isclose(xgboost_objective().base_score(y > 0), np.mean(y > 0))
    assert lightgbm_objective().average([0, 0], num_class=3).tolist() == [0.0, np.log(1e-15), np.log(1e-15)]


@pytest.mark.parametrize("make", ALL, ids=ids)
def test_copies(make, rng):
    """As pickle, joblib, copy and scikit-learn make them; and what is shown of them."""
    objective = make(
        label_smoothing=0.1, class_weight=[1.0, 2.0, 3.0], gamma=1.0, hessian="diagonal", n_threads=1
    )
    file = io.BytesIO()
    joblib.dump(objective, file)
    file.seek(0)
    copies = [pickle.loads(pickle.dumps(objective)), copy.deepcopy(objective), joblib.load(file)]
    copies.append(type(objective).from_config(objective.get_config()))
    for one in copies:
        assert type(one) is type(objective)
        assert one.get_config() == objective.get_config()
    shown = "label_smoothing=0.1, class_weight=[1.0, 2.0, 3.0], gamma=1.0, hessian='diagonal', n_threads=1"
    assert repr(objective) == f"{make.__name__}({shown})"
    assert repr(make()) == f"{make.__name__}()"
    for name in objective.get_config():
        with pytest.raises(AttributeError, match=f"{name} cannot be changed"):
            setattr(objective, name, 2.0)
        with pytest.raises(AttributeError, match=f"{name} cannot be deleted"):
            delattr(objective, name)


@pytest.mark.parametrize("make", ALL, ids=ids)
@pytest.mark.parametrize(
    "weights", [[1.0, 2.0, 3.0], np.array([1.0, 2.0, 3.0]), {0: 1.0, 1: 2.0, 2: 3.0}], ids=str
)
def test_whoever_gave_an_option_cannot_change_it(make, weights):
    given, gamma = copy.copy(weights), np.array(1.0)
    objective = make(class_weight=given, gamma=gamma)
    config, shown = objective.get_config(), repr(objective)
    given[0], gamma[...] = 100.0, 5.0
    objective.class_weight[0] = 100.0
    objective.get_config()["class_weight"][0] = 100.0
    expected = make(class_weight=weights, gamma=1.0).cross_entropy_of([0, 1], [[0.0, 1, 2], [1, 1, 0]])
    for one in (
        objective,
        copy.copy(objective),
        copy.deepcopy(objective),
        pickle.loads(pickle.dumps(objective)),
    ):
        assert one.get_config() == config
        assert repr(one) == shown
        assert one.cross_entropy_of([0, 1], [[0.0, 1, 2], [1, 1, 0]]) == expected


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"label_smoothing": 2}, ValueError, r"label_smoothing must lie in \[0, 1\]; got 2"),
        ({"label_smoothing": "no"}, TypeError, "label_smoothing must be a number"),
        ({"gamma": -1}, ValueError, "gamma must be a finite number, at least 0; got -1"),
        ({"hessian": "exact"}, ValueError, "hessian must be one of .*'doubled'.* or None; got 'exact'"),
        ({"class_weight": 2.0}, ValueError, "class_weight must have one number per class; got 2.0"),
        ({"n_threads": 0}, ValueError, "n_threads"),
        ({"alpha": 1}, TypeError, "alpha"),
    ],
    ids=ids,
)
@pytest.mark.parametrize("make", ALL, ids=ids)
def test_bad_options(make, options, error, message):
    with pytest.raises(error, match=message):
        make(**options)


@pytest.mark.parametrize("make", ALL[:2], ids=ids)
@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0, 1, 3], IndexError, r"y_true must lie in \[0, 3\); got 3 at index 2"),
        ([0, -1, 1], IndexError, r"y_true must lie in \[0, 3\); got -1 at index 1"),
        ([0, 1.5, 1], ValueError, "y_true must hold whole numbers; got 1.5 at index 1"),
        ([0, 1, np.nan], ValueError, "y_true must hold whole numbers; got nan at index 2"),
        ([0, 1], ValueError, r"y_true must have shape \(3,\), one label per row; got \(2,\)"),
    ],
)
def test_bad_labels(make, labels, error, message):
    for dtype in (np.float32, np.float64):
        with pytest.raises(error, match=message):
            make()(np.array(labels, dtype), np.zeros((3, 3)))


def test_bad_labels_of_two_classes():
    for make in ALL[:2]:
        with pytest.raises(IndexError, match=r"y_true must lie in \[0, 2\); got 2 at index 1"):
            make()(np.array([0, 2], np.float32), np.zeros(2))
        with pytest.raises(ValueError, match=r"whole numbers; got 0\.5 at index 0"):
            make(gamma=2.0)(np.array([0.5, 1], np.float32), np.zeros(2))
    with pytest.raises(IndexError, match="got 2 at index 1"):
        catboost_objective().calc_ders_range(np.zeros(2), np.array([0, 2], np.float32))
    with pytest.raises(ValueError, match=r"whole numbers; got 0\.5"):
        catboost_objective().calc_ders_multi(np.zeros(3), 0.5, 1.0)
    with pytest.raises(IndexError, match=r"\[0, 3\); got 3"):
        catboost_objective().calc_ders_multi(np.zeros(3), 3.0, 1.0)


def test_bad_arrays():
    y = np.zeros(3, np.float32)
    for make in ALL[:2]:
        with pytest.raises(ValueError, match=r"y_pred must have shape \(N,\) or \(N, K\); got \(3, 2, 2\)"):
            make()(y, np.zeros((3, 2, 2)))
        with pytest.raises(
            ValueError, match=r"sample_weight must have shape \(3,\), one per row; got \(2,\)"
        ):
            make()(y, np.zeros((3, 2)), np.ones(2))
        with pytest.raises(ValueError, match=r"class_weight must have shape \(2,\)"):
            make(class_weight=[1.0, 1.0, 1.0])(y, np.zeros((3, 2)))
    for make in ALL:
        for method in (make().proba, functools.partial(make().cross_entropy_of, y)):
            for shape in ((), (3, 0), (3, 2, 2)):
                found = re.escape(f"raw must have shape (N,) or (N, K); got {shape}")
                with pytest.raises(ValueError, match=found):
                    method(np.zeros(shape))
    with pytest.raises(ValueError, match="binary must be false with 3 classes"):
        xgboost_objective().base_score([0, 1, 2], binary=True)
    with pytest.raises(ValueError, match="y must have at least one label"):
        xgboost_objective().average([])
    with pytest.raises(ValueError, match=r"y must hold whole numbers; got 0\.5 at index 1"):
        xgboost_objective().average([0, 0.5])
    with pytest.raises(IndexError, match=r"y must lie in \[0, 2\)"):
        xgboost_objective().average([0, 2], num_class=2)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("3",), TypeError, r"num_class must be an integer in \[2, 2147483647\]; got '3'"),
        ((2.5,), TypeError, r"num_class must be an integer in \[2, 2147483647\]; got 2\.5"),
        ((1,), ValueError, r"num_class must be an integer in \[2, 2147483647\]; got 1"),
        ((2,), ValueError, "n_features must be the number of columns .*; got None"),
        ((2, "4"), TypeError, "n_features must be an integer of at least 1; got '4'"),
        ((2, 0), ValueError, "n_features must be an integer of at least 1; got 0"),
    ],
)
def test_bad_parameters_of_catboost(arguments, error, message):
    with pytest.raises(error, match=message):
        catboost_objective().params(*arguments)


def test_class_weights_may_be_any_numbers():
    """As in the losses: no weight is refused for its value, and each does what the formula says."""
    y, x = np.array([0, 1], np.float32), np.zeros((2, 3))
    plain, hess = xgboost_objective()(y, x)
    grad, curved = xgboost_objective(class_weight=[-1.0, np.nan, 1.0])(y, x)
    assert grad[0].tolist() == (-plain[0]).tolist()
    assert curved[0].tolist() == (-hess[0]).tolist()
    assert np.isnan(grad[1]).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([0, np.inf],), ValueError, "y must hold whole numbers; got inf at index 1"),
        (
            ([0, 10**12],),
            ValueError,
            r"y must lie in \[0, 1048576\), or num_class must be given; got 1000000000000 at",
        ),
        (
            ([0.0, 1e300],),
            ValueError,
            r"or num_class must be given; got 1e\+300 at index 1",
        ),
        ((np.array([0, 2**63 + 1], np.uint64),), ValueError, "given; got 9223372036854775809 at index 1"),
        (
            (np.array([0, 2**64 - 1], np.uint64), None, 2),
            IndexError,
            r"\[0, 2\); got 18446744073709551615 at index 1",
        ),
        (([0, -1],), IndexError, r"y must lie in \[0, 1\); got -1 at index 1"),
        (([0, 1], None, "3"), TypeError, r"num_class must be an integer in \[1, 2147483647\]; got '3'"),
        (([0, 1], None, 0), ValueError, r"num_class must be an integer in \[1, 2147483647\]; got 0"),
        (([0, 1], None, 2**70), ValueError, r"num_class must be an integer in \[1, "),
        (([0, 1], [0, 0]), ValueError, r"sample_weight must have a finite sum .*, other than 0; got 0\.0"),
        (([0, 1], [1, np.nan]), ValueError, "sample_weight must have a finite sum .*; got nan"),
    ],
    ids=str,
)
def test_bad_labels_of_an_average(arguments, error, message):
    for find in (
        xgboost_objective().average,
        xgboost_objective().base_score,
        lightgbm_objective().init_score,
    ):
        with pytest.raises(error, match=message):
            find(*arguments)


def test_class_weights_that_leave_nothing_to_average():
    for weights in ([0, 0, 0], {0: 0, 1: 0}, [1, -1, 0], [np.nan, 1, 1]):
        with pytest.raises(
            ValueError, match="class_weight must have a finite sum over the labels of y, other than 0"
        ):
            xgboost_objective(class_weight=weights).base_score([0, 1], num_class=3)


def test_labels_of_one_class():
    for find in (xgboost_objective().base_score, lightgbm_objective().init_score):
        with pytest.raises(
            ValueError, match="num_class must be at least 2, or binary false; got None for labels y"
        ):
            find([0, 0])
        with pytest.raises(
            ValueError, match="num_class must be at least 2, or binary false; got 1 for labels y"
        ):
            find([0, 0], num_class=1, binary=True)
    assert np.isclose(xgboost_objective().base_score([0, 0], num_class=2), 1e-6)
    assert xgboost_objective().base_score([0, 0], binary=False) == [0.0]


def test_catboost_takes_lists_and_numbers_of_any_type():
    expected = catboost_objective().calc_ders_multi(np.array([0.0, 1.0, 2.0]), 1.0, 2.0)
    for row in (
        [0, 1, 2],
        np.array([0, 1, 2], np.float32),
        np.arange(6.0)[:3],
        np.array([0, 9, 1, 9, 2, 9.0])[::2],
    ):
        assert catboost_objective().calc_ders_multi(row, np.float32(1), 2) == expected


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((None, 0.0, 1.0), TypeError, "approx must"),
        ((["a", "b"], 0.0, 1.0), TypeError, "approx must hold real numbers"),
        ((np.zeros((3, 1)), 0.0, 1.0), ValueError, r"approx must have shape \(K,\); got \(3, 1\)"),
        ((np.zeros(0), 0.0, 1.0), ValueError, r"approx must have at least one class; got shape \(0,\)"),
        ((np.zeros(3), "a", 1.0), TypeError, "target must be a number; got 'a'"),
        ((np.zeros(3), 0.0, None), TypeError, "weight must be a number; got None"),
        ((np.zeros(3), 0.5, 1.0), ValueError, r"target must hold whole numbers; got 0\.5$"),
        (
            (np.zeros(3), 1e300, 1.0),
            IndexError,
            r"target must lie in \[0, 3\); got 1e\+300$",
        ),
    ],
    ids=str,
)
def test_bad_rows_of_catboost(arguments, error, message):
    with pytest.raises(error, match=message):
        catboost_objective().calc_ders_multi(*arguments)


def test_large_labels_are_shown_short():
    with pytest.raises(IndexError, match=r"got 1e\+300 at index 0"):
        xgboost_objective()(np.array([1e300]), np.zeros((1, 3)))
    with pytest.raises(IndexError, match="got 9007199254740993 at index 0"):
        xgboost_objective()(np.array([2**53 + 1]), np.zeros((1, 3)))


def test_no_booster_is_imported():
    code = (
        "import sys, xent_native.boosting as b; b.xgboost_objective(), b.lightgbm_objective(), b.catboost_objective(); "
        "assert not {'xgboost', 'lightgbm', 'catboost', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
