# SPDX-License-Identifier: BSD-3-Clause
"""patch_sklearn(): scikit-learn's own estimators on our kernels, equal results, undone exactly.

scikit-learn's own tests run while it is patched in tests/hosts/sklearn_suite.py.
"""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.9")

import sklearn.metrics
from sklearn._loss.loss import HalfBinomialLoss, HalfMultinomialLoss
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer, log_loss

from xent_native import _core
from xent_native.sklearn import patch_sklearn, unpatch_sklearn

CLASSES = (HalfMultinomialLoss, HalfBinomialLoss)


@pytest.fixture(autouse=True)
def unpatched():
    """Before and after each test everything is as scikit-learn has it."""
    unpatch_sklearn()
    before = state()
    yield
    unpatch_sklearn()
    assert state() == before


def state():
    """What a patch changes, in order."""
    cells = [cell.cell_contents for cell in log_loss.__closure__]
    methods = [[item for item in vars(owner).items() if not item[0].startswith("__")] for owner in CLASSES]
    return methods, cells  # pickle adds a name of its own to the classes that it meets


def is_patched():
    return HalfBinomialLoss.gradient.__module__.startswith("xent_native")


@pytest.fixture
def calls(monkeypatch):
    """The kernels that were called, by name."""
    found = []
    for name in ("cross_entropy", "binary_cross_entropy", "score_probabilities"):
        kernel = getattr(_core, name)

        def counted(*args, kernel=kernel, name=name):
            found.append(name)
            return kernel(*args)

        monkeypatch.setattr(_core, name, counted)
    return found


ESTIMATORS = [
    LogisticRegression(max_iter=300),
    LogisticRegression(solver="newton-cg", C=0.1),
    LogisticRegression(solver="newton-cholesky"),
    HistGradientBoostingClassifier(max_iter=3, random_state=0),
    GradientBoostingClassifier(n_estimators=3, random_state=0),
]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: str(e)[:44])
def test_estimators_use_our_kernels_and_give_the_same(estimator, calls):
    for load, kernel in ((load_iris, "cross_entropy"), (load_breast_cancer, "binary_cross_entropy")):
        X, y = load(return_X_y=True)
        X = (X - X.mean(axis=0)) / X.std(axis=0)
        theirs = estimator.fit(X, y).predict_proba(X)
        assert not calls
        with patch_sklearn():
            ours = estimator.fit(X, y).predict_proba(X)
        assert kernel in calls
        calls.clear()
        # Solvers stop at a gradient of 1e-4: rounding may let one stop a step earlier.
        np.testing.assert_allclose(ours, theirs, atol=1e-5 if "Logistic" in str(estimator) else 1e-13)


def test_calibration_uses_our_kernels(calls):
    X, y = load_breast_cancer(return_X_y=True)
    model = CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=2), cv=2)
    theirs = model.fit(X, y).predict_proba(X)
    with patch_sklearn():
        ours = model.fit(X, y).predict_proba(X)
    assert calls
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_losses_that_exist_change_at_once_and_back(calls):
    loss = HalfBinomialLoss()
    y, raw = np.array([0.0, 1.0]), np.array([0.5, -3.0])
    theirs = loss.gradient(y, raw)
    with patch_sklearn():
        np.testing.assert_allclose(loss.gradient(y, raw), theirs, rtol=1e-14)
        assert calls == ["binary_cross_entropy"]
    loss.gradient(y, raw)
    assert calls == ["binary_cross_entropy"]


def test_patched_losses_take_the_columns_and_targets_that_they_took():
    """scikit-learn's own look neither at n_classes nor at the targets of the binary loss."""
    several, two = HalfMultinomialLoss(n_classes=3), HalfBinomialLoss()
    y, raw = np.arange(3.0), np.arange(12.0).reshape(3, 4)
    found = []
    for _ in range(2):
        found.append([several.gradient(y, raw), several.predict_proba(raw), two.loss(y, raw[0, :3])])
        found[-1] += [several.fit_intercept_only(y - 1), two.fit_intercept_only(y / 4)]
        patch_sklearn()
    for theirs, ours in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-14)


