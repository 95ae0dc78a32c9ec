# SPDX-License-Identifier: BSD-3-Clause
"""What to score: which file or array each role comes from, opened and held against each other."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _foreign, _problem
from .._data_errors import DataError, DataTypeError
from .._npy import NpyFile
from ._csv import CsvTable
from ._ipc import IpcTable
from ._npz import NpzFile
from ._parquet import ParquetTable
from ._streams import ArrayStream, Chunk, Identity, Names, Stream, chunks, fingerprint
from ._tables import Table, TableStream

__all__ = ["Inputs", "Request", "opened"]

_MOST_EMPTY_CLASSES = 1 << 16  # of predictions without rows: then no file's size vouches for them
_TABLES: dict[str, type[Table]] = {
    ".parquet": ParquetTable,
    ".pq": ParquetTable,
    ".arrow": IpcTable,
    ".feather": IpcTable,
    ".ipc": IpcTable,
    ".csv": CsvTable,
    ".tsv": CsvTable,
    ".tab": CsvTable,
    ".csv.gz": CsvTable,
    ".tsv.gz": CsvTable,
}
_MAGIC = {b"PAR1": ".parquet", b"ARRO": ".arrow", b"PK\x03\x04": ".npz", b"PK\x05\x06": ".npz"}


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments that say what is scored, as :func:`xent_native.scoring.score` takes them."""

    predictions: Any
    labels: Any = None
    weights: Any = None
    group_by: Any = None
    columns: Any = None
    label_column: str | None = None
    weight_column: str | None = None
    classes: Sequence[str] | None = None
    skip: bool = False


class Inputs:
    """Open streams of all roles."""

    def __init__(
        self,
        streams: list[Stream],
        classes: int,
        row_bytes: int,
        values: dict[str, Any],
        class_names: Sequence[str] | None,
    ) -> None:
        self.main = next(one for one in streams if "predictions" in one.roles)
        self.others = [one for one in streams if one is not self.main]
        self.classes, self.row_bytes = classes, row_bytes
        self.class_names = None if class_names is None else list(class_names)
        self._values = values  # by name: paths and arrays, whose identity is asked for
        self._known = self._files()

    @property
    def rows(self) -> int | None:
        """How many rows there are, if the predictions say so."""
        return self.main.rows

    @property
    def roles(self) -> set[str]:
        """What the streams hold."""
        return {role for one in (self.main, *self.others) for role in one.roles}

    def chunks(self, step: int, skip: int = 0) -> Iterator[Chunk]:
        """Rows of all streams from row `skip` on."""
        if skip:
            for one in (self.main, *self.others):
                one.skip(skip)
        return chunks(self.main, self.others, step)

    def leave_whole(self, nbytes: int) -> None:
        """Let threads read parts of the predictions' file for themselves, of at most so many bytes."""
        if isinstance(self.main, TableStream):
            self.main.leave_whole(nbytes)

    def identity(self) -> list[Identity]:
        """What tells these files and arrays from others."""
        names = {"predictions", *getattr(self.main, "paths", [self.main.name])}
        return [
            fingerprint(name, value, predictions=name in names or f"{name}[" in self.main.name)
            for name, value in self._values.items()
        ]

    def _files(self) -> dict[str, tuple[int, int]]:
        paths = {name: value for name, value in self._values.items() if not isinstance(value, np.ndarray)}
        states = {name: os.stat(path) for name, path in paths.items()}
        return {name: (state.st_size, state.st_mtime_ns) for name, state in states.items()}

    def check_unchanged(self) -> None:
        """DataError if a file is not what it was when it was opened: the rows may be of two versions."""
        for name, state in self._files().items():
            if state != self._known[name]:
                raise DataError(f"{name}: changed while it was read; is it being written?")


@contextlib.contextmanager
def opened(request: Request) -> Iterator[Inputs]:
    """Open what a request names.

    Raises
    ------
    DataError, DataTypeError, OSError, TypeError, ModuleNotFoundError
        If something is missing, damaged or does not fit, as far as that shows before rows are read.
    """
    with contextlib.ExitStack() as stack:
        yield _Opening(request, stack).inputs()


class _Array:
    """An array in memory as a source."""

    def __init__(self, name: str, value: Any, *, text: bool) -> None:
        self.name = name
        self.array = (_foreign.as_ndarray if text else _problem.as_array)(name, value)
        self.shape, self.dtype = self.array.shape, self.array.dtype

    def rows(self, first: int, count: int) -> np.ndarray:
        return self.array[first : first + count]


