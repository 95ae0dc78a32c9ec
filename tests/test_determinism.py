# SPDX-License-Identifier: BSD-3-Clause
"""The contract's D1 to D3: the same bits for any threads, batch and address, and for AVX2 and AVX-512."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CLASS_COUNTS, LAYOUTS, as_rows, logits, probabilities, row_count, rows_like
from conftest import ISAS
from same_bits import assert_same, bits

import xent_native as xn

FLOATS = ["float32", "float64"]
# Large enough for threads (40,000 elements) and cut into many jobs; (rows, classes, layout).
SHAPES = {
    "few classes": (30_011, 10, "last"),
    "many classes": (1_501, 200, "last"),
    "class axis first": (9_001, 30, "first"),
    "class axis in the middle": (4_000, 70, "middle"),
    "strided": (2_500, 100, "strided"),
    "very many classes": (70, 5_000, "last"),
    "wide rows": (3, 200_001, "last"),
    "many wide rows": (17, 140_000, "last"),
}


def outputs(x, y, axis, from_logits: bool, weight=None, **options) -> dict[str, bytes]:
    """Every output of one problem as bytes, by name."""
    options["axis"] = axis
    sparse = xn.sparse_categorical_crossentropy_value_and_grad
    found = {}
    loss, grad = sparse(y, x, from_logits, **options)
    found["loss"], found["gradient"] = bits(loss), bits(grad)
    for reduction in ("sum", "mean", "mean_with_sample_weight"):
        loss, grad = sparse(y, x, from_logits, sample_weight=weight, reduction=reduction, **options)
        found[reduction], found[f"gradient of {reduction}"] = bits(loss), bits(grad)
    loss, grad = sparse(y, x, from_logits, ignore_class=0, label_smoothing=0.1, reduction="mean", **options)
    found["smoothed"], found["gradient of smoothed"] = bits(loss), bits(grad)
    if from_logits:
        found["Hessian"] = bits(xn.sparse_categorical_crossentropy_grad_and_hess(y, x, **options)[1])
        for name in ("softmax", "log_softmax", "logsumexp"):
            threads = {"n_threads": options["n_threads"]} if "n_threads" in options else {}
            found[name] = bits(getattr(xn, name)(x, axis, **threads))
    return found


@pytest.mark.parametrize("from_logits", [True, False], ids=["logits", "probabilities"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_any_number_of_threads_gives_the_same_bits(shape, dtype, from_logits, rng):
    n, classes, layout = SHAPES[shape]
    x, axis = LAYOUTS[layout]((logits if from_logits else probabilities)(n, classes, dtype))
    y = rows_like(rng.integers(0, classes, n), x, axis)
    weight = rows_like(rng.random(n), x, axis)
    expected = outputs(x, y, axis, from_logits, weight, n_threads=1)
    for threads in (2, 3, 8, 8):
        assert_same(
            outputs(x, y, axis, from_logits, weight, n_threads=threads), expected, f"{threads} threads"
        )


@pytest.mark.parametrize("dtype", FLOATS)
def test_settings_of_threads_give_the_same_bits(dtype, rng, free_threads):
    x = logits(20_000, 12, dtype)
    y = rng.integers(0, 12, 20_000)
    expected = outputs(x, y, -1, True, n_threads=1)
    for count in (1, 2, 3, 8):
        xn.set_num_threads(count)
        assert_same(outputs(x, y, -1, True), expected, f"set_num_threads({count})")
        with xn.threads(count):
            assert_same(outputs(x, y, -1, True), expected, f"threads({count})")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("reduction", ["sum", "mean", "mean_with_sample_weight"])
def test_dense_targets_with_any_number_of_threads(dtype, reduction, rng):
    x = logits(4_001, 90, dtype)
    x[np.isneginf(x)] = -5
    y = rng.dirichlet(np.ones(90), 4_001).astype(dtype)
    weight = rng.random(4_001)
    call = xn.categorical_crossentropy_value_and_grad
    results = {
        bits(loss) + bits(grad)
        for loss, grad in (
            call(y, x, True, sample_weight=weight, reduction=reduction, n_threads=threads)
            for threads in (1, 2, 3, 8)
        )
    }
    assert len(results) == 1


@pytest.mark.skipif(not {"avx2", "avx512"} <= set(ISAS), reason="this machine does not have both")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("from_logits", [True, False], ids=["logits", "probabilities"])
def test_avx2_and_avx512_give_the_same_bits(each_isa, from_logits, dtype, layout, rng):
    for classes in (*CLASS_COUNTS, 40_000):
        rows = (logits if from_logits else probabilities)(row_count(classes), classes, dtype)
        x, axis = LAYOUTS[layout](rows)
        y = rows_like(rng.integers(0, classes, len(rows)), x, axis)
        soft = LAYOUTS[layout](rng.dirichlet(np.ones(classes), len(rows)).astype(dtype))[0]

        def call(x=x, y=y, soft=soft, axis=axis):
            found = outputs(x, y, axis, from_logits)
            loss, grad = xn.categorical_crossentropy_value_and_grad(soft, x, from_logits, 0.1, axis)
            return {**found, "dense": bits(loss), "gradient of dense": bits(grad)}

        results = each_isa(call)
        assert_same(results["avx2"], results["avx512"], f"{classes} classes")


@pytest.mark.skipif(not {"avx2", "avx512"} <= set(ISAS), reason="this machine does not have both")
@pytest.mark.parametrize("dtype", FLOATS)
def test_avx2_and_avx512_give_the_same_bits_on_wide_rows(each_isa, dtype, rng):
    x = logits(2, 150_001, dtype)
    results = each_isa(lambda: outputs(x, np.array([5, 149_000]), -1, True))
    assert_same(results["avx2"], results["avx512"], "wide rows")


def row_results(x, y, axis, from_logits):
    """(loss of each row, gradient of each row, log-sum-exp or loss again)."""
    loss, grad = xn.sparse_categorical_crossentropy_value_and_grad(y, x, from_logits, axis=axis)
    lse = xn.logsumexp(x, axis) if from_logits else loss
    return np.reshape(loss, -1), as_rows(grad, axis), np.reshape(lse, -1)


def assert_rows_equal(part, whole, rows, message: str) -> None:
    for name, got, expected in zip(("loss", "gradient", "log-sum-exp"), part, whole, strict=True):
        assert got.tobytes() == expected[rows].tobytes(), f"{message}: {name} differs"


@pytest.mark.parametrize("from_logits", [True, False], ids=["logits", "probabilities"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", ["last", "first", "many_dimensions", "gaps"])
def test_a_row_does_not_depend_on_its_batch(isa, dtype, from_logits, layout, rng):
    """D1: alone, in another batch, at another place of the batch."""
    for classes in (1, 2, 10, 33, 64, 65, 100, 129, 257, 3000):
        n = 70 if classes < 300 else 20
        rows = (logits if from_logits else probabilities)(n, classes, dtype)
        y = rng.integers(0, classes, n)
        x, axis = LAYOUTS[layout](rows)
        whole = row_results(x, rows_like(y, x, axis), axis, from_logits)
        for part in (
            slice(0, 1),
            slice(n - 1, n),
            slice(3, 4),
            slice(5, 19),
            slice(1, n, 3),
            slice(n, None, -1),
        ):
            x, axis = LAYOUTS[layout](rows[part])
            got = row_results(x, rows_like(y[part], x, axis), axis, from_logits)
            assert_rows_equal(got, whole, part, f"{classes} classes, rows {part}")


@pytest.mark.parametrize("from_logits", [True, False], ids=["logits", "probabilities"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_row_does_not_depend_on_its_address(isa, dtype, from_logits, rng):
    """D1: every offset to a cache line, and addresses that are no multiple of the item size."""
    size = np.dtype(dtype).itemsize
    for classes in (7, 64, 67, 300):
        rows = (logits if from_logits else probabilities)(9, classes, dtype)
        y = rng.integers(0, classes, len(rows))
        whole = row_results(rows, y, -1, from_logits)
        memory = np.empty(rows.nbytes + 128, np.uint8)
        for offset in (*range(0, 64, size), 1, 3):
            moved = memory[offset : offset + rows.nbytes].view(dtype).reshape(rows.shape)
            moved[...] = rows
            assert_rows_equal(row_results(moved, y, -1, from_logits), whole, slice(None), f"offset {offset}")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("classes", [131_072, 131_073, 196_608 + 17])
def test_a_wide_row_does_not_depend_on_the_rows_beside_it(isa, dtype, classes, rng):
    """Classes of a few wide rows are shared out among threads, those of many rows are not."""
    one = logits(3, classes, dtype)
    many = np.concatenate([one, np.zeros((17, classes), dtype)])
    y = rng.integers(0, classes, len(many))
    smooth = {"label_smoothing": 0.1}
    for options in ({}, smooth):
        call = xn.sparse_categorical_crossentropy_value_and_grad
        whole = call(y, many, True, n_threads=2, **options)
        for threads in (1, 2, 8):
            for row in range(3):
                loss, grad = call(y[row : row + 1], one[row : row + 1], True, n_threads=threads, **options)
                assert loss.tobytes() == whole[0][row : row + 1].tobytes(), f"row {row}, {threads} threads"
                assert grad.tobytes() == whole[1][row : row + 1].tobytes(), f"row {row}, {threads} threads"
    hess = xn.sparse_categorical_crossentropy_grad_and_hess(y, many)[1]
    assert xn.sparse_categorical_crossentropy_grad_and_hess(y[:3], one)[1].tobytes() == hess[:3].tobytes()
    for name in ("softmax", "log_softmax", "logsumexp"):
        assert getattr(xn, name)(one).tobytes() == getattr(xn, name)(many)[:3].tobytes(), name


def test_gradient_in_place_has_the_same_bits(isa, rng):
    for dtype in FLOATS:
        for classes in (3, 64, 65, 700):
            for layout in ("last", "first", "strided"):
                rows = logits(33, classes, dtype)
                y = rng.integers(0, classes, len(rows))
                x, axis = LAYOUTS[layout](rows)
                y = rows_like(y, x, axis)
                expected = xn.sparse_categorical_crossentropy_value_and_grad(y, x, True, axis=axis)
                loss, grad = xn.sparse_categorical_crossentropy_value_and_grad(
                    y, x, True, axis=axis, grad_out=x
                )
                assert grad is x
                assert loss.tobytes() == expected[0].tobytes()
                assert grad.tobytes() == expected[1].tobytes(), f"{dtype}, {classes} classes, {layout}"


# (rows, classes, layout) of gradients of 16 MB and more in float32: such gradients may leave past the cache.
LARGE = {
    "few classes": (430_003, 10, "last"),
    "a lane more": (250_007, 17, "last"),
    "no whole lines": (42_013, 100, "last"),
    "just rows": (35_011, 130, "last"),
    "whole lines": (17_001, 256, "last"),
    "wide": (37, 131_073, "last"),
    "class axis first": (43_008, 100, "first"),
    "class axis first, odd": (42_013, 101, "first"),
}


def check_large_gradient(dtype, shape, from_logits, rng) -> None:
    """At addresses on and beside a cache line; and nothing beside the gradient is written."""
    n, classes, layout = LARGE[shape]
    few = rng.integers(-40, 40, (n, classes), dtype=np.int8)
    rows = (few / np.asarray(4, dtype) if from_logits else np.abs(few) + np.asarray(1, dtype)).astype(dtype)
    y = rng.integers(0, classes, n)
    x, axis = LAYOUTS[layout](rows)
    call = xn.sparse_categorical_crossentropy_value_and_grad
    pieces = [
        call(y[i : i + 5000], np.take(x, range(i, min(i + 5000, n)), 1 + axis), from_logits, axis=axis)
        for i in range(0, n, 5000)
    ]
    losses = np.concatenate([piece[0] for piece in pieces])
    grads = np.concatenate([piece[1] for piece in pieces], axis=1 + axis)
    del pieces
    memory = np.full(x.size + 64, np.nan, dtype)
    lines = (-memory.ctypes.data % 64) // memory.itemsize
    for offset, threads in ((0, 1), (1, 2), (5, 8)):
        start = lines + offset
        memory[...] = np.nan
        grad_out = memory[start : start + x.size].reshape(x.shape)
        loss, grad = call(y, x, from_logits, axis=axis, grad_out=grad_out, n_threads=threads)
        where = f"offset {offset}, {threads} threads"
        assert loss.tobytes() == losses.tobytes(), where
        assert np.array_equal(grad, grads), where
        assert np.isnan(memory[:start]).all(), where
        assert np.isnan(memory[start + x.size :]).all(), where
    if from_logits:
        call(y, x, True, axis=axis, grad_out=x)
        assert np.array_equal(x, grads), "in place"


@pytest.mark.parametrize("from_logits", [True, False], ids=["logits", "probabilities"])
@pytest.mark.parametrize("shape", LARGE)
@pytest.mark.parametrize("dtype", FLOATS)
def test_large_gradients_have_the_bits_of_small_ones(dtype, shape, from_logits, rng):
    check_large_gradient(dtype, shape, from_logits, rng)


@pytest.mark.parametrize("shape", ["a lane more", "just rows", "class axis first"])
def test_large_gradients_on_every_isa(isa, shape, rng):
    check_large_gradient("float32", shape, True, rng)


@pytest.mark.parametrize("dtype", FLOATS)
def test_large_gradients_of_dense_targets(dtype, rng):
    for n, classes in ((42_013, 100), (17_001, 250)):
        x = (rng.integers(-40, 40, (n, classes), dtype=np.int8) / 4).astype(dtype)
        t = (rng.integers(0, 3, (n, classes), dtype=np.int8) / 4).astype(dtype)
        call = xn.categorical_crossentropy_value_and_grad
        loss, grad = call(t, x, True, 0.1, n_threads=2)
        for part in (slice(0, 5000), slice(n - 5000, n)):
            small = call(t[part], x[part], True, 0.1)
            assert loss[part].tobytes() == small[0].tobytes()
            assert grad[part].tobytes() == small[1].tobytes()
        hess_of = xn.categorical_crossentropy_grad_and_hess
        grad, hess = hess_of(t, x, n_threads=2)
        small = hess_of(t[:5000], x[:5000])
        assert grad[:5000].tobytes() == small[0].tobytes()
        assert hess[:5000].tobytes() == small[1].tobytes()


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize(
    "name", ["few classes", "many classes", "class axis first", "class axis in the middle"]
)
def test_d2_sums_that_cancel(name, reduction, rng):
    """Weights of both signs over 16 orders of magnitude: another order of additions changes most of such sums."""
    n, classes, layout = SHAPES[name]
    x, axis = LAYOUTS[layout](logits(n, classes, np.float32))
    y = rows_like(rng.integers(0, classes, n), x, axis)
    y = np.where(np.isneginf(np.take_along_axis(x, np.expand_dims(y, axis), axis).squeeze(axis)), 0, y)
    for _ in range(10):
        weight = rows_like(rng.standard_normal(n) * 10 ** rng.uniform(-8, 8, n), x, axis)
        sums = {
            xn.sparse_categorical_crossentropy(
                y, x, True, axis=axis, sample_weight=weight, reduction=reduction, n_threads=threads
            )
            for threads in range(1, 9)
        }
        assert len(sums) == 1
        assert np.isfinite(sums.pop())
