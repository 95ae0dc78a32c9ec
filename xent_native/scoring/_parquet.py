# SPDX-License-Identifier: BSD-3-Clause
"""Parquet files, a few pages at a time: pyarrow's scanner of datasets would hold whole row groups in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ._arrow import Selection, needed
from ._tables import Lost, Part, Table

__all__ = ["ParquetTable"]

_BUFFER = 1 << 16  # bytes of a column that are read at a time


class ParquetTable(Table):
    """Parquet files with the same columns."""

    def _open(self, path: str) -> tuple[Any, int]:
        with _file(path) as file:
            return file.schema_arrow, file.metadata.num_rows

    def parts(self, path: str, selection: Selection, skip: int, step: int) -> Iterator[Part | Lost]:
        """Rows in batches of `step`; row groups before `skip` are not read."""
        with _file(path) as file:
            group, first = 0, 0
            while group < file.num_row_groups and first + file.metadata.row_group(group).num_rows <= skip:
                first += file.metadata.row_group(group).num_rows
                group += 1
            groups = list(range(group, file.num_row_groups))
            if not groups:
                return
            for batch in file.iter_batches(step, row_groups=groups, columns=selection.columns):
                rows = batch.num_rows
                drop = min(rows, max(0, skip - first))
                if drop < rows:
                    yield Part(first + drop, batch.slice(drop))
                first += rows


def _file(path: str) -> Any:
    needed(path)
    from pyarrow import OSFile, parquet

    return parquet.ParquetFile(
        OSFile(path), buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True
    )
