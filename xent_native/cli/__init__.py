# SPDX-License-Identifier: BSD-3-Clause
"""The command ``xent-native``: scores files of predictions, calibrates them, and says what this build is.

Results go to stdout, everything else to stderr. Exit codes: 0 for a result, 1 for data that cannot be
scored, 2 for a command line that makes no sense, 3 for a loss above ``--fail-above``, 130 for Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .. import runtime, scoring
from ._arguments import parser
from ._table import comparison, table
from ._terminal import Progress, fail, print_line, say, warnings_said

__all__ = ["main"]

_EXIT_DATA = 1
_EXIT_USAGE = 2
_EXIT_ABOVE = 3
_EXIT_INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it


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
    commands = parser()
    options = commands.parse_args(argv)
    if options.command in ("score", "calibrate") and options.labels is None and options.label_column is None:
        commands.error(
            "the following arguments are required: LABELS, or --label-column for a column of LOGITS"
        )
    if sys.stdout is None:
        return fail("stdout is closed: there is nowhere to write the result", _EXIT_DATA)
    try:
        code = _COMMANDS[options.command](options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader, such as head, has seen enough
        _leave_stdout()
        return _EXIT_DATA
    except OSError as error:  # such as a full disk; _tried takes those of files
        _leave_stdout()
        return fail(f"the result could not be written: {error.strerror or error}", _EXIT_DATA)
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED


def _leave_stdout() -> None:
    """What could not be written is not tried once more at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _info(options: argparse.Namespace) -> int:
    runtime.show_config()
    return 0


def _is_overwriting(options: argparse.Namespace) -> str | None:
    """What is wrong with where a report or a state shall go: in the place of what is read, or of each other."""
    read = [options.logits, options.labels, options.weights, getattr(options, "group_by", None)]
    taken = {os.path.realpath(path): "is read" for path in read if path is not None and os.path.exists(path)}
    for name in ("state", "report"):
        path = getattr(options, name, None)
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in taken:
            return f"--{name} {path}: that file {taken[place]}, too"
        taken[place] = f"is written by --{name}"
    return None


def _score(options: argparse.Namespace) -> int:
    if (wrong := _is_overwriting(options)) is not None:
        return fail(wrong, _EXIT_USAGE)

    def run(progress: Progress) -> scoring.Score:
        return scoring.score(
            options.logits,
            options.labels,
            **_shared(options),
            group_by=options.group_by,
            worst=10 if options.worst is None else options.worst,
            state=options.state,
            progress=progress,
        )

    result, code = _tried(run, options.logits)
    if result is None:
        return code
    _warn_of_nan(options.logits, result)
    return _show(options, result, _title(options), worst=options.worst is not None)


def _merge(options: argparse.Namespace) -> int:
    def run(progress: Progress) -> scoring.Score:
        return scoring.merge(options.states, state=options.state, partial=options.partial)

    result, code = _tried(run, options.states[0])
    if result is None:
        return code
    _warn_of_nan(f"{len(options.states)} states", result)
    return _show(options, result, f"{len(options.states)} states", worst=options.worst)


def _calibrate(options: argparse.Namespace) -> int:
    if (wrong := _is_overwriting(options)) is not None:
        return fail(wrong, _EXIT_USAGE)

    def run(progress: Progress) -> scoring.TemperatureFit:
        return scoring.fit_temperature(options.logits, options.labels, **_shared(options), progress=progress)

    fit, code = _tried(run, options.logits)
    if fit is None:
        return code
    _warn_of_nan(options.logits, fit.before)
    title = f"{_title(options)}, logits divided by {fit.temperature:.6g}"
    if (code := _write_report(options, fit.after, title, fit.before)) != 0:
        return code
    _print(options, fit.to_dict(), _title(options), comparison(fit))
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "score": _score,
    "merge": _merge,
    "calibrate": _calibrate,
    "info": _info,
}


def _shared(options: argparse.Namespace) -> dict[str, Any]:
    """The options that scoring and calibration have in common."""
    names = (
        "from_logits", "ignore_class", "top_k", "bins", "max_confusion", "classwise", "columns", "label_column",
        "weights", "weight_column", "classes", "chunk_rows", "on_error",
    )  # fmt: skip
    return {**{name: getattr(options, name) for name in names}, "n_threads": options.threads}


def _tried(run: Callable[[Progress], Any], name: str) -> tuple[Any, int]:
    """What a command finds; or None and the exit code, when it was said what is wrong."""
    progress = Progress(sys.stderr)
    try:
        with warnings_said():
            return run(progress), 0
    except scoring.DataError as error:
        message = str(error)
    except (ValueError, TypeError) as error:  # of options, which argparse does not know as well
        progress.close()
        return None, fail(str(error), _EXIT_USAGE)
    except OSError as error:
        message = f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename else str(error)
    except ModuleNotFoundError as error:
        message = str(error)
    except MemoryError:
        message = f"{name}: not enough memory for its classes"
    finally:
        progress.close()
    return None, fail(message, _EXIT_DATA)


def _warn_of_nan(name: str, result: scoring.Score) -> None:
    if result.nan_rows:
        first = f"the first is row {result.first_nan_row}"
        say(f"warning: {name}: {result.nan_rows} rows have the loss NaN; {first}")


def _title(options: argparse.Namespace) -> str:
    return f"{options.logits} against {options.labels or options.label_column}"


def _show(options: argparse.Namespace, result: scoring.Score, title: str, *, worst: bool) -> int:
    if (code := _write_report(options, result, title, None)) != 0:
        return code
    _print(options, result.to_dict(), title, table(result, worst=worst))
    limit = options.fail_above
    if limit is not None and not result.mean_loss <= limit:
        relation = "not at most" if math.isnan(result.mean_loss) else "above"
        return fail(f"the mean loss is {result.mean_loss:.6g}, {relation} {limit:g}", _EXIT_ABOVE)
    return 0


def _print(options: argparse.Namespace, values: dict[str, Any], title: str, lines: Iterable[str]) -> None:
    if options.json:
        print(json.dumps(values, allow_nan=False))
        return
    print_line(title, sys.stdout)
    for line in lines:
        print_line(line, sys.stdout)


def _write_report(
    options: argparse.Namespace, result: scoring.Score, title: str, before: scoring.Score | None
) -> int:
    """Write the report if one is wanted; the exit code if that fails."""
    if options.report is None:
        return 0
    from ..report import write_html

    try:
        write_html(result, options.report, title=title, before=before)
    except OSError as error:
        return fail(f"{options.report}: {error.strerror or error}", _EXIT_DATA)
    return 0
