# SPDX-License-Identifier: BSD-3-Clause
"""The options of the command line, and what --help says."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import cases, compare, documents
from .limits.parts import PARTS
from .peers import PEERS

DESCRIPTION = """\
Times xent_native and other libraries on the same arrays, in turn, beside the bandwidth of memory measured in
the same minutes. Three presets: without arguments, 10, 100, 1000 and 32768 classes and all competitors that
are installed; --peers alone, the same with every number of classes that the project tracks; --limits, each
figure that the project wants to reach, beside its target. All of float32, integer labels, from logits, mean,
unless it says otherwise. Each takes some minutes, most of them the compilers' and the slow peers'."""

EXAMPLES = """\
examples:
  python -m bench                                        a first look
  python -m bench --peers --json bench/results/peers.json    the comparison, with every sample kept
  python -m bench --limits --json bench/results/limits.json  the figures beside their targets
  python -m bench --limits --parts table,scaling         some of them
  python -m bench --limits --parts scoring --file-mb 8000    files of 8 GB, read from the page cache
  python -m bench --update-docs                          put both into README.md and docs/performance.md
  python -m bench --check-docs                           fail if those say something else
  python -m bench --classes 30,131072 --ops forward      other cases
  python -m bench --ops dense-forward,softmax --peers numpy,torch
  python -m bench --ops axis1-forward,wide-forward --peers none
  python -m bench --dtype float64 --threads 1 --isa avx2
  python -m bench --small                                microseconds of a call on a small batch
  python -m bench --crossover                            from which size on a second thread pays
  python -m bench --show FILE.json --details --markdown  print a result again
  python -m bench --compare OLD.json NEW.json            what got slower, beyond the noise
  python -m bench --list                                 operations, competitors, parts of --limits

How to read it: R is the bandwidth of reading, W that of a copy with streaming stores (bytes read + written),
on as many threads as the competitors have. A loss alone is measured in bytes of logits (and dense targets)
read, and should come near R; with a gradient in bytes read + written, against W. Competitors that are
missing, refuse a case, fail or disagree are listed below the tables with the reason."""


def parser() -> argparse.ArgumentParser:
    """All options, with what --help says."""
    p = argparse.ArgumentParser("python -m bench", description=DESCRIPTION, epilog=EXAMPLES,
                                formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    _add_modes(p)
    _add_cases(p)
    _add_method(p)
    _add_comparison(p)
    _add_output(p)
    return p


def _add_modes(p: argparse.ArgumentParser) -> None:
    modes = p.add_argument_group("what to do instead of the large cases").add_mutually_exclusive_group()
    modes.add_argument("--limits", action="store_true", help="measure every figure that has a target")
    modes.add_argument("--small", action="store_true", help="time calls on small batches")
    modes.add_argument("--crossover", action="store_true", help="find from which size on several threads pay")
    modes.add_argument("--list", action="store_true", help="list operations and competitors")
    modes.add_argument("--show", type=Path, metavar="FILE", help="print the tables of a result")
    modes.add_argument(
        "--compare", nargs=2, type=Path, metavar=("OLD", "NEW"),
        help="say what got slower or faster from one result to another; exit with 1 if anything got slower",
    )  # fmt: skip
    modes.add_argument(
        "--update-docs", nargs="*", type=Path, metavar="FILE",
        help="write the tables of results into README.md and docs/performance.md (default: the committed ones)",
    )  # fmt: skip
    modes.add_argument(
        "--check-docs", nargs="*", type=Path, metavar="FILE", help="exit with 1 if these have other tables"
    )


def _add_cases(p: argparse.ArgumentParser) -> None:
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
        metavar="N,N",
        help="numbers of classes, or 'all' (default: 10,100,1000,32768; with --peers alone: all)",
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
        "--file-mb",
        type=float,
        default=2000.0,
        metavar="MB",
        help="size of the files of --parts scoring, made in TMPDIR and deleted; memory must hold one (default: 2000)",
    )
    what.add_argument(
        "--peers",
        type=_names(PEERS, also=("all", "none")),
        nargs="?",
        const=[],
        metavar="A,B",
        help="competitors beside xent_native, or 'all' or 'none' (default: all)",
    )
    what.add_argument(
        "--parts",
        type=_names(PARTS),
        default=list(PARTS),
        metavar="A,B",
        help="parts of --limits (default: all of them)",
    )


def _add_method(p: argparse.ArgumentParser) -> None:
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


def _add_comparison(p: argparse.ArgumentParser) -> None:
    how = p.add_argument_group("how to compare")
    how.add_argument(
        "--least", type=float, default=compare.LEAST * 100, metavar="PERCENT",
        help=f"a change that is less is noise (default: {compare.LEAST:.0%})".replace("%", "%%"),
    )  # fmt: skip
    how.add_argument(
        "--anyway",
        action="store_true",
        help="compare results of other machines, settings or a busy machine, too",
    )


def _add_output(p: argparse.ArgumentParser) -> None:
    output = p.add_argument_group("output")
    output.add_argument("--json", type=Path, metavar="FILE", help="write the result with all samples")
    output.add_argument("--markdown", action="store_true", help="print Markdown")
    output.add_argument(
        "--details", action="store_true", help="print medians and quartiles of every competitor"
    )
    output.add_argument(
        "--documents", nargs="+", type=Path, default=list(documents.DOCUMENTS), metavar="FILE",
        help="the files that --update-docs and --check-docs mean",
    )  # fmt: skip


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of one run, with what a preset adds to those that were given."""
    options = parser().parse_args(arguments)
    if options.classes is None:
        options.classes = list(cases.ALL_CLASSES if options.peers == [] else cases.DEFAULT_CLASSES)
    options.peers = options.peers or ["all"]
    return options


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
