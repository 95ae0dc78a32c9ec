# SPDX-License-Identifier: BSD-3-Clause
"""Every kind of array that users have, as every argument of every function; and whether it is copied.

A cell calls a function with plain arrays and with the same numbers in that kind, and compares.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from compatibility import FUNCTIONS, Function

import xent_native as xn
from xent_native import _problem


@dataclass(frozen=True)
class Kind:
    """A way to hold an array.

    Attributes
    ----------
    name : str
    make : callable
        From a C-ordered float64 array of (6, 5) or an array of 6 numbers.
    needs : str
        A module without which there is none.
    dtype : str
        What floats are converted to before.
    copied : bool
        Whether predictions of this kind are copied on their way to C.
    only_predictions : bool
        Whether it holds nothing that labels could be.
    """

    name: str
    make: Callable[[np.ndarray], Any]
    needs: str = ""
    dtype: str = "float64"
    copied: bool = False
    only_predictions: bool = False


class ArrayOnly:
    """Something with ``__array__`` and nothing else."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array if dtype is None else self.array.astype(dtype)


class DLPackOnly:
    """Something that lends its memory by DLPack and in no other way."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def module(name: str) -> Any:
    return importlib.import_module(name)


def misaligned(a: np.ndarray) -> np.ndarray:
    memory = np.empty(a.nbytes + 1, np.uint8)
    moved = memory[1:].view(a.dtype).reshape(a.shape)
    moved[...] = a
    return moved


def read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


def memmap(a: np.ndarray, mode: Any = "r") -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:  # the mapping outlives the name of the file
        path = Path(folder) / "array"
        np.memmap(path, a.dtype, "w+", shape=a.shape)[...] = a
        return np.memmap(path, a.dtype, mode, shape=a.shape)


def every(*steps: int) -> Callable[[np.ndarray], np.ndarray]:
    """A view that takes every so many items of a larger array along each axis."""

    def make(a: np.ndarray) -> np.ndarray:
        used = steps[: a.ndim]
        wide = np.zeros([n * abs(s) for n, s in zip(a.shape, used, strict=True)], a.dtype)
        view = wide[tuple(slice(None, None, s) for s in used)]
        view[...] = a
        return view

    return make


def pandas_frame(a: np.ndarray, dtype: Any = None) -> Any:
    pandas = module("pandas")
    made = pandas.DataFrame(a) if a.ndim == 2 else pandas.Series(a)
    return made if dtype is None else made.astype(dtype)


def nullable(a: np.ndarray) -> Any:
    return pandas_frame(a, "Float64" if a.dtype.kind == "f" else "Int64")


def arrow_backed(a: np.ndarray) -> Any:
    return pandas_frame(a, "double[pyarrow]" if a.dtype.kind == "f" else "int64[pyarrow]")


def polars_frame(a: np.ndarray) -> Any:
    return module("polars").DataFrame(a) if a.ndim == 2 else module("polars").Series(a)


def arrow_table(a: np.ndarray) -> Any:
    pyarrow = module("pyarrow")
    return pyarrow.array(a) if a.ndim == 1 else pyarrow.table({f"c{i}": a[:, i] for i in range(a.shape[1])})


def arrow_tensors(a: np.ndarray) -> Any:
    pyarrow = module("pyarrow")
    return pyarrow.array(a) if a.ndim == 1 else pyarrow.FixedShapeTensorArray.from_numpy_ndarray(a)


def arrow_lists(a: np.ndarray) -> Any:
    pyarrow = module("pyarrow")
    return (
        pyarrow.array(a) if a.ndim == 1 else pyarrow.FixedSizeListArray.from_arrays(a.reshape(-1), a.shape[1])
    )


def tensor(a: np.ndarray, dtype: str = "") -> Any:
    torch = module("torch")
    made = torch.from_numpy(np.array(a))
    return made.to(getattr(torch, dtype)) if dtype and made.is_floating_point() else made


def half(name: str) -> np.dtype:
    return np.dtype(module("ml_dtypes").bfloat16 if name == "bfloat16" else name)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("NumPy, C order", np.ascontiguousarray),
        Kind("lists", lambda a: a.tolist(), copied=True),
        Kind("NumPy, float32", lambda a: a, dtype="float32"),
        Kind("NumPy, float16", lambda a: a, dtype="float16"),
        Kind("NumPy, bfloat16 of ml_dtypes", lambda a: a, needs="ml_dtypes", dtype="bfloat16"),
        Kind("NumPy, integers", lambda a: (a * 64).astype(np.int16), copied=True, only_predictions=True),
        Kind("NumPy, Fortran order", np.asfortranarray),
        Kind("NumPy, negative strides", every(-1, -1)),
        Kind("NumPy, every other item", every(2, 3)),
        Kind("NumPy, broadcast (stride 0)", lambda a: np.broadcast_to(a[:1], a.shape), only_predictions=True),
        Kind("NumPy, read-only", read_only),
        Kind("NumPy, misaligned", misaligned, copied=True),
        Kind("NumPy, the other byte order", lambda a: a.astype(a.dtype.newbyteorder("S")), copied=True),
        Kind("NumPy, subclass", lambda a: a.view(type("Sub", (np.ndarray,), {}))),
        Kind("NumPy, memmap", memmap),
        Kind("NumPy, masked array without a mask", lambda a: np.ma.array(a, mask=False)),
        Kind("memoryview", memoryview),
        Kind("any object with __array__", ArrayOnly),
        Kind("any object with __dlpack__ alone", DLPackOnly),
        Kind("the same, of bfloat16", lambda a: DLPackOnly(tensor(a, "bfloat16")), needs="torch", dtype="bfloat16"),
        Kind("pandas", pandas_frame, needs="pandas"),
        Kind("pandas, nullable dtypes", nullable, needs="pandas", copied=True),
        Kind("pandas on pyarrow", arrow_backed, needs="pyarrow", copied=True),
        Kind("polars", polars_frame, needs="polars", copied=True),
        Kind("pyarrow Table", arrow_table, needs="pyarrow", copied=True),
        Kind("pyarrow tensors of fixed shape", arrow_tensors, needs="pyarrow"),
        Kind("pyarrow lists of fixed size", arrow_lists, needs="pyarrow", copied=True),
        Kind("torch, on the CPU", tensor, needs="torch"),
        Kind("torch, requires a gradient", lambda a: tensor(a, "float64").requires_grad_(a.dtype.kind == "f"),
             needs="torch"),
        Kind("torch, transposed", lambda a: tensor(a.T.copy()).T if a.ndim == 2 else tensor(a), needs="torch"),
        Kind("torch, float16", lambda a: tensor(a, "float16"), needs="torch", dtype="float16"),
        Kind("torch, bfloat16", lambda a: tensor(a, "bfloat16"), needs="torch", dtype="bfloat16"),
    )
}  # fmt: skip

ACTIVATIONS = [name for name in ("softmax", "log_softmax", "logsumexp", "sigmoid") if name in xn.__all__]
COLUMNS = [*FUNCTIONS, ", ".join(ACTIVATIONS), "torch.cross_entropy"]


def missing(kind: Kind) -> str | None:
    """The module that a kind needs and that is not there."""
    for name in (kind.needs, "ml_dtypes" if kind.dtype == "bfloat16" else ""):
        if name and importlib.util.find_spec(name) is None:
            return name
    return None


def converted(a: np.ndarray, kind: Kind) -> np.ndarray:
    return a.astype(half(kind.dtype)) if a.dtype.kind == "f" else a


def arrays(function: Function | None, kind: Kind) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(targets, predictions, sample weights) whose numbers the kind can hold."""
    rng = np.random.default_rng(5)
    x = rng.uniform(0.1, 0.9, (6, 5))
    y = rng.integers(0, 2, (6, 5)).astype(np.float64)
    if function is None or function.targets == "labels":
        y = rng.integers(0, 5, 6)
    elif function.targets == "rows":
        y = np.full((6, 5), 0.25)
    return (
        converted(y, kind),
        converted(x, kind),
        np.array([1.0, 2.0, 0.5, 0.0, 1.0, 4.0]).astype(half(kind.dtype)),
    )


