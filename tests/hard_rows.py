# SPDX-License-Identifier: BSD-3-Clause
"""Rows of logits that are hard to get right, by kind: for the contract's tests and the table in docs/accuracy.md."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Generator = np.random.Generator
# (rng, rows, classes) to (logits, labels), both float64 and unrounded.
Draw = Callable[[Generator, int, int], tuple[np.ndarray, np.ndarray]]


def _labels(rng: Generator, n: int, classes: int) -> np.ndarray:
    return rng.integers(0, classes, n)


def _spread(rng: Generator, n: int, low: float, high: float) -> np.ndarray:
    """n values between the two, both included, in any order."""
    return rng.permutation(np.linspace(low, high, n)) if n > 1 else np.array([low])


def random(rng: Generator, n: int, classes: int):
    """From nearly flat rows to sharp ones."""
    x = rng.standard_normal((n, classes)) * rng.choice([0.3, 2.0, 5.0], (n, 1))
    return x, _labels(rng, n, classes)


def confident(rng: Generator, n: int, classes: int):
    """The label is ahead of all others by 5 to 100."""
    ahead = _spread(rng, n, 5, 100)
    x = rng.standard_normal((n, classes)) * np.minimum(1, ahead / 20)[:, None]
    y = _labels(rng, n, classes)
    x[np.arange(n), y] = x.max(axis=1) + ahead
    return x, y


def hopeless(rng: Generator, n: int, classes: int):
    """The label is behind all others by 5 to 10,000."""
    behind = np.exp(_spread(rng, n, np.log(5), np.log(1e4)))
    x = rng.standard_normal((n, classes))
    y = _labels(rng, n, classes)
    x[np.arange(n), y] = x.min(axis=1) - behind
    return x, y


def near_tied(rng: Generator, n: int, classes: int):
    """All classes, or the few that count, are equal or apart by an ulp of float32."""
    x = np.float32(rng.choice([-70.0, 0.25, 3.25, 600.0], (n, 1))).astype(np.float64).repeat(classes, axis=1)
    up = np.spacing(np.float32(np.abs(x[:, :1]))).astype(np.float64)
    x += up * rng.integers(-1, 2, (n, classes))
    x[::3, classes // 2 :] -= 20
    return x, _labels(rng, n, classes)


def wide(rng: Generator, n: int, classes: int):
    """Logits over +-10,000."""
    x = rng.uniform(-1e4, 1e4, (n, classes))
    y = _labels(rng, n, classes)
    half = np.arange(n) % 2 == 0
    y[half] = np.argmax(x, axis=1)[half]
    x[half, y[half]] += rng.uniform(0, 40, np.count_nonzero(half))
    return x, y


def masked(rng: Generator, n: int, classes: int):
    """A third of the classes is -inf; now and then all but one, or the label."""
    x = rng.standard_normal((n, classes)) * 3
    y = _labels(rng, n, classes)
    x[rng.random((n, classes)) < 1 / 3] = -np.inf
    x[1::5] = -np.inf
    x[np.arange(n), y] = rng.standard_normal(n)
    x[2::5][np.arange(len(x[2::5])), y[2::5]] = -np.inf
    x[2::5][np.arange(len(x[2::5])), (y[2::5] + 1) % classes] = 1.5
    return x, y


def offset(rng: Generator, n: int, classes: int):
    """Far from 0, on both sides of where the exponential changes its method (512 and 2,048)."""
    at = rng.choice([-1e5, -2048.5, -512.5, -511.0, -90.0, 88.5, 511.5, 513.0, 2047.0, 2049.0, 1e5], (n, 1))
    return rng.standard_normal((n, classes)) * rng.choice([1.0, 10.0], (n, 1)) + at, _labels(rng, n, classes)


def rising(rng: Generator, n: int, classes: int):
    """Sorted: every block of classes has a larger maximum than the one before it, or a smaller one."""
    x = np.sort(rng.standard_normal((n, classes)) * _spread(rng, n, 1, 30)[:, None], axis=1)
    x[1::2] = x[1::2, ::-1].copy()
    return x, _labels(rng, n, classes)


def overtaken(rng: Generator, n: int, classes: int):
    """The label is the last class and well ahead: all that was summed before is brought to a new maximum."""
    x = rng.standard_normal((n, classes)) * 0.5
    x[:, -1] = np.log(classes) + _spread(rng, n, 0, 4.4)
    return x + rng.choice([0.0, 3000.0], (n, 1)), np.full(n, classes - 1)


def alike(rng: Generator, n: int, classes: int):
    """All classes but the label's are equal, so that their roundings go the same way; losses from 0.01 to 4."""
    x = np.zeros((n, classes))
    y = _labels(rng, n, classes)
    x[np.arange(n), y] = np.log(max(classes - 1, 1)) + _spread(rng, n, -4, 4.6)
    return x + rng.choice([0.0, 7.3, -40.1], (n, 1)), y


KINDS: dict[str, Draw] = {
    draw.__name__: draw
    for draw in (random, confident, hopeless, near_tied, wide, masked, offset, rising, overtaken, alike)
}


def hard_rows(kind: str, n: int, classes: int, dtype) -> tuple[np.ndarray, np.ndarray]:
    """(n, classes) logits of `dtype`, and labels; the same for the same arguments."""
    rng = np.random.default_rng([sorted(KINDS).index(kind), n, classes])
    x, y = KINDS[kind](rng, n, classes)
    return x.astype(dtype), y


def soft_targets(x: np.ndarray, dtype) -> np.ndarray:
    """Dense targets for logits: rows that about sum to 1, sharp and flat, with some exact zeros; 0 at -inf."""
    rng = np.random.default_rng([7, *x.shape])
    t = rng.standard_exponential(x.shape) ** rng.choice([1, 4], (len(x), 1))
    t[(rng.random(x.shape) < 0.2) & (np.cumsum(np.ones_like(t), axis=1) > 1)] = 0
    t[np.isneginf(x)] = 0
    t[np.arange(len(x)), np.argmax(x, axis=1)] += 1e-3  # no row without a target
    t /= t.sum(axis=1, keepdims=True)
    return t.astype(dtype)
