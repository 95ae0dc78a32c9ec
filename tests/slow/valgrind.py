# SPDX-License-Identifier: BSD-3-Clause
"""No use of uninitialised memory, no stray access and no leak: the C tests under valgrind's memcheck.

    python tests/slow/valgrind.py [--record]

valgrind knows AVX2 but not AVX-512, so this also shows that the library finds out what it may use. It computes long
double in 64 bits: values are not compared with the truth here, but used, and held against those of other numbers of
threads, and of a row alone. On Debian or Ubuntu it needs `apt-get install valgrind gcc cmake`. Some ten minutes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import records
from builds import arguments, attempt, build, c_tests, of_c_test, run, tool, workplace

TESTS = c_tests("xent_test_serial")  # that is xent_test_core once more
FLAGS = ["-DCMAKE_C_COMPILER=gcc", "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS_DEBUG=-O1 -g"]
FOUND = 99  # what valgrind returns if it has found something
# "Possible" leaks are not counted: OpenMP's threads live until the process ends, and with them their memory.
LEAKS = "definite,indirect"


def checked(program: Path, *options: str) -> tuple[int, str]:
    """Runs a program under memcheck."""
    return attempt(
        tool("valgrind"),
        *("--quiet", f"--error-exitcode={FOUND}", "--leak-check=full"),
        *(f"--errors-for-leak-kinds={LEAKS}", f"--show-leak-kinds={LEAKS}"),
        program,
        *options,
    )


def main() -> int:
    chosen = arguments(__doc__).parse_args()
    version = run(tool("valgrind"), "--version").strip()
    failed = tiles = 0
    sets = ""
    with workplace(chosen.build) as folder:
        build(folder, FLAGS, *TESTS)
        for name in TESTS:
            returned, output = checked(folder / name, of_c_test(name))
            print(f"{name}: {'clean' if returned == 0 else 'NOT CLEAN'}", flush=True)
            tiles += sum(map(int, re.findall(r"(\d+) tiles", output)))
            sets = "".join(re.findall(r"instruction sets:(.*)", output)).strip() or sets
            if returned:
                failed += 1
                print(f"returned {returned}:\n{output}", flush=True)
    print(
        f"{len(TESTS)} programs under {version}, instruction sets {sets}, {tiles} tiles: {failed} not clean"
    )
    if chosen.record and not failed:
        counts = {"valgrind": version, "programs run": len(TESTS), "instruction sets": sets, "tiles": tiles}
        records.save("valgrind", "python tests/slow/valgrind.py --record", {**counts, "errors": failed})
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
