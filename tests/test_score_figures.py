# SPDX-License-Identifier: BSD-3-Clause
"""The figures of a Score against a slow reference, scikit-learn, torchmetrics and netcal, and on the edges of bins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from xent_native import LossAccumulator
from xent_native._summary import _equal_mass

# A figure of float64 predictions: a few rounding errors of each row's loss and probabilities, far below 1e-12.
CLOSE = {"rtol": 1e-12, "atol": 1e-14}


def batch(rng, rows=3000, classes=10, *, sharp=1.0):
    p = rng.dirichlet(np.full(classes, 0.4), rows) ** sharp
    p /= p.sum(axis=1, keepdims=True)
    return rng.integers(0, classes, rows), p, rng.random(rows) + 0.01


def score_of(y, x, w=None, **options):
    accumulator = LossAccumulator(**options)
    accumulator.update(y, x, w)
    return accumulator.result()


def logits_reference(x):
    x = np.asarray(x, np.float64)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def binned_error(confidence, right, weight, bins):
    """Expected and maximum calibration error over [k / bins, (k + 1) / bins), the last bin closed; a loop over bins."""
    place = np.minimum(np.searchsorted(np.arange(1, bins) / bins, confidence, side="right"), bins - 1)
    expected, most = 0.0, 0.0
    for k in range(bins):
        inside = place == k
        if inside.any():
            w = weight[inside]
            gap = abs(np.sum(w * right[inside]) - np.sum(w * confidence[inside]))
            expected += gap / weight.sum()
            most = max(most, gap / w.sum())
    return expected, most


def check_all(score, y, p, w, loss):
    """Every figure of rows whose probabilities and losses are known."""
    rows, classes = p.shape
    best = p.argmax(axis=1)
    right = best == y
    mean = np.average(loss, weights=w)
    rank = np.array([sum(q > q[k]) + sum(q[:k] == q[k]) for q, k in zip(p, y, strict=True)])
    assert (score.rows, score.ignored, score.skipped, score.classes) == (rows, 0, 0, classes)
    assert_allclose(score.weight, w.sum(), **CLOSE)
    assert_allclose(score.mean_loss, mean, **CLOSE)
    assert_allclose(score.mean_loss_bits, mean / np.log(2), **CLOSE)
    assert_allclose(score.perplexity, np.exp(mean), rtol=1e-11)
    assert_allclose(score.accuracy, np.average(right, weights=w), **CLOSE)
    for k, share in score.top_k.items():
        assert_allclose(share, np.average(rank < k, weights=w), **CLOSE)
    brier = ((p - np.eye(classes)[y]) ** 2).sum(axis=1)
    assert_allclose(score.brier, np.average(brier, weights=w), **CLOSE)
    error = math.sqrt(rows / (rows - 1) * np.sum(w**2 * (loss - mean) ** 2)) / w.sum()
    # Squares are rounded once each: what that adds to the variance is below 2^-50 of the mean square.
    slack = 2.0**-50 * np.sum((w * loss) ** 2) / w.sum() ** 2
    assert abs(score.standard_error**2 - error**2) <= slack + 1e-12 * error**2
    assert_allclose(
        score.interval, (mean - 1.959963984540054 * error, mean + 1.959963984540054 * error), rtol=1e-9
    )
    expected, most = binned_error(p.max(axis=1), right, w, 15)
    assert_allclose(score.calibration.expected_error, expected, **CLOSE)
    assert_allclose(score.calibration.maximum_error, most, **CLOSE)
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (y, best), w)
    assert_allclose(score.confusion, confusion, **CLOSE)
    for k, one in enumerate(score.per_class):
        own = y == k
        assert one.support == own.sum()
        if own.any():
            assert_allclose(one.weight, w[own].sum(), **CLOSE)
            assert_allclose(one.mean_loss, np.average(loss[own], weights=w[own]), **CLOSE)
            assert_allclose(one.accuracy, np.average(right[own], weights=w[own]), **CLOSE)
    order = np.argsort(-loss, kind="stable")[:10]
    assert [row.row for row in score.worst] == order.tolist()
    assert_allclose([row.loss for row in score.worst], loss[order], **CLOSE)
    assert_allclose([row.confidence for row in score.worst], p[order].max(axis=1), **CLOSE)
    assert [(row.label, row.predicted) for row in score.worst] == list(
        zip(y[order], best[order], strict=True)
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [2, 5, 33, 300])
def test_probabilities(rng, classes, weighted):
    y, p, w = batch(rng, 500, classes)
    w = w if weighted else None
    score = score_of(y, p, w, top_k=(1, 3, 5), max_confusion=300)
    loss = -np.log(np.clip(p[np.arange(len(y)), y], 1e-7, 1 - 1e-7))
    check_all(score, y, p, np.ones(len(y)) if w is None else w, loss)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [2, 10, 130])
def test_logits(rng, classes, weighted):
    x, y = 4 * rng.normal(size=(500, classes)), rng.integers(0, classes, 500)
    w = rng.random(500) + 0.01 if weighted else None
    score = score_of(y, x, w, from_logits=True, top_k=(1, 3, 5), max_confusion=300)
    shifted = x - x.max(axis=1, keepdims=True)
    loss = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(500), y]
    check_all(score, y, logits_reference(x), np.ones(500) if w is None else w, loss)


def test_scikit_learn(rng):
    metrics = pytest.importorskip("sklearn.metrics")
    y, p, w = batch(rng, 3000, 6)
    p = np.clip(p, 1e-6, None)
    p /= p.sum(axis=1, keepdims=True)
    score = score_of(y, p, w, top_k=(2, 3))
    best = p.argmax(axis=1)
    assert_allclose(score.mean_loss, metrics.log_loss(y, p, sample_weight=w, labels=range(6)), **CLOSE)
    assert_allclose(score.accuracy, metrics.accuracy_score(y, best, sample_weight=w), **CLOSE)
    assert_allclose(score.confusion, metrics.confusion_matrix(y, best, sample_weight=w), **CLOSE)
    for k in (2, 3):
        wanted = metrics.top_k_accuracy_score(y, p, k=k, sample_weight=w, labels=range(6))
        assert_allclose(score.top_k[k], wanted, **CLOSE)
    y, p, w = batch(rng, 1000, 2)
    wanted = metrics.brier_score_loss(y, p[:, 1], sample_weight=w)
    assert_allclose(score_of(y, p, w).brier, 2 * wanted, **CLOSE)


@pytest.mark.parametrize("sharp", [0.3, 1.0, 5.0])
def test_torchmetrics(rng, sharp):
    """Confidences on no edge of a bin, nor 1 in float32: there the two differ by definition."""
    calibration = pytest.importorskip("torchmetrics.classification")
    torch = pytest.importorskip("torch")
    y, p, _ = batch(rng, 2000, 7, sharp=sharp)
    p = 0.999 * p + 0.001 / 7
    found = score_of(y, p).calibration
    for norm, ours in (("l1", found.expected_error), ("max", found.maximum_error)):
        theirs = calibration.MulticlassCalibrationError(7, n_bins=15, norm=norm)
        theirs.update(torch.tensor(p), torch.tensor(y))
        # It keeps confidences in float32 and sums in that: rounding errors of 2000 rows.
        assert_allclose(ours, float(theirs.compute()), atol=2000 * 2.0**-24)


@pytest.mark.parametrize("sharp", [0.3, 1.0, 5.0])
def test_netcal(rng, sharp):
    """Its ACE is the mean of the errors of bins with rows, however many these have."""
    theirs = pytest.importorskip("netcal.metrics")
    y, p, _ = batch(rng, 2000, 7, sharp=sharp)
    score = score_of(y, p, classwise=True)
    found = score.calibration
    assert_allclose(found.expected_error, theirs.ECE(15).measure(p, y), **CLOSE)
    assert_allclose(found.maximum_error, theirs.MCE(15).measure(p, y), **CLOSE)
    gaps = [abs(one.accuracy - one.confidence) for one in found.equal_width if one.rows]
    assert_allclose(np.mean(gaps), theirs.ACE(15).measure(p, y), **CLOSE)
    classes = [theirs.ECE(15).measure(p[:, k], (y == k).astype(int)) for k in range(7)]
    assert_allclose([one.calibration_error for one in score.per_class], classes, **CLOSE)
    assert_allclose(found.classwise_error, np.mean(classes), **CLOSE)


def test_netcal_with_bins_of_equal_mass(rng):
    """On rows that both cut alike: 15 confidences, each of as many rows. netcal cuts at quantiles, not on a grid."""
    theirs = pytest.importorskip("netcal.metrics")
    confidence = rng.permutation(np.repeat(np.linspace(0.52, 0.98, 15), 200))
    p = np.stack([confidence, 1 - confidence], axis=1)
    y = (rng.random(len(p)) > 0.75).astype(int)
    found = score_of(y, p).calibration
    assert_allclose(found.equal_mass_error, theirs.ECE(15, equal_intervals=False).measure(p, y), **CLOSE)


def test_standard_error_where_it_ends(rng):
    assert math.isnan(score_of([0], [[0.5, 0.5]]).standard_error)
    same = score_of([0] * 50, [[0.3, 0.7]] * 50)
    assert same.standard_error <= 2.0**-25 * same.mean_loss
    big = score_of([0, 0], [[0, 1e250], [0, 2e250]], [1e-100, 1e-100], from_logits=True)
    assert_allclose(big.standard_error, 0.5e250, rtol=1e-7)
    assert math.isnan(score_of([0, 0], [[0, 1e250]] * 2, from_logits=True).standard_error)


def test_standard_error_of_what_is_too_small():
    """Squares below the least double would make it 0, or anything."""
    p = [[0.5, 0.5], [0.9, 0.1]]
    assert_allclose(score_of([0, 0], p, [1e-140] * 2).standard_error, score_of([0, 0], p).standard_error)
    assert math.isnan(score_of([0, 0], p, [1e-160] * 2).standard_error)
    assert math.isnan(score_of([0, 0], [[0.0, -400], [0, -401.0]], from_logits=True).standard_error)
    assert score_of([0, 0], [[0.0, -800]] * 2, from_logits=True).standard_error == 0


@pytest.mark.parametrize("weighted", [False, True])
def test_histogram_and_quantiles(rng, weighted):
    loss = np.exp(rng.normal(-1, 2, 4000))
    x = np.stack([np.zeros(4000), np.log(np.expm1(loss))], axis=1)
    w = rng.integers(1, 5, 4000).astype(float) if weighted else np.ones(4000)
    score = score_of(np.zeros(4000, int), x, w if weighted else None, from_logits=True)
    bars = score.histogram
    assert sum(bars.counts) + bars.zero + bars.above == w.sum()
    assert len(bars.edges) == len(bars.counts) + 1
    loss = np.repeat(loss, w.astype(int))
    for k, count in enumerate(bars.counts):
        near = [
            np.sum((loss >= bars.edges[k] * (1 - e)) & (loss < bars.edges[k + 1] * (1 + e)))
            for e in (-1e-9, 1e-9)
        ]
        assert near[0] <= count <= near[1]
    for share, found in bars.quantiles.items():
        assert_allclose(found, np.quantile(loss, share, method="inverted_cdf"), rtol=1 / 64 + 1e-9)


def test_losses_beyond_the_histogram():
    x = [[0.0, -800.0], [0.0, -800.0], [0.0, 1023.5], [0.0, 2000.0], [-math.inf, 0.0]]
    score = score_of([0, 1, 0, 0, 0], x, from_logits=True)
    bars = score.histogram
    assert (bars.zero, bars.above, sum(bars.counts), score.infinite_rows) == (1, 2, 2, 1)
    assert (bars.quantiles[0.01], bars.quantiles[0.99]) == (0, math.inf)
    assert (score.mean_loss, score.perplexity) == (math.inf, math.inf)
    assert math.isnan(score.standard_error)


def test_nan_rows_and_ignored_rows(rng):
    y, p, w = batch(rng, 50, 3)
    p[[7, 9], 1] = math.nan
    w[20:30] = 0
    y[40:] = -1
    y[9] = -1
    score = score_of(y, p, w, ignore_class=-1)
    assert (score.rows, score.ignored, score.nan_rows, score.first_nan_row) == (29, 21, 1, 7)
    assert math.isnan(score.mean_loss)
    assert math.isnan(score.brier)
    kept = np.r_[0:9, 10:20, 30:40]
    right = p[kept].argmax(axis=1) == y[kept]
    right[7] = False
    assert_allclose(score.accuracy, np.average(right, weights=w[kept]), **CLOSE)
    assert 7 not in [row.row for row in score.worst]
    assert sum(b.rows for b in score.calibration.equal_width) == 28
    assert sum(b.rows for b in score.calibration.equal_mass) == 28
    assert sum(one.support for one in score.per_class) == 29


@pytest.mark.parametrize("bins", [1, 2, 4, 15, 100])
def test_bins_and_their_edges(bins):
    """Confidences on an edge are in the bin above, and 1 in the last."""
    top = np.array([0.5, 0.75, 1.0, 0.5, np.nextafter(0.75, 0), 0.625])
    score = score_of([0, 1, 0, 1, 0, 0], np.stack([top, 1 - top], axis=1), bins=bins)
    wide = score.calibration.equal_width
    assert len(wide) == bins
    assert_allclose([b.low for b in wide], np.arange(bins) / bins, rtol=1e-15)
    assert (wide[0].low, wide[-1].high) == (0, 1)
    place = np.minimum(np.searchsorted(np.arange(1, bins) / bins, top, side="right"), bins - 1)
    assert [b.rows for b in wide] == np.bincount(place, minlength=bins).tolist()
    for b in wide:
        assert math.isnan(b.confidence) == math.isnan(b.accuracy) == (b.rows == 0)
        assert not b.rows or b.low <= b.confidence <= b.high


def test_cells_go_where_the_middle_of_their_weight_lies():
    for weights, count in (([3, 1, 2, 0, 0, 4], 2), ([0, 5, 0, 1, 1, 0], 3), ([0, 0], 4), ([7], 1)):
        whole, middles = sum(weights) or 1, np.cumsum(weights) - np.array(weights) / 2
        wanted = np.minimum(np.floor(middles * count / whole), count - 1)
        assert _equal_mass(weights, count).tolist() == wanted.tolist()


def test_bins_of_equal_mass(rng):
    """Each holds its share, give or take a cell; together they hold all."""
    y, p, w = batch(rng, 4000, 4)
    found = score_of(y, p, w).calibration
    assert len(found.equal_mass) == 15
    assert_allclose([b.weight for b in found.equal_mass], w.sum() / 15, rtol=0.35)
    assert sum(b.rows for b in found.equal_mass) == 4000
    top, right = p.max(axis=1), p.argmax(axis=1) == y
    error = 0.0
    for b in found.equal_mass:
        inside = (top >= b.low) & ((top < b.high) | (b.high == 1))
        assert inside.sum() == b.rows
        error += abs(np.sum(w[inside] * right[inside]) - np.sum(w[inside] * top[inside])) / w.sum()
    assert_allclose(found.equal_mass_error, error, **CLOSE)
    same = score_of([0] * 9, [[0.75, 0.25]] * 9).calibration
    assert [b.rows for b in same.equal_mass] == [9]


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("classes", [3, 70])
def test_classwise(rng, classes, from_logits):
    x, y, w = rng.random((600, classes)), rng.integers(0, classes, 600), rng.random(600) + 0.1
    p = logits_reference(x) if from_logits else x / x.sum(axis=1, keepdims=True)
    score = score_of(y, x, w, classwise=True, bins=10, from_logits=from_logits)
    errors = [binned_error(p[:, k], y == k, w, 10)[0] for k in range(classes)]
    assert_allclose([one.calibration_error for one in score.per_class], errors, **CLOSE)
    assert_allclose(score.calibration.classwise_error, np.mean(errors), **CLOSE)
    assert score_of(y, x).calibration.classwise_error is None


@pytest.mark.parametrize("from_logits", [False, True])
def test_one_class(from_logits):
    score = score_of([0, 0], [[1.0], [0.5]], from_logits=from_logits, classwise=True)
    assert (score.accuracy, score.brier, score.confusion) == (1, 0, ((2.0,),))
    assert (score.calibration.expected_error, score.top_k) == (0, {5: 1.0})
    assert score.mean_loss == pytest.approx(0 if from_logits else -math.log(1 - 1e-7), rel=1e-9)


def test_storage_and_layout(rng):
    """What is stored narrowly, in integers or strangely is scored as the same values in float32 or float64."""
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x, y = rng.integers(-9, 9, (300, 12)) / 4, rng.integers(0, 12, 300)
    single = score_of(y, x.astype(np.float32), from_logits=True)
    for dtype in (np.float16, bfloat16, ">f4"):
        assert repr(score_of(y, x.astype(dtype), from_logits=True)) == repr(single), dtype
    double = score_of(y, x, from_logits=True)
    wide = np.zeros((600, 30))
    wide[::2, 3:27:2] = x
    for same in (np.asfortranarray(x), wide[::2, 3:27:2], x[::-1].copy()[::-1], x.tolist()):
        assert repr(score_of(y, same, from_logits=True)) == repr(double)
    whole = (4 * x).astype(np.int32)
    assert repr(score_of(y, whole, from_logits=True)) == repr(score_of(y, 4 * x, from_logits=True))
    for labels in (y.astype(np.uint8), y.astype(np.int16)[:, None], np.repeat(y, 2)[::2], y.tolist()):
        assert repr(score_of(labels, x, from_logits=True)) == repr(double)
    assert single.rows == double.rows == 300


def test_ties_go_to_the_lowest_class():
    score = score_of([0, 1, 2, 3], np.full((4, 4), 0.25), top_k=(1, 2, 3))
    assert score.accuracy == 0.25
    assert score.top_k == {1: 0.25, 2: 0.5, 3: 0.75}
    assert [row.predicted for row in score.worst] == [0] * 4
