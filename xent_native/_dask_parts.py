# SPDX-License-Identifier: BSD-3-Clause
"""Dask collections and files as tasks that score one partition each."""

from __future__ import annotations

import functools
import glob
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _options
from ._data_errors import DataError
from ._row_inputs import Names as ArrayNames
from .accumulate import LossAccumulator

_ROLES = ("labels", "weights", "groups")
_CALLED = {"labels": "labels", "weights": "weights", "groups": "group_by"}  # by role, the argument


@dataclass(frozen=True, slots=True)
class Parts:
    """Tasks that give an accumulator each, and the graph with the blocks that they take."""

    tasks: list[Any]
    blocks: Mapping[Any, Any]


def found(
    predictions: Any,
    roles: dict[str, Any],
    columns: Any,
    classes: Sequence[str] | None,
    options: dict[str, Any],
) -> Parts:
    """The parts of whatever `predictions` are; TypeError if they are nothing of the kind."""
    dask = needed()
    if dask.is_dask_collection(predictions) and hasattr(predictions, "rechunk"):
        for name, value in (("columns", columns), ("classes", classes)):
            if value is not None:
                raise TypeError(f"{name} is for dataframes and files; predictions are an array")
        return _of_array(predictions, roles, options)
    paths = _paths(predictions)
    if paths is None and not (dask.is_dask_collection(predictions) and hasattr(predictions, "columns")):
        raise TypeError(
            "predictions must be a dask array, a dask dataframe, or paths of files; got "
            f"{_options.shown(predictions)}; what is in memory is scored by xent_native.scoring.score"
        )
    wanted = _Columns({"predictions": columns, **roles}, classes)
    for role in _ROLES:
        if not isinstance(roles[role], str | None):
            raise TypeError(
                f"{_CALLED[role]} must be the name of a column; got {_options.shown(roles[role])}"
            )
    return _of_frame(predictions, wanted, options) if paths is None else _of_files(paths, wanted, options)


def needed() -> Any:
    """The package dask; ModuleNotFoundError that names the extra."""
    try:
        import dask
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "xent_native.dask needs Dask: pip install 'xent-native[dask]'", name=error.name
        ) from None
    return dask


# Arrays


def _of_array(x: Any, roles: dict[str, Any], options: dict[str, Any]) -> Parts:
    """One task a chunk of rows."""
    if x.ndim != 2:
        raise DataError(f"predictions must have shape (rows, classes); got {x.shape}")
    if x.numblocks[1] != 1:
        x = x.rechunk({1: -1})
    if not math.isnan(x.shape[1]):
        options = {"num_classes": x.shape[1], **options}
    present = [role for role in _ROLES if roles[role] is not None]
    arrays = [x, *(_aligned(_CALLED[role], roles[role], x) for role in present)]
    blocks = [_keys(array) for array in arrays]
    run = functools.partial(_score_blocks, options, present)
    tasks = [(run, place, *(keys[place.partition] for keys in blocks)) for place in _places(x.chunks[0])]
    return Parts(tasks, _graph(arrays, blocks))


def _graph(arrays: Sequence[Any], keys: Sequence[Any]) -> Mapping[Any, Any]:
    """The graphs of all arrays, optimized together: what they share is computed once."""
    from dask.highlevelgraph import HighLevelGraph

    whole = HighLevelGraph.merge(*(array.__dask_graph__() for array in arrays))
    graph: Mapping[Any, Any] = arrays[0].__dask_optimize__(whole, [key for some in keys for key in some])
    return graph


def _keys(collection: Any) -> list[Any]:
    """The keys of its blocks; those of an array of two axes come in lists of one."""
    return [key[0] if isinstance(key, list) else key for key in collection.__dask_keys__()]


