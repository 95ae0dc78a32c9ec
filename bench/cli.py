# SPDX-License-Identifier: BSD-3-Clause
"""The command line of the benchmark."""

from __future__ import annotations

import argparse
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import UsageError, cases, crossover, machine, readme, report, result
from .peers import PEERS, Peer, Settings
from .roofline import Roofline
from .runner import Plan, run_case

DESCRIPTION = """\
Times xent_native and other libraries on the same arrays, in turn, beside the bandwidth of memory measured in
the same minutes. Without arguments: float32, integer labels, from logits, mean; 10, 100, 1000 and 32768
classes; the loss alone, and loss and gradient; all competitors that are installed. That takes some minutes,
most of them the compilers' and the slow peers'."""

EXAMPLES = """\
examples:
  python -m bench                                        the table of README.md
  python -m bench --json bench/results/NAME.json         the same, with every sample kept
  python -m bench --classes 30,131072 --ops forward      other cases
  python -m bench --ops dense-forward,softmax --peers numpy,torch
  python -m bench --ops axis1-forward,wide-forward --peers none
  python -m bench --dtype float64 --threads 1 --isa avx2
  python -m bench --small                                microseconds of a call on a small batch
  python -m bench --crossover                            from which size on a second thread pays
  python -m bench --show FILE.json --details --markdown  print a result again
  python -m bench --update-readme FILE.json              put its tables into README.md
  python -m bench --check-readme FILE.json               fail if README.md says something else
  python -m bench --list                                 operations and competitors

How to read it: R is the bandwidth of reading, W that of a copy with streaming stores (bytes read + written),
on as many threads as the competitors have. A loss alone is measured in bytes of logits (and dense targets)
read, and should come near R; with a gradient in bytes read + written, against W. Competitors that are
missing, refuse a case, fail or disagree are listed below the tables with the reason."""


