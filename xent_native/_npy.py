# SPDX-License-Identifier: BSD-3-Clause
"""Rows of .npy files, read in chunks: files bigger than memory, and files that nobody vouches for.

Files are never memory-mapped: a mapped file that another process truncates kills this one with SIGBUS,
where a read comes back short and becomes an error that names the row.
"""

from __future__ import annotations

import math
import os
import stat
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from . import _options
from ._data_errors import DataError

__all__ = ["DataError", "NpyFile"]

_ALIGNMENT = 64  # one cache line, one vector of the widest instruction set
_MOST_BYTES = (1 << 63) - 1  # of an array, as NumPy counts, whatever is 0
_MAGIC = b"\x93NUMPY"
_HEADERS: dict[tuple[int, int], Callable[..., tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def _open(path: str, flags: int) -> int:
    """Opens without waiting for the other end of a pipe, which is refused next; files are read as ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


class NpyFile:
    """An array of numbers in a .npy file, of which one chunk of rows at a time is in memory.

    The header is checked against the size of the file before any memory is asked for.

    Parameters
    ----------
    path : str or os.PathLike
        A regular file.
    text : bool, default False
        Whether an array of strings will do, too, such as names of classes.
    member : tuple of (str, binary file, int), optional
        What errors call it, and an open file with its size in bytes, to read in place of `path`.

    Raises
    ------
    OSError
        If the file cannot be read.
    DataError
        If it is no .npy file, holds anything but numbers, or is shorter or longer than its header says.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        text: bool = False,
        member: tuple[str, BinaryIO, int] | None = None,
    ) -> None:
        self._kinds = "fiubU" if text else "fiub"
        if member is None:
            self.name = os.fsdecode(path)
            self._file: Any = open(path, "rb", buffering=0, opener=_open)  # noqa: SIM115  close() closes it
        else:
            self.name, self._file, self._size = member
        try:
            if member is None:
                self._size = self._regular_size()
            self.shape, self._fortran_order, self.dtype = self._read_header()
            self._start = self._file.tell()
            self._check_size()
        except BaseException:
            self._file.close()
            raise
        self._buffers = threading.local()

    def __enter__(self) -> NpyFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; arrays that came from it stay valid."""
        self._file.close()

    def rows(self, first: int, count: int) -> np.ndarray:
        """Rows ``[first, first + count)``, in a buffer that the next call of the same thread overwrites.

        Of a file in C order one read; of a file in Fortran order one read for each column.
        """
        columns = math.prod(self.shape[1:])
        values = self._reserve(count * columns)
        width = self.dtype.itemsize
        if not self._fortran_order or columns == 1:
            self._fill(values, self._start + first * columns * width, first, columns)
            return values.reshape(count, *self.shape[1:])
        by_column = values.reshape(columns, count)
        for column in range(columns):
            self._fill(by_column[column], self._start + (column * self.shape[0] + first) * width, first, 1)
        return by_column.reshape(*self.shape[:0:-1], count).T

    @property
    def in_column_order(self) -> bool:
        """Whether rows are scattered over the file: Fortran order, with more than one column."""
        return self._fortran_order and math.prod(self.shape[1:]) > 1

    def _regular_size(self) -> int:
        state = os.fstat(self._file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise DataError(f"{self.name}: not a regular file, whose size could be checked")
        return state.st_size

    def _read_header(self) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
        start = self._file.read(len(_MAGIC) + 2)
        if start[: len(_MAGIC)] != _MAGIC or len(start) < len(_MAGIC) + 2:
            raise DataError(f"{self.name}: not a .npy file (it does not start as numpy.save starts one)")
        version = (start[-2], start[-1])
        if version not in _HEADERS:  # 3.0 exists for the names of structured arrays only
            raise DataError(f"{self.name}: must have .npy version 1.0 or 2.0; got {version[0]}.{version[1]}")
        try:
            shape, fortran_order, dtype = _HEADERS[version](self._file)
        except (OSError, DataError):
            raise
        except Exception as error:  # of any kind: NumPy hands a hostile header to Python's own parser
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise DataError(f"{self.name}: the header makes no sense: {reason}") from None
        if dtype.hasobject:
            raise DataError(
                f"{self.name}: must hold real numbers; got Python objects, which are never loaded"
            )
        if dtype.kind not in self._kinds or dtype.fields is not None:
            raise DataError(f"{self.name}: must hold real numbers; got dtype {dtype}")
        if dtype.itemsize == 0:
            raise DataError(f"{self.name}: must hold real numbers or names; got empty strings")
        if not shape or min(shape) < 0:
            raise DataError(f"{self.name}: must have rows; got shape {_options.shown(shape)}")
        if math.prod(max(size, 1) for size in shape) * dtype.itemsize > _MOST_BYTES:
            raise DataError(
                f"{self.name}: the header makes no sense: no file holds the shape {_options.shown(shape)}"
            )
        return shape, fortran_order, dtype

    def _check_size(self) -> None:
        expected = math.prod(self.shape) * self.dtype.itemsize
        found = self._size - self._start
        if found != expected:
            state = "truncated" if found < expected else "too long"
            raise DataError(
                f"{self.name}: {state}: {self.dtype} of shape {self.shape} takes {expected} bytes "
                f"after the header; there are {found}"
            )

    def _reserve(self, items: int) -> np.ndarray:
        buffer: np.ndarray | None = getattr(self._buffers, "values", None)
        if buffer is None or len(buffer) < items:
            buffer = self._buffers.values = None  # frees the old one first
            try:
                memory = np.empty(items * self.dtype.itemsize + _ALIGNMENT, np.uint8)
            except (MemoryError, ValueError):
                raise DataError(
                    f"{self.name}: a chunk of {items} values does not fit into memory; take fewer rows"
                ) from None
            skip = -memory.ctypes.data % _ALIGNMENT
            buffer = memory[skip : skip + items * self.dtype.itemsize].view(self.dtype)
            self._buffers.values = buffer
        return buffer[:items]

    def _fill(self, values: np.ndarray, offset: int, first: int, columns: int) -> None:
        """Read `values` from `offset`, where row `first` begins; a system call may return less than asked."""
        memory = values.view(np.uint8).data
        done = 0
        self._file.seek(offset)
        while done < len(memory):
            got = self._file.readinto(memory[done:])
            if not got:
                row = first + done // (columns * self.dtype.itemsize)
                raise DataError(f"{self.name}: ended at row {row} while it was read; is it being written?")
            done += got
