# SPDX-License-Identifier: BSD-3-Clause
"""SoftmaxRegression: scikit-learn's checks, LogisticRegression's optimum, every option, dense and sparse data."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy import sparse
from sklearn import datasets
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.utils.estimator_checks import check_estimator
from threadpoolctl import threadpool_info, threadpool_limits

from xent_native.sklearn import SoftmaxRegression
from xent_native.sklearn._linear import LinearLoss, one_blas_thread

TIGHT = {"tol": 1e-9, "max_iter": 5000}


def data(rng, rows, features, classes, dtype=np.float64):
    """Features of different units and means, and labels that they tell something of."""
    X = rng.standard_normal((rows, features))
    W = 2 * rng.standard_normal((features, classes)) / np.sqrt(features)
    y = (X @ W + rng.gumbel(size=(rows, classes))).argmax(1)
    y[:classes] = np.arange(classes)
    return (X * 10.0 ** rng.uniform(-2, 2, features) + rng.standard_normal(features)).astype(dtype), y


def objective(model, X, y, C=1.0, weight=None, smoothing=0.0):
    """As the docstring has it, written down once more."""
    X = X.toarray() if sparse.issparse(X) else X
    z = X.astype(np.float64) @ model.coef_.T.astype(np.float64) + model.intercept_
    z = np.hstack([np.zeros_like(z), z]) if len(model.classes_) == 2 else z
    z = z - z.max(1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    t = (y[:, None] == model.classes_) * (1 - smoothing) + smoothing / z.shape[1]
    losses = -(t * log_p).sum(1)
    return (
        C * (losses if weight is None else weight * losses).sum()
        + 0.5 * (model.coef_.astype(np.float64) ** 2).sum()
    )


def test_check_estimator():
    found = check_estimator(SoftmaxRegression(), on_fail="raise", on_skip=None)
    assert len(found) > 55
    assert all(check["status"] != "failed" for check in found)
    # skipped: what needs an environment variable before SciPy is imported
    assert {check["check_name"] for check in found if check["status"] == "skipped"} <= {
        "check_array_api_input"
    }


def test_check_estimator_with_array_api():
    """The check that the other test skips: SciPy looks at its variable once, when it is imported."""
    code = """if True:
        from sklearn.utils.estimator_checks import check_estimator
        from xent_native.sklearn import SoftmaxRegression

        found = check_estimator(SoftmaxRegression(), on_fail="raise", on_skip=None)
        assert {check["status"] for check in found} == {"passed"}, found
    """
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "SCIPY_ARRAY_API": "1"}, timeout=300
    )


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits"])
def test_optimum_of_logistic_regression(name):
    """That which LogisticRegression finds by Newton's method, to the last digits."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    model = SoftmaxRegression(**TIGHT).fit(X, y)
    with threadpool_limits(1):
        theirs = LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=300).fit(X, y)
    assert abs(objective(model, X, y) / objective(theirs, X, y) - 1) < 1e-8
    assert model.coef_.shape == theirs.coef_.shape
    assert (model.predict(X) == theirs.predict(X)).mean() > 0.999


@pytest.mark.parametrize(
    ("classes", "kind", "fit_intercept"),
    [
        (2, np.asarray, True), (2, np.asarray, False), (2, sparse.csr_array, True), (2, sparse.csr_array, False),
        (3, np.asarray, True), (3, np.asarray, False), (3, sparse.csr_matrix, True), (3, sparse.coo_array, False),
        (34, np.asarray, True), (34, sparse.csr_array, True),  # so many that products have the classes last
    ],
)  # fmt: skip
def test_options_give_the_same_optimum(classes, kind, fit_intercept, rng):
    X, y = data(rng, 400, 6, classes)
    X[rng.random(X.shape) < 0.5] = 0
    w = rng.integers(0, 4, 400).astype(float)
    options = {"C": 0.3, "fit_intercept": fit_intercept, "class_weight": {0: 3.0, 1: 0.5}}
    model = SoftmaxRegression(**options, **TIGHT).fit(kind(X), y, w)
    theirs = LogisticRegression(**options, solver="newton-cholesky", tol=1e-12, max_iter=300).fit(X, y, w)
    weight = w * np.select([y == 0, y == 1], [3.0, 0.5], 1.0)
    ours, best = objective(model, X, y, 0.3, weight), objective(theirs, X, y, 0.3, weight)
    assert abs(ours / best - 1) < 1e-8
    if not fit_intercept:
        assert (model.intercept_ == 0).all()
    Xs = kind(X)
    np.testing.assert_allclose(model.predict_proba(Xs), theirs.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(Xs)), model.predict_proba(Xs), rtol=1e-12)
    z = model.decision_function(Xs)
    assert z.shape == ((400,) if classes == 2 else (400, classes))
    assert (model.predict(Xs) == ((z > 0) if classes == 2 else z.argmax(1))).all()


