# SPDX-License-Identifier: BSD-3-Clause
"""More than 2^31 elements in every loss: many rows of many classes, of two classes, and one row of all of them.

    python tests/slow/big.py [--record]

Arrays are pages of zeros, of which a few items are written, or one row that is repeated with a stride of 0. Each row
has to have the bits that it has in a small array; sums and the single row are compared with the formulas. Gradients
are written whole, in place of the logits, where 6 GB of memory are free. Needs address space for 50 GB, and takes some
twenty minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import records
from edge_functions import ACTIVATIONS, DTYPES, LOSSES, Call, dtype_of
from zero_pages import zeros

MANY = 2**31 + 8
ROWS, CLASSES = 2**16 + 3, 2**15
SPECIAL = {0: 5, 1: 7, ROWS // 2: 11, ROWS - 1: CLASSES - 1}  # rows with a target, or a label that is not 0
GRADIENT_BYTES = 6 << 30
LOGIT, SHARE, RARE = 0.75, 0.75, 1e-7  # what is not 0 in the single row; the clip

counts = {"calls": 0, "elements": 0, "faults": 0}


def report(name: str, good: bool, elements: int) -> None:
    counts["calls"] += 1
    counts["elements"] += elements
    counts["faults"] += not good
    print(f"{'right' if good else 'WRONG'}  {name}", flush=True)


PLAIN = [call for call in LOSSES if call.host == "function" and "gamma" not in call.name]
VALUES = [call for call in PLAIN if call.outputs == ("loss",)]
LSE = next(call for call in ACTIVATIONS if call.name == "logsumexp")
GRADIENTS = [call for call in PLAIN if call.outputs == ("loss", "grad") and call.logits]


def predictions(call: Call, dtype: str, n: int, classes: int, axis: int) -> np.ndarray:
    """Logits of zeros, or probabilities that are the same in each row."""
    kind, shape = dtype_of(dtype), (n, classes) if axis else (classes, n)
    if call.logits:
        return zeros(shape, kind)
    row = (np.arange(classes) % 7 + 1).astype(kind) / kind.type(8)
    return np.broadcast_to(row[None] if axis else row[:, None], shape)


def targets(call: Call, dtype: str, n: int, classes: int, axis: int) -> np.ndarray:
    """Zeros: labels, or targets that count nothing."""
    if call.targets in ("labels", ""):
        return zeros((n,), np.int8 if classes < 128 else np.int32)
    return zeros((n, classes) if axis else (classes, n), dtype_of(dtype))


def mark(call: Call, y: np.ndarray, x: np.ndarray, axis: int, row: int, cls: int) -> None:
    """Gives a row a target of its own, and a logit."""
    spot = (row, cls) if axis else (cls, row)
    if x.flags.writeable:
        x[spot] = LOGIT
    if call.targets in ("labels", ""):
        y[row] = cls
    else:
        y[spot] = 1


def few(a: np.ndarray, rows: list[int], axis: int) -> np.ndarray:
    return a[rows] if axis or a.ndim == 1 else np.ascontiguousarray(a[:, rows])


def many_rows(call: Call, dtype: str, axis: int) -> None:
    y, x = (make(call, dtype, ROWS, CLASSES, axis) for make in (targets, predictions))
    for row, cls in SPECIAL.items():
        mark(call, y, x, axis, row, cls)
    (found,) = call(y, x, axis).values()
    rows = [*SPECIAL, 2]
    (alone,) = call(few(y, rows, axis), few(x, rows, axis), axis).values()
    usual = np.delete(found, list(SPECIAL))
    good = (
        found[rows].tobytes() == alone.tobytes() and (usual == alone[-1]).all() and np.isfinite(found).all()
    )
    report(f"{call}, {dtype}, axis {axis}: {ROWS} rows of {CLASSES} classes", bool(good), x.size)


def rows_of_two(call: Call, dtype: str, axis: int) -> None:
    """More than 2^31 rows: the sum is what the usual row has, times their number, and what the last one has."""
    y, x = (make(call, dtype, MANY, 2, axis) for make in (targets, predictions))
    mark(call, y, x, axis, MANY - 1, 1)
    rows = [0, MANY - 1]
    usual, last = call(few(y, rows, axis), few(x, rows, axis), axis)["loss"].astype(float)
    found, wanted = call(y, x, axis, reduction="sum")["loss"], (MANY - 1) * usual + last
    # A row's own loss is rounded to float32; that of a reduction is not.
    good = abs(found - wanted) <= 2**-24 * abs(wanted) + 1e-9 * MANY
    report(f"{call}, {dtype}, axis {axis}: {MANY} rows of 2 classes", good, x.size)


def single_row(call: Call, dtype: str) -> None:
    """Of more than 2^31 classes, all 0 but the target, and with probabilities one more."""
    x = zeros((1, MANY), dtype_of(dtype))
    y = np.array([MANY - 2]) if call.targets in ("labels", "") else zeros((1, MANY), dtype_of(dtype))
    x[0, MANY - 2] = LOGIT if call.logits else SHARE
    if not call.logits:
        x[0, 3] = 1 - SHARE
    if y.ndim == 2:
        y[0, MANY - 2] = 1
    (found,) = call(y, x).values()
    wanted = row_formula(call)
    good = abs(float(found[0]) - wanted) <= 3e-6 * abs(wanted)
    report(f"{call}, {dtype}: a row of {MANY} classes", good, x.size)


def row_formula(call: Call) -> float:
    """The loss of that row; what is clipped has an exponential or a logarithm of its own."""
    name = call.name.split(",")[0]
    others = MANY - 1
    if call.targets == "bits":
        p = 1 / (1 + np.exp(-LOGIT)) if call.logits else SHARE
        terms = {
            "target": -np.log(p),
            "zeros": np.log(2) if call.logits else -np.log1p(-RARE),
            "one": -np.log(SHARE),
        }
        wrong = {"target": 1 - p, "zeros": 0.5 if call.logits else 0.0, "one": 1 - SHARE}
        power = {key: (wrong[key] ** 2 if "focal" in name else 1.0) * term for key, term in terms.items()}
        one = power["zeros"] if call.logits else power["one"]
        return (power["target"] + one + (others - 1) * power["zeros"]) / MANY
    lse = np.log(others + np.exp(LOGIT))
    if name == "logsumexp":
        return lse
    if name == "kl_divergence":
        return -np.log(SHARE) + RARE * np.log(RARE / (1 - SHARE))
    loss = lse - LOGIT if call.logits else -np.log(SHARE)
    p = np.exp(-loss)
    return {
        "categorical_focal_crossentropy": 0.25 * (1 - p) ** 2 * loss,
        "poly1_crossentropy": loss + 2 * (1 - p),
    }.get(name, loss)


def gradients(call: Call, axis: int) -> None:
    """In place of float16 logits; rows in pieces, so that no copy of them is made."""
    y, x = (make(call, "float16", ROWS, CLASSES, axis) for make in (targets, predictions))
    for row, cls in SPECIAL.items():
        mark(call, y, x, axis, row, cls)
    rows = [*SPECIAL, 2]
    alone = call(few(y, rows, axis), few(x, rows, axis), axis)
    found = call(y, x, axis, grad_out=x)
    good = found["loss"][rows].tobytes() == alone["loss"].tobytes()
    good = good and few(x, rows, axis).tobytes() == alone["grad"].tobytes()
    usual = few(alone["grad"], [len(rows) - 1], axis)
    for first in range(2, ROWS // 2, 4096):
        piece = x[first : first + 4096] if axis else x[:, first : first + 4096]
        last = min(first + 4096, ROWS // 2) - first
        good = good and bool(((piece[:last] if axis else piece[:, :last]) == usual).all())
    report(f"{call}, float16, axis {axis}: gradients of {ROWS} rows of {CLASSES} classes", good, x.size)


def free_memory() -> int:
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) << 10
    return 0


def tried(function: Callable[..., None], *arguments: object) -> None:
    """An exception is a fault, too."""
    try:
        function(*arguments)
    except Exception as error:
        report(f"{', '.join(map(str, arguments))}: {error!r}", False, 0)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true", help="keep the counts in results/big.json")
    options = parser.parse_args()
    for call in (*VALUES, LSE):
        for dtype in DTYPES:
            for axis in (1, 0) if dtype == "float16" else (1,):
                tried(many_rows, call, dtype, axis)
        tried(single_row, call, "float32")
        for axis in (1, 0) if call is not LSE else ():
            tried(rows_of_two, call, "float16", axis)
    skipped = 0
    for call in GRADIENTS:
        for axis in (1, 0):
            if free_memory() < GRADIENT_BYTES:
                skipped += 1
            else:
                tried(gradients, call, axis)
    if skipped:
        print(f"{skipped} gradients were left out: they need {GRADIENT_BYTES >> 30} GB of free memory")
    print(f"{counts['calls']} calls, {counts['elements']} elements, {counts['faults']} faults")
    if options.record:
        records.save("big", "python tests/slow/big.py", {**counts, "gradients left out": skipped})
    return 1 if counts["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
