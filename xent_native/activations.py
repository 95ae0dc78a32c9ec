# SPDX-License-Identifier: BSD-3-Clause
"""Softmax, log-softmax, log-sum-exp and the sigmoid on the kernels of the losses, and one-hot encoding."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from . import _copy, _core, _options, _problem, runtime

__all__ = ["log_softmax", "logsumexp", "sigmoid", "softmax", "to_categorical"]

_MOST_DIMENSIONS = 64  # of NumPy's arrays


def _softmax_plane(x: Any, axis: int, out: Any, logarithm: bool, n_threads: int | None) -> np.ndarray:
    given, dtype = _problem.prediction(x, "x")
    axis = _problem.class_axis(axis, given, "x")
    logits = _problem.passable(given, axis)
    if out is not None:
        _problem.output("out", out, given.shape, (dtype,))
        if out is not x:
            _problem.refuse_overlap("out", out, {"x": given})
    native: np.ndarray = out
    if out is None or dtype != logits.dtype or _problem.passable(out, axis) is not out:
        native = np.empty(logits.shape, logits.dtype)
    _core.cross_entropy(
        True, logits, _core.stored_code(logits.dtype), axis, None, 0, None, None, 0.0, None, None, 0, 0.0, 0,
        runtime.resolve_threads(n_threads), None, 0, None, None, None,
        None if logarithm else native, native if logarithm else None, _core.SHAPES["plain"], 0.0, 1.0,
    )  # fmt: skip
    if native is out or (out is None and dtype == native.dtype):
        return native
    result: np.ndarray = np.empty(native.shape, dtype) if out is None else out
    _copy.fill(result, native)
    return result


def softmax(x: Any, axis: int = -1, *, out: Any = None, n_threads: int | None = None) -> np.ndarray:
    r"""Probabilities from logits.

    .. math:: p_c = \frac{e^{x_c}}{\sum_k e^{x_k}}

    Parameters
    ----------
    x : array_like, shape (..., C, ...)
        Logits, C along `axis`.
    axis : int, default -1
        The axis that is normalised.
    out : ndarray, optional
        Where to put the result: shape and dtype of `x`; may be `x` itself.
    n_threads : int, optional
        At least 1; see :func:`xent_native.set_num_threads`.

    Returns
    -------
    ndarray
        Shape and dtype of `x` (float64 for integers). NaN in rows that hold NaN or +inf, or nothing but -inf.

    Raises
    ------
    TypeError, ValueError
        If `x` is no array of real numbers, or `axis` or `out` does not fit.

    Examples
    --------
    >>> from xent_native import softmax
    >>> softmax([0.0, 0.0, -float("inf")]).tolist()
    [0.5, 0.5, 0.0]
    """
    return _softmax_plane(x, axis, out, False, n_threads)


def log_softmax(x: Any, axis: int = -1, *, out: Any = None, n_threads: int | None = None) -> np.ndarray:
    r"""Logarithms of :func:`softmax`, exact where the probability rounds to 1.

    .. math:: \log p_c = x_c - \log \sum_k e^{x_k}

    Parameters
    ----------
    x, axis, out, n_threads
        As in :func:`softmax`.

    Returns
    -------
    ndarray
        Shape and dtype of `x` (float64 for integers).

    Raises
    ------
    TypeError, ValueError
        As :func:`softmax`.

    Examples
    --------
    >>> from xent_native import log_softmax
    >>> log_softmax([40.0, 0.0]).round(22).tolist()
    [-4.2484e-18, -40.0]
    """
    return _softmax_plane(x, axis, out, True, n_threads)


def logsumexp(x: Any, axis: int = -1, *, out: Any = None, n_threads: int | None = None) -> np.ndarray:
    r"""Logarithm of the sum of exponentials.

    .. math:: \log \sum_c e^{x_c}

    Parameters
    ----------
    x, axis, n_threads
        As in :func:`softmax`.
    out : ndarray, optional
        Where to put the result: shape of `x` without `axis`, float64 for float64 input, else float32.

    Returns
    -------
    ndarray
        Shape of `x` without `axis`; float64 for float64 and integer input, else float32. NaN for rows that
        hold NaN or +inf, or nothing but -inf.

    Raises
    ------
    TypeError, ValueError
        As :func:`softmax`.

    Examples
    --------
    >>> from xent_native import logsumexp
    >>> logsumexp([[0.0, 0.0], [1000.0, 1000.0]]).round(4).tolist()
    [0.6931, 1000.6931]
    """
    given, _ = _problem.prediction(x, "x")
    axis = _problem.class_axis(axis, given, "x")
    logits = _problem.passable(given, axis)
    rows, dtype = _problem.row_shape(logits, axis), _problem.computed(logits.dtype)
    if out is not None:
        _problem.output("out", out, rows, (dtype,))
        _problem.refuse_overlap("out", out, {"x": given})
    direct = out is not None and out.flags.c_contiguous and out.flags.aligned
    native: np.ndarray = out if direct else np.empty(rows, dtype)
    _core.cross_entropy(
        True, logits, _core.stored_code(logits.dtype), axis, None, 0, None, None, 0.0, None, None, 0, 0.0, 0,
        runtime.resolve_threads(n_threads), None, _core.FLOATS[dtype], native, None, None, None, None,
        _core.SHAPES["plain"], 0.0, 1.0,
    )  # fmt: skip
    if native is out or out is None:
        return native
    result: np.ndarray = out
    _copy.fill(result, native)
    return result


def sigmoid(x: Any, *, out: Any = None, n_threads: int | None = None) -> np.ndarray:
    r"""Probabilities of yes-or-no answers from logits, element by element.

    .. math:: \sigma(x) = \frac{1}{1 + e^{-x}}

    Parameters
    ----------
    x : array_like
        Logits, of any shape.
    out : ndarray, optional
        Where to put the result: shape and dtype of `x`; may be `x` itself.
    n_threads : int, optional
        At least 1; see :func:`xent_native.set_num_threads`.

    Returns
    -------
    ndarray
        Shape and dtype of `x` (float64 for integers). Small ones keep all their digits, as 1 - p of a large
        one does as ``sigmoid(-x)``. 0 at -inf, 1 at inf, NaN at NaN.

    Raises
    ------
    TypeError, ValueError
        If `x` is no array of real numbers, or `out` does not fit.

    Examples
    --------
    >>> from xent_native import sigmoid
    >>> sigmoid([0.0, -40.0, float("inf")]).tolist()
    [0.5, 4.248354255291589e-18, 1.0]
    """
    given, dtype = _problem.prediction(x, "x")
    if out is not None:
        _problem.output("out", out, given.shape, (dtype,))
        if out is not x:
            _problem.refuse_overlap("out", out, {"x": given})
    threads = runtime.resolve_threads(n_threads)
    result: np.ndarray = np.empty(given.shape, dtype) if out is None else out
    if given.size == 0:
        return result
    if given.ndim == 0:
        given = given[None]
    axis = given.ndim - 1
    logits = _problem.passable(given, axis)
    view = result.reshape(given.shape) if result.ndim == 0 else result
    direct = dtype == logits.dtype and _problem.passable(view, axis) is view
    native = view if direct else np.empty(logits.shape, logits.dtype)
    _core.binary_cross_entropy(
        True, logits, _core.stored_code(logits.dtype), axis, None, 0.0, None, None, None, 0, 0.0, 0, 0.0,
        threads, None, 0, None, None, None, native,
    )  # fmt: skip
    if not direct:
        _copy.fill(view, native)
    return result


def to_categorical(y: Any, num_classes: int | None = None) -> np.ndarray:
    """One-hot rows from class indices, as ``keras.utils.to_categorical``.

    Parameters
    ----------
    y : array_like of int
        Class indices in [0, num_classes). A last axis of length 1 is dropped if there are others.
    num_classes : int, optional
        The largest index plus 1 if not given.

    Returns
    -------
    ndarray of float64
        Shape of `y` with `num_classes` appended.

    Raises
    ------
    TypeError
        If `y` does not hold integers.
    IndexError
        If an index is out of range.
    ValueError
        If `num_classes` is not a positive integer, or missing while `y` is empty.

    Examples
    --------
    >>> from xent_native import to_categorical
    >>> to_categorical([0, 2]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    labels = _problem.as_array("y", y)
    if labels.dtype.kind not in "iu" and labels.size:
        raise TypeError(f"y must hold integer class indices; got dtype {labels.dtype}")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if num_classes is None:
        if labels.size == 0:
            raise ValueError("num_classes must be given where y is empty")
        num_classes = max(int(labels.max()), 0) + 1
    try:
        classes = _options.integer(num_classes)
    except (TypeError, OverflowError):
        raise ValueError(
            f"num_classes must be a positive integer; got {_options.shown(num_classes)}"
        ) from None
    if classes < 1:
        raise ValueError(f"num_classes must be a positive integer; got {_options.shown(classes)}")
    flat = labels.reshape(-1)
    bad = np.flatnonzero((flat < 0) | (flat >= classes))
    if bad.size:
        index = tuple(int(i) for i in np.unravel_index(bad[0], labels.shape)) if labels.ndim else ()
        raise IndexError(f"y must lie in [0, {classes}); got {flat[bad[0]]} at {_problem.place(index)}")
    if labels.ndim == _MOST_DIMENSIONS or max(1, flat.size) * classes > sys.maxsize // 8:
        raise ValueError(
            f"y of shape {labels.shape} and num_classes {_options.shown(classes)} make more than an array can hold"
        )
    dense = np.zeros((flat.size, classes))
    dense[np.arange(flat.size), flat.astype(np.intp)] = 1.0
    return dense.reshape(*labels.shape, classes)
