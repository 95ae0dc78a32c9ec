# SPDX-License-Identifier: BSD-3-Clause
"""Poly1 cross-entropy as a class."""

from __future__ import annotations

from typing import Any, overload

from .. import _options, _problem
from .._typing import EachRow, Losses, Reduced, Value_co
from ..functional import EPSILON
from ..functional.poly1 import _poly1
from .base import Loss

__all__ = ["Poly1Crossentropy"]


class Poly1Crossentropy(Loss[Value_co]):
    """Cross-entropy with a term more that is linear in the probabilities.

    The class form of :func:`xent_native.poly1_crossentropy`, where the formula stands.

    Parameters
    ----------
    epsilon : float, default 2.0
        Coefficient of the linear term; 0 is cross-entropy.
    from_logits : bool, default True
        Whether `y_pred` holds logits.
    axis : int, default -1
        The axis of the classes.
    reduction : {"sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none"} or None
        The default divides by the number of rows, whatever the weights.
    name : str, default "poly1_crossentropy"
        Stands in the configuration.
    dtype : str or None, default None
        ``"float32"`` or ``"float64"`` to compute in; None keeps the precision of `y_pred`.
    label_smoothing : float, default 0.0
        In [0, 1]: targets become ``t * (1 - label_smoothing) + label_smoothing / C``.
    class_weight : array_like of shape (C,) or mapping, optional
        Factor of each class's term.
    clip_epsilon : float, default 1e-7
        Where probabilities are clipped.

    Raises
    ------
    TypeError, ValueError
        If an option is out of range.

    Examples
    --------
    >>> from xent_native import Poly1Crossentropy
    >>> round(Poly1Crossentropy()([[0, 1, 0], [1, 0, 0]], [[2.0, 5.0, 1.0], [7.0, 1.0, 0.5]]), 7)
    0.1026559
    """

    _options = ("epsilon", "from_logits", "axis", "label_smoothing", "class_weight", "clip_epsilon")

    # fmt: off
    @overload
    def __init__(
        self: Poly1Crossentropy[float], epsilon: float = 2.0, from_logits: bool = True, axis: int = -1,
        reduction: Reduced = "sum_over_batch_size", name: str = "poly1_crossentropy", dtype: Any = None, *,
        label_smoothing: float = 0.0, class_weight: Any = None, clip_epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: Poly1Crossentropy[Losses], epsilon: float = 2.0, from_logits: bool = True, axis: int = -1, *,
        reduction: EachRow, name: str = "poly1_crossentropy", dtype: Any = None, label_smoothing: float = 0.0,
        class_weight: Any = None, clip_epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: Poly1Crossentropy[Losses], epsilon: float, from_logits: bool, axis: int, reduction: EachRow,
        name: str = "poly1_crossentropy", dtype: Any = None, *, label_smoothing: float = 0.0,
        class_weight: Any = None, clip_epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: Poly1Crossentropy[float | Losses], epsilon: float = 2.0, from_logits: bool = True, axis: int = -1,
        reduction: str | None = "sum_over_batch_size", name: str = "poly1_crossentropy", dtype: Any = None, *,
        label_smoothing: float = 0.0, class_weight: Any = None, clip_epsilon: float = EPSILON,
    ) -> None: ...
    # fmt: on
    def __init__(
        self,
        epsilon: float = 2.0,
        from_logits: bool = True,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "poly1_crossentropy",
        dtype: Any = None,
        *,
        label_smoothing: float = 0.0,
        class_weight: Any = None,
        clip_epsilon: float = EPSILON,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.epsilon = _options.finite_number("epsilon", epsilon)
        self.from_logits = _options.flag("from_logits", from_logits)
        self.axis = _options.axis_number(axis)
        self.label_smoothing = _options.smoothing(label_smoothing)
        self.class_weight = _problem.kept_weights("class_weight", class_weight)
        self.clip_epsilon = _options.clip_epsilon(clip_epsilon, "clip_epsilon")

    def _compute(
        self, y_true: Any, y_pred: Any, sample_weight: Any, reduction: str | None, grad: bool, grad_out: Any
    ) -> tuple[Any, Any]:
        return _poly1(
            y_true, y_pred, self.epsilon, self.from_logits, self.axis, self.label_smoothing,
            self.class_weight, sample_weight, reduction, self.clip_epsilon, grad=grad, grad_out=grad_out,
        )  # fmt: skip
