# SPDX-License-Identifier: BSD-3-Clause
"""The buffers of the caller, out=, grad_out= and hess_out=: filled and returned, or nothing is written."""

from __future__ import annotations

import numpy as np
import pytest

import xent_native as xn

SPARSE = xn.sparse_categorical_crossentropy_value_and_grad
DENSE = xn.categorical_crossentropy_value_and_grad
HESS = xn.sparse_categorical_crossentropy_grad_and_hess


@pytest.fixture
def y(rng):
    return rng.integers(0, 6, (4, 5))


@pytest.fixture
def x(rng):
    return rng.random((4, 5, 6)) + 0.1


def nan(shape, dtype=np.float64, order="C"):
    return np.full(shape, np.nan, dtype, order)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_same_objects_come_back(y, x, dtype, from_logits):
    x = x.astype(dtype)
    expected = SPARSE(y, x, from_logits)
    out, grad_out = nan((4, 5), expected[0].dtype), nan(x.shape, dtype)
    loss, grad = SPARSE(y, x, from_logits, out=out, grad_out=grad_out)
    assert loss is out
    assert grad is grad_out
    assert loss.tobytes() == expected[0].tobytes()
    assert grad.tobytes() == expected[1].tobytes()
    assert xn.sparse_categorical_crossentropy(y, x, from_logits, out=out) is out


def test_grad_and_hess(y, x):
    expected = HESS(y, x)
    grad_out, hess_out = nan(x.shape), nan(x.shape)
    grad, hess = HESS(y, x, grad_out=grad_out, hess_out=hess_out)
    assert grad is grad_out
    assert hess is hess_out
    assert grad.tobytes() == expected[0].tobytes()
    assert hess.tobytes() == expected[1].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_reduced_loss_into_a_scalar_array(y, x, reduction, dtype):
    out = nan((), dtype)
    loss = xn.sparse_categorical_crossentropy(y, x, True, reduction=reduction, out=out)
    assert loss is out
    assert out == np.asarray(xn.sparse_categorical_crossentropy(y, x, True, reduction=reduction), dtype)


@pytest.mark.parametrize(
    "make",
    [
        lambda shape: nan(shape, order="F"),
        lambda shape: nan((*shape[:-1], 2 * shape[-1]))[..., ::2],
        lambda shape: nan((2 * shape[0], *shape[1:]))[::2],
        lambda shape: nan((shape[0], 3 * shape[1], *shape[2:]))[:, ::3],
        lambda shape: nan(shape)[::-1],
        lambda shape: nan(shape[::-1]).T,
        lambda shape: (
            np.frombuffer(bytearray(8 * int(np.prod(shape)) + 1), np.uint8)[1:].view("f8").reshape(shape)
        ),
    ],
    ids=["F order", "strided classes", "strided rows", "uneven rows", "reversed", "transposed", "misaligned"],
)
@pytest.mark.parametrize("from_logits", [True, False])
def test_buffers_of_any_layout(y, x, make, from_logits):
    expected = SPARSE(y, x, from_logits)
    out, grad_out = make((4, 5)), make((4, 5, 6))
    loss, grad = SPARSE(y, x, from_logits, out=out, grad_out=grad_out)
    assert loss is out
    assert grad is grad_out
    assert np.array_equal(loss, expected[0])
    np.testing.assert_allclose(grad, expected[1], rtol=1e-13, atol=1e-15)


def test_memory_between_the_elements_of_a_buffer_is_left_alone(y, x):
    whole = nan((8, 5, 13))
    SPARSE(y, x, True, grad_out=whole[::2, :, 1:13:2])
    touched = np.zeros(whole.shape, bool)
    touched[::2, :, 1:13:2] = True
    assert np.isnan(whole[~touched]).all()
    assert np.isfinite(whole[touched]).all()


def test_gradient_in_place_from_logits(y, x):
    for function, target in ((SPARSE, y), (DENSE, np.eye(6)[y])):
        expected = function(target, x, True)
        logits = x.copy()
        loss, grad = function(target, logits, True, grad_out=logits)
        assert grad is logits
        assert loss.tobytes() == expected[0].tobytes()
        assert grad.tobytes() == expected[1].tobytes()
    expected = HESS(y, x)
    logits = x.copy()
    grad, hess = HESS(y, logits, grad_out=logits)
    assert grad is logits
    assert grad.tobytes() == expected[0].tobytes()
    assert hess.tobytes() == expected[1].tobytes()