@pytest.mark.parametrize("classes", [2, 5, 40])
@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradient_and_curvature(classes, is_sparse, smoothing, rng):
    """By differences: with h the step, the error of a central one is of the size of h^2, and of rounding over h."""
    X, y = data(rng, 3000, 7, classes)
    w = rng.random(3000)
    weight_sum, h = w.sum(), 1e-5
    X = X / np.abs(X).max(0)
    loss = LinearLoss(sparse.csr_array(X) if is_sparse else X, y, w, classes, smoothing, 2)
    W, b = 0.1 * rng.standard_normal((loss.outputs, 7)), 0.1 * rng.standard_normal(loss.outputs)
    _, grad_W, grad_b = loss.value_and_grad(W, b)
    _, hess_W, hess_b = loss.curvature(W, b)
    row, column = loss.outputs - 1, 3
    for index in (row, column), (0, 0):
        step = np.zeros_like(W)
        step[index] = h
        up, down = loss.value_and_grad(W + step, b), loss.value_and_grad(W - step, b)
        assert abs((up[0] - down[0]) / (2 * h) - grad_W[index]) < 1e-8 * weight_sum
        assert abs((up[1] - down[1])[index] / (2 * h) - hess_W[index]) < 1e-8 * weight_sum
    step = np.zeros_like(b)
    step[row] = h
    up, down = loss.value_and_grad(W, b + step), loss.value_and_grad(W, b - step)
    assert abs((up[0] - down[0]) / (2 * h) - grad_b[row]) < 1e-8 * weight_sum
    assert abs((up[2] - down[2])[row] / (2 * h) - hess_b[row]) < 1e-8 * weight_sum
    mean, variance, _ = loss.moments()
    expected = np.average(X, 0, w)
    np.testing.assert_allclose(mean, expected, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(variance, np.average((X - expected) ** 2, 0, w), rtol=1e-9)


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("classes", [2, 5, 40])
def test_threads_do_not_change_the_bits(is_sparse, classes, rng):
    X, y = data(rng, 30000, 12, classes)
    X = sparse.csr_array(np.where(rng.random(X.shape) < 0.8, 0, X)) if is_sparse else X
    fits = [SoftmaxRegression(n_threads=n, max_iter=8, tol=1e-2).fit(X, y) for n in (1, 2, 5)]
    for other in fits[1:]:
        assert (other.coef_ == fits[0].coef_).all()
        assert (other.intercept_ == fits[0].intercept_).all()


def test_float32(rng):
    """The same optimum but for the rounding of logits to 2^-24 of their size, which are up to some tens."""
    X, y = data(rng, 2000, 8, 4, np.float32)
    model = SoftmaxRegression(tol=1e-5).fit(X, y)
    exact = SoftmaxRegression(**TIGHT).fit(X.astype(np.float64), y)
    assert model.coef_.dtype == model.intercept_.dtype == model.predict_proba(X).dtype == np.float32
    assert 0 <= objective(model, X, y) / objective(exact, X.astype(np.float64), y) - 1 < 1e-5


def test_label_smoothing(rng):
    """The optimum: no step from it makes the objective smaller; and less confident."""
    X, y = data(rng, 500, 5, 3)
    for classes in (3, 2):
        y = y % classes
        smooth = SoftmaxRegression(label_smoothing=0.2, **TIGHT).fit(X, y)
        best = objective(smooth, X, y, smoothing=0.2)
        other = clone(smooth).fit(X, y)
        for _ in range(10):
            other.coef_ = smooth.coef_ * (1 + 1e-3 * rng.standard_normal(smooth.coef_.shape))
            assert objective(other, X, y, smoothing=0.2) > best
        plain = SoftmaxRegression(**TIGHT).fit(X, y)
        assert smooth.predict_proba(X).max(1).mean() < plain.predict_proba(X).max(1).mean()
        assert objective(plain, X, y, smoothing=0.2) > best


def test_units_do_not_matter(rng):
    """Without a penalty a model of other units is the same model, found in as many iterations."""
    X, y = data(rng, 600, 5, 3)
    options = {"C": np.inf, "tol": 1e-7, "max_iter": 1000}
    one = SoftmaxRegression(**options).fit(X, y)
    other = SoftmaxRegression(**options).fit(X * [1e6, 1e-5, 1, 30, 1e3] + [1e3, 0, -4, 1, 0], y)
    assert abs(one.n_iter_[0] - other.n_iter_[0]) <= 3
    np.testing.assert_allclose(
        one.decision_function(X),
        other.decision_function(X * [1e6, 1e-5, 1, 30, 1e3] + [1e3, 0, -4, 1, 0]),
        atol=1e-3,
    )


def test_features_that_say_nothing(rng):
    """Constant, zero and huge constant columns."""
    X, y = data(rng, 300, 4, 3)
    more = np.column_stack([X, np.zeros(300), np.full(300, 1e8), np.ones(300)])
    for C in (1.0, np.inf):
        model = SoftmaxRegression(C=C).fit(X, y)
        wide = SoftmaxRegression(C=C).fit(more, y)
        np.testing.assert_allclose(
            wide.coef_[:, :4], model.coef_, rtol=1e-3, atol=1e-3 * np.abs(model.coef_).max()
        )
        assert (wide.coef_[:, 4] == 0).all()
        np.testing.assert_allclose(wide.predict_proba(more), model.predict_proba(X), atol=1e-3)


def test_warm_start(rng):
    X, y = data(rng, 500, 6, 4)
    model = SoftmaxRegression(warm_start=True, tol=1e-6).fit(X, y)
    first = model.n_iter_[0]
    assert model.fit(X, y).n_iter_[0] <= 1 < first
    model.fit(X, y % 2)  # other classes: from the start
    assert model.coef_.shape == (1, 6)


def test_convergence_warning(rng):
    X, y = data(rng, 500, 6, 4)
    with pytest.warns(
        ConvergenceWarning, match=r"failed to converge after 2 iteration.*\n(.*\n)*.*max_iter=2"
    ) as caught:
        SoftmaxRegression(max_iter=2).fit(X, y)
    assert caught[0].filename == __file__
    with pytest.warns(ConvergenceWarning) as caught:
        SoftmaxRegression(max_iter=2).partial_fit(X, y, classes=range(4))
    assert caught[0].filename == __file__
    assert SoftmaxRegression().fit(X, y).n_iter_.tolist()[0] > 2


@pytest.mark.parametrize("classes", [2, 4])
def test_partial_fit(classes, rng):
    """The first batch is a fit; then a batch is a fit with the Gaussian of what is known as its prior."""
    X, y = data(rng, 4000, 5, classes)
    names = np.array(["d", "c", "b", "a"])[:classes]
    y = names[y]
    model = SoftmaxRegression(tol=1e-7).partial_fit(X[:500], y[:500], classes=names)
    whole = SoftmaxRegression(tol=1e-7).fit(X, y)
    first = SoftmaxRegression(tol=1e-7).fit(X[:500], y[:500])
    assert (model.coef_ == first.coef_).all()
    assert model.classes_.tolist() == sorted(names)
    losses = [log_loss(y, model.predict_proba(X))]
    for start in range(500, 4000, 500):
        model.partial_fit(X[start : start + 500], y[start : start + 500])
    losses.append(log_loss(y, model.predict_proba(X)))
    best = log_loss(y, whole.predict_proba(X))
    # A diagonal leaves out what features have in common: near the fit to all data, but not there.
    assert losses[1] - best < 0.5 * (losses[0] - best)
    before = model.coef_.copy()
    model.partial_fit(X[:1], y[:1])  # one sample of one class moves what is known by little
    assert 0 < np.abs(model.coef_ - before).max() < 0.1 * np.abs(before).max()
    first.partial_fit(sparse.csr_array(X[500:]), y[500:], classes=names)  # after fit it goes on
    assert log_loss(y, first.predict_proba(X)) - best < 0.5 * (losses[0] - best)
    again = pickle.loads(pickle.dumps(first)).partial_fit(X[:9], y[:9])
    assert (again.coef_ == first.partial_fit(X[:9], y[:9]).coef_).all()


def test_partial_fit_of_one_batch_minimises_what_it_says(rng):
    X, y = data(rng, 300, 3, 3)
    model = SoftmaxRegression(**TIGHT).partial_fit(X[:200], y[:200], classes=range(3))
    old, (q, q_b) = pickle.loads(pickle.dumps(model)), model._precision
    model.partial_fit(X[200:], y[200:])

    def value(coef, intercept):
        moved = pickle.loads(pickle.dumps(model))
        moved.coef_, moved.intercept_ = coef, intercept
        data_term = objective(moved, X[200:], y[200:]) - 0.5 * (coef**2).sum()
        pull = (q * (coef - old.coef_) ** 2).sum() + (q_b * (intercept - old.intercept_) ** 2).sum()
        return data_term + 0.5 * pull

    best = value(model.coef_, model.intercept_)
    for _ in range(10):
        size = 1e-3 * np.abs(model.coef_)
        step, step_b = size * rng.standard_normal((3, 3)), 1e-3 * rng.standard_normal(3)
        for sign in (1, -1):
            assert value(model.coef_ + sign * step, model.intercept_ + sign * step_b) > best


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"C": 0}, ValueError, "C must be a number above 0"),
        ({"C": "1"}, TypeError, "C must be a number above 0"),
        ({"C": np.nan}, ValueError, "C must"),
        ({"tol": -1}, ValueError, "tol must"),
        ({"tol": None}, TypeError, "tol must"),
        ({"max_iter": 0}, ValueError, "max_iter must be an integer of at least 1"),
        ({"max_iter": 2.5}, TypeError, "max_iter must"),
        ({"label_smoothing": 1.5}, ValueError, "label_smoothing must"),
        ({"n_threads": 0}, ValueError, "n_threads must"),
        ({"C": 1e-310}, ValueError, "C must be a number whose inverse is finite"),
        ({"class_weight": "even"}, ValueError, "class_weight"),
        ({"class_weight": {0: np.nan}}, ValueError, "class_weight must .* got nan for the label 0"),
        ({"class_weight": {0: 1, 1: -1}}, ValueError, "class_weight must .* got -1 for the label 1"),
        ({"class_weight": {0: "a"}}, ValueError, "class_weight must .* got 'a'"),
        ({"class_weight": {0: 0, 1: 0}}, ValueError, "finite sum above 0; got a sum of 0"),
        ({"fit_intercept": "no"}, TypeError, "fit_intercept must be True or False"),
        ({"warm_start": "no"}, TypeError, "warm_start must be True or False"),
    ],
)
def test_bad_options(options, error, text):
    with pytest.raises(error, match=text):
        SoftmaxRegression(**options).fit([[0.0], [1.0]], [0, 1])


