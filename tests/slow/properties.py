# SPDX-License-Identifier: BSD-3-Clause
"""The tests of hypothesis with new and many more examples than in every run: any calls, properties, files, peers.

    python tests/slow/properties.py [--record]

Some ten minutes on two cores. What fails is printed with a line that repeats it. Tests beside other libraries (PyTorch,
scikit-learn) are skipped where those are not installed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys

import records
from builds import ROOT

TEST = re.compile(r"^(tests/\S+::\S.*):$", re.MULTILINE)  # what its statistics begin with
PASSING = re.compile(r"- (\d+) passing, \d+ failing, and \d+ invalid")


def modules() -> list[str]:
    """The test modules that use hypothesis."""
    paths = sorted((ROOT / "tests").glob("test_*.py"))
    return [str(path) for path in paths if "from hypothesis import" in path.read_text("utf-8")]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true", help="keep the counts for docs/reliability.md")
    options = parser.parse_args()
    names = modules()
    assert len(names) > 3, names
    # One worker for each test: some take as long as all others together.
    profile = ["--hypothesis-profile=nightly", "--hypothesis-show-statistics", "--dist=load"]
    command = [sys.executable, "-m", "pytest", "-q", *profile, *names]
    done = subprocess.run(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    tests = dict.fromkeys(TEST.findall(done.stdout), 0)
    for name, statistics in zip(tests, TEST.split(done.stdout)[2::2], strict=True):
        tests[name] = sum(map(int, PASSING.findall(statistics)))
    failures = done.stdout.partition("= FAILURES =")[2].partition("Hypothesis Statistics")[0]
    print(failures + done.stdout.rstrip().splitlines()[-1])
    run = {name: passed for name, passed in tests.items() if passed}  # others were skipped
    passing = sum(run.values())
    print(f"{passing:,} examples of {len(run)} tests passed")
    if not run:
        sys.exit("no test of hypothesis has run")
    if options.record:
        failed = re.search(r"(\d+) failed", done.stdout.rstrip().splitlines()[-1])
        counts = {"tests": len(run), "inputs tried": passing, "failures": int(failed[1]) if failed else 0}
        records.save("properties", "python tests/slow/properties.py --record", counts)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
