# SPDX-License-Identifier: BSD-3-Clause
"""The losses as classes, with Keras's names, positional order and configuration."""

from ._names import deserialize, get, serialize
from .base import Loss, Reduction
from .binary import BinaryCrossentropy, BinaryFocalCrossentropy
from .categorical import CategoricalCrossentropy, SparseCategoricalCrossentropy
from .divergence import KLDivergence
from .focal import CategoricalFocalCrossentropy
from .poly1 import Poly1Crossentropy

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "KLDivergence",
    "Loss",
    "Poly1Crossentropy",
    "Reduction",
    "SparseCategoricalCrossentropy",
    "deserialize",
    "get",
    "serialize",
]
