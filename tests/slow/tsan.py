# SPDX-License-Identifier: BSD-3-Clause
"""No data races: the C core with all its threads under ThreadSanitizer, which learns from Archer what OpenMP orders.

    python tests/slow/tsan.py [--record]

Builds core and C tests with clang and LLVM's OpenMP, and runs those that compute in threads: with the threads that a
call asks for, 1 to 8, under several values of OMP_NUM_THREADS; and from several threads of the caller at once. That a
race would be found is shown by planted.py. On Debian or Ubuntu it needs `apt-get install clang libomp-dev cmake`, on
x86-64 or arm64. Some three minutes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import records
from builds import arguments, attempt, build, c_tests, find, of_c_test, run, workplace

CLANGS = ("clang", *(f"clang-{version}" for version in range(22, 13, -1)))
TESTS = c_tests("xent_test_kernels", "xent_test_serial")  # but those that have no threads
ROUNDS = {"xent_test_callers": "3"}
# In vectors of more than 16 bytes ThreadSanitizer sees no access: loops stay scalar, even those that ask for vectors.
SCALAR = "-fno-slp-vectorize -mllvm -force-vector-width=1 -Wno-pass-failed"
FLAGS = ["-DXENT_SANITIZE=thread", "-DCMAKE_BUILD_TYPE=Debug", f"-DCMAKE_C_FLAGS_DEBUG=-O1 {SCALAR}"]
THREADS = ("1", "3", "8")  # of OMP_NUM_THREADS: what n_threads = 0 means


def archers(clang: str) -> list[Path]:
    """The libraries named libarcher.so that belong to a compiler."""
    printed = Path(run(clang, "-print-file-name=libarcher.so").strip())
    resources = Path(run(clang, "-print-resource-dir").strip()).resolve()
    beside = [folder / "libarcher.so" for folder in resources.parents]
    return [path for path in (printed, *beside) if path.is_absolute() and path.is_file()]


def compiler() -> tuple[str, Path]:
    """The first clang that has ThreadSanitizer and Archer, and its Archer."""
    for name in CLANGS:
        clang = find(name)
        if clang and archers(clang):
            return clang, archers(clang)[0]
    sys.exit("no clang with libarcher.so was found; on Debian: apt-get install clang libomp-dev")


def options(clang: str) -> list[str]:
    return [f"-DCMAKE_C_COMPILER={clang}", *FLAGS]


def environment(archer: Path, threads: str = "8") -> dict[str, str]:
    """What a program needs in order to be judged. Archer says that it is there: without it nothing would be right."""
    return {
        "OMP_TOOL_LIBRARIES": str(archer),
        "ARCHER_OPTIONS": "verbose=1",
        "TSAN_OPTIONS": "ignore_noninstrumented_modules=1 exitcode=66",
        "OMP_NUM_THREADS": threads,
    }


def main() -> int:
    chosen = arguments(__doc__).parse_args()
    clang, archer = compiler()
    version = re.search(r"version (\S+)", run(clang, "--version"))[1]
    found = calls = 0
    with workplace(chosen.build) as folder:
        build(folder, options(clang), *TESTS)
        for threads in THREADS:
            for name in TESTS:
                returned, output = attempt(
                    folder / name, ROUNDS.get(name, of_c_test(name)), env=environment(archer, threads)
                )
                races = output.count("WARNING: ThreadSanitizer")
                found += races + (returned != 0)
                print(f"OMP_NUM_THREADS={threads}, {name}: {races} races", flush=True)
                if returned:
                    print(f"returned {returned}:\n{output}")
                if "Archer detected OpenMP application with TSan" not in output:
                    sys.exit(f"Archer did not take part in {name}:\n{output}")
                if name == "xent_test_callers":
                    calls += int(re.search(r"(\d+) calls at once", output)[1])
                    if int(re.search(r"8 threads come to (\d+)", output)[1]) < 2:
                        sys.exit("this system allows one thread: nothing was tested")
    runs = len(THREADS) * len(TESTS)
    print(f"{runs} programs under ThreadSanitizer of clang {version}: {found} findings")
    if chosen.record and not found:
        counts = {
            "compiler": f"clang {version}",
            "programs run": runs,
            "concurrent calls": calls,
            "races": found,
        }
        records.save("tsan", "python tests/slow/tsan.py --record", counts)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
