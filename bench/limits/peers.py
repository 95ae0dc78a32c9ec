# SPDX-License-Identifier: BSD-3-Clause
"""xent_native against the fastest peer in each row of the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from . import targets
from .bandwidth import TITLES
from .line import Line, line_of
from .session import Session


def peers(session: Session) -> Iterator[Line]:
    """All competitors in turn. One second each will do: who is fastest is far ahead of the next sample."""
    plan = replace(session.plan, budget=min(1.0, session.plan.budget))
    for operation in targets.TABLE:
        for classes in targets.TABLE[operation]:
            case = session.large(operation, classes)
            contest = session.run(*(session.entrant(case, name) for name in session.peers), plan=plan)
            ours, peer = contest.ours(), contest.fastest_peer()
            yield line_of(
                "Against the fastest peer: times as fast",
                f"{TITLES[operation]}, C = {classes:,}",
                "times",
                targets.PEERS[operation],
                contest.times(peer, ours) if ours and peer else [],
                remark=f"fastest peer: {peer.peer.name}" if peer else "no peer has a figure",
            )
