# SPDX-License-Identifier: BSD-3-Clause
"""Binary cross-entropy and its focal form: one yes or no for each element."""

from __future__ import annotations

from typing import Any, overload

from .._typing import Array, Buffer, EachRow, Losses, Reduced
from ._binary import binary, value_and_grad
from ._call import EPSILON, refuse_probabilities

__all__ = [
    "binary_crossentropy",
    "binary_crossentropy_grad_and_hess",
    "binary_crossentropy_value_and_grad",
    "binary_focal_crossentropy",
    "binary_focal_crossentropy_value_and_grad",
]


# fmt: off
@overload
def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
    pos_weight: Any = None, sample_weight: Any = None, reduction: EachRow = "none", epsilon: float = EPSILON,
    out: None = None, n_threads: int | None = None,
) -> Losses: ...
@overload
def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
    pos_weight: Any = None, sample_weight: Any = None, reduction: Reduced, epsilon: float = EPSILON, out: None = None,
    n_threads: int | None = None,
) -> float: ...
@overload
def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
    pos_weight: Any = None, sample_weight: Any = None, reduction: str | None = "none", epsilon: float = EPSILON,
    out: Buffer, n_threads: int | None = None,
) -> Buffer: ...
@overload
def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
    pos_weight: Any = None, sample_weight: Any = None, reduction: str | None = "none", epsilon: float = EPSILON,
    out: Array | None = None, n_threads: int | None = None,
) -> float | Array: ...
# fmt: on
def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
    *,
    pos_weight: Any = None,
    sample_weight: Any = None,
    reduction: str | None = "none",
    epsilon: float = EPSILON,
    out: Any = None,
    n_threads: int | None = None,
) -> Any:
    r"""Cross-entropy of independent yes-or-no predictions, its mean over the classes of each row.

    Every element is a problem of its own: whether this class applies. From logits is both faster and more
    exact than from probabilities.

    .. math::

        \ell = -\frac{1}{C} \sum_c \bigl( w_c \, t_c \log p_c + (1 - t_c) \log (1 - p_c) \bigr), \qquad
        p = \sigma(x) \;\text{ or }\; \mathrm{clip}(y, \epsilon, 1 - \epsilon)

    Parameters
    ----------
    y_true : array_like
        Targets, of the shape of `y_pred`; usually 0, 1 or between, of any real dtype, bool too.
    y_pred : array_like, shape (..., C, ...)
        Logits or probabilities, C along `axis`. float32 and float64 are computed as they are, float16 and
        bfloat16 in float32, integers in float64. Native arrays in C order are not copied, whatever `axis` is.
    from_logits : bool, default False
        Whether `y_pred` holds logits.
    label_smoothing : float, default 0.0
        In [0, 1]: targets become ``t * (1 - label_smoothing) + label_smoothing / 2``.
    axis : int, default -1
        The axis that is averaged over.
    pos_weight : float or array_like of shape (C,), optional
        w: factor of the term of positives, after smoothing.
    sample_weight : array_like, optional
        Factor of each row's loss; broadcasts to the shape of `y_pred` without `axis`. A row of weight 0
        counts nothing, even if it holds NaN.
    reduction : {"none", "sum", "mean", "sum_over_batch_size", "mean_with_sample_weight"} or None
        ``"mean"`` and ``"sum_over_batch_size"`` divide by the number of rows, ``"mean_with_sample_weight"``
        by the sum of the sample weights.
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
    From logits, with e = exp(-\|x\|), the terms are ``-log p = max(-x, 0) + log1p(e)`` and
    ``-log(1 - p) = max(x, 0) + log1p(e)``: sums of non-negative terms, which neither cancel nor saturate.
    A target of 0 counts nothing, even where its logarithm is infinite. Logits of inf and -inf are answers without a
    doubt: an element that is right has loss and gradient 0, one that is wrong an infinite loss and the gradient that
    any hopeless one has. NaN makes the loss of its row NaN, and the gradient of its own element.

    References
    ----------
    I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, MIT Press 2016, section 6.2.2.2.

    Examples
    --------
    >>> from xent_native import binary_crossentropy
    >>> binary_crossentropy([[0, 1], [1, 0]], [[-2.0, 3.0], [1.0, 40.0]], from_logits=True).round(5).tolist()
    [0.08776, 20.15663]
    """
    return value_and_grad(
        y_true, y_pred, from_logits, label_smoothing, axis, pos_weight, None, sample_weight, reduction, epsilon,
        n_threads, out,
    )[0]  # fmt: skip


