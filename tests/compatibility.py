# SPDX-License-Identifier: BSD-3-Clause
"""What works with what: every function x option x dtype x host, each cell a call that is checked.

The page docs/compatibility.md is made of these cells (compatibility_page.py), and test_compatibility.py runs them.
A cell either runs or has a reason why there is none; the checks are of meaning, not of accuracy, against formulas in
float64 that are as short as they can be, and gradients against differences of those.
"""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import xent_native as xn

DTYPES = ("float16", "bfloat16", "float32", "float64")
HOSTS = ("function", "class", "PyTorch")
EPSILON = 1e-7
PLAIN = np.array([0.7, 1.6, 0.4, 1.3, 1.0])  # weights of five classes


@dataclass(frozen=True)
class Function:
    """A loss: what its targets are, what it starts from, and its name in xent_native.torch."""

    name: str
    targets: str  # "labels", "rows" that sum to 1, or "bits", each between 0 and 1
    sources: tuple[str, ...] = ("logits", "probabilities")
    torch: str | None = None

    @property
    def class_name(self) -> str:
        return "".join("KL" if part == "kl" else part.title() for part in self.name.split("_"))


FUNCTIONS = {
    function.name: function
    for function in (
        Function("sparse_categorical_crossentropy", "labels", torch="cross_entropy"),
        Function("categorical_crossentropy", "rows", torch="cross_entropy"),
        Function("binary_crossentropy", "bits", torch="binary_cross_entropy_with_logits"),
        Function("categorical_focal_crossentropy", "rows"),
        Function("binary_focal_crossentropy", "bits"),
        Function("kl_divergence", "rows", sources=("probabilities",)),
        Function("poly1_crossentropy", "rows"),
    )
    if function.name in xn.__all__
}

# Options by the functions' names of them, with the values that are tried.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "from_logits=True": [{}],
    "from_logits=False": [{}],
    "label_smoothing": [{"label_smoothing": 0.2}],
    "class_weight": [{"class_weight": PLAIN}],
    "pos_weight": [{"pos_weight": 1.7}, {"pos_weight": PLAIN}],
    "sample_weight": [{"sample_weight": np.array([0.0, 1.0, 2.0, 0.5, 1.5, 3.0])}],
    "ignore_class": [{"ignore_class": 1}],
    "alpha": [{"alpha": 0.6}],
    "gamma": [{"gamma": 1.0}, {"gamma": 3.0}],
    "apply_class_balancing": [{"apply_class_balancing": True, "alpha": 0.6}],
    "epsilon": [{"epsilon": 1.5}],
    "axis": [{"axis": 0}, {"axis": 1}],
    "reduction": [{"reduction": "none"}, {"reduction": "sum"}, {"reduction": "mean"}],
    "reduction, weighted": [{"reduction": "mean_with_sample_weight"}],
    "_value_and_grad": [{}],
    "_grad_and_hess": [{}],
    "out, grad_out": [{}],
    "n_threads": [{"n_threads": 2}],
}

# Why a cell is empty, by host or by function; the first that fits.
MEANINGLESS: dict[tuple[str, str], str] = {
    (
        "kl_divergence",
        "from_logits=True",
    ): "Keras has none from logits: use softmax, or categorical cross-entropy, whose gradient is the same",
    **{
        (name, "_grad_and_hess"): "only the cross-entropies have one"
        for name in (
            "categorical_focal_crossentropy",
            "binary_focal_crossentropy",
            "kl_divergence",
            "poly1_crossentropy",
        )
    },
    ("kl_divergence", "label_smoothing"): "Keras has none; targets may be smoothed before",
    ("kl_divergence", "class_weight"): "Keras has none; the function takes sample_weight",
    ("binary_crossentropy", "class_weight"): "each column is a problem of its own: pos_weight, sample_weight",
    ("binary_focal_crossentropy", "class_weight"): "alpha with apply_class_balancing",
    ("binary_focal_crossentropy", "pos_weight"): "alpha with apply_class_balancing",
}
ONLY: dict[str, tuple[str, str]] = {  # options that belong to some functions alone
    "pos_weight": ("bits", "only where a target says yes or no"),
    "ignore_class": ("labels", "only labels can be ignored; rows: sample_weight of 0"),
}
NOT_IN_HOST: dict[tuple[str, str], str] = {
    ("class", "out, grad_out"): "grad_out only, of value_and_grad",
    ("class", "_grad_and_hess"): "the function",
    ("class", "n_threads"): "set_num_threads, threads",
    ("PyTorch", "from_logits=False"): "PyTorch has none: from logits",
    (
        "PyTorch",
        "sample_weight",
    ): 'PyTorch has none: reduction="none" and a product, whose gradient is honoured',
    ("PyTorch", "reduction, weighted"): 'PyTorch has none: its "mean" divides by the class weights',
    ("PyTorch", "_grad_and_hess"): "the function",
    ("PyTorch", "out, grad_out"): "tensors come from PyTorch's graph",
    ("PyTorch", "n_threads"): "torch.set_num_threads, which is followed",
}
OWN_OPTIONS = {  # that some functions have and others cannot have
    "alpha": ("categorical_focal_crossentropy", "binary_focal_crossentropy"),
    "gamma": ("categorical_focal_crossentropy", "binary_focal_crossentropy"),
    "apply_class_balancing": ("binary_focal_crossentropy",),
    "epsilon": ("poly1_crossentropy",),
}


