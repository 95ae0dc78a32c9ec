# SPDX-License-Identifier: BSD-3-Clause
"""Tables of one file or of many, whatever their format, as streams of rows."""

from __future__ import annotations

import functools
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._data_errors import DataError
from ._arrow import Selection, check_types, convert, is_list, needed, reading, select
from ._errors import SkippedFileWarning
from ._streams import Block, Fault, Names

__all__ = ["Lost", "Part", "Table", "TableStream", "Whole"]


@dataclass(frozen=True, slots=True)
class Part:
    """Neighbouring rows of a file, as Arrow has them."""

    first: int
    batch: Any  # pyarrow.RecordBatch


@dataclass(frozen=True, slots=True)
class Whole:
    """Neighbouring rows of a file that can be read apart from others, by the thread that wants them."""

    first: int
    rows: int
    read: Callable[[], Any]  # gives a pyarrow.RecordBatch


@dataclass(frozen=True, slots=True)
class Lost:
    """Rows of a file that cannot be read, and why."""

    first: int
    rows: int
    reason: str
    rest: bool = False  # whether that is all that was left of the file


class Table(ABC):
    """Files of one format with the same columns.

    Parameters
    ----------
    paths : sequence of str
        The files, in the order of their rows. All are opened once, so that a file that does not fit the others is
        found before any is scored.
    skip : bool
        Whether a file that cannot be read is left out (with a warning), unless it is the only one.
    """

    def __init__(self, paths: Sequence[str], *, skip: bool = False) -> None:
        self.skip = skip
        self.paths: list[str] = []
        self.counts: list[int | None] = []
        self.schema: Any = None
        for path in paths:
            try:
                with reading(path):
                    schema, rows = self._open(path)
                    _ = [*schema.names, *map(str, schema.types)]  # which may be no text at all
                self._fit(path, schema)
            except (DataError, OSError) as error:
                if not skip or len(paths) == 1:
                    raise
                warnings.warn(f"left out: {error}", SkippedFileWarning, stacklevel=2)
                continue
            self.paths.append(path)
            self.counts.append(rows)
        if not self.paths:
            raise DataError(f"{paths[0]}: not one of {len(paths)} files can be read")

    @property
    def name(self) -> str:
        """What errors call the table."""
        return self.paths[0] if len(self.paths) == 1 else os.path.dirname(self.paths[0])

    @property
    def names(self) -> list[str]:
        """Its columns."""
        return list(self.schema.names)

    @property
    def rows(self) -> int | None:
        """How many, if that can be known without reading them."""
        known = [count for count in self.counts if count is not None]
        return sum(known) if len(known) == len(self.counts) else None

    def _fit(self, path: str, schema: Any) -> None:
        if self.schema is None:
            self.schema = schema
            return
        for field in self.schema:
            if field.name not in schema.names:
                raise DataError(f"{path}: there is no column {field.name!r}, which {self.paths[0]} has")
            if schema.field(field.name).type != field.type:
                raise DataError(
                    f"{path}: column {field.name!r} is {schema.field(field.name).type}; "
                    f"in {self.paths[0]} it is {field.type}"
                )

    @abstractmethod
    def _open(self, path: str) -> tuple[Any, int | None]:
        """The schema of a file, and how many rows it has if it says so."""

    @abstractmethod
    def parts(
        self, path: str, selection: Selection, skip: int, step: int, whole: int = 0
    ) -> Iterator[Part | Whole | Lost]:
        """Rows of a file from row `skip` on, with the columns of the selection.

        Some `step` at a time; where the format has parts of its own, those of at most `whole` rows may be left to who
        wants them.
        """

    def select(self, roles: dict[str, Any], classes: Sequence[str] | None) -> Selection:
        """Columns for roles, as :func:`select` finds them; `classes` are names that labels may have."""
        selection = select(self.name, self.schema, roles)
        check_types(self.name, self.schema, selection)
        return selection

    def convert(
        self, batch: Any, selection: Selection, names: Names | None, classes: int
    ) -> tuple[dict[str, np.ndarray], tuple[Fault, ...]]:
        """Columns of a part by role, and the rows that have no value, as :func:`convert` finds them."""
        return convert(batch, selection, names, classes)

    def classes(self, selection: Selection) -> int:
        """How many classes the predictions have; of lists of any length, those of the first row."""
        if len(selection.predictions) != 1:
            return len(selection.predictions)
        (column,) = selection.predictions
        kind = self.schema.field(column).type
        if not is_list(kind):
            return 1
        if needed(self.name).types.is_fixed_size_list(kind):
            return int(kind.list_size)
        for path in self.paths:
            with reading(path):
                for part in self.parts(path, Selection(predictions=(column,)), 0, 64):
                    if isinstance(part, Part) and (lists := part.batch.column(0).drop_null()):
                        return len(lists[0])
        raise DataError(
            f"{self.name}: column {column!r} has no row that would say how many classes there are"
        )


