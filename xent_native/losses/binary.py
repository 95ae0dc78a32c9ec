# SPDX-License-Identifier: BSD-3-Clause
"""Binary cross-entropy and its focal form as classes."""

from __future__ import annotations

from typing import Any, overload

from .. import _options, _problem
from .._typing import EachRow, Losses, Reduced, Value_co
from ..functional import EPSILON
from ..functional._binary import Focal, value_and_grad
from .base import Loss

__all__ = ["BinaryCrossentropy", "BinaryFocalCrossentropy"]


class _Binary(Loss[Value_co]):
    """What the two classes share."""

    def __init__(
        self,
        from_logits: bool,
        label_smoothing: float,
        axis: int,
        reduction: str | None,
        name: str,
        dtype: Any,
        epsilon: float,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits = _options.flag("from_logits", from_logits)
        self.label_smoothing = _options.smoothing(label_smoothing)
        self.axis = _options.axis_number(axis)
        self.epsilon = _options.clip_epsilon(epsilon)

    def _binary(
        self, y_true: Any, y_pred: Any, sample_weight: Any, reduction: str | None, grad: bool, grad_out: Any,
        pos_weight: Any, focal: Focal | None,
    ) -> tuple[Any, Any]:  # fmt: skip
        return value_and_grad(
            y_true, y_pred, self.from_logits, self.label_smoothing, self.axis, pos_weight, focal, sample_weight,
            reduction, self.epsilon, None, None, grad, grad_out,
        )  # fmt: skip


class BinaryCrossentropy(_Binary[Value_co]):
    """Cross-entropy of independent yes-or-no predictions.

    The class form of :func:`xent_native.binary_crossentropy`, where the formula stands. Of targets and
    predictions whose numbers of dimensions differ by one, the longer may end in an axis of length 1, as in Keras:
    a one-dimensional partner gets that axis too, else it is dropped.

    Parameters
    ----------
    from_logits : bool, default False
        Whether `y_pred` holds logits.
    label_smoothing : float, default 0.0
        In [0, 1]: targets become ``t * (1 - label_smoothing) + label_smoothing / 2``.
    axis : int, default -1
        The axis that is averaged over.
    reduction : {"sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none"} or None
        The default divides by the number of rows, whatever the weights.
    name : str, default "binary_crossentropy"
        Stands in the configuration.
    dtype : str or None, default None
        ``"float32"`` or ``"float64"`` to compute in; None keeps the precision of `y_pred`.
    pos_weight : float or array_like of shape (C,), optional
        Factor of the term of positives.
    epsilon : float, default 1e-7
        Where probabilities are clipped.

    Raises
    ------
    ValueError
        If an option is out of range.

    Examples
    --------
    >>> from xent_native import BinaryCrossentropy
    >>> round(BinaryCrossentropy()([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]), 5)
    0.81492
    >>> round(BinaryCrossentropy(from_logits=True, pos_weight=2.0)([1, 0], [[0.0], [0.0]]), 5)
    1.03972
    """

    _options = ("from_logits", "label_smoothing", "axis", "pos_weight", "epsilon")

    # fmt: off
    @overload
    def __init__(
        self: BinaryCrossentropy[float], from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
        reduction: Reduced = "sum_over_batch_size", name: str = "binary_crossentropy", dtype: Any = None, *,
        pos_weight: Any = None, epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: BinaryCrossentropy[Losses], from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
        reduction: EachRow, name: str = "binary_crossentropy", dtype: Any = None, pos_weight: Any = None,
        epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: BinaryCrossentropy[Losses], from_logits: bool, label_smoothing: float, axis: int, reduction: EachRow,
        name: str = "binary_crossentropy", dtype: Any = None, *, pos_weight: Any = None, epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: BinaryCrossentropy[float | Losses], from_logits: bool = False, label_smoothing: float = 0.0,
        axis: int = -1, reduction: str | None = "sum_over_batch_size", name: str = "binary_crossentropy",
        dtype: Any = None, *, pos_weight: Any = None, epsilon: float = EPSILON,
    ) -> None: ...
    # fmt: on
    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_crossentropy",
        dtype: Any = None,
        *,
        pos_weight: Any = None,
        epsilon: float = EPSILON,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype, epsilon)
        self.pos_weight = _problem.kept_weights("pos_weight", pos_weight)

    def _compute(
        self, y_true: Any, y_pred: Any, sample_weight: Any, reduction: str | None, grad: bool, grad_out: Any
    ) -> tuple[Any, Any]:
        return self._binary(y_true, y_pred, sample_weight, reduction, grad, grad_out, self.pos_weight, None)


