# SPDX-License-Identifier: BSD-3-Clause
"""The arguments of the command ``xent-native``."""

from __future__ import annotations

import argparse
import math
from typing import Any

from .. import __version__

__all__ = ["parser"]

_SCORE = """\
examples:
  xent-native score logits.npy labels.npy --from-logits
  xent-native score probabilities.npy labels.npy --ignore-class -1 --json
  xent-native score predictions.parquet --columns 'p_*' --label-column label --report report.html
  xent-native score folder/ --label-column y --group-by country --state state.json

LOGITS holds probabilities or, with --from-logits, logits: a .npy file of shape (rows, classes), a .npz, Parquet,
Arrow or CSV file, or a folder with files of one of the last three formats. LABELS holds for each row an integer from 0
to classes - 1, or the name of a class; leave it out if they are in a column of LOGITS. Files may be bigger than
memory. Parquet, Arrow and CSV need pyarrow: pip install 'xent-native[parquet]'.

Losses are in nats. Accuracy is the share of rows where the label has the largest prediction; ties count for
the lowest class. A row whose predictions hold NaN makes the mean loss NaN and counts as wrong.

exit codes: 0 scored, 1 the files cannot be scored, 2 the command line makes no sense, 3 --fail-above
"""
_MERGE = """\
examples:
  xent-native merge monday.json tuesday.json --report week.html

The result has the same bits as of one run over all files.

exit codes: 0 merged, 1 the states cannot be merged, 2 the command line makes no sense, 3 --fail-above
"""
_CALIBRATE = """\
examples:
  xent-native calibrate logits.npy labels.npy --from-logits --report calibration.html

Prints the temperature that logits should be divided by for the least loss, and the figures before and after.
The files are read ten to twenty-five times.

exit codes: 0 found, 1 the files cannot be scored or no temperature is best, 2 the command line makes no sense
"""


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    main = argparse.ArgumentParser(
        prog="xent-native", description="Cross-entropy on CPUs: score files of predictions."
    )
    main.add_argument("--version", action="version", version=f"xent-native {__version__}")
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")
    score = _command(commands, "score", "loss, accuracy and calibration of predictions in files", _SCORE)
    _add_files(score)
    _add_figures(score)
    score.add_argument(
        "--group-by", metavar="COLUMN", help="score each value of this column, or .npy file, too"
    )
    score.add_argument("--worst", type=_count, metavar="K", help="list the K rows of the largest losses")
    score.add_argument(
        "--state", metavar="FILE", help="go on from this JSON file if it is there, and keep it"
    )
    _add_output(score)
    _add_limit(score)
    merge = _command(commands, "merge", "fold the states of several runs into one result", _MERGE)
    merge.add_argument("states", metavar="STATE", nargs="+", help="what `score --state` or `merge` wrote")
    merge.add_argument("--state", metavar="FILE", help="write the state of all of them to this file")
    merge.add_argument(
        "--partial", action="store_true", help="take states of runs that have not come to their end, too"
    )
    merge.add_argument("--worst", action="store_true", help="list the rows of the largest losses")
    _add_output(merge)
    _add_limit(merge)
    calibrate = _command(commands, "calibrate", "the temperature that minimises the loss", _CALIBRATE)
    _add_files(calibrate)
    _add_figures(calibrate)
    _add_output(calibrate)
    commands.add_parser("info", help="versions, instruction sets and threads: for bug reports")
    return main


def _command(commands: Any, name: str, text: str, more: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return made


def _add_files(to: argparse.ArgumentParser) -> None:
    to.add_argument("logits", metavar="LOGITS", help="file or folder of predictions")
    to.add_argument("labels", metavar="LABELS", nargs="?", help="file of labels")
    to.add_argument("--from-logits", action="store_true", help="LOGITS holds logits, not probabilities")
    to.add_argument(
        "--columns",
        type=_names,
        metavar="A,B,..",
        help="columns of predictions: one of lists, or one a class; * stands for any text",
    )
    to.add_argument("--label-column", metavar="NAME", help="column of labels")
    to.add_argument(
        "--classes", type=_names, metavar="A,B,..", help="names of the classes, if labels are names"
    )
    to.add_argument("--weights", metavar="FILE", help="file of weights of rows")
    to.add_argument("--weight-column", metavar="NAME", help="column of weights")
    to.add_argument("--ignore-class", type=int, metavar="K", help="leave out rows with this label")
    to.add_argument(
        "--on-error",
        choices=("raise", "skip"),
        default="raise",
        help="what to do with a row or a file that cannot be scored (default: raise); skip counts the rows",
    )
    to.add_argument("--threads", type=_positive, metavar="N", help="threads to use (default: all)")
    to.add_argument(
        "--chunk-rows", type=_positive, metavar="N", help="rows in memory at a time (default: 8 MB of them)"
    )


def _add_figures(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--top-k", type=_ranks, default=(5,), metavar="K,..", help="top-k accuracies (default: 5)"
    )
    to.add_argument("--bins", type=_positive, default=15, metavar="N", help="calibration bins (default: 15)")
    to.add_argument("--classwise", action="store_true", help="calibration of each class, too")
    to.add_argument(
        "--max-confusion",
        type=_count,
        default=100,
        metavar="N",
        help="most classes of which the confusion matrix is kept (default: 100)",
    )


def _add_output(to: argparse.ArgumentParser) -> None:
    to.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    to.add_argument("--report", metavar="FILE", help="write a report in HTML")


def _add_limit(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--fail-above",
        type=_loss,
        metavar="LOSS",
        help="exit with code 3 if the mean loss is above this, or NaN",
    )


def _positive(text: str) -> int:
    value = int(text) if text.strip().lstrip("+-").isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1; got {text!r}")
    return value


def _count(text: str) -> int:
    if not text.strip().isdecimal():
        raise argparse.ArgumentTypeError(f"must be an integer of at least 0; got {text!r}")
    return int(text)


def _ranks(text: str) -> tuple[int, ...]:
    return tuple(_positive(one) for one in text.split(","))


def _names(text: str) -> list[str]:
    names = text.split(",")
    if not all(names):
        raise argparse.ArgumentTypeError(f"must be names with commas between them; got {text!r}")
    return names


def _loss(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise argparse.ArgumentTypeError(f"must be a number; got {text!r}")
    return value
