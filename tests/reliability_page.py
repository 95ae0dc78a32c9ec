# SPDX-License-Identifier: BSD-3-Clause
"""Writes the tables of docs/reliability.md, or checks that they are those that the tests and their records give.

    python tests/reliability_page.py --update | --check

--update asks pytest how many cases each test has here, and keeps the answer in tests/slow/results/cases.json.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pages import asked_to_update, filled, keep, table
from reliability import CONTRACT, RECORDS, Line

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"
RESULTS = ROOT / "tests" / "slow" / "results"
CASES = RESULTS / "cases.json"
COMMAND = "python tests/reliability_page.py --update"


def modules() -> list[str]:
    """The test modules that the contract names."""
    names = {test.partition("::")[0] for lines in CONTRACT.values() for line in lines for test in line.tests}
    return sorted(name for name in names if name.startswith("test_"))


def functions(path: Path) -> set[str]:
    """The functions of a module, without running it."""
    return {
        node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)
    }


def missing() -> list[str]:
    """Tests and scripts that the contract names and that are not there."""
    found = []
    for test in (test for lines in CONTRACT.values() for line in lines for test in line.tests):
        name, _, function = test.partition("::")
        path = ROOT / "tests" / name
        if not path.exists() or (function and function not in functions(path)):
            found.append(test)
    return found


def count_cases() -> dict[str, int]:
    """Cases of each test function, as pytest collects them on this machine."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-n0",
        *(f"tests/{m}" for m in modules()),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"pytest cannot collect the tests:\n{done.stdout}{done.stderr}")
    names = re.findall(r"^tests/(\S+?::\w+)", done.stdout, re.MULTILINE)
    return dict(sorted(Counter(names).items()))


def cases_of(line: Line, cases: dict[str, int]) -> int:
    """Of all tests of a line; scripts count in the other table."""
    return sum(
        count for name, count in cases.items() if name in line.tests or name.partition("::")[0] in line.tests
    )


def contract(cases: dict[str, int]) -> str:
    """Each line of the contract, the tests that hold it, and how many cases they have."""
    parts = []
    for title, lines in CONTRACT.items():
        rows = []
        for line in lines:
            tests = ", ".join(f"`{test}`" for test in line.tests)
            rows.append(
                [line.says, tests, f"{cases_of(line, cases):,}" if cases_of(line, cases) else "script"]
            )
        parts.append(f"### {title}\n\n{table(['what holds', 'held by', 'cases'], rows)}")
    return "\n\n".join(parts)


def counts() -> str:
    """What the slow tests counted when they last ran with --record."""
    rows = []
    fuzzed = 0
    for name, what in RECORDS.items():
        path = RESULTS / f"{name}.json"
        if not path.exists():
            rows.append([what, "not run yet", "", ""])
            continue
        record = json.loads(path.read_text("utf-8"))
        fuzzed += record["counts"]["runs"] if name.startswith("fuzz-") else 0
        found = "; ".join(
            f"{label}: {value:,}" if isinstance(value, int) else f"{label}: {value}"
            for label, value in record["counts"].items()
        )
        rows.append([what, found, f"`{record['command']}`", record["commit"]])
    if fuzzed:
        rows.append(["libFuzzer, all targets", f"runs: {fuzzed:,}", "the sum", ""])
    return table(["what", "found", "by", "commit"], rows)


def current(text: str, cases: dict[str, int]) -> str:
    """The page's text with its two parts as they are now."""
    return filled(text, {"contract": contract(cases), "counts": counts()}, COMMAND)


def main(arguments: Sequence[str] | None = None) -> int:
    update = asked_to_update("The tables of docs/reliability.md.", arguments)
    gone = missing()
    if gone:
        sys.stderr.write(f"tests/reliability.py names what is not there: {', '.join(gone)}\n")
        return 1
    if update:
        CASES.write_text(json.dumps(count_cases(), indent=1) + "\n", encoding="utf-8")
    cases = json.loads(CASES.read_text("utf-8"))
    return keep(PAGE, current(PAGE.read_text(encoding="utf-8"), cases), update, COMMAND)


if __name__ == "__main__":
    sys.exit(main())
