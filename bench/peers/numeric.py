# SPDX-License-Identifier: BSD-3-Clause
"""Competitors that work on NumPy arrays: NumPy, SciPy, scikit-learn, numba."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..arrays import Arrays
from ..cases import Case
from ..machine import cpus
from .base import ALL_FLOATS, EPSILON, FLOATS, Peer, Unsupported, refuse


def _at_label(array: np.ndarray, labels: Any, axis: int) -> np.ndarray:
    return np.take_along_axis(array, np.expand_dims(labels, axis), axis)


def _subtract_target(grad: np.ndarray, arrays: Arrays, axis: int) -> None:
    if arrays.dense is not None:
        grad -= arrays.dense
    else:
        assert arrays.labels is not None
        index = np.expand_dims(arrays.labels, axis)
        np.put_along_axis(grad, index, np.take_along_axis(grad, index, axis) - 1, axis)


class NumPy(Peer):
    """The formulas as one writes them with NumPy: subtract the maximum, exponentiate, sum, take the log."""

    name = "numpy"
    package = "numpy"
    summary = "max, exp, sum, log, in place where that is natural"

    def prepare(self, case: Case, arrays: Arrays) -> Callable[[], Any]:
        refuse(case, dtypes=ALL_FLOATS)
        axis, labels, dense, rows = case.axis, arrays.labels, arrays.dense, case.rows
        # float16 is slow and imprecise in NumPy, and bfloat16 more so: one computes in float32.
        half = case.dtype not in FLOATS
        output = case.operation.output

        def values() -> np.ndarray:
            return arrays.x.astype(np.float32) if half else arrays.x

        def shifted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            x = values()
            top = x.max(axis=axis, keepdims=True)
            e = x - top
            np.exp(e, out=e)
            return x, top, e

        def loss_of(x: np.ndarray, lse: np.ndarray) -> Any:
            if labels is not None:
                return np.mean(lse - _at_label(x, labels, axis))
            return np.sum(dense * (lse - x)) / rows

        def forward() -> tuple[Any, Any]:
            x, top, e = shifted()
            return loss_of(x, np.log(e.sum(axis=axis, keepdims=True)) + top), None

        def gradient() -> tuple[Any, Any]:
            x, top, e = shifted()
            total = e.sum(axis=axis, keepdims=True)
            loss = loss_of(x, np.log(total) + top)
            e /= total
            _subtract_target(e, arrays, axis)
            e /= rows
            return loss, e

        def softmax() -> tuple[Any, Any]:
            _, _, e = shifted()
            e /= e.sum(axis=axis, keepdims=True)
            return None, e

        def log_softmax() -> tuple[Any, Any]:
            x, top, e = shifted()
            return None, x - (np.log(e.sum(axis=axis, keepdims=True)) + top)

        def logsumexp() -> tuple[Any, Any]:
            _, top, e = shifted()
            return np.log(e.sum(axis=axis, keepdims=True)) + top, None

        def prob_forward() -> tuple[Any, Any]:
            x = values()
            total = x.sum(axis=axis, keepdims=True)
            if labels is not None:
                p = np.clip(_at_label(x, labels, axis) / total, EPSILON, 1 - EPSILON)
                return -np.mean(np.log(p)), None
            p = np.clip(x / total, EPSILON, 1 - EPSILON)
            return -np.sum(dense * np.log(p)) / rows, None

        def prob_gradient() -> tuple[Any, Any]:
            x = values()
            total = x.sum(axis=axis, keepdims=True)
            p = x / total
            inside = (p >= EPSILON) & (p <= 1 - EPSILON)
            if dense is not None:
                u = dense * inside
                loss = -np.sum(dense * np.log(np.clip(p, EPSILON, 1 - EPSILON))) / rows
            else:
                assert labels is not None
                u = np.zeros_like(x)
                np.put_along_axis(u, np.expand_dims(labels, axis), 1, axis)
                u *= inside
                loss = -np.mean(np.log(np.clip(_at_label(p, labels, axis), EPSILON, 1 - EPSILON)))
            grad = u.sum(axis=axis, keepdims=True) / total - u / x
            grad /= rows
            return loss, grad

        if output == "loss":
            return forward if case.operation.source == "logits" else prob_forward
        if output == "loss and gradient":
            return gradient if case.operation.source == "logits" else prob_gradient
        return {"softmax": softmax, "log_softmax": log_softmax, "logsumexp": logsumexp}[output]


class SciPy(Peer):
    """scipy.special: logsumexp for the loss, log_softmax where the gradient is wanted too."""

    name = "scipy"
    package = "scipy"
    summary = "scipy.special.logsumexp, log_softmax, softmax"

    def load(self) -> None:
        import scipy.special  # noqa: F401

    def prepare(self, case: Case, arrays: Arrays) -> Callable[[], Any]:
        from scipy import special

        refuse(case, dtypes=FLOATS)
        if case.operation.source != "logits":
            raise Unsupported("no cross-entropy from probabilities")
        x, axis, labels, dense, rows = arrays.x, case.axis, arrays.labels, arrays.dense, case.rows

        def forward() -> tuple[Any, Any]:
            lse = special.logsumexp(x, axis=axis, keepdims=True)
            if labels is not None:
                return np.mean(lse - _at_label(x, labels, axis)), None
            return np.sum(dense * (lse - x)) / rows, None

        def gradient() -> tuple[Any, Any]:
            log_p = special.log_softmax(x, axis=axis)
            loss = (
                -np.mean(_at_label(log_p, labels, axis))
                if labels is not None
                else -np.sum(dense * log_p) / rows
            )
            grad = np.exp(log_p, out=log_p)
            _subtract_target(grad, arrays, axis)
            grad /= rows
            return loss, grad

        return {
            "loss": forward,
            "loss and gradient": gradient,
            "softmax": lambda: (None, special.softmax(x, axis=axis)),
            "log_softmax": lambda: (None, special.log_softmax(x, axis=axis)),
            "logsumexp": lambda: (special.logsumexp(x, axis=axis), None),
        }[case.operation.output]


class ScikitLearn(Peer):
    """The compiled loss of its gradient boosting and logistic regression, into the caller's buffers.

    Values per row, and the gradient of their sum: it is not asked to divide by the number of rows. Labels
    must be floats of the input's dtype. From probabilities, sklearn.metrics.log_loss.
    """

    name = "sklearn"
    package = "scikit-learn"
    summary = "_loss.HalfMultinomialLoss (private); metrics.log_loss from probabilities"
    sums = True

    def load(self) -> None:
        import sklearn._loss.loss
        import sklearn.metrics  # noqa: F401

    def prepare(self, case: Case, arrays: Arrays) -> Callable[[], Any]:
        from sklearn._loss.loss import HalfMultinomialLoss
        from sklearn.metrics import log_loss

        refuse(case, dtypes=FLOATS, rows_only=True)
        x, operation = arrays.x, case.operation
        if operation.target != "labels":
            raise Unsupported("only integer labels")
        if operation.source == "probabilities":
            if operation.gradient:
                raise Unsupported("no gradient from probabilities")
            every = np.arange(case.classes)
            return lambda: (log_loss(arrays.labels, x, labels=every), None)
        assert arrays.labels is not None
        y = arrays.labels.astype(x.dtype)
        if case.dtype == "float32" and case.classes > 1 << 24:
            raise Unsupported("labels above 2^24 are not float32 numbers")
        function = HalfMultinomialLoss(n_classes=case.classes)
        threads = self.settings.threads or cpus()
        out = np.empty(len(x), x.dtype)
        if operation.gradient:
            grad = np.empty_like(x)
            return lambda: function.loss_gradient(y, x, loss_out=out, gradient_out=grad, n_threads=threads)
        return lambda: (function.loss(y, x, loss_out=out, n_threads=threads), None)


class Numba(Peer):
    """The fused loop that an expert would write: rows in parallel, two or three passes over a cached row."""

    name = "numba"
    package = "numba"
    summary = "njit(parallel=True) kernel, fused by hand, into the caller's buffer"

    def load(self) -> None:
        import numba

        most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined, unused-ignore]
        numba.set_num_threads(min(self.settings.threads or cpus(), most))

    def prepare(self, case: Case, arrays: Arrays) -> Callable[[], Any]:
        refuse(case, dtypes=FLOATS, rows_only=True)
        operation, x, y = case.operation, arrays.x, arrays.labels
        if operation.target != "labels" or operation.source != "logits":
            raise Unsupported("its kernel is written for labels and logits")
        kernels = _numba_kernels()
        losses = np.empty(len(x), x.dtype)
        if operation.gradient:
            grad = np.empty_like(x)
            return lambda: (kernels.gradient(x, y, losses, grad), grad)
        return lambda: (kernels.forward(x, y, losses), None)


@functools.cache
def _numba_kernels() -> SimpleNamespace:
    from numba import njit, prange

    @njit(parallel=True, fastmath=False)
    def forward(x: Any, y: Any, losses: Any) -> Any:
        for i in prange(x.shape[0]):
            row = x[i]
            top = row[0]
            for j in range(row.size):
                top = max(top, row[j])
            total = x.dtype.type(0)
            for j in range(row.size):
                total += np.exp(row[j] - top)
            losses[i] = np.log(total) + (top - row[y[i]])
        return losses.mean()

    @njit(parallel=True, fastmath=False)
    def gradient(x: Any, y: Any, losses: Any, grad: Any) -> Any:
        scale = x.dtype.type(1.0 / x.shape[0])
        for i in prange(x.shape[0]):
            row, out = x[i], grad[i]
            top = row[0]
            for j in range(row.size):
                top = max(top, row[j])
            total = x.dtype.type(0)
            for j in range(row.size):
                e = np.exp(row[j] - top)
                out[j] = e
                total += e
            factor = scale / total
            for j in range(row.size):
                out[j] *= factor
            out[y[i]] -= scale
            losses[i] = np.log(total) + (top - row[y[i]])
        return losses.mean()

    return SimpleNamespace(forward=forward, gradient=gradient)
