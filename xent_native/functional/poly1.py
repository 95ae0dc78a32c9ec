# SPDX-License-Identifier: BSD-3-Clause
"""Poly1 cross-entropy: the first term of the loss's polynomial weighs more, or less."""

from __future__ import annotations

from typing import Any, overload

from .. import _core, _options
from .._typing import Array, Buffer, EachRow, Losses, Reduced
from ._call import EPSILON, short, thorough

__all__ = ["poly1_crossentropy", "poly1_crossentropy_value_and_grad"]

PLAIN = _core.PLAIN["poly1"]


# fmt: off
@overload
def poly1_crossentropy(
    y_true: Any, y_pred: Any, epsilon: float = 2.0, from_logits: bool = True, axis: int = -1, *,
    label_smoothing: float = 0.0, class_weight: Any = None, sample_weight: Any = None, reduction: EachRow = "none",
    clip_epsilon: float = EPSILON, out: None = None, n_threads: int | None = None,
) -> Losses: ...
@overload
def poly1_crossentropy(
    y_true: Any, y_pred: Any, epsilon: float = 2.0, from_logits: bool = True, axis: int = -1, *,
    label_smoothing: float = 0.0, class_weight: Any = None, sample_weight: Any = None, reduction: Reduced,
    clip_epsilon: float = EPSILON, out: None = None, n_threads: int | None = None,
) -> float: ...
@overload
def poly1_crossentropy(
    y_true: Any, y_pred: Any, epsilon: float = 2.0, from_logits: bool = True, axis: int = -1, *,
    label_smoothing: float = 0.0, class_weight: Any = None, sample_weight: Any = None, reduction: str | None = "none",
    clip_epsilon: float = EPSILON, out: Buffer, n_threads: int | None = None,
) -> Buffer: ...
@overload
def poly1_crossentropy(
    y_true: Any, y_pred: Any, epsilon: float = 2.0, from_logits: bool = True, axis: int = -1, *,
    label_smoothing: float = 0.0, class_weight: Any = None, sample_weight: Any = None, reduction: str | None = "none",
    clip_epsilon: float = EPSILON, out: Array | None = None, n_threads: int | None = None,
) -> float | Array: ...
# fmt: on
def poly1_crossentropy(
    y_true: Any,
    y_pred: Any,
    epsilon: float = 2.0,
    from_logits: bool = True,
    axis: int = -1,
    *,
    label_smoothing: float = 0.0,
    class_weight: Any = None,
    sample_weight: Any = None,
    reduction: str | None = "none",
    clip_epsilon: float = EPSILON,
    out: Any = None,
    n_threads: int | None = None,
) -> Any:
    r"""Cross-entropy with a term more that is linear in the probabilities.

    .. math::

        \ell = \sum_c w_c \, t_c \bigl(-\log p_c + \epsilon (1 - p_c)\bigr), \qquad
        p = \mathrm{softmax}(x) \;\text{ or }\; \mathrm{clip}\Bigl(\frac{y}{\sum_c y_c}, \delta, 1 - \delta\Bigr)

    where delta is `clip_epsilon`.

    Parameters
    ----------
    y_true : array_like
        Targets, of the shape of `y_pred`; usually non-negative rows that sum to 1, but any real numbers work.
    y_pred : array_like, shape (..., C, ...)
        Logits or probabilities (they are divided by their sum: NaN for a row where that is 0 or not finite), C along
        `axis`. float32 and float64 are computed as they are, float16 and bfloat16 in float32, integers in
        float64. Native arrays in C order are not copied, whatever `axis` is.
    epsilon : float, default 2.0
        Coefficient of the linear term; 0 is cross-entropy.
    from_logits : bool, default True
        Whether `y_pred` holds logits.
    axis : int, default -1
        The axis of the classes.
    label_smoothing : float, default 0.0
        In [0, 1]: targets become ``t * (1 - label_smoothing) + label_smoothing / C``.
    class_weight : array_like of shape (C,) or mapping, optional
        Factor of each class's term, after smoothing; classes that a mapping leaves out have 1.
    sample_weight : array_like, optional
        Factor of each row's loss; broadcasts to the shape of `y_pred` without `axis`. A row of weight 0
        counts nothing, even if it holds NaN.
    reduction : {"none", "sum", "mean", "sum_over_batch_size", "mean_with_sample_weight"} or None
        ``"mean"`` and ``"sum_over_batch_size"`` divide by the number of rows, ``"mean_with_sample_weight"``
        by the sum of the sample weights (the class weights stay out of it).
    clip_epsilon : float, default 1e-7
        Where probabilities are clipped; in [0, 0.5).
    out : ndarray, optional
        Where to put the result: shape and dtype of the per-row loss, or a scalar array if reduced.
    n_threads : int, optional
        At least 1; see :func:`xent_native.set_num_threads`. The result does not depend on it.

    Returns
    -------
    loss : ndarray or float
        Not in nats, because of the linear term. Per row: the shape of `y_pred` without `axis`, float64 for
        float64 input, else float32. Reduced: a float, summed in float64.

    Raises
    ------
    TypeError
        If an array does not hold real numbers, or an option that is a number is none.
    ValueError
        If shapes do not fit, or an option is out of range.

    References
    ----------
    Z. Leng, M. Tan, C. Liu, E. D. Cubuk, X. Shi, S. Cheng, D. Anguelov, *PolyLoss: A Polynomial Expansion
    Perspective of Classification Loss Functions*, ICLR 2022.

    Examples
    --------
    >>> from xent_native import poly1_crossentropy
    >>> poly1_crossentropy([[0, 1, 0], [1, 0, 0]], [[2.0, 5.0, 1.0], [7.0, 1.0, 0.5]]).round(7).tolist()
    [0.1934048, 0.0119071]
    """
    return _poly1(
        y_true, y_pred, epsilon, from_logits, axis, label_smoothing, class_weight, sample_weight, reduction,
        clip_epsilon, out, n_threads,
    )[0]  # fmt: skip