def test_bad_data():
    X, y = np.eye(4), [0, 1, 2, 1]
    model = SoftmaxRegression()
    with pytest.raises(NotFittedError):
        model.predict(X)
    with pytest.raises(ValueError, match="at least two classes; got one class"):
        model.fit(X, [1, 1, 1, 1])
    with pytest.raises(ValueError, match="classes must be given in the first call"):
        model.partial_fit(X, y)
    with pytest.raises(ValueError, match="at least two labels"):
        model.partial_fit(X, y, classes=[1])
    with pytest.raises(ValueError, match="one dimension"):
        model.partial_fit(X, y, classes=[[0, 1], [2, 3]])
    with pytest.raises(ValueError, match=r"y must hold labels in classes.*got array\(\[2\]\)"):
        model.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="balanced"):
        SoftmaxRegression(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        model.fit(X, y, sample_weight=[1, 1, -1, 1])
    with pytest.raises(ValueError, match="finite sum above 0"):
        SoftmaxRegression(class_weight={2: 0}).fit(X, y, sample_weight=[0, 0, 1, 0])
    model.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="classes must be those of the first call"):
        model.partial_fit(X, y, classes=[0, 1, 2, 3])


def test_balanced_classes(rng):
    X, y = data(rng, 500, 4, 3)
    ours = SoftmaxRegression(class_weight="balanced", **TIGHT).fit(X, y)
    theirs = LogisticRegression(
        class_weight="balanced", tol=1e-12, max_iter=300, solver="newton-cholesky"
    ).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)


def test_blas_threads_come_back(rng):
    X, y = data(rng, 300, 4, 3)
    before = [library["num_threads"] for library in threadpool_info()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SoftmaxRegression().fit(X, y)
    assert [library["num_threads"] for library in threadpool_info()] == before


def test_a_refused_fit_leaves_the_last_one(rng):
    X, y = data(rng, 90, 4, 3)
    model = SoftmaxRegression().fit(X, y)
    before = model.predict(X)
    with pytest.raises(ValueError, match="finite sum"):
        SoftmaxRegression.fit(model.set_params(class_weight={0: 0, 1: 0}), X, y % 2)
    assert (model.predict(X) == before).all()


def test_blas_has_its_threads_again_after_fits_at_once():
    """One fit begins within another, and ends after it."""
    inside, ended = threading.Event(), threading.Event()

    def outer():
        with one_blas_thread():
            inside.set()
            ended.wait(60)

    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = threads()
    thread = threading.Thread(target=outer)
    with one_blas_thread():
        thread.start()
        assert inside.wait(60)
        assert set(threads()) <= {1}
    assert set(threads()) <= {1}
    ended.set()
    thread.join()
    assert threads() == before
