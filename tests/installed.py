# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the package as it is installed, from a wheel, once for each instruction set that this CPU has.

    python tests/installed.py [--openmp] [PYTEST-OPTION...]

cibuildwheel runs it in every wheel, tests/slow/wheels.py in those that are built here. The source tree must not be what
is imported: an editable install is refused. It needs the packages of `REQUIRED` and NumPy, and no compiler.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent
REQUIRED = ("pytest", "pytest-xdist", "hypothesis", "mpmath")  # also pyproject.toml's test-requires
# What a build can break: the compiled module, its buffers, all kernels, threads, exactness, settings. Modules about
# hosts, files and documents say nothing of a wheel that these do not.
MODULES = (
    *(
        "activations",
        "binary",
        "buffers",
        "core",
        "determinism",
        "errors",
        "functional",
        "losses",
        "losses_shapes",
    ),
    *("plain", "runtime", "subnormals"),
)


def package() -> Path:
    """Where the package is imported from; the end of the script if that is the source tree, or nowhere."""
    found = importlib.util.find_spec("xent_native")
    if found is None or found.origin is None:
        sys.exit("xent_native is not installed")
    place = Path(found.origin).resolve().parent
    if place.is_relative_to(TESTS.parent) and "site-packages" not in place.parts:
        sys.exit(f"{place} is the source tree: install a wheel, not an editable package")
    return place


def wrong_parts(place: Path, openmp: bool) -> list[str]:
    """What this install lacks, or has and should not have."""
    from xent_native import runtime

    found = []
    if openmp and not runtime.config()["openmp"]:
        found.append("the build has no OpenMP")
    if not (place / "py.typed").exists():
        found.append("py.typed is missing")
    sources = [path.name for path in place.rglob("*") if path.suffix in (".pyx", ".pxi", ".pxd", ".c", ".h")]
    if sources:
        found.append(f"sources were installed: {', '.join(sorted(sources))}")
    return found


def count_passed(isa: str, options: list[str]) -> int:
    """How many tests pass where the library starts with an instruction set; none if one fails."""
    modules = [str(TESTS / f"test_{name}.py") for name in MODULES]
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *modules]
    with tempfile.TemporaryDirectory() as folder:  # not the source tree: `python -m` would import from there
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "XENT_NATIVE_ISA": isa},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    passed = re.search(r"(\d+) passed", done.stdout)
    if done.returncode or not passed:
        print(f"{isa}: pytest returned {done.returncode}:\n{done.stdout}", flush=True)
        return 0
    print(f"{isa}: {done.stdout.splitlines()[-1]}", flush=True)
    return int(passed[1])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--openmp", action="store_true", help="fail if the build has no OpenMP")
    chosen, options = parser.parse_known_args()
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() not in (TESTS, TESTS.parent)]
    place = package()
    from xent_native import runtime

    runtime.show_config()
    print(f"from {place}", flush=True)
    wrong = wrong_parts(place, chosen.openmp)
    for what in wrong:
        print(what)
    isas = [name for name, state in runtime.config()["isas"].items() if state == "supported"]
    failed = [name for name in isas if count_passed(name, options) == 0]
    print(f"{len(isas)} instruction sets, failed: {', '.join(failed) or 'none'}")
    return 1 if wrong or failed or not isas else 0


if __name__ == "__main__":
    sys.exit(main())
