# SPDX-License-Identifier: BSD-3-Clause
"""Arrays of any size that are all zeros: memory is taken where something is written, and nowhere else."""

from __future__ import annotations

import math
import mmap

import numpy as np
import pytest

RESERVES_NOTHING = getattr(mmap, "MAP_NORESERVE", 0x4000)  # on Linux; Python knows its name from 3.13 on


def zeros(shape: tuple[int, ...], dtype: np.dtype | str) -> np.ndarray:
    """A writeable array over address space alone; the test is skipped where there is not that much."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | RESERVES_NOTHING)
    except (OSError, ValueError, AttributeError):
        pytest.skip(f"no address space for {size / 1e9:.0f} GB")
    return np.frombuffer(memory, np.uint8).view(dtype).reshape(shape)
