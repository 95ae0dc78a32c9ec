# SPDX-License-Identifier: BSD-3-Clause
"""Cases of PyTorch's cross_entropy, and how far a result may lie from PyTorch's own in float64.

The oracle is PyTorch's loss of the same numbers in float64. Ours is held to the contract in bounds.py:

* A loss of a row is within DENSE_ULPS + 2 ulp (targets are dense once there is smoothing or a weight), or, below
  0.01, within a relative 5e-6, which is at most 5e-8. Terms have one sign, so both carry over to sums; the
  result is rounded once more, to its dtype.
* A gradient is within 4 times A2 of its row's scale, which is at most the largest class weight times what the
  row's loss is multiplied by. float16 and bfloat16 are rounded when they are stored, and once more where they
  are multiplied by what comes from upstream.

In float64 the oracle has errors of its own, of up to 1e-12 of what it adds up.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from bounds import A2, DENSE_ULPS

torch = pytest.importorskip("torch")

DTYPES = {name: getattr(torch, name) for name in ("float16", "bfloat16", "float32", "float64")}
SHAPES = ((7,), (5, 3), (64, 10), (3, 130), (2, 5, 4), (2, 3, 4, 5), (2, 12, 1, 3, 2), (1, 1), (4, 1000))
REDUCTIONS = ("none", "mean", "sum")
SMALL_LOSS_ERROR = 0.01 * 5e-6


@dataclass(frozen=True)
class Options:
    """How a call of cross_entropy differs from the plainest."""

    probabilities: bool = False
    weight: bool = False
    smoothing: float = 0.0
    ignore: bool = False
    reduction: str = "mean"

    def __str__(self) -> str:
        parts = ["probabilities" if self.probabilities else "indices", self.reduction]
        parts += ["weight"] * self.weight + [f"smoothing {self.smoothing}"] * bool(self.smoothing)
        return ", ".join(parts + ["ignored"] * self.ignore)


ALL_OPTIONS = [
    Options(probabilities, weight, smoothing, ignore, reduction)
    for probabilities, weight, smoothing, ignore, reduction in itertools.product(
        (False, True), (False, True), (0.0, 0.3), (False, True), REDUCTIONS
    )
    if not (probabilities and ignore)
]


def arguments(shape: tuple[int, ...], dtype: Any, options: Options, seed: int = 0) -> tuple[Any, Any, dict]:
    """(input, target, keywords) of a case; where rows are ignored, not all are."""
    rng = np.random.default_rng([seed, *shape])
    axis = min(1, len(shape) - 1)
    classes, rows = shape[axis], shape[:axis] + shape[axis + 1 :]
    x = torch.from_numpy(3 * rng.standard_normal(shape)).to(dtype)
    if options.probabilities:
        target = torch.from_numpy(np.moveaxis(rng.dirichlet(np.ones(classes), rows), -1, axis)).to(dtype)
    else:
        labels = rng.integers(0, classes, rows)
        if options.ignore and labels.size > 1:
            labels = np.where(rng.random(rows) < 0.4, -100, labels)
            labels.flat[0] = 0
        target = torch.as_tensor(labels)
    keywords: dict[str, Any] = {"reduction": options.reduction, "label_smoothing": options.smoothing}
    if options.weight:
        keywords["weight"] = torch.from_numpy(rng.random(classes) + 0.5).to(dtype)
    return x, target, keywords


def doubled(value: Any) -> Any:
    """A tensor's numbers in float64; integers and what is no tensor as they are."""
    return value.double() if torch.is_tensor(value) and value.is_floating_point() else value


def oracle(
    x: Any, target: Any, keywords: dict, upstream: Any, function: Any
) -> tuple[np.ndarray, np.ndarray]:
    """(loss, gradient) of PyTorch's own `function` in float64."""
    wide = x.detach().double().requires_grad_()
    loss = function(wide, doubled(target), **{key: doubled(value) for key, value in keywords.items()})
    loss.backward(doubled(upstream))
    return loss.detach().numpy(), wide.grad.numpy()


def as_double(value: Any) -> np.ndarray:
    return value.detach().double().numpy()


def eps(dtype: Any) -> float:
    return float(torch.finfo(dtype).eps)


def loss_bound(expected: np.ndarray, rows: int, dtype: Any, reduction: str) -> np.ndarray:
    """See the head of this file. Weights are at most 1.5."""
    if dtype == torch.float64:
        return 1e-12 * (1 + np.abs(expected)) * (rows if reduction == "sum" else 1)
    computed = (DENSE_ULPS + 2) * eps(torch.float32) * np.abs(expected)
    small = 1.5 * SMALL_LOSS_ERROR * (rows if reduction == "sum" else 1)
    return computed + small + eps(dtype) * np.abs(expected)


def grad_bound(expected: np.ndarray, scale: np.ndarray | float, dtype: Any) -> np.ndarray:
    """`scale` is what the loss of a row is multiplied by, upstream included."""
    if dtype == torch.float64:
        return np.full_like(expected, 1e-12) * (1 + np.abs(scale))
    computed = 4 * A2["float32"][0] * 1.5 * np.abs(scale)
    stored = 0.0 if dtype == torch.float32 else eps(dtype)  # half an ulp, twice
    smallest = float(torch.finfo(dtype).smallest_normal) * eps(dtype)
    return computed + (stored + eps(torch.float32)) * np.abs(expected) + 2 * smallest * (1 + np.abs(scale))
