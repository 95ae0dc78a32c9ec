# SPDX-License-Identifier: BSD-3-Clause
"""Small calls: microseconds, beside the peers; and whether a parallel region opens where it pays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import crossover
from ..cases import OPERATIONS, Case
from ..contest import Contest
from . import targets
from .line import Line, line_of
from .session import Session


def small(session: Session) -> Iterator[Line]:
    """One call on a small batch: function, class, gradient, and the function against the peers."""
    section = f"One call at {targets.SMALL_SHAPE}, float32, integer labels, from logits, mean"
    call = "sparse_categorical_crossentropy"
    contest = _contest("forward", session)
    yield _microseconds(section, call, targets.SMALL_FUNCTION, contest, "xent_native")
    ours, peer = contest.ours(), contest.fastest_peer()
    times = contest.times(peer, ours) if ours and peer else []
    remark = f"fastest peer: {peer.peer.name}" if peer else "no peer has a figure"
    yield line_of(section, f"{call}, times as fast as the fastest peer", "times", targets.SMALL_PEERS, times,
                  remark=remark)  # fmt: skip
    yield _microseconds(section, "SparseCategoricalCrossentropy", targets.SMALL_CLASS, contest,
                        "xent_native-class")  # fmt: skip
    gradient = _contest("gradient", session)
    yield _microseconds(section, f"{call}_value_and_grad", targets.SMALL_GRADIENT, gradient, "xent_native")


def _contest(operation: str, session: Session) -> Contest:
    case = Case(OPERATIONS[operation], "float32", targets.SMALL_SHAPE, kind="small")
    return session.run(*(session.entrant(case, name) for name in session.peers))


def _microseconds(section: str, what: str, target: float, contest: Contest, name: str) -> Line:
    entry = next(entry for entry in contest.entries if entry.peer.name == name)
    samples = [seconds * 1e6 for seconds in entry.samples]
    return line_of(section, what, "us", target, samples, at_least=False, remark=entry.detail)


def region(session: Session) -> Iterator[Line]:
    """The size from which several threads pay, beside the size from which the code uses them."""
    import xent_native

    xent_native.set_isa(session.isas[0])  # contests leave behind what their last entrant used
    limit = crossover.serial_below()
    sizes = crossover.SIZES[:7] if session.quick else crossover.SIZES
    curves = crossover.measure(
        session.threads, crossover.CLASSES, sizes, session.plan.repeats, session.plan.pause
    )
    for curve in curves:
        yield from region_lines(curve, limit)


def region_lines(curve: dict[str, Any], limit: int) -> Iterator[Line]:
    """Where the code opens a region, as a multiple of the size from which that pays: not early, not late.

    Calls back to back decide: where threads have to be woken first, what that costs depends on what they
    did before.
    """
    estimate = curve["estimates"]["busy"]
    figure = None
    if estimate is None:
        remark = "no call used several threads"
    elif estimate["pays_from"] is None:
        remark = "several threads never pay here"
    else:
        figure = limit / max(1, estimate["pays_from"])
        remark = f"pays from {estimate['pays_from']:,}; opening one costs {estimate['region'] * 1e6:.1f} us"
    section = f"Parallel regions: the code's {limit:,} elements, of those from which several threads pay"
    for what, target, at_least in (
        ("not early", targets.REGION_LEAST, True),
        ("not late", targets.REGION_MOST, False),
    ):
        yield Line(
            section, f"C = {curve['classes']:,}, {what}", "times", target, figure, at_least, remark=remark
        )