class TableStream:
    """The rows of a table with the columns that a selection names."""

    def __init__(self, table: Table, selection: Selection, names: Names | None, classes: int) -> None:
        self.name, self.rows, self.roles = table.name, table.rows, selection.roles
        self.paths = table.paths
        self._table, self._selection, self._names, self._classes = table, selection, names, classes
        self._skip, self._step, self._whole = 0, 1, 0
        self._parts: Iterator[tuple[str, Part | Whole | Lost]] | None = None
        self._rest: tuple[str, Part | Whole | Lost] | None = None

    def skip(self, rows: int) -> None:
        """Leave out the first rows."""
        self._skip += rows

    def leave_whole(self, nbytes: int) -> None:
        """Leave parts of at most so many bytes to the threads that score them, if a damaged one ends it all."""
        if not self._table.skip:
            self._whole = nbytes // (8 * self._classes)

    def close(self) -> None:
        """Let go of the file that is open."""
        if self._parts is not None:
            self._parts.close()  # type: ignore[attr-defined]

    def read(self, most: int) -> Block | None:
        """Return rows of one batch, or of a gap."""
        if self._parts is None:
            self._step = most
            self._parts = self._walk()
        if self._rest is None:
            self._rest = next(self._parts, None)
            if self._rest is None:
                return None
        path, part = self._rest
        if isinstance(part, Lost):
            self._rest = None
            return Block(path, part.first, part.rows, {}, lost=part.reason, rest=part.rest)
        if isinstance(part, Whole):
            self._rest = None
            return Block(path, part.first, part.rows, {}, load=functools.partial(self._load, path, part))
        batch, first = part.batch, part.first
        more = batch.num_rows > most
        self._rest = (path, Part(first + most, batch.slice(most))) if more else None
        batch = batch.slice(0, most)
        with reading(path):
            columns, faults = self._table.convert(batch, self._selection, self._names, self._classes)
        return Block(path, first, batch.num_rows, columns, faults)

    def _load(self, path: str, part: Whole) -> tuple[dict[str, np.ndarray], tuple[Fault, ...]]:
        with reading(path):
            batch = part.read()
            if batch.num_rows != part.rows:
                raise DataError(
                    f"{path}: {batch.num_rows} rows from row {part.first} on, where the file says {part.rows}"
                )
            return self._table.convert(batch, self._selection, self._names, self._classes)

    def _walk(self) -> Iterator[tuple[str, Part | Whole | Lost]]:
        skip = self._skip
        for path, count in zip(self._table.paths, self._table.counts, strict=True):
            if count is not None and skip >= count:
                skip -= count
                continue
            done = skip
            try:
                with reading(path):
                    for part in self._table.parts(path, self._selection, skip, self._step, self._whole):
                        rows = part.batch.num_rows if isinstance(part, Part) else part.rows
                        done = part.first + rows
                        if rows:
                            yield path, part
                if count is not None and done != count:
                    raise DataError(f"{path}: ended at row {done} while it was read; is it being written?")
            except DataError as error:
                if not self._table.skip or len(self._table.paths) == 1 or count is None:
                    raise
                yield path, Lost(done, count - done, str(error), rest=True)
            skip = max(0, skip - done)
