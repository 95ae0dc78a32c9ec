# SPDX-License-Identifier: BSD-3-Clause
"""Calls whose types users rely on: test_types.py shows them to mypy, and runs them to see that the values are so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

import numpy as np

import xent_native as xn
from xent_native import losses
from xent_native import torch as xt

if TYPE_CHECKING:
    from xent_native._typing import Array, Losses
else:
    Array = Losses = np.ndarray

x = np.array([[2.0, 5.0, 1.0], [7.0, 1.0, 0.5]], np.float32)
p = np.full((2, 3), 1 / 3, np.float32)
y = np.array([1, 0])
t = np.eye(3, dtype=np.float32)[y]

# Functions: an array of the rows' losses unless they are reduced, to a float.
assert_type(xn.sparse_categorical_crossentropy(y, x), Losses)
assert_type(xn.sparse_categorical_crossentropy(y, x, True, reduction="none"), Losses)
assert_type(xn.sparse_categorical_crossentropy(y, x, True, reduction=None), Losses)
assert_type(xn.sparse_categorical_crossentropy(y, x, True, reduction="mean"), float)
assert_type(xn.sparse_categorical_crossentropy(y, x, True, reduction="sum"), float)
assert_type(xn.sparse_categorical_crossentropy(y, x, True, reduction="sum_over_batch_size"), float)
assert_type(xn.sparse_categorical_crossentropy(y, x, True, reduction="mean_with_sample_weight"), float)
assert_type(xn.sparse_categorical_crossentropy(y, x, True, reduction=losses.Reduction.SUM), float)
assert_type(xn.categorical_crossentropy(t, x), Losses)
assert_type(xn.categorical_crossentropy(t, x, reduction="mean"), float)
assert_type(xn.binary_crossentropy(t, x), Losses)
assert_type(xn.binary_crossentropy(t, x, reduction="mean"), float)
assert_type(xn.binary_focal_crossentropy(t, x), Losses)
assert_type(xn.binary_focal_crossentropy(t, x, reduction="mean"), float)
assert_type(xn.categorical_focal_crossentropy(t, x), Losses)
assert_type(xn.categorical_focal_crossentropy(t, x, reduction="mean"), float)
assert_type(xn.poly1_crossentropy(t, x), Losses)
assert_type(xn.poly1_crossentropy(t, x, reduction="mean"), float)
assert_type(xn.kl_divergence(t, p), Losses)
assert_type(xn.kl_divergence(t, p, reduction="mean"), float)

# With the gradient.
assert_type(xn.sparse_categorical_crossentropy_value_and_grad(y, x), tuple[Losses, Array])
assert_type(xn.sparse_categorical_crossentropy_value_and_grad(y, x, reduction="mean"), tuple[float, Array])
assert_type(xn.categorical_crossentropy_value_and_grad(t, x), tuple[Losses, Array])
assert_type(xn.categorical_crossentropy_value_and_grad(t, x, reduction="mean"), tuple[float, Array])
assert_type(xn.binary_crossentropy_value_and_grad(t, x), tuple[Losses, Array])
assert_type(xn.binary_crossentropy_value_and_grad(t, x, reduction="mean"), tuple[float, Array])
assert_type(xn.binary_focal_crossentropy_value_and_grad(t, x), tuple[Losses, Array])
assert_type(xn.binary_focal_crossentropy_value_and_grad(t, x, reduction="mean"), tuple[float, Array])
assert_type(xn.categorical_focal_crossentropy_value_and_grad(t, x), tuple[Losses, Array])
assert_type(xn.categorical_focal_crossentropy_value_and_grad(t, x, reduction="mean"), tuple[float, Array])
assert_type(xn.poly1_crossentropy_value_and_grad(t, x), tuple[Losses, Array])
assert_type(xn.poly1_crossentropy_value_and_grad(t, x, reduction="mean"), tuple[float, Array])
assert_type(xn.kl_divergence_value_and_grad(t, p), tuple[Losses, Array])
assert_type(xn.kl_divergence_value_and_grad(t, p, reduction="mean"), tuple[float, Array])
assert_type(xn.sparse_categorical_crossentropy_grad_and_hess(y, x), tuple[Array, Array])
assert_type(xn.categorical_crossentropy_grad_and_hess(t, x), tuple[Array, Array])
assert_type(xn.binary_crossentropy_grad_and_hess(t, x), tuple[Array, Array])

# A buffer is what comes back; a reduction that is known only later leaves both.
rows: np.ndarray[tuple[int], np.dtype[np.float32]] = np.empty(2, np.float32)
assert_type(xn.sparse_categorical_crossentropy(y, x, out=rows), np.ndarray[tuple[int], np.dtype[np.float32]])
scalar: Array = np.empty((), np.float64)
assert_type(xn.sparse_categorical_crossentropy(y, x, reduction="mean", out=scalar), Array)
assert_type(xn.kl_divergence_value_and_grad(t, p, reduction="sum", out=scalar), tuple[Array, Array])
later: str = "mean"
assert_type(xn.sparse_categorical_crossentropy(y, x, reduction=later), float | Array)
assert_type(
    xn.sparse_categorical_crossentropy_value_and_grad(y, x, reduction=later), tuple[float | Array, Array]
)

# Classes: the reduction that they are made with decides.
assert_type(xn.SparseCategoricalCrossentropy()(y, x), float)
assert_type(xn.SparseCategoricalCrossentropy(True, reduction="none")(y, x), Losses)
assert_type(xn.SparseCategoricalCrossentropy(True, None, "none")(y, x), Losses)
assert_type(xn.SparseCategoricalCrossentropy(True, reduction=later)(y, x), float | Losses)
assert_type(xn.SparseCategoricalCrossentropy().value_and_grad(y, x), tuple[float, Array])
assert_type(xn.SparseCategoricalCrossentropy(reduction=None).value_and_grad(y, x), tuple[Losses, Array])
assert_type(xn.SparseCategoricalCrossentropy().grad(y, x), Array)
assert_type(xn.SparseCategoricalCrossentropy().call(y, x), Losses)
assert_type(xn.CategoricalCrossentropy(reduction="sum")(t, x), float)
assert_type(xn.CategoricalCrossentropy(reduction="none")(t, x), Losses)
assert_type(xn.BinaryCrossentropy()(t, x), float)
assert_type(xn.BinaryCrossentropy(reduction="none")(t, x), Losses)
assert_type(xn.BinaryFocalCrossentropy()(t, x), float)
assert_type(xn.BinaryFocalCrossentropy(reduction="none")(t, x), Losses)
assert_type(xn.CategoricalFocalCrossentropy()(t, x), float)
assert_type(xn.CategoricalFocalCrossentropy(reduction="none")(t, x), Losses)
assert_type(xn.Poly1Crossentropy()(t, x), float)
assert_type(xn.Poly1Crossentropy(reduction="none")(t, x), Losses)
assert_type(xn.KLDivergence()(t, p), float)
assert_type(xn.KLDivergence("none")(t, p), Losses)


def any_loss(loss: xn.SparseCategoricalCrossentropy, other: losses.Loss) -> None:
    """Classes need no parameter where they are named."""
    assert_type(loss(y, x), float | Losses)
    assert_type(other.value_and_grad(y, x), tuple[float | Losses, Array])


any_loss(xn.SparseCategoricalCrossentropy(), xn.SparseCategoricalCrossentropy(reduction="none"))

# PyTorch's functions: NumPy's numbers for arrays, tensors for tensors.
assert_type(xt.cross_entropy(x, y), np.float64)
assert_type(xt.cross_entropy(x, y, reduction="sum"), np.float64)
assert_type(xt.cross_entropy(x, y, reduction="none"), Losses)
assert_type(xt.cross_entropy(x, y, reduction=later), np.float64 | Losses)
assert_type(xt.binary_cross_entropy_with_logits(x, t), np.float64)
assert_type(xt.binary_cross_entropy_with_logits(x, t, reduction="none"), Losses)

if TYPE_CHECKING:  # there need be no PyTorch

    class Tensor:
        """As much of PyTorch's as the package looks at."""

        @property
        def requires_grad(self) -> bool: ...

    def of_tensors(logits: Tensor, labels: Any) -> None:
        assert_type(xt.cross_entropy(logits, labels), Tensor)
        assert_type(xt.cross_entropy(logits, labels, reduction="none"), Tensor)
        assert_type(xt.binary_cross_entropy_with_logits(logits, labels), Tensor)
        assert_type(xt.CrossEntropyLoss()(logits, labels), Tensor)
