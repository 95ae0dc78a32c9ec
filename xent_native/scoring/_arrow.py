# SPDX-License-Identifier: BSD-3-Clause
"""Columns of Arrow as NumPy arrays, without a copy where their memory allows it, and the rows that are none."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._data_errors import DataError, DataTypeError
from ._streams import Fault, Names

__all__ = [
    "Selection",
    "check_types",
    "convert",
    "is_list",
    "is_text",
    "needed",
    "reading",
    "select",
    "shortened",
]

_MOST_SHOWN = 12  # names of columns in an error
_MOST_CHARACTERS = 300  # of pyarrow's words in an error


def needed(what: str) -> Any:
    """The module pyarrow; ModuleNotFoundError that names the extra."""
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"{what}: this format is read by pyarrow: pip install 'xent-native[parquet]'", name="pyarrow"
        ) from None
    return pyarrow


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """What pyarrow says of a damaged file, as a DataError that names the file."""
    try:
        yield
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(f"{name}: takes more memory than there is: {error}") from None
    except OSError as error:
        if error.errno:  # of the system: no such file, no permission
            error.filename = error.filename or name
            raise
        raise DataError(f"{name}: damaged, or not of this format: {_first_line(error)}") from None
    except (ValueError, TypeError, KeyError, IndexError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{name}: damaged, or not of this format: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return shortened(str(error).partition("\n")[0]) or type(error).__name__


def shortened(text: str) -> str:
    """A text that may hold a value of any length, as far as an error shows it."""
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."


@dataclass(frozen=True, slots=True)
class Selection:
    """Which columns of a table play which role."""

    predictions: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # what the columns call their classes, if there is one for each
    labels: str | None = None
    weights: str | None = None
    groups: str | None = None

    @property
    def columns(self) -> list[str]:
        """All of them, each once."""
        return list(
            dict.fromkeys((*self.predictions, *filter(None, (self.labels, self.weights, self.groups))))
        )

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that have a column."""
        return tuple(role for role in ("predictions", "labels", "weights", "groups") if getattr(self, role))


def select(name: str, schema: Any, roles: dict[str, Any]) -> Selection:
    """Find the columns for roles.

    Parameters
    ----------
    name : str
        The file, for errors.
    schema : pyarrow.Schema
        Its columns.
    roles : dict
        By role a column's name, for predictions also names and patterns such as ``p_*``, or None for the columns
        that no other role has and that can be it.
    """
    taken = {value for role, value in roles.items() if role != "predictions" and value}
    for value in taken:
        _field(name, schema, value)
    found: dict[str, Any] = {role: value for role, value in roles.items() if role != "predictions"}
    if "labels" in found and found["labels"] is None:
        rest = [one for one in schema.names if one not in taken]
        if len(rest) != 1:
            raise DataError(f"{name}: say which column holds the labels; there are {_listed(rest)}")
        found["labels"] = rest[0]
    if "predictions" in roles:
        found["predictions"], found["names"] = _prediction_columns(name, schema, roles["predictions"], taken)
    return Selection(**found)


def _field(name: str, schema: Any, column: str) -> Any:
    indices = schema.get_all_field_indices(column)
    if not indices:
        raise DataError(f"{name}: there is no column {column!r}; there are {_listed(schema.names)}")
    if len(indices) > 1:
        raise DataError(f"{name}: there are {len(indices)} columns {column!r}")
    return schema.field(indices[0])


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_MOST_SHOWN]))
    return (shown + (", ..." if len(names) > _MOST_SHOWN else "")) or "none"


