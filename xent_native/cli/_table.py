# SPDX-License-Identifier: BSD-3-Clause
"""A score as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from ..scoring import Score, TemperatureFit

__all__ = ["comparison", "table"]

_MOST_LINES = 50  # of classes or groups; --json has them all


def table(result: Score, *, worst: bool = False) -> Iterator[str]:
    """Figures of all rows, by class, by group and, if wanted, the worst rows."""
    yield ""
    yield from _headline(result)
    yield ""
    yield from _classes(result)
    if result.groups:
        yield ""
        yield from _groups(result)
    if worst and result.worst:
        yield ""
        yield "worst rows"
        for row in result.worst:
            yield (
                f"row {row.row} of {row.source}: loss {row.loss:.6g}, label {row.label}, "
                f"predicted {row.predicted} with {row.confidence:.2%}"
            )


def _headline(result: Score) -> Iterator[str]:
    low, high = result.interval
    calibration = result.calibration
    yield f"rows        {result.rows:>12}"
    if result.ignored:
        yield f"ignored     {result.ignored:>12}"
    if result.skipped:
        yield f"skipped     {result.skipped:>12}"
    if result.weight != result.rows:
        yield f"weight      {result.weight:>12.6g}"
    yield f"classes     {result.classes:>12}"
    yield f"mean loss   {result.mean_loss:>12.6g} nats, 95 % interval {low:.6g} to {high:.6g}"
    yield f"in bits     {result.mean_loss_bits:>12.6g}"
    yield f"perplexity  {result.perplexity:>12.6g}"
    yield f"accuracy    {result.accuracy:>12.4%}"
    for k, share in result.top_k.items():
        if k < result.classes:
            yield f"top {k:<7} {share:>12.4%}"
    yield f"brier score {result.brier:>12.6g}"
    yield f"calibration {calibration.expected_error:>12.4%} off on average, at most {calibration.maximum_error:.4%}"
    if calibration.classwise_error is not None:
        yield f"by class    {calibration.classwise_error:>12.4%}"


def _classes(result: Score) -> Iterator[str]:
    shown = list(enumerate(result.per_class))
    if len(shown) > _MOST_LINES:
        # Those that the most loss comes from; a NaN first of all.
        shown.sort(key=lambda item: -item[1].weight * item[1].mean_loss if item[1].support else 0.0)
        shown = sorted(shown[:_MOST_LINES], key=lambda item: item[0])
        yield f"the {_MOST_LINES} classes that the most loss comes from (--json has all)"
    yield "class    support    mean loss   accuracy"
    for k, one in shown:
        if one.support:
            yield f"{k:>5} {one.support:>10} {one.mean_loss:>12.6g} {one.accuracy:>10.2%}"
        else:
            yield f"{k:>5} {0:>10} {'-':>12} {'-':>10}"


def _groups(result: Score) -> Iterator[str]:
    shown = sorted(result.groups.items(), key=lambda item: -item[1].rows)
    if len(shown) > _MOST_LINES:
        shown = shown[:_MOST_LINES]
        yield f"the {_MOST_LINES} largest groups (--json has all)"
    width = max(5, *(len(str(key)) for key, _ in shown))
    yield f"{'group':<{width}}       rows    mean loss   accuracy"
    for key, one in shown:
        yield f"{key!s:<{width}} {one.rows:>10} {one.mean_loss:>12.6g} {one.accuracy:>10.2%}"


def comparison(fit: TemperatureFit) -> Iterator[str]:
    """A temperature, and what it changes."""
    yield ""
    yield f"temperature {fit.temperature:>12.6g}"
    yield ""
    yield "                  before        after"
    pairs = [
        ("mean loss", fit.before.mean_loss, fit.after.mean_loss, "12.6g"),
        ("perplexity", fit.before.perplexity, fit.after.perplexity, "12.6g"),
        ("accuracy", fit.before.accuracy, fit.after.accuracy, "12.4%"),
        ("brier score", fit.before.brier, fit.after.brier, "12.6g"),
        (
            "calibration",
            fit.before.calibration.expected_error,
            fit.after.calibration.expected_error,
            "12.4%",
        ),
    ]
    for name, before, after, form in pairs:
        yield f"{name:<11} {before:>{form}} {after:>{form}}"
