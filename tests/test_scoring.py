# SPDX-License-Identifier: BSD-3-Clause
"""Scoring arrays and files: values against NumPy and scikit-learn, every error, no influence of chunks."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
from bounds import loss_bound

import xent_native as xn
from xent_native import scoring
from xent_native._npy import NpyFile

DIGITS = Path(__file__).parent / "data" / "digits"
LOGITS, LABELS = DIGITS / "logits.npy", DIGITS / "labels.npy"


def plain_losses(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Losses from logits in float64: log1p of the sum over the other classes, as no label is lost in it."""
    x = x.astype(np.float64)
    best = x.argmax(axis=1)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    e[np.arange(len(x)), best] = 0
    return np.log1p(e.sum(axis=1)) + (x.max(axis=1) - x[np.arange(len(x)), y])


def save(folder: Path, name: str, array: np.ndarray) -> Path:
    path = folder / f"{name}.npy"
    np.save(path, array)
    return path


def figures(score: scoring.Score) -> scoring.Score:
    """All but where the worst rows come from."""
    return dataclasses.replace(score, worst=tuple(dataclasses.replace(row, source="") for row in score.worst))


@pytest.fixture
def digits() -> tuple[np.ndarray, np.ndarray]:
    return np.load(LOGITS), np.load(LABELS)


# Values


def test_digits_against_numpy(digits):
    x, y = digits
    result = scoring.score(LOGITS, LABELS, from_logits=True)
    losses = plain_losses(x, y)
    bound = loss_bound(losses, np.float32)  # A1, and the mean of bounds bounds the mean
    assert (result.rows, result.classes, result.ignored, result.nan_rows) == (1797, 10, 0, 0)
    assert result.mean_loss == pytest.approx(losses.mean(), abs=bound.mean(), rel=0)
    assert result.perplexity == math.exp(result.mean_loss)
    assert result.accuracy == np.mean(x.argmax(axis=1) == y)
    assert len(result.per_class) == 10
    for k, one in enumerate(result.per_class):
        mine = y == k
        assert one.support == np.count_nonzero(mine)
        assert one.mean_loss == pytest.approx(losses[mine].mean(), abs=bound[mine].mean(), rel=0)
        assert one.accuracy == np.mean(x[mine].argmax(axis=1) == k)


def test_digits_against_scikit_learn(digits):
    metrics = pytest.importorskip("sklearn.metrics")
    x, y = digits
    result = scoring.score(LOGITS, LABELS, from_logits=True)
    probabilities = xn.softmax(x.astype(np.float64))
    bound = loss_bound(plain_losses(x, y), np.float32).mean() + 1e-12  # and what log_loss rounds, in float64
    assert result.mean_loss == pytest.approx(metrics.log_loss(y, probabilities), abs=bound, rel=0)
    assert result.accuracy == metrics.accuracy_score(y, x.argmax(axis=1))
    recall = metrics.recall_score(y, x.argmax(axis=1), average=None)
    assert [one.accuracy for one in result.per_class] == pytest.approx(recall, rel=1e-15)


