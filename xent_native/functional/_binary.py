# SPDX-License-Identifier: BSD-3-Clause
"""How every binary cross-entropy reaches C: arguments checked and converted, outputs made."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _copy, _core, _options, _problem, runtime
from ._call import short

Focal = tuple[Any, Any, Any]
PLAIN, PLAIN_FOCAL = _core.PLAIN["binary"], _core.PLAIN["binary focal"]


def value_and_grad(
    y_true: Any,
    y_pred: Any,
    from_logits: bool,
    label_smoothing: float,
    axis: int,
    pos_weight: Any,
    focal: Focal | None,
    sample_weight: Any,
    reduction: str | None,
    epsilon: float,
    n_threads: int | None = None,
    out: Any = None,
    grad: bool = False,
    grad_out: Any = None,
) -> tuple[Any, Any]:
    """(loss, gradient or None), for functions and classes. `focal` is (apply_class_balancing, alpha, gamma)."""
    balanced, alpha, gamma = (False, 1.0, 0.0) if focal is None else focal
    plain = short(
        PLAIN if focal is None else PLAIN_FOCAL, y_true, y_pred, from_logits, axis, label_smoothing, pos_weight,
        sample_weight, reduction, epsilon, n_threads, out, grad, grad_out, gamma, alpha, balanced,
    )  # fmt: skip
    if plain is not None:
        return plain
    return binary(
        y_true, y_pred, from_logits, label_smoothing, axis, pos_weight=pos_weight, focal=focal,
        sample_weight=sample_weight, reduction=reduction, epsilon=epsilon, n_threads=n_threads, out=out, grad=grad,
        grad_out=grad_out,
    )[:2]  # fmt: skip


def binary(
    y_true: Any,
    y_pred: Any,
    from_logits: bool,
    label_smoothing: float,
    axis: int,
    *,
    pos_weight: Any = None,
    focal: Focal | None = None,
    sample_weight: Any,
    reduction: str | None,
    epsilon: float,
    n_threads: int | None,
    out: Any = None,
    grad_out: Any = None,
    hess_out: Any = None,
    each_out: Any = None,
    loss: bool = True,
    grad: bool = False,
    hess: bool = False,
    each: bool = False,
    class_sum: bool = False,
) -> tuple[Any, Any, Any, Any]:
    """(loss, gradient, Hessian, losses of the elements), None where not asked for.

    A row's loss is the mean over its classes, or with
    `class_sum` their sum, as hosts want it that reduce over elements. The losses of the elements carry the
    weights of their rows, and have the dtype that `y_pred` is computed in.
    """
    given, grad_dtype = _problem.prediction(y_pred)
    axis = _problem.class_axis(axis, given)
    x = _problem.passable(given, axis)
    code = _options.reduction_code(reduction)
    target = _problem.targets(y_true, x, axis)
    if target.dtype != x.dtype:
        x = _copy.converted(x, target.dtype)
    dtype = _problem.computed(x.dtype)
    weights = _problem.sample_weights(sample_weight, x, axis)
    factors = _problem.positive_weights(pos_weight, x, axis)
    options = None if focal is None else _options.focal_options(*focal)
    smoothing = _options.smoothing(label_smoothing)
    clip = _options.clip_epsilon(epsilon)
    logits = _options.flag("from_logits", from_logits)
    threads = runtime.resolve_threads(n_threads)
    values = _problem.Rows(out, x, axis, code) if loss else None
    slope = _problem.Plane("grad_out", grad_out, x, axis, grad_dtype) if grad else None
    curve = _problem.Plane("hess_out", hess_out, x, axis, grad_dtype) if hess else None
    elements = _each_plane(each_out, x, axis, dtype) if each else None
    if out is not None or grad_out is not None or hess_out is not None or each_out is not None:
        in_place = logits and grad_out is y_pred
        came = {"y_pred": y_pred, "y_true": y_true, "sample_weight": sample_weight, "pos_weight": pos_weight}
        became = {"y_pred": given, "y_true": target, "sample_weight": weights, "pos_weight": factors}
        for inputs in (came, became):
            _problem.refuse_overlaps(inputs, out, grad_out, hess_out, in_place)
            if each_out is not None:
                buffers = {"out": out, "grad_out": grad_out, "hess_out": hess_out}
                _problem.refuse_overlap("each_out", each_out, {**inputs, **buffers})
    reduced = _core.binary_cross_entropy(
        logits, x, _core.stored_code(x.dtype), axis, target, smoothing, factors, options, weights,
        0 if weights is None else _core.FLOATS[weights.dtype], clip, code, 1.0 if class_sum else 0.0, threads,
        None if values is None else values.native, _core.FLOATS[dtype],
        None if elements is None else elements.native, None if slope is None else slope.native,
        None if curve is None else curve.native, None,
    )  # fmt: skip
    return (
        None if values is None else values.finish(reduced),
        None if slope is None else slope.finish(),
        None if curve is None else curve.finish(),
        None if elements is None else elements.finish(),
    )


def _each_plane(buffer: Any, x: np.ndarray, axis: int, dtype: np.dtype) -> _problem.Plane:
    """The losses of the elements: `x` in shape, but of the dtype that it is computed in."""
    shape = x if x.dtype == dtype else np.empty(x.shape, dtype)
    return _problem.Plane("each_out", buffer, shape, axis, dtype)
