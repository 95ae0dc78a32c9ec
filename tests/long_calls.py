# SPDX-License-Identifier: BSD-3-Clause
"""Calls of many kinds that would take half a minute or hours, and how one is interrupted while C runs."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable

import numpy as np

import xent_native as xn

ROW, WIDE = 1 << 22, 1 << 38  # classes of many rows, and of a few


def spread(shape: tuple[int, ...], dtype: object = np.float32, value: float = 0.25) -> np.ndarray:
    """One element that has the shape of many: it takes no memory."""
    return np.broadcast_to(np.asarray(value, dtype), shape)


def labels(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.uint8)


def sparse(shape: tuple[int, ...], axis: int = -1, dtype: object = np.float32, **options: object) -> Callable:
    rows = list(shape)
    del rows[axis]
    y, x = labels(*rows), spread(shape, dtype)
    return lambda n: xn.sparse_categorical_crossentropy(
        y, x, axis=axis, reduction="sum", n_threads=n, **{"from_logits": True, **options}
    )


def dense(function: Callable, shape: tuple[int, ...], **options: object) -> Callable:
    x = spread(shape)
    return lambda n: function(x, x, reduction="sum", n_threads=n, **options)


# By name: a function that prepares a call and returns it; it takes the number of threads.
CALLS: dict[str, Callable[[], Callable[[int], object]]] = {
    "rows": lambda: sparse((1 << 16, ROW)),
    "short rows": lambda: sparse((1 << 18, 1 << 10, 1 << 10), axis=-1),
    "few classes": lambda: dense(xn.categorical_crossentropy, (1 << 32, 10), from_logits=True),
    "float16": lambda: sparse((1 << 16, ROW), dtype=np.float16),
    "float64": lambda: sparse((1 << 16, ROW), dtype=np.float64),
    "few wide rows": lambda: sparse((3, WIDE)),
    "one wide row": lambda: sparse((1, WIDE)),
    "wide rows of probabilities": lambda: sparse((3, WIDE), from_logits=False),
    "probabilities": lambda: sparse((1 << 16, ROW), from_logits=False),
    "axis first": lambda: sparse((ROW, 1 << 16), axis=0),
    "axis first, very many classes": lambda: sparse((1 << 32, 64), axis=0),
    "axis in the middle": lambda: sparse((1 << 8, ROW, 1 << 8), axis=1),
    "dense": lambda: dense(xn.categorical_crossentropy, (1 << 16, ROW), from_logits=True),
    "dense probabilities": lambda: dense(xn.categorical_crossentropy, (3, WIDE)),
    "dense, axis first": lambda: dense(xn.categorical_crossentropy, (1 << 32, 64), axis=0),
    "focal": lambda: dense(xn.categorical_focal_crossentropy, (3, WIDE), from_logits=True, gamma=1.5),
    "focal probabilities": lambda: dense(xn.categorical_focal_crossentropy, (3, WIDE), gamma=1.5),
    "focal, axis first": lambda: dense(xn.categorical_focal_crossentropy, (1 << 32, 64), axis=0),
    "poly1": lambda: dense(xn.poly1_crossentropy, (3, WIDE)),
    "kl divergence": lambda: dense(xn.kl_divergence, (3, WIDE)),
    "binary": lambda: dense(xn.binary_crossentropy, (1 << 16, ROW), from_logits=True),
    "binary probabilities": lambda: dense(xn.binary_crossentropy, (1 << 16, ROW)),
    "binary focal": lambda: dense(xn.binary_focal_crossentropy, (1 << 16, ROW), gamma=1.5),
    "binary, axis first": lambda: dense(xn.binary_crossentropy, (ROW, 1 << 16), axis=0, from_logits=True),
    "logsumexp": lambda: lambda n: xn.logsumexp(spread((1 << 16, ROW)), n_threads=n),
}


def interrupt(call: Callable[[], object], after: float) -> float | None:
    """Seconds from a Ctrl-C, `after` seconds after a call began, until the call has raised it; None if it had ended."""
    sent: list[float] = []
    begun = threading.Event()

    def send() -> None:
        begun.wait()
        time.sleep(after)
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=send)
    sender.start()
    seconds = None
    try:
        begun.set()
        call()
    except KeyboardInterrupt:
        seconds = time.perf_counter() - sent[0]
    while sender.is_alive():
        with contextlib.suppress(KeyboardInterrupt):  # that comes only now: it is for nobody
            sender.join()
    return seconds
