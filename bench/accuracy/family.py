# SPDX-License-Identifier: BSD-3-Clause
"""The other losses: binary cross-entropy, the focal losses, poly1 and KL divergence, on hard rows of their own."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import exact_binary
import exact_shapes
import numpy as np
from bounds import ULPS_FROM
from exact import SMALLEST_CERTAIN_LOSS, ulp
from exact_shapes import Shaped
from hard_rows import KINDS, hard_rows, soft_targets

from .libraries import Function, installed
from .measure import DTYPES, Record, as_json, isas

GAMMA, EPSILON = 2, 2.0
CLASSES = (2, 3, 10, 40, 113, 1000, 20_000)
ELEMENTS = 12_000  # of a case, but at least one row
MOST_ROWS = 100
METRICS = (
    "loss, ulp",
    "small loss, relative",
    "gradient, absolute",
    "gradient, relative to its terms",
    "over the bound",
)


class Loss(NamedTuple):
    """One loss: how its rows are made, what is exact, and who else has it."""

    title: str
    ours: tuple[str, dict[str, Any]]  # a function of xent_native, without _value_and_grad, and its options
    kinds: tuple[str, ...]
    problems: Callable[
        [str, str], Iterator[tuple[np.ndarray, np.ndarray]]
    ]  # of a kind and a dtype: (input, targets)
    exactly: Callable[[np.ndarray, np.ndarray, str], Shaped]
    peers: dict[str, tuple[str, Function]]  # what is called, and how


# Rows.


def elements(kind: str, dtype: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(n, 1) logits and targets: of the kinds of BINARY_KINDS."""
    n = 4000
    rng = np.random.default_rng([sorted(BINARY_KINDS).index(kind), n])
    t = rng.integers(0, 2, n).astype(np.float64)
    side = 2 * t - 1
    x = {
        "random": lambda: rng.standard_normal(n) * rng.choice([0.3, 2.0, 5.0], n),
        "confident": lambda: side * np.linspace(5, 100, n),
        "hopeless": lambda: -side * np.exp(np.linspace(np.log(5), np.log(1e4), n)),
        "near_zero": lambda: rng.choice([-1, 1], n) * 10 ** rng.uniform(-42, -2, n),
        "soft": lambda: rng.standard_normal(n) * rng.choice([0.3, 5.0, 50.0], n),
    }[kind]()
    yield x.astype(dtype)[:, None], (rng.random(n) if kind == "soft" else t).astype(dtype)[:, None]


BINARY_KINDS = {
    "random": "from flat to sharp",
    "confident": "on the side of their target by 5 to 100",
    "hopeless": "on the other side by 5 to 10,000",
    "near_zero": "from 1e-42 to 0.01",
    "soft": "targets anywhere between 0 and 1 (not for the focal loss: nothing is promised for them there)",
}
ROW_KINDS = tuple(kind for kind in KINDS if kind != "masked")


