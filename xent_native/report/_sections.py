# SPDX-License-Identifier: BSD-3-Clause
"""The sections of the page with charts and tables: one function each, made of a Score."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..accumulate import Score
from . import _charts
from ._figures import Z, mistakes, most_loss, total_loss, unweighted
from ._markup import Markup, data, element
from ._numbers import count, decimals_for, number, percent
from ._tables import cell, folded, named, optional, paragraph, section, table

MOST_CLASSES = 200  # rows of the table: a page with thousands of them is no pleasure, nor quick
MOST_GROUPS = 200
_MOST_MISTAKES = 10
_WORDS = {"Source": "word", "Label": "word", "Predicted": "word"}

Label = Callable[[int], str]


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
        folded("The diagram as a table", _bins_table(score)),
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
        row = [named(label(k), k), cell(count(c.support), c.support)]
        row += [cell(count(c.weight), c.weight)] if weighted else []
        row += [
            cell(
                [
                    _charts.share_bar(share / longest if share > 0 else 0.0),
                    element("span", percent(share, 1), class_="share"),
                ],
                share,
            ),
            cell(number(c.mean_loss) if c.support else "–", c.mean_loss),
            cell(percent(c.accuracy), c.accuracy),
        ]
        row += [cell(optional(c.calibration_error), c.calibration_error)] if classwise else []
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
                table("Most frequent mistakes", heads, rows, kinds=_WORDS),
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
        error = element("small", f"±\u00a0{number(half, digits)}") if math.isfinite(half) else None
        loss = [number(g.mean_loss, digits), " ", error]
        rows.append(
            [
                named(str(value), value),
                cell(count(g.rows), g.rows),
                cell(loss, g.mean_loss, "wrap"),
                cell(_charts.interval_bar(low, g.mean_loss, high, least, most), g.mean_loss, "plot"),
                cell(percent(g.accuracy), g.accuracy),
                cell(percent(g.calibration.expected_error), g.calibration.expected_error),
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
            kinds={"95 % interval": "plot"},
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
        table("Worst rows", heads, rows, kinds=_WORDS),
    )


def definitions() -> Markup:
    """What the figures mean, for those who read such a page for the first time."""
    texts = {
        "Log loss": "The mean of −log of the probability that predictions gave to the label, in nats (natural "
        "logarithm) or bits. Its interval is the mean ± 1.96 standard errors, for rows that are independent.",
        "Perplexity": "e to the log loss: as unsure as a fair guess among so many classes.",
        "Accuracy": "The share of rows whose label has the largest prediction; ties count for the lowest class. "
        "Its interval is Wilson's.",
        "Confidence": "The probability of the predicted class.",
        "Calibration error": "Rows are put into bins by their confidence. Expected: the mean distance of confidence "
        "and accuracy over all rows; maximum: that of the worst bin.",
        "Brier score": "The mean squared distance between the probabilities and the label as 0 and 1, over classes.",
    }
    items = [(element("dt", term), element("dd", text)) for term, text in texts.items()]
    return section("What the figures mean", element("dl", items, class_="terms"))
