# SPDX-License-Identifier: BSD-3-Clause
"""A run as one JSON-able dictionary: the schema, what is derived from the samples, reading and writing."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from . import UsageError, machine
from .contest import Bandwidth, Contest, Entry
from .peers import Peer
from .roofline import Roofline
from .timing import quartiles

SCHEMA = "xent_native-bench/2"
MODES = ("cases", "small", "crossover", "limits")

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


def add_cases(result: Result, contests: Sequence[Contest], roofline: Roofline | None) -> None:
    """Put the measured cases, and the roofline over all of them, into a result."""
    result["cases"] = [case_of(contest) for contest in contests]
    add_roofline(result, contests, roofline)


def add_roofline(result: Result, contests: Sequence[Contest], roofline: Roofline | None) -> None:
    """Describe the roofline, with its bandwidths over all contests; None if none was beside it."""
    if roofline is None or not any(contest.bandwidths for contest in contests):
        result["roofline"] = None
        return
    result["roofline"] = {"kind": roofline.kind, "threads": roofline.threads}
    for name, size in (("read", roofline.read_bytes), ("copy", roofline.copy_bytes)):
        measured = [contest.bandwidths[name] for contest in contests if name in contest.bandwidths]
        samples = [sample for bandwidth in measured for sample in bandwidth.samples]
        result["roofline"][name] = _speed(Bandwidth(size, samples))


def case_of(contest: Contest) -> dict[str, Any]:
    """A contest whose entrants have one case: the case, who took part, and how we did."""
    case = contest.entries[0].case
    ours, peer = contest.ours(), contest.fastest_peer()
    times = contest.times(peer, ours) if ours and peer else []
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
        **contest_of(contest),
        "fastest_peer": None if peer is None else peer.peer.label,
        # How many times as long the fastest peer takes as xent_native: median of the rounds.
        "times_fastest_peer": quartiles(times)[1] if times else None,
    }


def contest_of(contest: Contest) -> dict[str, Any]:
    """Any contest: its samples, and what follows from them."""
    bandwidths = {name: _speed(bandwidth) for name, bandwidth in contest.bandwidths.items()}
    return {
        "rounds": contest.rounds,
        "roofline": bandwidths or None,
        "entries": [_entry(contest, entry) for entry in contest.entries],
    }


def _entry(contest: Contest, entry: Entry) -> dict[str, Any]:
    settings = entry.peer.settings
    described: dict[str, Any] = {
        "peer": entry.peer.label,
        "case": entry.case.name,
        "threads": settings.threads,
        "ours": entry.peer.ours,
        "status": entry.status,
        "detail": entry.detail,
        "warm_up": entry.warm_up,
        "calls_per_sample": entry.calls_per_sample,
        "samples": entry.samples,
    }
    if entry.samples:
        quartile_1, median, quartile_3 = quartiles(entry.samples)
        fractions = contest.fractions(entry)
        described.update(
            median=median,
            quartiles=[quartile_1, quartile_3],
            gb_per_s=entry.case.bytes_moved / median / 1e9,
            # Of the roof's bandwidth: median of the rounds.
            fraction=quartiles(fractions)[1] if fractions else None,
        )
    return described


def _speed(bandwidth: Bandwidth) -> dict[str, Any]:
    speed = bandwidth.bytes / quartiles(bandwidth.samples)[1] / 1e9
    return {"bytes": bandwidth.bytes, "samples": list(bandwidth.samples), "gb_per_s": speed}


def ours_has_figures(result: Result) -> bool:
    """Whether xent_native has computed everything that it was asked for, and rightly."""
    contests = result.get("cases") or result.get("contests", ())
    # "missing": what belongs to a host of xent_native has none where the host is not installed.
    return all(
        e["status"] in ("ok", "missing") for contest in contests for e in contest["entries"] if e["ours"]
    )


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
