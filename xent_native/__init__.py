# SPDX-License-Identifier: BSD-3-Clause
"""Cross-entropy losses and their gradients for NumPy arrays, at the speed of memory.

>>> import xent_native as xn
>>> loss, grad = xn.sparse_categorical_crossentropy_value_and_grad(
...     [1, 0], [[2.0, 5.0, 1.0], [7.0, 1.0, 0.5]], from_logits=True, reduction="mean"
... )
>>> round(loss, 7)
0.0349291
"""

try:
    from . import _core as _core
except ModuleNotFoundError as error:
    if error.name != f"{__name__}._core":
        raise
    raise ModuleNotFoundError(
        f"{error}: this is the source folder, which has no compiled module. "
        "Install it first (pip install -e .), or leave this folder.",
        name=error.name,
    ) from None

from . import boosting, dask, losses, report, runtime, scoring, sklearn, torch
from .accumulate import LossAccumulator
from .activations import log_softmax, logsumexp, sigmoid, softmax, to_categorical
from .functional import (
    binary_crossentropy,
    binary_crossentropy_grad_and_hess,
    binary_crossentropy_value_and_grad,
    binary_focal_crossentropy,
    binary_focal_crossentropy_value_and_grad,
    categorical_crossentropy,
    categorical_crossentropy_grad_and_hess,
    categorical_crossentropy_value_and_grad,
    categorical_focal_crossentropy,
    categorical_focal_crossentropy_value_and_grad,
    kl_divergence,
    kl_divergence_value_and_grad,
    poly1_crossentropy,
    poly1_crossentropy_value_and_grad,
    sparse_categorical_crossentropy,
    sparse_categorical_crossentropy_grad_and_hess,
    sparse_categorical_crossentropy_value_and_grad,
)
from .losses import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    KLDivergence,
    Poly1Crossentropy,
    SparseCategoricalCrossentropy,
)
from .runtime import get_num_threads, isa, set_isa, set_num_threads, show_config, threads

__version__ = "0.1.0"

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "KLDivergence",
    "LossAccumulator",
    "Poly1Crossentropy",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "binary_crossentropy_grad_and_hess",
    "binary_crossentropy_value_and_grad",
    "binary_focal_crossentropy",
    "binary_focal_crossentropy_value_and_grad",
    "boosting",
    "categorical_crossentropy",
    "categorical_crossentropy_grad_and_hess",
    "categorical_crossentropy_value_and_grad",
    "categorical_focal_crossentropy",
    "categorical_focal_crossentropy_value_and_grad",
    "dask",
    "get_num_threads",
    "isa",
    "kl_divergence",
    "kl_divergence_value_and_grad",
    "log_softmax",
    "logsumexp",
    "losses",
    "poly1_crossentropy",
    "poly1_crossentropy_value_and_grad",
    "report",
    "scoring",
    "set_isa",
    "set_num_threads",
    "show_config",
    "sigmoid",
    "sklearn",
    "softmax",
    "sparse_categorical_crossentropy",
    "sparse_categorical_crossentropy_grad_and_hess",
    "sparse_categorical_crossentropy_value_and_grad",
    "threads",
    "to_categorical",
    "torch",
]

runtime.read_environment()
