# SPDX-License-Identifier: BSD-3-Clause
"""Categorical focal cross-entropy: dense targets, easy classes count less."""

from __future__ import annotations

from typing import Any, overload

from .. import _core, _options
from .._typing import Array, Buffer, EachRow, Losses, Reduced
from ._call import EPSILON, short, thorough

__all__ = ["categorical_focal_crossentropy", "categorical_focal_crossentropy_value_and_grad"]

PLAIN = _core.PLAIN["focal"]


# fmt: off
@overload
def categorical_focal_crossentropy(
    y_true: Any, y_pred: Any, alpha: Any = 0.25, gamma: float = 2.0, from_logits: bool = False,
    label_smoothing: float = 0.0, axis: int = -1, *, class_weight: Any = None, sample_weight: Any = None,
    reduction: EachRow = "none", epsilon: float = EPSILON, out: None = None, n_threads: int | None = None,
) -> Losses: ...
@overload
def categorical_focal_crossentropy(
    y_true: Any, y_pred: Any, alpha: Any = 0.25, gamma: float = 2.0, from_logits: bool = False,
    label_smoothing: float = 0.0, axis: int = -1, *, class_weight: Any = None, sample_weight: Any = None,
    reduction: Reduced, epsilon: float = EPSILON, out: None = None, n_threads: int | None = None,
) -> float: ...
@overload
def categorical_focal_crossentropy(
    y_true: Any, y_pred: Any, alpha: Any = 0.25, gamma: float = 2.0, from_logits: bool = False,
    label_smoothing: float = 0.0, axis: int = -1, *, class_weight: Any = None, sample_weight: Any = None,
    reduction: str | None = "none", epsilon: float = EPSILON, out: Buffer, n_threads: int | None = None,
) -> Buffer: ...
@overload
def categorical_focal_crossentropy(
    y_true: Any, y_pred: Any, alpha: Any = 0.25, gamma: float = 2.0, from_logits: bool = False,
    label_smoothing: float = 0.0, axis: int = -1, *, class_weight: Any = None, sample_weight: Any = None,
    reduction: str | None = "none", epsilon: float = EPSILON, out: Array | None = None, n_threads: int | None = None,
) -> float | Array: ...
# fmt: on
def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: float = 2.0,
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
    r"""Cross-entropy whose terms count less the surer a class is.

    .. math::

        \ell = -\sum_c \alpha_c \, w_c \, t_c (1 - p_c)^\gamma \log p_c, \qquad
        p = \mathrm{softmax}(x) \;\text{ or }\; \mathrm{clip}\Bigl(\frac{y}{\sum_c y_c}, \epsilon, 1 - \epsilon\Bigr)

    Parameters
    ----------
    y_true : array_like
        Targets, of the shape of `y_pred`; usually non-negative rows that sum to 1, but any real numbers work.
    y_pred : array_like, shape (..., C, ...)
        Logits or probabilities (they are divided by their sum: NaN for a row where that is 0 or not finite), C along
        `axis`. float32 and float64 are computed as they are, float16 and bfloat16 in float32, integers in
        float64. Native arrays in C order are not copied, whatever `axis` is.
    alpha : float or array_like of shape (C,), default 0.25
        Factor of the loss, or of each class's term; it multiplies `class_weight`.
    gamma : float, default 2.0
        At least 0; 0 is cross-entropy times `alpha`.
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
        If an array does not hold real numbers, or an option that is a number is none.
    ValueError
        If shapes do not fit, or an option is out of range.

    Notes
    -----
    From logits 1 - p is taken from the sum over the other classes where p is the largest, and -log p from two
    terms that are not negative: a loss of 1e-27 has the digits that one of 1 has. There is no clip from logits
    (Keras clips there, too).

    References
    ----------
    T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, *Focal Loss for Dense Object Detection*, ICCV 2017,
    with more than two classes as in Keras.

    Examples
    --------
    >>> from xent_native import categorical_focal_crossentropy
    >>> categorical_focal_crossentropy([[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0.0], [0.1, 0.8, 0.1]]).round(8).tolist()
    [3.206e-05, 0.46627348]
    """
    return _focal(
        y_true, y_pred, alpha, gamma, from_logits, label_smoothing, axis, class_weight, sample_weight, reduction,
        epsilon, out, n_threads,
    )[0]  # fmt: skip


