# SPDX-License-Identifier: BSD-3-Clause
"""The losses as functions, with Keras's names and positional order."""

from __future__ import annotations

from typing import Any

from . import _core, _problem, runtime

__all__ = [
    "categorical_crossentropy",
    "categorical_crossentropy_grad_and_hess",
    "categorical_crossentropy_value_and_grad",
    "sparse_categorical_crossentropy",
    "sparse_categorical_crossentropy_grad_and_hess",
    "sparse_categorical_crossentropy_value_and_grad",
]

EPSILON = 1e-7


def cross_entropy(
    dense: bool,
    y_true: Any,
    y_pred: Any,
    from_logits: bool,
    axis: int,
    ignore_class: int | None,
    label_smoothing: float,
    class_weight: Any,
    sample_weight: Any,
    reduction: str | None,
    epsilon: float,
    n_threads: int | None,
    out: Any,
    grad: bool,
    grad_out: Any,
) -> tuple[Any, Any]:
    """(loss, gradient or None). Functions and classes end up here, with all arguments in this order.

    They are passed by position because that takes half the time of passing them by name, and the whole call
    of a small batch takes about a microsecond.
    """
    if (
        class_weight is None
        and sample_weight is None
        and n_threads is None
        and out is None
        and grad_out is None
    ):
        plain = _core.plain_cross_entropy(
            dense, y_true, y_pred, from_logits, axis, ignore_class, label_smoothing, reduction, epsilon,
            runtime.resolve_threads(None), grad,
        )  # fmt: skip
        if plain is not None:
            return plain
    return _thorough(
        dense, y_true, y_pred, from_logits, axis, ignore_class=ignore_class, label_smoothing=label_smoothing,
        class_weight=class_weight, sample_weight=sample_weight, reduction=reduction, epsilon=epsilon,
        n_threads=n_threads, out=out, grad_out=grad_out, grad=grad,
    )[:2]  # fmt: skip


def _thorough(
    dense: bool,
    y_true: Any,
    y_pred: Any,
    from_logits: bool,
    axis: int,
    *,
    ignore_class: int | None,
    label_smoothing: float,
    class_weight: Any,
    sample_weight: Any,
    reduction: str | None,
    epsilon: float,
    n_threads: int | None,
    out: Any = None,
    grad_out: Any = None,
    hess_out: Any = None,
    loss: bool = True,
    grad: bool = False,
    hess: bool = False,
) -> tuple[Any, Any, Any]:
    """(loss, gradient, Hessian), None where not asked for: any arguments, all of them checked and converted."""
    given, grad_dtype = _problem.prediction(y_pred)
    axis = _problem.class_axis(axis, given)
    x = _problem.passable(given, axis)
    code = _problem.reduction_code(reduction)
    if dense:
        target, labels, label_code, ignored = _problem.targets(y_true, x, axis), None, 0, None
        if target.dtype != x.dtype:
            x = x.astype(target.dtype)
    else:
        target, labels = None, _problem.labels(y_true, x, axis)
        label_code = _core.INTEGERS[labels.dtype]
        ignored = _problem.ignored_class(ignore_class, labels.dtype)
    weights = _problem.sample_weights(sample_weight, x, axis)
    factors = _problem.class_weights(class_weight, x, axis)
    smoothing = _problem.smoothing(label_smoothing)
    clip = _problem.clip_epsilon(epsilon)
    threads = runtime.resolve_threads(n_threads)
    values = _problem.Rows(out, x, axis, code) if loss else None
    slope = _problem.Plane("grad_out", grad_out, x, axis, grad_dtype) if grad else None
    curve = _problem.Plane("hess_out", hess_out, x, axis, grad_dtype) if hess else None
    if out is not None or grad_out is not None or hess_out is not None:
        in_place = bool(from_logits) and grad_out is y_pred
        # Both what came and what it became: a tensor and the array that views its memory.
        came = {
            "y_pred": y_pred,
            "y_true": y_true,
            "sample_weight": sample_weight,
            "class_weight": class_weight,
        }
        became = {
            "y_pred": given,
            "y_true": target if dense else labels,
            "sample_weight": weights,
            "class_weight": factors,
        }
        for inputs in (came, became):
            _problem.refuse_overlaps(inputs, out, grad_out, hess_out, in_place)
    try:
        reduced = _core.cross_entropy(
            bool(from_logits), x, _core.stored_code(x.dtype), axis, labels, label_code, target, ignored, smoothing,
            factors, weights, 0 if weights is None else _core.FLOATS[weights.dtype], clip, code, threads,
            None if values is None else values.native, _core.FLOATS[_problem.computed(x.dtype)], None,
            None if slope is None else slope.native, None if curve is None else curve.native, None, None,
        )  # fmt: skip
    except _core.LabelError as error:
        raise _problem.label_error(error, x, axis, ignore_class) from None
    return (
        None if values is None else values.finish(reduced),
        None if slope is None else slope.finish(),
        None if curve is None else curve.finish(),
    )


