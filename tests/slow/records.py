# SPDX-License-Identifier: BSD-3-Clause
"""What the slow tests counted: one JSON file for each in ``results``, of which docs/reliability.md is made."""

from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def commit() -> str:
    """The commit that is tested, marked where files differ from it."""
    command = [
        "git",
        "-C",
        str(RESULTS.parent),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=7",
        "--exclude=*",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def save(name: str, command: str, counts: dict[str, int | str]) -> None:
    """Keeps what `command`, as a user would type it, has counted: numbers, or versions and names."""
    record = {"command": command, "commit": commit(), "machine": platform.machine(), "counts": counts}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def load() -> dict[str, dict]:
    """All records, by name."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("*.json"))}
