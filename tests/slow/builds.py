# SPDX-License-Identifier: BSD-3-Clause
"""Builds of the C core for the slow tests, and the programs that they need."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def find(name: str) -> str | None:
    """A program of this environment, which need not be on PATH, or of the system."""
    return shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)


def tool(*names: str, package: str | None = None) -> str:
    """The path of the first of these programs that is there; else the end, with Debian's package that has it."""
    for name in names:
        found = find(name)
        if found:
            return found
    sys.exit(f"{names[0]} is missing; on Debian: apt-get install {package or names[0]}")


def run(*command: str | Path, env: Mapping[str, str] | None = None) -> str:
    """What a command prints; if it fails, so does the script."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=env,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nreturned {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def build(folder: Path, options: list[str], *targets: str) -> Path:
    """The core and its C tests in `folder`, without the Python module: these targets alone."""
    cmake, ninja = tool("cmake"), find("ninja")
    if ninja:
        options = [*options, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    run(cmake, "-S", ROOT, "-B", folder, "-DXENT_PYTHON=OFF", "-DXENT_C_TESTS=ON", *options)
    run(cmake, "--build", folder, "--parallel", "2", "--target", *targets)
    return folder