class BinaryFocalCrossentropy(_Binary[Value_co]):
    """Binary cross-entropy that counts elements less the better they are predicted.

    The class form of :func:`xent_native.binary_focal_crossentropy`, where the formula stands. Ranks are brought
    together as in :class:`BinaryCrossentropy`.

    Parameters
    ----------
    apply_class_balancing : bool, default False
        Whether `alpha` plays a part.
    alpha : float, default 0.25
        In [0, 1]: weight of positives; negatives have ``1 - alpha``.
    gamma : float, default 2.0
        At least 0, which gives binary cross-entropy.
    from_logits : bool, default False
        Whether `y_pred` holds logits.
    label_smoothing : float, default 0.0
        In [0, 1]: targets become ``t * (1 - label_smoothing) + label_smoothing / 2``.
    axis : int, default -1
        The axis that is averaged over.
    reduction : {"sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none"} or None
        The default divides by the number of rows, whatever the weights.
    name : str, default "binary_focal_crossentropy"
        Stands in the configuration.
    dtype : str or None, default None
        ``"float32"`` or ``"float64"`` to compute in; None keeps the precision of `y_pred`.
    epsilon : float, default 1e-7
        Where probabilities are clipped.

    Raises
    ------
    ValueError
        If an option is out of range.

    Examples
    --------
    >>> from xent_native import BinaryFocalCrossentropy
    >>> round(BinaryFocalCrossentropy(gamma=2)([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]), 5)
    0.26783
    """

    _options = (
        "apply_class_balancing", "alpha", "gamma", "from_logits", "label_smoothing", "axis", "epsilon",
    )  # fmt: skip

    # fmt: off
    @overload
    def __init__(
        self: BinaryFocalCrossentropy[float], apply_class_balancing: bool = False, alpha: float = 0.25,
        gamma: float = 2.0, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
        reduction: Reduced = "sum_over_batch_size", name: str = "binary_focal_crossentropy", dtype: Any = None, *,
        epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: BinaryFocalCrossentropy[Losses], apply_class_balancing: bool = False, alpha: float = 0.25,
        gamma: float = 2.0, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
        reduction: EachRow, name: str = "binary_focal_crossentropy", dtype: Any = None, epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: BinaryFocalCrossentropy[Losses], apply_class_balancing: bool, alpha: float, gamma: float,
        from_logits: bool, label_smoothing: float, axis: int, reduction: EachRow,
        name: str = "binary_focal_crossentropy", dtype: Any = None, *, epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: BinaryFocalCrossentropy[float | Losses], apply_class_balancing: bool = False, alpha: float = 0.25,
        gamma: float = 2.0, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
        reduction: str | None = "sum_over_batch_size", name: str = "binary_focal_crossentropy", dtype: Any = None, *,
        epsilon: float = EPSILON,
    ) -> None: ...
    # fmt: on
    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_focal_crossentropy",
        dtype: Any = None,
        *,
        epsilon: float = EPSILON,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype, epsilon)
        self.apply_class_balancing, self.alpha, self.gamma = _options.focal_options(
            apply_class_balancing, alpha, gamma
        )

    def _compute(
        self, y_true: Any, y_pred: Any, sample_weight: Any, reduction: str | None, grad: bool, grad_out: Any
    ) -> tuple[Any, Any]:
        focal = (self.apply_class_balancing, self.alpha, self.gamma)
        return self._binary(y_true, y_pred, sample_weight, reduction, grad, grad_out, None, focal)
