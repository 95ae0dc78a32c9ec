# SPDX-License-Identifier: BSD-3-Clause
"""How long Ctrl-C takes: the longest of many delays until a long call has raised KeyboardInterrupt, against 0.1 s.

    python tests/slow/interrupt.py [--record] [--times N]

Goes over every kind of call in tests/long_calls.py, on one thread and on two, with the best instruction set and with
the baseline, and over gradients, in memory of 1 GB. The moment of the signal is another one each time. It needs an
idle machine: a delay beyond the bound is measured again, and counts only if it stays. About five minutes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import long_calls
import records

import xent_native as xn

BOUND = 0.1  # seconds: the contract's "about 0.1 s"
AGAIN = 3  # times that a delay beyond it is measured once more


def gradients(y: np.ndarray, x: np.ndarray, **options: object) -> Callable:
    """In place, over and over, since a gradient needs memory: the signal comes in some call, or between two."""

    def call(n: int) -> None:
        while True:
            xn.sparse_categorical_crossentropy_value_and_grad(
                y, x, True, grad_out=x, reduction="sum", n_threads=n, **options
            )

    return call


def kinds() -> dict[str, Callable]:
    found = {name: prepare() for name, prepare in long_calls.CALLS.items()}
    large = np.zeros((1, 1 << 28), np.float32)
    found["gradient, one wide row"] = gradients(np.zeros(1, int), large)
    rows = large.reshape(1 << 14, -1)
    found["gradient, rows"] = gradients(np.zeros(1 << 14, int), rows)
    found["gradient, axis first"] = gradients(np.zeros(64, int), large.reshape(-1, 64), axis=0)
    return found


def noise() -> float:
    """The longest time that this machine kept a thread waiting that had asked for 1 ms, over a second."""
    longest = 0.0
    for _ in range(500):
        start = time.perf_counter()
        time.sleep(0.001)
        longest = max(longest, time.perf_counter() - start - 0.001)
    return longest


def longest_delay(call: Callable, n: int, times: int, rng: np.random.Generator) -> float:
    longest = 0.0
    for _ in range(times):
        delay = long_calls.interrupt(lambda: call(n), 0.02 + 0.05 * rng.random())
        assert delay is not None, "the call has ended by itself"
        longest = max(longest, delay)
    return longest


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=10, help="interruptions of each kind")
    parser.add_argument("--record", action="store_true", help="keep the counts in tests/slow/results")
    options = parser.parse_args()
    rng = np.random.default_rng()
    waited = noise()
    print(f"the machine kept a waiting thread for up to {1e3 * waited:.1f} ms beyond its time")
    calls, late, runs, worst = kinds(), [], 0, (0.0, "")
    for isa in dict.fromkeys([xn.isa(), "baseline"]):
        xn.set_isa(isa)
        for name, call in calls.items():
            for n in (1, 2):
                delay, tries = longest_delay(call, n, options.times, rng), 0
                while delay > BOUND and tries < AGAIN:
                    delay, tries = longest_delay(call, n, options.times, rng), tries + 1
                runs += options.times * (tries + 1)
                title = f"{name}, {isa}, {n} thread{'s' * (n > 1)}"
                again = f" (measured {tries + 1} times)" if tries else ""
                print(f"{1e3 * delay:8.1f} ms  {title}{again}", flush=True)
                worst = max(worst, (delay, title))
                if delay > BOUND:
                    late.append(title)
    print(f"{runs} interruptions; the longest delay is {1e3 * worst[0]:.1f} ms: {worst[1]}")
    for title in late:
        print(f"beyond {1e3 * BOUND:.0f} ms: {title}")
    if options.record:
        counts = {
            "interruptions": runs,
            "kinds of calls": len(calls),
            "longest delay in milliseconds": round(1e3 * worst[0]),
            "beyond 100 ms": len(late),
        }
        records.save("interrupt", "python tests/slow/interrupt.py --record", counts)
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
