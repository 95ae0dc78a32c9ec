# SPDX-License-Identifier: BSD-3-Clause
"""Books: counts and exact sums over any number of rows, which add up to the same bits in any order.

What a book holds says ``XN_BOOK`` in ``src/xent.h``. A sum is an integer times 2^-1074, the least double: here it is a
Python integer, and `UNIT` is what stands for 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from . import _core

__all__ = ["UNIT", "Book", "Cells", "Shape"]

UNIT = 1 << 1074
_LIMB_BITS = 32
_MASK = (1 << _LIMB_BITS) - 1
_MOST_SUM = 1 << (_LIMB_BITS * _core.LIMBS + 30)  # the last limb has room for more than its bits
_MOST_COUNT = 1 << 62
_MOST_PENDING = 1 << 29  # rows whose carries the limbs can hold, with a lot to spare


class Shape(NamedTuple):
    """How many items the sections of a book have, as ``xn_book_shape`` has it."""

    classes: int
    cells: int
    ranks: int
    has_confusion: bool
    weighted: bool
    class_bins: int

    @property
    def sections(self) -> list[tuple[str, int, bool]]:
        """Name, items and whether they are sums, of each section."""
        return _core.book_sections(*self)

    @property
    def nbytes(self) -> int:
        """What a book takes."""
        return 8 * sum(items * _core.LIMBS if is_sum else items for _, items, is_sum in self.sections)


class Cells:
    """Where confidences are counted: fine cells, so cut that equal-width bins are made of whole ones.

    Parameters
    ----------
    bins : int
        Equal-width bins of [0, 1], at most 100: then no fine bin has two of their edges in it.
    """

    def __init__(self, bins: int) -> None:
        ladder = np.ldexp(1 + np.arange(32) / 32, np.arange(-31, -1)[:, None]).ravel()  # [2^-31, 1/2)
        fine = np.concatenate([[0.0], ladder[1:], [0.5], (1 - ladder)[:0:-1]])  # where keys begin
        wide = np.arange(1, bins) / bins
        edges = np.unique(np.concatenate([fine, wide]))
        self.start = np.empty(_core.CONFIDENCE_KEYS, np.int32)
        self.cut = np.full(_core.CONFIDENCE_KEYS, np.inf)
        keys = np.array([_core.confidence_key(edge) for edge in edges])
        self.start[keys[::-1]] = np.arange(len(edges) - 1, -1, -1)
        inside = np.flatnonzero(np.diff(keys) == 0) + 1
        self.cut[keys[inside]] = edges[inside]
        self.count = len(edges) + 1  # one to spare: C wants the cell after each to be there
        self.edges = np.append(edges, 1.0)
        self.bin = np.searchsorted(wide, edges, side="right")


class Book:
    """Counts and exact sums of rows, by name.

    Parameters
    ----------
    shape : Shape
        Of its sections.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        sections = shape.sections
        sizes = [items * _core.LIMBS if is_sum else items for _, items, is_sum in sections]
        self.data = np.zeros(sum(sizes), np.int64)
        self._pending = 0  # rows since carries were propagated
        self.counts: dict[str, np.ndarray] = {}
        self._limbs: dict[str, np.ndarray] = {}
        place = 0
        for (name, items, is_sum), size in zip(sections, sizes, strict=True):
            part = self.data[place : place + size]
            place += size
            if is_sum:
                self._limbs[name] = part.reshape(items, _core.LIMBS)
            else:
                self.counts[name] = part

    def enter(
        self,
        scores: tuple[np.ndarray, ...],
        weight: np.ndarray | None,
        cells: Cells,
        probability: np.ndarray | None,
        n_threads: int,
    ) -> tuple[int, int, float]:
        """Add rows, as ``_core.score_rows`` describes them, at most 2^29 at a time.

        Returns how many of them count nowhere, how many have NaN for a loss, and the largest of the other losses.
        """
        self._make_room(len(scores[0]))
        return _core.enter(
            self.data, self.shape, scores, weight, cells.start, cells.cut, probability, n_threads  # type: ignore[arg-type]
        )  # fmt: skip

    def add(self, other: Book) -> None:
        """Add what another book of the same shape holds."""
        self._make_room(other._pending + 1)
        self.data += other.data

    def __reduce__(self) -> tuple[Any, ...]:
        """Sections are views of the data, which pickling would make arrays of their own."""
        return _restored, (tuple(self.shape), self.data, self._pending)

    def copy(self) -> Book:
        """Return a book of its own with the same entries."""
        book = Book(self.shape)
        book.data[:] = self.data
        book._pending = self._pending
        return book

    def count(self, name: str) -> list[int]:
        """Items of a section of counts; an empty list if the book has it not."""
        part = self.counts.get(name)
        return [] if part is None else part.tolist()

    def sums(self, name: str) -> list[int]:
        """Items of a section of sums, in units of 2^-1074; an empty list if the book has it not."""
        limbs = self._limbs.get(name)
        if limbs is None:
            return []
        touched, carried = self._carry(limbs)
        found = [0] * len(limbs)
        for i, value in zip(touched.tolist(), _integers(carried), strict=True):
            found[i] = value
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Book):
            return NotImplemented
        for book in (self, other):
            for limbs in book._limbs.values():
                self._carry(limbs)
        return self.shape == other.shape and np.array_equal(self.data, other.data)

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, Any]:
        """Items that are not 0, by section; sums in hexadecimal."""
        sections: dict[str, Any] = {}
        for name, part in self.counts.items():
            if part.any():
                sections[name] = [[i, int(part[i])] for i in np.flatnonzero(part).tolist()]
        for name in self._limbs:
            items = [[i, f"{value:x}"] for i, value in enumerate(self.sums(name)) if value]
            if items:
                sections[name] = items
        return sections

    def fill(self, sections: Any) -> None:
        """Take what `to_dict` gave into a new book; ValueError if it cannot have been that."""
        if not isinstance(sections, dict):
            raise ValueError(f"expected sections by name; got {type(sections).__name__}")
        for name, items in sections.items():
            if name in self.counts:
                part = self.counts[name]
                for index, value in _items(name, items, len(part)):
                    if type(value) is not int or not 0 <= value < _MOST_COUNT:
                        raise ValueError(f"{name} must hold counts; got {value!r} as item {index}")
                    part[index] = value
            elif name in self._limbs:
                limbs = self._limbs[name]
                for index, value in _items(name, items, len(limbs)):
                    limbs[index] = _from_hexadecimal(name, index, value)
            else:
                raise ValueError(f"there is no section {name!r}")

    def _make_room(self, rows: int) -> None:
        if self._pending + rows > _MOST_PENDING:
            for limbs in self._limbs.values():
                self._carry(limbs)
            self._pending = 0
        self._pending += rows

    @staticmethod
    def _carry(limbs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Propagate carries; the indices of the sums that are not 0, and their limbs."""
        touched = np.flatnonzero(limbs.any(axis=1))
        carried = limbs[touched].T.copy()  # limb by limb: each is a row
        for i in range(_core.LIMBS - 1):
            carried[i + 1] += carried[i] >> _LIMB_BITS
            carried[i] &= _MASK
        limbs[touched] = carried.T
        return touched, carried.T


def _integers(limbs: np.ndarray) -> Iterator[int]:
    size = _LIMB_BITS // 8 * (_core.LIMBS - 1)
    low = limbs[:, :-1].astype("<u4").tobytes()
    for i, high in enumerate(limbs[:, -1].tolist()):
        yield int.from_bytes(low[i * size : (i + 1) * size], "little") + (high << (8 * size))


def _restored(shape: tuple[Any, ...], data: np.ndarray, pending: int) -> Book:
    book = Book(Shape(*shape))
    book.data[:] = data
    book._pending = pending
    return book


def _items(name: str, items: Any, size: int) -> Iterator[tuple[int, Any]]:
    if not isinstance(items, list) or len(items) > size:
        raise ValueError(f"{name} must be a list of at most {size} items")
    for item in items:
        if not isinstance(item, list | tuple) or len(item) != 2:
            raise ValueError(f"{name} must hold pairs of an index and a value")
        index, value = item
        if type(index) is not int or not 0 <= index < size:
            raise ValueError(f"{name} must have indices in [0, {size}); got {index!r}")
        yield index, value


def _from_hexadecimal(name: str, index: int, text: Any) -> list[int]:
    digits = text if isinstance(text, str) and 0 < len(text) <= 8 * _core.LIMBS + 8 else ""
    if not digits or set(digits) - set("0123456789abcdef"):
        raise ValueError(f"{name} must hold hexadecimal numbers; got {text!r:.40} as item {index}")
    value = int(digits, 16)
    if value >= _MOST_SUM:
        raise ValueError(
            f"{name} must hold sums below 2^{_MOST_SUM.bit_length() - 1}; got more as item {index}"
        )
    limbs = [value >> (_LIMB_BITS * i) & _MASK for i in range(_core.LIMBS - 1)]
    return [*limbs, value >> (_LIMB_BITS * (_core.LIMBS - 1))]