def made(kind: Kind, a: np.ndarray) -> Any:
    """`a` in this kind. Those of bfloat16 make it from float32, which they know."""
    return kind.make(a.astype(np.float32) if kind.needs == "torch" and a.dtype.name == "bfloat16" else a)


def as_numbers(value: Any) -> np.ndarray:
    """What a kind holds, as a plain array of the dtype that xent_native computes gradients in."""
    return np.array(_problem.prediction(value)[0], order="C")


def same(actual: Any, wanted: Any, what: str) -> None:
    """The order of additions may change with the layout: a few ulp of float32, or of the gradient's dtype."""
    for a, b in zip(actual, wanted, strict=True):
        assert a.dtype == b.dtype, what
        bound = {"float64": 1e-13, "float32": 1e-6, "float16": 2e-3, "bfloat16": 2e-2}[a.dtype.name]
        np.testing.assert_allclose(
            a.astype(np.float64), b.astype(np.float64), rtol=bound, atol=bound, err_msg=what
        )


def run(column: str, kind: Kind) -> None:
    """The check of a cell: AssertionError if a function answers otherwise than with plain arrays."""
    if column in FUNCTIONS:
        check_loss(FUNCTIONS[column], kind)
        return
    y, x, _ = arrays(None, kind)
    value = made(kind, x)
    plain = as_numbers(value)
    if column.startswith("torch"):
        if kind.needs == "torch" and "tensor" in type(value).__name__.lower():
            y = module("torch").from_numpy(y)
        loss = xn.torch.cross_entropy(value, y)
        loss = loss.detach() if hasattr(loss, "detach") else loss
        np.testing.assert_allclose(float(loss), xn.torch.cross_entropy(plain, np.asarray(y)), rtol=1e-2)
        return
    for name in ACTIVATIONS:
        same([getattr(xn, name)(value)], [getattr(xn, name)(plain)], name)


def check_loss(function: Function, kind: Kind) -> None:
    y, x, weight = arrays(function, kind)
    call = getattr(xn, f"{function.name}_value_and_grad")
    value = made(kind, x)
    plain = as_numbers(value)
    for source in function.sources:
        options = {} if function.sources == ("probabilities",) else {"from_logits": source == "logits"}
        wanted = call(y, plain, sample_weight=weight, **options)
        same(call(y, value, sample_weight=weight, **options), wanted, f"y_pred, {source}")
        if not kind.only_predictions:
            same(call(made(kind, y), plain, sample_weight=weight, **options), wanted, f"y_true, {source}")
            found = call(y, plain, sample_weight=made(kind, weight), **options)
            same(found, wanted, f"sample_weight, {source}")


def is_copied(kind: Kind) -> bool:
    """Whether predictions are copied: two conversions of one object then share no memory."""
    _, x, _ = arrays(None, kind)
    value = made(kind, x)
    first, second = (_problem.passable(_problem.prediction(value)[0], 1) for _ in range(2))
    return not np.shares_memory(first, second)