def test_digits_files_are_what_make_py_makes(digits):
    pytest.importorskip("sklearn")
    spec = importlib.util.spec_from_file_location("make_digits", DIGITS / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    x, y = make.predict()
    assert x.dtype == digits[0].dtype
    assert y.dtype == digits[1].dtype
    np.testing.assert_array_equal(y, digits[1])
    # The mean loss plus the penalty is strongly convex in the weights with 1 / (C n), C = 0.1 and n = 1,437
    # images of four folds. Two fits that stop with every entry of the gradient, 650 of them, below tol = 1e-8
    # are within 2 * 1e-8 * sqrt(650) * 0.1 * 1437 = 7.4e-5 of each other, and logits within that times the
    # norm of the standardised pixels, which is at most 217.
    np.testing.assert_allclose(x, digits[0], rtol=0, atol=7.4e-5 * 217)


def test_probabilities(digits, tmp_path):
    x, y = digits
    p = xn.softmax(x.astype(np.float64))
    path = save(tmp_path, "p", p)
    result = scoring.score(path, LABELS)
    clipped = np.clip(p / p.sum(axis=1, keepdims=True), 1e-7, 1 - 1e-7)
    expected = -np.log(clipped[np.arange(len(y)), y])
    # Roundings of a sum of ten, a quotient and a logarithm, in float64: 8 ulp of a number of order 1.
    assert result.mean_loss == pytest.approx(expected.mean(), abs=8 * 2.0**-52, rel=0)
    assert result.accuracy == scoring.score(x, y, from_logits=True).accuracy


def test_ignored_rows_count_nowhere(digits):
    x, y = digits
    without = scoring.score(x[y != 3], y[y != 3], from_logits=True)
    result = scoring.score(x, y, from_logits=True, ignore_class=3)
    assert result.ignored == np.count_nonzero(y == 3)
    assert result.rows == np.count_nonzero(y != 3)
    assert result.per_class[3].support == 0
    assert math.isnan(result.per_class[3].mean_loss)
    for one, other in zip(result.worst, without.worst, strict=True):  # whose rows have other numbers
        assert one.loss == other.loss
    assert {**result.to_dict(), "ignored": 0, "worst": []} == {**without.to_dict(), "worst": []}


def test_ignored_rows_may_hold_anything():
    result = scoring.score([[0.2, 0.8], [-3.0, np.nan], [np.nan, np.nan]], [1, -1, -1], ignore_class=-1)
    assert (result.rows, result.ignored, result.nan_rows) == (1, 2, 0)
    assert result.mean_loss == pytest.approx(-math.log(0.8), rel=4 * 2.0**-52)


def test_ties_count_for_the_lowest_class():
    result = scoring.score([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]], [0, 1], from_logits=True)
    assert [one.accuracy for one in result.per_class[:2]] == [1.0, 0.0]


def test_nan_rows_are_counted_and_wrong():
    x = np.zeros((5, 3), np.float32)
    x[2, 1] = np.nan  # NumPy's argmax takes NaN for the largest
    x[4, 1] = np.inf
    result = scoring.score(x, [0, 0, 1, 0, 1], from_logits=True, chunk_rows=2)
    assert (result.nan_rows, result.first_nan_row) == (2, 2)
    assert math.isnan(result.mean_loss)
    assert result.per_class[0].mean_loss == pytest.approx(math.log(3), rel=2.0**-23)
    assert result.per_class[1].accuracy == 0.0
    assert result.to_dict()["mean_loss"] is None


def test_infinite_loss():
    result = scoring.score([[-np.inf, 0.0], [0.0, 0.0]], [0, 1], from_logits=True)
    assert (result.mean_loss, result.perplexity, result.nan_rows) == (math.inf, math.inf, 0)
    assert result.per_class[1].mean_loss == pytest.approx(math.log(2), rel=2 * 2.0**-52)
    assert result.to_dict()["perplexity"] is None


def test_sums_beyond_the_largest_number():
    far = 1.7e308
    x = np.array([[0.0, -far], [0.0, -far], [-far, 0.0]])
    result = scoring.score(x, [1, 1, 0], from_logits=True)
    assert (result.mean_loss, result.per_class[1].mean_loss) == (far, far)
    assert scoring.score([[800.0, 0.0]], [1], from_logits=True).perplexity == math.inf


def test_no_rows():
    result = scoring.score(np.empty((0, 4)), np.empty(0, np.int64))
    assert (result.rows, result.classes) == (0, 4)
    assert result.to_dict()["mean_loss"] is None
    first = result.to_dict()["per_class"][0]
    assert (first["class"], first["support"], first["mean_loss"], first["accuracy"]) == (0, 0, None, None)
    assert len(result.per_class) == 4


def test_to_dict_is_json(digits):
    result = scoring.score(*digits, from_logits=True)
    text = json.dumps(result.to_dict(), allow_nan=False)
    values = json.loads(text)
    assert values["mean_loss"] == result.mean_loss
    assert values["per_class"][9]["support"] == result.per_class[9].support
    with pytest.raises(AttributeError):
        result.rows = 1