def _refuse_probabilities(name: str, from_logits: bool) -> None:
    if not from_logits:
        raise ValueError(f"{name} must have from_logits=True: there is no Hessian from probabilities")


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
        Logits or probabilities (they are divided by their sum), C along `axis`. float32 and float64 are
        computed as they are, float16 and bfloat16 in float32, integers in float64. Native arrays in C order
        are not copied, whatever `axis` is.
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
) -> tuple[Any, Any]:
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
    _refuse_probabilities("categorical_crossentropy_grad_and_hess", from_logits)
    _, grad, hess = _thorough(
        True, y_true, y_pred, True, axis, ignore_class=None, label_smoothing=label_smoothing, class_weight=class_weight,
        sample_weight=sample_weight, reduction=reduction, epsilon=EPSILON, grad_out=grad_out,
        hess_out=hess_out, n_threads=n_threads, loss=False, grad=True, hess=True,
    )  # fmt: skip
    return grad, hess


def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
    *,
    label_smoothing: float = 0.0,
    class_weight: Any = None,
    sample_weight: Any = None,
    reduction: str | None = "none",
    epsilon: float = EPSILON,
    out: Any = None,
    n_threads: int | None = None,
) -> Any:
    r"""Cross-entropy between labels that are class indices and predictions.

    The same values as :func:`categorical_crossentropy` with one-hot targets, which are never made: without
    smoothing the loss of a row is

    .. math::

        \ell = -w_y \log p_y, \qquad
        p = \mathrm{softmax}(x) \;\text{ or }\; \mathrm{clip}\Bigl(\frac{y}{\sum_c y_c}, \epsilon, 1 - \epsilon\Bigr)

    Parameters
    ----------
    y_true : array_like of int
        Class indices in [0, C), of any integer dtype, with the shape of `y_pred` without `axis`, or with
        length 1 there.
    y_pred : array_like, shape (..., C, ...)
        Logits or probabilities (they are divided by their sum), C along `axis`. float32 and float64 are
        computed as they are, float16 and bfloat16 in float32, integers in float64. Native arrays in C order
        are not copied, whatever `axis` is.
    from_logits : bool, default False
        Whether `y_pred` holds logits.
    ignore_class : int, optional
        Rows with this label have loss 0 and gradient 0, and do not count in a mean.
    axis : int, default -1
        The axis of the classes.
    label_smoothing : float, default 0.0
        In [0, 1]: the target is ``1 - label_smoothing + label_smoothing / C`` at the label and
        ``label_smoothing / C`` elsewhere.
    class_weight : array_like of shape (C,) or mapping, optional
        Factor of each class's term, after smoothing; classes that a mapping leaves out have 1.
    sample_weight : array_like, optional
        Factor of each row's loss; broadcasts to the shape of `y_pred` without `axis`. A row of weight 0
        counts nothing, even if it holds NaN.
    reduction : {"none", "sum", "mean", "sum_over_batch_size", "mean_with_sample_weight"} or None
        ``"mean"`` and ``"sum_over_batch_size"`` divide by the number of rows that are not ignored,
        ``"mean_with_sample_weight"`` by the sum of their sample weights (the class weights stay out of it).
        The mean of nothing is 0.
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
    IndexError
        If a label is outside of [0, C) and not `ignore_class`; nothing is written then.
    TypeError
        If `y_true` does not hold integers, or another array no real numbers.
    ValueError
        If shapes do not fit, or an option is out of range.

    Notes
    -----
    From logits the loss is ``log(S) + (max(x) - x[y])``, two terms that are never negative: no digits are
    lost in confident rows, where ``logsumexp(x) - x[y]`` in float32 returns 0.

    References
    ----------
    I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, MIT Press 2016, section 6.2.2.

    Examples
    --------
    >>> from xent_native import sparse_categorical_crossentropy
    >>> logits = [[2.0, 5.0, 1.0], [7.0, 1.0, 0.5]]
    >>> sparse_categorical_crossentropy([1, 0], logits, from_logits=True).round(7).tolist()
    [0.0658839, 0.0039743]
    >>> round(sparse_categorical_crossentropy([1, -1], logits, True, ignore_class=-1, reduction="mean"), 7)
    0.0658839
    """
    return cross_entropy(
        False, y_true, y_pred, from_logits, axis, ignore_class, label_smoothing, class_weight, sample_weight,
        reduction, epsilon, n_threads, out, False, None,
    )[0]  # fmt: skip


