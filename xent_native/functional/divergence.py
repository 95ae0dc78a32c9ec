# SPDX-License-Identifier: BSD-3-Clause
"""Kullback-Leibler divergence of predictions from targets, both probabilities."""

from __future__ import annotations

from typing import Any, overload

from .. import _core
from .._typing import Array, Buffer, EachRow, Losses, Reduced
from ._call import EPSILON, short, thorough

__all__ = ["kl_divergence", "kl_divergence_value_and_grad"]

PLAIN = _core.PLAIN["kl"]


# fmt: off
@overload
def kl_divergence(
    y_true: Any, y_pred: Any, axis: int = -1, *, sample_weight: Any = None, reduction: EachRow = "none",
    epsilon: float = EPSILON, out: None = None, n_threads: int | None = None,
) -> Losses: ...
@overload
def kl_divergence(
    y_true: Any, y_pred: Any, axis: int = -1, *, sample_weight: Any = None, reduction: Reduced,
    epsilon: float = EPSILON, out: None = None, n_threads: int | None = None,
) -> float: ...
@overload
def kl_divergence(
    y_true: Any, y_pred: Any, axis: int = -1, *, sample_weight: Any = None, reduction: str | None = "none",
    epsilon: float = EPSILON, out: Buffer, n_threads: int | None = None,
) -> Buffer: ...
@overload
def kl_divergence(
    y_true: Any, y_pred: Any, axis: int = -1, *, sample_weight: Any = None, reduction: str | None = "none",
    epsilon: float = EPSILON, out: Array | None = None, n_threads: int | None = None,
) -> float | Array: ...
# fmt: on
def kl_divergence(
    y_true: Any,
    y_pred: Any,
    axis: int = -1,
    *,
    sample_weight: Any = None,
    reduction: str | None = "none",
    epsilon: float = EPSILON,
    out: Any = None,
    n_threads: int | None = None,
) -> Any:
    r"""Kullback-Leibler divergence between targets and predictions, both probabilities.

    .. math::

        \ell = \sum_c t_c \log \frac{t_c}{p_c}, \qquad
        t = \mathrm{clip}(\mathtt{y\_true}, \epsilon, 1), \quad p = \mathrm{clip}(\mathtt{y\_pred}, \epsilon, 1)

    Nothing is divided by its sum, as in Keras.

    Parameters
    ----------
    y_true : array_like
        Probabilities, of the shape of `y_pred`.
    y_pred : array_like, shape (..., C, ...)
        Probabilities, C along `axis`. float32 and float64 are computed as they are, float16 and bfloat16 in
        float32, integers in float64. Native arrays in C order are not copied, whatever `axis` is.
    axis : int, default -1
        The axis of the classes.
    sample_weight : array_like, optional
        Factor of each row's loss; broadcasts to the shape of `y_pred` without `axis`. A row of weight 0
        counts nothing, even if it holds NaN.
    reduction : {"none", "sum", "mean", "sum_over_batch_size", "mean_with_sample_weight"} or None
        ``"mean"`` and ``"sum_over_batch_size"`` divide by the number of rows, ``"mean_with_sample_weight"``
        by the sum of the sample weights.
    epsilon : float, default 1e-7
        Where both are clipped; in [0, 0.5). With 0, a target of 0 counts nothing, and a prediction of 0 under a
        target that is not has an infinite loss.
    out : ndarray, optional
        Where to put the result: shape and dtype of the per-row loss, or a scalar array if reduced.
    n_threads : int, optional
        At least 1; see :func:`xent_native.set_num_threads`. The result does not depend on it.

    Returns
    -------
    loss : ndarray or float
        In nats. Per row: the shape of `y_pred` without `axis`, float64 for float64 input, else float32.
        Reduced: a float, summed in float64.

    Raises
    ------
    TypeError
        If an array does not hold real numbers, or an option that is a number is none.
    ValueError
        If shapes do not fit, or an option is out of range.

    Notes
    -----
    log(t / p) is taken from the difference t - p where both are close, so that each term has its digits. What
    the terms of a row cancel is lost, as they have both signs.

    References
    ----------
    S. Kullback, R. A. Leibler, *On Information and Sufficiency*, Annals of Mathematical Statistics 22, 1951.

    Examples
    --------
    >>> from xent_native import kl_divergence
    >>> kl_divergence([[0.5, 0.5], [0.0, 1.0]], [[0.5, 0.5], [0.4, 0.6]]).round(5).tolist()
    [0.0, 0.51082]
    """
    return _kl(y_true, y_pred, axis, sample_weight, reduction, epsilon, out, n_threads)[0]


