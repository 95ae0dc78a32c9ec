# SPDX-License-Identifier: BSD-3-Clause
"""Memory that a call takes beside its result: the high-water mark of a process that does nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..cases import rows_filling
from . import targets
from .bandwidth import TITLES
from .line import Line
from .session import Session

PROBE = Path(__file__).with_name("memory_probe.py")


def memory(session: Session) -> Iterator[Line]:
    """A loss for every row into a new array, and a gradient into the caller's."""
    for operation in targets.TABLE:
        for classes in targets.MEMORY_CLASSES:
            session.say(f"memory: {operation}, {classes} classes")
            rows = rows_filling(session.megabytes, classes, "float32")
            what = f"{TITLES[operation]}, C = {classes:,}"
            section = "Memory of a call beside its result, float32, integer labels, from logits"
            found, remark = probe(operation, rows, classes, session.threads)
            yield Line(section, what, "MB", targets.MEMORY, found, at_least=False, remark=remark)


def probe(operation: str, rows: int, classes: int, threads: int) -> tuple[float | None, str]:
    """Megabytes, or None and the reason."""
    found, reason = run_probe(operation, rows, classes, threads)
    if found is None:
        return None, reason
    remark = "" if found["exact"] else "resident memory could not be reset before the call"
    return found["extra"] / 1e6, remark


def run_probe(*arguments: object) -> tuple[dict[str, Any] | None, str]:
    """What a process that does nothing else has printed, or None and the reason."""
    # -P: the folder of the script, with this package's modules, must not come first.
    command = [sys.executable, "-P", str(PROBE), *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        return None, (run.stderr.strip().splitlines() or ["failed"])[-1]
    return json.loads(run.stdout.splitlines()[-1]), ""
