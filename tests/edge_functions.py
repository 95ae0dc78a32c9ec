# SPDX-License-Identifier: BSD-3-Clause
"""Every public function that computes, as one list of calls, for tests that hold for all of them.

A Call takes rows, (n, C) predictions with n labels or (n, C) targets, puts them into memory in one of the loop orders,
calls, and gives its outputs as rows again, by name. Tests say what a row holds and what comes of it; which function has
which arguments, and what it returns, stands here.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cases import LAYOUTS, as_rows
from compatibility import FUNCTIONS, Function

import xent_native as xn
import xent_native.torch as xt

ORDERS = ("last", "first", "middle")
DTYPES = ("float16", "float32", "float64", *(["bfloat16"] if importlib.util.find_spec("ml_dtypes") else []))
# Outputs with a value for each class; the others have one for each row.
PLANES = ("grad", "hess", "prob", "log_prob", "each")
BUFFERS = {"loss": "out", "grad": "grad_out", "hess": "hess_out"}


def dtype_of(name: str) -> np.dtype:
    return np.dtype(importlib.import_module("ml_dtypes").bfloat16 if name == "bfloat16" else name)


def computed(dtype: np.dtype) -> np.dtype:
    """What losses have."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


@dataclass(frozen=True)
class Call:
    """One way to call one function.

    Attributes
    ----------
    name : str
    targets : str
        "labels", "rows" that sum to 1, "bits" between 0 and 1, or "" where there are none.
    logits : bool
        Whether predictions are logits.
    outputs : tuple of str
        What it returns, in this order: "loss", "grad", "hess", "lse", "prob", "log_prob", or "each", the losses of
        elements.
    run : callable
        ``run(y, x, axis, options)``; the options are those of the function, whatever the call.
    host : str
        "function", "class", "activation" or "torch".
    arguments : frozenset of str
        The options that it takes.
    """

    name: str
    targets: str
    logits: bool
    outputs: tuple[str, ...]
    run: Callable[[Any, Any, int, dict[str, Any]], Any] = field(repr=False, compare=False)
    host: str = "function"
    arguments: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.name

    def __call__(self, y: Any, x: Any, axis: int = -1, **options: Any) -> dict[str, Any]:
        """The outputs by name, as they come."""
        found = self.run(y, x, axis, options)
        return dict(zip(self.outputs, found if len(self.outputs) > 1 else (found,), strict=True))

    def rows(
        self, y: np.ndarray, x: np.ndarray, order: str = "last", **options: Any
    ) -> dict[str, np.ndarray]:
        """The outputs of (n, C) rows laid out in one of ORDERS, as (n, C) planes and arrays of n."""
        y, x, axis = self.placed(y, x, order)
        found = self(y, x, axis, **options)
        return {
            name: as_rows(value, axis) if name in PLANES else np.reshape(value, -1)
            for name, value in found.items()
        }

    def placed(self, y: np.ndarray, x: np.ndarray, order: str) -> tuple[np.ndarray, np.ndarray, int]:
        """Targets and predictions in memory, and the axis of the classes."""
        if self.host == "torch" and order == "first":  # the same memory; the class axis is 1 there
            order = "fortran"
        placed, axis = LAYOUTS[order](x)
        rows = np.moveaxis(placed, axis, -1).shape[:-1]
        return LAYOUTS[order](y)[0] if y.ndim == 2 else y.reshape(rows), placed, axis

    def problem(self, n: int, classes: int, dtype: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """(targets, predictions) of n ordinary rows; no target is 0 or 1 but those of labels and bits."""
        y, x = _numbers(self.targets, self.logits, n, classes, dtype, seed)
        return y.copy(), x.copy()

    def one_hot(self, labels: np.ndarray, classes: int, dtype: str) -> np.ndarray:
        """Labels as this call takes them: as they are, or a target of 1 at each and 0 elsewhere."""
        if self.targets in ("labels", ""):
            return labels
        hot = np.zeros((len(labels), classes), dtype_of(dtype))
        hot[np.arange(len(labels)), labels] = 1
        return hot

    def weights(self, x: np.ndarray, axis: int = -1) -> dict[str, np.ndarray]:
        """An array for each weight that the call takes, by the names of the arguments."""
        rows = np.moveaxis(x, axis, -1).shape[:-1]
        shapes = {
            "sample_weight": rows,
            **dict.fromkeys(("class_weight", "pos_weight", "alpha", "weight"), (x.shape[axis],)),
        }
        if self.host == "torch" and self.targets == "bits":
            shapes["weight"], shapes["pos_weight"] = x.shape, x.shape[-1:]
        if self.targets == "bits":
            del shapes["alpha"]  # a number
        return {
            name: np.linspace(0.25, 2.0, int(np.prod(shape))).reshape(shape)
            for name, shape in shapes.items()
            if name in self.arguments
        }

    def buffers(self, x: np.ndarray, axis: int = -1) -> dict[str, np.ndarray]:
        """A buffer for each output that can have one, full of NaN, by the names of the arguments."""
        rows = np.moveaxis(x, axis, -1).shape[:-1]
        named = BUFFERS if self.host != "activation" else dict.fromkeys(self.outputs, "out")
        made = {}
        for output, name in named.items():
            if output in self.outputs and name in self.arguments:
                plane = output in PLANES
                made[name] = np.full(
                    x.shape if plane else rows, np.nan, x.dtype if plane else computed(x.dtype)
                )
        return made


@functools.cache
def _numbers(
    targets: str, logits: bool, n: int, classes: int, dtype: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, n, classes])
    kind = dtype_of(dtype)
    x = rng.standard_normal((n, classes)) if logits else rng.uniform(0.1, 0.9, (n, classes))
    if targets == "labels":
        return rng.integers(0, classes, n), x.astype(kind)
    if targets == "bits":
        return rng.integers(0, 2, (n, classes)).astype(kind), x.astype(kind)
    return rng.dirichlet(np.ones(classes), n).astype(kind), x.astype(kind)


