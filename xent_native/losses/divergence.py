# SPDX-License-Identifier: BSD-3-Clause
"""Kullback-Leibler divergence as a class."""

from __future__ import annotations

from typing import Any, overload

from .. import _options
from .._typing import EachRow, Losses, Reduced, Value_co
from ..functional import EPSILON
from ..functional.divergence import _kl
from .base import Loss

__all__ = ["KLDivergence"]


class KLDivergence(Loss[Value_co]):
    """Kullback-Leibler divergence between targets and predictions, both probabilities.

    The class form of :func:`xent_native.kl_divergence`, where the formula stands.

    Parameters
    ----------
    reduction : {"sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none"} or None
        The default divides by the number of rows, whatever the weights.
    name : str, default "kl_divergence"
        Stands in the configuration.
    dtype : str or None, default None
        ``"float32"`` or ``"float64"`` to compute in; None keeps the precision of `y_pred`.
    axis : int, default -1
        The axis of the classes.
    epsilon : float, default 1e-7
        Where targets and predictions are clipped.

    Raises
    ------
    TypeError, ValueError
        If an option is out of range.

    Examples
    --------
    >>> from xent_native import KLDivergence
    >>> round(KLDivergence()([[0.25, 0.75]], [[0.5, 0.5]]), 5)
    0.13081
    """

    _options = ("axis", "epsilon")

    # fmt: off
    @overload
    def __init__(
        self: KLDivergence[float], reduction: Reduced = "sum_over_batch_size", name: str = "kl_divergence",
        dtype: Any = None, *, axis: int = -1, epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: KLDivergence[Losses], reduction: EachRow, name: str = "kl_divergence", dtype: Any = None, *,
        axis: int = -1, epsilon: float = EPSILON,
    ) -> None: ...
    @overload
    def __init__(
        self: KLDivergence[float | Losses], reduction: str | None = "sum_over_batch_size",
        name: str = "kl_divergence", dtype: Any = None, *, axis: int = -1, epsilon: float = EPSILON,
    ) -> None: ...
    # fmt: on
    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "kl_divergence",
        dtype: Any = None,
        *,
        axis: int = -1,
        epsilon: float = EPSILON,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.axis = _options.axis_number(axis)
        self.epsilon = _options.clip_epsilon(epsilon)

    def _compute(
        self, y_true: Any, y_pred: Any, sample_weight: Any, reduction: str | None, grad: bool, grad_out: Any
    ) -> tuple[Any, Any]:
        return _kl(
            y_true, y_pred, self.axis, sample_weight, reduction, self.epsilon, grad=grad,
            grad_out=grad_out,
        )  # fmt: skip