@pytest.mark.parametrize("small", ["float16", "bfloat16"])
def test_gradient_in_place_of_small_floats(y, x, small):
    dtype = np.dtype(small) if small == "float16" else np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    x = x.astype(dtype)
    expected = SPARSE(y, x, True)
    loss, grad = SPARSE(y, x, True, grad_out=x)
    assert grad is x
    assert loss.tobytes() == expected[0].tobytes()
    assert grad.tobytes() == expected[1].tobytes()


def overlapping_calls(y, x):
    """Calls whose buffers overlap something, and the two names that the error must give."""
    view = x.reshape(-1)
    row = view[:20].reshape(4, 5)
    weight = np.ones((4, 5))
    return {
        "gradient on probabilities": (lambda: SPARSE(y, x, grad_out=x), "grad_out", "y_pred"),
        "gradient on a view of logits": (lambda: SPARSE(y, x, True, grad_out=x[...]), "grad_out", "y_pred"),
        "gradient on reversed logits": (lambda: SPARSE(y, x, True, grad_out=x[::-1]), "grad_out", "y_pred"),
        "gradient on targets": (lambda: DENSE(x, x + 1, True, grad_out=x), "grad_out", "y_true"),
        "loss on logits": (lambda: SPARSE(y, x, True, out=row), "out", "y_pred"),
        "loss on weights": (
            lambda: SPARSE(y, x, True, sample_weight=weight, out=weight),
            "out",
            "sample_weight",
        ),
        "loss on gradient": (lambda: SPARSE(y, x + 1, True, out=row, grad_out=x), "out", "grad_out"),
        "Hessian on logits": (lambda: HESS(y, x, hess_out=x), "hess_out", "y_pred"),
        "Hessian on gradient": (lambda: HESS(y, x + 1, grad_out=x, hess_out=x), "grad_out", "hess_out"),
        "class weights": (
            lambda: SPARSE(y, x + 1, True, class_weight=view[:6], grad_out=x),
            "grad_out",
            "class_weight",
        ),
    }


@pytest.mark.parametrize("what", overlapping_calls(None, np.empty((4, 5, 6))))
def test_overlap_is_refused(y, x, what):
    call, one, other = overlapping_calls(y, x)[what]
    before = x.copy()
    with pytest.raises(ValueError, match=f"{one} must not overlap {other}"):
        call()
    assert x.tobytes() == before.tobytes()


def windows(shape, strides):
    """Memory full of NaN, seen with these strides, counted in items of eight bytes."""
    memory = nan(1000)
    return np.lib.stride_tricks.as_strided(memory[500:], shape, [8 * s for s in strides]), memory


@pytest.mark.parametrize(
    "strides", [(0, 0, 0), (30, 6, 0), (0, 6, 1), (6, 6, 1), (30, 5, 1), (1, 1, 1), (-3, 6, 1)]
)
def test_a_gradient_that_overlaps_itself_is_refused(y, x, strides):
    for name in ("grad_out", "hess_out"):
        buffer, memory = windows(x.shape, strides)
        out = nan((4, 5))
        with pytest.raises(ValueError, match=f"{name} must not overlap itself"):
            HESS(y, x, **{name: buffer})
        if name == "grad_out":
            with pytest.raises(ValueError, match="grad_out must not overlap itself"):
                SPARSE(y, x, True, out=out, grad_out=buffer)
        assert np.isnan(memory).all()
        assert np.isnan(out).all()
    with pytest.raises(ValueError, match="out must not overlap itself"):
        xn.softmax(x, out=windows(x.shape, strides)[0])


@pytest.mark.parametrize("strides", [(0, 0), (0, 1), (5, 0), (4, 1), (1, 1), (-1, 1)])
def test_a_loss_that_overlaps_itself_is_refused(y, x, strides):
    buffer, memory = windows((4, 5), strides)
    with pytest.raises(ValueError, match="out must not overlap itself"):
        xn.sparse_categorical_crossentropy(y, x, True, out=buffer)
    assert np.isnan(memory).all()