@dataclass(frozen=True)
class Cell:
    """A function, an option and a host; `reason` says why there is no such thing, and is empty if there is."""

    function: Function
    option: str
    host: str
    reason: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        return f"{self.function.name}-{self.option}-{self.host}"

    @property
    def sources(self) -> tuple[str, ...]:
        """What the predictions hold."""
        if self.host == "PyTorch" or self.option in ("from_logits=True", "_grad_and_hess"):
            return ("logits",)
        if self.option == "from_logits=False":
            return ("probabilities",)
        return self.function.sources


def rows() -> list[tuple[Function, str]]:
    """The rows of the table: functions with their options, without those that others alone can have."""
    return [
        (function, option)
        for function in FUNCTIONS.values()
        for option in OPTIONS
        if function.name in OWN_OPTIONS.get(option, (function.name,))
    ]


def cells() -> list[Cell]:
    """All cells of the table."""
    return [Cell(f, option, host, _reason(f, option, host)) for f, option in rows() for host in HOSTS]


def _reason(function: Function, option: str, host: str) -> str:
    if host == "PyTorch" and function.torch is None:
        return "PyTorch has no such loss; the function takes its tensors"
    kind, why = ONLY.get(option, (function.targets, ""))
    if kind != function.targets:
        return why
    if (function.name, option) in MEANINGLESS:
        return MEANINGLESS[function.name, option]
    if host == "PyTorch" and option == "sample_weight" and function.targets == "bits":
        return ""
    if host == "PyTorch" and option == "label_smoothing" and function.targets == "bits":
        return "PyTorch has none; targets may be smoothed before"
    return NOT_IN_HOST.get((host, option), "")


# The calls.


@dataclass
class Problem:
    """One call: float64 arrays whose numbers `dtype` can hold."""

    function: Function
    source: str
    dtype: np.dtype
    x: np.ndarray
    y: np.ndarray
    axis: int
    options: dict[str, Any]


def dtype_of(name: str) -> np.dtype:
    return np.dtype(importlib.import_module("ml_dtypes").bfloat16 if name == "bfloat16" else name)


def problem(cell: Cell, source: str, dtype: str, options: dict[str, Any]) -> Problem:
    """Six rows of five classes, in the order that the option's axis asks for."""
    rng = np.random.default_rng(7)
    kind, function = dtype_of(dtype), cell.function
    x = rng.standard_normal((6, 5)) if source == "logits" else rng.dirichlet(np.full(5, 3.0), 6)
    if function.targets == "bits":
        y = rng.integers(0, 2, (6, 5)).astype(np.float64)
        x = x if source == "logits" else rng.uniform(0.1, 0.9, (6, 5))
    elif function.targets == "rows":
        y = rng.dirichlet(np.ones(5), 6)
    else:
        y = rng.integers(0, 5, 6)
    rounded = [a.astype(kind).astype(np.float64) if a.dtype.kind == "f" else a for a in (x, y)]
    return Problem(function, source, kind, *rounded, -1, dict(options))


