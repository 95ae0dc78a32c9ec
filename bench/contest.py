# SPDX-License-Identifier: BSD-3-Clause
"""A contest: entrants, each a competitor with its case, are prepared, checked against the right answer, and
timed in turn beside the bandwidth of memory.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .answers import Answer, disagreement, expected
from .arrays import Arrays, make_arrays
from .cases import Case
from .peers import Peer, Unsupported
from .roofline import Roofline
from .timing import Contestant, Plan, quartiles, ratios, run_rounds, seconds_of

Say = Callable[[str], None]


@dataclass(frozen=True)
class Entrant:
    """Who computes what."""

    peer: Peer
    case: Case


@dataclass
class Entry:
    """An entrant's outcome. `status` is ok, missing, unsupported, failed or disagrees."""

    peer: Peer
    case: Case
    status: str = "ok"
    detail: str = ""
    warm_up: float | None = None
    calls_per_sample: int = 1
    samples: list[float] = field(default_factory=list)  # seconds per call


@dataclass
class Bandwidth:
    """What one way of using memory gave: bytes of one pass, and its times."""

    bytes: int
    samples: list[float]


@dataclass
class Contest:
    """All entrants of a contest, and the bandwidths (none for calls that stay in a cache) between their calls."""

    entries: list[Entry]
    rounds: int
    bandwidths: dict[str, Bandwidth]  # "read" and "copy"

    def fractions(self, entry: Entry) -> list[float]:
        """Which part of its roof's bandwidth an entry reached, round by round; empty without a figure."""
        roof = self.bandwidths.get(entry.case.roof)
        if roof is None or not entry.samples:
            return []
        scale = entry.case.bytes_moved / roof.bytes
        return [scale * ratio for ratio in ratios(roof.samples, entry.samples, self.rounds)]

    def times(self, slow: Entry, fast: Entry) -> list[float]:
        """How many times as long `slow` takes as `fast`, round by round; empty without both figures."""
        if not slow.samples or not fast.samples:
            return []
        return ratios(slow.samples, fast.samples, self.rounds)

    def ours(self) -> Entry | None:
        """xent_native as tables put it forward: the first of its variants, not the fastest."""
        return next(
            (entry for entry in self.entries if entry.peer.name == "xent_native" and entry.samples), None
        )

    def fastest_peer(self) -> Entry | None:
        """The fastest of those that are not xent_native."""
        timed = [entry for entry in self.entries if entry.samples and not entry.peer.ours]
        return min(timed, key=lambda entry: quartiles(entry.samples)[1], default=None)


def run(
    entrants: Sequence[Entrant],
    roofline: Roofline | None,
    plan: Plan,
    megabytes: float = 0.0,
    say: Say = lambda _: None,
) -> Contest:
    """Prepare, check and time all entrants.

    Parameters
    ----------
    entrants : sequence of Entrant
        Those whose competitor has no interest in its case are left out.
    roofline : Roofline or None
        Measured in each round; None for what stays in a cache.
    plan : Plan
    megabytes : float
        A large case with fewer has its arrays copied, and its calls go from copy to copy, so that each
        comes from memory.
    say : callable
        Told what is going on, a line at a time.
    """
    inputs = _Inputs(megabytes)
    entries, contestants, playing = [], [], []
    for entrant in entrants:
        peer, case = entrant.peer, entrant.case
        if not peer.applies(case):
            continue
        say(f"{case.name}: preparing {peer.label}")
        entry = Entry(peer, case)
        entries.append(entry)
        call = _prepare(entry, inputs)
        if call is not None:
            contestant = Contestant(call, peer.setup, samples=entry.samples)
            contestant.plan(plan, batched=case.kind != "large")
            entry.calls_per_sample = contestant.inner
            contestants.append(contestant)
            playing.append(entry)
    say(f"{entrants[0].case.name}: measuring {len(playing)} competitors")
    bandwidths = {} if roofline is None else _add_roofline(contestants, roofline, plan.repeats)
    run_rounds(contestants, plan.repeats, plan.pause)
    return Contest(entries, plan.repeats, bandwidths)


def _add_roofline(contestants: list[Contestant], roofline: Roofline, repeats: int) -> dict[str, Bandwidth]:
    roofs = {"read": (roofline.read, roofline.read_bytes), "copy": (roofline.copy, roofline.copy_bytes)}
    bandwidths = {}
    for name, (call, size) in roofs.items():
        call()  # once untimed: it starts threads
        contestants.append(Contestant(call, repeats=repeats))
        bandwidths[name] = Bandwidth(size, contestants[-1].samples)
    return bandwidths


class _Inputs:
    """Arrays and answers of the cases of one contest, made when they are first asked for.

    Operations on the same input share it: where arrays are as large as memory is slow, that halves the wait.
    """

    def __init__(self, megabytes: float) -> None:
        self._bytes = megabytes * 2**20
        self._arrays: dict[tuple[Any, ...], list[Arrays]] = {}
        self._answers: dict[Case, Answer] = {}

    def arrays(self, case: Case) -> list[Arrays]:
        key = (case.operation.source, case.operation.target, case.dtype, case.shape, case.axis, case.kind)
        if key not in self._arrays:
            copies = math.ceil(self._bytes / case.bytes_read) if case.kind == "large" else 1
            first = make_arrays(case)
            self._arrays[key] = [first, *(first.copy() for _ in range(copies - 1))]
        return self._arrays[key]

    def answer(self, case: Case) -> Answer:
        if case not in self._answers:
            self._answers[case] = expected(case, self.arrays(case)[0])
        return self._answers[case]


def _prepare(entry: Entry, inputs: _Inputs) -> Callable[[], Any] | None:
    """The checked and warmed up call, or None, with the reason in `entry`."""
    peer, case = entry.peer, entry.case
    if not peer.installed():
        entry.status, entry.detail = "missing", f"{peer.package} is not installed"
        return None
    try:
        arrays, answer = inputs.arrays(case), inputs.answer(case)
        peer.load()
        peer.setup()
        calls = [peer.prepare(case, copy) for copy in arrays]
        results: list[Any] = []
        entry.warm_up = seconds_of(lambda: results.append(calls[0]()), 1)
        wrong = disagreement(peer, case, answer, results.pop())
        for call in calls[1:]:
            wrong = wrong or disagreement(peer, case, answer, call())
    except Unsupported as error:
        entry.status, entry.detail = "unsupported", str(error)
        return None
    except Exception as error:  # whatever a library throws: the others must run, and it must be told
        lines = str(error).strip().splitlines() or [""]
        entry.status, entry.detail = "failed", f"{type(error).__name__}: {lines[0][:300]}"
        return None
    if wrong:
        entry.status, entry.detail = "disagrees", wrong
        return None
    return calls[0] if len(calls) == 1 else _in_turn(calls)


def _in_turn(calls: Sequence[Callable[[], Any]]) -> Callable[[], Any]:
    """Calls the next of `calls`, round and round."""
    following = itertools.cycle(calls)
    return lambda: next(following)()
