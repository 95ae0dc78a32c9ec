# SPDX-License-Identifier: BSD-3-Clause
"""What a person reads of a result: its tables, where it comes from, and what spoils it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .limits import report as limits_report
from .result import Result
from .tables import Table


def render(result: Result, markdown: bool = False, details: bool = False) -> str:
    """Everything that a person wants to read of a result."""
    parts = [provenance(result, markdown)]
    if result["quick"]:
        parts.append("QUICK RUN: arrays this small fit into caches; the figures mean nothing.")
    parts += [table.render(markdown) for table in tables(result)]
    parts += summaries(result)
    if details and "cases" in result:
        parts += [_details(case, result["mode"] == "small").render(markdown) for case in result["cases"]]
    problems = remarks(result)
    if problems:
        parts.append("\n".join(f"* {problem}" for problem in problems))
    return "\n\n".join(parts)


def tables(result: Result) -> list[Table]:
    """The tables of a result, whatever its mode."""
    if result["mode"] == "crossover":
        return _crossover(result)
    if result["mode"] == "small":
        return [_small(result)]
    if result["mode"] == "limits":
        return limits_report.tables(result["lines"])
    return [
        _speeds(result, operation) for operation in _unique(case["operation"] for case in result["cases"])
    ]


def summaries(result: Result) -> list[str]:
    """What all tables say together, where there is such a thing."""
    return [limits_report.summary(result["lines"])] if result["mode"] == "limits" else []


def provenance(result: Result, markdown: bool = False) -> str:
    """Where and how a result was measured, in a few lines."""
    machine, settings = result["machine"], result["settings"]
    caches = ", ".join(f"{name} {size}" for name, size in machine["caches"].items())
    commit = result["commit"]
    at = (
        ""
        if commit is None
        else f", commit {commit['hash'][:10]}{' with changes' if commit['modified'] else ''}"
    )
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items() if version)
    tick = "`" if markdown else ""
    lines = [
        f"{tick}{result['command']}{tick}, {result['date'][:10]}{at}",
        f"{machine['cpu']}, {settings['threads']} threads, {settings['isa']}; {caches}",
        f"Python {machine['python']}, {versions}",
    ]
    roofline = result.get("roofline")
    if roofline:
        read, copy = (f"{roofline[name]['gb_per_s']:.1f} GB/s" for name in ("read", "copy"))
        lines.append(f"R = {read} read, W = {copy} copied (read + written): medians over the run")
        lines.append(f"Their loops: {roofline['kind']}, {roofline['threads']} threads")
    return ("  \n" if markdown else "\n").join(lines)


def remarks(result: Result) -> list[str]:
    """What spoils the figures, and who has none and why: each reason once, with the number of its cases."""
    found = []
    others = result["others"]
    if others is not None and others > 0.02:
        found.append(
            f"Other processes used {others:.0%} of the CPUs' time: measure again on an idle machine."
        )
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for contest in result.get("cases") or result.get("contests", ()):
        for entry in contest["entries"]:
            if entry["status"] != "ok":
                key = (entry["peer"], entry["status"], entry["detail"])
                reasons.setdefault(key, []).append(entry["case"])
    found += [
        f"{peer}: {detail if status in ('missing', 'unsupported') else f'{status}: {detail}'}"
        + ("" if status == "missing" else f" ({cases[0] if len(cases) == 1 else f'{len(cases)} cases'})")
        for (peer, status, detail), cases in reasons.items()
    ]
    return found


def competitors(cases: Sequence[dict[str, Any]]) -> list[str]:
    """Those that have a figure in at least one of the cases, in the order of the table."""
    return _unique(entry["peer"] for case in cases for entry in case["entries"] if entry["status"] == "ok")


def _speeds(result: Result, operation: str) -> Table:
    """GB/s of all competitors in one operation, one line per shape."""
    cases = [case for case in result["cases"] if case["operation"] == operation]
    names = competitors(cases)
    roof, moved = ("W", "read + written") if cases[0]["roof"] == "copy" else ("R", "read")
    rows = []
    for case in cases:
        entries = {entry["peer"]: entry for entry in case["entries"]}
        fraction = entries.get("xent_native", {}).get("fraction")
        rows.append(
            [
                _shape(case),
                f"{case['roofline'][case['roof']]['gb_per_s']:.1f}",
                *(_cell(entries.get(name), "gb_per_s") for name in names),
                "-" if fraction is None else f"{fraction:.2f}",
                _times(case),
            ]
        )
    dtypes = ", ".join(_unique(case["dtype"] for case in cases))
    note = (
        f"GB/s of bytes {moved}, medians. {roof}: what memory gave in the same minute; at the right, the "
        "fraction of it that xent_native reaches, and how many times as long the fastest peer takes."
    )
    title = (
        f"{cases[0]['summary']} ({dtypes}, mean)" if "loss" in cases[0]["summary"] else cases[0]["summary"]
    )
    return Table(_capital(title), ["classes", roof, *names, f"of {roof}", "x peer"], rows, note)


def _small(result: Result) -> Table:
    """Microseconds of one call."""
    names = competitors(result["cases"])
    rows = []
    for case in result["cases"]:
        entries = {entry["peer"]: entry for entry in case["entries"]}
        shape = "x".join(map(str, case["shape"]))
        cells = [_cell(entries.get(name), "median", 1e6) for name in names]
        rows.append([f"{case['operation']} {shape}", *cells, _times(case)])
    note = (
        "Microseconds per call, medians of batches; some 0.1 of it is the benchmark's own. At the right, how "
        "many times as long the fastest peer takes as the function of xent_native."
    )
    return Table("One call on a small batch", ["call", *names, "x peer"], rows, note)


def _details(case: dict[str, Any], small: bool) -> Table:
    """Median, quartiles and fraction of every competitor in one case."""
    rows = []
    for entry in case["entries"]:
        if entry["status"] != "ok":
            continue
        low, high = entry["quartiles"]
        times = [f"{seconds * (1e6 if small else 1e3):.3f}" for seconds in (entry["median"], low, high)]
        fraction = "-" if entry["fraction"] is None else f"{entry['fraction']:.3f}"
        rows.append([entry["peer"], *times, str(len(entry["samples"])), f"{entry['gb_per_s']:.2f}", fraction])
    unit = "us" if small else "ms"
    head = ["competitor", unit, "quartile 1", "quartile 3", "repeats", "GB/s", f"of {case['roof']}"]
    return Table(case["name"], head, rows)


def _crossover(result: Result) -> list[Table]:
    """Seconds with 1 and with more threads, by size; and where the second pays."""
    threads = result["settings"]["threads"]
    found = []
    for curve in result["curves"]:
        rows = [
            [
                f"{point['elements']:,}",
                *(f"{point[kind][n] * 1e6:.1f}" for kind in ("busy", "paused") for n in ("1", "many")),
                *(f"{point[kind]['1'] / point[kind]['many']:.2f}" for kind in ("busy", "paused")),
                "yes" if point["elements"] >= result["serial_below"] else "no",
            ]
            for point in curve["points"]
        ]
        head = [
            "elements", "busy: 1", f"{threads} threads", "paused: 1", f"{threads} threads",
            "gain busy", "gain paused", "code splits",
        ]  # fmt: skip
        where = "; ".join(
            f"{kind}: opening a region costs {estimate['region'] * 1e6:.1f} us, "
            + (
                f"pays from {estimate['pays_from']:,} elements"
                if estimate["pays_from"]
                else "does not pay here"
            )
            for kind, estimate in curve["estimates"].items()
            if estimate
        )
        title = f"forward, float32, {curve['classes']} classes: microseconds with 1 and {threads} threads"
        limit = f"The code stays on one thread below {result['serial_below']:,}."
        note = f"{where or 'no call used several threads'}. {limit}"
        found.append(Table(_capital(title), head, rows, note))
    return found


def _shape(case: dict[str, Any]) -> str:
    """The number of classes says all where the shape is (rows, classes) for as much memory as asked for."""
    plain = case["axis"] == -1 and case["shape"][0] > 3
    return f"{case['classes']:,}" if plain else f"({', '.join(map(str, case['shape']))})"


def _cell(entry: dict[str, Any] | None, key: str, factor: float = 1.0) -> str:
    if entry is None or entry["status"] != "ok":
        return "-"
    value = entry[key] * factor
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _times(case: dict[str, Any]) -> str:
    times = case["times_fastest_peer"]
    return "-" if times is None else f"{times:.1f}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _unique(values: Any) -> list[str]:
    return list(dict.fromkeys(values))
