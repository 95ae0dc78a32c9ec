# SPDX-License-Identifier: BSD-3-Clause
"""The whole test suite under AddressSanitizer and UndefinedBehaviorSanitizer, the C tests first.

    python tests/slow/sanitizers.py [--record] [options and tests for pytest, such as --share 0.3]

Builds the package once more, with both sanitizers in the core and in the Cython module, into an environment of its
own that sees the packages of this one, and runs the C tests and pytest there. A report ends its process. With clang
(on Debian: `apt-get install clang libomp-dev`) the tests take about three times as long as without sanitizers; gcc's
code is not optimised, which would take minutes to compile, and runs three times as long again. Left out are
test_native.py, which has builds of its own and reads machine code, the tests of the bench, which measures,
test_report_browser.py, whose browser would load them, test_fork.py, and a few more that a sanitizer breaks.
AddressSanitizer's allocator (LLVM 14) keeps its locks across a fork: where another thread was allocating or ending at
that moment, the child waits for ever in its first malloc.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from pathlib import Path

import records
from builds import ROOT, attempt, find, run, tool

SANITIZERS = "address,undefined"
LEFT_OUT = ("test_fork.py", "test_native.py", "test_report_browser.py", "test_bench*.py")
# AddressSanitizer reserves terabytes of addresses and keeps freed memory: tests that limit either cannot run with it.
# The answers of LLVM's OpenMP to odd settings are its own: those tests are for GNU's.
NOT_HERE = (
    "test_interrupt.py::test_interrupted_calls_keep_no_memory",
    "test_npy.py::test_chunk_beyond_memory_is_an_error",
    "test_threads.py::test_environments_of_openmp",
    "test_threads.py::test_memory_for_few_threads",
    "test_threads.py::test_refused_threads",
    "test_threads.py::test_threads_after_a_refusal",
)
# What a sanitizer says once when it finds something; of UBSan's own sentence the part that never changes.
REPORT = re.compile(r"ERROR: AddressSanitizer|runtime error: ")


def compiler() -> tuple[str, list[str]]:
    """clang, whose instrumented code can be optimised in acceptable time, or gcc; and the flags. Both have OpenMP."""
    if find("clang") and Path(runtime("clang")[0]).exists():
        if attempt("clang", "-fopenmp", "-fsyntax-only", "-include", "omp.h", "-x", "c", os.devnull)[0] == 0:
            return "clang", ["-O1"]
        print("clang has no OpenMP (on Debian: apt-get install libomp-dev): gcc is taken")
    return os.environ.get("CC", "gcc"), ["-O0"]


def runtime(name: str) -> list[str]:
    """The libraries that have to be loaded before Python, which is not instrumented."""
    wanted = ["libclang_rt.asan-x86_64.so"] if "clang" in name else ["libasan.so", "libubsan.so"]
    return [run(name, f"-print-file-name={library}").strip() for library in wanted]


def environment(folder: Path) -> Path:
    """A Python of its own that sees the packages of this one, but not its editable installs."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    shared = [path for path in sys.path if "site-packages" in path and Path(path).is_dir()]
    (own / "shared.pth").write_text("\n".join(dict.fromkeys(shared)) + "\n", encoding="utf-8")
    return python


def install(python: Path, build: Path, name: str, flags: list[str]) -> None:
    settings = {
        "build-dir": str(build),
        "cmake.build-type": "Debug",
        "cmake.define.XENT_SANITIZE": SANITIZERS,
        "cmake.define.CMAKE_C_FLAGS_DEBUG": " ".join(flags),
        "cmake.define.XENT_C_TESTS": "ON",
    }
    options = [f"-C{key}={value}" for key, value in settings.items()]
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "-q",
        "--no-build-isolation",
        "--no-deps",
    ]
    run(
        *pip,
        "--disable-pip-version-check",
        *options,
        "-e",
        ROOT,
        env={**os.environ, "CC": name, "PATH": path},
    )


def run_c_tests(build: Path) -> int:
    """How many programs passed, with a search for leaks; the script ends where one fails."""
    ctest = tool("ctest", package="cmake")
    known = build / "leaks.txt"  # OpenMP keeps what belongs to its threads
    known.write_text("leak:libomp\nleak:libgomp\n", encoding="utf-8")
    variables = {**os.environ, "LSAN_OPTIONS": f"suppressions={known}:print_suppressions=0"}
    options = ["--no-tests=error", "--output-on-failure", "--parallel", "2"]
    output = run(ctest, "--test-dir", build, *options, env=variables)
    return len(re.findall(r"\.\.\. +Passed", output))


def instrumented(python: Path, name: str) -> dict[str, str]:
    """The environment of the tests, after a look whether the module has the sanitizers in it."""
    variables = {
        **os.environ,
        "LD_PRELOAD": " ".join(runtime(name)),
        # Python never frees all: leaks are for the C tests, which valgrind and AddressSanitizer run.
        "ASAN_OPTIONS": "detect_leaks=0:strict_string_checks=1:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONMALLOC": "malloc",
    }
    where = run(python, "-c", "import xent_native._core as m; print(m.__file__)", env=variables).strip()
    listing = run("nm", "--dynamic", "--undefined-only", where.splitlines()[-1])
    if "__asan_report" not in listing or "__ubsan_handle" not in listing:
        sys.exit(f"{where} was built without the sanitizers")
    return variables


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true", help="keep the counts for docs/reliability.md")
    options, arguments = parser.parse_known_args()
    name, flags = compiler()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        python = environment(folder / "venv")
        start = time.monotonic()
        install(python, folder / "build", name, flags)
        variables = instrumented(python, name)
        print(f"{name} {' '.join(flags)}: built in {time.monotonic() - start:.0f} s", flush=True)
        programs = run_c_tests(folder / "build")
        print(f"C tests: {programs} programs passed", flush=True)
        left_out = [f"--ignore-glob=*/{pattern}" for pattern in LEFT_OUT]
        left_out += [f"--deselect=tests/{test}" for test in NOT_HERE]
        # Cython's compiled docstrings and pytest's own plugins are as they are elsewhere.
        # By tests, not by modules: one module would keep a process busy when the others have ended.
        command = [python, "-m", "pytest", "-q", "--dist=worksteal", *left_out, *arguments]
        with subprocess.Popen(
            command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            lines = []
            for line in process.stdout:
                sys.stdout.write(line)
                lines.append(line)
    output = "".join(lines)
    reports = len(REPORT.findall(output))
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped)", lines[-1])}
    print(f"{name}'s AddressSanitizer and UBSan: {counts.get('passed', 0)} tests passed, {reports} reports")
    if options.record:
        counts = {
            "tests passed": counts.get("passed", 0),
            "tests failed": counts.get("failed", 0),
            "tests skipped": counts.get("skipped", 0),
            "reports": reports,
        }
        version = run(name, "--version").splitlines()[0]
        command = " ".join(["python tests/slow/sanitizers.py --record", *arguments])
        records.save("sanitizers", command, {"compiler": version, **counts})
    return process.returncode or min(reports, 1)


if __name__ == "__main__":
    sys.exit(main())