def _aligned(name: str, column: Any, x: Any) -> Any:
    """A column in the chunks of the predictions' rows."""
    from dask import array

    rows = x.chunks[0]
    unknown = any(map(math.isnan, rows))
    if needed().is_dask_collection(column) and hasattr(column, "to_dask_array"):  # a series
        column = column.to_dask_array()
    elif not isinstance(column, array.Array):
        if unknown:
            raise DataError(
                f"{name} must be a dask array, as the chunks of the predictions have unknown lengths"
            )
        column = array.from_array(np.asarray(column), chunks=-1)
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    here = column.shape == (x.shape[0],) or (column.ndim == 1 and math.isnan(x.shape[0] + column.shape[0]))
    if not here:
        raise DataError(
            f"{name} must have shape ({x.shape[0]},), one for each row of predictions; got {column.shape}"
        )
    if not math.isnan(x.shape[0] + column.shape[0]):
        return column.rechunk((rows,))
    if column.numblocks[0] != x.numblocks[0]:
        raise DataError(
            f"{name} must have the chunks of the predictions where lengths are unknown: "
            f"{x.numblocks[0]} of them; got {column.numblocks[0]}"
        )
    return column


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the rows of a partition are."""

    partition: int
    first: int | None  # the number of its first row, if the lengths of those before it are known

    @property
    def source(self) -> str:
        return "predictions" if self.first is not None else f"partition {self.partition}"

    @property
    def names(self) -> ArrayNames:
        """What errors call the arrays."""
        before = "" if self.first is not None else f"{self.source}: "
        return ArrayNames(f"{before}predictions", f"{before}labels", f"{before}weights", self.first or 0)


def _places(chunks: Sequence[float]) -> list[_Place]:
    if any(map(math.isnan, chunks)):
        return [_Place(i, None) for i in range(len(chunks))]
    return [_Place(i, first) for i, first in enumerate(np.cumsum([0, *chunks[:-1]]).tolist())]


def _score_blocks(
    options: dict[str, Any], roles: Sequence[str], place: _Place, *blocks: Any
) -> LossAccumulator:
    """The task: one accumulator of one partition."""
    columns = dict(zip(("predictions", *roles), blocks, strict=True))
    part = LossAccumulator(**options)
    _update(part, columns, place.source, place.first or 0, place.names)
    return part


def _update(
    part: LossAccumulator, columns: dict[str, Any], source: str, first: int, names: ArrayNames
) -> None:
    scored = part._scored(
        columns["labels"],
        columns["predictions"],
        columns.get("weights"),
        columns.get("groups"),
        source,
        first,
        names,
    )
    part._enter(scored)


# Dataframes and files


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which columns play which role, as the caller has it."""

    roles: dict[str, Any]
    classes: Sequence[str] | None

    def named(self) -> dict[str, Any]:
        """Roles as the sources of :mod:`xent_native.scoring` take them: weights and groups only if there are any."""
        return {role: value for role, value in self.roles.items() if value is not None or role in _ASKED}


_ASKED = ("predictions", "labels")  # roles that are found if nobody names their column


def _of_frame(frame: Any, wanted: _Columns, options: dict[str, Any]) -> Parts:
    """One task a partition, with those columns alone that it needs."""
    there = list(frame.columns)
    for role in _ROLES:
        column = wanted.roles[role]
        if column is not None and column not in there:
            raise DataError(f"{_CALLED[role]}: there is no column {column!r}; there are {there}")
    asked = wanted.roles["predictions"]
    listed = [asked] if isinstance(asked, str) else list(asked or ())
    if listed and not any("*" in column for column in listed):
        for column in listed:
            if column not in there:
                raise DataError(f"columns: there is no column {column!r}; there are {there}")
        if wanted.roles["labels"] is not None:
            others = [wanted.roles[role] for role in _ROLES if wanted.roles[role] is not None]
            frame = frame[list(dict.fromkeys([*listed, *others]))]
    (frame,) = needed().optimize(frame)
    run = functools.partial(_score_frame, options, wanted)
    return Parts([(run, i, key) for i, key in enumerate(_keys(frame))], frame.__dask_graph__())


def _score_frame(options: dict[str, Any], wanted: _Columns, partition: int, frame: Any) -> LossAccumulator:
    """The task: one accumulator of one partition, whose columns go through Arrow as those of files do."""
    from .scoring import _arrow, _rows
    from .scoring._streams import Block, Chunk

    part = LossAccumulator(**options)
    if not len(frame):  # whose columns need not have a type
        return part
    name = f"partition {partition}"
    pa = _arrow.needed(name)
    with _arrow.reading(name):
        batch = pa.RecordBatch.from_pandas(frame, preserve_index=False)
    selection = _arrow.select(name, batch.schema, wanted.named())
    _arrow.check_types(name, batch.schema, selection)
    count = len(selection.predictions)
    if count == 1 and _arrow.is_list(batch.schema.field(selection.predictions[0]).type):
        lengths = batch.column(selection.predictions[0]).drop_null().value_lengths()
        count = options.get("num_classes") or (lengths[0].as_py() if len(lengths) else 1)
    columns, faults = _arrow.convert(batch, selection, _class_names(wanted, selection), count)
    block = Block(name, 0, len(frame), columns, faults)
    pieces = {role: [(0, block)] for role in selection.roles}
    chunk = Chunk(block.rows, columns, pieces, faults)
    _rows.ready(part, chunk, _kept(options, count), None, skip=False).enter(part)
    return part


