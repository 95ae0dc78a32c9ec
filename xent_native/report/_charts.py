# SPDX-License-Identifier: BSD-3-Clause
"""The charts of the page as inline SVG. Colours and fonts come from the page's style sheet, by class."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from ..accumulate import CalibrationBin, Score
from ._figures import filled, loss_bars, wilson
from ._markup import Markup, element, name
from ._numbers import count, number, percent, plural, power_of_ten, short_count

_WIDTH = 420.0  # of the drawing: about that of a phone's screen, so that letters keep their size there
_LEFT, _RIGHT, _TOP = 58.0, 24.0, 10.0
_MOST_LABELLED = 16  # bins with a number over each bar; more would run into each other
_MOST_WRITTEN = 12  # classes of a confusion matrix with a number in each cell
_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


def reliability(score: Score, before: Score | None, counted: bool) -> Markup:
    """Accuracy over confidence, with the rows of each bin below.

    `counted`: all rows have weight 1, so that shares have intervals.
    """
    size = _WIDTH - _LEFT - _RIGHT
    strip_top, strip = _TOP + size + 18, 64.0
    height = strip_top + strip + 38

    def x(value: float) -> float:
        return _LEFT + size * value

    def y(value: float) -> float:
        return _TOP + size * (1 - value)

    known = filled(score.calibration.equal_width)
    drawn = [_frame(x, y), _line(x(0), y(0), x(1), y(1), "ideal")]
    if before is not None:
        old = filled(before.calibration.equal_width)
        drawn.append(_curve([(x(b.confidence), y(b.accuracy)) for b in old], "before"))
    drawn += [_line(x(b.confidence), y(b.confidence), x(b.confidence), y(b.accuracy), "gap") for b in known]
    if counted:
        drawn += [
            _line(x(b.confidence), y(low), x(b.confidence), y(high), "interval")
            for b in known
            for low, high in (wilson(b.accuracy, b.rows),)
        ]
    drawn.append(_curve([(x(b.confidence), y(b.accuracy)) for b in known], "now"))
    drawn += [
        element(
            "circle",
            element("title", _bin_text(b)),
            class_="dot",
            cx=x(b.confidence),
            cy=y(b.accuracy),
            r=4.0,
        )
        for b in known
    ]
    drawn += _strip(score.calibration.equal_width, x, strip_top, strip, "rows" if counted else "weight")
    drawn.append(_text(x(0.5), height - 4, "confidence: probability of the predicted class", "middle"))
    drawn.append(_text(11, y(0.5), "accuracy", "middle", transform=f"rotate(-90 11 {y(0.5):.1f})"))
    return _chart("Reliability diagram", _reliability_text(score), height, drawn)


def _frame(x: Callable[[float], float], y: Callable[[float], float]) -> list[Markup]:
    return [
        part
        for tick in _QUARTERS
        for part in (
            _line(x(0), y(tick), x(1), y(tick), "grid"),
            _text(x(0) - 6, y(tick) + 4, f"{100 * tick:.0f} %", "end"),
        )
    ]


def _strip(
    bins: Sequence[CalibrationBin],
    x: Callable[[float], float],
    top: float,
    height: float,
    unit: str,
) -> list[Markup]:
    """Bars with the weight of each bin, under the diagram and on its axis."""
    most = max((b.weight for b in bins), default=0.0)
    base = top + height
    drawn = [_line(x(0), base, x(1), base, "axis"), _text(x(0) - 6, base - 20, unit, "end")]
    for b in bins:
        left, right = x(max(0.0, b.low)), x(min(1.0, b.high))
        bar = (height - 14) * b.weight / most if most else 0.0
        if b.weight > 0:
            drawn.append(_bar(left, right, base, max(bar, 1.0), _bin_text(b), "rows"))
            if len(bins) <= _MOST_LABELLED:
                middle = (left + right) / 2
                drawn.append(_text(middle, base - bar - 3, short_count(b.weight), "middle", "small"))
    return drawn + [_text(x(tick), base + 14, f"{100 * tick:.0f} %", "middle") for tick in _QUARTERS]


def _bin_text(b: CalibrationBin) -> str:
    rows = (
        plural(b.rows, "row")
        if b.weight == b.rows
        else f"{plural(b.rows, 'row')} of weight {count(b.weight)}"
    )
    return (
        f"confidence {percent(b.low, 1)} to {percent(b.high, 1)}: {rows}, "
        f"mean confidence {percent(b.confidence)}, accuracy {percent(b.accuracy)}"
    )


def _reliability_text(score: Score) -> str:
    known = filled(score.calibration.equal_width)
    if not known:
        return "There are no rows with a confidence."
    worst = max(known, key=lambda b: abs(b.confidence - b.accuracy))
    return (
        f"Accuracy against confidence in {plural(len(known), 'bin')} with rows. "
        f"Expected calibration error {percent(score.calibration.expected_error)}. "
        f"The largest gap: {_bin_text(worst)}."
    )


def losses(score: Score) -> Markup:
    """Histogram of the losses on a logarithmic axis, with quantiles and the loss of guessing."""
    bars = loss_bars(score.histogram)
    top, plot, height = 62.0, 200.0, 314.0
    base = top + plot
    left = _LEFT + (36 if bars.zero else 0)
    right = _WIDTH - _RIGHT - (36 if bars.above else 0)
    low, high = (math.log(bars.edges[0]), math.log(bars.edges[-1])) if bars.shares else (0.0, 1.0)

    def x(loss: float) -> float:
        return left + (right - left) * (math.log(loss) - low) / (high - low)

    most = max((*bars.shares, bars.zero, bars.above), default=0.0) or 1.0
    drawn = _share_axis(most, top, base)
    for a, b, share in zip(bars.edges, bars.edges[1:], bars.shares, strict=False):
        if share > 0:
            text = f"{number(a)} to {number(b)} nats: {percent(share)} of the weight"
            drawn.append(_bar(x(a), x(b), base, plot * share / most, text, "loss"))
    for share, at, label, text in (
        (bars.zero, _LEFT, "0", "no loss, or less than a histogram tells from 0"),
        (bars.above, right + 8, "above", "beyond the axis, infinity included"),
    ):
        if share > 0:
            drawn.append(_bar(at, at + 26, base, plot * share / most, f"{text}: {percent(share)}", "loss"))
            drawn.append(_text(at + 13, base + 16, label, "middle"))
    drawn.append(_line(_LEFT, base, _WIDTH - _RIGHT, base, "axis"))
    if bars.shares:
        drawn += _decades(bars.edges[0], bars.edges[-1], x, base)
        drawn += _marks(score, bars.edges[0], bars.edges[-1], x, top, base)
    drawn.append(_text((left + right) / 2, height - 10, "loss of a row in nats (logarithmic)", "middle"))
    return _chart("Histogram of the losses", _losses_text(score), height, drawn)


def _share_axis(most: float, top: float, base: float) -> list[Markup]:
    """Lines at round shares of the weight."""
    step = 10.0 ** math.floor(math.log10(most))
    step *= next(f for f in (0.2, 0.5, 1.0, 2.0) if most / (step * f) <= 5)
    ticks = [i * step for i in range(int(most / step) + 1)]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9) - 2)
    at = [(base - (base - top) * tick / most, tick) for tick in ticks]
    return [
        part
        for y, tick in at
        for part in (
            _line(_LEFT, y, _WIDTH - _RIGHT, y, "grid"),
            _text(_LEFT - 6, y + 4, f"{100 * tick:.{decimals}f} %", "end"),
        )
    ]


def _decades(low: float, high: float, x: Callable[[float], float], base: float) -> list[Markup]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    step = max(1, -(-(last - first + 1) // 7))
    if last <= first:  # a range too short for powers of ten
        return [_text(x(end), base + 16, number(end), "middle") for end in (low, high)]
    drawn = []
    for power in range(first, last + 1):
        at = x(10.0**power)
        drawn.append(_line(at, base, at, base + 4, "axis"))
        if (power - first) % step == 0:
            drawn.append(_text(at, base + 16, _power(power), "middle"))
    return drawn


def _power(power: int) -> str:
    return number(10.0**power, max(0, -power)) if -4 <= power <= 4 else power_of_ten(power)


def _marks(
    score: Score, low: float, high: float, x: Callable[[float], float], top: float, base: float
) -> list[Markup]:
    """Quantiles, the mean, and what guessing would lose; names in rows, as marks may be close to each other."""
    quantiles = score.histogram.quantiles
    marks = [
        (quantiles.get(0.5, math.nan), "median", 10, "mark"),
        (score.mean_loss, "mean", 24, "mark"),
        (quantiles.get(0.95, math.nan), "95 %", 38, "mark"),
        (math.log(score.classes) if score.classes > 1 else math.nan, "guessing", 52, "guess"),
    ]
    lines, labels = [], []
    for value, label, y, kind in marks:
        if low <= value <= high:
            at = x(value)
            anchor = "end" if at > _WIDTH - 60 else "start" if at < _LEFT + 30 else "middle"
            lines.append(_line(at, y + 3.0, at, base, kind))
            labels.append(_text(at, y, label, anchor, "small halo"))
    return lines + labels  # so that no line goes through a name


def _losses_text(score: Score) -> str:
    named = ", ".join(f"{percent(q, 0)} {number(v)}" for q, v in sorted(score.histogram.quantiles.items()))
    return f"Mean {number(score.mean_loss)} nats. Quantiles in nats: {named}."


def confusion(score: Score, label: Callable[[int], str]) -> Markup:
    """The confusion matrix as shares of each label's weight, with weights in the cells where there is room."""
    matrix = score.confusion or ()
    n = len(matrix)
    left, top = _LEFT, 44.0
    cell = (_WIDTH - left - 4) / max(n, 1)
    height = top + cell * n + 10
    drawn: list[Any] = [
        _text(left + cell * n / 2, 12, "predicted", "middle"),
        _text(
            11, top + cell * n / 2, "label", "middle", transform=f"rotate(-90 11 {top + cell * n / 2:.1f})"
        ),
    ]
    every = max(1, math.ceil(14 / cell))
    drawn.append(element("rect", class_="cell", x=left, y=top, width=cell * n, height=cell * n))
    for i, row in enumerate(matrix):
        total = math.fsum(row)
        if i % every == 0:
            drawn.append(
                _text(left - 6, top + cell * (i + 0.5) + 4, _short(label(i), left - 20), "end", "small")
            )
            drawn.append(
                _text(left + cell * (i + 0.5), top - 6, _short(label(i), cell * every), "middle", "small")
            )
        for j, weight in enumerate(row):
            if weight > 0:
                text = (
                    f"{name(label(i))} taken for {name(label(j))}: {count(weight)}, {percent(weight / total)}"
                )
                part = _cell(left + cell * j, top + cell * i, cell, weight, weight / total, n)
                drawn.append(
                    element("g", element("title", text), part, class_="right" if i == j else "wrong")
                )
    return _chart("Confusion matrix", _confusion_text(score, label), height, drawn)


