# SPDX-License-Identifier: BSD-3-Clause
"""Categorical focal cross-entropy as a class."""

from __future__ import annotations

from typing import Any, overload

from .. import _options, _problem
from .._typing import EachRow, Losses, Reduced, Value_co
from ..functional import EPSILON
from ..functional.focal import _focal
from .base import Loss

__all__ = ["CategoricalFocalCrossentropy"]


class CategoricalFocalCrossentropy(Loss[Value_co]):
    """Cross-entropy whose terms count less the surer a class is.

    The class form of :func:`xent_native.categorical_focal_crossentropy`, where the formula stands.

    Parameters
    ----------
    alpha : float or array_like of shape (C,), default 0.25
        Factor of the loss, or of each class's term.
    gamma : float, default 2.0
        At least 0; 0 is cross-entropy times `alpha`.
    from_logits : bool, default False
        Whether `y_pred` holds logits.
    label_smoothing : float, default 0.0
        In [0, 1]: targets become ``t * (1 - label_smoothing) + label_smoothing / C``.
    axis : int, default -1
        The axis of the classes.
    reduction : {"sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none"} or None
        The default divides by the number of rows, whatever the weights.
    name : str, default "categorical_focal_crossentropy"
        Stands in the configuration.
    dtype : str or None, default None
        ``"float32"`` or ``"float64"`` to compute in; None keeps the precision of `y_pred`.
    class_weight : array_like of shape (C,) or mapping, optional
        Factor of each class's term.
    epsilon : float, default 1e-7
        Where probabilities are clipped.

    Raises
    ------
    TypeError, ValueError
        If an option is out of range.

    Examples
    --------
    >>> from xent_native import CategoricalFocalCrossentropy
    >>> round(CategoricalFocalCrossentropy()([[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]), 5)
    0.23315
    """

    _options = ("alpha", "gamma", "from_logits", "label_smoothing", "axis", "class_weight", "epsilon")

    # fmt: off
    @overload
    def __init__(
        self: CategoricalFocalCrossentropy[float], alpha: Any = 0.25, gamma: float = 2.0, from_logits: bool = False,
        label_smoothing: float = 0.0, axis: int = -1, reduction: Reduced = "sum_over_batch_size",
        name: str = "categorical_focal_crossentropy", dtype: Any = None, *, class_weight: Any = None,
        epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: CategoricalFocalCrossentropy[Losses], alpha: Any = 0.25, gamma: float = 2.0, from_logits: bool = False,
        label_smoothing: float = 0.0, axis: int = -1, *, reduction: EachRow,
        name: str = "categorical_focal_crossentropy", dtype: Any = None, class_weight: Any = None,
        epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: CategoricalFocalCrossentropy[Losses], alpha: Any, gamma: float, from_logits: bool,
        label_smoothing: float, axis: int, reduction: EachRow, name: str = "categorical_focal_crossentropy",
        dtype: Any = None, *, class_weight: Any = None, epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: CategoricalFocalCrossentropy[float | Losses], alpha: Any = 0.25, gamma: float = 2.0,
        from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
        reduction: str | None = "sum_over_batch_size", name: str = "categorical_focal_crossentropy",
        dtype: Any = None, *, class_weight: Any = None, epsilon: float = EPSILON,
    ) -> None: ...
    # fmt: on
    def __init__(
        self,
        alpha: Any = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_focal_crossentropy",
        dtype: Any = None,
        *,
        class_weight: Any = None,
        epsilon: float = EPSILON,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.alpha = _problem.focal_alpha(alpha)
        self.gamma = _options.finite_number("gamma", gamma, 0.0)
        self.from_logits = _options.flag("from_logits", from_logits)
        self.label_smoothing = _options.smoothing(label_smoothing)
        self.axis = _options.axis_number(axis)
        self.class_weight = _problem.kept_weights("class_weight", class_weight)
        self.epsilon = _options.clip_epsilon(epsilon)

    def _compute(
        self, y_true: Any, y_pred: Any, sample_weight: Any, reduction: str | None, grad: bool, grad_out: Any
    ) -> tuple[Any, Any]:
        return _focal(
            y_true, y_pred, self.alpha, self.gamma, self.from_logits, self.label_smoothing,
            self.axis, self.class_weight, sample_weight, reduction, self.epsilon, grad=grad, grad_out=grad_out,
        )  # fmt: skip
