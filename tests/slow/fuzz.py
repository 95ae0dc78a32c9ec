# SPDX-License-Identifier: BSD-3-Clause
"""libFuzzer on the C interface: random bits in random problems, every instruction set against the truth.

    python tests/slow/fuzz.py [--runs N] [--target NAME] [--seconds S] [--minimise] [--record]

Builds the targets of tests/fuzz with clang, AddressSanitizer and UBSan, and runs them from the inputs in
tests/fuzz/corpus, two at a time. The default is 10,000,000 runs in all: an hour or two. What fails ends the script, and
its input is kept in the folder that is named. --minimise puts what a run has found into the corpus, as few and as small
inputs as reach the same code. On Debian it needs `apt-get install clang cmake`.
"""

from __future__ import annotations

import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import records
from builds import ROOT, arguments, attempt, build, find, tool, workplace

CORPUS = ROOT / "tests" / "fuzz" / "corpus"
FINDINGS = ROOT / "tests" / "fuzz" / "findings"
RUNS = 10_000_000
MOST_BYTES = 400  # of an input: what is missing comes from a generator that the first bytes seed
SANITIZERS = "fuzzer-no-link,address,undefined"
OPTIONS = [
    f"-DXENT_SANITIZE={SANITIZERS}",
    "-DXENT_OPENMP=OFF",
    "-DCMAKE_BUILD_TYPE=Debug",
    "-DCMAKE_C_FLAGS_DEBUG=-O1 -Wno-pass-failed",
]
# Problems take longer than arguments: their share of all runs.
SHARES = {
    "softmax": 14,
    "prob": 14,
    "shaped": 14,
    "shaped_prob": 14,
    "binary": 14,
    "labels": 10,
    "arguments": 10,
    "interface": 10,
}


class Found(NamedTuple):
    """What a target's runs came to."""

    target: str
    returned: int
    runs: int
    coverage: int
    compared: int
    output: str


def last(pattern: str, text: str) -> int:
    """The number in the last place where a line says so; 0 if none does."""
    numbers = re.findall(pattern, text)
    return int(numbers[-1]) if numbers else 0


def fuzz(folder: Path, target: str, runs: int, seconds: int) -> Found:
    """Runs one target, from the corpus into a folder of its own."""
    own = folder / "new" / target
    own.mkdir(parents=True, exist_ok=True)
    FINDINGS.mkdir(exist_ok=True)
    limits = [
        f"-runs={runs}",
        f"-max_len={MOST_BYTES}",
        "-timeout=60",
        "-rss_limit_mb=4096",
        "-print_final_stats=1",
    ]
    if seconds:
        limits.append(f"-max_total_time={seconds}")
    seeds = CORPUS / target
    command = [folder / f"xent_fuzz_{target}", *limits, f"-artifact_prefix={FINDINGS}/{target}-", own]
    returned, output = attempt(*command, *([seeds] if seeds.is_dir() else []))
    executed = last(r"stat::number_of_executed_units: (\d+)", output)
    compared = last(r"results: (\d+) compared", output)
    found = Found(target, returned, executed, last(r"cov: (\d+)", output), compared, output)
    print(f"{target}: {executed:,} runs, {found.coverage:,} edges, {compared:,} results compared", flush=True)
    return found


def minimise(folder: Path, target: str) -> None:
    """The corpus of a target, made anew of itself and of what was found."""
    kept = folder / "kept" / target
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    sources = [path for path in (CORPUS / target, folder / "new" / target) if path.is_dir()]
    returned, output = attempt(
        folder / f"xent_fuzz_{target}", "-merge=1", f"-max_len={MOST_BYTES}", kept, *sources
    )
    if returned:
        sys.exit(f"the inputs of {target} could not be merged:\n{output[-2000:]}")
    shutil.rmtree(CORPUS / target, ignore_errors=True)
    shutil.copytree(kept, CORPUS / target)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="of all targets together")
    parser.add_argument("--target", choices=SHARES, help="this one alone")
    parser.add_argument("--seconds", type=int, default=0, help="of each target, at most")
    parser.add_argument("--minimise", action="store_true", help="keep the inputs that reach new code")
    options = parser.parse_args()
    if not find("clang"):
        tool("clang")
    targets = [options.target] if options.target else list(SHARES)
    whole = sum(SHARES[target] for target in targets)
    with workplace(options.build) as folder:
        build(folder, ["-DCMAKE_C_COMPILER=clang", *OPTIONS], *(f"xent_fuzz_{target}" for target in targets))
        with ThreadPoolExecutor(2) as pool:
            runs = {target: -(-options.runs * SHARES[target] // whole) for target in targets}
            every = list(
                pool.map(lambda target: fuzz(folder, target, runs[target], options.seconds), targets)
            )
        bad = [found for found in every if found.returned]
        for found in bad:
            print(f"== {found.target}\n{found.output[-3000:]}")
        if options.minimise and not bad:
            for target in targets:
                minimise(folder, target)
    total = sum(found.runs for found in every)
    print(
        f"{total:,} runs of {len(targets)} targets, {len(bad)} findings{f', kept in {FINDINGS}' if bad else ''}"
    )
    if options.record and not options.target:
        counts = {
            "targets": len(targets),
            "runs": total,
            "edges": sum(found.coverage for found in every),
            "results compared": sum(found.compared for found in every),
            "findings": len(bad),
        }
        records.save("fuzz", "python tests/slow/fuzz.py --record", counts)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