def losses(p: Problem, x: np.ndarray) -> np.ndarray:
    """Per row, by the formulas; `x` instead of the problem's predictions, with classes along the last axis."""
    o, name, bits = p.options, p.function.name, p.function.targets == "bits"
    y = np.eye(5)[p.y] if p.function.targets == "labels" else p.y
    smoothing = o.get("label_smoothing", 0.0)
    t = y * (1 - smoothing) + smoothing / (2 if bits else 5)
    if bits:
        q = 1 / (1 + np.exp(-x)) if p.source == "logits" else np.clip(x, EPSILON, 1 - EPSILON)
        terms = -(o.get("pos_weight", 1.0) * t * np.log(q) + (1 - t) * np.log(1 - q))
        if name == "binary_focal_crossentropy":
            terms = terms * (1 - (t * q + (1 - t) * (1 - q))) ** o.get("gamma", 2.0)
            if o.get("apply_class_balancing"):
                terms = terms * (t * o["alpha"] + (1 - t) * (1 - o["alpha"]))
        return terms.mean(-1)
    if name == "kl_divergence":
        t, q = np.clip(t, EPSILON, 1), np.clip(x, EPSILON, 1)
        return (o.get("class_weight", 1.0) * t * np.log(t / q)).sum(-1)
    q = np.exp(x) / np.exp(x).sum(-1, keepdims=True) if p.source == "logits" else x / x.sum(-1, keepdims=True)
    q = q if p.source == "logits" else np.clip(q, EPSILON, 1 - EPSILON)
    terms = -t * np.log(q)
    if name == "categorical_focal_crossentropy":
        terms = o.get("alpha", 0.25) * (1 - q) ** o.get("gamma", 2.0) * terms
    if name == "poly1_crossentropy":
        terms = terms + o.get("epsilon", 2.0) * t * (1 - q)
    return (o.get("class_weight", 1.0) * terms).sum(-1)


def expected(p: Problem, x: np.ndarray, reduction: str) -> np.ndarray:
    """The loss as Keras reduces it."""
    weight = np.asarray(p.options.get("sample_weight", np.ones(6)), np.float64)
    counted = np.ones(6, bool)
    if "ignore_class" in p.options:
        counted = p.y != p.options["ignore_class"]
    weighted = losses(p, x) * weight * counted
    if reduction == "none":
        return weighted
    divisor = {"sum": 1.0, "mean": counted.sum(), "mean_with_sample_weight": (weight * counted).sum()}
    return weighted.sum() / divisor[reduction]


def slope(p: Problem, reduction: str, order: int = 1) -> np.ndarray:
    """First derivative, or diagonal of the second, of the loss (of its sum) by central differences."""
    h = 1e-5 if order == 1 else 1e-3
    found = np.zeros_like(p.x)
    for index in np.ndindex(p.x.shape):
        step = np.zeros_like(p.x)
        step[index] = h
        ahead, here, back = (np.sum(expected(p, x, reduction)) for x in (p.x + step, p.x, p.x - step))
        found[index] = (ahead - back) / (2 * h) if order == 1 else (ahead - 2 * here + back) / h**2
    return found


def agree(actual: Any, wanted: Any, dtype: np.dtype, what: str) -> None:
    """1e-5 is far above any rounding of float32 here; a small float that was stored has its own."""
    stored = {"float16": 1e-3, "bfloat16": 8e-3}.get(dtype.name, 0.0)
    np.testing.assert_allclose(
        np.asarray(actual, np.float64), wanted, rtol=1e-5 + stored, atol=1e-5, err_msg=what
    )


def run(cell: Cell, dtype: str) -> None:
    """The check of a cell, for every value of the option and every source: AssertionError if it fails."""
    host = {"function": in_function, "class": in_class, "PyTorch": in_torch}[cell.host]
    for source in cell.sources:
        for options in OPTIONS[cell.option]:
            given = problem(cell, source, dtype, {k: v for k, v in options.items() if k != "axis"})
            given.axis = options.get("axis", -1)
            host(cell, given)


def placed(p: Problem) -> tuple[np.ndarray, np.ndarray, Any, int]:
    """(targets, predictions, a function that puts gradients back to rows, axis) with classes on the axis asked for."""
    x, dense = p.x.astype(p.dtype), p.function.targets != "labels"
    y = p.y.astype(p.dtype) if dense else p.y
    if p.axis == -1:
        return y, x, lambda a: a, -1
    if p.axis == 0:
        return (y.T.copy() if dense else y), x.T.copy(), lambda a: a.T, 0

    def middle(a: np.ndarray) -> np.ndarray:
        return np.moveaxis(a.reshape(2, 3, 5), -1, 1).copy()

    return (
        (middle(y) if dense else y.reshape(2, 3)),
        middle(x),
        lambda a: np.moveaxis(a, 1, -1).reshape(6, 5),
        1,
    )


