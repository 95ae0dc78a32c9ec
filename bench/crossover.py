# SPDX-License-Identifier: BSD-3-Clause
"""From which size on does a second thread pay, and is that where the code puts it?

Two situations: calls back to back, where OpenMP's threads still spin from the call before ("busy"), and one
call after a pause, where they sleep and have to be woken ("paused"). The code decides by size alone, so its
limit has to serve both. Below it calls are serial whatever is asked for; the cost of opening a region is read
off just above it, as the time that halving the work did not save, and the size where it pays follows from
that.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .machine import ROOT
from .timing import quartiles, seconds_of

SIZES = tuple(1000 * 2**power for power in range(11))  # 1 k to 1 M elements
CLASSES = (10, 100, 1000)
TILES = ROOT / "src" / "core" / "tiles.c"


def serial_below(source: Path = TILES) -> int:
    """The number of elements below which the library stays on one thread, read from its source."""
    match = re.search(r"SERIAL_ELEMENTS\s*=\s*(\d+)", source.read_text())
    if match is None:
        raise ValueError(f"SERIAL_ELEMENTS is no longer in {source}")
    return int(match[1])


def measure(
    threads: int, classes: Sequence[int], sizes: Sequence[int], repeats: int, pause: float
) -> list[dict[str, Any]]:
    """Curves of seconds per call, with 1 and with `threads` threads, for each number of classes."""
    limit = serial_below()
    curves = []
    for count in classes:
        points = [_point(size // count, count, threads, repeats, pause) for size in sizes if size >= count]
        estimates = {kind: estimate(points, kind, threads, limit) for kind in ("busy", "paused")}
        curves.append({"classes": count, "points": points, "estimates": estimates})
    return curves


def _point(rows: int, classes: int, threads: int, repeats: int, pause: float) -> dict[str, Any]:
    import xent_native as xn

    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, classes), np.float32)
    y = rng.integers(0, classes, rows)

    def with_threads(n: int) -> Callable[[], Any]:
        return lambda: xn.sparse_categorical_crossentropy(
            y, x, from_logits=True, reduction="mean", n_threads=n
        )

    calls = {"1": with_threads(1), "many": with_threads(threads)}
    busy: dict[str, list[float]] = {name: [] for name in calls}
    paused: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    inner = max(1, round(3e-3 / seconds_of(calls["1"], 3)))
    for _ in range(repeats):
        for name, call in calls.items():
            time.sleep(pause)
            paused[name].append(seconds_of(call, 1))
            busy[name].append(seconds_of(call, inner) / inner)
    return {
        "elements": rows * classes,
        "busy": {name: quartiles(samples)[1] for name, samples in busy.items()},
        "paused": {name: quartiles(samples)[1] for name, samples in paused.items()},
    }


def estimate(points: Sequence[dict[str, Any]], kind: str, threads: int, limit: int) -> dict[str, Any] | None:
    """What a region costs, and the size from which it pays (None: not up to the largest size).

    There is no estimate, None, if no point used more than one thread.

    With t1 the serial time and t the time on n threads, the region cost t - t1 / n; it pays where t1 exceeds
    cost / (1 - 1 / n). t1 is interpolated between the sizes, which are powers of two.
    """
    split = [p for p in points if limit <= p["elements"] <= 4 * limit]
    if not split or threads < 2:
        return None
    region = float(np.median([p[kind]["many"] - p[kind]["1"] / threads for p in split]))
    least = region / (1 - 1 / threads)
    serial = [p[kind]["1"] for p in points]
    if least > serial[-1]:  # the machine is busy: threads wait for each other
        return {"region": region, "pays_from": None}
    return {"region": region, "pays_from": int(np.interp(least, serial, [p["elements"] for p in points]))}
