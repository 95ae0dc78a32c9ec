# SPDX-License-Identifier: BSD-3-Clause
"""The roofline: how fast memory can be read and copied, measured beside every case in the same run.

Absolute speeds of a machine move by a fifth from hour to hour, so a figure is only worth something as a
fraction of what memory gave in the same minute. R is a sum over an array on all threads, W a copy with
streaming stores (bytes read + bytes written). The loops are in roofline.c, which the C compiler builds for
this very CPU on first use; without a compiler NumPy stands in, on one thread, and the result says so.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import xent_native as xn

SOURCE = Path(__file__).with_name("roofline.c")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")


def cache_folder() -> Path:
    """Where the compiled helper is kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "xent_native-bench"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="xent_native-bench-"))


def build() -> ctypes.CDLL:
    """The compiled helper; OSError says why there is none."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise OSError("no C compiler found")
    # The name changes with whatever would change the code: the source, the flags, the compiler, the CPU.
    key = [SOURCE.read_text(), *FLAGS, compiler, _cpu_flags()]
    path = cache_folder() / f"roofline-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.so"
    if not path.exists():
        unfinished = path.with_suffix(f".{os.getpid()}")
        command = [*compiler.split(), *FLAGS, str(SOURCE), "-o", str(unfinished)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise OSError(f"{' '.join(command)} failed: {run.stderr.strip()[-500:]}")
        os.replace(unfinished, path)
    helper = ctypes.CDLL(str(path))
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    helper.roofline_kind.restype = ctypes.c_char_p
    helper.roofline_read.restype = ctypes.c_double
    helper.roofline_read.argtypes = (pointer, count, ctypes.c_int)
    helper.roofline_exp.restype = ctypes.c_double
    helper.roofline_exp.argtypes = (pointer, count, count, ctypes.c_int)
    helper.roofline_copy.restype = None
    helper.roofline_copy.argtypes = (pointer, pointer, count, ctypes.c_int)
    return helper


def _cpu_flags() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


class Roofline:
    """Two arrays of `megabytes` MiB each, and the calls that read and copy them.

    Attributes
    ----------
    kind : str
        Which loops were measured: what the C helper was compiled to, or why NumPy stands in.
    read_bytes, copy_bytes : int
        Memory traffic of one :meth:`read` and one :meth:`copy`.
    """

    def __init__(self, megabytes: float, threads: int) -> None:
        count = max(128, int(megabytes * 2**20) // 4 // 128 * 128)
        self.threads = threads
        self._source = _aligned(count)
        self._target = _aligned(count)
        self._source[:] = 1.0
        self._target[:] = 0.0  # touches the pages: their first use must not be timed
        self.read_bytes = self._source.nbytes
        self.copy_bytes = 2 * self._source.nbytes
        self._helper: ctypes.CDLL | None
        try:
            self._helper = build()
            self.kind = f"C, {self._helper.roofline_kind().decode()}"
        except OSError as error:
            self._helper = None
            self.threads = 1
            self.kind = f"NumPy on one thread ({error})"

    def read(self) -> float:
        """Read the array once; the sum is returned."""
        if self._helper is None:
            return float(self._source.max())  # np.sum adds pairwise, which holds it back
        return float(self._helper.roofline_read(self._source.ctypes.data, self._source.size, self.threads))

    def copy(self) -> np.ndarray:
        """Copy the array once; the copy is returned."""
        if self._helper is None:
            np.copyto(self._target, self._source)
        else:
            pointers = (self._target.ctypes.data, self._source.ctypes.data)
            self._helper.roofline_copy(*pointers, self._source.size, self.threads)
        return self._target


def exponentials(threads: int, rounds: int = 2000, count: int = 4096) -> float:
    """Exponentials a second of float32 in the nearest cache, on so many threads: the best of a few runs."""
    helper, x = build(), _aligned(count)
    x[:] = np.linspace(-8, 8, count)
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        helper.roofline_exp(x.ctypes.data, count, rounds, threads)
        seconds.append(time.perf_counter() - start)
    return threads * rounds * count / min(seconds)


def in_cache(classes: int, dtype: Any = np.float32, grad: bool = False, rounds: int = 40) -> float:
    """GB/s (read, or read + written) of the library on data that stays in the second-level cache."""
    rows = max(8, 2**18 // np.dtype(dtype).itemsize // classes)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, classes)).astype(dtype)
    y, slope = rng.integers(0, classes, rows), np.empty_like(x)
    call: Callable[..., Any] = xn.sparse_categorical_crossentropy
    options: dict[str, Any] = {"from_logits": True, "reduction": "mean", "n_threads": 1}
    if grad:
        call, options["grad_out"] = xn.sparse_categorical_crossentropy_value_and_grad, slope
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        call(y, x, **options)
        seconds.append(time.perf_counter() - start)
    return (2 if grad else 1) * x.nbytes / min(seconds) / 1e9


def main() -> None:
    """`python -m bench.roofline`: what memory and arithmetic allow, beside each other."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    roofline = Roofline(256, threads)
    rates: dict[str, list[float]] = {"read": [], "copy": []}
    for _ in range(7):
        for name, run, size in (
            ("read", roofline.read, roofline.read_bytes),
            ("copy", roofline.copy, roofline.copy_bytes),
        ):
            start = time.perf_counter()
            run()
            rates[name].append(size / (time.perf_counter() - start) / 1e9)
    read, copy = (sorted(rates[name])[3] for name in ("read", "copy"))
    exps = exponentials(threads)
    print(f"{threads} threads, {roofline.kind}: R = {read:.1f} GB/s read, W = {copy:.1f} GB/s copied")
    print(f"exp of float32 alone: {exps / 1e9:.2f} billion a second, or {4 * exps / 1e9 / read:.2f} R")
    print(
        f"xent_native with its data in cache, one thread, times {threads}: what arithmetic alone would allow"
    )
    for dtype in ("float32", "float64", "float16"):
        for classes in (10, 30, 100, 1000, 32768):
            loss = threads * in_cache(classes, dtype)
            both = threads * in_cache(classes, dtype, grad=True)
            print(
                f"  {dtype}, C = {classes:,}: loss {loss:.1f} GB/s, {loss / read:.2f} R; "
                f"loss and gradient {both:.1f} GB/s, {both / copy:.2f} W"
            )


def _aligned(count: int) -> np.ndarray:
    """`count` floats at an address that is a multiple of 64, as the streaming stores need."""
    buffer = np.empty(4 * count + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    return buffer[start : start + 4 * count].view(np.float32)


if __name__ == "__main__":
    main()