def keywords(p: Problem, axis: int) -> dict[str, Any]:
    options: dict[str, Any] = {"axis": axis, **p.options}
    if p.function.sources != ("probabilities",):
        options["from_logits"] = p.source == "logits"
    return options


def in_function(cell: Cell, p: Problem) -> None:
    y, x, back, axis = placed(p)
    options = keywords(p, axis)
    reduction = options.setdefault("reduction", "none")
    value = getattr(xn, p.function.name)(y, x, **options)
    agree(np.reshape(value, -1), np.reshape(expected(p, p.x, reduction), -1), np.dtype("f4"), "loss")
    if reduction == "none":
        assert value.dtype == (np.float64 if p.dtype == np.float64 else np.float32)
    else:
        assert type(value) is float
    both = getattr(xn, f"{p.function.name}_value_and_grad")
    if cell.option == "out, grad_out":
        options["out"], options["grad_out"] = np.empty_like(value), np.empty_like(x)
    again, grad = both(y, x, **options)
    assert np.array_equal(again, value)
    assert grad.dtype == x.dtype
    assert cell.option != "out, grad_out" or (again is options["out"] and grad is options["grad_out"])
    agree(back(grad), slope(p, reduction), p.dtype, "gradient")
    if cell.option == "_grad_and_hess":
        grad, hess = getattr(xn, f"{p.function.name}_grad_and_hess")(y, x)
        agree(grad, slope(p, "none"), p.dtype, "gradient beside the Hessian")
        agree(hess, slope(p, "none", 2), p.dtype, "Hessian")


def in_class(cell: Cell, p: Problem) -> None:
    y, x, back, axis = placed(p)
    options = keywords(p, axis)
    weight = options.pop("sample_weight", None)
    if "axis" not in inspect.signature(getattr(xn, p.function.class_name)).parameters:
        assert options.pop("axis") == -1
    loss = getattr(xn, p.function.class_name)(**options)
    reduction = "mean" if loss.reduction == "sum_over_batch_size" else loss.reduction
    value, grad = loss.value_and_grad(y, x, weight)
    assert np.array_equal(value, loss(y, x, weight))
    agree(np.reshape(value, -1), np.reshape(expected(p, p.x, reduction), -1), np.dtype("f4"), "loss")
    agree(back(grad), slope(p, reduction), p.dtype, "gradient")
    assert type(loss).from_config(loss.get_config()) == loss


def in_torch(cell: Cell, p: Problem) -> None:
    import torch

    def tensor(array: np.ndarray) -> Any:
        kind = getattr(torch, p.dtype.name) if array.dtype.kind != "i" else torch.int64
        return torch.tensor(np.asarray(array, np.float64)).to(kind)

    names = {"class_weight": "weight", "sample_weight": "weight", "ignore_class": "ignore_index"}
    options = {names.get(key, key): value for key, value in p.options.items()}
    reduction = options.setdefault("reduction", "sum")
    x, y, back = tensor(p.x), tensor(p.y), lambda a: a
    if p.axis == 1 and p.function.targets != "bits":  # the class dimension, with others behind it
        x = x.reshape(2, 3, 5).movedim(-1, 1)
        y = y.reshape(2, 3, 5).movedim(-1, 1) if p.function.targets == "rows" else y.reshape(2, 3)
        back = lambda a: a.movedim(1, -1).reshape(6, 5)  # noqa: E731
    x = x.detach().requires_grad_()
    if "sample_weight" in p.options:
        options["weight"] = options["weight"][:, None]
    options = {
        key: torch.tensor(value) if isinstance(value, np.ndarray) else value for key, value in options.items()
    }
    if p.function.targets == "bits" and not torch.is_tensor(options.get("pos_weight", x)):
        options["pos_weight"] = torch.tensor(options["pos_weight"])
    value = getattr(xn.torch, p.function.torch)(x, y, **options)
    value.sum().backward()
    assert (value.dtype, x.grad.dtype) == (x.dtype, x.dtype)
    # PyTorch keeps the elements of binary cross-entropy apart: Keras's mean over the axis, times its length.
    each = 5.0 if p.function.targets == "bits" and reduction != "mean" else 1.0
    value = value.sum(-1) if p.function.targets == "bits" and reduction == "none" else value
    wanted = each * expected(p, p.x, reduction)
    agree(value.detach().double().reshape(-1), np.reshape(wanted, -1), p.dtype, "loss")
    agree(back(x.grad).double(), each * slope(p, reduction), p.dtype, "gradient")
