# SPDX-License-Identifier: BSD-3-Clause
"""Runs alone: makes one call and prints by how much it raised the process's high-water mark of memory.

Arguments: forward, gradient, log-loss or, for that of scikit-learn, sklearn-log-loss; then rows, classes, threads. Or
score, threads and two files, to print the most memory of the process from its start. On
Linux the mark is VmHWM, set back to what is in use just before the call; elsewhere, or where that is not allowed, the
mark from before the call is subtracted, which the arrays, made in place, have not pushed above what is in use.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import xent_native as xn


def high_water() -> int:
    """The most bytes that have been resident."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # not Linux; macOS counts in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def reset() -> bool:
    """Set the mark back to what is resident now; False where that is not possible."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def the_call(operation: str, rows: int, classes: int) -> tuple[Callable[[], Any], int]:
    """The call, and the bytes of its result that it allocates itself. Every page of its input is in use."""
    rng = np.random.default_rng(0)
    x = np.empty((rows, classes), np.float32)
    rng.standard_normal(out=x, dtype=np.float32)
    y = rng.integers(0, classes, rows)
    if operation == "forward":
        return lambda: xn.sparse_categorical_crossentropy(y, x, from_logits=True), 4 * rows
    if operation.endswith("log-loss"):
        module = importlib.import_module(
            "sklearn.metrics" if "sklearn" in operation else "xent_native.sklearn"
        )
        xn.softmax(x, out=x)
        return lambda: module.log_loss(y, x), 0
    grad = np.zeros_like(x)
    grad[:] = 1.0
    both = xn.sparse_categorical_crossentropy_value_and_grad
    return lambda: both(y, x, from_logits=True, reduction="mean", grad_out=grad), 0


def score(threads: str, predictions: str, labels: str) -> None:
    """Score files; the interpreter, NumPy and the package count, too."""
    result = xn.scoring.score(predictions, labels, from_logits=True, n_threads=int(threads))
    print(json.dumps({"rows": result.rows, "peak": high_water()}))


def main() -> None:
    if sys.argv[1] == "score":
        score(*sys.argv[2:])
        return
    operation, rows, classes, threads = sys.argv[1], *map(int, sys.argv[2:5])
    xn.set_num_threads(threads)
    warm, _ = the_call(operation, 100_000 // 10, 10)  # starts threads, whose stacks stay
    warm()
    call, own = the_call(operation, rows, classes)
    exact = reset()
    before = high_water()
    result = call()
    extra = max(0, high_water() - before - own)
    print(json.dumps({"extra": extra, "exact": exact, "result": type(result).__name__}))


if __name__ == "__main__":
    main()
