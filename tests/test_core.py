# SPDX-License-Identifier: BSD-3-Clause
"""_core called with junk: it checks every buffer by itself, so that nothing can make C read or write elsewhere.

Calls that would work have some of their arguments replaced. Buffers lie in one block of memory with gaps between them;
no call may change a gap or a read-only array, and all that it may raise is an ordinary exception.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import random
from typing import Any

import numpy as np
import pytest

import xent_native as xn
from xent_native import _core
from xent_native._core import FLOATS, INTEGERS, PLAIN, REDUCTIONS, SHAPES, STORED

ORDINARY = (TypeError, ValueError, IndexError, OverflowError, BufferError, AttributeError, _core.LabelError)
FLOAT32, FLOAT64 = (FLOATS[np.dtype(name)] for name in ("f4", "f8"))
N, C = 6, 5
GAP = 64


class Arena:
    """Memory for all buffers of a test, with gaps whose bytes are known."""

    def __init__(self, size: int = 1 << 16) -> None:
        self.memory = np.full(size, 0xA5, np.uint8)
        self.free = np.ones(size, bool)
        self.end = GAP
        self.locked = self.place(np.zeros((N, C)))  # to be made read-only

    def place(self, a: np.ndarray, shift: int = 0) -> np.ndarray:
        """A copy of an array between gaps, `shift` bytes off its alignment."""
        start = self.end + -self.end % 16 + shift
        self.end = start + a.nbytes + GAP
        self.free[start : start + a.nbytes] = False
        placed = self.memory[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
        placed[...] = a
        return placed

    def is_intact(self) -> bool:
        return bool((self.memory[self.free] == 0xA5).all())


def released() -> memoryview:
    view = memoryview(bytearray(8 * N * C)).cast("d", [N, C])
    view.release()
    return view


def nested(dims: int) -> Any:
    """An array of ctypes, which lends a buffer without strides whatever it is asked for."""
    kind = ctypes.c_double * 1
    for _ in range(dims - 1):
        kind = kind * 1
    return kind()


def buffers(arena: Arena) -> list[Any]:
    """What may come in place of an array."""
    rng = np.random.default_rng(0)
    made: list[Any] = []
    for dtype in ("f2", "f4", "f8", "u2", "i1", "u1", "i8", "u8", ">f8", "c16", "?"):
        for shape in (
            (N, C),
            (C, N),
            (N,),
            (C,),
            (),
            (0, C),
            (N, 0),
            (N, C, 1),
            (1, N, C),
            (2, 3, C),
            (N, C + 1),
            (N - 1, C),
        ):
            made.append(arena.place(rng.integers(0, 2, shape).astype(dtype)))
    plane = arena.place(np.zeros((2 * N, 2 * C)))
    made += [plane[:N, :C], plane[::2, ::2], plane[::-2, ::-2], plane.T[:N, :C], plane[:1, :C], plane[:N, :1]]
    made += [np.broadcast_to(plane[0, 0], (N, C)), np.broadcast_to(plane[:N, :1], (N, C))]
    made += [arena.place(np.zeros((N, C), dtype), 1) for dtype in ("f4", "f8")]
    made += [arena.place(np.zeros((N,) + (1,) * 62 + (C,))), arena.place(np.zeros((1,) * 64))]
    arena.locked.flags.writeable = False
    made += [
        arena.locked,
        np.zeros((N, C), object),
        np.zeros((N, C), "M8[s]"),
        np.zeros((N, C), "V8"),
        np.zeros((N, C), "f4,f4"),
    ]
    made += [
        None,
        3,
        1.5,
        "text",
        b"bytes" * 48,
        bytearray(8 * N * C),
        memoryview(bytearray(8 * N * C)),
        released(),
    ]
    made += [
        memoryview(bytearray(8 * N * C)).cast("d", [N, C]),
        memoryview(b"\0" * 8 * N * C).cast("d", [N, C]),
    ]
    made += [
        array.array("d", [0.0] * N),
        ctypes.create_string_buffer(8 * N),
        ((ctypes.c_double * C) * N)(),
        nested(3),
    ]
    made += [
        nested(64),
        nested(70),
        ctypes.c_double(),
        object(),
        [0.0] * N,
        np.float64(1),
        np.zeros((N, C)).view(np.matrix),
    ]
    return made


NUMBERS = (
    -(10**30),
    -(2**63),
    -(2**31),
    -99,
    -2,
    -1,
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    63,
    64,
    65,
    99,
    2**31 - 1,
    2**31,
    2**63,
    1e300,
    -1.0,
    0.5,
    float("nan"),
    float("inf"),
    None,
    True,
    "text",
    b"1",
    (),
    object(),
)


def softmax_call(arena: Arena) -> dict[str, Any]:
    plane = np.full((N, C), 0.5)
    outputs = {name: arena.place(plane) for name in ("grad", "hess")}
    return {
        "from_logits": True,
        "x": arena.place(plane),
        "dtype": STORED[np.dtype("f8")],
        "axis": 1,
        "labels": arena.place(np.zeros(N, np.int8)),
        "label_type": INTEGERS[np.dtype("i1")],
        "target": None,
        "ignored": None,
        "label_smoothing": 0.1,
        "class_weight": arena.place(np.ones(C)),
        "sample_weight": arena.place(np.ones(N)),
        "weight_dtype": FLOAT64,
        "epsilon": 1e-7,
        "reduction": REDUCTIONS["mean"],
        "n_threads": 1,
        "loss": arena.place(np.ones(N)),
        "loss_dtype": FLOAT64,
        "lse": arena.place(np.ones(N)),
        **outputs,
        "prob": arena.place(plane),
        "log_prob": arena.place(plane),
        "shape_of_loss": SHAPES["plain"],
        "coefficient": 2.0,
        "alpha": 1.0,
        "without_loss": False,
        "hess_scale": 0.0,
    }


def binary_call(arena: Arena) -> dict[str, Any]:
    plane = np.full((N, C), 0.5)
    return {
        "from_logits": True,
        "x": arena.place(plane),
        "dtype": STORED[np.dtype("f8")],
        "axis": 1,
        "target": arena.place(plane),
        "label_smoothing": 0.1,
        "pos_weight": arena.place(np.ones(C)),
        "focal": None,
        "sample_weight": arena.place(np.ones(N)),
        "weight_dtype": FLOAT64,
        "epsilon": 1e-7,
        "reduction": REDUCTIONS["mean"],
        "share": 0.0,
        "n_threads": 1,
        "loss": arena.place(np.ones(N)),
        "loss_dtype": FLOAT64,
        "each": arena.place(plane),
        "grad": arena.place(plane),
        "hess": arena.place(plane),
        "prob": None,
        "without_loss": False,
        "labels": None,
        "label_type": INTEGERS[np.dtype("i1")],
    }


def plain_call(arena: Arena) -> dict[str, Any]:
    return {
        "kind": PLAIN["sparse"],
        "y_true": arena.place(np.zeros(N, np.int8)),
        "y_pred": arena.place(np.full((N, C), 0.5)),
        "from_logits": True,
        "axis": -1,
        "ignore_class": None,
        "label_smoothing": 0.1,
        "reduction": "mean",
        "epsilon": 1e-7,
        "n_threads": 1,
        "grad": True,
        "coefficient": 2.0,
        "alpha": 1.0,
        "balanced": False,
    }


def score_call(arena: Arena) -> dict[str, Any]:
    return {
        "x": arena.place(np.full((N, C), 0.5)),
        "dtype": STORED[np.dtype("f8")],
        "labels": arena.place(np.zeros(N, np.int8)),
        "label_type": INTEGERS[np.dtype("i1")],
        "target": None,
        "sample_weight": arena.place(np.ones(N)),
        "weight_dtype": FLOAT64,
        "epsilon": 1e-7,
        "reduction": REDUCTIONS["mean"],
        "n_threads": 1,
    }


def row_call(arena: Arena) -> dict[str, Any]:
    return {
        "x": arena.place(np.full(C, 0.5)),
        "label": 1.0,
        "weight": 1.0,
        "label_smoothing": 0.1,
        "class_weight": arena.place(np.ones(C)),
        "shape_of_loss": SHAPES["plain"],
        "coefficient": 2.0,
        "hess_scale": 1.0,
        "full": True,
    }


ARRAYS = (
    "x",
    "labels",
    "target",
    "class_weight",
    "sample_weight",
    "loss",
    "lse",
    "grad",
    "hess",
    "prob",
    "log_prob",
)
ARRAYS += ("pos_weight", "each", "y_true", "y_pred")
CALLS = {
    "cross_entropy": (_core.cross_entropy, softmax_call, 25_000),
    "binary_cross_entropy": (_core.binary_cross_entropy, binary_call, 15_000),
    "score_probabilities": (_core.score_probabilities, score_call, 8_000),
    "plain_cross_entropy": (_core.plain_cross_entropy, plain_call, 10_000),
    "row_derivatives": (_core.row_derivatives, row_call, 5_000),
}


@pytest.mark.parametrize("name", CALLS)
def test_junk_arguments(isa, name):
    function, make, runs = CALLS[name]
    draw = random.Random(f"{name} {isa}")
    arena = Arena()
    good = make(arena)
    pool = buffers(arena)
    locked = arena.locked.tobytes()
    worked = 0
    for run in range(runs):
        given = dict(good)
        for key in draw.sample(sorted(given), draw.choice((1, 1, 2, 3, 6))):
            junk = pool if (key in ARRAYS) == (draw.random() < 0.95) else NUMBERS
            given[key] = draw.choice(junk)
            if key == "focal":
                given[key] = draw.choice(
                    (None, (True, 0.5, 2.0), (1, 2), 3, ("a", "b", "c"), (False, float("nan"), -1.0))
                )
        if draw.random() < 0.5:  # labels or targets, and what the operation does not have
            for key in ("hess", "lse", "prob", "log_prob", "labels"):
                if key in given and draw.random() < 0.7:
                    given[key] = None
        try:
            function(*given.values())
            worked += 1
        except ORDINARY:
            pass
        if run % 100 == 99:
            assert arena.is_intact(), f"run {run}: {given}"
    assert arena.is_intact()
    assert arena.locked.tobytes() == locked
    assert runs / 50 < worked < runs


def test_a_good_call_writes():
    """The calls that the junk is put into do work, so that they come far."""
    arena = Arena()
    good = softmax_call(arena)
    _core.cross_entropy(*good.values())
    assert not (good["grad"] == 0.5).all()
    binary = binary_call(arena)
    _core.binary_cross_entropy(*binary.values())
    assert not (binary["each"] == 0.5).all()
    assert _core.plain_cross_entropy(*plain_call(arena).values()) is not None
    assert _core.score_probabilities(*score_call(arena).values())[1:] == (0.5, 0.5, 1.5)
    assert len(_core.row_derivatives(*row_call(arena).values())[1]) == C
    assert arena.is_intact()


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("classes", [2**31, 3_100_000_000, 2**32, 2**33])
def test_a_hessian_larger_than_the_address_space(classes, full):
    """Rows of one number that is read again and again: the square of their length does not fit into 64 bits."""
    row = {
        **row_call(Arena()),
        "x": np.broadcast_to(np.float64(0), classes),
        "class_weight": None,
        "full": full,
    }
    with pytest.raises(MemoryError):
        _core.row_derivatives(*row.values())


def test_junk_to_the_small_functions():
    arena = Arena()
    pool = buffers(arena)
    for a in pool:
        for axis in NUMBERS:
            with contextlib.suppress(*ORDINARY):
                assert _core.collapses(a, axis) in (True, False)
        for function in (_core.new_plane, _core.stored_code, _core.is_bfloat16, _core.set_isa, _core.threads):
            try:
                function(a)
            except (*ORDINARY, MemoryError):
                pass
    for number in NUMBERS:
        for function in (_core.threads, _core.set_isa, _core.stored_code):
            with contextlib.suppress(*ORDINARY):
                function(number)
    assert arena.is_intact()
    assert _core.isa() in dict(_core.isas())


def test_what_ctypes_lends_has_no_strides():
    """NumPy describes the same memory with them: that way it is taken."""
    lent = ((ctypes.c_double * C) * N)()
    assert _core.collapses(np.asarray(lent), 1)
    arena = Arena()
    given = softmax_call(arena)
    for name in ("x", "grad", "loss", "labels", "class_weight"):
        with pytest.raises(ValueError, match="expected"):
            _core.cross_entropy(*{**given, name: lent}.values())


class Lying(np.ndarray):
    """Says that it is an ordinary plane or row of float64, whatever it is."""

    dtype = property(lambda self: np.dtype(np.float64))
    shape = property(lambda self: (N, C) if self.ndim == 2 else (N,))
    strides = property(lambda self: (8 * C, 8) if self.ndim == 2 else (8,))
    flags = property(lambda self: np.zeros((N, C)[: self.ndim]).flags)


LIES = [
    np.full((N, C), None, object), np.zeros((N, C), np.float32), np.zeros((N, C - 1)), np.zeros((N - 1, C)),
    np.zeros((1, 1)), np.zeros((N, C), np.int64)[:, ::-1], np.broadcast_to(np.zeros(1), (N, C)), np.zeros((N, C), "V8"),
    np.zeros((N, 0)), np.full(N, None, object), np.zeros(N, np.float32), np.zeros(1), np.zeros(N - 1),
    np.frombuffer(b"0" * 8 * N),
]  # fmt: skip


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: f"{lie.dtype}, {lie.shape}")
def test_a_subclass_that_lies(lie):
    """As a buffer it comes to C as it is: what its memory really is decides."""
    x, y = np.zeros((N, C)), np.zeros(N, int)
    buffer = lie.view(Lying)
    before = lie.tobytes()
    names = ("grad_out",) if lie.ndim == 2 else ("out",)
    for name in names:
        with contextlib.suppress(TypeError, ValueError, IndexError):
            xn.sparse_categorical_crossentropy_value_and_grad(y, x, True, **{name: buffer})
        with contextlib.suppress(TypeError, ValueError, IndexError):
            xn.binary_crossentropy_value_and_grad(x, x, True, **{name: buffer})
    for function in (xn.softmax, xn.log_softmax, xn.logsumexp, xn.sigmoid):
        with contextlib.suppress(TypeError, ValueError, IndexError):
            function(x, out=buffer)
    if lie.dtype.kind == "O" or not lie.flags.writeable:
        assert lie.tobytes() == before
    for function in (xn.softmax, xn.sigmoid):  # as an input NumPy is asked instead
        with contextlib.suppress(TypeError, ValueError, IndexError):
            function(buffer)