def _function(function: Function, variant: str, fixed: dict[str, Any], source: str, suffix: str) -> Call:
    call = getattr(xn, function.name + suffix)
    arguments = frozenset(inspect.signature(call).parameters)
    given = dict(fixed)
    if "from_logits" in arguments:
        given["from_logits"] = source == "logits"

    def run(y: Any, x: Any, axis: int, options: dict[str, Any]) -> Any:
        return call(y, x, axis=axis, **{**given, **options})

    outputs = {"": ("loss",), "_value_and_grad": ("loss", "grad"), "_grad_and_hess": ("grad", "hess")}[suffix]
    name = f"{function.name}{suffix}{variant}, {source}"
    return Call(name, function.targets, source == "logits", outputs, run, "function", arguments)


def _class(function: Function, variant: str, fixed: dict[str, Any], source: str, method: str) -> Call:
    kind = getattr(xn, function.class_name)
    known = inspect.signature(kind).parameters
    given = {"reduction": "none", **fixed}
    if "from_logits" in known:
        given["from_logits"] = source == "logits"
    of_call = {"sample_weight", *(["grad_out"] if method == "value_and_grad" else [])}

    def run(y: Any, x: Any, axis: int, options: dict[str, Any]) -> Any:
        made = kind(**{**given, "axis": axis, **{k: v for k, v in options.items() if k not in of_call}})
        return getattr(made, method)(y, x, **{k: v for k, v in options.items() if k in of_call})

    outputs = {"__call__": ("loss",), "grad": ("grad",), "value_and_grad": ("loss", "grad")}[method]
    name = f"{function.class_name}.{method}{variant}, {source}"
    arguments = frozenset(known) | of_call
    return Call(name, function.targets, source == "logits", outputs, run, "class", arguments)


def _activation(name: str, output: str) -> Call:
    call = getattr(xn, name)
    arguments = frozenset(inspect.signature(call).parameters)

    def run(y: Any, x: Any, axis: int, options: dict[str, Any]) -> Any:
        return call(x, **({"axis": axis} if "axis" in arguments else {}), **options)

    return Call(name, "", True, (output,), run, "activation", arguments)


def _torch(name: str, targets: str, output: str) -> Call:
    call = getattr(xt, name)

    def run(y: Any, x: Any, axis: int, options: dict[str, Any]) -> Any:
        return call(x, y, **{"reduction": "none", **options})

    arguments = frozenset(inspect.signature(call).parameters)
    return Call(f"torch.{name}, {targets}", targets, True, (output,), run, "torch", arguments)


# Options that send a loss another way through the kernels.
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "categorical_focal_crossentropy": {"": {}, ", gamma 0.5": {"gamma": 0.5}},
    "binary_focal_crossentropy": {
        "": {},
        ", gamma 0.5, balanced": {"gamma": 0.5, "apply_class_balancing": True},
    },
}


def _losses() -> list[Call]:
    made = []
    for function in FUNCTIONS.values():
        for variant, fixed in VARIANTS.get(function.name, {"": {}}).items():
            for source in function.sources:
                suffixes = ["", "_value_and_grad"]
                if source == "logits" and hasattr(xn, f"{function.name}_grad_and_hess"):
                    suffixes.append("_grad_and_hess")
                made += [_function(function, variant, fixed, source, suffix) for suffix in suffixes]
                methods = ("__call__", "grad", "value_and_grad")
                made += [_class(function, variant, fixed, source, method) for method in methods]
    return made


LOSSES = _losses()
ACTIVATIONS = [
    _activation("softmax", "prob"),
    _activation("log_softmax", "log_prob"),
    _activation("logsumexp", "lse"),
    _activation("sigmoid", "prob"),
]
TORCH = [
    _torch("cross_entropy", "labels", "loss"),
    _torch("cross_entropy", "rows", "loss"),
    _torch("binary_cross_entropy_with_logits", "bits", "each"),
]
CALLS = [*LOSSES, *ACTIVATIONS, *TORCH]
LABELLED = [call for call in CALLS if call.targets == "labels"]
# By what NaN does to a row: one element of it (binary losses, sigmoid) or all of it.
ELEMENTWISE = [call for call in CALLS if call.targets == "bits" or call.name == "sigmoid"]
SOFTMAX = [call for call in CALLS if call.logits and call not in ELEMENTWISE]