def _prediction_columns(
    name: str, schema: Any, asked: Any, taken: set[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if asked is None:
        free = [field for field in schema if field.name not in taken]
        lists = [field.name for field in free if is_list(field.type) and _is_number(field.type.value_type)]
        if len(lists) > 1:
            raise DataError(f"{name}: say which column holds the predictions; there are {_listed(lists)}")
        chosen = lists or [field.name for field in free if _is_float(field.type)]
        if not chosen:
            raise DataError(f"{name}: no column holds predictions; there are {_listed(schema.names)}")
        return tuple(chosen), tuple(chosen)
    columns: list[str] = []
    names: list[str] = []
    for pattern in [asked] if isinstance(asked, str) else list(asked):
        if pattern in schema.names or "*" not in pattern:
            columns.append(pattern)
            names.append(pattern)
            continue
        head, tail = pattern.partition("*")[0], pattern.rpartition("*")[2]
        fits = [one for one in schema.names if fnmatch.fnmatchcase(one, pattern) and one not in taken]
        if not fits:
            raise DataError(f"{name}: no column fits {pattern!r}; there are {_listed(schema.names)}")
        columns += fits
        names += [one[len(head) : len(one) - len(tail)] for one in fits]
    for column in columns:
        _field(name, schema, column)
    if len(set(columns)) < len(columns):
        raise DataError(f"{name}: a column of predictions is named twice: {_listed(columns)}")
    return tuple(columns), tuple(names)


def is_list(kind: Any) -> bool:
    """Whether a column holds lists."""
    types = needed("").types
    return bool(types.is_fixed_size_list(kind) or types.is_list(kind) or types.is_large_list(kind))


def _is_float(kind: Any) -> bool:
    return bool(needed("").types.is_floating(kind))


def _is_number(kind: Any) -> bool:
    return _is_float(kind) or bool(needed("").types.is_integer(kind))


def is_text(kind: Any) -> bool:
    """Whether a column holds strings, dictionary-encoded or not."""
    types = needed("").types
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind))


def check_types(name: str, schema: Any, selection: Selection) -> None:
    """DataTypeError for a column that cannot play its role."""
    for column in selection.predictions:
        kind = schema.field(column).type
        alone = len(selection.predictions) == 1
        if not _is_number(kind.value_type if alone and is_list(kind) else kind):
            wanted = "numbers, or lists of them" if alone else "numbers"
            raise DataTypeError(f"{name}: column {column!r} must hold {wanted}; got {kind}")
    for role, fits in _ROLE_TYPES.items():
        column = getattr(selection, role)
        if column and not fits(schema.field(column).type):
            kind = schema.field(column).type
            raise DataTypeError(f"{name}: column {column!r}: {role} must be {_ROLE_WORDS[role]}; got {kind}")


def _is_label(kind: Any) -> bool:
    return bool(needed("").types.is_integer(kind)) or is_text(kind)


def _is_group(kind: Any) -> bool:
    types = needed("").types
    return _is_label(kind) or bool(types.is_boolean(kind) or types.is_date(kind))


_ROLE_TYPES: dict[str, Callable[[Any], bool]] = {
    "labels": _is_label,
    "weights": _is_number,
    "groups": _is_group,
}
_ROLE_WORDS = {
    "labels": "integers or names",
    "weights": "numbers",
    "groups": "integers, strings, dates or booleans",
}


def convert(
    batch: Any, selection: Selection, names: Names | None, classes: int
) -> tuple[dict[str, np.ndarray], tuple[Fault, ...]]:
    """Columns of a record batch by role, and the rows that have no value."""
    columns: dict[str, np.ndarray] = {}
    faults: list[Fault] = []
    if selection.predictions:
        arrays = [batch.column(column) for column in selection.predictions]
        if len(arrays) == 1 and is_list(arrays[0].type):
            columns["predictions"], wrong = _lists(arrays[0], selection.predictions[0], classes)
        else:
            columns["predictions"], wrong = _side_by_side(arrays, selection.predictions)
        faults += wrong
    if selection.labels:
        columns["labels"], wrong = _labels(batch.column(selection.labels), selection.labels, names)
        faults += wrong
    if selection.weights:
        array = batch.column(selection.weights)
        columns["weights"] = _numbers(array)
        faults += _nulls(array, selection.weights, "weights")
    if selection.groups:
        columns["groups"] = _groups(batch.column(selection.groups))
    return columns, tuple(faults)