def parser() -> argparse.ArgumentParser:
    """All options, with what --help says."""
    p = argparse.ArgumentParser("python -m bench", description=DESCRIPTION, epilog=EXAMPLES,
                                formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    modes = p.add_argument_group("what to do instead of the large cases").add_mutually_exclusive_group()
    modes.add_argument("--small", action="store_true", help="time calls on small batches")
    modes.add_argument("--crossover", action="store_true", help="find from which size on several threads pay")
    modes.add_argument("--list", action="store_true", help="list operations and competitors")
    modes.add_argument("--show", type=Path, metavar="FILE", help="print the tables of a result")
    modes.add_argument(
        "--update-readme", type=Path, metavar="FILE", help="write the tables of a result into the README"
    )
    modes.add_argument(
        "--check-readme", type=Path, metavar="FILE", help="exit with 1 if the README has other tables"
    )
    what = p.add_argument_group("what to measure")
    what.add_argument(
        "--ops",
        type=_names(cases.OPERATIONS | cases.LAYOUTS),
        default=list(cases.DEFAULT_OPERATIONS),
        metavar="A,B",
        help="operations; --list has them all (default: forward,gradient)",
    )
    what.add_argument(
        "--classes",
        type=_numbers,
        default=list(cases.DEFAULT_CLASSES),
        metavar="N,N",
        help="numbers of classes, or 'all' (default: 10,100,1000,32768)",
    )
    what.add_argument("--dtype", choices=cases.DTYPES, default="float32")
    what.add_argument(
        "--mb",
        type=float,
        default=cases.DEFAULT_MEGABYTES,
        metavar="MIB",
        help="size of the logits; below 128 they may stay in a cache (default: 128)",
    )
    what.add_argument(
        "--peers",
        type=_names(PEERS, also=("all", "none")),
        nargs="?",
        const=["all"],
        default=["all"],
        metavar="A,B",
        help="competitors beside xent_native, or 'all' or 'none' (default: all)",
    )
    how = p.add_argument_group("how to measure")
    how.add_argument("--threads", type=int, metavar="N", help="CPUs and threads for everybody (default: all)")
    how.add_argument("--isa", metavar="NAME", help="instruction set of xent_native: avx512, avx2, baseline")
    how.add_argument(
        "--repeats", type=int, default=15, metavar="N", help="measurements of each (default: 15)"
    )
    how.add_argument(
        "--budget",
        type=float,
        default=3.0,
        metavar="SECONDS",
        help="time for one competitor in one case: slow ones repeat less, down to 3 times (default: 3)",
    )
    how.add_argument(
        "--quick", action="store_true", help="small arrays, 3 repeats: for tests; the figures mean nothing"
    )
    output = p.add_argument_group("output")
    output.add_argument("--json", type=Path, metavar="FILE", help="write the result with all samples")
    output.add_argument("--markdown", action="store_true", help="print Markdown")
    output.add_argument(
        "--details", action="store_true", help="print medians and quartiles of every competitor"
    )
    output.add_argument("--readme", type=Path, default=machine.ROOT / "README.md", metavar="FILE",
                        help="the file that --update-readme and --check-readme mean")  # fmt: skip
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status is 0 unless --check-readme fails, or xent_native has no figure."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    p = parser()
    options = p.parse_args(arguments)
    try:
        return _run(options, shlex.join(["python", "-m", "bench", *arguments]))
    except (UsageError, FileNotFoundError) as error:
        p.error(str(error))


def _run(options: argparse.Namespace, command: str) -> int:
    if options.list:
        print(_listing())
        return 0
    if options.show:
        print(report.render(result.read(options.show), options.markdown, options.details))
        return 0
    if options.update_readme or options.check_readme:
        return _readme(options)
    measured = _measure(options, command)
    if options.json:
        result.write(measured, options.json)
    print(report.render(measured, options.markdown, options.details))
    return 0 if _ours_has_figures(measured) else 1


def _readme(options: argparse.Namespace) -> int:
    path: Path = options.update_readme or options.check_readme
    found = result.read(path)
    try:
        source = path.resolve().relative_to(machine.ROOT).as_posix()
    except ValueError:
        source = path.as_posix()
    if options.update_readme:
        readme.update(found, source, options.readme)
        return 0
    if readme.is_current(found, source, options.readme):
        return 0
    print(
        f"{options.readme} differs from {path}: run python -m bench --update-readme {path}", file=sys.stderr
    )
    return 1


def _measure(options: argparse.Namespace, command: str) -> result.Result:
    if options.repeats < 1 or options.budget <= 0 or options.mb <= 0:
        raise UsageError("--repeats, --budget and --mb must be positive")
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
    threads = options.threads or machine.cpus()
    plan = Plan(min(options.repeats, 3), 0.05) if options.quick else Plan(options.repeats, options.budget)
    megabytes = 0.05 if options.quick else options.mb
    peers = [PEERS[name](Settings(threads)) for name in _chosen(options.peers)]
    mode = "small" if options.small else "crossover" if options.crossover else "cases"
    settings: dict[str, Any] = {
        "threads": threads, "repeats": plan.repeats, "budget": plan.budget, "pause": plan.pause,
        "megabytes": megabytes,
    }  # fmt: skip
    measured = result.header(mode, command, settings, peers)
    measured["quick"] = options.quick
    others = machine.OtherWork()
    if mode == "crossover":
        sizes = crossover.SIZES[:7] if options.quick else crossover.SIZES
        xent_native.set_num_threads(threads)
        measured["serial_below"] = crossover.serial_below()
        measured["curves"] = crossover.measure(threads, crossover.CLASSES, sizes, plan.repeats, plan.pause)
        measured["others"] = others.fraction()
        return measured
    if mode == "small":
        chosen = cases.select_small([name for name in options.ops if name in cases.OPERATIONS], options.dtype)
        roofline = None
    else:
        chosen = cases.select(options.ops, options.classes, options.dtype, megabytes, options.quick)
        roofline = Roofline(megabytes, threads)
    done = [run_case(case, peers, roofline, plan, _say) for case in chosen]
    _say("")
    described = None
    if roofline is not None:
        described = {
            "kind": roofline.kind, "threads": roofline.threads,
            "read_bytes": roofline.read_bytes, "copy_bytes": roofline.copy_bytes,
        }  # fmt: skip
    result.add_cases(measured, done, described)
    measured["others"] = others.fraction()
    return measured


def _chosen(names: Sequence[str]) -> list[str]:
    """xent_native in all its forms, and the peers that were asked for, in the order of the tables."""
    return [name for name, peer in PEERS.items() if peer.ours or name in names or "all" in names]


def _ours_has_figures(measured: result.Result) -> bool:
    entries = [entry for case in measured.get("cases", ()) for entry in case["entries"] if entry["ours"]]
    return all(entry["status"] == "ok" for entry in entries)


def _listing() -> str:
    operations = {
        operation.name: operation.summary for operation in cases.OPERATIONS.values()
    } | cases.LAYOUTS
    lines = ["operations (--ops):", *(f"  {name:<20}{summary}" for name, summary in operations.items())]
    lines += ["", "competitors (--peers):"]
    for name, kind in PEERS.items():
        peer: Peer = kind(Settings())
        version = peer.versions()[peer.package]
        state = f"{peer.package} {version}" if version else f"{peer.package} is not installed"
        lines.append(f"  {name:<24}{peer.summary} ({state})")
    return "\n".join(lines)


def _say(text: str) -> None:
    """What is going on, for a person who waits: on one line of a terminal, else on none."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def _names(known: Any, also: Sequence[str] = ()) -> Any:
    """An argparse type: names out of `known`, separated by commas."""

    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        for name in names:
            if name not in known and name not in also:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join([*known, *also])}")
        return names

    return parse


def _numbers(text: str) -> list[int]:
    """An argparse type: numbers of classes, separated by commas, or all of those that the project tracks."""
    if text == "all":
        return list(cases.ALL_CLASSES)
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"numbers separated by commas, or 'all'; got {text!r}") from None
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"classes must be at least 1; got {min(numbers)}")
    return numbers