def sparse_categorical_crossentropy_value_and_grad(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
    *,
    label_smoothing: float = 0.0,
    class_weight: Any = None,
    sample_weight: Any = None,
    reduction: str | None = "none",
    epsilon: float = EPSILON,
    out: Any = None,
    grad_out: Any = None,
    n_threads: int | None = None,
) -> tuple[Any, Any]:
    r"""The loss of :func:`sparse_categorical_crossentropy` and its gradient, from one pass over `y_pred`.

    From logits and without smoothing, times the weights of the row:

    .. math:: \frac{\partial \ell}{\partial x_c} = p_c - [c = y]

    From probabilities the clip is part of the formula: with S the sum of a row and p the entry at its label,
    the gradient is ``1 / S`` and, at the label, ``1 / S - 1 / p``; 0 everywhere if p / S is clipped.

    Parameters
    ----------
    y_true, y_pred, from_logits, ignore_class, axis, label_smoothing, class_weight, sample_weight, reduction,
    epsilon, out, n_threads
        As in :func:`sparse_categorical_crossentropy`.
    grad_out : ndarray, optional
        Where to put the gradient: shape and dtype of `y_pred`. From logits it may be `y_pred` itself.

    Returns
    -------
    loss : ndarray or float
        As from :func:`sparse_categorical_crossentropy`.
    grad : ndarray
        Derivative of the returned loss (of its sum, for ``reduction="none"``) with respect to `y_pred`;
        shape and dtype of `y_pred`.

    Raises
    ------
    IndexError, TypeError, ValueError
        As :func:`sparse_categorical_crossentropy`; also if `grad_out` does not fit or overlaps another array.

    Examples
    --------
    >>> from xent_native import sparse_categorical_crossentropy_value_and_grad
    >>> loss, grad = sparse_categorical_crossentropy_value_and_grad([1], [[0.0, 0.0, 0.0]], from_logits=True)
    >>> loss.round(4).tolist(), grad.round(4).tolist()
    ([1.0986], [[0.3333, -0.6667, 0.3333]])
    """
    return cross_entropy(
        False, y_true, y_pred, from_logits, axis, ignore_class, label_smoothing, class_weight, sample_weight,
        reduction, epsilon, n_threads, out, True, grad_out,
    )  # fmt: skip


def sparse_categorical_crossentropy_grad_and_hess(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = True,
    ignore_class: int | None = None,
    axis: int = -1,
    *,
    label_smoothing: float = 0.0,
    class_weight: Any = None,
    sample_weight: Any = None,
    reduction: str | None = "none",
    grad_out: Any = None,
    hess_out: Any = None,
    n_threads: int | None = None,
) -> tuple[Any, Any]:
    r"""Gradient and diagonal of the Hessian of :func:`sparse_categorical_crossentropy` from logits.

    What second-order boosters ask for. Without smoothing, times the weights of the row:

    .. math:: \frac{\partial^2 \ell}{\partial x_c^2} = p_c (1 - p_c)

    Parameters
    ----------
    y_true, y_pred, ignore_class, axis, label_smoothing, class_weight, sample_weight, reduction, n_threads
        As in :func:`sparse_categorical_crossentropy`.
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
    IndexError, TypeError, ValueError
        As :func:`sparse_categorical_crossentropy_value_and_grad`; also for ``from_logits=False``.

    Examples
    --------
    >>> from xent_native import sparse_categorical_crossentropy_grad_and_hess
    >>> grad, hess = sparse_categorical_crossentropy_grad_and_hess([1], [[0.0, 0.0]])
    >>> grad.tolist(), hess.tolist()
    ([[0.5, -0.5]], [[0.25, 0.25]])
    """
    _refuse_probabilities("sparse_categorical_crossentropy_grad_and_hess", from_logits)
    _, grad, hess = _thorough(
        False, y_true, y_pred, True, axis, ignore_class=ignore_class, label_smoothing=label_smoothing,
        class_weight=class_weight, sample_weight=sample_weight, reduction=reduction, epsilon=EPSILON,
        grad_out=grad_out, hess_out=hess_out, n_threads=n_threads, loss=False, grad=True, hess=True,
    )  # fmt: skip
    return grad, hess