def _cell(x: float, y: float, size: float, weight: float, share: float, n: int) -> list[Markup]:
    side = size - (1.0 if n <= 40 else 0.0)
    opacity = 0.06 + 0.94 * math.sqrt(share)  # even one row in thousands can be seen
    drawn = [element("rect", x=x, y=y, width=side, height=side, fill_opacity=opacity)]
    if n <= _MOST_WRITTEN:
        ink = "small on" if share > 0.4 else "small"
        drawn.append(_text(x + size / 2, y + size / 2 + 4, short_count(weight), "middle", ink))
    return drawn


def _short(text: str, room: float) -> str:
    """As much of a name as has room, by how wide its letters are in most fonts."""
    width = 0.0
    for i, letter in enumerate(text):
        wide = letter in "mwMW@%" or unicodedata.east_asian_width(letter) in "WF" or ord(letter) > 0xFFFF
        width += 11.0 if wide else 8.0 if letter.isupper() else 6.5
        if width > room:
            return text[: max(1, i - 1)] + "…"
    return text


def _confusion_text(score: Score, label: Callable[[int], str]) -> str:
    matrix = score.confusion or ()
    right = math.fsum(row[i] for i, row in enumerate(matrix))
    total = math.fsum(w for row in matrix for w in row)
    return f"{len(matrix)} labels by predictions; {percent(right / total if total else math.nan)} on the diagonal."


