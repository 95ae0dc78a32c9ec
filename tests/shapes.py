# SPDX-License-Identifier: BSD-3-Clause
"""The losses that are another function of p than -log p, as data: how they are called, and what they should give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import exact_shapes
import numpy as np
import reference
from exact_shapes import Shaped

import xent_native as xn


@dataclass(frozen=True)
class ShapedLoss:
    """One loss with one coefficient, from logits or from probabilities."""

    name: str
    shape: str
    coefficient: float
    logits: bool
    alpha: Any = 1.0
    own: dict[str, Any] = field(default_factory=dict)  # the options that make it

    @property
    def value(self) -> Callable[..., Any]:
        return lambda y, x, **options: getattr(xn, self.name)(y, x, **self.own, **options)

    @property
    def both(self) -> Callable[..., Any]:
        return lambda y, x, **options: getattr(xn, f"{self.name}_value_and_grad")(y, x, **self.own, **options)

    def rows(self, y, x, dtype, smoothing: float = 0.0, class_weight: Any = None) -> Shaped:
        """The truth of (n, C) rows without weights and reduction."""
        u = reference.smoothed_targets(np.asarray(y), x.shape[1], smoothing, class_weight) * self.alpha
        exactly = exact_shapes.from_logits if self.logits else exact_shapes.from_probabilities
        return exactly(np.asarray(x, np.float64), u, self.shape, self.coefficient, dtype)


def _focal(gamma: float, logits: bool, alpha: Any = 1.0) -> ShapedLoss:
    own = {"alpha": alpha, "gamma": gamma, "from_logits": logits}
    return ShapedLoss("categorical_focal_crossentropy", "focal", gamma, logits, alpha, own)


def _poly1(epsilon: float, logits: bool) -> ShapedLoss:
    own = {"epsilon": epsilon, "from_logits": logits}
    return ShapedLoss("poly1_crossentropy", "poly1", epsilon, logits, 1.0, own)


FROM_LOGITS = {
    "focal, gamma 2": _focal(2.0, True),
    "focal, gamma 0.5": _focal(0.5, True, 0.25),
    "focal, gamma 5": _focal(5.0, True),
    "focal, gamma 0": _focal(0.0, True),
    "poly1": _poly1(2.0, True),
    "poly1, negative": _poly1(-0.75, True),
}
FROM_PROBABILITIES = {
    "focal, probabilities": _focal(2.0, False),
    "focal, gamma 0.5, probabilities": _focal(0.5, False, 0.25),
    "poly1, probabilities": _poly1(2.0, False),
    "KL": ShapedLoss("kl_divergence", "kl", 0.0, False),
}
LOSSES = {**FROM_LOGITS, **FROM_PROBABILITIES}
