# SPDX-License-Identifier: BSD-3-Clause
"""Categorical cross-entropy: dense targets, such as one-hot rows."""

from __future__ import annotations

from typing import Any, overload

from .._typing import Array, Buffer, EachRow, Losses, Reduced
from ._call import EPSILON, cross_entropy, refuse_probabilities, thorough

__all__ = [
    "categorical_crossentropy",
    "categorical_crossentropy_grad_and_hess",
    "categorical_crossentropy_value_and_grad",
]


# fmt: off
@overload
def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
    class_weight: Any = None, sample_weight: Any = None, reduction: EachRow = "none", epsilon: float = EPSILON,
    out: None = None, n_threads: int | None = None,
) -> Losses: ...
@overload
def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
    class_weight: Any = None, sample_weight: Any = None, reduction: Reduced, epsilon: float = EPSILON,
    out: None = None, n_threads: int | None = None,
) -> float: ...
@overload
def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
    class_weight: Any = None, sample_weight: Any = None, reduction: str | None = "none", epsilon: float = EPSILON,
    out: Buffer, n_threads: int | None = None,
) -> Buffer: ...
@overload
def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
    class_weight: Any = None, sample_weight: Any = None, reduction: str | None = "none", epsilon: float = EPSILON,
    out: Array | None = None, n_threads: int | None = None,
) -> float | Array: ...
# fmt: on
def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
    *,
    class_weight: Any = None,
    sample_weight: Any = None,
    reduction: str | None = "none",
    epsilon: float = EPSILON,
    out: Any = None,
    n_threads: int | None = None,
) -> Any:
    r"""Cross-entropy between dense targets, such as one-hot rows, and predictions.

    For labels that are class indices use :func:`sparse_categorical_crossentropy`: same values, no one-hot
    array. From logits is both faster and more exact than from probabilities.

    .. math::

        \ell = -\sum_c w_c \, t_c \log p_c, \qquad
        p = \mathrm{softmax}(x) \;\text{ or }\; \mathrm{clip}\Bigl(\frac{y}{\sum_c y_c}, \epsilon, 1 - \epsilon\Bigr)

    Parameters
    ----------
    y_true : array_like
        Targets, of the shape of `y_pred`; usually non-negative rows that sum to 1, but any real numbers work.
    y_pred : array_like, shape (..., C, ...)
        Logits or probabilities (they are divided by their sum: NaN for a row where that is 0 or not finite), C along
        `axis`. float32 and float64 are computed as they are, float16 and bfloat16 in float32, integers in
        float64. Native arrays in C order are not copied, whatever `axis` is.
    from_logits : bool, default False
        Whether `y_pred` holds logits.
    label_smoothing : float, default 0.0
        In [0, 1]: targets become ``t * (1 - label_smoothing) + label_smoothing / C``.
    axis : int, default -1
        The axis of the classes.
    class_weight : array_like of shape (C,) or mapping, optional
        Factor of each class's term, after smoothing; classes that a mapping leaves out have 1.
    sample_weight : array_like, optional
        Factor of each row's loss; broadcasts to the shape of `y_pred` without `axis`. A row of weight 0
        counts nothing, even if it holds NaN.
    reduction : {"none", "sum", "mean", "sum_over_batch_size", "mean_with_sample_weight"} or None
        ``"mean"`` and ``"sum_over_batch_size"`` divide by the number of rows, ``"mean_with_sample_weight"``
        by the sum of the sample weights (the class weights stay out of it).
    epsilon : float, default 1e-7
        Where probabilities are clipped; in [0, 0.5).
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
        If an array does not hold real numbers.
    ValueError
        If shapes do not fit, or an option is out of range.

    Notes
    -----
    From logits, with m the largest and S the sum of exp(x - m), the loss is
    ``sum(t) * log(S) + sum(t * (m - x))``, where log(S) is taken as ``log1p(S - 1)`` with S - 1 summed apart.
    A target of 0 counts nothing, even at a logit of -inf.

    References
    ----------
    I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, MIT Press 2016, section 6.2.2.

    Examples
    --------
    >>> from xent_native import categorical_crossentropy
    >>> loss = categorical_crossentropy([[0, 1, 0], [1, 0, 0]], [[2.0, 5.0, 1.0], [7.0, 1.0, 0.5]], from_logits=True)
    >>> loss.round(7).tolist()
    [0.0658839, 0.0039743]
    """
    return cross_entropy(
        True, y_true, y_pred, from_logits, axis, None, label_smoothing, class_weight, sample_weight, reduction,
        epsilon, n_threads, out, False, None,
    )[0]  # fmt: skip


