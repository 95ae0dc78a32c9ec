# SPDX-License-Identifier: BSD-3-Clause
"""A run, from its options to its result: the cases of a table, small calls, the crossover, or the limits."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from . import UsageError, cases, contest, crossover, machine, result
from .contest import Contest, Entrant, Say
from .limits import parts
from .limits.session import Session
from .peers import PEERS, Settings
from .result import Result
from .roofline import Roofline
from .timing import Plan

QUICK_MEGABYTES = 0.05


@dataclass
class Setting:
    """What every kind of run is told."""

    options: argparse.Namespace
    threads: int
    plan: Plan
    megabytes: float
    file_megabytes: float
    peers: list[str]
    say: Say


def run(options: argparse.Namespace, command: str, say: Say) -> Result:
    """Measure what the options ask for."""
    mode, fill = _kind(options)
    setting = _prepare(options, say)
    settings: dict[str, Any] = {
        "threads": setting.threads, "repeats": setting.plan.repeats, "budget": setting.plan.budget,
        "pause": setting.plan.pause, "megabytes": setting.megabytes,
        "file_megabytes": setting.file_megabytes,
    }  # fmt: skip
    peers = [PEERS[name](Settings()) for name in setting.peers]
    measured = result.header(mode, command, settings, peers)
    measured["quick"] = options.quick
    others = machine.OtherWork()
    fill(setting, measured)
    measured["others"] = others.fraction()
    return measured


def _kind(options: argparse.Namespace) -> tuple[str, Callable[[Setting, Result], None]]:
    """The mode that the result names, and the function that fills it."""
    if options.limits:
        return "limits", _limits
    if options.crossover:
        return "crossover", _crossover
    return ("small", _small) if options.small else ("cases", _cases)


def _prepare(options: argparse.Namespace, say: Say) -> Setting:
    """Check the options, and make the settings of the process theirs."""
    if options.repeats < 1 or options.budget <= 0 or min(options.mb, options.file_mb) <= 0:
        raise UsageError("--repeats, --budget, --mb and --file-mb must be positive")
    if options.threads is not None:
        machine.limit_cpus(options.threads)
    import xent_native

    if options.isa:
        try:
            xent_native.set_isa(options.isa)
        except ValueError as error:
            raise UsageError(f"--isa: {error}") from None
    # Peers warn of all sorts of things, at import and when they compile.
    warnings.simplefilter("ignore")
    return Setting(
        options,
        options.threads or machine.cpus(),
        Plan(min(options.repeats, 3), 0.05) if options.quick else Plan(options.repeats, options.budget),
        QUICK_MEGABYTES if options.quick else options.mb,
        QUICK_MEGABYTES if options.quick else options.file_mb,
        chosen_peers(options.peers),
        say,
    )


def chosen_peers(names: Sequence[str]) -> list[str]:
    """xent_native in all its forms, and the peers that were asked for, in the order of the tables."""
    return [name for name, peer in PEERS.items() if peer.ours or name in names or "all" in names]


def _cases(setting: Setting, measured: Result) -> None:
    options = setting.options
    chosen = cases.select(options.ops, options.classes, options.dtype, setting.megabytes, options.quick)
    roofline = Roofline(setting.megabytes, setting.threads)
    result.add_cases(measured, [_contest(case, roofline, setting) for case in chosen], roofline)


def _small(setting: Setting, measured: Result) -> None:
    operations = [name for name in setting.options.ops if name in cases.OPERATIONS]
    chosen = cases.select_small(operations, setting.options.dtype)
    result.add_cases(measured, [_contest(case, None, setting) for case in chosen], None)


def _contest(case: cases.Case, roofline: Roofline | None, setting: Setting) -> Contest:
    settings = Settings(setting.threads)
    entrants = [Entrant(PEERS[name](settings), case) for name in setting.peers]
    return contest.run(entrants, roofline, setting.plan, setting.megabytes, setting.say)


def _crossover(setting: Setting, measured: Result) -> None:
    sizes = crossover.SIZES[:7] if setting.options.quick else crossover.SIZES
    plan = setting.plan
    measured["serial_below"] = crossover.serial_below()
    measured["curves"] = crossover.measure(
        setting.threads, crossover.CLASSES, sizes, plan.repeats, plan.pause
    )


def _limits(setting: Setting, measured: Result) -> None:
    import xent_native
    from xent_native import runtime

    states = cast(dict[str, str], runtime.config()["isas"])
    isas = [name for name, state in states.items() if state == "supported"]
    best = xent_native.isa()  # what --isa or the environment chose: there is nothing above it
    session = Session(
        Roofline(setting.megabytes, setting.threads),
        setting.plan, setting.megabytes, setting.file_megabytes, setting.threads, isas[isas.index(best) :],
        setting.peers, setting.options.quick, setting.say,
    )  # fmt: skip
    lines = parts.measure(session, setting.options.parts)
    xent_native.set_isa(best)
    measured["lines"] = [line.to_dict() for line in lines]
    measured["contests"] = [result.contest_of(contest) for contest in session.contests]
    result.add_roofline(measured, session.contests, session.roofline)
