# SPDX-License-Identifier: BSD-3-Clause
"""Every float32 through the kernels' exp and log: builds sweep.c, runs it, reads what it prints."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import ROOT

# Maxima of rows. x is reduced as it is up to |max| = 512, beyond that the maximum is subtracted first. Of the maximum
# the former way depends on the integer round(max / ln 2) alone, which shifts the exponent.
MAXIMA = ("0", "0.34", "-1", "1", "88.5", "-103", "511.9", "-512", "512.1", "-3000", "1e6")
# Sums of rows of probabilities: those that float32 holds, and others.
SUMS = ("1", "0.99999", "1.0000001", "3.3", "0.1", "1e-3", "1e6")


class MissingTool(Exception):
    """cmake or a compiler is not there, or could not build the sweep."""


def _find(name: str) -> str | None:
    """A program of this environment, which need not be on PATH, or of the system."""
    return shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)


def build(folder: Path) -> Path:
    """Builds the program with the flags of the kernels, and returns its path."""
    cmake, ninja = _find("cmake"), _find("ninja")
    if cmake is None:
        raise MissingTool("cmake is missing: pip install cmake")
    options = ["-DXENT_PYTHON=OFF", "-DXENT_C_TESTS=ON"]
    if ninja:
        options += ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    for command in (
        [cmake, "-S", str(ROOT), "-B", str(folder), *options],
        [cmake, "--build", str(folder), "--target", "xent_sweep", "--parallel"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MissingTool(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return folder / "xent_sweep"


def sweep(
    program: Path, maxima: tuple[str, ...] = MAXIMA, sums: tuple[str, ...] = SUMS
) -> Iterator[dict[str, Any]]:
    """One record for each function, instruction set and argument."""
    for arguments in (("exp", *maxima), ("log", *sums)):
        with subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                name, isa, argument, count, ulps, at, flushed = line.rstrip("\n").split("\t")
                yield {
                    "function": name,
                    "isa": isa,
                    "argument": argument,
                    "count": int(count),
                    "ulps": float(ulps),
                    "at": at,
                    "flushed": float(flushed),
                }
        if process.returncode:
            raise RuntimeError(f"{program.name} returned {process.returncode}")
