# SPDX-License-Identifier: BSD-3-Clause
"""Contract D3 on another CPU: the C core for arm64 (NEON), emulated, has the bits of AVX2 and AVX-512.

    python tests/slow/neon.py [--record]

Builds bits.c for this machine and for arm64, runs every instruction set that there is, with 1 and with 3 threads, and
compares the hashes of all results. Then it runs the C tests for arm64: there they hold every kernel against the truth.
On Debian or Ubuntu it needs `apt-get install gcc-aarch64-linux-gnu qemu-user cmake`. It takes some ten minutes, most of
them in the emulator.
"""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path

import records
from builds import arguments, build, run, tool, workplace

CROSS = "aarch64-linux-gnu-gcc"
SYSROOT = "/usr/aarch64-linux-gnu"
ON_ARM = [
    f"-DCMAKE_C_COMPILER={CROSS}",
    "-DCMAKE_SYSTEM_NAME=Linux",
    "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
]
# Of the table that every build has: on arm64 it is NEON; on x86-64 it has no fused multiply-add, and bits of its own.
PLAIN = "baseline"
TESTS = ("xent_test_kernels", "xent_test_core", "xent_test_halves", "xent_test_threads")
PROBLEMS = "1"  # of each kind, in the C tests: emulated, they take 20 times as long


def hashes(*command: str | Path) -> dict[str, str]:
    """Each output's hash, by its name."""
    return dict(line.split("\t") for line in run(*command).splitlines() if "\t" in line)


def differences(name: str, found: dict[str, str], expected: dict[str, str]) -> int:
    """Prints the first few, and returns how many outputs differ."""
    assert found.keys() == expected.keys()
    wrong = [key for key in expected if found[key] != expected[key]]
    print(f"{name}: {len(expected) - len(wrong)} of {len(expected)} outputs have the same bits", flush=True)
    for key in wrong[:10]:
        print(f"    differs: {key}")
    return len(wrong)


def main() -> int:
    options = arguments(__doc__).parse_args()
    if platform.machine() not in ("x86_64", "AMD64"):
        sys.exit("this compares an emulated arm64 with AVX2 and AVX-512: it needs an x86-64 machine")
    tool(CROSS, package="gcc-aarch64-linux-gnu")
    qemu = [tool("qemu-aarch64", "qemu-aarch64-static", package="qemu-user"), "-L", SYSROOT]
    with workplace(options.build) as folder:
        here = build(folder / "x86-64", [], "xent_bits") / "xent_bits"
        there = build(folder / "arm64", ON_ARM, "xent_bits", *TESTS)
        expected = hashes(here, "avx2", "1")
        wrong = 0
        isas = ["avx2", *(["avx512"] if "avx512f" in Path("/proc/cpuinfo").read_text() else [])]
        for threads in ("1", "3"):
            for isa in isas:
                wrong += differences(f"{isa}, {threads} threads", hashes(here, isa, threads), expected)
            found = hashes(*qemu, there / "xent_bits", PLAIN, threads)
            wrong += differences(f"NEON, {threads} threads", found, expected)
        if not differences_of_plain(here, expected):
            sys.exit("the baseline of x86-64 cannot have the same bits: the hashes do not tell results apart")
        tiles = 0
        for name in TESTS:
            output = run(*qemu, there / name, PROBLEMS)
            tiles += sum(map(int, re.findall(r"(\d+) tiles", output)))
            print(f"NEON, {output.splitlines()[-1]}", flush=True)
    if options.record and not wrong:
        counts = {
            "outputs compared": len(expected),
            "that differ": wrong,
            "instruction sets": ", ".join([*isas, "neon"]),
        }
        ran = {"C tests on arm64": len(TESTS), "tiles on arm64": tiles}
        records.save("neon", "python tests/slow/neon.py --record", {**counts, **ran})
    return 1 if wrong else 0


def differences_of_plain(here: Path, expected: dict[str, str]) -> int:
    """How many outputs of this machine's baseline differ. Some must: it has no fused multiply-add."""
    found = hashes(here, PLAIN, "1")
    return sum(found[key] != expected[key] for key in expected)


if __name__ == "__main__":
    sys.exit(main())
