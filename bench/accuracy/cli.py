# SPDX-License-Identifier: BSD-3-Clause
"""The command line of ``python -m bench.accuracy``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from . import ROOT, family
from .libraries import installed
from .measure import Record, measure
from .page import page
from .sweep import MissingTool, build, sweep

PAGE = ROOT / "docs/accuracy.md"
DESCRIPTION = "Measures errors, of xent_native and of other libraries, and writes docs/accuracy.md."
RESULT = ROOT / "bench/results/accuracy.json"


def parser() -> argparse.ArgumentParser:
    """All options, with what --help says."""
    p = argparse.ArgumentParser(
        "python -m bench.accuracy", description=__import__("bench.accuracy").accuracy.__doc__
    )
    p.add_argument("--sweep", action="store_true", help="every float32 through exp and log; some ten minutes")
    modes = p.add_mutually_exclusive_group()
    modes.add_argument(
        "--update", action="store_true", help=f"write what was measured to {RESULT.name} and {PAGE.name}"
    )
    modes.add_argument(
        "--check",
        action="store_true",
        help="measure xent_native alone; exit with 1 if the page says otherwise",
    )
    return p


def say(message: str) -> None:
    """To stderr: stdout is for results."""
    print(message, file=sys.stderr, flush=True)


def committed() -> dict[str, Any]:
    """What the page was made from."""
    data: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    return data


def save(data: dict[str, Any]) -> None:
    """One record a line, so that a diff shows what has changed."""
    lines = []
    for key, value in data.items():
        text = json.dumps(value)
        if isinstance(value, list):
            text = "[\n" + ",\n".join(map(json.dumps, value)) + "\n]"
        lines.append(f"{json.dumps(key)}: {text}")
    RESULT.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def measured(peers: bool) -> dict[str, list[Record]]:
    """All records: cross-entropy, and the family of the other losses."""
    return {"records": printed(measure(peers)), "family": printed(family.measure(peers))}


def printed(source: Iterable[Record]) -> list[Record]:
    """Each is printed as soon as it is there."""
    records = []
    for record in source:
        say(f"{record['target']}, {record['dtype']}, {record['kind']}")
        for name, errors in record["errors"].items():
            say(f"    {name:24}" + "".join(f"{'inf' if e is None else format(e, '.3g'):>10}" for e in errors))
        records.append(record)
    return records


def swept() -> list[dict[str, Any]]:
    """All records of the sweep."""
    records = []
    with tempfile.TemporaryDirectory() as folder:
        for record in sweep(build(Path(folder))):
            say("{function:12} {isa:10} {argument:>10}: {ulps:.4f} ulp at {at}".format(**record))
            records.append(record)
    return records


def differences(old: list[Record], new: list[Record]) -> list[str]:
    """Where the errors of xent_native are not those of the page; columns that this machine lacks are left out."""
    before = {(r["target"], r["dtype"], r["kind"]): r["errors"] for r in old}
    found = []
    for record in new:
        key = record["target"], record["dtype"], record["kind"]
        for name, errors in record["errors"].items():
            if before.get(key, {}).get(name, errors) != errors or key not in before:
                found.append(
                    f"{', '.join(key)}, {name}: {errors}, the page has {before.get(key, {}).get(name)}"
                )
    return found


def check() -> int:
    """Whether the page is what its data gives, and its data what xent_native gives now."""
    data = committed()
    if not data or not PAGE.exists() or PAGE.read_text() != page(data):
        say(f"{PAGE.name} is not what {RESULT.name} gives: python -m bench.accuracy --update")
        return 1
    wrong = [
        line
        for part, records in measured(peers=False).items()
        for line in differences(data.get(part, []), records)
    ]
    for line in wrong:
        say(line)
    say("the page has other figures: python -m bench.accuracy --update" if wrong else "the page is right")
    return 1 if wrong else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code."""
    options = parser().parse_args(arguments)
    if options.check:
        return check()
    data = committed()
    try:
        if options.sweep:
            data["sweep"] = swept()
        else:
            data = {"versions": installed(), **measured(peers=True), "sweep": data.get("sweep", [])}
    except MissingTool as error:
        say(str(error))
        return 2
    if options.update:
        missing = [option for key, option in (("family", ""), ("sweep", " --sweep")) if not data.get(key)]
        save(data)
        if missing:
            say(f"the page needs the other part, too: python -m bench.accuracy --update{missing[0]}")
            return 1
        PAGE.write_text(page(data))
    return 0
