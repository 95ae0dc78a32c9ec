# SPDX-License-Identifier: BSD-3-Clause
"""The fitted temperature: known optima, SciPy's minimiser, the same bits for any chunks, and fits that have none."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples
from tables import Data, write

import xent_native as xn
from xent_native import scoring
from xent_native.scoring._exact import ExactSum


def overconfident(
    rng: np.random.Generator, rows: int = 3000, classes: int = 7
) -> tuple[np.ndarray, np.ndarray]:
    """Logits 2.5 times as large as those that labels were drawn from."""
    x = rng.normal(size=(rows, classes)) * 2
    y = (xn.softmax(x).cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)
    return 2.5 * x, y


@pytest.mark.parametrize("wrong", [1, 10, 100, 499])
@pytest.mark.parametrize("margin", [1e-3, 1.0, 30.0, 2000.0])
def test_two_classes_have_a_closed_form(wrong, margin):
    """Of n rows with a margin m, of which k are wrong, the best probability is 1 - k / n: m / T = log((n - k) / k)."""
    x, y = np.tile([margin, 0.0], (1000, 1)), np.zeros(1000, int)
    y[:wrong] = 1
    fit = scoring.fit_temperature(x, y, from_logits=True)
    # L' is a difference of sums of order 1, with roundings of 2^-53 each; divided by L'' = p (1 - p), times b:
    p = wrong / 1000
    bound = 1e-9**2 + 16 * 2.0**-53 / (p * (1 - p) * math.log(1 / p - 1))
    assert fit.temperature == pytest.approx(margin / math.log((1000 - wrong) / wrong), rel=bound)
    assert fit.after.mean_loss == pytest.approx(-p * math.log(p) - (1 - p) * math.log(1 - p), rel=1e-12)


def test_against_scipy(rng):
    optimize = pytest.importorskip("scipy.optimize")
    x, y = overconfident(rng)
    w = rng.random(len(y))

    def loss(u: float) -> float:
        each = xn.sparse_categorical_crossentropy(y, x / math.exp(u), from_logits=True)
        return float(np.average(each, weights=w))

    found = optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-10})
    fit = scoring.fit_temperature(x, y, weights=w, from_logits=True)
    # A minimum of values that err by 1e-16 relatively is known to the root of that, some 1e-8.
    assert math.log(fit.temperature) == pytest.approx(found.x, abs=1e-7)
    assert fit.after.mean_loss <= found.fun * (1 + 1e-14)
    assert fit.after.accuracy == fit.before.accuracy
    assert fit.after.calibration.expected_error < fit.before.calibration.expected_error


def test_before_and_after_are_scores(rng):
    x, y = overconfident(rng)
    fit = scoring.fit_temperature(x, y, from_logits=True, bins=10, top_k=(2,))
    assert fit.before == scoring.score(x, y, from_logits=True, bins=10, top_k=(2,))
    assert fit.after == scoring.score(x / fit.temperature, y, from_logits=True, bins=10, top_k=(2,))
    assert fit.to_dict()["after"]["mean_loss"] == fit.after.mean_loss
    small = x.astype(np.float32)
    fit = scoring.fit_temperature(small, y, from_logits=True)
    assert fit.after == scoring.score(small / np.float32(fit.temperature), y, from_logits=True)


def test_the_fit_of_a_fit_is_1(rng):
    x, y = overconfident(rng)
    fit = scoring.fit_temperature(x, y, from_logits=True)
    again = scoring.fit_temperature(x / fit.temperature, y, from_logits=True)
    assert again.temperature == pytest.approx(1.0, rel=1e-12)


def test_probabilities(rng):
    """Their logits are their logarithms, with the bounds of the losses."""
    x, y = overconfident(rng)
    p = xn.softmax(x / 4)
    assert p.min() > 1e-7
    fit = scoring.fit_temperature(p, y)
    expected = scoring.fit_temperature(x / 4, y, from_logits=True)
    # Logarithms of probabilities down to 1e-7 err by 2^-52 relatively, up to 16 times that in logits of order 1.
    assert fit.temperature == pytest.approx(expected.temperature, rel=1e-12)
    certain = np.eye(7)[x.argmax(axis=1)]
    fit = scoring.fit_temperature(certain, y)
    share = np.mean(x.argmax(axis=1) != y) / 6
    margin = math.log((1 - 1e-7) / 1e-7)
    assert fit.temperature == pytest.approx(margin / math.log((1 - 6 * share) / share), rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_chunks_threads_and_formats_change_no_bit(rng, tmp_path, dtype):
    x, y = overconfident(rng, 400)
    x = x.astype(dtype)
    expected = scoring.fit_temperature(x, y, from_logits=True)
    for options in ({"chunk_rows": 1}, {"chunk_rows": 37}, {"n_threads": 2}):
        assert scoring.fit_temperature(x, y, from_logits=True, **options) == expected
    np.save(tmp_path / "x.npy", np.asfortranarray(x))
    assert (
        scoring.fit_temperature(tmp_path / "x.npy", y, from_logits=True).temperature == expected.temperature
    )


def test_tables(tmp_path):
    pytest.importorskip("pyarrow")
    data = Data.random(400)
    path = write(data.wide(), tmp_path / "t.parquet", row_group_size=99)
    fit = scoring.fit_temperature(path, columns="p_*", label_column="y", weight_column="w")
    assert fit.temperature == scoring.fit_temperature(data.x, data.y, weights=data.w).temperature


def test_rows_that_count_nothing(rng):
    x, y = overconfident(rng, 500)
    expected = scoring.fit_temperature(x, y, from_logits=True).temperature
    more = np.vstack([x, x[:3], [[np.inf] + [0.0] * 6]])
    w = np.append(np.ones(500), [0.0, 0.0, 0.0, 0.0])
    fit = scoring.fit_temperature(more, np.append(y, [1, 2, 3, 4]), weights=w, from_logits=True)
    assert fit.temperature == expected
    labels = np.append(y, [-1, -1, -1, -1])
    assert scoring.fit_temperature(more, labels, from_logits=True, ignore_class=-1).temperature == expected
    more[500, :] = np.nan
    labels = np.append(y, [1, 9, -3, 4])
    more[503, 0] = np.nan
    fit = scoring.fit_temperature(more, labels, from_logits=True, on_error="skip")
    assert (fit.temperature, fit.before.skipped) == (expected, 4)


def test_masked_classes_and_lost_rows(rng):
    x, y = overconfident(rng, 500)
    masked = np.hstack([x, np.full((500, 1), -np.inf)])
    expected = scoring.fit_temperature(x, y, from_logits=True).temperature
    # The same sums with a class of probability 0 in them, in vectors of another length.
    assert scoring.fit_temperature(masked, y, from_logits=True).temperature == pytest.approx(
        expected, rel=1e-13
    )
    y[0], lost = 7, masked
    fit = scoring.fit_temperature(lost, y, from_logits=True)
    assert fit.before.mean_loss == fit.after.mean_loss == math.inf
    rest = scoring.fit_temperature(x[1:], y[1:], from_logits=True).temperature
    assert fit.temperature == pytest.approx(rest, rel=1e-13)


def test_steep_losses():
    """One wrong row among many: Newton's own steps would be short for long."""
    x, y = np.tile([[5.0, 0.0], [7.0, 0.0]], (20_000, 1)), np.zeros(40_000, int)
    y[7] = 1
    fit = scoring.fit_temperature(x, y, from_logits=True)
    assert fit.passes < 25
    for nearby in (0.999, 1.001):
        other = scoring.score(x / (fit.temperature * nearby), y, from_logits=True)
        assert other.mean_loss > fit.after.mean_loss


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ([[1.0, 0.0], [3.0, 1.0]], [0, 0], "largest logit"),
        ([[1.0, 1.0], [3.0, 3.0]], [0, 1], "largest logit"),
        ([[1.0, 0.0], [3.0, 1.0]], [1, 1], "falls as T grows"),
        ([[np.nan, 0.0]], [1], "no rows"),
        (np.zeros((0, 2)), [], "no rows"),
    ],
)
def test_fits_that_have_no_temperature(x, y, words):
    with pytest.raises(scoring.DataError, match=words):
        scoring.fit_temperature(x, np.array(y, int), from_logits=True)


def test_errors_are_those_of_scores(tmp_path):
    with pytest.raises(scoring.LabelError, match="got 5 at row 1"):
        scoring.fit_temperature([[1.0, 0.0], [3.0, 1.0]], [0, 5], from_logits=True)
    with pytest.raises(scoring.DataError, match=r"row 0 holds -1.0"):
        scoring.fit_temperature([[-1.0, 2.0]], [0])
    with pytest.raises(FileNotFoundError):
        scoring.fit_temperature(tmp_path / "x.npy", [0])


@examples(1)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=30), st.integers(0, 30))
def test_exact_sums(values, cut):
    total = ExactSum()
    for part in (values[cut:], values[:cut]):
        total.add(np.array(part, np.float64))
    exact = sum(map(Fraction, values), Fraction(0))
    try:
        expected = float(exact)
    except OverflowError:
        with pytest.raises(OverflowError):
            float(total)
        return
    assert float(total) == expected


def test_exact_sums_of_nothing_finite():
    with pytest.raises(ValueError, match="finite"):
        ExactSum().add(np.array([1.0, np.inf]))
