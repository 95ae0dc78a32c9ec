# SPDX-License-Identifier: BSD-3-Clause
"""The tests find what they are for: a bug of every kind is planted, one after the other, and a test has to fail.

    python tests/slow/planted.py [--record] [--only TEXT]

plants.py has the bugs. Each is patched into a copy of the tree, built as its finder builds (C tests between guard
pages; AddressSanitizer and UBSan; ThreadSanitizer with Archer; valgrind; libFuzzer; pytest on the package, installed
into an environment of its own), and counts as found if the test fails and says why. All tests pass first without any
bug. It needs what tsan.py, valgrind.py and fuzz.py need, and what the package is built with, beside this Python. Some
fifteen minutes.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fuzz
import records
import tsan
import valgrind
from builds import ROOT, arguments, attempt, configure, make, workplace
from plants import ADDRESSES, C_TESTS, FUZZER, MEMORY, PLANTS, PYTEST, THREADS, Plant

# Not optimised: built quickly. The optimised code has its own tests.
QUICK = ["-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS_DEBUG=-O0"]
# Without a corpus, and always the same runs: a fuzzer that finds something new ends this, and has tests of its own.
FUZZ_OPTIONS = ["-runs=100000", "-seed=1"]
LEFT_OUT = shutil.ignore_patterns("build", ".*", "__pycache__", "*.so", "results")


class CTests:
    """A folder in which the C tests are built with some options, and how they are run."""

    def __init__(self, tree: Path, folder: Path, options: list[str], run):
        self.folder, self.run_program, self.built = folder, run, set()
        configure(folder, *options, root=tree)

    def run(self, program: str) -> tuple[int, str]:
        returned, output = make(self.folder, program)
        if returned:
            sys.exit(f"the build of {program} failed:\n{output}")
        return self.run_program(self.folder / program)


class Python:
    """A virtual environment of its own, which sees the libraries of this one: into it goes the package."""

    def __init__(self, tree: Path, folder: Path):
        self.tree, self.folder = tree, folder
        venv.create(folder / "venv", with_pip=False)
        self.python = folder / "venv/bin/python"
        self.site = next((folder / "venv/lib").glob("python*/site-packages"))
        # Of these folders no .pth file is read: an editable install of the package is not seen.
        libraries = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
        (self.site / "libraries.pth").write_text("\n".join(libraries) + "\n")

    def run(self, options: str) -> tuple[int, str]:
        scripts = {"PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])}
        returned, output = attempt(
            *(
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-build-isolation",
                "--no-deps",
                "--no-index",
            ),
            *("--disable-pip-version-check", "--upgrade", "--target", self.site, self.tree),
            *(f"-Cbuild-dir={self.folder / 'build'}", "-Ccmake.build-type=Debug"),
            env=scripts,
        )
        if returned:
            sys.exit(f"the package cannot be built:\n{output}")
        # Safe path: the package in the tree, without its module, must not come first.
        return attempt(
            *(self.python, "-m", "pytest", "-n0", "-q", "-p", "no:cacheprovider", *options.split()),
            env={**scripts, "PYTHONSAFEPATH": "1"},
            cwd=self.tree,
        )


def finders(tree: Path, folder: Path):
    """Functions that make the finders, by name: they are built when they are first needed."""
    clang, archer = tsan.compiler()
    race = tsan.environment(archer)
    addresses = ["-DXENT_SANITIZE=address,undefined", *QUICK]
    return {
        C_TESTS: lambda: CTests(tree, folder / "plain", QUICK, lambda test: attempt(test, "1")),
        ADDRESSES: lambda: CTests(tree, folder / "asan", addresses, lambda test: attempt(test, "1")),
        THREADS: lambda: CTests(
            tree, folder / "tsan", tsan.options(clang), lambda test: attempt(test, "1", env=race)
        ),
        MEMORY: lambda: CTests(
            tree, folder / "valgrind", valgrind.FLAGS, lambda test: valgrind.checked(test, "1")
        ),
        FUZZER: lambda: CTests(
            tree,
            folder / "fuzz",
            [f"-DCMAKE_C_COMPILER={clang}", *fuzz.OPTIONS],
            lambda target: attempt(
                target, *fuzz.FLAGS, *FUZZ_OPTIONS, f"-artifact_prefix={folder}/", env=fuzz.ENVIRONMENT
            ),
        ),
        PYTEST: lambda: Python(tree, folder / "python"),
    }


@contextmanager
def planted(tree: Path, bug: Plant) -> Iterator[None]:
    """The tree with a bug; without it afterwards."""
    before = {}
    for name, old, new in bug.changes:
        texts = {path: path.read_text(encoding="utf-8") for path in tree.glob(name)}
        count = sum(text.count(old) for text in texts.values())
        if count != 1:
            sys.exit(f"plants.py: {name} has this text {count} times, not once:\n{old}")
        path = next(path for path, text in texts.items() if old in text)
        before.setdefault(path, texts[path])
        path.write_text(texts[path].replace(old, new), encoding="utf-8")
    yield
    for path, text in before.items():
        path.write_text(text, encoding="utf-8")


def check_without(finder, tests: list[str]) -> None:
    """Nothing is found where there is no bug: else to find one would mean nothing."""
    for test in tests:
        returned, output = finder.run(test)
        if returned:
            sys.exit(f"{test} fails without any planted bug:\n{output}")


def try_all(tree: Path, folder: Path, bugs: list[Plant]) -> tuple[int, int]:
    """Plants all bugs; how many were found, and how many were not."""
    found = missed = 0
    makers = finders(tree, folder)
    for name in dict.fromkeys(bug.finder for bug in bugs):
        own = [bug for bug in bugs if bug.finder == name]
        finder = makers[name]()
        check_without(finder, list(dict.fromkeys(bug.test for bug in own)))
        for bug in own:
            with planted(tree, bug):
                returned, output = finder.run(bug.test)
            is_found = returned != 0 and re.search(bug.message, output) is not None
            found, missed = found + is_found, missed + (not is_found)
            print(f"{'found' if is_found else 'NOT FOUND'}: {bug.kind} ({name}, {bug.test})", flush=True)
            if not is_found:
                print(
                    f"returned {returned}; the last lines:\n" + "\n".join(output.splitlines()[-30:]),
                    flush=True,
                )
    return found, missed


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--only", default="", help="the bugs whose kind or finder has this text")
    chosen = parser.parse_args()
    bugs = [bug for bug in PLANTS if chosen.only in f"{bug.kind} {bug.finder}"]
    if "avx512f" not in Path("/proc/cpuinfo").read_text():
        bugs = [bug for bug in bugs if bug.kind != "bits of one instruction set differ"]
        print("not tried, as this machine has no AVX-512: bits of one instruction set differ")
    with workplace(chosen.build) as folder:
        tree = folder / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        # As new files: what an earlier run has built here was built with a bug.
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT, copy_function=shutil.copyfile)
        found, missed = try_all(tree, folder, bugs)
    print(f"{found} of {found + missed} planted bugs were found")
    if chosen.record and not missed and not chosen.only:
        counts = {"bugs planted": found + missed, "bugs found": found}
        by_finder = {f"by {name}": sum(bug.finder == name for bug in bugs) for name in finders_of(bugs)}
        records.save("planted", "python tests/slow/planted.py --record", {**counts, **by_finder})
    return 1 if missed or not found else 0


def finders_of(bugs: list[Plant]) -> list[str]:
    return list(dict.fromkeys(bug.finder for bug in bugs))


if __name__ == "__main__":
    sys.exit(main())
