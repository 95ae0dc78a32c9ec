# SPDX-License-Identifier: BSD-3-Clause
"""Parquet files, a few pages at a time: pyarrow's scanner of datasets would hold whole row groups in memory."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ._arrow import Selection, needed
from ._tables import Part, Table, Whole

__all__ = ["ParquetTable"]

_BUFFER = 1 << 16  # bytes of a column that are read at a time


class ParquetTable(Table):
    """Parquet files with the same columns."""

    def _open(self, path: str) -> tuple[Any, int]:
        with _file(path) as file:
            return file.schema_arrow, file.metadata.num_rows

    def parts(
        self, path: str, selection: Selection, skip: int, step: int, whole: int = 0
    ) -> Iterator[Part | Whole]:
        """Rows in batches of `step`, but row groups of at most `whole` rows are left whole."""
        with _file(path) as file:
            columns = selection.columns
            for run in _runs(file.metadata, skip, step, whole):
                if run.is_whole:
                    yield Whole(
                        run.first,
                        run.rows,
                        functools.partial(_read, path, file.metadata, run.groups, columns),
                    )
                    continue
                at = run.first
                for batch in file.iter_batches(step, row_groups=run.groups, columns=columns):
                    drop = min(batch.num_rows, max(0, skip - at))
                    if drop < batch.num_rows:
                        yield Part(at + drop, batch.slice(drop))
                    at += batch.num_rows


@dataclass(slots=True)
class _Run:
    """Neighbouring row groups that are read together."""

    first: int
    is_whole: bool
    rows: int = 0
    groups: list[int] = field(default_factory=list)


def _runs(metadata: Any, skip: int, step: int, whole: int) -> Iterator[_Run]:
    """Row groups from row `skip` on: small ones together up to `step` rows, and what is not read whole."""
    first = 0
    run = _Run(0, False)
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        is_whole = skip <= first and rows <= whole
        if is_whole != run.is_whole or (is_whole and run.rows + rows > step):
            if run.groups:
                yield run
            run = _Run(first, is_whole)
        if first + rows > skip:
            if not run.groups:
                run.first = first
            run.groups.append(group)
            run.rows += rows
        first += rows
    if run.groups:
        yield run


def _read(path: str, metadata: Any, groups: list[int], columns: list[str]) -> Any:
    """Some row groups. The file is opened for them, as a reader is not for several threads."""
    with _file(path, metadata) as file:
        table = file.read_row_groups(groups, columns=columns, use_threads=False)
    return (table.combine_chunks().to_batches() or [needed(path).RecordBatch.from_pylist([], table.schema)])[
        0
    ]


def _file(path: str, metadata: Any = None) -> Any:
    needed(path)
    from pyarrow import OSFile, parquet

    return parquet.ParquetFile(
        OSFile(path),
        metadata=metadata,
        buffer_size=_BUFFER,
        pre_buffer=False,
        page_checksum_verification=True,
    )
