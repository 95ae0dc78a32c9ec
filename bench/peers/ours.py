# SPDX-License-Identifier: BSD-3-Clause
"""xent_native itself, in the ways that its users call it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Arrays
from ..cases import Case
from .base import Peer


class XentNative(Peer):
    """The functions. Large outputs go to a buffer that the caller keeps, as in a training loop."""

    name = "xent_native"
    package = "xent-native"
    summary = "the functions; large outputs into the caller's buffer (grad_out=)"
    ours = True
    reuses = True

    def setup(self) -> None:
        import xent_native

        xent_native.set_num_threads(self.settings.threads or None)
        if self.settings.isa:
            xent_native.set_isa(self.settings.isa)

    def prepare(self, case: Case, arrays: Arrays) -> Callable[[], Any]:
        keeps = case.operation.writes and self.reuses and case.kind != "small"
        buffer = np.empty_like(arrays.x) if keeps else None
        if case.operation.target == "none":
            return _activation(case, arrays.x, buffer)
        return _gradient(case, arrays, buffer) if case.operation.gradient else _loss(case, arrays)


def _activation(case: Case, x: np.ndarray, buffer: np.ndarray | None) -> Callable[[], Any]:
    import xent_native as xn

    axis = case.axis
    if case.operation.output == "softmax":
        return lambda: (None, xn.softmax(x, axis=axis, out=buffer))
    if case.operation.output == "log_softmax":
        return lambda: (None, xn.log_softmax(x, axis=axis, out=buffer))
    return lambda: (xn.logsumexp(x, axis=axis), None)


def _loss(case: Case, arrays: Arrays) -> Callable[[], Any]:
    import xent_native as xn

    dense, logits, axis = _form(case)
    function: Callable[..., Any] = {
        "cross-entropy": xn.categorical_crossentropy if dense else xn.sparse_categorical_crossentropy,
        "focal": xn.categorical_focal_crossentropy,
        "binary": xn.binary_crossentropy,
        "binary focal": xn.binary_focal_crossentropy,
    }[case.operation.loss]
    x, y = arrays.x, arrays.dense if dense else arrays.labels
    if case.kind == "small" and axis == -1:
        # Written out, as users write it: one more option is a tenth of the call.
        return lambda: (function(y, x, from_logits=logits, reduction="mean"), None)
    return lambda: (function(y, x, from_logits=logits, reduction="mean", axis=axis), None)


def _gradient(case: Case, arrays: Arrays, buffer: np.ndarray | None) -> Callable[[], Any]:
    import xent_native as xn

    dense, logits, axis = _form(case)
    function: Callable[..., Any] = xn.sparse_categorical_crossentropy_value_and_grad
    if dense:
        function = xn.categorical_crossentropy_value_and_grad
    if case.operation.loss == "binary":
        function = xn.binary_crossentropy_value_and_grad
    x, y = arrays.x, arrays.dense if dense else arrays.labels
    if case.kind == "small" and axis == -1:
        return lambda: function(y, x, from_logits=logits, reduction="mean")
    return lambda: function(y, x, from_logits=logits, reduction="mean", axis=axis, grad_out=buffer)


def _form(case: Case) -> tuple[bool, bool, int]:
    """Whether targets are dense, whether the input holds logits, and the class axis."""
    return case.operation.target == "dense", case.operation.source == "logits", case.axis


class XentNativeNewArray(XentNative):
    """The same with a new array for every large output, which is what torch and JAX do."""

    name = "xent_native-new-array"
    summary = "the functions; every large output is a new array"
    reuses = False

    def applies(self, case: Case) -> bool:
        return case.operation.writes and case.kind != "small"


class XentNativeClass(XentNative):
    """The loss classes, for small calls."""

    name = "xent_native-class"
    summary = "the loss classes, for small calls"

    def applies(self, case: Case) -> bool:
        return (
            case.kind == "small"
            and case.operation.target != "none"
            and case.operation.loss == "cross-entropy"
        )

    def prepare(self, case: Case, arrays: Arrays) -> Callable[[], Any]:
        import xent_native as xn

        dense = case.operation.target == "dense"
        target = arrays.dense if dense else arrays.labels
        kind = xn.CategoricalCrossentropy if dense else xn.SparseCategoricalCrossentropy
        loss = kind(from_logits=case.operation.source == "logits", axis=case.axis)
        x = arrays.x
        if case.operation.gradient:
            return lambda: loss.value_and_grad(target, x)
        return lambda: (loss(target, x), None)
