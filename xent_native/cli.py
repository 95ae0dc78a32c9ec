# SPDX-License-Identifier: BSD-3-Clause
"""The command ``xent-native``: scores files of predictions, and says what this build is.

Results go to stdout, everything else to stderr. Exit codes: 0 for a result, 1 for data that cannot be
scored, 2 for a command line that makes no sense, 130 for Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

from . import __version__, runtime, scoring

__all__ = ["main"]

_EXIT_DATA = 1
_EXIT_INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it
_MOST_CLASSES = 50  # that the table lists; --json has them all

_EXAMPLE = """\
examples:
  xent-native score logits.npy labels.npy --from-logits
  xent-native score probabilities.npy labels.npy --ignore-class -1 --json

LOGITS is a .npy file of shape (rows, classes) with probabilities or, with --from-logits, logits. LABELS is
a .npy file of integers from 0 to classes - 1, one for each row. Files may be bigger than memory.

Losses are in nats. Accuracy is the share of rows where the label has the largest prediction; ties count for
the lowest class. A row whose predictions hold NaN makes the mean loss NaN and counts as wrong.

exit codes: 0 scored, 1 the files cannot be scored, 2 the command line makes no sense
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the command's name; by default those of this process.

    Returns
    -------
    int
        The exit code. A command line that makes no sense raises SystemExit(2) instead, as argparse does.
    """
    options = _parser().parse_args(argv)
    if sys.stdout is None:
        return _fail("stdout is closed: there is nowhere to write the result")
    try:
        code = _score(options) if options.command == "score" else _info()
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader, such as head, has seen enough
        _leave_stdout()
        return _EXIT_DATA
    except OSError as error:  # such as a full disk; _score takes those of files
        _leave_stdout()
        return _fail(f"the result could not be written: {error.strerror or error}")
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED


def _leave_stdout() -> None:
    """What could not be written is not tried once more at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xent-native", description="Cross-entropy on CPUs: score files of predictions."
    )
    parser.add_argument("--version", action="version", version=f"xent-native {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    score = commands.add_parser(
        "score",
        help="loss, perplexity and accuracy of predictions in a file",
        description="Print loss, perplexity and accuracy of predictions, over all rows and for each class.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    score.add_argument("logits", metavar="LOGITS", help=".npy file of shape (rows, classes)")
    score.add_argument("labels", metavar="LABELS", help=".npy file of integers, shape (rows,)")
    score.add_argument("--from-logits", action="store_true", help="LOGITS holds logits, not probabilities")
    score.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    score.add_argument("--ignore-class", type=int, metavar="K", help="leave out rows with this label")
    score.add_argument("--threads", type=_positive, metavar="N", help="threads to use (default: all)")
    score.add_argument(
        "--chunk-rows", type=_positive, metavar="N", help="rows in memory at a time (default: 8 MB of them)"
    )
    commands.add_parser("info", help="versions, instruction sets and threads: for bug reports")
    return parser


def _positive(text: str) -> int:
    value = int(text) if text.strip().lstrip("+-").isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1; got {text!r}")
    return value


def _info() -> int:
    runtime.show_config()
    return 0


def _score(options: argparse.Namespace) -> int:
    try:
        result = scoring.score(
            options.logits,
            options.labels,
            from_logits=options.from_logits,
            ignore_class=options.ignore_class,
            n_threads=options.threads,
            chunk_rows=options.chunk_rows,
        )
    except scoring.DataError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except MemoryError:
        return _fail(f"{options.logits}: not enough memory for its classes")
    if result.nan_rows:
        first = f"the first is row {result.first_nan_row}"
        _say(f"warning: {options.logits}: {result.nan_rows} rows have the loss NaN; {first}")
    if options.json:
        print(json.dumps(result.to_dict(), allow_nan=False))
    else:
        _print(f"{options.logits} against {options.labels}", sys.stdout)
        print(*_table(result), sep="\n")
    return 0


def _table(result: scoring.Score) -> Iterator[str]:
    yield ""
    yield f"rows        {result.rows:>12}"
    if result.ignored:
        yield f"ignored     {result.ignored:>12}"
    yield f"classes     {result.classes:>12}"
    yield f"mean loss   {result.mean_loss:>12.6g} nats"
    yield f"perplexity  {result.perplexity:>12.6g}"
    yield f"accuracy    {result.accuracy:>12.4%}"
    yield ""
    shown = list(enumerate(result.per_class))
    if len(shown) > _MOST_CLASSES:
        # Those that the most loss comes from; a NaN first of all.
        shown.sort(key=lambda item: -item[1].support * item[1].mean_loss if item[1].support else 0.0)
        shown = sorted(shown[:_MOST_CLASSES])
        yield f"the {_MOST_CLASSES} classes that the most loss comes from (--json has all)"
    yield "class    support    mean loss   accuracy"
    for k, one in shown:
        if one.support:
            yield f"{k:>5} {one.support:>10} {one.mean_loss:>12.6g} {one.accuracy:>10.2%}"
        else:
            yield f"{k:>5} {0:>10} {'-':>12} {'-':>10}"


def _fail(message: str) -> int:
    _say(f"error: {message}")
    return _EXIT_DATA


def _say(message: str) -> None:
    if sys.stderr is not None:
        _print(f"xent-native: {message}", sys.stderr)


def _print(text: str, stream: TextIO) -> None:
    """Prints a line with names of files, which may have characters that the stream has not."""
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)
