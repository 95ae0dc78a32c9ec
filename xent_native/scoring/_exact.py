# SPDX-License-Identifier: BSD-3-Clause
"""Exact sums of float64 values: the order in which they come changes no bit."""

from __future__ import annotations

import numpy as np

__all__ = ["ExactSum"]

_HALF = 27  # bits of the lower part of a significand of 53
_LEAST = -1126  # exponent of the last bit of the least subnormal number, as frexp has it (-1073 - 53)
_MOST = 1 << 26  # values that are added at a time: sums of parts below 2^27 stay below 2^53


class ExactSum:
    """The sum of finite numbers as an integer, in units of 2^-1126. float() rounds it once."""

    def __init__(self) -> None:
        self._units = 0

    def add(self, values: np.ndarray) -> None:
        """Add numbers.

        Parameters
        ----------
        values : ndarray of float64, shape (N,)
            At most 2^26.

        Raises
        ------
        ValueError
            If one is not finite, or there are too many.
        """
        if len(values) > _MOST or not np.isfinite(values).all():
            raise ValueError("values must be finite, and at most 2^26")
        part, exponent = np.frexp(values)
        whole = np.ldexp(part, 53).astype(np.int64)
        place = exponent - (_LEAST + 53)
        upper = np.bincount(place, (whole >> _HALF).astype(np.float64))
        lower = np.bincount(place, (whole & ((1 << _HALF) - 1)).astype(np.float64))
        for at in np.flatnonzero((upper != 0) | (lower != 0)).tolist():
            self._units += ((int(upper[at]) << _HALF) + int(lower[at])) << at

    def __float__(self) -> float:
        return self._units / (1 << -_LEAST)
