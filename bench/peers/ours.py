# SPDX-License-Identifier: BSD-3-Clause
"""xent_native itself, in the ways that its users call it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..cases import Arrays, Case
from .base import Peer


class XentNative(Peer):
    """The functions. Large outputs go to a buffer that the caller keeps, as in a training loop."""

    name = "xent_native"
    package = "xent-native"
    summary = "the functions; large outputs into the caller's buffer (grad_out=)"
    ours = True
    reuses = True

    def load(self) -> None:
        import xent_native

        xent_native.set_num_threads(self.settings.threads or None)

    def prepare(self, case: Case, arrays: Arrays) -> Callable[[], Any]:
        import xent_native as xn

        x, axis, output = arrays.x, case.axis, case.operation.output
        buffer = np.empty_like(x) if case.operation.writes and self.reuses and not case.small else None
        if output == "softmax":
            return lambda: (None, xn.softmax(x, axis=axis, out=buffer))
        if output == "log_softmax":
            return lambda: (None, xn.log_softmax(x, axis=axis, out=buffer))
        if output == "logsumexp":
            return lambda: (xn.logsumexp(x, axis=axis), None)
        logits = case.operation.source == "logits"
        dense = case.operation.target == "dense"
        target = arrays.dense if dense else arrays.labels
        options: dict[str, Any] = {"from_logits": logits, "axis": axis, "reduction": "mean"}
        if case.operation.gradient:
            both: Callable[..., Any] = (
                xn.categorical_crossentropy_value_and_grad
                if dense
                else xn.sparse_categorical_crossentropy_value_and_grad
            )
            if buffer is not None:
                options["grad_out"] = buffer
            return lambda: both(target, x, **options)
        value: Callable[..., Any] = (
            xn.categorical_crossentropy if dense else xn.sparse_categorical_crossentropy
        )
        if (
            case.small
        ):  # written out, as users write it: packing and unpacking options costs a tenth of the call
            return lambda: (value(target, x, from_logits=logits, axis=axis, reduction="mean"), None)
        return lambda: (value(target, x, **options), None)


class XentNativeNewArray(XentNative):
    """The same with a new array for every large output, which is what torch and JAX do."""

    name = "xent_native-new-array"
    summary = "the functions; every large output is a new array"
    reuses = False

    def applies(self, case: Case) -> bool:
        return case.operation.writes and not case.small


class XentNativeClass(XentNative):
    """The loss classes, for small calls."""

    name = "xent_native-class"
    summary = "the loss classes, for small calls"

    def applies(self, case: Case) -> bool:
        return case.small and case.operation.target != "none"

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
