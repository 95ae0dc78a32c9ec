# SPDX-License-Identifier: BSD-3-Clause
"""Categorical cross-entropy, of dense targets and of labels, as classes."""

from __future__ import annotations

from typing import Any, overload

from .. import _options, _problem
from .._typing import EachRow, Losses, Reduced, Value_co
from ..functional import EPSILON
from ..functional._call import cross_entropy
from .base import Loss

__all__ = ["CategoricalCrossentropy", "SparseCategoricalCrossentropy"]


class CategoricalCrossentropy(Loss[Value_co]):
    """Cross-entropy between dense targets, such as one-hot rows, and predictions.

    The class form of :func:`xent_native.categorical_crossentropy`, where the formula stands.

    Parameters
    ----------
    from_logits : bool, default False
        Whether `y_pred` holds logits.
    label_smoothing : float, default 0.0
        In [0, 1]: targets become ``t * (1 - label_smoothing) + label_smoothing / C``.
    axis : int, default -1
        The axis of the classes.
    reduction : {"sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none"} or None
        The default divides by the number of rows, whatever the weights.
    name : str, default "categorical_crossentropy"
        Stands in the configuration.
    dtype : str or None, default None
        ``"float32"`` or ``"float64"`` to compute in; None keeps the precision of `y_pred`.
    class_weight : array_like of shape (C,) or mapping, optional
        Factor of each class's term.
    epsilon : float, default 1e-7
        Where probabilities are clipped.

    Raises
    ------
    ValueError
        If an option is out of range.

    Examples
    --------
    >>> from xent_native import CategoricalCrossentropy
    >>> round(CategoricalCrossentropy()([[0, 1, 0]], [[0.1, 0.8, 0.1]]), 5)
    0.22314
    """

    _options = ("from_logits", "label_smoothing", "axis", "class_weight", "epsilon")

    # fmt: off
    @overload
    def __init__(
        self: CategoricalCrossentropy[float], from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
        reduction: Reduced = "sum_over_batch_size", name: str = "categorical_crossentropy", dtype: Any = None, *,
        class_weight: Any = None, epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: CategoricalCrossentropy[Losses], from_logits: bool = False, label_smoothing: float = 0.0,
        axis: int = -1, *, reduction: EachRow, name: str = "categorical_crossentropy", dtype: Any = None,
        class_weight: Any = None, epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: CategoricalCrossentropy[Losses], from_logits: bool, label_smoothing: float, axis: int,
        reduction: EachRow, name: str = "categorical_crossentropy", dtype: Any = None, *, class_weight: Any = None,
        epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: CategoricalCrossentropy[float | Losses], from_logits: bool = False, label_smoothing: float = 0.0,
        axis: int = -1, reduction: str | None = "sum_over_batch_size", name: str = "categorical_crossentropy",
        dtype: Any = None, *, class_weight: Any = None, epsilon: float = EPSILON,
    ) -> None: ...
    # fmt: on
    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
        dtype: Any = None,
        *,
        class_weight: Any = None,
        epsilon: float = EPSILON,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits = _options.flag("from_logits", from_logits)
        self.label_smoothing = _options.smoothing(label_smoothing)
        self.axis = _options.axis_number(axis)
        self.class_weight = _problem.kept_weights("class_weight", class_weight)
        self.epsilon = _options.clip_epsilon(epsilon)

    def _compute(
        self, y_true: Any, y_pred: Any, sample_weight: Any, reduction: str | None, grad: bool, grad_out: Any
    ) -> tuple[Any, Any]:
        return cross_entropy(
            True, y_true, y_pred, self.from_logits, self.axis, None, self.label_smoothing,
            self.class_weight, sample_weight, reduction, self.epsilon, None, None, grad, grad_out,
        )  # fmt: skip


