# SPDX-License-Identifier: BSD-3-Clause
"""Options that are numbers, names or flags: checked, and brought to Python's own types.

Whatever object comes, and whatever its methods raise, the answer is a value or an error that names the option.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from . import _foreign
from ._core import REDUCTIONS

_MOST_SHOWN = 200  # characters of a value in an error


def shown(value: Any) -> str:
    """A value as errors show it."""
    try:
        if isinstance(value, np.str_ | np.bytes_):
            value = value.item()
        text = str(value) if isinstance(value, np.generic) else repr(value)  # 1.5, not np.float64(1.5)
    except Exception:  # such as of an int with more digits than Python writes
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def integer(value: Any) -> int:
    """An integer of any type, but a bool; TypeError for anything else."""
    if isinstance(value, bool | np.bool_):
        raise TypeError
    return int(_asked(operator.index, value))


def number(value: Any) -> float:
    """A real number of any type, but a bool; inf for an int that no float can hold; TypeError for anything else."""
    kind = type(value)
    is_one = hasattr(kind, "__float__") or hasattr(kind, "__index__")  # float() takes text, too
    if not is_one or isinstance(value, bool | np.bool_) or _foreign.is_masked_array(value):
        raise TypeError
    try:
        return float(_asked(float, value))
    except OverflowError:
        return math.inf


def count(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """An integer from `least` up to `most`; TypeError for what is no integer, ValueError for one out of range."""
    kind: type[Exception] = ValueError
    found = value
    try:
        found = integer(value)
        if found >= least and (most is None or found <= most):
            return found
    except (TypeError, OverflowError):
        kind = TypeError
    expected = f"an integer of at least {least}" if most is None else f"an integer in [{least}, {most}]"
    raise kind(f"{name} must be {expected}; got {shown(found)}")


def real(name: str, value: Any, expected: str = "a number") -> float:
    """A real number of any type; TypeError, that `name` must be what is expected, for anything else."""
    try:
        return number(value)
    except TypeError:
        raise TypeError(f"{name} must be {expected}; got {shown(value)}") from None


def flag(name: str, value: Any) -> bool:
    """Whether an option is true; ValueError if it is neither true nor false."""
    try:
        return bool(value)
    except Exception as error:
        raise ValueError(f"{name} must be true or false; got {shown(value)}") from error


def _asked(method: Callable[[Any], Any], value: Any) -> Any:
    """What an object says, or a TypeError."""
    try:
        return method(value)
    except (TypeError, OverflowError, MemoryError):
        raise
    except Exception as error:
        raise TypeError from error


def axis_number(axis: Any) -> int:
    """`axis` as an int, whatever arrays it is for."""
    try:
        return integer(axis)
    except (TypeError, OverflowError):
        raise ValueError(
            f"axis must be an integer; got {shown(axis)} of type {type(axis).__name__}"
        ) from None


def focal_options(balancing: Any, alpha: Any, gamma: Any) -> tuple[bool, float, float]:
    """Whether the classes are balanced, `alpha` in [0, 1], and a finite `gamma` of at least 0."""
    return (
        flag("apply_class_balancing", balancing),
        _fraction("alpha", alpha, 1.0),
        finite_number("gamma", gamma, 0.0),
    )


def finite_number(name: str, value: Any, least: float = -math.inf) -> float:
    """A finite number that is not below `least`, such as `gamma`."""
    bound = "" if least == -math.inf else f", at least {least:g}"
    try:
        found = number(value)
    except TypeError:
        raise TypeError(f"{name} must be a finite number{bound}; got {shown(value)}") from None
    if not (math.isfinite(found) and found >= least):
        raise ValueError(f"{name} must be a finite number{bound}; got {found!r}")
    return found


def label_number(value: Any) -> int | None:
    """`ignore_class` as an int, whatever labels it is for, or None."""
    if value is None:
        return None
    try:
        return integer(value)
    except (TypeError, OverflowError):
        is_reduction = type(value) is str and value in REDUCTIONS
        hint = f": a reduction is given by its name, reduction={value!r}" if is_reduction else ""
        raise ValueError(f"ignore_class must be an integer or None; got {shown(value)}{hint}") from None


def ignored_class(value: Any, label_dtype: np.dtype) -> int | None:
    """`ignore_class` as an int, or None if no label of this dtype can equal it."""
    ignored = label_number(value)
    limits = np.iinfo(label_dtype)
    return ignored if ignored is not None and limits.min <= ignored <= limits.max else None


def smoothing(value: Any) -> float:
    """`label_smoothing` in [0, 1]."""
    return _fraction("label_smoothing", value, 1.0)


def clip_epsilon(value: Any, name: str = "epsilon") -> float:
    """`epsilon` in [0, 0.5)."""
    epsilon = _fraction(name, value, 0.5)
    if epsilon == 0.5:
        raise ValueError(f"{name} must be less than 0.5; got 0.5")
    return epsilon


def _fraction(name: str, value: Any, most: float) -> float:
    try:
        found = number(value)
    except TypeError:
        raise TypeError(f"{name} must be a number in [0, {most:g}]; got {shown(value)}") from None
    if not 0.0 <= found <= most:
        raise ValueError(f"{name} must lie in [0, {most:g}]; got {found!r}")
    return found


def reduction_code(value: Any) -> int:
    """The code of a reduction's name."""
    if value is None or isinstance(value, str):
        code = REDUCTIONS.get(
            None if value is None else str.__str__(value)
        )  # a subclass may hash as it likes
        if code is not None:
            return code
    choices = ", ".join(repr(choice) for choice in REDUCTIONS)
    raise ValueError(f"reduction must be one of {choices}; got {shown(value)}")
