# SPDX-License-Identifier: BSD-3-Clause
"""The recorded answers of other libraries, and how each call is made with xent_native.

An adapter turns a recorded call into one of ours, in float32 or float64, and returns {output: array}. It is found
by the peer's name of the operation.
"""

from __future__ import annotations

import functools
import importlib
import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xent_native as xn

FOLDER = Path(__file__).parent / "data" / "golden"
Answer = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A recorded call. Inputs and outputs are arrays by the peer's names of them."""

    number: int
    peer: str
    op: str
    kwargs: dict[str, Any]
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]

    @property
    def name(self) -> str:
        return f"{self.number}-{self.peer}-{self.op}"

    @property
    def dtype(self) -> np.dtype:
        """Of the predictions."""
        return next(a.dtype for n, a in self.inputs.items() if n in PREDICTIONS)

    def converted(self, dtype: Any) -> dict[str, np.ndarray]:
        """The inputs, floats among them in another dtype."""
        return {n: a.astype(dtype) if a.dtype.kind == "f" else a for n, a in self.inputs.items()}


PREDICTIONS = ("y_pred", "input", "logits", "raw_prediction", "y_proba")


@functools.cache
def cases() -> list[Case]:
    """All recorded calls."""
    described = json.loads((FOLDER / "cases.json").read_text())
    with np.load(FOLDER / "numbers.npz") as file:
        numbers = dict(file)
    arrays = {}
    for name, (kind, start, shape) in described["arrays"].items():
        arrays[name] = numbers[kind][start : start + math.prod(shape)].reshape(shape)
        arrays[name].flags.writeable = False
    return [
        Case(
            number, each["peer"], each["op"], each["kwargs"],
            {n: arrays[a] for n, a in each["inputs"].items()}, {n: arrays[a] for n, a in each["outputs"].items()},
        )
        for number, each in enumerate(described["cases"])
    ]  # fmt: skip


def keras_function(case: Case, dtype: Any) -> Answer:
    given = case.converted(dtype)
    y_true, y_pred = given["y_true"], given["y_pred"]
    if "grad" not in case.outputs:
        return {"loss": getattr(xn, case.op)(y_true, y_pred, **case.kwargs)}
    loss, grad = getattr(xn, f"{case.op}_value_and_grad")(y_true, y_pred, **case.kwargs)
    return {"loss": loss, "grad": grad}


def keras_class(case: Case, dtype: Any) -> Answer:
    given = case.converted(dtype)
    loss = getattr(xn, case.op)(**case.kwargs)
    return {"loss": np.asarray(loss(given["y_true"], given["y_pred"], given.get("sample_weight")))}


def torch_function(case: Case, dtype: Any) -> Answer:
    """With tensors if PyTorch is there, for the gradient; else the loss of arrays."""
    given = case.converted(dtype)
    function = getattr(xn.torch, case.op)
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError:
        return {"loss": np.asarray(function(**given, **case.kwargs))}
    tensors = {name: torch.tensor(array) for name, array in given.items()}
    tensors["input"].requires_grad_()
    loss = function(**tensors, **case.kwargs)
    loss.sum().backward()
    return {"loss": loss.detach().numpy(), "grad": tensors["input"].grad.numpy()}


def optax_softmax(case: Case, dtype: Any) -> Answer:
    given = case.converted(dtype)
    sparse = given["labels"].dtype.kind != "f"
    function = "sparse_categorical_crossentropy" if sparse else "categorical_crossentropy"
    loss, grad = getattr(xn, f"{function}_value_and_grad")(
        given["labels"], given["logits"], from_logits=True, **case.kwargs
    )
    return {"loss": loss, "grad": grad}


def optax_poly(case: Case, dtype: Any) -> Answer:
    given = case.converted(dtype)
    loss, grad = xn.poly1_crossentropy_value_and_grad(given["labels"], given["logits"], **case.kwargs)
    return {"loss": loss, "grad": grad}


def optax_elementwise(name: str) -> Callable[[Case, Any], Answer]:
    """Optax leaves the classes apart: the mean over an axis of length 1 does too."""

    def adapter(case: Case, dtype: Any) -> Answer:
        given = case.converted(dtype)
        loss, grad = getattr(xn, f"{name}_value_and_grad")(
            given["labels"][..., None], given["logits"][..., None], from_logits=True, **case.kwargs
        )
        return {"loss": loss, "grad": grad[..., 0]}

    return adapter


def sklearn_multinomial(case: Case, dtype: Any) -> Answer:
    given = case.converted(dtype)
    y, x, weight = given["y_true"], given["raw_prediction"], given.get("sample_weight")
    loss = xn.sparse_categorical_crossentropy(y, x, True, sample_weight=weight)
    grad, hess = xn.sparse_categorical_crossentropy_grad_and_hess(y, x, sample_weight=weight)
    return {"loss": loss, "grad": grad, "hess": hess, "proba": xn.softmax(x)}


def sklearn_binomial(case: Case, dtype: Any) -> Answer:
    given = case.converted(dtype)
    y, x = given["y_true"][:, None], given["raw_prediction"][:, None]
    loss = xn.binary_crossentropy(y, x, True)
    grad, hess = xn.binary_crossentropy_grad_and_hess(y, x)
    return {"loss": loss, "grad": grad[:, 0], "hess": hess[:, 0]}


def sklearn_metric(case: Case, dtype: Any) -> Answer:
    pytest.importorskip("sklearn", reason="xent_native.sklearn needs scikit-learn")
    given = case.converted(dtype)
    metric = getattr(importlib.import_module("xent_native.sklearn"), case.op)
    with warnings.catch_warnings():
        if dtype != case.dtype:  # sums of what was rounded to float32 are not 1 to the accuracy of float64
            warnings.filterwarnings("ignore", "The y_prob values do not sum to one")
        return {"loss": np.asarray(metric(given.pop("y_true"), given.pop("y_proba"), **given, **case.kwargs))}


# By the peer's name of the operation.
ADAPTERS: dict[str, Callable[[Case, Any], Answer]] = {
    **dict.fromkeys(
        (
            "categorical_crossentropy", "sparse_categorical_crossentropy", "binary_crossentropy",
            "categorical_focal_crossentropy", "binary_focal_crossentropy", "kl_divergence",
        ),
        keras_function,
    ),
    **dict.fromkeys(
        (
            "CategoricalCrossentropy", "SparseCategoricalCrossentropy", "BinaryCrossentropy",
            "CategoricalFocalCrossentropy", "BinaryFocalCrossentropy",
        ),
        keras_class,
    ),
    **dict.fromkeys(("cross_entropy", "binary_cross_entropy_with_logits"), torch_function),
    **dict.fromkeys(
        ("softmax_cross_entropy", "safe_softmax_cross_entropy", "softmax_cross_entropy_with_integer_labels"),
        optax_softmax,
    ),
    "poly_loss_cross_entropy": optax_poly,
    "sigmoid_binary_cross_entropy": optax_elementwise("binary_crossentropy"),
    "sigmoid_focal_loss": optax_elementwise("binary_focal_crossentropy"),
    "HalfMultinomialLoss": sklearn_multinomial,
    "HalfBinomialLoss": sklearn_binomial,
    **dict.fromkeys(("log_loss", "d2_log_loss_score"), sklearn_metric),
}  # fmt: skip


def ours(case: Case, dtype: Any = None) -> Answer:
    """What xent_native says, in the recorded dtype or, of the same numbers, in another."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of one class, as Keras has it
        return ADAPTERS[case.op](case, case.dtype if dtype is None else dtype)
