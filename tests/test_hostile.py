# SPDX-License-Identifier: BSD-3-Clause
"""Objects that do not keep their word, as every array of every function: an answer, or an error that names it."""

from __future__ import annotations

import ctypes
import datetime
import decimal
import fractions
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compatibility_inputs import ArrayOnly
from edge_functions import CALLS, Call, dtype_of

import xent_native as xn
import xent_native.scoring
import xent_native.torch as xt

DOCUMENTED = (TypeError, ValueError, IndexError)
X = np.full((3, 4), 0.25)


class Array:
    """Its ``__array__`` does what it likes."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self.answer = answer

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.answer(self)


def raises(error: BaseException) -> Callable[[Any], Any]:
    def answer(_: Any) -> Any:
        raise error

    return answer


class Sequence:
    """Says that it has more items than it gives, or fewer."""

    def __init__(self, said: int, given: int) -> None:
        self.said, self.given = said, given

    def __len__(self) -> int:
        return self.said

    def __getitem__(self, index: int) -> list[float]:
        if index >= self.given:
            raise IndexError
        return [0.25] * 4


class DLPack:
    """A device that is none, or a capsule that is none."""

    def __init__(self, device: Any) -> None:
        self.device = device

    def __dlpack__(self, **options: Any) -> Any:
        return 3

    def __dlpack_device__(self) -> Any:
        if isinstance(self.device, BaseException):
            raise self.device
        return self.device


class Attributes:
    """Looks sparse, but for its attributes."""

    @property
    def nnz(self) -> int:
        raise RuntimeError("no")


class Interface:
    """An array interface of nothing."""

    def __init__(self, **interface: Any) -> None:
        self.__array_interface__ = interface


class Finalizer(np.ndarray):
    """Its views cannot be made."""

    armed = False

    def __array_finalize__(self, other: Any) -> None:
        if Finalizer.armed:
            raise RuntimeError("no")


class bfloat(np.void):
    """With two bytes its dtype is called bfloat16."""


def released() -> memoryview:
    view = memoryview(bytearray(96)).cast("d", [3, 4])
    view.release()
    return view


def itself() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def deep() -> list[Any]:
    found: list[Any] = []
    for _ in range(70):
        found = [found]
    return found


OBJECTS: dict[str, Callable[[], Any]] = {
    **{f"__array__ raises {type(e).__name__}": lambda e=e: Array(raises(e)) for e in (
        RuntimeError("no"), KeyError("no"), BufferError("no"), OverflowError("no"), SystemError("no"),
        AttributeError("no"), RecursionError("no"), StopIteration(), AssertionError(), ValueError("no"),
        TypeError("no"), Exception(),
    )},
    "__array__ gives a number": lambda: Array(lambda _: 3),
    "__array__ gives itself": lambda: Array(lambda self: self),
    "__array__ gives a scalar": lambda: Array(lambda _: np.zeros(())),
    "__array__ gives objects": lambda: Array(lambda _: np.array([None, 1])),
    "__array__ gives what has one": lambda: Array(lambda _: ArrayOnly(X)),
    "fewer items than said": lambda: Sequence(5, 3),
    "more items than said": lambda: Sequence(1, 3),
    "a length below 0": lambda: Sequence(-1, 3),
    "no device": lambda: DLPack(()),
    "a device in letters": lambda: DLPack("ab"),
    "no capsule": lambda: DLPack((1, 0)),
    "another device": lambda: DLPack((2, 0)),
    "a device that raises": lambda: DLPack(RuntimeError("no")),
    "attributes that raise": Attributes,
    "an interface without a shape": lambda: Interface(typestr="<f8", version=3),
    "an interface of letters": lambda: Interface(typestr="???", shape=(3, 4), data=(0, True), version=3),
    "an interface without memory": lambda: Interface(typestr="<f8", shape="34", data=None, version=3),
    "a list in itself": itself,
    "70 lists in each other": deep,
    "a finalizer that raises": lambda: X.view(Finalizer),
    "records": lambda: np.zeros((3, 4), [("a", "f8")]),
    "arrays as items": lambda: np.zeros((3, 4), ("f8", (4,))),
    "bits": lambda: np.zeros((3, 4), "V2"),
    "no bits": lambda: np.zeros((3, 4), "V0"),
    "bits called bfloat16": lambda: np.zeros((3, 4), np.dtype((bfloat, "V2"))),
    "bytes": lambda: b"abc",
    "text": lambda: "abc",
    "an array of bytes": lambda: np.zeros((3, 4), "S3"),
    "an array of dates": lambda: np.zeros((3, 4), "M8[s]"),
    "an array of durations": lambda: np.zeros((3, 4), "m8[s]"),
    "strings of any length": lambda: np.full((3, 4), "a").astype(np.dtypes.StringDType()),
    "long doubles": lambda: X.astype(np.longdouble),
    "a dtype with metadata": lambda: X.astype(np.dtype("f8", metadata={"a": 1})),
    "a released memoryview": released,
    "ctypes": lambda: ((ctypes.c_double * 4) * 3)(),
    "a matrix": lambda: X.view(np.matrix),
    "a scalar": lambda: np.float64(0.5),
    "64 dimensions": lambda: np.full((1,) * 62 + (3, 4), 0.25),
    "a class": lambda: np.ndarray,
    "a function": lambda: len,
    "an ellipsis": lambda: ...,
    "a set": lambda: {0.25, 0.5},
    "a generator": lambda: (i for i in range(3)),
    "a date": lambda: datetime.date(2020, 1, 1),
    "a decimal": lambda: decimal.Decimal(1),
    "a fraction": lambda: fractions.Fraction(1, 2),
    "masked": lambda: np.ma.masked,
    "arrays of two lengths": lambda: [np.zeros(4), np.zeros(3)],
}  # fmt: skip


def attempt(call: Call, y: Any, x: Any, what: str, **options: Any) -> None:
    """An error has to be documented and to name an argument, and leaves buffers as they are."""
    buffers, caught = call.buffers(X), None
    Finalizer.armed = True
    try:
        call(y, x, **{**buffers, **options})
    except DOCUMENTED as error:
        caught = error
    finally:
        Finalizer.armed = False
    if caught is not None:
        assert re.match(r"\w+ must ", str(caught)), f"{what}: {caught!r}"
        assert all(np.isnan(buffer).all() for buffer in buffers.values()), what


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_every_argument(call):
    y, x = call.problem(3, 4, "float64")
    for name, make in OBJECTS.items():
        attempt(call, y, make(), f"predictions, {name}")
        if call.targets:
            attempt(call, make(), x, f"targets, {name}")
        for weight in call.weights(x):
            attempt(call, y, x, f"{weight}, {name}", **{weight: make()})
        for buffer in call.buffers(x):
            attempt(call, y, x, f"{buffer}, {name}", **{buffer: make()})


def test_length_without_end():
    """What NumPy has no memory for is a MemoryError."""
    with pytest.raises((MemoryError, ValueError)):
        xn.softmax(Sequence(2**62, 3))


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_64_dimensions(call):
    """As many as NumPy's arrays have; the classes are along any of them."""
    for axis in (63, 0) if call.host != "torch" else (1,):
        y, x = call.problem(6, 4, "float32")
        shape = {63: (3, 2, *(1,) * 61, 4), 0: (4, *(1,) * 61, 3, 2), 1: (3, 4, *(1,) * 61, 2)}[axis]

        def there(a, shape=shape, axis=axis):
            rows = a.reshape(3, 2, 4) if a.ndim == 2 else a
            moved = np.moveaxis(rows, -1, min(axis, 2)) if a.ndim == 2 else rows
            return np.ascontiguousarray(moved).reshape(
                shape if a.ndim == 2 else shape[:axis] + shape[axis + 1 :]
            )

        expected = call.rows(y, x, "last" if axis == 63 else "first" if axis == 0 else "last")
        found = call(there(y), there(x), axis)
        for name, value in found.items():
            back = np.moveaxis(
                value.reshape([n for n in value.shape if n > 1]), {63: -1, 0: 0, 1: 1}[axis], -1
            )
            flat = back.reshape(6, 4) if value.ndim == 64 else value.reshape(6)
            np.testing.assert_allclose(flat, expected[name], rtol=1e-6, atol=1e-7, err_msg=name)


