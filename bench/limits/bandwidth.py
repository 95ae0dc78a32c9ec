# SPDX-License-Identifier: BSD-3-Clause
"""Fractions of the memory's bandwidth: the table, and the same for float64, other inputs and other layouts."""

from __future__ import annotations

from collections.abc import Iterator

from .. import cases
from ..cases import Case
from ..contest import Contest, Entry
from . import targets
from .line import Line, line_of
from .session import Session

TITLES = {"forward": "loss", "gradient": "loss and gradient"}


def table(session: Session) -> Iterator[Line]:
    """The rows of the table, and AVX2 against the best instruction set in each."""
    for operation, goals in targets.TABLE.items():
        for classes, goal in goals.items():
            case = session.large(operation, classes)
            isas = [session.isas[0], *(["avx2"] if "avx2" in session.isas[1:] else [])]
            contest = session.run(*(session.entrant(case, isa=isa) for isa in isas))
            what = f"{TITLES[operation]}, C = {classes:,}"
            yield _fraction(
                "float32, integer labels, from logits, mean", what, goal, contest, contest.entries[0]
            )
            yield _avx2(what, contest, session)


def _avx2(what: str, contest: Contest, session: Session) -> Line:
    """Speed of the second entry, of that of the first: the first's time over the second's."""
    section = "AVX2, of the speed of AVX-512, in the same rows"
    if session.isas[0] != "avx512" or len(contest.entries) < 2:
        reason = "needs AVX-512 and AVX2"
        return line_of(section, what, "times", targets.AVX2, (), remark=reason)
    best, avx2 = contest.entries
    return line_of(section, what, "times", targets.AVX2, contest.times(best, avx2), remark=avx2.detail)


def float64(session: Session) -> Iterator[Line]:
    """The table's operations in float64."""
    for operation in targets.TABLE:
        for classes in targets.FLOAT64_CLASSES:
            case = session.large(operation, classes, "float64")
            what = f"{TITLES[operation]}, C = {classes:,}"
            yield _alone("float64, integer labels, from logits, mean", what, targets.FLOAT64, case, session)


def inputs(session: Session) -> Iterator[Line]:
    """Dense targets, and probabilities."""
    for operation, goal in targets.INPUTS.items():
        for classes in targets.INPUT_CLASSES:
            case = session.large(operation, classes)
            kind = "dense targets" if case.operation.target == "dense" else "integer labels"
            what = f"from {case.operation.source}, {kind}, C = {classes:,}"
            yield _alone("Other inputs: loss, float32, mean", what, goal, case, session)


def focal(session: Session) -> Iterator[Line]:
    """Categorical focal loss, beside targets of our own."""
    for operation, goals in targets.FOCAL.items():
        for classes, goal in goals.items():
            case = session.large(operation, classes)
            yield _alone("Categorical focal loss, float32, dense targets, from logits, mean", f"C = {classes:,}", goal,
                         case, session)  # fmt: skip


def binary(session: Session) -> Iterator[Line]:
    """Binary losses from logits: elements on their own, in short rows and in long ones."""
    for operation, goal in targets.BINARY.items():
        for classes in targets.BINARY_CLASSES:
            case = session.large(operation, classes)
            what = f"{case.operation.summary.removesuffix(', from logits')}, C = {classes:,}"
            yield _alone("Binary losses, float32, from logits, mean", what, goal, case, session)


def layouts(session: Session) -> Iterator[Line]:
    """Classes on axis 1, and fewer rows than threads need."""
    for operation, goal in targets.LAYOUTS.items():
        for case in cases.select([operation], (), "float32", session.megabytes, session.quick):
            shape = ", ".join(f"{n:,}" if case.axis == -1 else str(n) for n in case.shape)
            what = f"({shape})" + (f", classes on axis {case.axis}" if case.axis != -1 else "")
            yield _alone(
                "Other layouts: loss, float32, integer labels, from logits, mean", what, goal, case, session
            )


def _alone(section: str, what: str, goal: float, case: Case, session: Session) -> Line:
    contest = session.run(session.entrant(case))
    return _fraction(section, what, goal, contest, contest.entries[0])


def _fraction(section: str, what: str, goal: float, contest: Contest, entry: Entry) -> Line:
    unit = "W" if entry.case.roof == "copy" else "R"
    return line_of(section, what, unit, goal, contest.fractions(entry), remark=entry.detail)