class SparseCategoricalCrossentropy(Loss[Value_co]):
    """Cross-entropy between labels that are class indices and predictions.

    The class form of :func:`xent_native.sparse_categorical_crossentropy`, where the formula stands.

    Parameters
    ----------
    from_logits : bool, default False
        Whether `y_pred` holds logits.
    ignore_class : int, optional
        Rows with this label have loss 0 and gradient 0, and do not count in a mean.
    reduction : {"sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none"} or None
        The default divides by the number of rows that are not ignored, whatever the weights.
    axis : int, default -1
        The axis of the classes.
    name : str, default "sparse_categorical_crossentropy"
        Stands in the configuration.
    dtype : str or None, default None
        ``"float32"`` or ``"float64"`` to compute in; None keeps the precision of `y_pred`.
    label_smoothing : float, default 0.0
        In [0, 1]: the target is ``1 - label_smoothing + label_smoothing / C`` at the label and
        ``label_smoothing / C`` elsewhere.
    class_weight : array_like of shape (C,) or mapping, optional
        Factor of each class's term.
    epsilon : float, default 1e-7
        Where probabilities are clipped.

    Raises
    ------
    ValueError
        If an option is out of range.

    Examples
    --------
    >>> from xent_native import SparseCategoricalCrossentropy
    >>> loss = SparseCategoricalCrossentropy(from_logits=True)
    >>> round(loss([1, 0], [[2.0, 5.0, 1.0], [7.0, 1.0, 0.5]]), 7)
    0.0349291
    >>> SparseCategoricalCrossentropy.from_config(loss.get_config()) == loss
    True
    """

    _dense = False
    _options = ("from_logits", "ignore_class", "axis", "label_smoothing", "class_weight", "epsilon")

    # fmt: off
    @overload
    def __init__(
        self: SparseCategoricalCrossentropy[float], from_logits: bool = False, ignore_class: int | None = None,
        reduction: Reduced = "sum_over_batch_size", axis: int = -1, name: str = "sparse_categorical_crossentropy",
        dtype: Any = None, *, label_smoothing: float = 0.0, class_weight: Any = None, epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: SparseCategoricalCrossentropy[Losses], from_logits: bool = False, ignore_class: int | None = None, *,
        reduction: EachRow, axis: int = -1, name: str = "sparse_categorical_crossentropy", dtype: Any = None,
        label_smoothing: float = 0.0, class_weight: Any = None, epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: SparseCategoricalCrossentropy[Losses], from_logits: bool, ignore_class: int | None, reduction: EachRow,
        axis: int = -1, name: str = "sparse_categorical_crossentropy", dtype: Any = None, *,
        label_smoothing: float = 0.0, class_weight: Any = None, epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: SparseCategoricalCrossentropy[float | Losses], from_logits: bool = False,
        ignore_class: int | None = None, reduction: str | None = "sum_over_batch_size", axis: int = -1,
        name: str = "sparse_categorical_crossentropy", dtype: Any = None, *, label_smoothing: float = 0.0,
        class_weight: Any = None, epsilon: float = EPSILON,
    ) -> None: ...
    # fmt: on
    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
        *,
        label_smoothing: float = 0.0,
        class_weight: Any = None,
        epsilon: float = EPSILON,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits = _options.flag("from_logits", from_logits)
        self.ignore_class = _options.label_number(ignore_class)
        self.axis = _options.axis_number(axis)
        self.label_smoothing = _options.smoothing(label_smoothing)
        self.class_weight = _problem.kept_weights("class_weight", class_weight)
        self.epsilon = _options.clip_epsilon(epsilon)

    def _compute(
        self, y_true: Any, y_pred: Any, sample_weight: Any, reduction: str | None, grad: bool, grad_out: Any
    ) -> tuple[Any, Any]:
        return cross_entropy(
            False, y_true, y_pred, self.from_logits, self.axis, self.ignore_class,
            self.label_smoothing, self.class_weight, sample_weight, reduction, self.epsilon, None, None, grad,
            grad_out,
        )  # fmt: skip
