# SPDX-License-Identifier: BSD-3-Clause
"""Other CPUs: the package on emulated x86-64 CPUs chooses what they have, refuses what they have not, and passes tests.

    python tests/slow/cpus.py [--record]

Runs this Python, with the package as it is installed, under qemu-x86_64: first every CPU of the list below, some with a
single feature hidden, as virtual machines may hide it; then tests on one CPU of each kind. The emulator has no AVX-512.
On Debian or Ubuntu it needs `apt-get install qemu-user`, and an x86-64 machine. Some fifteen minutes.
"""

from __future__ import annotations

import re
import sys

import records
from builds import ROOT, arguments, attempt, run, tool

# What isa() has to say on each CPU. NumPy needs SSE4.2, the first of which was Nehalem. AVX2 kernels are compiled for
# x86-64-v3: a CPU that lacks any part of it must not get them. (Without BMI1 alone, glibc's own AVX2 functions crash.)
CPUS = {
    "Nehalem": "baseline",
    "SandyBridge": "baseline",
    "IvyBridge": "baseline",
    "Haswell": "avx2",
    "Skylake-Client": "avx2",
    "EPYC": "avx2",
    **{f"Haswell,-{part}": "baseline" for part in ("avx2", "fma", "bmi2", "f16c", "movbe", "abm", "xsave")},
}
TESTED_ON = ("SandyBridge", "Haswell")
CHECK = """
import numpy as np
import xent_native as xn
isa = {isa!r}
assert xn.isa() == isa, f"isa() is {{xn.isa()}}, not {{isa}}"
for name in ("avx512", "avx2"):
    try:
        xn.set_isa(name)
    except ValueError as error:
        assert "this CPU does not run it" in str(error), error
        assert name != isa
    else:
        assert name == isa, f"set_isa({{name!r}}) was not refused"
for dtype in (np.float16, np.float32, np.float64):
    for classes in (3, 300):
        x = np.linspace(-3, 3, 40 * classes).reshape(40, classes).astype(dtype)
        y = np.arange(40) % classes
        loss, grad = xn.sparse_categorical_crossentropy_value_and_grad(y, x, True)
        wide = x.astype(np.float64)
        log_sum = np.log(np.exp(wide).sum(axis=1))
        assert np.allclose(loss, log_sum - wide[np.arange(40), y], rtol=1e-6)
        want = np.exp(wide - log_sum[:, None])
        want[np.arange(40), y] -= 1
        assert np.allclose(grad, want, rtol=1e-3 if dtype == np.float16 else 1e-5, atol=1e-6)
print("isa() is right")
"""
# Of the library alone. Left out are modules that compute the truth for minutes, emulated, and those that start other
# processes: these would run on the real CPU.
TESTS = [
    f"tests/test_{name}.py"
    for name in (
        *("activations", "binary", "buffers", "determinism", "edge_cases", "errors", "functional", "losses"),
        "losses_shapes",
    )
]
LEFT_OUT = ("test_more_than_two_to_the_31_elements", "test_labels_beyond_int32")  # gigabytes


def emulated(cpu: str, *command: str) -> tuple[int, str]:
    """Runs this Python on a CPU."""
    # What the emulator cannot do of a CPU, it says on stderr: that is AVX-512 and some that nobody here uses.
    qemu = tool("qemu-x86_64", "qemu-x86_64-static", package="qemu-user")
    return attempt(qemu, "-cpu", cpu, sys.executable, *command, cwd=ROOT)


def check_choice(cpu: str, isa: str) -> bool:
    """Whether the library chooses rightly, and computes."""
    returned, output = emulated(cpu, "-c", CHECK.format(isa=isa))
    right = returned == 0 and "isa() is right" in output
    print(f"{cpu}: {isa}" if right else f"{cpu}: WRONG, returned {returned}:\n{output}", flush=True)
    return right


def count_passed(cpu: str) -> int:
    """How many tests pass on a CPU; none if one fails."""
    left_out = " and ".join(f"not {name}" for name in LEFT_OUT)
    returned, output = emulated(
        cpu, "-m", "pytest", "-n0", "-q", "-p", "no:cacheprovider", "-k", left_out, *TESTS
    )
    passed = re.search(r"(\d+) passed", output)
    print(f"{cpu}: {output.splitlines()[-1] if output else 'nothing'}", flush=True)
    if returned == 0 and passed:
        return int(passed[1])
    print(f"returned {returned}:\n{output}", flush=True)
    return 0


def main() -> int:
    chosen = arguments(__doc__).parse_args()
    run(sys.executable, "-c", "import xent_native")  # an editable install is rebuilt now, not in the emulator
    wrong = sum(not check_choice(cpu, isa) for cpu, isa in CPUS.items())
    passed = {cpu: count_passed(cpu) for cpu in TESTED_ON}
    failed = wrong + sum(count == 0 for count in passed.values())
    print(f"{len(CPUS)} emulated CPUs, {wrong} of them with the wrong kernels")
    if chosen.record and not failed:
        version = run(tool("qemu-x86_64", "qemu-x86_64-static", package="qemu-user"), "--version")
        counts = {"qemu": re.search(r"version (\S+)", version)[1], "CPUs": len(CPUS), "wrong": wrong}
        tests = {f"tests passed on {cpu} ({CPUS[cpu]})": count for cpu, count in passed.items()}
        records.save("cpus", "python tests/slow/cpus.py --record", {**counts, **tests})
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
