# SPDX-License-Identifier: BSD-3-Clause
"""The losses as functions, with Keras's names and positional order: a module for each family."""

from ._call import EPSILON as EPSILON
from .binary import (
    binary_crossentropy,
    binary_crossentropy_grad_and_hess,
    binary_crossentropy_value_and_grad,
    binary_focal_crossentropy,
    binary_focal_crossentropy_value_and_grad,
)
from .categorical import (
    categorical_crossentropy,
    categorical_crossentropy_grad_and_hess,
    categorical_crossentropy_value_and_grad,
)
from .divergence import kl_divergence, kl_divergence_value_and_grad
from .focal import categorical_focal_crossentropy, categorical_focal_crossentropy_value_and_grad
from .poly1 import poly1_crossentropy, poly1_crossentropy_value_and_grad
from .sparse import (
    sparse_categorical_crossentropy,
    sparse_categorical_crossentropy_grad_and_hess,
    sparse_categorical_crossentropy_value_and_grad,
)

__all__ = [
    "binary_crossentropy",
    "binary_crossentropy_grad_and_hess",
    "binary_crossentropy_value_and_grad",
    "binary_focal_crossentropy",
    "binary_focal_crossentropy_value_and_grad",
    "categorical_crossentropy",
    "categorical_crossentropy_grad_and_hess",
    "categorical_crossentropy_value_and_grad",
    "categorical_focal_crossentropy",
    "categorical_focal_crossentropy_value_and_grad",
    "kl_divergence",
    "kl_divergence_value_and_grad",
    "poly1_crossentropy",
    "poly1_crossentropy_value_and_grad",
    "sparse_categorical_crossentropy",
    "sparse_categorical_crossentropy_grad_and_hess",
    "sparse_categorical_crossentropy_value_and_grad",
]
