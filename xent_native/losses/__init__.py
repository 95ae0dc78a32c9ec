# SPDX-License-Identifier: BSD-3-Clause
"""The losses as classes, with Keras's names, positional order and configuration."""

from ._names import deserialize, get, serialize
from .base import Loss, Reduction
from .binary import BinaryCrossentropy, BinaryFocalCrossentropy
from .categorical import CategoricalCrossentropy, SparseCategoricalCrossentropy

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "Loss",
    "Reduction",
    "SparseCategoricalCrossentropy",
    "deserialize",
    "get",
    "serialize",
]
