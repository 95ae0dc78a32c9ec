# SPDX-License-Identifier: BSD-3-Clause
"""CSV files, block by block. Lines are counted, so that an error names the row, and a bad row can be skipped."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import _options
from .._data_errors import DataError
from ._arrow import Selection, is_text, needed, reading, select, shortened
from ._streams import Fault, Names
from ._tables import Lost, Part, Table

__all__ = ["CsvTable"]

_BLOCK = 1 << 20  # bytes that are parsed at a time; a line must fit
_NULLS = ["", "null", "NULL", "NA", "N/A", "#N/A"]  # NaN is a number here
_NUMBER = r"^\s*[+-]?((\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|inf|Inf|nan|NaN|infinity)\s*$"
_INTEGER = r"^\s*[+-]?\d{1,18}\s*$"
_WHOLE = r"\s*[+-]?[0-9]{1,99}\s*"


class CsvTable(Table):
    """CSV files (TSV by their ending) whose first line names the columns."""

    def _open(self, path: str) -> tuple[Any, None]:
        if not os.path.getsize(path):
            raise DataError(f"{path}: is empty: its first line must name the columns")
        with self._reader(path, {}, None, []) as reader:
            return reader.schema, None

    def select(self, roles: dict[str, Any], classes: Sequence[str] | None) -> Selection:
        """Columns for roles; what they hold follows from their roles, as a bad value may hide it."""
        pa = needed(self.name)
        selection = select(self.name, self.schema, roles)
        if "predictions" in roles and roles["predictions"] is None:
            taken = {selection.labels, selection.weights, selection.groups}
            rest = [one for one in self.schema.names if one not in taken]
            if list(selection.predictions) != rest:
                raise DataError(
                    f"{self.name}: say which columns hold the predictions (columns, --columns); "
                    f"not all of the others hold fractions: {', '.join(map(repr, rest[:12]))}"
                )
        kinds = dict.fromkeys((*selection.predictions, selection.weights), pa.float64())
        if selection.labels:
            names = classes or selection.names
            texts = self._has_names(selection.labels, set(names), classes is not None)
            kinds[selection.labels] = pa.string() if texts else pa.int64()
        if selection.groups and not pa.types.is_integer(self.schema.field(selection.groups).type):
            kinds[selection.groups] = pa.string()
        self.schema = pa.schema([(one.name, kinds.get(one.name, one.type)) for one in self.schema])
        return selection

    def _has_names(self, column: str, names: set[str], explicit: bool) -> bool:
        """Whether labels are names of classes: if one of the first block is, or if they are text that must be."""
        types = {column: needed(self.name).string()}
        with self._reader(self.paths[0], types, [column], []) as reader:
            batch = _next(self.paths[0], reader)
        if names == {str(k) for k in range(len(names))}:
            return False  # then they are indices, too
        if batch is not None and not names.isdisjoint(batch.column(0).unique().to_pylist()):
            return True
        return explicit and is_text(self.schema.field(column).type)

    def parts(
        self, path: str, selection: Selection, skip: int, step: int, whole: int = 0
    ) -> Iterator[Part | Lost]:
        """Rows of one block at a time, and between them those that are no rows."""
        bad: list[tuple[int, str]] = []
        first = 0
        with self._reader(path, self._types(selection), selection.columns, bad) as reader:
            while True:
                batch = _next(path, reader)
                if batch is None:
                    break
                for part in _between(path, batch, first, bad):
                    first = part.first + (part.rows if isinstance(part, Lost) else part.batch.num_rows)
                    kept = _from_row(part, skip)
                    if kept is not None:
                        yield self._numbers(kept, selection)
        while bad:
            row, text = bad.pop(0)
            first = row + 1
            if row >= skip:
                yield Lost(row, 1, f"{path}: row {row}: {text}")
        yield Lost(first, 0, "")  # where the file ends, which nothing else says

    def _types(self, selection: Selection) -> dict[str, Any]:
        """What is asked of each column; text where a value that is no number must not end everything."""
        text = needed(self.name).string()
        kinds = {column: self.schema.field(column).type for column in selection.columns}
        return dict.fromkeys(kinds, text) if self.skip else kinds

    def _numbers(self, part: Part | Lost, selection: Selection) -> Part | Lost:
        """Text that was read for numbers as numbers; null where it is none."""
        if not self.skip or isinstance(part, Lost):
            return part
        arrays = []
        for column in selection.columns:
            array, kind = part.batch.column(column), self.schema.field(column).type
            if not is_text(kind) and column != selection.groups:
                array = _parsed(array, kind, _NUMBER if str(kind) == "double" else _INTEGER)
            arrays.append(array)
        return Part(part.first, needed(self.name).RecordBatch.from_arrays(arrays, names=selection.columns))

    def convert(
        self, batch: Any, selection: Selection, names: Names | None, classes: int
    ) -> tuple[dict[str, np.ndarray], tuple[Fault, ...]]:
        """Columns of a part by role; a group that is text among integers is a fault of its row, and no null."""
        columns, faults = super().convert(batch, selection, names, classes)
        group = selection.groups
        if not self.skip or not group or is_text(self.schema.field(group).type):
            return columns, faults
        texts = columns["groups"]
        values = {text: _integer(text) for text in set(texts.tolist())}
        wrong = np.array([values[text] is None and text not in (None, *_NULLS) for text in texts], bool)
        columns["groups"] = np.array([values[text] for text in texts], object)
        if not wrong.any():
            return columns, faults
        fault = Fault(
            np.flatnonzero(wrong),
            lambda row: f"column {group!r} holds {_options.shown(texts[row])}, which is no integer",
            "groups",
        )
        return columns, (*faults, fault)

    def _reader(
        self, path: str, types: dict[str, Any], columns: list[str] | None, bad: list[tuple[int, str]]
    ) -> Any:
        needed(path)
        from pyarrow import csv

        def invalid(row: Any) -> str:
            bad.append((row.number - 2, f"has {row.actual_columns} values, not {row.expected_columns}"))
            return "skip"

        tabs = path.lower().removesuffix(".gz").endswith((".tsv", ".tab"))
        with _reading_lines(path):
            return csv.open_csv(
                path,
                csv.ReadOptions(
                    use_threads=False, block_size=_BLOCK
                ),  # threads would lose count of the lines
                # A line with text that is none ends in an error, as pyarrow does not show it to the handler.
                csv.ParseOptions(
                    delimiter="\t" if tabs else ",", invalid_row_handler=invalid if self.skip else None
                ),
                csv.ConvertOptions(column_types=types, include_columns=columns, null_values=_NULLS),
            )


def _next(path: str, reader: Any) -> Any:
    """The rows of the next block, or None at the end."""
    with _reading_lines(path):
        return next(iter(reader), None)


@contextlib.contextmanager
def _reading_lines(path: str) -> Iterator[None]:
    with reading(path):
        try:
            yield
        except ValueError as error:
            raise _row_error(path, str(error)) from None


def _row_error(path: str, text: str) -> DataError:
    """What pyarrow says of a bad line, with its row counted as everywhere here: from 0, after the names."""
    found = re.search(r"Row #(\d+): (.*)", text, re.DOTALL)
    if found is None:
        return DataError(f"{path}: {shortened(text)}")
    column = re.match(r"In CSV column #(\d+)", text)
    where = f"column {column[1]}: " if column else ""
    return DataError(f"{path}: row {int(found[1]) - 2}: {where}{shortened(found[2])}")


def _parsed(array: Any, kind: Any, pattern: str) -> Any:
    from pyarrow import compute

    good = compute.fill_null(compute.match_substring_regex(array, pattern), False)
    text = compute.utf8_trim_whitespace(compute.if_else(good, array, None))
    return text.cast(kind)


def _integer(text: str | None) -> int | None:
    """The integer of 64 bits that a text says, or None."""
    if text is None or not re.fullmatch(_WHOLE, text):
        return None
    value = int(text)
    return value if -(2**63) <= value < 2**63 else None


def _between(path: str, batch: Any, first: int, bad: list[tuple[int, str]]) -> Iterator[Part | Lost]:
    """The rows of a batch, cut where lines that are no rows lie between them; those leave the list."""
    taken = 0
    while taken < batch.num_rows:
        until = batch.num_rows - taken
        if bad and bad[0][0] == first:
            row, text = bad.pop(0)
            yield Lost(row, 1, f"{path}: row {row}: {text}")
            first += 1
            continue
        if bad:
            until = min(until, bad[0][0] - first)
        yield Part(first, batch.slice(taken, until))
        taken += until
        first += until


def _from_row(part: Part | Lost, skip: int) -> Part | Lost | None:
    """What of a part is at or after row `skip`."""
    if isinstance(part, Lost):
        return part if part.first >= skip else None
    drop = min(part.batch.num_rows, max(0, skip - part.first))
    return None if drop == part.batch.num_rows else Part(part.first + drop, part.batch.slice(drop))