# What changes no bit of the result


@pytest.mark.parametrize("chunk_rows", [1, 7, 64, 1000, 4095, 4096, 4097, 10**9])
def test_chunks_do_not_change_a_bit(digits, chunk_rows):
    x, y = (np.concatenate([a] * 6) for a in digits)  # more rows than one block of the sums
    x = x.astype(np.float64) * 1.1  # sums of float32 losses are mostly exact, in whatever order
    whole = scoring.score(x, y, from_logits=True)
    assert scoring.score(x, y, from_logits=True, chunk_rows=chunk_rows) == whole


@pytest.mark.parametrize("classes", [2, 17, 200, 3000])
@pytest.mark.parametrize("from_logits", [True, False])
def test_chunks_do_not_change_a_bit_of_wide_rows(rng, classes, from_logits):
    x, y = rng.exponential(size=(90, classes)), rng.integers(0, classes, 90)
    whole = scoring.score(x, y, from_logits=from_logits)
    for chunk_rows in (1, 7, 64):
        assert scoring.score(x, y, from_logits=from_logits, chunk_rows=chunk_rows) == whole


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_threads_do_not_change_a_bit(rng, n_threads):
    x, y = rng.normal(size=(5000, 17)), rng.integers(0, 17, 5000)
    whole = scoring.score(x, y, from_logits=True)
    assert scoring.score(x, y, from_logits=True, n_threads=n_threads) == whole


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f2", ">f4", ">f8", "<i4", "|i1"])
@pytest.mark.parametrize("label_dtype", ["|i1", "|u1", "<i2", ">u2", "<u4", ">i8", "<u8"])
def test_dtypes_of_files(rng, tmp_path, dtype, label_dtype):
    x = (rng.normal(size=(50, 6)) * 8).astype(dtype)
    y = rng.integers(0, 6, 50).astype(label_dtype)
    result = scoring.score(save(tmp_path, "x", x), save(tmp_path, "y", y), from_logits=True, chunk_rows=8)
    native = x.astype(np.float64 if x.dtype.kind == "i" or x.dtype.itemsize == 8 else np.float32)
    assert figures(result) == figures(scoring.score(native, y.astype(np.int64), from_logits=True))


@pytest.mark.parametrize("classes", [1, 6, 100, 1000])
@pytest.mark.parametrize("chunk_rows", [None, 1, 8, 50])
def test_fortran_order(rng, tmp_path, classes, chunk_rows):
    x = rng.normal(size=(50, classes)).astype(np.float32)
    y = rng.integers(0, classes, 50)
    path = save(tmp_path, "x", np.asfortranarray(x))
    with NpyFile(path) as file:
        np.testing.assert_array_equal(file.rows(3, 40), x[3:43])
    expected = scoring.score(x, y, from_logits=True)
    assert scoring.score(np.asfortranarray(x), y, from_logits=True) == expected
    result = scoring.score(path, save(tmp_path, "y", y), from_logits=True, chunk_rows=chunk_rows)
    assert figures(result) == figures(expected)


def test_labels_as_a_column(digits, tmp_path):
    x, y = digits
    expected = scoring.score(x, y, from_logits=True)
    assert scoring.score(x, y[:, None], from_logits=True) == expected
    file = save(tmp_path, "y", y[:, None])
    assert figures(scoring.score(LOGITS, file, from_logits=True)) == figures(expected)


def test_small_floats(digits):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x, y = digits[0].astype(ml_dtypes.bfloat16), digits[1]
    assert scoring.score(x, y, from_logits=True) == scoring.score(x.astype(np.float32), y, from_logits=True)


def test_mixed_sources_and_kinds_of_paths(digits):
    expected = scoring.score(*digits, from_logits=True)
    assert figures(scoring.score(str(LOGITS), digits[1].tolist(), from_logits=True)) == figures(expected)


def test_version_2_header(digits, tmp_path):
    path = tmp_path / "x.npy"
    with path.open("wb") as file:
        np.lib.format.write_array(file, digits[0], version=(2, 0))
    expected = scoring.score(LOGITS, LABELS, from_logits=True)
    assert figures(scoring.score(path, LABELS, from_logits=True)) == figures(expected)


