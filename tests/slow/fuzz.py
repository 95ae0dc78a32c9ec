# SPDX-License-Identifier: BSD-3-Clause
"""Fuzzes the C interface: clang's libFuzzer with AddressSanitizer and UBSan, on every instruction set of this machine.

    python tests/slow/fuzz.py [--runs N] [--target NAME] [--keep] [--record]

Builds the targets of tests/fuzz, starts from the inputs that are kept there, and runs each of them on all cores. The
first finding ends it: the input that shows it stays in tests/fuzz/findings. With --keep, what the runs have found to
cover more is added to tests/fuzz/corpus, and that made as small as its coverage allows. With --record each target's
counts are kept as soon as it has ended.
On Debian or Ubuntu it needs `apt-get install clang cmake`. Ten million runs take about half an hour on two cores.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import records
from builds import ROOT, arguments, build, run, tool, workplace

CORPUS = ROOT / "tests/fuzz/corpus"
FINDINGS = ROOT / "tests/fuzz/findings"
TARGETS = re.findall(r'\{"(\w+)", fuzz_', (ROOT / "tests/fuzz/targets.c").read_text("utf-8"))
LONG = 0.02  # runs of long rows, where others have 1: they take as much longer
SANITIZERS = "address,undefined"
OPTIONS = [
    "-DXENT_OPENMP=OFF",  # threads are tested elsewhere; here they would only hide which input it was
    f"-DXENT_SANITIZE=fuzzer-no-link,{SANITIZERS}",
    "-DCMAKE_BUILD_TYPE=Debug",
    "-DCMAKE_C_FLAGS_DEBUG=-O1 -Wno-pass-failed",
]
# What numbers were compared with tells this fuzzer nothing, and weighing inputs by it takes most of its time.
FLAGS = [
    "-max_len=400",
    "-len_control=0",
    "-entropic=0",
    "-use_cmp=0",
    "-timeout=60",
    "-rss_limit_mb=4096",
    "-print_final_stats=1",
]
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


class Fuzzer:
    """One process of a target, with a folder of its own for what it finds."""

    def __init__(self, folder: Path, target: str, number: int, runs: int) -> None:
        self.target = target
        self.found = folder / "found" / target / str(number)
        self.log = folder / f"{target}-{number}.log"
        shutil.rmtree(self.found, ignore_errors=True)
        self.found.mkdir(parents=True)
        FINDINGS.mkdir(exist_ok=True)
        command = [
            folder / f"xent_fuzz_{target}",
            *FLAGS,
            f"-runs={runs}",
            f"-seed={time.time_ns() % 2**31 + number}",
            f"-artifact_prefix={FINDINGS}/{target}-",
            self.found,
            CORPUS / target,
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **ENVIRONMENT},
            )

    def finish(self) -> dict[str, int]:
        """Waits, and returns what it counted; the end, if it has found something."""
        status = self.process.wait()
        text = self.log.read_text("utf-8", "replace")
        if status:
            artifact = re.search(r"Test unit written to (\S+)", text)
            print(text[-6000:])
            sys.exit(f"{self.target}: a finding, kept as {artifact[1] if artifact else 'nothing'}")
        counted = dict.fromkeys(("runs", "edges", "compared", "told"), 0)
        counted["runs"] = int(re.findall(r"number_of_executed_units:\s*(\d+)", text)[-1])
        counted["edges"] = int(re.findall(r"cov: (\d+)", text)[-1])
        if results := re.search(r"results: (\d+) compared, (\d+) told", text):
            counted["compared"], counted["told"] = map(int, results.groups())
        return counted


def fuzz(folder: Path, target: str, runs: int, jobs: int) -> dict[str, int]:
    """Runs a target in some processes; the sums of what they counted, and the most that one covered."""
    started = time.monotonic()
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    fuzzers = [Fuzzer(folder, target, number, -(-runs // jobs)) for number in range(jobs)]
    total: dict[str, int] = {}
    try:
        for fuzzer in fuzzers:
            counted = fuzzer.finish()
            total = {key: total.get(key, 0) + value for key, value in counted.items() if key != "edges"} | {
                "edges": max(total.get("edges", 0), counted["edges"])
            }
    finally:
        for fuzzer in fuzzers:
            fuzzer.process.kill()
    rate = total["runs"] / jobs / (time.monotonic() - started)
    told = (
        f", {total['told'] / total['compared']:.0%} of {total['compared']:,} results told"
        if total["compared"]
        else ""
    )
    print(
        f"{target}: {total['runs']:,} runs, {rate:,.0f} a second and process, {total['edges']:,} edges{told}",
        flush=True,
    )
    return total


def keep(folder: Path, target: str) -> None:
    """Makes the corpus of a target anew: the findings, and the least inputs that reach every edge that is reached."""
    new = folder / "kept" / target
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for named in (CORPUS / target).iterdir():
        if not re.fullmatch("[0-9a-f]{40}", named.name):  # which libFuzzer gives: it is no finding
            shutil.copy(named, new)
    sources = [CORPUS / target, *sorted((folder / "found" / target).glob("*"))]
    run(folder / f"xent_fuzz_{target}", "-merge=1", "-use_counters=0", *FLAGS, new, *sources, env=ENVIRONMENT)
    shutil.rmtree(CORPUS / target)
    shutil.copytree(new, CORPUS / target)
    files = list((CORPUS / target).iterdir())
    print(f"{target}: {len(files)} inputs are kept, {sum(file.stat().st_size for file in files):,} bytes")


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument(
        "--runs", type=int, default=10_000_000, help="of all targets together; default: %(default)s"
    )
    parser.add_argument("--target", choices=TARGETS, action="append", help="default: all")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes; default: %(default)s"
    )
    parser.add_argument("--keep", action="store_true", help="keep the inputs that cover more")
    options = parser.parse_args()
    targets = options.target or TARGETS
    compiler = tool("clang", "clang-16", "clang-14")
    flags = [f"-DCMAKE_C_COMPILER={compiler}", *OPTIONS]
    shares = {target: LONG if target == "long_rows" else 1 for target in targets}
    whole = sum(shares.values())
    version = run(compiler, "--version").splitlines()[0]
    with workplace(options.build) as folder:
        build(folder, flags, *(f"xent_fuzz_{target}" for target in targets))
        for target, share in shares.items():
            runs = math.ceil(options.runs * share / whole)
            counts = fuzz(folder, target, runs, options.jobs)
            if options.record:
                command = f"python tests/slow/fuzz.py --target {target} --runs {runs} --record"
                found = {
                    "runs": counts["runs"],
                    "results compared": counts["compared"],
                    "edges": counts["edges"],
                    "findings": 0,
                    "compiler": version,
                }
                records.save(f"fuzz-{target}", command, found)
        for target in targets if options.keep else []:
            keep(folder, target)
    print(f"{options.runs:,} runs of {len(targets)} targets: no findings")
    return 0


if __name__ == "__main__":
    sys.exit(main())