def _nulls(array: Any, column: str, role: str) -> list[Fault]:
    if not array.null_count:
        return []
    rows = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))
    return [Fault(rows, lambda row: f"column {column!r} is null", role)]


def _numbers(array: Any) -> np.ndarray:
    """Numbers as they are, 0 for null."""
    if array.null_count:
        array = array.fill_null(needed("").scalar(0, array.type))
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _lists(array: Any, column: str, classes: int) -> tuple[np.ndarray, list[Fault]]:
    rows = len(array)
    faults = _nulls(array, column, "predictions")
    if needed("").types.is_fixed_size_list(array.type):
        values = array.values.slice(array.offset * classes, rows * classes)
    else:
        offsets = array.offsets.to_numpy()
        lengths = np.diff(offsets)
        odd = np.flatnonzero(lengths != classes)
        if len(odd):
            nulls = array.is_null().to_numpy(zero_copy_only=False)
            wrong = odd[~nulls[odd]]
            if len(wrong):
                faults.append(
                    Fault(
                        wrong,
                        lambda row: (
                            f"column {column!r} has {lengths[row]} values where others have {classes}"
                        ),
                        "predictions",
                    )
                )
            return _ragged(array, offsets[:-1], lengths == classes, classes), faults
        values = array.values.slice(offsets[0], rows * classes) if rows else array.values.slice(0, 0)
    if values.null_count:
        empty = values.is_null().to_numpy(zero_copy_only=False).reshape(rows, classes).any(axis=1)
        if array.null_count:
            empty &= array.is_valid().to_numpy(zero_copy_only=False)
        if empty.any():
            text = f"column {column!r} holds a null"
            faults.append(Fault(np.flatnonzero(empty), lambda row: text, "predictions"))
    return _numbers(values).reshape(rows, classes), faults


def _ragged(array: Any, starts: np.ndarray, good: np.ndarray, classes: int) -> np.ndarray:
    """The lists of the right length; zeros in the rows of the others."""
    values = _numbers(array.values)
    rows = np.zeros((len(array), classes), values.dtype)
    rows[good] = values[starts[good][:, None] + np.arange(classes)]
    return rows


def _side_by_side(arrays: list[Any], columns: Sequence[str]) -> tuple[np.ndarray, list[Fault]]:
    """One column a class: copied into one array in Fortran order, which the kernels read as it is."""
    dtype = np.result_type(*(array.type.to_pandas_dtype() for array in arrays))
    matrix = np.empty((len(arrays), len(arrays[0])), dtype)
    faults: list[Fault] = []
    for k, array in enumerate(arrays):
        matrix[k] = _numbers(array)
        faults += _nulls(array, columns[k], "predictions")
    return matrix.T, faults


def _labels(array: Any, column: str, names: Names | None) -> tuple[np.ndarray, list[Fault]]:
    faults = _nulls(array, column, "labels")
    if not is_text(array.type):
        return _numbers(array), faults
    pa = needed("")
    known = names or Names(())
    compute = _compute()
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    wanted = pa.array(known.names, array.type)
    found = compute.index_in(array, value_set=wanted, skip_nulls=True)
    indices = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    unknown = np.where(array.is_null().to_numpy(zero_copy_only=False), 0, indices)
    return indices, faults + list(known.fault(unknown, lambda row: _shown(array[row])))


def _shown(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except ValueError:  # text that is none
        return scalar.as_buffer().to_pybytes()


def _compute() -> Any:
    import pyarrow.compute

    return pyarrow.compute


def _groups(array: Any) -> np.ndarray:
    """Values of groups; null is a group of its own."""
    pa = needed("")
    if pa.types.is_date(array.type):
        array = array.cast(pa.string())
    if not is_text(array.type) and not array.null_count:
        return np.asarray(array.to_numpy(zero_copy_only=False))
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    values = np.array([*array.dictionary.to_pylist(), None], dtype=object)
    return np.asarray(values[array.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)])