def rows(kind: str, dtype: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Logits with one-hot targets, and the same with dense ones."""
    for classes in CLASSES:
        n = max(1, min(MOST_ROWS, ELEMENTS // classes))
        x, labels = hard_rows(kind, n, classes, dtype)
        hot = np.zeros_like(x)
        hot[np.arange(n), labels] = 1
        yield x, hot
        yield x, soft_targets(x, dtype)


def probabilities(kind: str, dtype: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The softmax of those logits, from 1e-6 on; targets of their own, or next to the probabilities."""
    for x, t in rows(kind, dtype):
        e = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
        y = np.maximum(e / e.sum(axis=1, keepdims=True), 1e-6).astype(dtype)
        near = np.random.default_rng(y.shape).standard_normal(y.shape) * 1e-3
        t[::2] = np.minimum(y * (1 + near), 1).astype(dtype)[::2]  # more is clipped
        yield y, t


# Libraries.


def torch_function(name: str, of: Callable[[Any], Any] = lambda x: x) -> Function:
    """A function of torch.nn.functional on of(input), one loss per row."""

    def call(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import torch

        given = torch.from_numpy(x).clone().requires_grad_()
        loss = getattr(torch.nn.functional, name)(of(given), torch.from_numpy(y), reduction="none").sum(dim=1)
        loss.sum().backward()
        assert given.grad is not None
        return loss.detach().numpy(), given.grad.numpy()

    return call


@cache
def _optax(name: str, logarithm: bool, elementwise: bool) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    jax: Any = import_module("jax")
    function = getattr(import_module("optax.losses"), name)

    def losses(x: Any, y: Any) -> Any:
        loss = function(jax.numpy.log(x) if logarithm else x, y)
        return loss.sum(axis=1) if elementwise else loss

    return jax.jit(lambda x, y: (losses(x, y), jax.grad(lambda given: losses(given, y).sum())(x)))


def optax_function(name: str, logarithm: bool = False, elementwise: bool = False) -> Function:
    """A function of Optax on the input or its logarithm, under jax.jit."""

    def call(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        jax: Any = import_module("jax")
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_x64", x.dtype == np.float64)
        loss, grad = _optax(name, logarithm, elementwise)(x, y)
        return np.asarray(loss), np.asarray(grad)

    return call


def sklearn_binary(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """HalfBinomialLoss, which LogisticRegression and HistGradientBoostingClassifier use."""
    from sklearn._loss import HalfBinomialLoss

    loss, grad = HalfBinomialLoss().loss_gradient(y[:, 0].copy(), x[:, 0].copy())
    return loss, grad[:, None]


def ours(loss: Loss, isa: str, axis: int) -> Function:
    """xent_native on one instruction set, with the class axis in one place."""
    import xent_native as xn

    name, options = loss.ours

    def call(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        xn.set_isa(isa)
        if axis == 0:
            x, y = np.ascontiguousarray(x.T), np.ascontiguousarray(y.T)
        value, grad = getattr(xn, f"{name}_value_and_grad")(y, x, axis=axis, **options)
        return value, grad.T if axis == 0 else grad

    return call


def _binary(gamma: int) -> Callable[[np.ndarray, np.ndarray, str], Shaped]:
    return lambda x, t, dtype: exact_binary.from_logits(x[:, 0], t[:, 0], gamma, dtype)


def _shaped(shape: str, coefficient: float) -> Callable[[np.ndarray, np.ndarray, str], Shaped]:
    return lambda x, t, dtype: exact_shapes.from_logits(x, t, shape, coefficient, dtype)


LOSSES = {
    "binary": Loss(
        "Binary cross-entropy from logits",
        ("binary_crossentropy", {"from_logits": True}),
        tuple(BINARY_KINDS),
        elements,
        _binary(0),
        {
            "torch": (
                "F.binary_cross_entropy_with_logits",
                torch_function("binary_cross_entropy_with_logits"),
            ),
            "optax": (
                "sigmoid_binary_cross_entropy",
                optax_function("sigmoid_binary_cross_entropy", elementwise=True),
            ),
            "scikit-learn": ("_loss.HalfBinomialLoss", sklearn_binary),
        },
    ),
    "binary focal": Loss(
        f"Binary focal loss from logits, gamma {GAMMA}",
        ("binary_focal_crossentropy", {"from_logits": True, "gamma": float(GAMMA)}),
        tuple(kind for kind in BINARY_KINDS if kind != "soft"),
        elements,
        _binary(GAMMA),
        {"optax": ("sigmoid_focal_loss", optax_function("sigmoid_focal_loss", elementwise=True))},
    ),
    "focal": Loss(
        f"Categorical focal loss from logits, gamma {GAMMA}",
        ("categorical_focal_crossentropy", {"from_logits": True, "alpha": 1.0, "gamma": float(GAMMA)}),
        ROW_KINDS,
        rows,
        _shaped("focal", float(GAMMA)),
        {},
    ),
    "poly1": Loss(
        f"poly1 from logits, epsilon {EPSILON:g}",
        ("poly1_crossentropy", {"from_logits": True, "epsilon": EPSILON}),
        ROW_KINDS,
        rows,
        _shaped("poly1", EPSILON),
        {"optax": ("poly_loss_cross_entropy", optax_function("poly_loss_cross_entropy"))},
    ),
    "KL": Loss(
        "KL divergence from probabilities, without a clip",
        ("kl_divergence", {"epsilon": 0.0}),
        ROW_KINDS,
        probabilities,
        lambda y, t, dtype: exact_shapes.from_probabilities(y, t, "kl", 0.0, dtype, 0.0),
        {
            "torch": ("F.kl_div of the logarithm", torch_function("kl_div", lambda y: y.log())),
            "optax": ("kl_divergence of the logarithm", optax_function("kl_divergence", logarithm=True)),
        },
    ),
}


# Measuring.


def errors(
    function: Function, x: np.ndarray, y: np.ndarray, expected: Shaped, absolute: bool = True
) -> list[float]:
    """The worst of each metric; all infinite where a result is not finite: every exact one is."""
    tiny = float(np.finfo(x.dtype).tiny)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        loss, grad = function(x, y)
    loss, grad = np.ravel(loss).astype(np.float64), np.asarray(grad, np.float64)
    if not (np.isfinite(loss).all() and np.isfinite(grad).all()):
        return [np.inf] * len(METRICS)
    off = np.abs(loss - expected.loss - expected.loss_rest)
    slope_off = np.abs(grad - expected.grad - expected.grad_rest)
    large = np.abs(expected.loss) >= ULPS_FROM
    normal = expected.grad_terms >= tiny
    scale = np.abs(np.asarray(y, np.float64)).sum(axis=1) if x.shape[1] > 1 else np.ones(len(x))
    found = (
        off[large] / ulp(expected.loss[large], x.dtype),
        off[~large] / np.maximum(expected.loss_terms[~large], SMALLEST_CERTAIN_LOSS),
        slope_off / scale[:, None] if absolute else np.zeros(1),
        slope_off[normal] / expected.grad_terms[normal],
        np.append(off / expected.loss_bound, slope_off / expected.grad_bound),
    )
    return [float(e.max(initial=0.0)) for e in found]


def measure(peers: bool) -> Iterator[Record]:
    """One record for each loss, dtype and kind of rows: the worst errors over all class counts."""
    import xent_native

    before = xent_native.isa()
    try:
        for name, loss in LOSSES.items():
            columns = {f"xent_native, {isa}": [ours(loss, isa, -1), ours(loss, isa, 0)] for isa in isas()}
            if peers:
                columns |= {key: [call] for key, (_, call) in loss.peers.items() if key in installed()}
            for dtype in DTYPES:
                for kind in loss.kinds:
                    yield one(name, dtype, kind, columns)
    finally:
        xent_native.set_isa(before)


def one(name: str, dtype: str, kind: str, columns: dict[str, list[Function]]) -> Record:
    """The record of one kind of rows."""
    loss = LOSSES[name]
    worst = {column: [0.0] * len(METRICS) for column in columns}
    for x, y in loss.problems(kind, dtype):
        expected = loss.exactly(x, y, dtype)
        for column, functions in columns.items():
            for function in functions:
                # The gradient -t / y of KL has no scale to be absolute in.
                found = errors(function, x, y, expected, absolute=name != "KL")
                worst[column] = list(map(max, worst[column], found))
    return {"target": name, "dtype": dtype, "kind": kind, "errors": as_json(worst)}