# fmt: off
@overload
def binary_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
    pos_weight: Any = None, sample_weight: Any = None, reduction: EachRow = "none", epsilon: float = EPSILON,
    out: None = None, grad_out: Any = None, n_threads: int | None = None,
) -> tuple[Losses, Array]: ...
@overload
def binary_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
    pos_weight: Any = None, sample_weight: Any = None, reduction: Reduced, epsilon: float = EPSILON, out: None = None,
    grad_out: Any = None, n_threads: int | None = None,
) -> tuple[float, Array]: ...
@overload
def binary_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
    pos_weight: Any = None, sample_weight: Any = None, reduction: str | None = "none", epsilon: float = EPSILON,
    out: Buffer, grad_out: Any = None, n_threads: int | None = None,
) -> tuple[Buffer, Array]: ...
@overload
def binary_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
    pos_weight: Any = None, sample_weight: Any = None, reduction: str | None = "none", epsilon: float = EPSILON,
    out: Array | None = None, grad_out: Any = None, n_threads: int | None = None,
) -> tuple[float | Array, Array]: ...
# fmt: on
def binary_crossentropy_value_and_grad(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
    *,
    pos_weight: Any = None,
    sample_weight: Any = None,
    reduction: str | None = "none",
    epsilon: float = EPSILON,
    out: Any = None,
    grad_out: Any = None,
    n_threads: int | None = None,
) -> tuple[Any, Any]:
    r"""The loss of :func:`binary_crossentropy` and its gradient, from one pass over `y_pred`.

    From logits, with u = w t of the smoothed t and v = 1 - t:

    .. math:: \frac{\partial \ell}{\partial x_c} = \frac{v_c \, p_c - u_c (1 - p_c)}{C}

    From probabilities it is ``(v / (1 - y) - u / y) / C``, and 0 where y is clipped; the bounds count as inside.

    Parameters
    ----------
    y_true, y_pred, from_logits, label_smoothing, axis, pos_weight, sample_weight, reduction, epsilon, out, n_threads
        As in :func:`binary_crossentropy`.
    grad_out : ndarray, optional
        Where to put the gradient: shape and dtype of `y_pred`. From logits it may be `y_pred` itself.

    Returns
    -------
    loss : ndarray or float
        As from :func:`binary_crossentropy`.
    grad : ndarray
        Derivative of the returned loss (of its sum, for ``reduction="none"``) with respect to `y_pred`;
        shape and dtype of `y_pred`.

    Raises
    ------
    TypeError, ValueError
        As :func:`binary_crossentropy`; also if `grad_out` does not fit or overlaps another array.

    Examples
    --------
    >>> from xent_native import binary_crossentropy_value_and_grad
    >>> loss, grad = binary_crossentropy_value_and_grad([[0, 1]], [[0.0, 0.0]], from_logits=True)
    >>> loss.round(4).tolist(), grad.tolist()
    ([0.6931], [[0.25, -0.25]])
    """
    return value_and_grad(
        y_true, y_pred, from_logits, label_smoothing, axis, pos_weight, None, sample_weight, reduction, epsilon,
        n_threads, out, True, grad_out,
    )  # fmt: skip


