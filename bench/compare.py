# SPDX-License-Identifier: BSD-3-Clause
"""Two results held against each other: what of xent_native got slower, or faster, beyond the noise.

Two runs differ for three reasons, of which only the last counts:

* Chance. The samples of one run scatter. A rank test (Mann and Whitney) says how often samples that are so far apart
  come from equal distributions. There are hundreds of figures, of which some look odd by chance: so the level of each
  test is `LEVEL` divided by the number of tests (Bonferroni).
* The machine. Its speed moves from hour to hour, by more than the samples of one run tell. What was measured beside
  xent_native has not changed since: the loops of the roofline, and other libraries of the same version. How much longer
  they take is the drift of a contest; where nothing stood beside a figure, it is the median of all contests.
* The code. A figure is slower if its samples are above those from before times ``1 + least``, and times the drift where
  that is above 1; faster if they are below those divided by ``1 + least``, and times the drift where that is below 1.

Figures that are ratios of times from one round, which lines of the limits mostly are, have the drift in both times.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from . import UsageError
from .limits import targets
from .peers import PEERS
from .result import Result
from .tables import Table

LEAST = 0.15  # see bench/results/README.md
LEVEL = 0.01  # how often chance alone lets a comparison of equal code find anything
BUSY = 0.1  # of the CPUs' time that other processes may have used
MACHINE = ("cpu", "cpus", "architecture", "caches")
SETTINGS = ("threads", "isa", "megabytes", "file_megabytes")
UNITS = {"us": 1e-6, "ms": 1e-3}


@dataclass(frozen=True)
class Figure:
    """What a result has of one thing, as costs: seconds, megabytes, or a ratio that grows as xent_native gets slower.

    `beside` has the samples of what did not change and stood in the same contest.
    """

    name: str
    unit: str
    samples: tuple[float, ...]
    beside: dict[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """A figure of both results: its medians, how much longer its neighbours take, and what follows."""

    name: str
    unit: str
    old: float
    new: float
    drift: float
    verdict: str  # "slower", "faster", "same", or "few samples"

    @property
    def times(self) -> float:
        """How many times the cost has become."""
        return self.new / self.old


@dataclass(frozen=True)
class Comparison:
    """All figures that both results have, the names of those that one alone has, and what a reader should know."""

    changes: list[Change]
    missing: list[str]
    added: list[str]
    remarks: list[str]
    least: float

    def of(self, verdict: str) -> list[Change]:
        """The changes with this verdict, the largest first."""
        found = [change for change in self.changes if change.verdict == verdict]
        return sorted(found, key=lambda change: abs(math.log(change.times)), reverse=True)


def compare(old: Result, new: Result, least: float = LEAST, anyway: bool = False) -> Comparison:
    """Hold `new` against `old`; UsageError if they do not measure the same in the same place, unless `anyway`."""
    for name, result in (("the old", old), ("the new", new)):
        if result["quick"]:
            raise UsageError(f"{name} result is of a --quick run, whose figures mean nothing")
        if result["mode"] == "crossover":
            raise UsageError(f"{name} result is of --crossover, which has no figures to compare")
    if old["mode"] != new["mode"]:
        raise UsageError(f"the old result is of mode {old['mode']!r}, the new one of {new['mode']!r}")
    obstacles = list(_obstacles(old, new))
    if obstacles and not anyway:
        raise UsageError(f"these results cannot be compared (--anyway does it): {'; '.join(obstacles)}")
    unchanged = {name for name, version in old["versions"].items() if new["versions"].get(name) == version}
    before, after = dict(_figures(old, unchanged)), dict(_figures(new, unchanged))
    both = [key for key in before if key in after]
    if not both:
        raise UsageError("these results have no figure in common")
    drifts = {key: _drift(before[key], after[key]) for key in both}
    everywhere = median([drift for drift in drifts.values() if drift is not None] or [1.0])
    level = LEVEL / (2 * max(1, sum(len(before[key].samples) > 1 for key in both)))
    changes = []
    for key in both:
        drift = drifts[key] if before[key].unit != "s" or drifts[key] is not None else everywhere
        changes.append(_change(before[key], after[key], 1.0 if drift is None else drift, least, level))
    versions = [
        f"{name}: {version}, then {new['versions'].get(name)}"
        for name, version in old["versions"].items()
        if name not in unchanged and name != "xent-native"
    ]
    return Comparison(
        changes,
        [figure.name for key, figure in before.items() if key not in after],
        [figure.name for key, figure in after.items() if key not in before],
        [*obstacles, *versions],
        least,
    )


def _obstacles(old: Result, new: Result) -> Iterator[str]:
    """Why times of the two results say nothing about each other."""
    for part, names in (("machine", MACHINE), ("settings", SETTINGS)):
        for name in names:
            before, after = old[part].get(name), new[part].get(name)
            if before != after and None not in (before, after):  # older results lack some
                yield f"{name} is {before!r} in the old one, {after!r} in the new"
    for which, result in (("old", old), ("new", new)):
        if (result["others"] or 0.0) > BUSY:
            yield f"other processes used {result['others']:.0%} of the CPUs' time during the {which} one"


def _figures(result: Result, unchanged: set[str]) -> Iterator[tuple[tuple[Any, ...], Figure]]:
    """All figures of xent_native that carry samples, with keys that find them in another result."""
    seen: dict[tuple[Any, ...], int] = {}
    for contest in result.get("cases") or result.get("contests", ()):
        beside = _beside(contest, unchanged)
        own = [entry for entry in contest["entries"] if entry["ours"]]
        for entry in own:
            if entry["status"] != "ok":
                continue
            # One case may stand in several contests: alone, beside another instruction set, beside peers.
            key = (
                entry["case"], entry["peer"], entry["threads"], tuple(e["peer"] for e in own),
                len(own) < len(contest["entries"]),
            )  # fmt: skip
            seen[key] = seen.get(key, 0) + 1
            name = (
                f"{entry['case']}, {entry['peer']}, {entry['threads']} thread{'s' * (entry['threads'] != 1)}"
            )
            yield (*key, seen[key]), Figure(name, "s", tuple(entry["samples"]), beside)
    for line in result.get("lines", ()):
        samples = line.get("samples") or ([line["figure"]] if line["unit"] == "MB" else [])
        if line["figure"] is None or not samples:
            continue
        name = f"{line['section']}: {line['what']}"
        if line["unit"] == "MB":
            # Below what a call may take, it is a matter of which pages the system gives.
            costs = [max(targets.MEMORY, sample) for sample in samples]
        else:
            scale = UNITS.get(line["unit"], 1.0)
            costs = [1.0 / sample if line["at_least"] else sample * scale for sample in samples]
        yield (name,), Figure(name, "s" if line["unit"] in UNITS else line["unit"], tuple(costs))


def _beside(contest: dict[str, Any], unchanged: set[str]) -> dict[str, Sequence[float]]:
    """What stood beside xent_native and has not changed since: the loops of the roofline, and other libraries."""
    found = {name: speed["samples"] for name, speed in (contest["roofline"] or {}).items()}
    for entry in contest["entries"]:
        peer = PEERS.get(entry["peer"].split()[0])
        if not entry["ours"] and entry["status"] == "ok" and peer is not None and peer.package in unchanged:
            found[entry["peer"]] = entry["samples"]
    return found


def _drift(old: Figure, new: Figure) -> float | None:
    """How many times as long everything else of the contest takes; None if there is nothing."""
    common = [name for name in old.beside if name in new.beside]
    return median([median(new.beside[n]) / median(old.beside[n]) for n in common]) if common else None


def _change(old: Figure, new: Figure, drift: float, least: float, level: float) -> Change:
    above, below = max(1.0, drift) * (1 + least), min(1.0, drift) / (1 + least)
    if len(old.samples) == len(new.samples) == 1:
        times = new.samples[0] / old.samples[0]
        verdict = "slower" if times > above else "faster" if times < below else "same"
    elif 1 / math.comb(len(old.samples) + len(new.samples), len(old.samples)) >= level:
        verdict = "few samples"
    elif _is_above(new.samples, [above * sample for sample in old.samples], level):
        verdict = "slower"
    elif _is_above([below * sample for sample in old.samples], new.samples, level):
        verdict = "faster"
    else:
        verdict = "same"
    return Change(old.name, old.unit, median(old.samples), median(new.samples), drift, verdict)


def _is_above(high: Sequence[float], low: Sequence[float], level: float) -> bool:
    """Whether the rank test says that `high` is above `low`, not by chance."""
    try:
        from scipy.stats import mannwhitneyu
    except ModuleNotFoundError:
        raise UsageError("--compare needs SciPy: pip install scipy") from None
    return bool(mannwhitneyu(high, low, alternative="greater").pvalue < level)


def render(found: Comparison, details: bool = False, markdown: bool = False) -> str:
    """What a person reads of a comparison."""
    parts = []
    for verdict, title in (("slower", "Slower"), ("faster", "Faster"), ("same", "Within the noise")):
        changes = found.of(verdict)
        if changes and (details or verdict != "same"):
            rows = [
                [c.name, _cost(c.old, c.unit), _cost(c.new, c.unit), f"{c.times:.2f}", f"{c.drift:.2f}"]
                for c in changes
            ]
            parts.append(Table(title, ["", "old", "new", "new / old", "drift"], rows).render(markdown))
    few = found.of("few samples")
    summary = (
        f"{len(found.changes)} figures: {len(found.of('slower'))} slower, {len(found.of('faster'))} faster"
    )
    summary += f", {len(found.of('same'))} within the noise ({found.least:.0%}, and the drift of the machine)"
    summary += f", {len(few)} with too few samples." if few else "."
    parts.append(summary)
    notes = [*found.remarks]
    notes += [f"too few samples: {change.name}" for change in few]
    notes += [f"not in the new result: {name}" for name in found.missing]
    notes += [f"not in the old result: {name}" for name in found.added]
    if notes:
        parts.append("\n".join(f"* {note}" for note in notes))
    return "\n\n".join(parts)


def _cost(value: float, unit: str) -> str:
    """A cost with its unit; ratios of times are given as costs, too."""
    if unit == "MB":
        return f"{value:.1f} MB"
    if unit != "s":
        return f"{value:.3g}"
    return f"{value * 1e6:.2f} us" if value < 1e-3 else f"{value * 1e3:.2f} ms"
