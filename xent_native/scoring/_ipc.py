# SPDX-License-Identifier: BSD-3-Clause
"""Arrow files (also called Feather), whose record batches may be as large as the file.

pyarrow reads a record batch as a whole. Of a batch that is large and not compressed it is asked only where its
buffers are (by a map of the file whose data is never touched, as a file that shrinks would end the process), and
parts of them are read into memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .._data_errors import DataError
from ._arrow import Selection, is_list, needed
from ._tables import Lost, Part, Table

__all__ = ["IpcTable"]

_LARGE = 1 << 24  # bytes of a file; smaller ones are read batch by batch


class IpcTable(Table):
    """Arrow files with the same columns."""

    def _open(self, path: str) -> tuple[Any, int | None]:
        with needed(path).OSFile(path) as file:
            schema = needed(path).ipc.open_file(file).schema
        return schema, _count(path)

    def parts(
        self, path: str, selection: Selection, skip: int, step: int, whole: int = 0
    ) -> Iterator[Part | Lost]:
        """Rows of one record batch at a time, or of large ones `step` rows."""
        first = 0
        for batch, rows, read in _batches(path, selection.columns):
            start = min(rows, max(0, skip - first))
            width = rows if read is None else step
            for at in range(start, rows, width):
                count = min(width, rows - at)
                part = batch.slice(at, count) if read is None else _slice(batch, at, count, read)
                for (
                    column
                ) in part.columns:  # offsets and indices of anything but numbers could point anywhere
                    column.validate(full=not _is_plain(column.type))
                yield Part(first + at, part)
            first += rows
        yield Lost(first, 0, "")  # where the file ends, which may be known only now


def _is_plain(kind: Any) -> bool:
    """Whether all there is to a column is numbers side by side."""
    types = needed("").types
    if types.is_fixed_size_list(kind):
        kind = kind.value_type
    return bool(types.is_integer(kind) or types.is_floating(kind))


_Read = Callable[[Any, int, int], Any]  # (buffer of the map, first byte, bytes) to a buffer in memory


def _count(path: str) -> int | None:
    """How many rows there are; None for a large file that is compressed, all of which would have to be read."""
    pa = needed(path)
    large = os.path.getsize(path) > _LARGE
    with pa.memory_map(path) if large else pa.OSFile(path) as file:
        reader = pa.ipc.open_file(file)
        count = reader.num_record_batches
        if large and count and not _is_inside(reader.get_batch(0), file.read_buffer(file.size())):
            return None
        return sum(int(reader.get_batch(index).num_rows) for index in range(count))


def _batches(path: str, columns: list[str]) -> Iterator[tuple[Any, int, _Read | None]]:
    """Record batches, their rows, and how to read parts of those that are only places in the file."""
    pa = needed(path)
    with pa.OSFile(path) as file, open(path, "rb", buffering=0) as raw:
        reader = _reader(file, columns)
        if os.fstat(raw.fileno()).st_size > _LARGE and reader.num_record_batches:
            with pa.memory_map(path) as mapped:
                whole = mapped.read_buffer(mapped.size())
                places = pa.ipc.open_file(mapped)  # asked for columns alone, it would copy them
                if _is_inside(places.get_batch(0).select(columns), whole):
                    for index in range(places.num_record_batches):
                        batch = places.get_batch(index).select(columns)
                        yield batch, batch.num_rows, _reads(path, raw, whole.address)
                    return
        for index in range(reader.num_record_batches):
            batch = reader.get_batch(index)
            yield batch, batch.num_rows, None


def _reader(file: Any, columns: list[str]) -> Any:
    from pyarrow import ipc

    names = ipc.open_file(file).schema.names
    file.seek(0)
    options = ipc.IpcReadOptions(included_fields=[names.index(column) for column in columns])
    return ipc.open_file(file, options=options)


def _is_inside(batch: Any, whole: Any) -> bool:
    """Whether a batch lies in the map as it is; one that was compressed lies elsewhere."""
    return all(
        whole.address <= buffer.address and buffer.address + buffer.size <= whole.address + whole.size
        for array in batch.columns
        for buffer in array.buffers()
        if buffer is not None and buffer.size
    )


def _reads(path: str, raw: Any, base: int) -> _Read:
    def read(buffer: Any, start: int, size: int) -> Any:
        memory = needed(path).allocate_buffer(size)
        view = memoryview(np.frombuffer(memory, np.uint8))  # type: ignore[arg-type]
        if start < 0 or start + size > buffer.size:
            raise DataError(f"{path}: damaged: a column has fewer values than rows")
        raw.seek(buffer.address - base + start)
        done = 0
        while done < size:
            got = raw.readinto(view[done:])
            if not got:
                raise DataError(f"{path}: ended while it was read; is it being written?")
            done += got
        return memory

    return read


def _slice(batch: Any, first: int, rows: int, read: _Read) -> Any:
    arrays = [_part(array, first, rows, read) for array in batch.columns]
    return needed("").RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _part(array: Any, first: int, rows: int, read: _Read) -> Any:
    """Rows of an array that is only places in a file, read into memory."""
    pa = needed("")
    kind, buffers = array.type, array.buffers()
    if pa.types.is_dictionary(kind):
        indices = _part(array.indices, first, rows, read)
        return pa.DictionaryArray.from_arrays(indices, array.dictionary)
    even = first - first % 8  # bits of validity come in bytes
    extra, count = first - even, first - even + rows
    first += array.offset
    valid = None
    if array.null_count:
        valid = read(buffers[0], (even + array.offset) // 8, (count + 7) // 8)
    if pa.types.is_fixed_size_list(kind):
        child = _part(array.values, (even + array.offset) * kind.list_size, count * kind.list_size, read)
        made = pa.Array.from_buffers(kind, count, [valid], children=[child])
    elif is_list(kind):
        offsets, low, high = _offsets(buffers[1], kind, even, count, read)
        child = _part(array.values, low, high - low, read)
        made = pa.Array.from_buffers(kind, count, [valid, offsets], children=[child])
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        offsets, low, high = _offsets(buffers[1], kind, even, count, read)
        made = pa.Array.from_buffers(kind, count, [valid, offsets, read(buffers[2], low, high - low)])
    else:
        begin, end = even * kind.bit_width // 8, ((even + count) * kind.bit_width + 7) // 8
        made = pa.Array.from_buffers(kind, count, [valid, read(buffers[1], begin, end - begin)])
    return made.slice(extra, rows)


def _offsets(buffer: Any, kind: Any, first: int, rows: int, read: _Read) -> tuple[Any, int, int]:
    """Offsets that begin at 0, and the values that they span."""
    pa = needed("")
    wide = pa.types.is_large_list(kind) or pa.types.is_large_string(kind)
    dtype = np.dtype(np.int64 if wide else np.int32)
    found = np.frombuffer(read(buffer, first * dtype.itemsize, (rows + 1) * dtype.itemsize), dtype)
    if found[0] < 0 or (np.diff(found) < 0).any():
        raise DataError("damaged: offsets of a column run backwards")
    return pa.py_buffer(found - found[0]), int(found[0]), int(found[-1])