def test_logits_that_overlap_themselves_are_no_place_for_a_gradient(y):
    x = np.lib.stride_tricks.as_strided(np.zeros(6), (4, 5, 6), (0, 0, 8))
    with pytest.raises(ValueError, match="grad_out must not overlap itself"):
        SPARSE(y, x, True, grad_out=x)
    assert np.isfinite(SPARSE(y, x, True)[1]).all()


@pytest.mark.parametrize("strides", [(100, 20, 3), (1, 4, 20), (-30, 6, 1), (30, -6, -1), (6, 24, 1)])
def test_strides_that_step_over_each_other_are_no_overlap(y, x, strides):
    buffer, memory = windows(x.shape, strides)
    SPARSE(y, x, True, grad_out=buffer)
    assert np.isfinite(memory).sum() == x.size
    np.testing.assert_allclose(buffer, SPARSE(y, x, True)[1], rtol=1e-13, atol=1e-15)


def test_strides_of_lengths_that_are_not_stepped_along(y, x):
    """One row and one class: their strides mean nothing. No rows: nothing overlaps."""
    buffer = np.lib.stride_tricks.as_strided(nan(5), (1, 5, 1), (0, 8, 0))
    assert SPARSE(0 * y[:1], x[:1, :, :1], True, grad_out=buffer)[1] is buffer
    empty = np.lib.stride_tricks.as_strided(nan(5), (0, 5, 6), (0, 0, 0))
    assert SPARSE(y[:0], x[:0], True, grad_out=empty)[1] is empty


def test_interleaved_memory_is_no_overlap(y, x):
    memory = nan((4, 5, 12))
    memory[..., ::2] = x
    _, grad = SPARSE(y, memory[..., ::2], True, grad_out=memory[..., 1::2])
    np.testing.assert_allclose(grad, SPARSE(y, x, True)[1], rtol=1e-13, atol=1e-15)
    assert np.array_equal(memory[..., ::2], x)


def read_only(a):
    a.flags.writeable = False
    return a


BAD_BUFFERS = {
    "shape": (lambda shape: nan((*shape[:-1], shape[-1] + 1)), "must have shape"),
    "dimensions": (lambda shape: nan((1, *shape)), "must have shape"),
    "broadcastable shape": (lambda shape: nan((1, *shape[1:])), "must have shape"),
    "dtype": (lambda shape: nan(shape, np.float32), "must have dtype float64; got float32"),
    "integer dtype": (lambda shape: np.zeros(shape, int), "must have dtype float64; got int64"),
    "byte order": (lambda shape: np.zeros(shape, ">f8"), "must have dtype float64; got >f8"),
    "read-only": (lambda shape: read_only(nan(shape)), "must be writeable"),
    "list": (lambda shape: nan(shape).tolist(), "must be a NumPy array; got list"),
    "masked": (lambda shape: np.ma.masked_invalid(nan(shape)), "must be a NumPy array; got MaskedArray"),
}


@pytest.mark.parametrize("name", ["out", "grad_out", "hess_out"])
@pytest.mark.parametrize("bad", BAD_BUFFERS)
def test_bad_buffers_are_refused_before_anything_is_written(y, x, name, bad):
    make, message = BAD_BUFFERS[bad]
    names = ("grad_out", "hess_out") if name == "hess_out" else ("out", "grad_out")
    buffers = {key: nan((4, 5) if key == "out" else x.shape) for key in names}
    good = [buffer for key, buffer in buffers.items() if key != name]
    buffers[name] = make((4, 5) if name == "out" else x.shape)
    function = HESS if name == "hess_out" else SPARSE
    with pytest.raises(ValueError, match=f"{name} {message}"):
        function(y, x, True, **buffers)
    assert all(np.isnan(buffer).all() for buffer in good)


def test_reduced_out_must_be_a_scalar_array(y, x):
    for out in (nan((1,)), nan((4, 5))):
        with pytest.raises(ValueError, match=r"out must have shape \(\); got"):
            xn.sparse_categorical_crossentropy(y, x, True, reduction="mean", out=out)