class Shrinks:
    """An option that takes an array's memory away while the call reads its arguments."""

    def __init__(self, array: np.ndarray, value: float) -> None:
        self.array, self.value = array, value

    def __float__(self) -> float:
        self.array.resize((1,) * self.array.ndim, refcheck=False)
        return self.value

    def __bool__(self) -> bool:
        self.array.resize((1,) * self.array.ndim, refcheck=False)
        return True


@pytest.mark.parametrize("name", ["y_pred", "y_true", "sample_weight", "class_weight", "out", "grad_out"])
@pytest.mark.parametrize("option", ["label_smoothing", "epsilon", "from_logits"])
def test_arrays_that_change_their_size(name, option):
    """C sees the memory as it is when it is called, not as it was when it was checked."""
    n, classes = 50_000, 10
    arrays = {
        "y_pred": np.zeros((n, classes)),
        "y_true": np.zeros(n, int),
        "sample_weight": np.ones(n),
        "class_weight": np.ones(classes),
        "out": np.zeros(n),
        "grad_out": np.zeros((n, classes)),
    }
    arrays[option] = Shrinks(arrays[name], 0.0)
    with pytest.raises(DOCUMENTED):
        xn.sparse_categorical_crossentropy_value_and_grad(**arrays)


def test_a_dtype_of_two_bytes_that_is_only_called_bfloat16():
    fake = np.zeros((3, 4), np.dtype((bfloat, "V2")))
    assert fake.dtype.name == "bfloat16"
    with pytest.raises(TypeError, match="y_pred must hold real numbers"):
        xn.sparse_categorical_crossentropy([0, 1, 2], fake, True)
    pytest.importorskip("ml_dtypes")
    assert xn.softmax(np.zeros((3, 4), dtype_of("bfloat16"))).dtype == dtype_of("bfloat16")


