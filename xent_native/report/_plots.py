# SPDX-License-Identifier: BSD-3-Clause
"""The report's charts in matplotlib, for papers and notebooks. matplotlib is imported when one is drawn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..accumulate import LossAccumulator, Score
from ._figures import as_score, filled, loss_bars, most_loss, namer, total_loss, unweighted, wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAIN, _WARM, _SOFT = "#17619e", "#b8500b", "#8a949c"  # readable on white, and apart from each other in grey
_MOST_WRITTEN = 12  # classes of a confusion matrix with a number in each cell


def plot_reliability(
    result: Score | LossAccumulator,
    ax: Axes | None = None,
    *,
    before: Score | LossAccumulator | None = None,
    equal_mass: bool = False,
) -> Axes:
    """Accuracy over confidence, with 95 % intervals where all weights are 1, and the weight of each bin below.

    Parameters
    ----------
    result : Score or LossAccumulator
        What to draw.
    ax : matplotlib.axes.Axes, optional
        Where; by default in a new figure.
    before : Score or LossAccumulator, optional
        A result to compare with, such as that before calibration by a temperature.
    equal_mass : bool, default False
        Bins with equally many rows in place of bins that are equally wide.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        If `result` or `before` is neither a Score nor a LossAccumulator.
    ModuleNotFoundError
        Without matplotlib.
    """
    score, ax = as_score(result), _axes(ax, (4.8, 4.8))
    ax.plot([0, 1], [0, 1], ":", color=_SOFT, label="perfect")
    if before is not None:
        old = filled(_bins(as_score(before), equal_mass))
        ax.plot([b.confidence for b in old], [b.accuracy for b in old], "--", color=_SOFT, label="before")
    bins = filled(_bins(score, equal_mass))
    x, y = [b.confidence for b in bins], [b.accuracy for b in bins]
    ax.vlines(x, x, y, colors=_WARM, linewidth=5, alpha=0.35, label="gap")
    if unweighted(score):
        ends = [wilson(b.accuracy, b.rows) for b in bins]
        ax.vlines(x, [low for low, _ in ends], [high for _, high in ends], colors=_MAIN, linewidth=1)
    ax.plot(x, y, "o-", color=_MAIN, label="accuracy")
    counts = ax.twinx()
    edges = [(b.low, b.high - b.low, b.weight) for b in bins]
    counts.bar(
        [e[0] for e in edges],
        [e[2] for e in edges],
        [e[1] for e in edges],
        align="edge",
        color=_SOFT,
        alpha=0.4,
    )
    most = max((b.weight for b in bins), default=1.0)
    counts.set_yticks([0, most])
    counts.set(
        ylim=(0, 5 * most),
        ylabel="rows" if unweighted(score) else "weight",
    )
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy", title="Reliability")
    ax.legend(loc="upper left", frameon=False)
    return ax


def plot_losses(result: Score | LossAccumulator, ax: Axes | None = None) -> Axes:
    """Histogram of the losses on a logarithmic axis, with median, mean, 95 % quantile and the loss of guessing.

    Rows without loss, and those beyond the axis, are named in the title: a logarithmic axis has no place for them.

    Parameters
    ----------
    result : Score or LossAccumulator
        What to draw.
    ax : matplotlib.axes.Axes, optional
        Where; by default in a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        If `result` is neither a Score nor a LossAccumulator.
    ModuleNotFoundError
        Without matplotlib.
    """
    score, ax = as_score(result), _axes(ax, (6.0, 3.6))
    bars = loss_bars(score.histogram)
    widths = [b - a for a, b in zip(bars.edges, bars.edges[1:], strict=False)]
    ax.bar(
        bars.edges[:-1],
        bars.shares,
        widths,
        align="edge",
        color=_MAIN,
        alpha=0.75,
        edgecolor="white",
        linewidth=0.5,
    )
    quantiles = score.histogram.quantiles
    marks = (
        (quantiles.get(0.5, math.nan), "median", "-", "black"),
        (score.mean_loss, "mean", "--", "black"),
        (quantiles.get(0.95, math.nan), "95 %", "-.", "black"),
        (math.log(score.classes) if score.classes > 1 else math.nan, "guessing", ":", _WARM),
    )
    for value, label, style, colour in marks:
        if math.isfinite(value) and value > 0:
            ax.axvline(value, linestyle=style, color=colour, linewidth=1, label=label)
    beside = [
        f"{share:.1%} {what}" for share, what in ((bars.zero, "at 0"), (bars.above, "beyond")) if share > 0
    ]
    title = f"Losses ({', '.join(beside)})" if beside else "Losses"
    ax.set(xscale="log", xlabel="loss of a row in nats", ylabel="share of the weight", title=title)
    ax.legend(frameon=False)
    return ax


def plot_confusion(
    result: Score | LossAccumulator, ax: Axes | None = None, *, class_names: Any = None
) -> Axes:
    """The confusion matrix: labels down, predictions across, each cell with its share of the label's weight.

    Parameters
    ----------
    result : Score or LossAccumulator
        What to draw.
    ax : matplotlib.axes.Axes, optional
        Where; by default in a new figure.
    class_names : sequence of str or mapping of int to str, optional
        Names of the classes; by default their indices.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        If `result` is neither a Score nor a LossAccumulator, or names are no names.
    ValueError
        If the result has no confusion matrix, because it has more classes than `max_confusion`, or if there is not one
        name for each class.
    ModuleNotFoundError
        Without matplotlib.
    """
    score = as_score(result)
    label = namer(class_names, score.classes)
    if score.confusion is None:
        raise ValueError(
            f"result has no confusion matrix: {score.classes} classes are more than max_confusion of its accumulator"
        )
    ax = _axes(ax, (5.2, 4.8))
    totals = [math.fsum(row) for row in score.confusion]
    shares = [[w / t if t else 0.0 for w in row] for row, t in zip(score.confusion, totals, strict=True)]
    image = ax.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    ax.figure.colorbar(image, ax=ax, label="share of the label")
    n = len(shares)
    ticks = range(0, n, max(1, -(-n // 20)))
    names = [label(k) for k in ticks]
    ax.set_xticks(ticks, names, rotation=90 if max(map(len, names)) > 3 else 0, parse_math=False)
    ax.set_yticks(ticks, names, parse_math=False)
    for i, row in enumerate(score.confusion if n <= _MOST_WRITTEN else ()):
        for j, weight in enumerate(row):
            if weight > 0:
                colour = "white" if shares[i][j] > 0.5 else "black"
                ax.text(j, i, f"{weight:,g}", ha="center", va="center", color=colour, fontsize="small")
    ax.set(xlabel="predicted", ylabel="label", title="Confusion matrix")
    return ax


def plot_classes(
    result: Score | LossAccumulator, ax: Axes | None = None, *, most: int = 20, class_names: Any = None
) -> Axes:
    """The classes with the most loss in total, as bars of their share of all loss.

    Parameters
    ----------
    result : Score or LossAccumulator
        What to draw.
    ax : matplotlib.axes.Axes, optional
        Where; by default in a new figure.
    most : int, default 20
        How many classes.
    class_names : sequence of str or mapping of int to str, optional
        Names of the classes; by default their indices.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        If `result` is neither a Score nor a LossAccumulator, or names are no names.
    ValueError
        If there is not one name for each class.
    ModuleNotFoundError
        Without matplotlib.
    """
    score = as_score(result)
    label = namer(class_names, score.classes)
    chosen = most_loss(score, most)
    ax = _axes(ax, (6.0, 0.9 + 0.26 * len(chosen)))
    losses = [total_loss(c.mean_loss, c.weight) for c in score.per_class]
    everything = math.fsum(losses)
    ax.barh(
        range(len(chosen)),
        [losses[k] / everything if everything else 0.0 for k in chosen],
        color=_MAIN,
        alpha=0.75,
    )
    ax.set_yticks(range(len(chosen)), [label(k) for k in chosen], parse_math=False)
    ax.invert_yaxis()
    ax.set(xlabel="share of all loss", ylabel="class", title="Classes with the most loss")
    return ax


def plot_groups(result: Score | LossAccumulator, ax: Axes | None = None) -> Axes:
    """The mean loss of each group with its 95 % interval, the largest at the top.

    Parameters
    ----------
    result : Score or LossAccumulator
        What to draw.
    ax : matplotlib.axes.Axes, optional
        Where; by default in a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        If `result` is neither a Score nor a LossAccumulator.
    ValueError
        If the result has no groups.
    ModuleNotFoundError
        Without matplotlib.
    """
    score = as_score(result)
    if not score.groups:
        raise ValueError("result has no groups: give update(groups=...) or score(group_by=...)")
    order = sorted(score.groups.items(), key=lambda item: (-item[1].mean_loss, str(item[0])))
    ax = _axes(ax, (6.0, 0.9 + 0.3 * len(order)))
    for at, (_, group) in enumerate(order):
        ax.plot(group.interval, (at, at), "-", color=_MAIN)
        ax.plot(group.mean_loss, at, "o", color=_MAIN)
    ax.axvline(score.mean_loss, linestyle=":", color=_SOFT, label="all rows")
    ax.set_yticks(range(len(order)), [str(value) for value, _ in order], parse_math=False)
    ax.invert_yaxis()
    ax.set(xlabel="mean loss in nats, with 95 % interval", title="Groups")
    ax.legend(frameon=False)
    return ax


def _bins(score: Score, equal_mass: bool) -> Any:
    return score.calibration.equal_mass if equal_mass else score.calibration.equal_width


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "plots need matplotlib: pip install 'xent-native[plot]'", name=error.name
        ) from None
    axes: Axes = pyplot.subplots(figsize=size, layout="constrained")[1]
    return axes