# fmt: off
@overload
def kl_divergence_value_and_grad(
    y_true: Any, y_pred: Any, axis: int = -1, *, sample_weight: Any = None, reduction: EachRow = "none",
    epsilon: float = EPSILON, out: None = None, grad_out: Any = None, n_threads: int | None = None,
) -> tuple[Losses, Array]: ...
@overload
def kl_divergence_value_and_grad(
    y_true: Any, y_pred: Any, axis: int = -1, *, sample_weight: Any = None, reduction: Reduced,
    epsilon: float = EPSILON, out: None = None, grad_out: Any = None, n_threads: int | None = None,
) -> tuple[float, Array]: ...
@overload
def kl_divergence_value_and_grad(
    y_true: Any, y_pred: Any, axis: int = -1, *, sample_weight: Any = None, reduction: str | None = "none",
    epsilon: float = EPSILON, out: Buffer, grad_out: Any = None, n_threads: int | None = None,
) -> tuple[Buffer, Array]: ...
@overload
def kl_divergence_value_and_grad(
    y_true: Any, y_pred: Any, axis: int = -1, *, sample_weight: Any = None, reduction: str | None = "none",
    epsilon: float = EPSILON, out: Array | None = None, grad_out: Any = None, n_threads: int | None = None,
) -> tuple[float | Array, Array]: ...
# fmt: on
def kl_divergence_value_and_grad(
    y_true: Any,
    y_pred: Any,
    axis: int = -1,
    *,
    sample_weight: Any = None,
    reduction: str | None = "none",
    epsilon: float = EPSILON,
    out: Any = None,
    grad_out: Any = None,
    n_threads: int | None = None,
) -> tuple[Any, Any]:
    r"""The divergence of :func:`kl_divergence` and its gradient, which is -t / p, or 0 where `y_pred` is clipped.

    The bounds count as not clipped.

    Parameters
    ----------
    y_true, y_pred, axis, sample_weight, reduction, epsilon, out, n_threads
        As in :func:`kl_divergence`.
    grad_out : ndarray, optional
        Where to put the gradient: shape and dtype of `y_pred`.

    Returns
    -------
    loss : ndarray or float
        As from :func:`kl_divergence`.
    grad : ndarray
        Derivative of the returned loss (of its sum, for ``reduction="none"``) with respect to `y_pred`;
        shape and dtype of `y_pred`.

    Raises
    ------
    TypeError, ValueError
        As :func:`kl_divergence`; also if `grad_out` does not fit or overlaps another array.

    Examples
    --------
    >>> from xent_native import kl_divergence_value_and_grad
    >>> loss, grad = kl_divergence_value_and_grad([[0.25, 0.75]], [[0.5, 0.5]])
    >>> loss.round(4).tolist(), grad.round(4).tolist()
    ([0.1308], [[-0.5, -1.5]])
    """
    return _kl(y_true, y_pred, axis, sample_weight, reduction, epsilon, out, n_threads, True, grad_out)


def _kl(
    y_true: Any,
    y_pred: Any,
    axis: int,
    sample_weight: Any,
    reduction: str | None,
    epsilon: float,
    out: Any = None,
    n_threads: int | None = None,
    grad: bool = False,
    grad_out: Any = None,
) -> tuple[Any, Any]:
    """(loss, gradient or None), for functions and classes."""
    plain = short(
        PLAIN, y_true, y_pred, False, axis, 0.0, None, sample_weight, reduction, epsilon, n_threads, out, grad, grad_out
    )  # fmt: skip
    if plain is not None:
        return plain
    return thorough(
        True, y_true, y_pred, False, axis, ignore_class=None, label_smoothing=0.0, class_weight=None,
        sample_weight=sample_weight, reduction=reduction, epsilon=epsilon, n_threads=n_threads, out=out,
        grad_out=grad_out, grad=grad, shape="kl",
    )[:2]  # fmt: skip
