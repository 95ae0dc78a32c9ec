# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's own tests, from the installed package, on the kernels of xent_native.

    python tests/hosts/sklearn_suite.py [--quick] [--json PATH]

Runs them in this process while ``patch_sklearn()`` holds, and counts the calls of the kernels during each file: a file
in which they were not called, or too few tests passed, fails as one does whose tests fail. With ``--quick`` without
those of logistic regression, which take the longest.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import xent_native.sklearn
from xent_native import _core


class File:
    """A test file: which of its tests, how many of them pass at least, and the kernels that they call."""

    def __init__(self, module: str, chosen: str, passed: int, *kernels: str) -> None:
        self.module, self.chosen, self.passed, self.kernels = module, chosen, passed, kernels


SOFTMAX, BINARY, PROBABILITIES = "softmax", "binary", "probabilities"
KERNELS = {SOFTMAX: "cross_entropy", BINARY: "binary_cross_entropy", PROBABILITIES: "score_probabilities"}
FILES = [
    File("sklearn._loss.tests.test_loss", "", 1800, SOFTMAX, BINARY),
    File("sklearn.metrics.tests.test_classification", "log_loss", 18, PROBABILITIES),
    File("sklearn.metrics.tests.test_score_objects", "log_loss", 7, PROBABILITIES),
    File("sklearn.metrics.tests.test_common", "log_loss", 45, PROBABILITIES),
    File("sklearn.linear_model.tests.test_logistic", "", 290, SOFTMAX, BINARY),
]


class Counter:
    """Counts the calls of the kernels, by what they compute."""

    def __init__(self) -> None:
        self.calls: collections.Counter[str] = collections.Counter()
        for what, function in KERNELS.items():
            setattr(_core, function, self.counted(getattr(_core, function), what))

    def counted(self, function: Callable[..., Any], what: str) -> Callable[..., Any]:
        """The same function, whose calls that return are counted."""

        def call(*args: Any, **options: Any) -> Any:
            result = function(*args, **options)
            self.calls[what] += 1
            return result

        return call


class Outcomes:
    """A plugin of pytest that counts how tests ended."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)
        elif report.when == "call" or report.skipped:
            self.counts[report.outcome] += 1


def run(file: File, counter: Counter, rootdir: str) -> dict[str, Any]:
    """The outcome of one file."""
    counter.calls.clear()
    outcomes, start, work = Outcomes(), time.perf_counter(), time.process_time()
    arguments = [
        *("--pyargs", file.module, "-k", file.chosen, "-q", "-x", "--no-header", "-p", "no:cacheprovider"),
        *("-p", "no:xdist", "--rootdir", rootdir, "-c", f"{rootdir}/pytest.ini"),
    ]
    status = pytest.main(arguments, plugins=[outcomes])
    missing = [kernel for kernel in file.kernels if not counter.calls[kernel]]
    enough = outcomes.counts["passed"] >= file.passed
    return {
        "file": file.module,
        "tests": file.chosen or "all",
        "passed": outcomes.counts["passed"],
        "skipped": outcomes.counts["skipped"],
        "failed": outcomes.failed,
        "calls": dict(counter.calls),
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - work, 1),
        "ok": status == 0 and enough and not missing,
    }


def main(argv: list[str] | None = None) -> int:
    """0 if every file is as it should be."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="without the tests of logistic regression")
    parser.add_argument("--json", type=Path, help="where to put the figures")
    options = parser.parse_args(argv)
    counter, found = Counter(), []
    with tempfile.TemporaryDirectory() as rootdir, xent_native.sklearn.patch_sklearn():
        # Not this project's configuration, which turns warnings into errors and starts processes.
        Path(rootdir, "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
        with contextlib.chdir(rootdir):  # in a folder named tests, pytest would look for a conftest
            for file in FILES[: -1 if options.quick else None]:
                found.append(run(file, counter, rootdir))
    for one in found:
        calls = ", ".join(f"{count} {name}" for name, count in sorted(one["calls"].items())) or "none"
        print(
            f"{'ok  ' if one['ok'] else 'FAIL'} {one['file']} ({one['tests']}): {one['passed']} passed, "
            f"{one['skipped']} skipped, {len(one['failed'])} failed in {one['seconds']} s, "
            f"{one['cpu_seconds']} s of CPU; kernel calls: {calls}"
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if all(one["ok"] for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
