# SPDX-License-Identifier: BSD-3-Clause
"""What all parts of the limits share: how to measure, and a record of what was measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from .. import cases, contest
from ..cases import Case
from ..contest import Contest, Entrant, Say
from ..peers import PEERS, Settings
from ..roofline import Roofline
from ..timing import Plan


@dataclass
class Session:
    """Settings of a run of the limits, and the contests that it has had so far.

    Attributes
    ----------
    roofline : Roofline
    plan : Plan
    megabytes : float
        Size of the logits of large cases.
    file_megabytes : float
        Size of files that are scored.
    threads : int
    isas : list of str
        Instruction sets that this machine and this build have, best first.
    peers : list of str
        Competitors' names.
    quick : bool
        Tiny arrays where a shape is fixed, too.
    """

    roofline: Roofline
    plan: Plan
    megabytes: float
    file_megabytes: float
    threads: int
    isas: list[str]
    peers: list[str]
    quick: bool
    say: Say
    contests: list[Contest] = field(default_factory=list)

    def large(self, operation: str, classes: int, dtype: str = "float32") -> Case:
        """The case that fills as much memory as this session uses."""
        return cases.large(operation, classes, dtype, self.megabytes)

    def entrant(self, case: Case, name: str = "xent_native", isa: str = "", threads: int = 0) -> Entrant:
        """A competitor, xent_native unless named; the best instruction set and all threads unless told."""
        return Entrant(PEERS[name](Settings(threads or self.threads, isa or self.isas[0])), case)

    def run(self, *entrants: Entrant, plan: Plan | None = None) -> Contest:
        """Have a contest, beside the roofline if its cases are large."""
        large = any(entrant.case.kind == "large" for entrant in entrants)
        roofline = self.roofline if large else None
        done = contest.run(entrants, roofline, plan or self.plan, self.megabytes, self.say)
        self.contests.append(done)
        return done