# fmt: off
@overload
def categorical_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
    class_weight: Any = None, sample_weight: Any = None, reduction: EachRow = "none", epsilon: float = EPSILON,
    out: None = None, grad_out: Any = None, n_threads: int | None = None,
) -> tuple[Losses, Array]: ...
@overload
def categorical_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
    class_weight: Any = None, sample_weight: Any = None, reduction: Reduced, epsilon: float = EPSILON,
    out: None = None, grad_out: Any = None, n_threads: int | None = None,
) -> tuple[float, Array]: ...
@overload
def categorical_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
    class_weight: Any = None, sample_weight: Any = None, reduction: str | None = "none", epsilon: float = EPSILON,
    out: Buffer, grad_out: Any = None, n_threads: int | None = None,
) -> tuple[Buffer, Array]: ...
@overload
def categorical_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
    class_weight: Any = None, sample_weight: Any = None, reduction: str | None = "none", epsilon: float = EPSILON,
    out: Array | None = None, grad_out: Any = None, n_threads: int | None = None,
) -> tuple[float | Array, Array]: ...
# fmt: on
def categorical_crossentropy_value_and_grad(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
    *,
    class_weight: Any = None,
    sample_weight: Any = None,
    reduction: str | None = "none",
    epsilon: float = EPSILON,
    out: Any = None,
    grad_out: Any = None,
    n_threads: int | None = None,
) -> tuple[Any, Any]:
    r"""The loss of :func:`categorical_crossentropy` and its gradient, from one pass over `y_pred`.

    From logits, with u the smoothed and weighted targets:

    .. math:: \frac{\partial \ell}{\partial x_c} = p_c \sum_k u_k - u_c

    From probabilities the clip is part of the formula: with S the sum of a row, the gradient is
    ``(sum of u over the unclipped classes) / S - u / y_pred``, the last term only where the class is not clipped.

    Parameters
    ----------
    y_true, y_pred, from_logits, label_smoothing, axis, class_weight, sample_weight, reduction, epsilon, out, n_threads
        As in :func:`categorical_crossentropy`.
    grad_out : ndarray, optional
        Where to put the gradient: shape and dtype of `y_pred`. From logits it may be `y_pred` itself.

    Returns
    -------
    loss : ndarray or float
        As from :func:`categorical_crossentropy`.
    grad : ndarray
        Derivative of the returned loss (of its sum, for ``reduction="none"``) with respect to `y_pred`;
        shape and dtype of `y_pred`.

    Raises
    ------
    TypeError, ValueError
        As :func:`categorical_crossentropy`; also if `grad_out` does not fit or overlaps another array.

    Examples
    --------
    >>> from xent_native import categorical_crossentropy_value_and_grad
    >>> loss, grad = categorical_crossentropy_value_and_grad([[0, 1, 0]], [[0.0, 0.0, 0.0]], from_logits=True)
    >>> loss.round(4).tolist(), grad.round(4).tolist()
    ([1.0986], [[0.3333, -0.6667, 0.3333]])
    """
    return cross_entropy(
        True, y_true, y_pred, from_logits, axis, None, label_smoothing, class_weight, sample_weight, reduction,
        epsilon, n_threads, out, True, grad_out,
    )  # fmt: skip


def categorical_crossentropy_grad_and_hess(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = True,
    label_smoothing: float = 0.0,
    axis: int = -1,
    *,
    class_weight: Any = None,
    sample_weight: Any = None,
    reduction: str | None = "none",
    grad_out: Any = None,
    hess_out: Any = None,
    n_threads: int | None = None,
) -> tuple[Array, Array]:
    r"""Gradient and diagonal of the Hessian of :func:`categorical_crossentropy` from logits.

    What second-order boosters ask for. With u the smoothed and weighted targets:

    .. math:: \frac{\partial^2 \ell}{\partial x_c^2} = p_c (1 - p_c) \sum_k u_k

    Parameters
    ----------
    y_true, y_pred, label_smoothing, axis, class_weight, sample_weight, reduction, n_threads
        As in :func:`categorical_crossentropy`.
    from_logits : bool, default True
        Must be true.
    grad_out, hess_out : ndarray, optional
        Where to put the results: shape and dtype of `y_pred`. `grad_out` may be `y_pred` itself.

    Returns
    -------
    grad, hess : ndarray
        Shape and dtype of `y_pred`.

    Raises
    ------
    TypeError, ValueError
        As :func:`categorical_crossentropy_value_and_grad`; also for ``from_logits=False``.

    Examples
    --------
    >>> from xent_native import categorical_crossentropy_grad_and_hess
    >>> grad, hess = categorical_crossentropy_grad_and_hess([[0, 1]], [[0.0, 0.0]])
    >>> grad.tolist(), hess.tolist()
    ([[0.5, -0.5]], [[0.25, 0.25]])
    """
    refuse_probabilities("categorical_crossentropy_grad_and_hess", from_logits)
    _, grad, hess = thorough(
        True, y_true, y_pred, True, axis, ignore_class=None, label_smoothing=label_smoothing, class_weight=class_weight,
        sample_weight=sample_weight, reduction=reduction, epsilon=EPSILON, grad_out=grad_out,
        hess_out=hess_out, n_threads=n_threads, loss=False, grad=True, hess=True,
    )  # fmt: skip
    return grad, hess