def test_pickles_made_while_patched_are_scikit_learns():
    X, y = load_iris(return_X_y=True)
    with patch_sklearn():
        made = pickle.dumps(HistGradientBoostingClassifier(max_iter=2).fit(X, y))
    assert b"xent_native" not in made
    assert pickle.loads(made).predict_proba(X).shape == (len(X), 3)


def test_metrics_are_reached_by_every_name(calls):
    """Names that were imported before, scorers, and functions that call them; what is checked stays scikit-learn's."""
    y, p = [0, 1, 1], np.array([[0.8, 0.2], [0.3, 0.7], [0.1, 0.9]])
    theirs = log_loss(y, p), sklearn.metrics.d2_log_loss_score(y, p)
    X, labels = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=300).fit(X, labels)
    assert not calls
    with patch_sklearn():
        assert sklearn.metrics.log_loss is log_loss
        assert log_loss(y, p) == pytest.approx(theirs[0], rel=1e-14)
        assert calls
        calls.clear()
        assert sklearn.metrics.d2_log_loss_score(y, p) == pytest.approx(theirs[1], rel=1e-14)
        assert calls
        calls.clear()
        get_scorer("neg_log_loss")(model, X, labels)
        assert calls
        with pytest.raises(ValueError, match="'normalize' parameter of log_loss"):
            log_loss(y, p, normalize="no")
        with pytest.warns(UserWarning, match="do not sum to one"):  # what ours leaves to scikit-learn
            log_loss(y, p / 2)
    calls.clear()
    log_loss(y, p)
    assert not calls


def test_patching_twice_is_as_good_as_once():
    patch_sklearn()
    once = state()
    patch_sklearn()
    assert state() == once
    unpatch_sklearn()
    assert not is_patched()
    unpatch_sklearn()
    assert not is_patched()


def test_blocks_and_calls_that_stand():
    with patch_sklearn():
        with patch_sklearn():
            assert is_patched()
        assert is_patched()
    assert not is_patched()
    patch_sklearn()
    with patch_sklearn():
        pass
    assert is_patched()
    with patch_sklearn():
        unpatch_sklearn()
        assert not is_patched()
        patch_sklearn()
    assert is_patched()
    unpatch_sklearn()
    with pytest.raises(KeyError), patch_sklearn():
        raise KeyError
    assert not is_patched()


def test_a_patch_object_can_be_used_again_but_not_twice_at_a_time():
    patch = patch_sklearn()
    with patch:
        assert is_patched()
        with pytest.raises(RuntimeError, match="one with block at a time"), patch:
            pass
        assert is_patched()
    assert not is_patched()
    with patch:
        assert is_patched()
    assert not is_patched()


def test_a_block_that_was_not_begun_cannot_end():
    patch = patch_sklearn()
    for standing in (True, False):
        with pytest.raises(RuntimeError, match="can end a with block only inside of one"):
            patch.__exit__(None, None, None)
        assert is_patched() is standing
        with patch:
            assert is_patched()
        assert not is_patched()


def test_threads_that_come_and_go_keep_it_while_one_is_inside():
    rounds, wrong = 200, []

    def work():
        for _ in range(rounds):
            with patch_sklearn():
                if not is_patched():
                    wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not is_patched()


def test_what_others_have_patched_since_stays():
    def theirs(self):
        """Another library's."""

    patch_sklearn()
    HalfBinomialLoss.gradient = theirs
    unpatch_sklearn()
    assert HalfBinomialLoss.gradient is theirs
    del HalfBinomialLoss.gradient


@pytest.mark.parametrize("version", ["1.8.0", "1.10.dev0", "2.0"])
def test_other_versions_are_refused(version, monkeypatch):
    monkeypatch.setattr(sklearn, "__version__", version)
    with pytest.raises(RuntimeError, match=rf"knows scikit-learn 1\.9; found {version}"):
        patch_sklearn()
    assert not is_patched()
