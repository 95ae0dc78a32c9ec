# SPDX-License-Identifier: BSD-3-Clause
"""Where xent_native answers otherwise than a peer on purpose: by name, with the formula that the peer follows.

Each is asserted from both sides: the peer's recorded answer follows its formula, and ours follows the exact one.
`docs/compatibility.md` lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import reference
from golden import Answer, Case

EPSILON = 1e-7


@dataclass(frozen=True)
class Difference:
    """A deviation: where it applies, what the peer computes instead of ours, and why."""

    name: str
    reason: str
    applies: Callable[[Case], bool]
    theirs: Callable[[Case], Answer]
    exact: Callable[[Case], Answer]


def doubles(case: Case) -> dict[str, np.ndarray]:
    return case.converted(np.float64)


def reduced(case: Case, losses: np.ndarray, counted: np.ndarray | None = None) -> np.ndarray:
    """Keras's reductions of the losses of rows; with the mask of the rows that are not ignored."""
    weight = doubles(case).get("sample_weight")
    counted = np.ones(losses.shape, bool) if counted is None else counted
    weight = np.where(counted, np.ones(losses.shape) if weight is None else weight, 0.0)
    reduction = case.kwargs.get("reduction", "none")
    values = losses * weight
    if reduction in ("none", None):
        return values
    divisor = {
        "sum": 1.0,
        "mean": counted.sum(),
        "sum_over_batch_size": counted.sum(),
        "mean_with_sample_weight": weight.sum(),
    }[reduction]
    return np.asarray(values.sum() / divisor)


def is_op(case: Case, function: str) -> bool:
    """Whether it is a Keras function or its class."""
    return case.op in (function, "".join(part.title() for part in function.split("_")))


def tf_sparse(case: Case) -> Answer:
    """Clips the probabilities as they are, and normalises what comes out."""
    given = doubles(case)
    p, y = given["y_pred"], given["y_true"]
    counted = y != case.kwargs["ignore_class"] if "ignore_class" in case.kwargs else np.ones(y.shape, bool)
    c = np.clip(p, EPSILON, 1 - EPSILON)
    label = np.where(counted, y, 0)[..., None]
    losses = np.log(c.sum(-1)) - np.log(np.take_along_axis(c, label, -1)[..., 0])
    one_hot = np.zeros_like(c)
    np.put_along_axis(one_hot, label, 1.0, -1)
    inside = (p >= EPSILON) & (p <= 1 - EPSILON)
    grad = np.where(inside, (c / c.sum(-1, keepdims=True) - one_hot) / c, 0.0)
    return {"loss": reduced(case, np.where(counted, losses, 0.0), counted), "grad": grad}


def exact_sparse(case: Case) -> Answer:
    given = doubles(case)
    options = {"from_logits": False, "ignore_class": case.kwargs.get("ignore_class")}
    found = reference.cross_entropy(given["y_true"], given["y_pred"], **options)
    counted = None
    if options["ignore_class"] is not None:
        counted = given["y_true"] != options["ignore_class"]
    return {"loss": reduced(case, found.loss, counted), "grad": found.grad}


def tf_unnormalised(case: Case) -> Answer:
    """The loss as it is; as its gradient p - t, whatever the targets sum to."""
    given = doubles(case)
    axis = case.kwargs.get("axis", -1)
    found = reference.cross_entropy(given["y_true"], given["y_pred"], from_logits=True, axis=axis)
    return {"loss": found.loss, "grad": reference.softmax(given["y_pred"], axis)[0] - given["y_true"]}


def exact_dense(case: Case) -> Answer:
    given = doubles(case)
    found = reference.cross_entropy(
        given["y_true"], given["y_pred"], from_logits=True, axis=case.kwargs.get("axis", -1)
    )
    return {"loss": found.loss, "grad": found.grad}


def unnormalised(case: Case) -> bool:
    if "grad" not in case.outputs or case.op != "categorical_crossentropy" or not case.kwargs["from_logits"]:
        return False
    sums = case.inputs["y_true"].sum(case.kwargs.get("axis", -1))
    return bool(np.any(np.abs(sums - 1) > 1e-5))


def saturated(case: Case) -> Answer:
    """Keras on NumPy: the sigmoid, clipped in the dtype of the logits, and its logarithms."""
    x, t = case.inputs["y_pred"], case.inputs["y_true"].astype(np.float64)
    kind = x.dtype.type
    high = float(kind(1) - kind(EPSILON))
    q = np.clip(1 / (1 + np.exp(-x.astype(np.float64))), float(kind(EPSILON)), high)
    return {"loss": -(t * np.log(q) + (1 - t) * np.log(1 - q)).mean(-1)}


def exact_binary(case: Case) -> Answer:
    given = doubles(case)
    x, t = given["y_pred"], given["y_true"]
    return {"loss": (np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))).mean(-1)}


def recorded(peer: str, op: str, y_true: Any, y_pred: Any, **outputs: Any) -> Case:
    """An answer of a peer that is known beside the recorded calls, from logits in float32."""
    given = {"y_true": np.array(y_true, np.float32), "y_pred": np.array(y_pred, np.float32)}
    return Case(-1, peer, op, {"from_logits": True}, given, {n: np.float32(a) for n, a in outputs.items()})


# TensorFlow's tests of its kernel pin the gradients of one class with targets of -1, 0, 1 and 1.
KNOWN = (
    recorded("keras_tf", "categorical_crossentropy", [[-1], [0], [1], [1]], [[1], [-1], [0], [10]],
             loss=[0, 0, 0, 0], grad=[[2], [1], [0], [0]]),
    recorded("keras_numpy", "binary_crossentropy", [[0], [1]], [[40], [-100]], loss=[15.942385, 16.118095]),
)  # fmt: skip

DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "TensorFlow: sparse labels, from probabilities",
        "Keras on TensorFlow clips probabilities before it normalises them. A perfect prediction of 50,000 "
        "classes has a loss of 5e-3 there. NumPy, JAX and PyTorch backends normalise first, and so does "
        "xent_native, for sparse labels as for dense targets",
        lambda case: (
            case.peer == "keras_tf"
            and is_op(case, "sparse_categorical_crossentropy")
            and not case.kwargs["from_logits"]
        ),
        tf_sparse,
        exact_sparse,
    ),
    Difference(
        "TensorFlow: gradient for targets that do not sum to 1",
        "TensorFlow's gradient from logits is p - t whatever the targets sum to, which is not the derivative of "
        "the loss that it returns. That is p * sum(t) - t",
        lambda case: case.peer == "keras_tf" and unnormalised(case),
        tf_unnormalised,
        exact_dense,
    ),
    Difference(
        "Keras on NumPy: binary cross-entropy, from logits",
        "Keras on NumPy takes the sigmoid and clips it, so that no loss is larger than 16.1, nor in float32 "
        "than 15.9 for a target of 0: 15.94 at a logit of 40, where the loss is 40. The other backends do not, and "
        "xent_native is exact",
        lambda case: (
            case.peer == "keras_numpy"
            and is_op(case, "binary_crossentropy")
            and case.kwargs["from_logits"]
            and bool(np.any(np.abs(case.inputs["y_pred"]) > 15))
        ),
        saturated,
        exact_binary,
    ),
)


def difference(case: Case) -> Difference | None:
    """The deviation that a case belongs to."""
    return next((each for each in DIFFERENCES if each.applies(case)), None)


def largest(a: Any, b: Any) -> float:
    return float(np.max(np.abs(np.asarray(a, np.float64) - b), initial=0.0))
