# SPDX-License-Identifier: BSD-3-Clause
"""What the command prints: lines with names of files, messages on stderr, and how far a long run is."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
import unicodedata
import warnings
from collections.abc import Iterator
from typing import TextIO

__all__ = ["Progress", "fail", "print_line", "say", "warnings_said"]

_UNSEEN = ("Cc", "Zl", "Zp")  # control characters and ends of lines
_SECONDS = 0.2  # between two updates of the line


def print_line(text: str, stream: TextIO) -> None:
    """Prints a line with names of files and groups: what the stream has not, or would move its cursor, is escaped."""
    encoding = stream.encoding or "utf-8"
    text = "".join(
        one.encode("unicode_escape").decode() if unicodedata.category(one) in _UNSEEN else one for one in text
    )
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)


def say(message: str) -> None:
    """A message on stderr, if there is one."""
    if sys.stderr is not None:
        print_line(f"xent-native: {message}", sys.stderr)


def fail(message: str, code: int) -> int:
    """Say what went wrong, and return the exit code."""
    say(f"error: {message}")
    return code


@contextlib.contextmanager
def warnings_said() -> Iterator[None]:
    """Warnings as messages, all of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
        yield


class Progress:
    """A line on a terminal that says how many rows are done, how fast, and how long the rest takes.

    Call it with the rows so far and all rows, or None where that is not known. It writes nothing where `stream` is no
    terminal.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream if stream is not None and stream.isatty() else None
        self._begin = self._shown = time.monotonic()
        self._first: int | None = None  # rows that an earlier run had done count for no rate
        self._last = 0
        self._is_there = False

    def __call__(self, done: int, total: int | None) -> None:
        if self._stream is None:
            return
        if self._first is None or done < self._last:  # the first, or another pass
            self._first, self._begin = done, time.monotonic()
        self._last = done
        now = time.monotonic()
        if now - self._shown < _SECONDS:
            return
        self._shown = now
        width = shutil.get_terminal_size().columns - 1
        line = self._line(done, total, (done - self._first) / max(now - self._begin, 1e-9))
        self._stream.write("\r" + line[:width].ljust(width))
        self._stream.flush()
        self._is_there = True

    @staticmethod
    def _line(done: int, total: int | None, rate: float) -> str:
        if total is None:
            return f"{done:,} rows   {_short(rate)} rows/s"
        text = f"{done / total:4.0%} of {total:,} rows   {_short(rate)} rows/s"
        return f"{text}   {_duration((total - done) / rate)} left" if rate else text

    def close(self) -> None:
        """Take the line away."""
        if self._stream is not None and self._is_there:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write("\r" + " " * width + "\r")
            self._stream.flush()
            self._is_there = False


def _short(rate: float) -> str:
    for unit in ("", "k", "M"):
        if rate < 999.5:
            return f"{rate:.3g}{unit}"
        rate /= 1000
    return f"{rate:.3g}G"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02}"
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
