# SPDX-License-Identifier: BSD-3-Clause
"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os

__all__ = ["write_text"]


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a file beside `path` and move it there: nobody ever sees half of it, also after a crash.

    What a symbolic link leads to is written, and the link stays. Devices and pipes are written as they are.
    """
    target = os.path.realpath(os.fspath(path))
    if os.path.exists(target) and not os.path.isfile(target):
        with open(target, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        return
    folder, name = os.path.split(target)
    made = os.path.join(folder, f".{name[:100]}.{os.urandom(6).hex()}.part")
    try:
        stream = open(made, "x", encoding="utf-8", newline="\n")  # noqa: SIM115
    except OSError as error:
        error.filename = os.fspath(path)  # the name that the caller knows
        raise
    try:
        with stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(made, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(made)
        raise