class _Opening:
    """The work of :func:`opened`."""

    def __init__(self, request: Request, stack: contextlib.ExitStack) -> None:
        self.request, self.stack = request, stack
        self.files: dict[str, Any] = {}  # by path: NpyFile, NpzFile or Table
        self.roles: dict[str, dict[str, Any]] = {}  # by path: roles and their columns
        self.arrays: dict[str, Any] = {}  # by role: sources of whole arrays
        self.values: dict[str, Any] = {}

    def inputs(self) -> Inputs:
        """Assign roles to files, then open the streams."""
        request = self.request
        self._assign("predictions", request.predictions, request.columns)
        if request.labels is None and request.label_column is None:
            raise TypeError("labels must be an array, a file or, with label_column, a column; got None")
        self._assign("labels", request.labels, request.label_column)
        if request.weights is not None or request.weight_column is not None:
            self._assign("weights", request.weights, request.weight_column)
        if isinstance(request.group_by, str) and not request.group_by.endswith(".npy"):
            self._assign("groups", None, request.group_by)
        elif request.group_by is not None:
            self._assign("groups", request.group_by, None)
        return self._streams()

    def _assign(self, role: str, value: Any, column: Any) -> None:
        """Note where a role comes from; a column without a file is of the predictions' file, or the labels'."""
        if value is None and role != "predictions":
            path = self._file_with(role, column)
        elif isinstance(value, str | os.PathLike):
            path = os.fsdecode(value)
            self._open(path, text=self._may_be_text(role))
        else:
            if column is not None:
                raise DataError(f"{role}: an array has no column {column!r}")
            name = "group_by" if role == "groups" else role
            mixed = role == "groups" and isinstance(
                value, list | tuple
            )  # whose values NumPy would make alike
            text = role == "groups" or (role == "labels" and self.request.classes is not None)
            source = _Array(name, np.array(value, dtype=object) if mixed else value, text=text)
            self.arrays[role] = source
            self.values[name] = source.array
            return
        if isinstance(self.files[path], NpyFile):
            if column is not None:
                raise DataError(f"{path}: a .npy file has no column {column!r}")
            self.arrays[role] = self.files[path]
        else:
            self.roles.setdefault(path, {})[role] = column

    def _may_be_text(self, role: str) -> bool:
        return role == "groups" or (role == "labels" and self.request.classes is not None)

    def _file_with(self, role: str, column: Any) -> str:
        tables = {path: file for path, file in self.files.items() if not isinstance(file, NpyFile)}
        if not tables:
            raise DataError(f"{role}: there is no column {column!r}, as no file has columns")
        for path, file in tables.items():
            if column in file.names:
                return path
        path, file = next(iter(tables.items()))
        there = ", ".join(map(repr, file.names[:12])) + (", ..." if len(file.names) > 12 else "")
        raise DataError(f"{path}: there is no column {column!r}; there are {there}")

    def _open(self, path: str, *, text: bool) -> None:
        if path in self.files:
            return
        kind, paths = _format(path)
        file: Any
        if kind == ".npy":
            file = self.stack.enter_context(NpyFile(path, text=text))
        elif kind == ".npz":
            file = NpzFile(path)
        else:
            file = _TABLES[kind](paths, skip=self.request.skip)
        self.files[path] = file
        self.values.update({one: one for one in getattr(file, "paths", [path])})

    def _streams(self) -> Inputs:
        """The streams; their classes and rows must agree."""
        classes, names, selections = 0, self.request.classes, {}
        for path, roles in self.roles.items():
            file = self.files[path]
            if isinstance(file, NpzFile):
                for role, member in self._members(file, roles).items():
                    self.arrays[role] = file.array(member, text=self._may_be_text(role))
                    self.stack.callback(getattr(self.arrays[role], "close", lambda: None))
            else:
                selections[path] = selection = file.select(roles, self.request.classes)
                if selection.predictions:
                    classes = file.classes(selection)
                    if classes == 0:
                        raise DataError(f"{path}: predictions must have at least one class")
                    names = names or (selection.names if len(selection.names) > 1 else None)
        if "predictions" in self.arrays:
            classes = _check_predictions(self.arrays["predictions"])
        if self.request.classes is not None and len(self.request.classes) != classes:
            raise DataError(
                f"{self._name()}: classes must name {classes} classes; got {len(self.request.classes)}"
            )
        known = None if names is None else Names(names)
        streams: list[Stream] = []
        for path, selection in selections.items():
            streams.append(TableStream(self.files[path], selection, known, classes))
            self.stack.callback(streams[-1].close)
        for role, source in self.arrays.items():
            streams.append(ArrayStream(source, role, names=known))
        inputs = Inputs(streams, classes, self._row_bytes(classes), self.values, names)
        for role, source in self.arrays.items():
            if role != "predictions":
                _check_column(role, source, inputs.main, known)
        return inputs

    def _name(self) -> str:
        predictions = self.request.predictions
        return os.fsdecode(predictions) if isinstance(predictions, str | os.PathLike) else "predictions"

    def _members(self, file: NpzFile, roles: dict[str, Any]) -> dict[str, str]:
        """The arrays of a .npz file for roles; the only one that is left will do without its name."""
        found = {role: member for role, member in roles.items() if member is not None}
        if not isinstance(found.get("predictions", ""), str):
            (found["predictions"],) = found["predictions"] if len(found["predictions"]) == 1 else ("",)
        rest = [name for name in file.names if name not in found.values()]
        for role in roles:
            if role not in found:
                if len(rest) != 1:
                    there = ", ".join(map(repr, rest[:12])) or "none"
                    raise DataError(f"{file.name}: say which array holds the {role}; there are {there}")
                found[role] = rest[0]
        return found

    def _row_bytes(self, classes: int) -> int:
        source = self.arrays.get("predictions")
        return classes * (8 if source is None else source.dtype.itemsize)