# fmt: off
@overload
def categorical_focal_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, alpha: Any = 0.25, gamma: float = 2.0, from_logits: bool = False,
    label_smoothing: float = 0.0, axis: int = -1, *, class_weight: Any = None, sample_weight: Any = None,
    reduction: EachRow = "none", epsilon: float = EPSILON, out: None = None, grad_out: Any = None,
    n_threads: int | None = None,
) -> tuple[Losses, Array]: ...
@overload
def categorical_focal_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, alpha: Any = 0.25, gamma: float = 2.0, from_logits: bool = False,
    label_smoothing: float = 0.0, axis: int = -1, *, class_weight: Any = None, sample_weight: Any = None,
    reduction: Reduced, epsilon: float = EPSILON, out: None = None, grad_out: Any = None,
    n_threads: int | None = None,
) -> tuple[float, Array]: ...
@overload
def categorical_focal_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, alpha: Any = 0.25, gamma: float = 2.0, from_logits: bool = False,
    label_smoothing: float = 0.0, axis: int = -1, *, class_weight: Any = None, sample_weight: Any = None,
    reduction: str | None = "none", epsilon: float = EPSILON, out: Buffer, grad_out: Any = None,
    n_threads: int | None = None,
) -> tuple[Buffer, Array]: ...
@overload
def categorical_focal_crossentropy_value_and_grad(
    y_true: Any, y_pred: Any, alpha: Any = 0.25, gamma: float = 2.0, from_logits: bool = False,
    label_smoothing: float = 0.0, axis: int = -1, *, class_weight: Any = None, sample_weight: Any = None,
    reduction: str | None = "none", epsilon: float = EPSILON, out: Array | None = None, grad_out: Any = None,
    n_threads: int | None = None,
) -> tuple[float | Array, Array]: ...
# fmt: on
def categorical_focal_crossentropy_value_and_grad(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: float = 2.0,
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
    r"""The loss of :func:`categorical_focal_crossentropy` and its gradient.

    With u the smoothed and weighted targets, alpha included, the gradient is that of cross-entropy with other targets:

    .. math::

        v_c = u_c (1 - p_c)^{\gamma - 1} (1 - p_c - \gamma p_c \log p_c), \qquad
        \frac{\partial \ell}{\partial x_c} = p_c \sum_k v_k - v_c

    and from probabilities, with S their sum, ``(sum of v over the unclipped classes) / S - v / y_pred``, the last term
    only where the class is not clipped.

    Parameters
    ----------
    y_true, y_pred, alpha, gamma, from_logits, label_smoothing, axis, class_weight, sample_weight, reduction, epsilon
        As in :func:`categorical_focal_crossentropy`.
    out, n_threads
        As there, too.
    grad_out : ndarray, optional
        Where to put the gradient: shape and dtype of `y_pred`. From logits it may be `y_pred` itself.

    Returns
    -------
    loss : ndarray or float
        As from :func:`categorical_focal_crossentropy`.
    grad : ndarray
        Derivative of the returned loss (of its sum, for ``reduction="none"``) with respect to `y_pred`;
        shape and dtype of `y_pred`.

    Raises
    ------
    TypeError, ValueError
        As :func:`categorical_focal_crossentropy`; also if `grad_out` does not fit or overlaps another array.

    Examples
    --------
    >>> from xent_native import categorical_focal_crossentropy_value_and_grad
    >>> loss, grad = categorical_focal_crossentropy_value_and_grad([[0, 1]], [[0.0, 0.0]], from_logits=True)
    >>> loss.round(4).tolist(), grad.round(4).tolist()
    ([0.0433], [[0.0746, -0.0746]])
    """
    return _focal(
        y_true, y_pred, alpha, gamma, from_logits, label_smoothing, axis, class_weight, sample_weight, reduction,
        epsilon, out, n_threads, True, grad_out,
    )  # fmt: skip


def _focal(
    y_true: Any,
    y_pred: Any,
    alpha: Any,
    gamma: float,
    from_logits: bool,
    label_smoothing: float,
    axis: int,
    class_weight: Any,
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
        PLAIN, y_true, y_pred, from_logits, axis, label_smoothing, class_weight, sample_weight, reduction, epsilon,
        n_threads, out, grad, grad_out, gamma, alpha,
    )  # fmt: skip
    if plain is not None:
        return plain
    return thorough(
        True, y_true, y_pred, from_logits, axis, ignore_class=None, label_smoothing=label_smoothing,
        class_weight=class_weight, sample_weight=sample_weight, reduction=reduction, epsilon=epsilon,
        n_threads=n_threads, out=out, grad_out=grad_out, grad=grad, shape="focal",
        coefficient=_options.finite_number("gamma", gamma, 0.0), alpha=alpha,
    )[:2]  # fmt: skip
