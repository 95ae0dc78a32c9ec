# SPDX-License-Identifier: BSD-3-Clause
"""Builds of the C core for the slow tests, and the programs that they need."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
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


def c_tests(*left_out: str) -> list[str]:
    """The programs of tests/c, as CMakeLists.txt names them."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    return [name for name in re.findall(r"add_executable\(\s*(xent_test_\w+)", text) if name not in left_out]


def of_c_test(name: str) -> str:
    """What a program of tests/c is run with: the inputs of the fuzzers, or how many cases of each kind, the fewest."""
    return str(ROOT / "tests/fuzz/corpus") if name == "xent_test_fuzz" else "1"


def attempt(
    *command: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> tuple[int, str]:
    """What a command returns, and all that it prints. `env` is added to the environment."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, **(env or {})},
        cwd=cwd,
    )
    return done.returncode, done.stdout


def run(*command: str | Path, env: Mapping[str, str] | None = None) -> str:
    """What a command prints; if it fails, so does the script."""
    returned, output = attempt(*command, env=env)
    if returned:
        sys.exit(f"{' '.join(map(str, command))}\nreturned {returned}:\n{output}")
    return output


def configure(folder: Path, *options: str, root: Path = ROOT) -> Path:
    """A folder to build the core and its C tests in, without the Python module."""
    cmake, ninja = tool("cmake"), find("ninja")
    generator = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"] if ninja else []
    run(cmake, "-S", root, "-B", folder, "-DXENT_PYTHON=OFF", "-DXENT_C_TESTS=ON", *generator, *options)
    return folder


def make(folder: Path, *targets: str) -> tuple[int, str]:
    """Builds these targets in a configured folder, as far as that works."""
    return attempt(tool("cmake"), "--build", folder, "--parallel", "2", "--target", *targets)


def build(folder: Path, options: list[str], *targets: str, root: Path = ROOT) -> Path:
    """These targets, built in `folder`."""
    configure(folder, *options, root=root)
    returned, output = make(folder, *targets)
    if returned:
        sys.exit(f"the build of {', '.join(targets)} failed:\n{output}")
    return folder


def arguments(documentation: str | None) -> argparse.ArgumentParser:
    """The options that these scripts have in common."""
    parser = argparse.ArgumentParser(
        description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", type=Path, help="folder to build in; default: a temporary one")
    parser.add_argument("--record", action="store_true", help="keep the counts in tests/slow/results")
    return parser


@contextlib.contextmanager
def workplace(chosen: Path | None) -> Iterator[Path]:
    """The folder that was chosen, or a temporary one."""
    if chosen:
        yield chosen.resolve()
    else:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
