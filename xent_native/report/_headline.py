# SPDX-License-Identifier: BSD-3-Clause
"""The top of the page: what was scored, what to know before reading on, and the figures that matter most."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..accumulate import Score
from ._figures import confidence_gap, unweighted, wilson
from ._markup import Markup, element
from ._numbers import count, decimals_for, number, percent, plural
from ._tables import paragraph, section, table


def summary(score: Score) -> Markup:
    """One sentence: what was scored."""
    parts = [f"{plural(score.rows, 'row')} of {plural(score.classes, 'class', 'classes')}"]
    if score.rows and not unweighted(score):
        parts.append(f"weights add up to {count(score.weight)}")
    if score.ignored:
        parts.append(f"{count(score.ignored)} ignored")
    if score.skipped:
        parts.append(f"{count(score.skipped)} skipped")
    return paragraph(", ".join(parts), kind="lead")


def alerts(score: Score) -> list[Markup]:
    """What a reader must know before the figures."""
    found = []
    if score.rows == 0:
        found.append("No rows were scored, so there are no figures.")
    if score.nan_rows:
        first = "" if score.first_nan_row is None else f", the first at row {count(score.first_nan_row)}"
        found.append(
            f"{plural(score.nan_rows, 'row')} of {count(score.rows)} have no loss, because their predictions hold "
            f"NaN or nothing finite{first}. They make the mean loss NaN and count as wrong."
        )
    if score.infinite_rows:
        found.append(
            f"{plural(score.infinite_rows, 'row')} of {count(score.rows)} have an infinite loss: "
            "their label had no probability at all."
        )
    if score.skipped:
        found.append(
            f"{plural(score.skipped, 'row')} could not be scored and {_are(score.skipped)} left out."
        )
    return [element("p", text, class_="alert", role="note") for text in found]


def _are(rows: int) -> str:
    return "was" if rows == 1 else "were"


def headline(score: Score) -> Markup:
    """The few figures that matter most, as cards."""
    digits = decimals_for(score.standard_error)
    low, high = score.interval
    cards = [
        _card(
            "Log loss in nats",
            number(score.mean_loss, digits),
            _between(low, high, lambda v: number(v, digits)),
            f"{number(score.mean_loss_bits, digits)} bits",
        ),
        _card("Accuracy", *_accuracy(score)),
        _card("Perplexity", *_perplexity(score)),
        _card(
            "Calibration error",
            percent(score.calibration.expected_error),
            f"worst bin {percent(score.calibration.maximum_error)}",
            _leaning(score),
        ),
        _card("Brier score", number(score.brier), "0 is perfect, 2 is the worst"),
    ]
    cards += [
        _card(f"Top-{k} accuracy", *_share(score, share))
        for k, share in sorted(score.top_k.items())
        if 1 < k < score.classes
    ]
    return element("dl", cards, class_="cards")


def _card(label: str, value: str, *notes: str | None) -> Markup:
    shown = [element("dd", note, class_="note") for note in notes if note]
    return element("div", element("dt", label), element("dd", value), shown)


def _between(low: float, high: float, show: Callable[[float], str]) -> str | None:
    return f"95 %: {show(low)} – {show(high)}" if math.isfinite(low) and math.isfinite(high) else None


def _share(score: Score, share: float) -> tuple[str, str | None]:
    if not unweighted(score):
        return percent(share), None
    low, high = wilson(share, score.rows)
    return percent(share), f"95 %: {number(100 * low, 2)} – {percent(high)}"


def _accuracy(score: Score) -> tuple[str, str | None, str | None]:
    wrong = (
        math.nan
        if score.confusion is None
        else math.fsum(w for i, row in enumerate(score.confusion) for j, w in enumerate(row) if i != j)
    )
    note = (
        f"{count(wrong)} of {count(score.weight)} wrong"
        if math.isfinite(wrong) and unweighted(score)
        else None
    )
    return *_share(score, score.accuracy), note


def _perplexity(score: Score) -> tuple[str, str | None, str]:
    low, high = score.interval
    error = score.perplexity * score.standard_error
    digits = decimals_for(error)
    shown = _between(_exp(low), _exp(high), lambda v: number(v, digits))
    return number(score.perplexity, digits), shown, f"guessing has {count(score.classes)}"


def _exp(value: float) -> float:
    return math.exp(value) if value < 709 else math.inf


def _leaning(score: Score) -> str | None:
    gap = confidence_gap(score.calibration.equal_width)
    if math.isnan(gap):
        return None
    if abs(gap) < 5e-5:
        return "as confident as right"
    return f"{'over' if gap > 0 else 'under'}confident by {percent(abs(gap))}"


def comparison(before: Score, after: Score) -> Markup:
    """Figures before and after calibration by a temperature."""
    loss_digits = max(decimals_for(s.standard_error) or 4 for s in (before, after))
    lines: list[tuple[str, float, float, Callable[[float], str]]] = [
        ("Log loss in nats", before.mean_loss, after.mean_loss, lambda v: number(v, loss_digits)),
        ("Perplexity", before.perplexity, after.perplexity, lambda v: number(v, loss_digits)),
        (
            "Expected calibration error",
            before.calibration.expected_error,
            after.calibration.expected_error,
            percent,
        ),
        (
            "Maximum calibration error",
            before.calibration.maximum_error,
            after.calibration.maximum_error,
            percent,
        ),
        (
            "Equal-mass calibration error",
            before.calibration.equal_mass_error,
            after.calibration.equal_mass_error,
            percent,
        ),
        ("Brier score", before.brier, after.brier, number),
        ("Accuracy", before.accuracy, after.accuracy, percent),
    ]
    rows = [[label, show(a), show(b), _change(a, b, show)] for label, a, b, show in lines]
    return section(
        "Before and after calibration",
        paragraph("All other figures of this page are those after it.", kind="hint"),
        table("Before and after calibration", ["Figure", "Before", "After", "Change"], rows),
    )


def _change(before: float, after: float, show: Callable[[float], str]) -> str:
    change = after - before
    if not math.isfinite(change):
        return "–"
    text = show(change)
    if show is percent:
        text = f"{number(100 * change, 2)} points"  # of percentage: percent of what, one would ask
    return f"+{text}" if change > 0 and text.strip("0. points") else text
