# SPDX-License-Identifier: BSD-3-Clause
"""Two threads against one where arithmetic is the limit: the data stays in the cache."""

from __future__ import annotations

from collections.abc import Iterator

from ..cases import OPERATIONS, Case, rows_filling
from . import targets
from .bandwidth import TITLES
from .line import Line, line_of
from .session import Session


def scaling(session: Session) -> Iterator[Line]:
    """One thread, and in turn two on twice the rows, in each thread's own cache: rows a second."""
    section = "Two threads, of the speed of one; data in cache, float32, integer labels, from logits"
    megabytes = min(targets.THREADS_MEGABYTES, session.megabytes)
    for operation in targets.TABLE:
        for classes in targets.THREADS_CLASSES:
            what = f"{TITLES[operation]}, C = {classes}"
            if session.threads < 2:
                yield line_of(section, what, "times", targets.THREADS, (), remark="needs two CPUs")
                continue
            rows = rows_filling(megabytes, classes, "float32")
            cases = [
                Case(OPERATIONS[operation], "float32", (n * rows, classes), kind="cached") for n in (1, 2)
            ]
            contest = session.run(
                *(session.entrant(case, threads=n) for n, case in enumerate(cases, start=1))
            )
            one, two = contest.entries
            times = [2 * time for time in contest.times(one, two)]
            yield line_of(section, what, "times", targets.THREADS, times, remark=two.detail)
