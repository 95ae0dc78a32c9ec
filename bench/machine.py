# SPDX-License-Identifier: BSD-3-Clause
"""Where a result was measured: CPU, caches, kernel, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from . import UsageError

ROOT = Path(__file__).parents[1]


def cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit_cpus(count: int) -> None:
    """Tie the process to its first `count` CPUs; UsageError if it has fewer.

    The only way to give every library the same number of threads: XLA, for one, has no setting for it. It has
    to happen before the libraries start their threads.
    """
    if not 1 <= count <= cpus():
        raise UsageError(f"--threads must lie in [1, {cpus()}], the CPUs of this process; got {count}")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


class OtherWork:
    """How much of the CPUs' time other processes take while something is measured.

    With as few as one of them running, the threads of a parallel region wait for each other for whole slices
    of the scheduler, and small calls look a hundred times slower than they are: a result has to say so.
    """

    def __init__(self) -> None:
        self._start = self._read()

    def fraction(self) -> float | None:
        """Share of the time of all CPUs since this object was made; None if the system does not tell."""
        now = self._read()
        if now is None or self._start is None:
            return None
        total, busy, own = (after - before for before, after in zip(self._start, now, strict=True))
        return min(1.0, max(0.0, (busy - own) / total)) if total > 0 else None

    @staticmethod
    def _read() -> tuple[float, float, float] | None:
        """Seconds of all CPUs together: passed, not idle, used by this process and its children."""
        try:
            fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        except (OSError, ValueError):
            return None
        ticks = os.sysconf("SC_CLK_TCK")
        total, idle = sum(fields), fields[3] + fields[4]  # idle, iowait
        return total / ticks, (total - idle) / ticks, sum(os.times()[:4])


def describe() -> dict[str, object]:
    """The machine as JSON-able values; what cannot be found out is None."""
    return {
        "cpu": _cpu_model(),
        "cpus": cpus(),
        "caches": _caches(),
        "system": platform.system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
    }


def commit() -> dict[str, object] | None:
    """The commit of this repository, and whether files differ from it; None outside of git."""
    head = _git("rev-parse", "HEAD")
    if head is None:
        return None
    return {"hash": head, "modified": bool(_git("status", "--porcelain", "--untracked-files=no"))}


def _git(*arguments: str) -> str | None:
    try:
        run = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip()


def _cpu_model() -> str | None:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or None


def _caches() -> dict[str, str]:
    """Size of each cache that the first CPU sees, as Linux names them."""
    caches = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        caches[f"L{level} {kind.lower()}" if kind != "Unified" else f"L{level}"] = size
    return caches
