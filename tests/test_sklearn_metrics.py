# SPDX-License-Identifier: BSD-3-Clause
"""log_loss and d2_log_loss_score: scikit-learn's values, warnings and errors, for every kind of argument."""

from __future__ import annotations

import inspect
import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

import sklearn.metrics as theirs
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.model_selection import cross_val_score

import xent_native.sklearn as ours
from xent_native.sklearn import _metrics

NAMES = ("log_loss", "d2_log_loss_score")


def outcome(function, *args, **kwargs):
    """(kind, what came, warnings): a float, or the type and the text of an error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = ("value", function(*args, **kwargs))
        except Exception as error:
            result = (type(error), str(error))
    return *result, [(w.category, str(w.message)) for w in caught]


def assert_same(name, *args, resolution=None, **kwargs):
    """Ours as theirs; values within what rounding in their dtype allows."""
    expected, found = (
        outcome(getattr(theirs, name), *args, **kwargs),
        outcome(getattr(ours, name), *args, **kwargs),
    )
    assert found[0] == expected[0]
    assert found[2] == expected[2]
    if expected[0] != "value":
        assert found[1] == expected[1]
        return
    assert type(found[1]) is float
    # Theirs rounds each logarithm, product and sum to the dtype: ours does so once at most.
    eps = resolution or np.finfo(np.float64).eps
    np.testing.assert_allclose(found[1], expected[1], rtol=40 * eps, atol=40 * eps)


def probabilities(rng, rows, classes, dtype=np.float64):
    p = rng.dirichlet(np.ones(classes), rows).astype(dtype)
    p /= p.sum(1, keepdims=True)
    return p


LABELS = {
    "integers": lambda y: y,
    "int8": lambda y: y.astype(np.int8),
    "uint64": lambda y: y.astype(np.uint64),
    "from -3": lambda y: y - 3,
    "far apart": lambda y: y * 1000003 - 7,
    "every third": lambda y: y * 3 + 5,
    "strings": lambda y: np.array([f"class {c:02}" for c in y]),
    "objects": lambda y: np.array([f"class {c:02}" for c in y], object),
    "floats": lambda y: y * 2.0,
    "list": lambda y: y.tolist(),
    "other byte order": lambda y: y.astype(">i4"),
    "strided": lambda y: np.repeat(y, 2)[::2],
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("given", [False, True], ids=["", "labels="])
@pytest.mark.parametrize("classes", [2, 7])
def test_labels_of_all_kinds(name, kind, given, classes, rng):
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, 60)])
    p = probabilities(rng, len(y), classes)
    labels = LABELS[kind](np.arange(classes)) if given else None
    assert_same(name, LABELS[kind](y), p, labels=labels)
    if given:
        some = y[y != 1]  # of which one is missing
        assert_same(name, LABELS[kind](some), p[: len(some)], labels=labels)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weights", [None, np.float64, np.float32, np.int64, list])
@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_dtypes_weights_and_layouts(name, dtype, weights, order, rng):
    y = np.concatenate([np.arange(120), rng.integers(0, 120, 300)])
    p = probabilities(rng, len(y), 120, dtype)
    p[0] = np.eye(120)[0]  # perfect
    p[1] = np.eye(120)[5]  # as wrong as can be: clipped
    p = {"C": p, "F": np.asfortranarray(p), "strided": np.repeat(p, 2, axis=1)[:, ::2]}[order]
    w = None
    if weights is not None:
        w = rng.integers(0, 5, len(y))
        w = w.tolist() if weights is list else w.astype(weights)
    assert_same(name, y, p, sample_weight=w, resolution=np.finfo(dtype).eps)
    if name == "log_loss":
        # the sum of 420 losses: rounded to float32 by them
        expected = theirs.log_loss(y, p, sample_weight=w, normalize=False)
        found = ours.log_loss(y, p, sample_weight=w, normalize=False)
        np.testing.assert_allclose(found, expected, rtol=40 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", ["one-dimensional", "one column", "list", "integers", "float16"])
def test_single_columns_and_conversions(name, shape, rng):
    y = np.array(["ham", "spam"] * 20)
    p = rng.random(40)
    given = {
        "one-dimensional": p,
        "one column": p[:, None],
        "list": p.tolist(),
        "integers": (p > 0.5).astype(int),
        "float16": p.astype(np.float16),
    }[shape]
    # float16: scikit-learn rounds the logarithms, and their sum, to float16
    assert_same(name, y, given, resolution=np.finfo(np.float16).eps if shape == "float16" else None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [int, bool, float])
def test_indicator_matrices(name, dtype, rng):
    p = probabilities(rng, 50, 6, np.float32)
    y = (rng.random((50, 6)) < 0.4).astype(dtype)
    assert_same(name, y, p, resolution=1e-7)
    assert_same(name, y, p, sample_weight=rng.random(50), resolution=1e-7)
    assert_same(name, y * 2, p, resolution=1e-7)
    assert_same(name, y[:, :5], p)


def test_plain_calls_do_not_go_to_scikit_learn(monkeypatch, rng):
    """Those of the tests above that are to be fast; also where rows do not sum to one."""

    def refuse(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(_metrics, "their_log_loss", refuse)
    monkeypatch.setattr(_metrics, "their_d2_log_loss_score", refuse)
    y = np.concatenate([np.arange(5), rng.integers(0, 5, 40)])
    p = probabilities(rng, 45, 5)
    for name in NAMES:
        function = getattr(ours, name)
        for make in LABELS.values():
            function(make(y), p)
            function(make(y), p.astype(np.float32), labels=make(np.arange(5)), sample_weight=np.ones(45))
        function(np.eye(5)[y], np.asfortranarray(p))
        function(y > 2, p[:, 0])
        with pytest.warns(UserWarning, match="do not sum to one"):
            function(y, p / 2)
    with pytest.raises(AssertionError):
        ours.log_loss(y, p * 2)


Y, P = [0, 1, 2, 1], np.full((4, 3), 1 / 3)
BAD = {
    "above one": (Y, P + 0.9),
    "below zero": (Y, P - 0.5),
    "nan": (Y, np.where(np.eye(4, 3) > 0, np.nan, P)),
    "infinite": (Y, np.where(np.eye(4, 3) > 0, np.inf, P)),
    "minus infinity": (Y, np.where(np.eye(4, 3) > 0, -np.inf, P)),
    "both infinities": (Y, np.array([[np.inf, -np.inf, 1]] * 4)),
    "not summing to one": (Y, P / 2),
    "nearly summing to one": (Y, P * (1 + 1e-7)),
    "fewer labels": ([0, 1, 1, 1], P),
    "one label": ([1, 1, 1, 1], P),
    "lengths": ([0, 1, 2], P),
    "three dimensions": (Y, P[None]),
    "nothing": ([], np.empty((0, 3))),
    "text": (Y, np.full((4, 3), "a")),
    "complex": (Y, P + 0j),
    "labels with gaps of nan": ([0.0, 1.0, np.nan, 1.0], P),
    "continuous labels": ([0.5, 1.2, 2.7, 1.2], P),
    "mixed labels": (np.array([0, "a", 2, 1], object), P),
    "no labels": (None, P),
    "no probabilities": (Y, None),
    "a column of labels": (np.array(Y)[:, None], P),
    "too many label columns": (np.array([[0, 1], [2, 3], [1, 2], [3, 4]]), P),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("labels", [None, [0, 1, 2]])
def test_bad_arguments(name, kind, labels):
    assert_same(name, *BAD[kind], labels=labels)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "labels", [[2, 1, 0], [0, 1], [0, 1, 2, 3], [0, 1, 1], [0], [], [[0, 1, 2]], ["a", "b", "c"], "abc", 5]
)
def test_bad_labels(name, labels):
    assert_same(name, Y, P, labels=labels)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "weight",
    [[1, 2, 3], [[1], [1], [1], [1]], [0, 0, 0, 0], [1, -1, 0, 0], [1, np.nan, 1, 1], [1, np.inf, 1, 1],
     ["a", "b", "c", "d"], 2.0, [1, 0, -0.5, 1], [True, False, True, True]],
)  # fmt: skip
def test_weights(name, weight):
    assert_same(name, Y, P, sample_weight=weight)


@pytest.mark.parametrize("name", NAMES)
def test_the_former_name(name):
    assert_same(name, Y, y_pred=P)
    assert_same(name, Y, P, y_pred=P)
    assert_same(name, Y, P, y_pred="other")
    assert_same(name, Y)


def test_normalize_has_to_be_a_bool():
    assert_same("log_loss", Y, P, normalize="no")
    assert_same("log_loss", Y, P, normalize=np.False_)


def test_few_samples():
    assert_same("d2_log_loss_score", [0], [[0.5, 0.5]], labels=[0, 1])
    assert_same("d2_log_loss_score", [0, 0], [[0.5, 0.5]] * 2, labels=[0, 1])


@pytest.mark.parametrize("name", NAMES)
def test_other_containers(name, rng):
    pandas = pytest.importorskip("pandas")
    y = np.array(["a", "b", "c"] * 10)
    p = probabilities(rng, 30, 3)
    frame = pandas.DataFrame(p, columns=list("abc"))
    assert_same(name, pandas.Series(y), frame)
    assert_same(name, pandas.Series(y, dtype="category"), frame, sample_weight=pandas.Series(rng.random(30)))
    assert_same(name, y, np.ma.masked_array(p, p > 2))


@pytest.mark.parametrize("name", NAMES)
def test_array_api(name, rng):
    """Tensors are NumPy arrays to scikit-learn, unless it is told to dispatch: then they are its own affair."""
    torch = pytest.importorskip("torch")
    p, y = torch.tensor(probabilities(rng, 30, 3)), torch.tensor(np.arange(30) % 3)
    assert_same(name, y, p)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_metrics, "get_config", lambda: {"array_api_dispatch": True})
        assert _metrics._plain_case(y, p, None, None) is None
    assert _metrics._plain_case(y, p, None, None) is not None


@pytest.mark.parametrize("name", NAMES)
def test_signatures(name):
    found = [inspect.signature(getattr(module, name)).parameters.values() for module in (ours, theirs)]
    got, wanted = ([(each.name, each.kind, each.default) for each in parameters] for parameters in found)
    assert got == wanted
    assert pickle.loads(pickle.dumps(getattr(ours, name))) is getattr(ours, name)


def test_scorers(rng):
    X = rng.standard_normal((90, 4))
    y = np.array(["a", "b", "c"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)]
    scores = [
        cross_val_score(
            LogisticRegression(), X, y,
            scoring=make_scorer(
                each.log_loss, response_method="predict_proba", greater_is_better=False, labels=list("abc")
            ),
        )
        for each in (ours, theirs)
    ]  # fmt: skip
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-13)


def test_threads_and_isas_do_not_matter(rng, each_isa):
    import xent_native as xn

    y, p = rng.integers(0, 40, 30000), probabilities(rng, 30000, 40, np.float32)
    found = set()
    for threads in (1, 2, 3):
        with xn.threads(threads):
            found.add(ours.log_loss(y, p, labels=range(40)))
    assert len(found) == 1
    by_isa = each_isa(lambda: ours.log_loss(y, p, labels=range(40)))
    assert len({by_isa[name] for name in by_isa if name != "baseline"}) <= 1


def test_nothing_of_the_size_of_the_input_is_made(rng):
    """Beside the class indices of string labels there is nothing: NumPy reports what it allocates to tracemalloc."""
    import tracemalloc

    y, p = rng.integers(0, 50, 20000), probabilities(rng, 20000, 50, np.float32)
    ours.log_loss(y, p)
    tracemalloc.start()
    ours.log_loss(y, p)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < p.nbytes / 10


LOOK_ALIKES = {  # labels, and those that are known: what is no class may look like one in another dtype
    "cut text": (["cats", "dog", "catalog"], ["cat", "dog"]),
    "numbers, truth values": ([0, 1, 2], [False, True]),
    "numbers, text": ([0, 1, 0], ["0", "1"]),
    "text, numbers": (["0", "1", "0"], [0, 1]),
    "wrapped": ([256, 0, 257], np.array([0, 1], np.uint8)),
    "wrapped, far": ([10**18, 0, 10**18 + 1], np.array([0, 1], np.uint8)),
    "rounded": ([16777217.0, 0, 0], np.array([0, 16777216], np.float32)),
    "dates": (np.array([0, 1, 0], "M8[s]"), [0, 1]),
    "spans": (np.array([0, 1, 0], "m8[s]"), [0.0, 1.0]),
    "text and numbers": ([0, "a", 0], None),
    "text of a fixed length": (np.array(["a", "b", "a"]), np.array(["a", "b"], "U7")),
    "other integers": (np.array([0, 1, 0], np.uint8), np.array([0, 1], np.int64)),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", LOOK_ALIKES)
def test_labels_are_not_taken_for_others(name, case):
    y, labels = LOOK_ALIKES[case]
    assert_same(name, y, [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]], labels=labels)


@pytest.mark.parametrize("name", NAMES)
def test_distances_of_small_integers(name):
    """From -100 to 99 is further than int8 goes."""
    assert_same(name, np.array([99, -100], np.int8), np.full((2, 200), 1 / 200), labels=np.arange(-100, 100))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("which", ["y_true", "sample_weight"])
def test_masked_arrays_are_scikit_learns(name, which, rng):
    given = {"y_true": np.array([0, 1, 2, 1]), "sample_weight": np.array([1.0, 2, 3, 4])}
    given[which] = np.ma.array(given[which], mask=[0, 1, 0, 0])
    assert_same(name, given["y_true"], probabilities(rng, 4, 3), sample_weight=given["sample_weight"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("off", [0, 1e-9, 1.4e-8, 2e-8, 2.4e-8, 2.6e-8, 1e-6])
def test_how_far_sums_may_be_from_one(name, off):
    assert_same(name, [0, 1, 1], np.array([[0.5, 0.5], [0.3, 0.7], [0.1, 0.9]]) * (1 - off))


def test_a_warning_comes_once():
    """d2 with an indicator of zeros is scikit-learn's, and so is its warning."""
    assert_same("d2_log_loss_score", np.zeros((3, 2), int), [[0.5, 0.6], [0.2, 0.8], [0.7, 0.3]])


def test_data_frames_go_the_fast_way(monkeypatch, rng):
    pandas = pytest.importorskip("pandas")
    p = probabilities(rng, 50, 3)
    y = rng.integers(0, 3, 50)
    y[:3] = range(3)
    monkeypatch.setattr(_metrics, "their_log_loss", None)
    assert ours.log_loss(pandas.Series(y), pandas.DataFrame(p)) == ours.log_loss(y, p)
