# SPDX-License-Identifier: BSD-3-Clause
"""Arrays of a .npz file, read in chunks through zipfile: stored or deflated, never as a whole."""

from __future__ import annotations

import errno
import io
import os
import zipfile
import zlib
from typing import Any

import numpy as np

from .._data_errors import DataError
from .._npy import NpyFile

__all__ = ["NpzFile"]

_PIECE = 1 << 18  # bytes that are unpacked at a time
_MOST_IN_MEMORY = 1 << 26  # bytes of an array in Fortran order, whose rows are scattered over the file


class NpzFile:
    """The arrays of a .npz file by name.

    Parameters
    ----------
    path : str or os.PathLike
        What numpy.savez or numpy.savez_compressed wrote.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = os.fsdecode(path)
        try:
            with zipfile.ZipFile(path) as file:
                self._members = {one.filename.removesuffix(".npy"): one for one in file.infolist()}
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
            raise DataError(f"{self.name}: not a .npz file: {error}") from None

    @property
    def names(self) -> list[str]:
        """What the arrays are called."""
        return list(self._members)

    def array(self, member: str, *, text: bool = False) -> Any:
        """Open one of them, as a source of rows."""
        if member not in self._members:
            there = ", ".join(map(repr, self.names[:12])) or "none"
            raise DataError(f"{self.name}: there is no array {member!r}; there are {there}")
        name = f"{self.name}[{member}]"
        info = self._members[member]
        stream: Any = _Member(self.name, info, name)
        file = NpyFile(self.name, text=text, member=(name, stream, info.file_size))
        if not file.in_column_order:
            return file
        try:
            return _Whole(file, name)
        finally:
            file.close()


class _Member(io.RawIOBase):
    """A member of a zip file, whose damage is a DataError."""

    def __init__(self, path: str, info: zipfile.ZipInfo, name: str) -> None:
        self._name = name
        self._size = self._left = info.file_size
        self._zip = zipfile.ZipFile(path)
        try:
            self._file: Any = self._guarded(self._zip.open, info)
        except BaseException:
            self._zip.close()
            raise

    def _guarded(self, call: Any, *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise DataError(f"{self._name}: damaged: {error}") from None
        except OSError as error:
            if error.errno and error.errno != errno.EINVAL:  # that of a place before the file's begin
                raise
            raise DataError(f"{self._name}: damaged: {error}") from None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, offset: int, whence: int = 0) -> int:
        now = int(self._guarded(self._file.seek, offset, whence))
        self._left = self._size - now
        return now

    def readinto(self, memory: Any) -> int:
        view = memoryview(memory).cast("B")
        data = self._guarded(self._file.read, min(len(view), _PIECE))
        view[: len(data)] = data
        self._left -= len(data)
        if not self._left:
            self._guarded(self._file.read, 1)  # only then zipfile compares the checksum
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
            self._zip.close()
        super().close()


class _Whole:
    """An array that is small enough to be read at once."""

    def __init__(self, file: NpyFile, name: str) -> None:
        size = file.dtype.itemsize * int(np.prod(file.shape))
        if size > _MOST_IN_MEMORY:
            raise DataError(
                f"{name}: {size} bytes in Fortran order, whose rows cannot be read in chunks from a .npz file; "
                "save it in C order (numpy.ascontiguousarray), or as a .npy file"
            )
        self.name, self.shape, self.dtype = name, file.shape, file.dtype
        self._array = file.rows(0, file.shape[0])

    def rows(self, first: int, count: int) -> np.ndarray:
        return self._array[first : first + count]
