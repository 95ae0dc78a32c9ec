# SPDX-License-Identifier: BSD-3-Clause
"""bfloat16 and float16 against float32: elements a second, on arrays of one shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from . import targets
from .bandwidth import TITLES
from .line import Line, line_of
from .session import Session

HALVES = ("bfloat16", "float16")


def halves(session: Session) -> Iterator[Line]:
    """Each half type and float32 in turn; the shape is that which fills memory with halves."""
    for operation in targets.TABLE:
        for classes in targets.HALF_CLASSES:
            case = session.large(operation, classes, "float16")
            contest = session.run(
                *(session.entrant(replace(case, dtype=dtype)) for dtype in ("float32", *HALVES))
            )
            single, *others = contest.entries
            for half in others:
                yield line_of(
                    "Half precision: elements a second, of those of float32",
                    f"{half.case.dtype}, {TITLES[operation]}, C = {classes:,}",
                    "times",
                    targets.HALF,
                    contest.times(single, half),
                    remark=half.detail,
                )