def interval_bar(low: float, middle: float, high: float, least: float, most: float) -> Markup:
    """A mean with its interval on the scale of a table's column; its numbers stand in the table."""

    def x(value: float) -> float:
        return 4 + 92 * (value - least) / (most - least) if most > least else 50.0

    drawn = [_line(0, 8, 100, 8, "grid")]
    if all(map(math.isfinite, (low, middle, high))):
        drawn.append(_line(x(max(low, least)), 8, x(min(high, most)), 8, "interval"))
        drawn.append(element("circle", class_="dot", cx=x(middle), cy=8.0, r=4.0))
    return element("svg", drawn, class_="mini", viewBox="0 0 100 16", aria_hidden="true")


def share_bar(share: float) -> Markup:
    """A share of a column's largest value as the length of a bar, beside its number."""
    drawn = element("rect", class_="loss", x=0, y=3.0, width=max(0.0, min(1.0, share)) * 100, height=10.0)
    return element(
        "svg", drawn, class_="mini", viewBox="0 0 100 16", aria_hidden="true", preserveAspectRatio="none"
    )


def _chart(title: str, text: str, height: float, drawn: Any) -> Markup:
    return element(
        "svg",
        element("title", title),
        element("desc", text),
        drawn,
        class_="chart",
        viewBox=f"0 0 {_WIDTH:.0f} {height:.0f}",
        role="img",
        aria_label=f"{title}. {text}",
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return element("line", class_=kind, x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2))


def _text(x: float, y: float, text: str, anchor: str, kind: str | None = None, **more: Any) -> Markup:
    return element("text", text, x=float(x), y=float(y), text_anchor=anchor, class_=kind, **more)


def _curve(points: Sequence[tuple[float, float]], kind: str) -> Markup:
    path = " ".join(f"{'L' if i else 'M'}{x:.2f} {y:.2f}" for i, (x, y) in enumerate(points))
    return element("path", class_=kind, d=path or "M0 0")


def _bar(left: float, right: float, base: float, height: float, text: str, kind: str) -> Markup:
    width = max(right - left - 1, 0.5)
    box = {"x": left + 0.5, "y": base - height, "width": width, "height": height}
    return element("rect", element("title", text), class_=kind, **box)
