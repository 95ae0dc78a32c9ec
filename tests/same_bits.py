# SPDX-License-Identifier: BSD-3-Clause
"""Comparison of results bit for bit."""

from __future__ import annotations

import numpy as np


def bits(value) -> bytes:
    return np.asarray(value).tobytes()


def assert_same(actual: dict[str, bytes], expected: dict[str, bytes], message: str) -> None:
    """The same outputs; names those that differ."""
    different = [name for name in expected if actual[name] != expected[name]]
    assert not different, f"{message}: {', '.join(different)} differ"
