# SPDX-License-Identifier: BSD-3-Clause
"""The one engine that times calls: all in turn, round by round, and ratios of times from the same rounds.

In turn means that every round measures each contestant once, in another order. So a slow minute of the
machine falls on all of them alike, and the ratio of two times from one round is better known than either.
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

LONG_CALL = 20.0  # seconds; such a call is not repeated
BATCH_SECONDS = 2e-3  # of small calls: long beside the clock's resolution, short beside the scheduler's slice


@dataclass(frozen=True)
class Plan:
    """How often and how long.

    Attributes
    ----------
    repeats : int
        Rounds: measurements of every contestant, each of one call or of a batch of small calls.
    budget : float
        Seconds for one contestant in one contest: slow ones get fewer repeats, but at least 3, unless one
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
class Contestant:
    """A call that is timed, and its times.

    Attributes
    ----------
    call : callable
        What is timed; its result is dropped inside, as freeing it is part of what users pay.
    setup : callable
        Called before each measurement, untimed: settings that hold for the whole process.
    repeats : int
        In how many rounds it is measured.
    inner : int
        Calls per measurement.
    samples : list of float
        Seconds per call, one for each round of ``due(repeats, rounds)``.
    """

    call: Callable[[], Any]
    setup: Callable[[], None] = lambda: None
    repeats: int = 0
    inner: int = 1
    samples: list[float] = field(default_factory=list)

    def plan(self, plan: Plan, batched: bool) -> None:
        """Decide how often, by one more call: the first, not timed here, may have compiled something."""
        self.setup()
        seconds = seconds_of(self.call, 1)
        if batched:
            seconds = min(seconds, seconds_of(self.call, 10) / 10)
            self.inner = max(1, round(BATCH_SECONDS / seconds))
        self.repeats = plan.repeats_for(seconds * self.inner)

    def measure(self) -> None:
        """Take one sample."""
        self.setup()
        if self.inner > 1:  # after a pause the first calls find cold caches and sleeping threads
            seconds_of(self.call, max(1, self.inner // 10))
        self.samples.append(seconds_of(self.call, self.inner) / self.inner)


def run_rounds(contestants: Sequence[Contestant], rounds: int, pause: float) -> None:
    """Measure all contestants in turn."""
    order = random.Random(0)
    rounds_of = [set(due(contestant.repeats, rounds)) for contestant in contestants]
    enabled = gc.isenabled()
    gc.disable()
    try:
        for number in range(rounds):
            turns = [c for c, its in zip(contestants, rounds_of, strict=True) if number in its]
            order.shuffle(turns)
            for contestant in turns:
                time.sleep(pause)
                contestant.measure()
    finally:
        if enabled:
            gc.enable()


def due(repeats: int, rounds: int) -> list[int]:
    """The rounds of a contestant that is measured less often: spread evenly over all."""
    return [n for n in range(rounds) if (n + 1) * repeats // rounds > n * repeats // rounds]


def ratios(above: Sequence[float], below: Sequence[float], rounds: int) -> list[float]:
    """above / below for the rounds that have samples of both.

    Two that share no round (each in a few of many) are compared by their medians: one ratio.
    """
    first = dict(zip(due(len(above), rounds), above, strict=True))
    second = dict(zip(due(len(below), rounds), below, strict=True))
    found = [first[n] / second[n] for n in first if n in second]
    return found or [quartiles(above)[1] / quartiles(below)[1]]


def times_as_fast(
    ours: Callable[[], Any], theirs: Callable[[], Any], plan: Plan, batched: bool = True
) -> list[float]:
    """How many times as long `theirs` takes as `ours`, round by round."""
    pair = [Contestant(theirs), Contestant(ours)]
    for contestant in pair:
        contestant.call()
        contestant.plan(plan, batched)
    rounds = max(contestant.repeats for contestant in pair)
    run_rounds(pair, rounds, plan.pause)
    return ratios(pair[0].samples, pair[1].samples, rounds)


def quartiles(samples: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile."""
    first, median, third = np.quantile(np.asarray(samples, np.float64), [0.25, 0.5, 0.75])
    return float(first), float(median), float(third)


def seconds_of(call: Callable[[], Any], count: int) -> float:
    """Seconds of `count` calls, one after the other."""
    start = time.perf_counter()
    for _ in repeat(None, count):
        call()
    return time.perf_counter() - start
