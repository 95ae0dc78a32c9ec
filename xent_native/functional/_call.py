# SPDX-License-Identifier: BSD-3-Clause
"""How losses over the probabilities of a row reach C: the short way of small plain calls, and the thorough one."""

from __future__ import annotations

from typing import Any

from .. import _copy, _core, _options, _problem, runtime

EPSILON = 1e-7
SPARSE, DENSE = _core.PLAIN["sparse"], _core.PLAIN["dense"]


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
    plain = short(
        DENSE if dense else SPARSE, y_true, y_pred, from_logits, axis, label_smoothing, class_weight, sample_weight,
        reduction, epsilon, n_threads, out, grad, grad_out, 0.0, 1.0, False, ignore_class,
    )  # fmt: skip
    if plain is not None:
        return plain
    return thorough(
        dense, y_true, y_pred, from_logits, axis, ignore_class=ignore_class, label_smoothing=label_smoothing,
        class_weight=class_weight, sample_weight=sample_weight, reduction=reduction, epsilon=epsilon,
        n_threads=n_threads, out=out, grad_out=grad_out, grad=grad,
    )[:2]  # fmt: skip


def short(
    kind: int,
    y_true: Any,
    y_pred: Any,
    from_logits: bool,
    axis: int,
    label_smoothing: float,
    weights: Any,
    sample_weight: Any,
    reduction: str | None,
    epsilon: float,
    n_threads: int | None,
    out: Any,
    grad: bool,
    grad_out: Any,
    coefficient: Any = 0.0,
    alpha: Any = 1.0,
    balanced: Any = False,
    ignore_class: int | None = None,
) -> tuple[Any, Any] | None:
    """(loss, gradient or None) of a plain call of one of ``_core.PLAIN``; None if it has to go the thorough way.

    `weights` are those of classes or positives.
    """
    if not (
        weights is None and sample_weight is None and n_threads is None and out is None and grad_out is None
    ):
        return None
    return _core.plain_cross_entropy(
        kind, y_true, y_pred, from_logits, axis, ignore_class, label_smoothing, reduction, epsilon,
        runtime.resolve_threads(None), grad, coefficient, alpha, balanced,
    )  # fmt: skip


def thorough(
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
    shape: str = "plain",
    coefficient: float = 0.0,
    alpha: Any = 1.0,
) -> tuple[Any, Any, Any]:
    """(loss, gradient, Hessian), None where not asked for: any arguments, all of them checked and converted.

    `shape` is one of ``_core.SHAPES``, and `coefficient`, checked already, its gamma or epsilon; `alpha` is a factor
    of all losses, or one of each class.
    """
    given, grad_dtype = _problem.prediction(y_pred)
    axis = _problem.class_axis(axis, given)
    x = _problem.passable(given, axis)
    code = _options.reduction_code(reduction)
    if dense and shape != "kl" and x.shape[axis] == 1:
        _problem.warn_of_one_class(x)
    if dense:
        target, labels, label_code, ignored = _problem.targets(y_true, x, axis), None, 0, None
        if target.dtype != x.dtype:
            x = _copy.converted(x, target.dtype)
    else:
        target, labels = None, _problem.labels(y_true, x, axis)
        label_code = _core.INTEGERS[labels.dtype]
        ignored = _options.ignored_class(ignore_class, labels.dtype)
    weights = _problem.sample_weights(sample_weight, x, axis)
    factors = _problem.class_weights(class_weight, x, axis)
    scale = 1.0
    if shape == "focal":
        scale, factors = _problem.balance(alpha, factors, x, axis)
    smoothing = _options.smoothing(label_smoothing)
    clip = _options.clip_epsilon(epsilon)
    logits = _options.flag("from_logits", from_logits)
    threads = runtime.resolve_threads(n_threads)
    values = _problem.Rows(out, x, axis, code) if loss else None
    slope = _problem.Plane("grad_out", grad_out, x, axis, grad_dtype) if grad else None
    curve = _problem.Plane("hess_out", hess_out, x, axis, grad_dtype) if hess else None
    if out is not None or grad_out is not None or hess_out is not None:
        in_place = logits and grad_out is y_pred
        # Both what came and what it became: a tensor and the array that views its memory.
        came = {
            "y_pred": y_pred,
            "y_true": y_true,
            "sample_weight": sample_weight,
            "class_weight": class_weight,
            "alpha": alpha,
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
            logits, x, _core.stored_code(x.dtype), axis, labels, label_code, target, ignored, smoothing,
            factors, weights, 0 if weights is None else _core.FLOATS[weights.dtype], clip, code, threads,
            None if values is None else values.native, _core.FLOATS[_problem.computed(x.dtype)], None,
            None if slope is None else slope.native, None if curve is None else curve.native, None, None,
            _core.SHAPES[shape], coefficient, scale,
        )  # fmt: skip
    except _core.LabelError as error:
        raise _problem.label_error(error, x, axis, ignore_class) from None
    return (
        None if values is None else values.finish(reduced),
        None if slope is None else slope.finish(),
        None if curve is None else curve.finish(),
    )


def refuse_probabilities(name: str, from_logits: bool) -> None:
    if not _options.flag("from_logits", from_logits):
        raise ValueError(f"{name} must have from_logits=True: there is no Hessian from probabilities")
