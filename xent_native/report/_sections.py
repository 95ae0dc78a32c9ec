# SPDX-License-Identifier: BSD-3-Clause
"""The sections of the page: headline figures, comparison, charts and tables, made of a Score."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..accumulate import Score
from . import _charts
from ._figures import Z, confidence_gap, mistakes, most_loss, total_loss, unweighted, wilson
from ._markup import Markup, data, element, name
from ._numbers import count, decimals_for, number, percent, plural

MOST_CLASSES = 200  # rows of the table: a page with thousands of them is no pleasure, nor quick
MOST_GROUPS = 200
_MOST_MISTAKES = 10

Label = Callable[[int], str]


def section(title: str, *content: Any, wide: bool = True) -> Markup:
    """A section with its heading."""
    return element("section", element("h2", title), content, class_="wide" if wide else None)


def paragraph(*content: Any, kind: str | None = None) -> Markup:
    """A paragraph."""
    return element("p", content, class_=kind)


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
        _card(f"Top-{k} accuracy", *_share(score, share)) for k, share in sorted(score.top_k.items()) if k > 1
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
    loss_digits = max(decimals_for(s.standard_error) for s in (before, after))
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


def reliability(score: Score, before: Score | None) -> Markup:
    """The reliability diagram and what to see in it."""
    c = score.calibration
    other = f"equal-mass bins {percent(c.equal_mass_error)}"
    if c.classwise_error is not None:
        other += f", classwise {percent(c.classwise_error)}"
    legend = [("dot", "accuracy in a bin"), ("gap", "gap to its mean confidence"), ("ideal", "perfect")]
    if before is not None:
        legend.append(("before", "before calibration"))
    lines = " with 95 % intervals" if unweighted(score) else ""
    return section(
        "Can the confidence be trusted?",
        paragraph(
            f"How often predictions are right, by how sure they are{lines}. Below the diagonal they promise "
            "too much."
        ),
        _charts.reliability(score, before, unweighted(score)),
        _legend(legend),
        paragraph(
            f"Calibration error: expected {percent(c.expected_error)}, maximum {percent(c.maximum_error)}, "
            f"{other}.",
            kind="hint",
        ),
        _folded("The diagram as a table", _bins_table(score)),
        wide=False,
    )


def _legend(entries: Sequence[tuple[str, str]]) -> Markup:
    return element(
        "ul", [element("li", element("i", class_=kind), text) for kind, text in entries], class_="legend"
    )


def _bins_table(score: Score) -> Markup:
    rows = [
        [
            f"{percent(b.low, 1)} to {percent(b.high, 1)}",
            count(b.rows),
            percent(b.confidence),
            percent(b.accuracy),
        ]
        for b in score.calibration.equal_width
        if b.rows
    ]
    return table("Bins of confidence", ["Bin", "Rows", "Confidence", "Accuracy"], rows)


def losses(score: Score) -> Markup:
    """The histogram of the losses and its quantiles."""
    quantiles = sorted(score.histogram.quantiles.items())
    rows = [[percent(q, 0), number(v), percent(math.exp(-v), 2)] for q, v in quantiles]
    typical = number(math.exp(-score.mean_loss), 3)
    return section(
        "Where does the loss come from?",
        paragraph(
            f"Losses of single rows. The mean is that of a label with probability {typical} in every row."
        )
        if math.isfinite(score.mean_loss)
        else None,
        _charts.losses(score),
        table(
            "Quantiles of the loss", ["Share of rows below", "Loss in nats", "Probability of the label"], rows
        ),
        wide=False,
    )


def _folded(title: str, *content: Any) -> Markup:
    return element("details", element("summary", title), content)


def classes(score: Score, label: Label) -> Markup:
    """The table of classes, those with the most loss first."""
    chosen = most_loss(score, MOST_CLASSES)
    everything = math.fsum(total_loss(c.mean_loss, c.weight) for c in score.per_class)
    classwise = any(c.calibration_error is not None for c in score.per_class)
    weighted = not unweighted(score)
    losses = {k: total_loss(score.per_class[k].mean_loss, score.per_class[k].weight) for k in chosen}
    known = everything > 0 and math.isfinite(everything)
    longest = max(losses.values(), default=0.0) / everything if known else math.nan
    rows = []
    for k in chosen:
        c = score.per_class[k]
        share = losses[k] / everything if known else math.nan
        row = [_named(label(k), k), _cell(count(c.support), c.support)]
        row += [_cell(count(c.weight), c.weight)] if weighted else []
        row += [
            _cell([_charts.share_bar(share / longest if share > 0 else 0.0), percent(share, 1)], share),
            _cell(number(c.mean_loss) if c.support else "–", c.mean_loss),
            _cell(percent(c.accuracy), c.accuracy),
        ]
        row += [_cell(_optional(c.calibration_error), c.calibration_error)] if classwise else []
        rows.append(row)
    heads = [
        "Class",
        "Rows",
        *(["Weight"] if weighted else []),
        "Share of loss",
        "Mean loss",
        "Accuracy",
        *(["Calibration error"] if classwise else []),
    ]
    left = len(score.per_class) - len(chosen)
    text = (
        f"The {count(len(chosen))} classes with the most loss; {count(left)} others are not shown."
        if left
        else ("Those with the most loss in total come first.")
    )
    return section("Classes", paragraph(text, kind="hint"), table("Classes", heads, rows, sortable=True))


def _optional(value: float | None) -> str:
    return "–" if value is None else percent(value)


def _named(text: str, order: float | str) -> Markup:
    return element("th", data(text), scope="row", data_v=name(order))


def _cell(content: Any, value: float | None = None, kind: str | None = None) -> Markup:
    """A number with the value that it is sorted by."""
    order = repr(float(value)) if value is not None and math.isfinite(value) else ""
    return element("td", content, data_v=order, class_=kind)


def confusion(score: Score, label: Label) -> Markup | None:
    """The confusion matrix and the most frequent mistakes."""
    if score.confusion is None or len(score.confusion) < 2:
        return None
    worst = mistakes(score.confusion, _MOST_MISTAKES)
    rows = [
        [data(label(m.label)), data(label(m.predicted)), count(m.weight), percent(m.share)] for m in worst
    ]
    heads = ["Label", "Predicted", "Rows" if unweighted(score) else "Weight", "Of the label"]
    return section(
        "What is taken for what?",
        element(
            "div",
            element(
                "div",
                _charts.confusion(score, label),
                paragraph(
                    "Each row of the grid is a label. Blue is right, orange is wrong; the darker, the larger the share "
                    "of the label.",
                    kind="hint",
                ),
            ),
            element(
                "div",
                element("h3", "Most frequent mistakes"),
                table("Most frequent mistakes", heads, rows, words=heads[:2]),
            )
            if rows
            else paragraph("There are no mistakes."),
            class_="pair",
        ),
    )


def groups(score: Score) -> Markup | None:
    """The groups side by side, those with the largest mean loss first."""
    if not score.groups:
        return None
    order = sorted(score.groups.items(), key=lambda item: (-_rank(item[1].mean_loss), str(item[0])))
    chosen = order[:MOST_GROUPS]
    ends = [v for _, g in chosen for v in g.interval if math.isfinite(v)]
    least, most = (max(0.0, min(ends)), max(ends)) if ends else (0.0, 1.0)
    rows = []
    for value, g in chosen:
        digits = decimals_for(g.standard_error)
        low, high = g.interval
        half = Z * g.standard_error
        shown = (
            f"{number(g.mean_loss, digits)} ± {number(half, digits)}"
            if math.isfinite(half)
            else number(g.mean_loss)
        )
        rows.append(
            [
                _named(str(value), value),
                _cell(count(g.rows), g.rows),
                _cell(shown, g.mean_loss),
                _cell(_charts.interval_bar(low, g.mean_loss, high, least, most), g.mean_loss, "plot"),
                _cell(percent(g.accuracy), g.accuracy),
                _cell(percent(g.calibration.expected_error), g.calibration.expected_error),
            ]
        )
    left = len(order) - len(chosen)
    text = "With 95 % intervals; the largest mean loss comes first."
    if left:
        text = f"The {count(len(chosen))} with the largest mean loss; {count(left)} others are not shown."
    return section(
        "Groups",
        paragraph(text, kind="hint"),
        table(
            "Groups",
            ["Group", "Rows", "Mean loss", "95 % interval", "Accuracy", "Calibration error"],
            rows,
            sortable=True,
        ),
    )


def _rank(value: float) -> float:
    return math.inf if math.isnan(value) else value


def worst(score: Score, label: Label) -> Markup | None:
    """The rows with the largest losses."""
    if not score.worst:
        return None
    names = {w.source for w in score.worst}
    sources = len(names) > 1
    origin = None if sources or not any(names) else [" All of them are in ", data(*names), "."]
    rows = []
    for w in score.worst:
        row: list[Any] = [data(w.source)] if sources else []
        row += [
            count(w.row),
            data(label(w.label)),
            [data(label(w.predicted)), " ", element("small", percent(w.confidence))],
            number(w.loss),
        ]
        rows.append(row)
    heads = [*(["Source"] if sources else []), "Row", "Label", "Predicted", "Loss"]
    return section(
        "Worst rows",
        paragraph(
            "Look at these first: often it is the label that is wrong. Rows count from 0.",
            origin,
            kind="hint",
        ),
        table("Worst rows", heads, rows, words=(["Source"] if sources else []) + ["Label", "Predicted"]),
    )


def table(
    title: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    sortable: bool = False,
    words: Sequence[str] = (),
) -> Markup:
    """A table whose first column names its rows; it scrolls in itself where a screen is too narrow for it."""
    head = element(
        "tr", [element("th", text, scope="col", class_="word" if text in words else None) for text in heads]
    )
    body = [
        element("tr", [_as_cell(c, i == 0, heads[i] in words) for i, c in enumerate(row)]) for row in rows
    ]
    made = element(
        "table",
        element("caption", title),
        element("thead", head),
        element("tbody", body),
        class_="sortable" if sortable else None,
    )
    return element("div", made, class_="table", role="region", aria_label=title, tabindex="0")


def _as_cell(content: Any, first: bool, word: bool) -> Markup:
    if isinstance(content, Markup) and content.startswith(("<td", "<th")):
        return content
    kind = "word" if word else None
    return element("th", content, scope="row", class_=kind) if first else element("td", content, class_=kind)


def definitions() -> Markup:
    """What the figures mean, for those who read such a page for the first time."""
    texts = {
        "Log loss": "The mean of −log of the probability that predictions gave to the label, in nats (natural "
        "logarithm) or bits. Its interval is the mean ± 1.96 standard errors, for rows that do not depend on each other.",
        "Perplexity": "e to the log loss: as unsure as a fair guess among so many classes.",
        "Accuracy": "The share of rows whose label has the largest prediction; ties count for the lowest class. "
        "Its interval is Wilson's.",
        "Confidence": "The probability of the predicted class.",
        "Calibration error": "Rows are put into bins by their confidence. Expected: the mean distance of confidence and "
        "accuracy over all rows; maximum: that of the worst bin.",
        "Brier score": "The mean squared distance between the probabilities and the label as 0 and 1, over all classes.",
    }
    items = [(element("dt", term), element("dd", text)) for term, text in texts.items()]
    return section("What the figures mean", element("dl", items, class_="terms"))