def _class_names(wanted: _Columns, selection: Any) -> Any:
    from .scoring._streams import Names

    known = wanted.classes or (selection.names if len(selection.names) > 1 else None)
    return None if known is None else Names(known)


def _kept(options: dict[str, Any], classes: int) -> dict[str, Any]:
    """What the scorer asks to know of the accumulator."""
    return {"from_logits": False, "ignore_class": None, **options, "classes": classes}


def _paths(value: Any) -> list[str] | None:
    """The files that a path, a pattern or a list of them names; None if it is nothing of the kind."""
    values = value if isinstance(value, list | tuple) else [value]
    if not values or not all(isinstance(one, str | os.PathLike) for one in values):
        return None
    paths: list[str] = []
    for one in map(os.fsdecode, values):
        matches = (
            sorted(glob.glob(one, recursive=True))
            if glob.has_magic(one) and not os.path.exists(one)
            else [one]
        )
        if not matches:
            raise FileNotFoundError(f"predictions: no file fits {one}")
        paths += matches
    return paths


def _of_files(paths: list[str], wanted: _Columns, options: dict[str, Any]) -> Parts:
    """One task a row group of a Parquet file, or a file of another format."""
    from .scoring import _open

    tasks: list[Any] = []
    for path in paths:
        kind, files = _open._format(path)
        if kind not in _open._TABLES:
            raise DataError(
                f"{path}: must be Parquet, Arrow or CSV; others are scored by xent_native.scoring.score"
            )
        run = functools.partial(_score_rows, options, wanted, kind)
        for file in files:
            tasks += [(run, file, first, rows) for first, rows in _row_groups(kind, file)]
    return Parts(tasks, {})


def _row_groups(kind: str, path: str) -> list[tuple[int, int | None]]:
    """(first row, rows) of each; of files without any, of the file, however many rows it has."""
    from .scoring import _arrow, _open, _parquet

    if _open._TABLES[kind] is not _parquet.ParquetTable:
        return [(0, None)]
    with _arrow.reading(path), _parquet._file(path) as file:
        rows = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    firsts = np.cumsum([0, *rows]).tolist()
    return list(zip(firsts, rows, strict=False)) or [(0, 0)]


def _score_rows(
    options: dict[str, Any], wanted: _Columns, kind: str, path: str, first: int, rows: int | None
) -> LossAccumulator:
    """The task: one accumulator of some rows of a file, read in chunks as on a single machine."""
    from .scoring import _open, _plan, _rows
    from .scoring._streams import chunks
    from .scoring._tables import TableStream

    table = _open._TABLES[kind]([path])
    selection = table.select(wanted.named(), wanted.classes)
    if rows == 0:
        return LossAccumulator(**options)
    count = table.classes(selection)
    part = LossAccumulator(count, **options)
    stream = TableStream(table, selection, _class_names(wanted, selection), count)
    stream.skip(first)
    head = _Head(stream, math.inf if rows is None else rows)
    try:
        for chunk in chunks(head, [], _plan.chunk_rows(None, count * 8)):
            _rows.ready(part, chunk, _kept(options, count), None, skip=False).enter(part)
    finally:
        stream.close()
    return part


class _Head:
    """The first rows of a stream."""

    def __init__(self, stream: Any, rows: float) -> None:
        self.name, self.roles = stream.name, stream.roles
        self.rows: int | None = None
        self._stream, self._left = stream, rows

    def read(self, most: int) -> Any:
        """Return some rows, or None when as many have been read."""
        block = self._stream.read(int(min(most, self._left))) if self._left > 0 else None
        self._left -= block.rows if block is not None else 0
        return block

    def skip(self, rows: int) -> None:
        """Leave rows out."""
        self._stream.skip(rows)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