# fmt: off
@overload
def poly1_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, epsilon: float = 2.0, from_logits: bool = True, axis: int = -1, *,
    label_smoothing: float = 0.0, class_weight: Any = None, sample_weight: Any = None, reduction: EachRow = "none",
    clip_epsilon: float = EPSILON, out: None = None, grad_out: Any = None, n_threads: int | None = None,
) -> tuple[Losses, Array]: ...
@overload
def poly1_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, epsilon: float = 2.0, from_logits: bool = True, axis: int = -1, *,
    label_smoothing: float = 0.0, class_weight: Any = None, sample_weight: Any = None, reduction: Reduced,
    clip_epsilon: float = EPSILON, out: None = None, grad_out: Any = None, n_threads: int | None = None,
) -> tuple[float, Array]: ...
@overload
def poly1_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, epsilon: float = 2.0, from_logits: bool = True, axis: int = -1, *,
    label_smoothing: float = 0.0, class_weight: Any = None, sample_weight: Any = None, reduction: str | None = "none",
    clip_epsilon: float = EPSILON, out: Buffer, grad_out: Any = None, n_threads: int | None = None,
) -> tuple[Buffer, Array]: ...
@overload
def poly1_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, epsilon: float = 2.0, from_logits: bool = True, axis: int = -1, *,
    label_smoothing: float = 0.0, class_weight: Any = None, sample_weight: Any = None, reduction: str | None = "none",
    clip_epsilon: float = EPSILON, out: Array | None = None, grad_out: Any = None, n_threads: int | None = None,
) -> tuple[float | Array, Array]: ...
# fmt: on
def poly1_crossentropy_value_and_grad(
    y_true: Any,
    y_pred: Any,
    epsilon: float = 2.0,
    from_logits: bool = True,
    axis: int = -1,
    *,
    label_smoothing: float = 0.0,
    class_weight: Any = None,
    sample_weight: Any = None,
    reduction: str | None = "none",
    clip_epsilon: float = EPSILON,
    out: Any = None,
    grad_out: Any = None,
    n_threads: int | None = None,
) -> tuple[Any, Any]:
    r"""The loss of :func:`poly1_crossentropy` and its gradient.

    With u the smoothed and weighted targets, the gradient is that of cross-entropy with other targets:

    .. math::

        v_c = u_c (1 + \epsilon p_c), \qquad \frac{\partial \ell}{\partial x_c} = p_c \sum_k v_k - v_c

    and from probabilities, with S their sum, ``(sum of v over the unclipped classes) / S - v / y_pred``, the last term
    only where the class is not clipped.

    Parameters
    ----------
    y_true, y_pred, epsilon, from_logits, axis, label_smoothing, class_weight, sample_weight, reduction, clip_epsilon
        As in :func:`poly1_crossentropy`.
    out, n_threads
        As there, too.
    grad_out : ndarray, optional
        Where to put the gradient: shape and dtype of `y_pred`. From logits it may be `y_pred` itself.

    Returns
    -------
    loss : ndarray or float
        As from :func:`poly1_crossentropy`.
    grad : ndarray
        Derivative of the returned loss (of its sum, for ``reduction="none"``) with respect to `y_pred`;
        shape and dtype of `y_pred`.

    Raises
    ------
    TypeError, ValueError
        As :func:`poly1_crossentropy`; also if `grad_out` does not fit or overlaps another array.

    Examples
    --------
    >>> from xent_native import poly1_crossentropy_value_and_grad
    >>> loss, grad = poly1_crossentropy_value_and_grad([[0, 1]], [[0.0, 0.0]])
    >>> loss.round(4).tolist(), grad.round(4).tolist()
    ([1.6931], [[1.0, -1.0]])
    """
    return _poly1(
        y_true, y_pred, epsilon, from_logits, axis, label_smoothing, class_weight, sample_weight, reduction,
        clip_epsilon, out, n_threads, True, grad_out,
    )  # fmt: skip


def _poly1(
    y_true: Any,
    y_pred: Any,
    epsilon: float,
    from_logits: bool,
    axis: int,
    label_smoothing: float,
    class_weight: Any,
    sample_weight: Any,
    reduction: str | None,
    clip_epsilon: float,
    out: Any = None,
    n_threads: int | None = None,
    grad: bool = False,
    grad_out: Any = None,
) -> tuple[Any, Any]:
    """(loss, gradient or None), for functions and classes."""
    plain = short(
        PLAIN, y_true, y_pred, from_logits, axis, label_smoothing, class_weight, sample_weight, reduction,
        clip_epsilon, n_threads, out, grad, grad_out, epsilon,
    )  # fmt: skip
    if plain is not None:
        return plain
    return thorough(
        True, y_true, y_pred, from_logits, axis, ignore_class=None, label_smoothing=label_smoothing,
        class_weight=class_weight, sample_weight=sample_weight, reduction=reduction,
        epsilon=_options.clip_epsilon(clip_epsilon, "clip_epsilon"), n_threads=n_threads, out=out,
        grad_out=grad_out, grad=grad, shape="poly1", coefficient=_options.finite_number("epsilon", epsilon),
    )[:2]  # fmt: skip