# Errors


@pytest.mark.parametrize(
    ("x", "y", "options", "error", "words"),
    [
        (np.zeros(3), [0], {}, ValueError, r"predictions: .*\(rows, classes\); got \(3,\)"),
        (np.zeros((3, 2, 2)), [0], {}, ValueError, r"\(rows, classes\)"),
        (np.zeros((3, 0)), [0, 0, 0], {}, ValueError, "at least one class"),
        (np.zeros((3, 2)), [0, 0], {}, ValueError, r"labels: .*\(3,\).*got \(2,\)"),
        (np.zeros((3, 2)), [[0, 0]], {}, ValueError, r"got \(1, 2\)"),
        (np.zeros((3, 2), bool), [0, 0, 0], {}, TypeError, "predictions: .*dtype bool"),
        (np.zeros((3, 2), np.longdouble), [0, 0, 0], {}, TypeError, "float64 or smaller"),
        (np.zeros((3, 2), complex), [0, 0, 0], {}, TypeError, "real numbers"),
        (np.zeros((3, 2), object), [0, 0, 0], {}, TypeError, "real numbers"),
        (None, [0, 0, 0], {}, TypeError, "predictions must be an array"),
        (
            np.zeros((3, 2)),
            [0.0, 0.0, 1.0],
            {},
            TypeError,
            "labels: labels must be integers; got dtype float64",
        ),
        (np.zeros((3, 2)), [True, False, True], {}, TypeError, "dtype bool"),
        (np.zeros((3, 2)), [0, 2, 5], {}, IndexError, r"labels: labels must lie in \[0, 2\); got 2 at row 1"),
        (np.zeros((3, 2)), [0, -1, 5], {"ignore_class": -1}, IndexError, "ignore_class=-1; got 5 at row 2"),
        (np.ones((3, 2)), np.array([0, 2**64 - 1, 0], "u8"), {}, IndexError, f"got {2**64 - 1} at row 1"),
        ([[0.5, 0.5], [1.5, -0.5]], [0, 0], {}, ValueError, "row 1 holds -0.5, .*from_logits"),
        (np.zeros((3, 2)), [0, 0, 0], {"n_threads": 0}, ValueError, "n_threads"),
        (np.zeros((3, 2)), [0, 0, 0], {"chunk_rows": 0}, ValueError, "chunk_rows"),
        (np.zeros((3, 2)), [0, 0, 0], {"chunk_rows": 1.5}, ValueError, "chunk_rows"),
        (np.zeros((3, 2)), [0, 0, 0], {"chunk_rows": True}, ValueError, "chunk_rows"),
        (np.zeros((3, 2)), [0, 0, 0], {"ignore_class": "x"}, ValueError, "ignore_class"),
    ],
)
@pytest.mark.parametrize("chunk_rows", [None, 1])
def test_errors_of_arrays(x, y, options, error, words, chunk_rows):
    with pytest.raises(error, match=words):
        scoring.score(x, y, **{"chunk_rows": chunk_rows, **options})


def test_bad_label_names_file_and_row(tmp_path):
    y = np.zeros(100, np.int64)
    y[77] = 12
    path = save(tmp_path, "y", y)
    for chunk_rows in (1, 10, 1000):
        with pytest.raises(
            scoring.LabelError, match=r"y\.npy: labels must lie in \[0, 3\); got 12 at row 77"
        ):
            scoring.score(np.ones((100, 3)), path, chunk_rows=chunk_rows)


def test_an_ignored_class_of_any_integer_type():
    class Two:
        def __index__(self) -> int:
            return 2

    x, y = np.eye(3)[[0, 1, 2, 0]] * 0.7 + 0.1, [0, 1, 2, 0]
    for two in (2, np.int8(2), Two()):
        assert scoring.score(x, y, ignore_class=two).ignored == 1
    with pytest.raises(ValueError, match="ignore_class must be an integer"):
        scoring.score(x, y, ignore_class="2")
