# SPDX-License-Identifier: BSD-3-Clause
"""The one runner: prepares the competitors of a case, checks that they agree, and times them in turn.

In turn means round by round: every round calls each competitor once, in another order, and reads and copies
the roofline's arrays once. So a slow minute of the machine falls on all of them alike.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np

from .cases import Answer, Arrays, Case, expected, make_arrays, rows_of
from .peers import Peer, Unsupported
from .roofline import Roofline

# How far a competitor may be off and still have computed the same thing: float32 sums of millions of losses
# lose about sqrt(rows) * 2^-24 = 1e-4; half-precision results are rounded to 2^-9, also on the way.
TOLERANCE = {"float64": 1e-9, "float32": 1e-3, "float16": 3e-2, "bfloat16": 3e-2}
LONG_CALL = 20.0  # seconds; such a call is not repeated
BATCH_SECONDS = 2e-3  # of small calls: long beside the clock's resolution, short beside the scheduler's slice


@dataclass(frozen=True)
class Plan:
    """How often and how long.

    Attributes
    ----------
    repeats : int
        Calls of every competitor, or batches of small calls.
    budget : float
        Seconds for one competitor in one case: slow ones get fewer repeats, but at least 3, unless one
        takes more than `LONG_CALL`.
    pause : float
        Seconds before each measurement: idle threads of the one before spin for milliseconds.
    """

    repeats: int = 15
    budget: float = 3.0
    pause: float = 0.01

    def repeats_for(self, seconds: float) -> int:
        """Repeats of a call that takes so long."""
        if seconds > LONG_CALL:
            return 1
        affordable = int(self.budget / seconds) if seconds > 0 else self.repeats
        return min(self.repeats, max(3, affordable))


@dataclass
class Entry:
    """One competitor in one case. `status` is ok, missing, unsupported, failed or disagrees."""

    peer: str
    ours: bool
    status: str = "ok"
    detail: str = ""
    warm_up: float | None = None
    calls_per_sample: int = 1
    samples: list[float] = field(default_factory=list)  # seconds per call


@dataclass
class CaseResult:
    """All competitors of one case, and the roofline's samples (seconds) from between their calls."""

    case: Case
    entries: list[Entry]
    roofline: dict[str, list[float]]


@dataclass
class _Competitor:
    entry: Entry
    call: Callable[[], Any]
    repeats: int = 0
    inner: int = 1

    def measure(self) -> None:
        if self.inner > 1:  # after a pause the first calls find cold caches and sleeping threads
            _time_calls(self.call, max(1, self.inner // 10))
        self.entry.samples.append(_time_calls(self.call, self.inner) / self.inner)


def run_case(
    case: Case,
    peers: Sequence[Peer],
    roofline: Roofline | None,
    plan: Plan,
    say: Callable[[str], None] = lambda _: None,
) -> CaseResult:
    """Time all `peers` on one case.

    Parameters
    ----------
    case : Case
    peers : sequence of Peer
    roofline : Roofline or None
        Measured once in each round; None for small calls, which have no roofline.
    plan : Plan
    say : callable
        Told what is going on, a line at a time.
    """
    arrays = make_arrays(case)
    answer = expected(case, arrays)
    entries, competitors = [], []
    for peer in peers:
        if not peer.applies(case):
            continue
        say(f"{case.name}: preparing {peer.name}")
        entry = Entry(peer.name, peer.ours)
        entries.append(entry)
        call = _prepare(peer, case, arrays, answer, entry)
        if call is not None:
            competitors.append(_plan(entry, call, case, plan))
    say(f"{case.name}: measuring {len(competitors)} competitors")
    samples = _rounds(competitors, roofline, plan)
    return CaseResult(case, entries, samples)


def _prepare(
    peer: Peer, case: Case, arrays: Arrays, answer: Answer, entry: Entry
) -> Callable[[], Any] | None:
    """The checked and warmed up call, or None, with the reason in `entry`."""
    if not peer.installed():
        entry.status, entry.detail = "missing", f"{peer.package} is not installed"
        return None
    try:
        peer.load()
        call = peer.prepare(case, arrays)
        start = time.perf_counter()
        result = call()
        entry.warm_up = time.perf_counter() - start
        wrong = disagreement(peer, case, answer, result)
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
    return call


def disagreement(peer: Peer, case: Case, answer: Answer, result: tuple[Any, Any]) -> str:
    """What is wrong with a competitor's result, or an empty string."""
    tolerance = TOLERANCE[case.dtype]
    value, array = result
    if answer.mean is not None:
        mean = float(np.mean(peer.to_numpy(value), dtype=np.float64))
        if not abs(mean - answer.mean) <= tolerance * abs(answer.mean):
            return f"mean {mean!r}, expected {answer.mean!r}"
    if answer.rows is None:
        return ""
    rows = rows_of(peer.to_numpy(array).reshape(case.shape), case, answer.index)
    if peer.sums:
        rows /= case.rows
    # In the sum over a row every class counts, also where one entry is a million times the others.
    allowed = tolerance * np.abs(answer.rows).sum(axis=1)
    if case.dtype == "float16":  # the mean's gradient underflows there
        allowed += case.classes * float(np.finfo(np.float16).smallest_subnormal)
    error = np.abs(rows - answer.rows).sum(axis=1)
    if not np.all(error <= allowed):
        worst = int(np.argmax(np.where(np.isnan(error), np.inf, error / allowed)))
        return f"row {answer.index[worst]} is off by {error[worst]:.3g} in sum, allowed {allowed[worst]:.3g}"
    return ""


def _plan(entry: Entry, call: Callable[[], Any], case: Case, plan: Plan) -> _Competitor:
    """Decide how often: by one more call, because the first may have compiled something."""
    seconds = _time_calls(call, 1)
    inner = 1
    if case.small:
        seconds = min(seconds, _time_calls(call, 10) / 10)
        inner = max(1, round(BATCH_SECONDS / seconds))
    entry.calls_per_sample = inner
    return _Competitor(entry, call, plan.repeats_for(seconds * inner), inner)


def _rounds(competitors: list[_Competitor], roofline: Roofline | None, plan: Plan) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {"read": [], "copy": []}
    if roofline is not None:  # once untimed: the first call starts threads
        roofline.read()
        roofline.copy()
    order = random.Random(0)
    enabled = gc.isenabled()
    gc.disable()
    try:
        for number in range(plan.repeats):
            turns: list[Callable[[], None]] = [
                competitor.measure
                for competitor in competitors
                if _is_due(number, competitor.repeats, plan.repeats)
            ]
            if roofline is not None:
                turns += [
                    lambda: samples["read"].append(_time_calls(roofline.read, 1)),
                    lambda: samples["copy"].append(_time_calls(roofline.copy, 1)),
                ]
            order.shuffle(turns)
            for turn in turns:
                time.sleep(plan.pause)
                turn()
    finally:
        if enabled:
            gc.enable()
    return samples


def _is_due(number: int, repeats: int, rounds: int) -> bool:
    """Spread fewer repeats evenly over all rounds."""
    return (number + 1) * repeats // rounds > number * repeats // rounds


def _time_calls(call: Callable[[], Any], count: int) -> float:
    """Seconds of `count` calls; results are dropped inside, as freeing them is part of what users pay."""
    start = time.perf_counter()
    for _ in repeat(None, count):
        call()
    return time.perf_counter() - start