def binary_crossentropy_grad_and_hess(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = True,
    label_smoothing: float = 0.0,
    axis: int = -1,
    *,
    pos_weight: Any = None,
    sample_weight: Any = None,
    reduction: str | None = "none",
    grad_out: Any = None,
    hess_out: Any = None,
    n_threads: int | None = None,
) -> tuple[Array, Array]:
    r"""Gradient and diagonal of the Hessian of :func:`binary_crossentropy` from logits.

    What second-order boosters ask for. With u and v as in :func:`binary_crossentropy_value_and_grad`:

    .. math:: \frac{\partial^2 \ell}{\partial x_c^2} = \frac{(u_c + v_c) \, p_c (1 - p_c)}{C}

    Parameters
    ----------
    y_true, y_pred, label_smoothing, axis, pos_weight, sample_weight, reduction, n_threads
        As in :func:`binary_crossentropy`.
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
        As :func:`binary_crossentropy_value_and_grad`; also for ``from_logits=False``.

    Examples
    --------
    >>> from xent_native import binary_crossentropy_grad_and_hess
    >>> grad, hess = binary_crossentropy_grad_and_hess([[1], [0]], [[0.0], [0.0]])
    >>> grad.tolist(), hess.tolist()
    ([[-0.5], [0.5]], [[0.25], [0.25]])
    """
    refuse_probabilities("binary_crossentropy_grad_and_hess", from_logits)
    _, grad, hess, _ = binary(
        y_true, y_pred, True, label_smoothing, axis, pos_weight=pos_weight, sample_weight=sample_weight,
        reduction=reduction, epsilon=EPSILON, n_threads=n_threads, grad_out=grad_out, hess_out=hess_out,
        loss=False, grad=True, hess=True,
    )  # fmt: skip
    return grad, hess


# fmt: off
@overload
def binary_focal_crossentropy(
    y_true: Any, y_pred: Any, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0,
    from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *, sample_weight: Any = None,
    reduction: EachRow = "none", epsilon: float = EPSILON, out: None = None, n_threads: int | None = None,
) -> Losses: ...
@overload
def binary_focal_crossentropy(
    y_true: Any, y_pred: Any, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0,
    from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *, sample_weight: Any = None,
    reduction: Reduced, epsilon: float = EPSILON, out: None = None, n_threads: int | None = None,
) -> float: ...
@overload
def binary_focal_crossentropy(
    y_true: Any, y_pred: Any, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0,
    from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *, sample_weight: Any = None,
    reduction: str | None = "none", epsilon: float = EPSILON, out: Buffer, n_threads: int | None = None,
) -> Buffer: ...
@overload
def binary_focal_crossentropy(
    y_true: Any, y_pred: Any, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0,
    from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *, sample_weight: Any = None,
    reduction: str | None = "none", epsilon: float = EPSILON, out: Array | None = None, n_threads: int | None = None,
) -> float | Array: ...
# fmt: on
def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
    *,
    sample_weight: Any = None,
    reduction: str | None = "none",
    epsilon: float = EPSILON,
    out: Any = None,
    n_threads: int | None = None,
) -> Any:
    r"""Binary cross-entropy that counts elements less the better they are predicted.

    .. math::

        \ell = \frac{1}{C} \sum_c a_c \, m_c^{\gamma} \, b_c, \qquad
        m = t (1 - p) + (1 - t) p

    where b is the :func:`binary_crossentropy` of an element, t the smoothed target, m the probability of the wrong
    answer, and a = 1, or ``alpha * t + (1 - alpha) * (1 - t)`` with `apply_class_balancing`.

    Parameters
    ----------
    y_true, y_pred, from_logits, label_smoothing, axis, sample_weight, reduction, epsilon, out, n_threads
        As in :func:`binary_crossentropy`. Targets lie in [0, 1]. Only b takes clipped probabilities, m takes them
        as they are, as in Keras.
    apply_class_balancing : bool, default False
        Whether `alpha` plays a part.
    alpha : float, default 0.25
        In [0, 1]: weight of positives; negatives have ``1 - alpha``.
    gamma : float, default 2.0
        At least 0, which gives binary cross-entropy.

    Returns
    -------
    loss : ndarray or float
        As from :func:`binary_crossentropy`. Targets outside of [0, 1] may make m negative: NaN there, unless
        `gamma` is 2.

    Raises
    ------
    TypeError, ValueError
        As :func:`binary_crossentropy`; also if `alpha` or `gamma` is out of range.

    Notes
    -----
    The power multiplies relative errors by gamma, so that all is computed in float64 whatever the input. From
    logits m is formed without cancellation: confident elements keep their digits. Infinite logits and NaN are as in
    :func:`binary_crossentropy`.

    References
    ----------
    T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, *Focal Loss for Dense Object Detection*, ICCV 2017.

    Examples
    --------
    >>> from xent_native import binary_focal_crossentropy
    >>> binary_focal_crossentropy([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]).round(6).tolist()
    [0.329865, 0.205798]
    """
    return value_and_grad(
        y_true, y_pred, from_logits, label_smoothing, axis, None, (apply_class_balancing, alpha, gamma),
        sample_weight, reduction, epsilon, n_threads, out,
    )[0]  # fmt: skip