def _format(path: str) -> tuple[str, list[str]]:
    """The format of a file by its ending, or of its first bytes; of a folder the files in it."""
    if os.path.isdir(path):
        return _folder(path)
    ending = _ending(path)
    if ending is None:
        with open(
            path, "rb", opener=lambda p, flags: os.open(p, flags | getattr(os, "O_NONBLOCK", 0))
        ) as file:
            ending = _MAGIC.get(file.read(4) or b"", ".npy")
    elif ending != ".npy":
        os.stat(path)  # pyarrow's errors do not all name the file
    return ending, [path]


def _ending(path: str) -> str | None:
    lower = path.lower()
    return next((end for end in (".npy", ".npz", *_TABLES) if lower.endswith(end)), None)


def _folder(path: str) -> tuple[str, list[str]]:
    found = []
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(one for one in folders if not one.startswith((".", "_")))
        found += [os.path.join(folder, one) for one in sorted(files) if not one.startswith((".", "_"))]
    tables = [one for one in found if _ending(one) in _TABLES]
    if not tables:
        raise IsADirectoryError(errno.EISDIR, "a folder without Parquet, Arrow or CSV files", path)
    kinds = {_TABLES[str(_ending(one))] for one in tables}
    if len(kinds) > 1 or len(tables) < len(found):
        odd = next(one for one in found if _ending(one) not in _TABLES or len(kinds) > 1)
        raise DataError(
            f"{path}: the files in a folder must be of one format; there is {os.path.basename(odd)}"
        )
    return str(_ending(tables[0])), tables


def _check_predictions(x: Any) -> int:
    if len(x.shape) != 2:
        raise DataError(f"{x.name}: predictions must have shape (rows, classes); got {x.shape}")
    rows, classes = x.shape
    if classes == 0:
        raise DataError(f"{x.name}: predictions must have at least one class; got shape {x.shape}")
    if rows == 0 and classes > _MOST_EMPTY_CLASSES:
        raise DataError(
            f"{x.name}: there are no rows, but {classes} classes, each of which would take memory"
        )
    if x.dtype.kind == "b" or x.dtype.itemsize > 8 or x.dtype.kind in "cOUSmM":
        raise DataTypeError(f"{x.name}: predictions must be float64 or smaller; got dtype {x.dtype}")
    return int(classes)


def _check_column(role: str, y: Any, x: Stream, names: Names | None) -> None:
    """Refuse labels, weights or groups that do not fit, before any row is read."""
    kinds, words = {
        "labels": ("iu" if names is None else "iuUO", "integers" if names is None else "integers or names"),
        "weights": ("fiu", "numbers"),
        "groups": ("iubUO", "integers, strings or booleans"),
    }[role]
    if y.dtype.kind not in kinds or (y.dtype.itemsize > 8 and y.dtype.kind == "f"):
        raise DataTypeError(f"{y.name}: {role} must be {words}; got dtype {y.dtype}")
    rows = y.shape[0] if x.rows is None and y.shape else x.rows
    if y.shape not in ((rows,), (rows, 1)):
        raise DataError(
            f"{y.name}: {role} must have shape ({rows},), one for each row of {x.name}; got {y.shape}"
        )
