# SPDX-License-Identifier: BSD-3-Clause
"""The arrays that users give, checked and brought to what _core takes. Options that are no arrays: _options.py.

Each function here takes one argument and returns it ready for use, or raises an exception that names the
argument, what was expected, and what came. Nothing is written before all of them have passed.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import _core, _foreign, _hints, _options
from ._copy import contiguous, converted, fill
from ._core import FLOATS, INTEGERS


def as_array(name: str, value: Any) -> np.ndarray:
    """Any array-like as an ndarray of numbers, without a copy where there is memory to share."""
    array = value if type(value) is np.ndarray else _foreign.as_ndarray(name, value)
    known = array.dtype.kind in "fiub" and array.dtype.fields is None  # integers may have named parts
    if not known and not _core.is_bfloat16(array.dtype):
        hint = _hints.of_names(name, array)
        raise TypeError(f"{name} must hold real numbers; got dtype {array.dtype}{hint}")
    return array


def prediction(value: Any, name: str = "y_pred") -> tuple[np.ndarray, np.dtype]:
    """Logits or probabilities in a dtype that C can read, and the dtype that their gradient shall have.

    Integers become float64.
    """
    array = as_array(name, value)
    if _core.stored_code(array.dtype) >= 0:
        return array, array.dtype
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        raise TypeError(f"{name} must be float64 or smaller; got {array.dtype}")
    if array.dtype.kind == "f" or _core.is_bfloat16(array.dtype):  # the other byte order
        native = array.dtype.newbyteorder("=")
        if _core.stored_code(native) < 0:
            raise TypeError(f"{name} must be float16, bfloat16, float32 or float64; got {array.dtype}")
        return converted(array, native), native
    return converted(array, np.float64), np.dtype(np.float64)


def computed(dtype: np.dtype) -> np.dtype:
    """The dtype that arrays of `dtype` are computed in, which their losses have: float64 or float32."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def class_axis(axis: Any, array: np.ndarray, name: str = "y_pred") -> int:
    """`axis` as a number from 0, an axis that `array` has and that is not empty."""
    index = _options.axis_number(axis)
    if array.ndim == 0:
        raise ValueError(f"{name} must have at least one dimension; got a scalar")
    if not -array.ndim <= index < array.ndim:
        raise ValueError(
            f"axis must lie in [{-array.ndim}, {array.ndim}) for {name} of shape {array.shape}; got {index}"
        )
    index %= array.ndim
    if array.shape[index] == 0:
        raise ValueError(f"{name} must have at least one class; got shape {array.shape} with axis={axis}")
    return index


def passable(array: np.ndarray, axis: int) -> np.ndarray:
    """The array itself if C can walk it: aligned, with evenly spaced rows; else a copy that it can."""
    flags = array.flags
    if flags.aligned and (flags.c_contiguous or _core.collapses(array, axis)):
        return array
    return converted(array, order="C")


def row_shape(array: np.ndarray, axis: int) -> tuple[int, ...]:
    """The shape of what has one value per row: all axes but that of the classes."""
    shape = array.shape
    return shape[:axis] + shape[axis + 1 :]


def integers(name: str, value: Any) -> np.ndarray:
    """Class indices in an integer dtype that C can read, of whatever shape and strides."""
    array = as_array(name, value)
    if array.dtype in INTEGERS:
        return array
    if array.dtype.kind in "iu":  # the other byte order
        return converted(array, array.dtype.newbyteorder("="))
    if array.size == 0 and not isinstance(value, np.ndarray):
        return array.astype(np.int64)
    raise TypeError(f"{name} must hold integer class indices; got dtype {array.dtype}")


def labels(value: Any, x: np.ndarray, axis: int) -> np.ndarray:
    """Class indices of any integer dtype, one per row of `x`."""
    given = as_array("y_true", value)
    try:
        array = integers("y_true", given if given.size else value)
    except TypeError as error:
        raise TypeError(f"{error}{_hints.of_labels(given, x, axis)}") from None
    rows = row_shape(x, axis)
    if array.shape != rows:
        if array.ndim == x.ndim and array.shape[axis] == 1 and row_shape(array, axis) == rows:
            array = array.reshape(rows)
        else:
            raise ValueError(
                f"y_true must have shape {rows}, that of y_pred {x.shape} without axis {axis}; got {array.shape}"
                f"{_hints.of_labels(array, x, axis)}"
            )
    return contiguous(array, array.dtype)


