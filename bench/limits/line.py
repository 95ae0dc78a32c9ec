# SPDX-License-Identifier: BSD-3-Clause
"""One line of the limits: a figure, its target, and whether it is reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..timing import quartiles


@dataclass(frozen=True)
class Line:
    """A figure beside its target.

    Attributes
    ----------
    section, what : str
        The table and the row that it stands in.
    unit : str
        "R", "W", "times", "us", "ms", "MB" or "elements".
    target : float
    figure : float or None
        None if it could not be measured; `remark` says why.
    at_least : bool
        Whether `target` is the least that passes, or the most.
    spread : (float, float) or None
        First and third quartile of the samples behind `figure`.
    remark : str
    samples : tuple of float
        What `figure` is the median of, where no contest keeps it.
    """

    section: str
    what: str
    unit: str
    target: float
    figure: float | None
    at_least: bool = True
    spread: tuple[float, float] | None = None
    remark: str = ""
    samples: tuple[float, ...] = ()

    @property
    def verdict(self) -> str:
        """ "pass", "short", or "no figure"."""
        if self.figure is None:
            return "no figure"
        reached = self.figure >= self.target if self.at_least else self.figure <= self.target
        return "pass" if reached else "short"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**asdict(self), "verdict": self.verdict}


def line_of(
    section: str,
    what: str,
    unit: str,
    target: float,
    samples: Sequence[float],
    *,
    at_least: bool = True,
    remark: str = "",
) -> Line:
    """The line whose figure is the median of `samples`."""
    if not samples:
        return Line(section, what, unit, target, None, at_least, None, remark or "not measured")
    first, median, third = quartiles(samples)
    return Line(section, what, unit, target, median, at_least, (first, third), remark, tuple(samples))
