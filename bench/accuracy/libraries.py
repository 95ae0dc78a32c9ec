# SPDX-License-Identifier: BSD-3-Clause
"""Cross-entropy per row and its gradient, as each library computes them: one signature for all."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

# (logits, targets) to (losses of the rows, gradient of their sum); labels have one dimension, dense targets two.
Function = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Library(NamedTuple):
    """What a column of the table stands for."""

    name: str
    calls: str
    function: Function
    dense: bool = True


def ours(isa: str, axis: int) -> Function:
    """xent_native on one instruction set, with the class axis in one place."""
    import xent_native as xn

    def call(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        name = "categorical" if y.ndim == 2 else "sparse_categorical"
        function = getattr(xn, f"{name}_crossentropy_value_and_grad")
        xn.set_isa(isa)
        if axis == 0:
            x, y = (np.ascontiguousarray(a.T) if a.ndim == 2 else a for a in (x, y))
        loss, grad = function(y, x, from_logits=True, axis=axis)
        return loss, grad.T if axis == 0 else grad

    return call


def torch(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F.cross_entropy(reduction="none"), backward() of its sum."""
    import torch
    import torch.nn.functional as functional

    logits = torch.from_numpy(x).clone().requires_grad_()
    loss = functional.cross_entropy(logits, torch.from_numpy(y), reduction="none")
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    return loss.detach().numpy(), logits.grad.numpy()


def optax(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Optax's function under jax.jit, with jax.grad of its sum."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    jax: Any = import_module("jax")
    optax: Any = import_module("optax")
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", x.dtype == np.float64)
    function = optax.softmax_cross_entropy if y.ndim == 2 else optax.softmax_cross_entropy_with_integer_labels
    loss = jax.jit(function)(x, y)
    grad = jax.jit(jax.grad(lambda logits: function(logits, y).sum()))(x)
    return np.asarray(loss), np.asarray(grad)


def sklearn(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """HalfMultinomialLoss, which LogisticRegression and HistGradientBoostingClassifier use."""
    from sklearn._loss import HalfMultinomialLoss

    loss, grad = HalfMultinomialLoss(n_classes=x.shape[1]).loss_gradient(y.astype(x.dtype), x)
    return loss, grad


PEERS = {
    "torch": Library("torch", "`F.cross_entropy`, `backward()`", torch),
    "optax": Library(
        "optax", "`softmax_cross_entropy`, `softmax_cross_entropy_with_integer_labels`, `jax.jit`", optax
    ),
    "scikit-learn": Library(
        "scikit-learn", "`_loss.HalfMultinomialLoss` (private; labels only)", sklearn, False
    ),
}
MODULES = {"torch": "torch", "optax": "optax", "scikit-learn": "sklearn"}


def installed() -> dict[str, str]:
    """The peers that are here, with their versions."""
    return {name: version(name) for name, module in MODULES.items() if importlib.util.find_spec(module)}