def targets(value: Any, x: np.ndarray, axis: int) -> np.ndarray:
    """Dense targets of the shape of `x`, in its dtype or, where a half type cannot hold them, in float32."""
    array = as_array("y_true", value)
    if array.shape != x.shape:
        hint = _hints.of_targets(array, x, axis)
        raise ValueError(f"y_true must have the shape of y_pred, {x.shape}; got {array.shape}{hint}")
    if array.dtype == x.dtype:
        return passable(array, axis)
    target = converted(array, x.dtype)
    if x.dtype.itemsize == 2 and not _is_same(target, array):
        target = converted(array, np.float32)
    return passable(target, axis)


def _is_same(target: np.ndarray, array: np.ndarray) -> bool:
    """Whether a conversion has lost nothing; in pieces, which stay in the cache."""
    step = max(1, 65536 * len(array) // max(1, array.size))
    pieces = (slice(start, start + step) for start in range(0, len(array), step))
    return all(np.array_equal(converted(target[piece], array.dtype), array[piece]) for piece in pieces)


def sample_weights(value: Any, x: np.ndarray, axis: int) -> np.ndarray | None:
    """Weights as float32 or float64, one per row of `x`."""
    if value is None:
        return None
    array = as_array("sample_weight", value)
    if array.dtype not in FLOATS:
        array = converted(array, np.float64)
    rows = row_shape(x, axis)
    if array.shape != rows:
        array = _fit_weights(array, rows)
    return contiguous(array, array.dtype)


def _fit_weights(array: np.ndarray, rows: tuple[int, ...]) -> np.ndarray:
    """A last axis of length 1 is dropped if it is one too many, or added, as in Keras; then NumPy's broadcasting."""
    shape = array.shape
    fitted = array
    if array.ndim == len(rows) + 1 and array.shape[-1] == 1:
        fitted = array[..., 0]
    elif 0 < array.ndim == len(rows) - 1 and rows[-1] == 1:
        fitted = array[..., None]
    try:
        return np.broadcast_to(fitted, rows)
    except ValueError:
        raise ValueError(
            f"sample_weight must broadcast to one weight per row, shape {rows}; got {shape}"
        ) from None


def class_weights(value: Any, x: np.ndarray, axis: int) -> np.ndarray | None:
    """One weight per class in the dtype that `x` is computed in, from an array or a ``{class: weight}`` mapping."""
    if value is None:
        return None
    classes = x.shape[axis]
    if isinstance(value, Mapping):
        dense = np.ones(classes)
        for key, weight in value.items():
            index = _class_key(key, classes)
            try:
                factor = _options.number(weight)
            except TypeError:
                raise TypeError(
                    f"class_weight must hold real numbers; got {_options.shown(weight)} for class {index}"
                ) from None
            dense[index] = factor
        return converted(dense, computed(x.dtype))
    array = as_array("class_weight", value)
    if array.shape != (classes,):
        raise ValueError(f"class_weight must have shape ({classes},), one per class; got {array.shape}")
    return contiguous(array, computed(x.dtype))


def _class_key(key: Any, classes: int) -> int:
    """The class that a key of a mapping stands for: an integer, or its digits, as JSON writes it."""
    is_number = isinstance(key, int | np.integer)
    is_text = isinstance(key, str) and key.isdecimal() and len(key) < 20
    index = int(key) if is_number or is_text else -1
    if not 0 <= index < classes:
        raise ValueError(f"class_weight must have keys in [0, {classes}); got {_options.shown(key)}")
    return index


def positive_weights(value: Any, x: np.ndarray, axis: int) -> np.ndarray | None:
    """One weight of positives per class in the dtype that `x` is computed in, from a number or an array."""
    if value is None:
        return None
    classes, dtype = x.shape[axis], computed(x.dtype)
    array = as_array("pos_weight", value)
    if array.ndim == 0:
        return np.full(classes, converted(array, dtype))
    if array.shape != (classes,):
        raise ValueError(
            f"pos_weight must be a number or have shape ({classes},), one per class; got shape {array.shape}"
        )
    return contiguous(array, dtype)


def same_rank(y_pred: Any, y_true: Any) -> tuple[Any, Any]:
    """Keras's squeeze_or_expand_to_same_rank: both as they are, or one with a last axis of length 1 more or less."""
    if isinstance(y_pred, np.ndarray) and isinstance(y_true, np.ndarray) and y_pred.ndim == y_true.ndim:
        return y_pred, y_true
    arrays = as_array("y_pred", y_pred), as_array("y_true", y_true)
    shapes = arrays[0].shape, arrays[1].shape
    if abs(len(shapes[0]) - len(shapes[1])) != 1:
        return y_pred, y_true
    longer, shorter = sorted(shapes, key=len, reverse=True)
    if longer[-1] != 1:
        return y_pred, y_true
    expands = len(shorter) == 1
    fitted = [
        array[..., None]
        if expands and array.ndim == len(shorter)
        else array[..., 0]
        if not expands and array.ndim == len(longer)
        else given
        for given, array in zip((y_pred, y_true), arrays, strict=True)
    ]
    return fitted[0], fitted[1]


def reshaped_view(
    name: str, buffer: Any, given: tuple[int, ...], shape: tuple[int, ...]
) -> np.ndarray | None:
    """A caller's buffer of the shape `given` in one with an axis of length 1 more or less."""
    if buffer is None:
        return None
    if not isinstance(buffer, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array; got {type(buffer).__name__}")
    if buffer.shape != given:
        raise ValueError(f"{name} must have the shape of y_pred, {given}; got {buffer.shape}")
    return buffer[..., None] if len(shape) > buffer.ndim else buffer[..., 0]


def kept_weights(name: str, value: Any) -> Any:
    """Weights of classes or positives as a loss keeps them: None, a mapping, a number or an array; copied."""
    if value is None:
        return None
    if isinstance(value, Mapping) and name == "class_weight":
        return {
            key: weight if type(weight) in (int, float) else _plain_number(weight)
            for key, weight in value.items()
        }
    array = as_array(name, value)
    if array.ndim > 1:
        raise ValueError(f"{name} must be one number per class; got shape {array.shape}")
    if array.dtype.itemsize > 8:  # which JSON has not
        array = converted(array, np.float64)
    return array.copy() if array.ndim else array.item()


def _plain_number(value: Any) -> Any:
    """A number of any type as Python's own; what is none is refused where it is used."""
    try:
        return _options.number(value)
    except TypeError:
        return value


def focal_alpha(value: Any) -> float | np.ndarray:
    """`alpha` as a finite float, or as a new array with one for each class."""
    array = converted(as_array("alpha", value), np.float64)
    if array.ndim > 1:
        raise ValueError(f"alpha must be a number or one per class; got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"alpha must be finite; got {_options.shown(value)}")
    return array if array.ndim else float(array)


def balance(
    alpha: Any, factors: np.ndarray | None, x: np.ndarray, axis: int
) -> tuple[float, np.ndarray | None]:
    """`alpha` as one factor of all losses, and the factors of classes, its own and those of their weights."""
    given = focal_alpha(alpha)
    if isinstance(given, float):
        return given, factors
    classes = x.shape[axis]
    if given.shape != (classes,):
        raise ValueError(
            f"alpha must be a number or have shape ({classes},), one per class; got {given.shape}"
        )
    with np.errstate(all="ignore"):
        both = given if factors is None else given * factors
    return 1.0, converted(both, computed(x.dtype))


def warn_of_one_class(x: np.ndarray) -> None:
    """A SyntaxWarning, at the line that called this package."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(f"{__package__}."):
        frame, level = frame.f_back, level + 1
    warnings.warn(
        f"y_pred should have more than one class; got shape {x.shape}, with which every loss from logits is 0. "
        "For a single probability per sample use a binary loss.",
        SyntaxWarning,
        stacklevel=level,
    )


def output(name: str, value: Any, shape: tuple[int, ...], dtypes: tuple[np.dtype, ...]) -> np.ndarray:
    """A caller's buffer: an ndarray of this shape and one of these dtypes that can be written."""
    if not isinstance(value, np.ndarray) or _foreign.is_masked_array(value):
        raise ValueError(f"{name} must be a NumPy array; got {type(value).__name__}")
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {shape}; got {value.shape}")
    if value.dtype not in dtypes:
        expected = " or ".join(str(dtype) for dtype in dtypes)
        raise ValueError(f"{name} must have dtype {expected}; got {value.dtype}")
    if not value.flags.writeable:
        raise ValueError(f"{name} must be writeable; got a read-only array")
    if overlaps_itself(value):
        raise ValueError(f"{name} must not overlap itself; got strides {value.strides} for shape {shape}")
    return value


def overlaps_itself(array: np.ndarray) -> bool:
    """Whether some stride is shorter than what the shorter ones reach over, as where an item stands twice.

    What slices, transposes and reshapes make of an array that does not overlap itself does not either.
    """
    if array.flags.c_contiguous or array.size == 0:
        return False
    reach = array.itemsize
    for stride, size in sorted((abs(s), n) for s, n in zip(array.strides, array.shape, strict=True) if n > 1):
        if stride < reach:
            return True
        reach += stride * (size - 1)
    return False


def refuse_overlap(name: str, buffer: np.ndarray, others: Mapping[str, Any]) -> None:
    """ValueError if a caller's buffer shares memory with another array of the call."""
    for other_name, other in others.items():
        if not isinstance(other, np.ndarray) or not np.may_share_memory(buffer, other):
            continue
        try:
            overlap = np.shares_memory(buffer, other, max_work=10_000)  # type: ignore[arg-type]
        except np.exceptions.TooHardError:
            overlap = True
        if overlap:
            raise ValueError(f"{name} must not overlap {other_name}")


def refuse_overlaps(inputs: dict[str, Any], out: Any, grad_out: Any, hess_out: Any, in_place: bool) -> None:
    buffers = {"out": out, "grad_out": grad_out, "hess_out": hess_out}
    for name, buffer in buffers.items():
        if buffer is None:
            continue
        others = dict(inputs)
        if name == "grad_out" and in_place:
            del others["y_pred"]
        others.update((other, b) for other, b in buffers.items() if other != name)
        refuse_overlap(name, buffer, others)


class Plane:
    """An output with the shape of `y_pred`: what C writes, and how that becomes what the caller gets."""

    __slots__ = ("native", "result")

    def __init__(self, name: str, buffer: Any, x: np.ndarray, axis: int, dtype: np.dtype) -> None:
        self.result: np.ndarray | None = None
        if buffer is None:
            self.native = _core.new_plane(x)
            if dtype != x.dtype:
                self.result = np.empty(x.shape, dtype)
            return
        self.native = self.result = output(name, buffer, x.shape, (dtype,))
        if dtype != x.dtype or passable(buffer, axis) is not buffer:
            self.native = _core.new_plane(x)

    def finish(self) -> np.ndarray:
        if self.result is None:
            return self.native
        if self.result is not self.native:
            fill(self.result, self.native)
        return self.result


class Rows:
    """The loss: one value per row in `buffer` or a new array, or a reduced one."""

    __slots__ = ("native", "reduced", "result")

    def __init__(self, buffer: Any, x: np.ndarray, axis: int, code: int) -> None:
        self.native: np.ndarray | None = None
        self.result: np.ndarray | None = None
        self.reduced = code != 0
        if self.reduced:
            if buffer is not None:
                self.result = output("out", buffer, (), (np.dtype(np.float64), np.dtype(np.float32)))
            return
        rows = row_shape(x, axis)
        if buffer is None:
            self.native = self.result = np.empty(rows, computed(x.dtype))
            return
        self.native = self.result = output("out", buffer, rows, (computed(x.dtype),))
        if not (buffer.flags.c_contiguous and buffer.flags.aligned):
            self.native = np.empty(rows, computed(x.dtype))

    def finish(self, reduced: float) -> Any:
        if self.result is None:
            return reduced
        if self.reduced:
            with np.errstate(all="ignore"):
                self.result[...] = reduced
        elif self.native is not None and self.result is not self.native:
            fill(self.result, self.native)
        return self.result


def place(index: tuple[int, ...]) -> str:
    """A position in an array, in words."""
    return f"index {index[0]}" if len(index) == 1 else f"index {index}"


def label_error(
    error: _core.LabelError,
    x: np.ndarray,
    axis: int,
    ignored: int | None,
    name: str = "y_true",
    option: str = "ignore_class",
) -> IndexError:
    """What the user is told of a label that is out of range; `name` and `option` are theirs."""
    row, label = error.args
    rows = row_shape(x, axis)
    index = tuple(int(i) for i in np.unravel_index(row, rows)) if rows else ()
    allowed = f"[0, {x.shape[axis]})"
    if ignored is not None:
        allowed += f" or equal {option}={_options.shown(ignored)}"
    hint = _hints.of_range(int(label), x.shape[axis], ignored, option)
    return IndexError(f"{name} must lie in {allowed}; got {label} at {place(index)}{hint}")
