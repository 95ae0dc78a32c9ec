# SPDX-License-Identifier: BSD-3-Clause
"""The contract's D1 to D3 on one problem for each way through the core, labels and dense targets."""

from __future__ import annotations

import numpy as np
import pytest
from cases import LAYOUTS, as_rows, logits, rows_like
from conftest import ISAS
from same_bits import assert_same, bits

import xent_native as xn

# One problem for each way that the core takes: lanes over rows and over classes, shared rows, dense targets, and
# types that are converted at the edge. (rows, classes, layout, dtype)
WAYS = {
    "lanes over rows": (6_007, 11, "last", "float32"),
    "lanes over rows, inner": (601, 120, "first", "float64"),
    "lanes over classes": (409, 260, "last", "float32"),
    "shared rows": (2, 140_001, "last", "float32"),
    "float16": (409, 260, "last", "float16"),
    "bfloat16": (6_007, 11, "first", "bfloat16"),
}


def way(name: str, rng):
    """(logits, labels, dense targets, axis)."""
    n, classes, layout, dtype = WAYS[name]
    given = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
    wide = logits(n, classes, np.float64)
    x, axis = LAYOUTS[layout](wide.astype(given))
    soft = LAYOUTS[layout](rng.dirichlet(np.ones(classes), n).astype(given))[0]
    return x, rows_like(rng.integers(0, classes, n), x, axis), soft, axis


def sparse_and_dense(x, y, soft, axis, reduction, threads=None) -> dict[str, bytes]:
    options = {"axis": axis, "reduction": reduction, "n_threads": threads}
    one = xn.sparse_categorical_crossentropy_value_and_grad(y, x, True, **options)
    two = xn.categorical_crossentropy_value_and_grad(soft, x, True, **options)
    names = ("labels, loss", "labels, gradient", "dense, loss", "dense, gradient")
    return dict(zip(names, map(bits, (*one, *two)), strict=True))


@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "mean_with_sample_weight"])
@pytest.mark.parametrize("name", WAYS)
def test_d2_one_to_eight_threads_give_the_same_bits(isa, name, reduction, rng):
    x, y, soft, axis = way(name, rng)
    expected = sparse_and_dense(x, y, soft, axis, reduction, 1)
    for threads in range(2, 9):
        assert_same(sparse_and_dense(x, y, soft, axis, reduction, threads), expected, f"{threads} threads")


@pytest.mark.parametrize("name", WAYS)
def test_d1_every_row_alone(isa, name, rng):
    """Each of 40 rows in a call of its own has the bits that it has in the batch."""
    x, y, soft, axis = way(name, rng)
    rows, targets = as_rows(x, axis), as_rows(soft, axis)
    whole = xn.sparse_categorical_crossentropy_value_and_grad(y, x, True, axis=axis)
    dense = xn.categorical_crossentropy_value_and_grad(soft, x, True, axis=axis)
    n = len(rows)
    for row in sorted({*range(min(n, 20)), *range(max(0, n - 20), n)}):
        alone = [np.ascontiguousarray(rows[row].reshape(-1, 1) if axis == 0 else rows[row][None])]
        t = np.ascontiguousarray(targets[row].reshape(alone[0].shape))
        one = xn.sparse_categorical_crossentropy_value_and_grad(
            y.reshape(-1)[row : row + 1], *alone, True, axis=axis
        )
        two = xn.categorical_crossentropy_value_and_grad(t, *alone, True, axis=axis)
        for got, expected, kind in ((one, whole, "labels"), (two, dense, "dense")):
            assert bits(got[0]) == bits(expected[0].reshape(-1)[row : row + 1]), f"{kind}, row {row}: loss"
            assert bits(got[1].reshape(-1)) == bits(as_rows(expected[1], axis)[row]), (
                f"{kind}, row {row}: gradient"
            )


@pytest.mark.parametrize("name", WAYS)
def test_d1_every_alignment(isa, name, rng):
    """Logits, targets and gradient at every offset to a cache line that their type allows; labels misaligned."""
    x, y, soft, axis = way(name, rng)
    if x.size > 200_000:
        x, y, soft = x[:1], y[:1], soft[:1]
    expected = sparse_and_dense(x, y, soft, axis, "none")
    size = x.itemsize

    def moved(a, offset):
        memory = np.empty(a.nbytes + 128, np.uint8)
        start = (-memory.ctypes.data) % 64 + offset
        there = memory[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
        there[...] = a
        return there

    for step, offset in enumerate((*range(0, 64, size), 1, 3)):
        aligned = offset - offset % size
        placed = (moved(x, offset), moved(y, step % 9), moved(soft, (64 - aligned) % 64))
        assert_same(sparse_and_dense(*placed, axis, "none"), expected, f"offset {offset}")
        out = moved(x, (aligned + 16) % 64)
        call = xn.sparse_categorical_crossentropy_value_and_grad
        call(placed[1], placed[0], True, axis=axis, grad_out=out)
        assert bits(out) == expected["labels, gradient"], f"offset {offset}: grad_out"


@pytest.mark.skipif(not {"avx2", "avx512"} <= set(ISAS), reason="this machine does not have both")
@pytest.mark.parametrize("name", WAYS)
def test_d3_each_way_has_the_same_bits_on_avx2_and_avx512(each_isa, name, rng):
    problem = way(name, rng)
    for reduction in ("none", "mean"):
        results = each_isa(lambda r=reduction: sparse_and_dense(*problem, r))
        assert_same(results["avx2"], results["avx512"], reduction)
