# SPDX-License-Identifier: BSD-3-Clause
"""A run as one JSON-able dictionary: the schema, what is derived from the samples, reading and writing."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import UsageError, machine
from .peers import Peer
from .runner import CaseResult, Entry

SCHEMA = "xent_native-bench/1"
MODES = ("cases", "small", "crossover")

Result = dict[str, Any]


def header(mode: str, command: str, settings: dict[str, Any], peers: Iterable[Peer]) -> Result:
    """Everything that a result says beside its figures."""
    import xent_native
    from xent_native import runtime

    return {
        "schema": SCHEMA,
        "mode": mode,
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "commit": machine.commit(),
        "settings": {**settings, "isa": xent_native.isa()},
        "library": runtime.config(),
        "versions": {name: version for peer in peers for name, version in peer.versions().items()},
    }


def add_cases(result: Result, cases: Sequence[CaseResult], roofline: dict[str, Any] | None) -> None:
    """Put the measured cases, and the roofline over all of them, into a result."""
    result["cases"] = [_case(measured, roofline) for measured in cases]
    if roofline is None:
        result["roofline"] = None
        return
    result["roofline"] = dict(roofline)
    for name in ("read", "copy"):
        samples = [sample for measured in cases for sample in measured.roofline[name]]
        result["roofline"][name] = _speed(samples, roofline[f"{name}_bytes"])


def _case(measured: CaseResult, roofline: dict[str, Any] | None) -> dict[str, Any]:
    case = measured.case
    bandwidth = None
    if roofline is not None:
        bandwidth = {
            name: _speed(measured.roofline[name], roofline[f"{name}_bytes"]) for name in ("read", "copy")
        }
    roof = None if bandwidth is None else bandwidth[case.roof]["gb_per_s"]
    entries = [_entry(entry, case.bytes_moved, roof) for entry in measured.entries]
    ours, peer = _fastest(entries, True), _fastest(entries, False)
    return {
        "name": case.name,
        "operation": case.operation.name,
        "summary": case.operation.summary,
        "dtype": case.dtype,
        "shape": list(case.shape),
        "axis": case.axis,
        "classes": case.classes,
        "bytes_read": case.bytes_read,
        "bytes_written": case.bytes_written,
        "roof": case.roof,
        "roofline": bandwidth,
        "entries": entries,
        "fastest_peer": None if peer is None else peer["peer"],
        # How many times as long the fastest peer takes as xent_native.
        "times_fastest_peer": peer["median"] / ours["median"] if ours and peer else None,
    }


def _fastest(entries: Sequence[dict[str, Any]], ours: bool) -> dict[str, Any] | None:
    """The fastest peer; of ours always the first, which tables put forward, not the fastest variant."""
    timed = [entry for entry in entries if entry["ours"] is ours and entry["status"] == "ok"]
    if ours:
        return next((entry for entry in timed if entry["peer"] == "xent_native"), None)
    return min(timed, key=lambda entry: float(entry["median"]), default=None)


def _entry(entry: Entry, bytes_moved: int, roof: float | None) -> dict[str, Any]:
    described = {
        "peer": entry.peer,
        "ours": entry.ours,
        "status": entry.status,
        "detail": entry.detail,
        "warm_up": entry.warm_up,
        "calls_per_sample": entry.calls_per_sample,
        "samples": entry.samples,
    }
    if entry.samples:
        quartile_1, median, quartile_3 = quartiles(entry.samples)
        speed = bytes_moved / median / 1e9
        described.update(median=median, quartiles=[quartile_1, quartile_3], gb_per_s=speed)
        described["fraction"] = None if roof is None else speed / roof
    return described


def _speed(samples: Sequence[float], size: int) -> dict[str, Any]:
    return {"bytes": size, "samples": list(samples), "gb_per_s": size / quartiles(samples)[1] / 1e9}


def quartiles(samples: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile."""
    first, median, third = np.quantile(np.asarray(samples, np.float64), [0.25, 0.5, 0.75])
    return float(first), float(median), float(third)


def write(result: Result, path: Path) -> None:
    """Write a result so that a crash leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    os.replace(unfinished, path)


def read(path: Path) -> Result:
    """A result from a file; UsageError if it is something else."""
    result: Any
    try:
        result = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise UsageError(f"{path} is no JSON: {error}") from None
    schema = result.get("schema") if isinstance(result, dict) else None
    if schema != SCHEMA:
        raise UsageError(f"{path} must have the schema {SCHEMA!r}; got {schema!r}")
    if result.get("mode") not in MODES:
        raise UsageError(f"{path} must have a mode out of {MODES}; got {result.get('mode')!r}")
    found: Result = result
    return found