@pytest.mark.parametrize("name", ["float8_e5m2", "float8_e4m3fn", "float4_e2m1fn", "int4"])
def test_small_dtypes_of_ml_dtypes(name):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.zeros((3, 4), getattr(ml_dtypes, name))
    with pytest.raises(TypeError, match=f"y_pred must .* got .*{name}"):
        xn.sparse_categorical_crossentropy([0, 1, 2], x, True)
    with pytest.raises(TypeError, match=f"y_true must .* got .*{name}"):
        xn.sparse_categorical_crossentropy(x[:, 0], np.zeros((3, 4)), True)


class AlarmError(Exception):
    """What a signal handler might raise."""


class Alarming:
    def __bool__(self) -> bool:
        raise AlarmError


def test_what_a_flag_raises_is_not_lost():
    """It may come of a signal handler that runs meanwhile. An answer without a word would hide it."""
    with pytest.raises(ValueError, match="from_logits must be true or false") as caught:
        xn.sparse_categorical_crossentropy(np.zeros(3, int), np.zeros((3, 4)), Alarming())
    assert isinstance(caught.value.__cause__, AlarmError)


class Awkward(str):
    """Text that does not want to be compared."""

    def __hash__(self) -> int:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError


def test_text_that_does_not_compare():
    x, y = np.zeros((3, 4)), np.zeros(3, int)
    assert xn.sparse_categorical_crossentropy(y, x, True, reduction=Awkward("mean")) == np.log(4)
    assert xt.cross_entropy(x, y, reduction=Awkward("mean")) == np.log(4)
    with pytest.raises(ValueError, match="reduction must be one of"):
        xn.sparse_categorical_crossentropy(y, x, True, reduction=Awkward("men"))


def test_integers_with_named_parts():
    y = np.zeros(4, np.dtype((np.int32, [("low", "<i2"), ("high", "<i2")])))
    for call in (
        lambda: xn.sparse_categorical_crossentropy(y, np.ones((4, 3)), True),
        lambda: xt.cross_entropy(np.ones((4, 3)), y),
        lambda: xn.scoring.score(np.ones((4, 3)), y),
    ):
        with pytest.raises(TypeError, match="must hold"):
            call()


def test_integers_that_python_does_not_write():
    huge = 10**5000
    with pytest.raises(IndexError, match="an object of type int"):
        xn.sparse_categorical_crossentropy([0, 5], np.ones((2, 3)), True, ignore_class=huge)
    with pytest.raises(IndexError, match="an object of type int"):
        xt.cross_entropy(np.ones((2, 3)), np.array([0, 5]), ignore_index=huge)
    with pytest.raises(IndexError, match="labels must lie in"):
        xn.scoring.score(np.ones((2, 3)), [0, 5], ignore_class=huge)