@pytest.mark.parametrize("from_logits", [True, False])
def test_nothing_is_written_on_a_bad_label(y, x, from_logits):
    y[3, 4] = 6
    buffers = {"out": nan((4, 5)), "grad_out": nan(x.shape)}
    with pytest.raises(IndexError):
        SPARSE(y, x, from_logits, **buffers)
    assert all(np.isnan(buffer).all() for buffer in buffers.values())
    if from_logits:
        buffers = {"grad_out": nan(x.shape), "hess_out": nan(x.shape)}
        with pytest.raises(IndexError):
            HESS(y, x, **buffers)
        assert all(np.isnan(buffer).all() for buffer in buffers.values())


def test_nothing_is_written_in_place_on_a_bad_label(rng):
    """The last of many rows is bad: threads must not have started on the first ones."""
    x = rng.standard_normal((50_000, 4))
    before = x.copy()
    y = np.zeros(50_000, np.int16)
    y[-1] = -1
    with pytest.raises(IndexError, match="got -1 at index 49999"):
        SPARSE(y, x, True, grad_out=x)
    assert x.tobytes() == before.tobytes()


def test_softmax_buffers(x):
    for function in (xn.softmax, xn.log_softmax):
        expected = function(x)
        out = nan(x.shape)
        assert function(x, out=out) is out
        assert out.tobytes() == expected.tobytes()
        copy = x.copy()
        assert function(copy, out=copy) is copy
        assert copy.tobytes() == expected.tobytes()
        with pytest.raises(ValueError, match="out must not overlap x"):
            function(x, out=x[::-1])
        with pytest.raises(ValueError, match="out must have dtype float64; got float32"):
            function(x, out=nan(x.shape, np.float32))
    out = nan((4, 5))
    assert xn.logsumexp(x, out=out) is out
    assert out.tobytes() == xn.logsumexp(x).tobytes()
    with pytest.raises(ValueError, match=r"out must have shape \(4, 5\)"):
        xn.logsumexp(x, out=nan((5, 4)))
    with pytest.raises(ValueError, match="out must not overlap x"):
        xn.logsumexp(x, out=x[..., 0])


class View:
    """Shares its memory with an array, as tensors and tables do, and is none itself."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


def test_overlap_with_what_is_no_array_itself():
    memory = np.zeros(1100)
    x = memory[:800].reshape(4, 200)
    y = np.zeros(4, int)
    with pytest.raises(ValueError, match="grad_out must not overlap y_pred"):
        SPARSE(y, View(x), True, grad_out=memory[300:].reshape(4, 200))
    with pytest.raises(ValueError, match="grad_out must not overlap y_pred"):
        SPARSE(y, View(x), grad_out=x)
    with pytest.raises(ValueError, match="out must not overlap sample_weight"):
        SPARSE(y, np.ones((4, 200)), True, sample_weight=View(memory[:4]), out=memory[2:6])
    with pytest.raises(ValueError, match="out must not overlap x"):
        xn.softmax(View(x), out=memory[300:].reshape(4, 200))
    with pytest.raises(ValueError, match="out must not overlap x"):
        xn.logsumexp(View(x), out=memory[:4])
    assert not memory.any()


@pytest.mark.parametrize("shape", [(1024, 1024), (1100, 1000), (3, 700, 500)])
def test_large_gradients_begin_at_a_cache_line(shape):
    """For speed alone: at any other address the bits are the same."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape, np.float32)
    y = rng.integers(0, shape[-1], shape[:-1])
    memory = np.empty(x.size + 32, np.float32)
    first = (-memory.ctypes.data // 4) % 16
    for weight in (None, np.ones(shape[:-1])):
        _, grad = SPARSE(y, x, True, sample_weight=weight)
        assert grad.ctypes.data % 64 == 0
        assert grad.flags.writeable
        assert grad.flags.c_contiguous
        for offset in (0, 4, 15):
            buffer = memory[first + offset :][: x.size].reshape(shape)
            SPARSE(y, x, True, sample_weight=weight, grad_out=buffer)
            assert buffer.tobytes() == grad.tobytes()