# fmt: off
@overload
def binary_focal_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0,
    from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *, sample_weight: Any = None,
    reduction: EachRow = "none", epsilon: float = EPSILON, out: None = None, grad_out: Any = None,
    n_threads: int | None = None,
) -> tuple[Losses, Array]: ...
@overload
def binary_focal_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0,
    from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *, sample_weight: Any = None,
    reduction: Reduced, epsilon: float = EPSILON, out: None = None, grad_out: Any = None,
    n_threads: int | None = None,
) -> tuple[float, Array]: ...
@overload
def binary_focal_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0,
    from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *, sample_weight: Any = None,
    reduction: str | None = "none", epsilon: float = EPSILON, out: Buffer, grad_out: Any = None,
    n_threads: int | None = None,
) -> tuple[Buffer, Array]: ...
@overload
def binary_focal_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0,
    from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *, sample_weight: Any = None,
    reduction: str | None = "none", epsilon: float = EPSILON, out: Array | None = None, grad_out: Any = None,
    n_threads: int | None = None,
) -> tuple[float | Array, Array]: ...
# fmt: on
def binary_focal_crossentropy_value_and_grad(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
    *,
    sample_weight: Any = None,
    reduction: str | None = "none",
    epsilon: float = EPSILON,
    out: Any = None,
    grad_out: Any = None,
    n_threads: int | None = None,
) -> tuple[Any, Any]:
    r"""The loss of :func:`binary_focal_crossentropy` and its gradient, from one pass over `y_pred`.

    .. math::

        \frac{\partial \ell}{\partial y} = \frac{a}{C} \Bigl( m^{\gamma} \frac{\partial b}{\partial y}
        + \gamma m^{\gamma - 1} b \frac{\partial m}{\partial y} \Bigr)

    From probabilities the derivative of m is 1 - 2 t, clipped or not, and that of b is 0 where y is clipped.

    Parameters
    ----------
    y_true, y_pred, apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis, sample_weight,
    reduction, epsilon, out, n_threads
        As in :func:`binary_focal_crossentropy`.
    grad_out : ndarray, optional
        Where to put the gradient: shape and dtype of `y_pred`. From logits it may be `y_pred` itself.

    Returns
    -------
    loss : ndarray or float
        As from :func:`binary_focal_crossentropy`.
    grad : ndarray
        Derivative of the returned loss (of its sum, for ``reduction="none"``) with respect to `y_pred`;
        shape and dtype of `y_pred`.

    Raises
    ------
    TypeError, ValueError
        As :func:`binary_focal_crossentropy`; also if `grad_out` does not fit or overlaps another array.

    Examples
    --------
    >>> from xent_native import binary_focal_crossentropy_value_and_grad
    >>> loss, grad = binary_focal_crossentropy_value_and_grad([[1]], [[0.0]], from_logits=True)
    >>> loss.round(4).tolist(), grad.round(4).tolist()
    ([0.1733], [[-0.2983]])
    """
    return value_and_grad(
        y_true, y_pred, from_logits, label_smoothing, axis, None, (apply_class_balancing, alpha, gamma),
        sample_weight, reduction, epsilon, n_threads, out, True, grad_out,
    )  # fmt: skip
