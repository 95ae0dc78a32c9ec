# SPDX-License-Identifier: BSD-3-Clause
"""Competitors with tensors of their own: PyTorch, compiled PyTorch, Optax on JAX."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from ..arrays import Arrays
from ..cases import Case
from ..machine import cpus
from .base import ALL_FLOATS, EPSILON, Peer, Unsupported, refuse


class Torch(Peer):
    """PyTorch as it comes: torch.nn.functional.cross_entropy, and backward() for the gradient."""

    name = "torch"
    package = "torch"
    summary = "F.cross_entropy, backward()"

    def load(self) -> None:
        import torch

        torch.set_num_threads(self.settings.threads or cpus())

    def prepare(self, case: Case, arrays: Arrays) -> Callable[[], Any]:
        import torch

        refuse(case, dtypes=ALL_FLOATS)
        x = self._tensor(arrays.x)
        target = arrays.labels if arrays.dense is None else arrays.dense
        y = None if target is None else self._tensor(target)
        function = self._function(case)
        if not case.operation.gradient:

            def forward() -> tuple[Any, Any]:
                with torch.no_grad():
                    value = function(x, y)
                return (None, value) if case.operation.writes else (value, None)

            return forward
        x.requires_grad_()

        def gradient() -> tuple[Any, Any]:
            x.grad = None  # as optimizers do between steps: a gradient that is there is added to
            loss = function(x, y)
            loss.backward()
            return loss, x.grad

        return gradient

    def _function(self, case: Case) -> Callable[..., Any]:
        return _torch_function(case)

    @staticmethod
    def _tensor(array: np.ndarray) -> Any:
        import torch

        if array.dtype.name == "bfloat16":
            return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(array)

    def to_numpy(self, value: Any) -> np.ndarray:
        import torch

        value = value.detach()
        return np.asarray(value.to(torch.float32) if value.dtype == torch.bfloat16 else value)


class TorchCompile(Torch):
    """torch.compile of the same; compilation is not timed."""

    name = "torch.compile"
    summary = "torch.compile(F.cross_entropy, fullgraph=True, dynamic=False), backward()"

    def _function(self, case: Case) -> Callable[..., Any]:
        import torch

        # Without this, torch gives up after eight shapes and silently runs the uncompiled function.
        torch._dynamo.reset()
        compiled: Callable[..., Any] = torch.compile(_torch_function(case), fullgraph=True, dynamic=False)
        return compiled


class XentNativeTorch(Torch):
    """xent_native's loss on PyTorch's tensors and in its graph. Only the limits have it: it is no column of a table."""

    name = "xent_native.torch"
    related = ("xent-native",)
    summary = "xent_native.torch.cross_entropy, backward()"
    ours = True

    def setup(self) -> None:
        import xent_native

        xent_native.set_num_threads(self.settings.threads or None)
        if self.settings.isa:
            xent_native.set_isa(self.settings.isa)

    def _function(self, case: Case) -> Callable[..., Any]:
        import xent_native.torch

        if case.operation.source != "logits" or case.operation.target == "none":
            raise Unsupported("only losses from logits")
        return xent_native.torch.cross_entropy


def _torch_function(case: Case) -> Callable[..., Any]:
    import torch
    import torch.nn.functional as functional

    axis, operation, rows = case.axis, case.operation, case.rows
    if operation.output == "softmax":
        return lambda x, y: torch.softmax(x, axis)
    if operation.output == "log_softmax":
        return lambda x, y: torch.log_softmax(x, axis)
    if operation.output == "logsumexp":
        return lambda x, y: torch.logsumexp(x, axis)
    if operation.source == "logits":  # its class dimension is 1, which is also the last of two
        return functional.cross_entropy

    def sparse(x: Any, y: Any) -> Any:
        p = x.gather(axis, y.unsqueeze(axis)) / x.sum(axis, keepdim=True)
        return -p.clamp(EPSILON, 1 - EPSILON).log().mean()

    def dense(x: Any, y: Any) -> Any:
        p = x / x.sum(axis, keepdim=True)
        return -(y * p.clamp(EPSILON, 1 - EPSILON).log()).sum() / rows

    return dense if operation.target == "dense" else sparse


class Optax(Peer):
    """Optax under jax.jit, with jax.value_and_grad for the gradient; arrays on the device beforehand."""

    name = "optax"
    package = "optax"
    related = ("jax", "jaxlib")
    summary = "jax.jit of optax.softmax_cross_entropy..., jax.value_and_grad"

    def load(self) -> None:
        # XLA tells everybody on stderr when it takes seconds to compile, which is not timed.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import optax  # noqa: F401

        jax: Any = import_module("jax")  # as Any: parts of it have no types
        jax.config.update("jax_platforms", "cpu")

    def prepare(self, case: Case, arrays: Arrays) -> Callable[[], Any]:
        import jax.numpy as jnp

        jax: Any = import_module("jax")
        refuse(case, dtypes=ALL_FLOATS)
        jax.config.update("jax_enable_x64", case.dtype == "float64")
        x = jnp.asarray(arrays.x)
        if arrays.labels is not None:
            y: Any = jnp.asarray(arrays.labels.astype(np.int32))
        else:
            y = None if arrays.dense is None else jnp.asarray(arrays.dense)
        function = _jax_function(case)
        if case.operation.gradient:
            both = jax.jit(jax.value_and_grad(function))
            return lambda: jax.block_until_ready(both(x, y))
        value = jax.jit(function)
        if case.operation.writes:
            return lambda: (None, value(x, y).block_until_ready())
        return lambda: (value(x, y).block_until_ready(), None)


def _jax_function(case: Case) -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp
    import optax

    axis, operation, rows = case.axis, case.operation, case.rows
    if operation.output == "softmax":
        return lambda x, y: jax.nn.softmax(x, axis)
    if operation.output == "log_softmax":
        return lambda x, y: jax.nn.log_softmax(x, axis)
    if operation.output == "logsumexp":
        return lambda x, y: jax.nn.logsumexp(x, axis)
    if operation.source == "logits":
        if operation.target == "dense":
            return lambda x, y: optax.softmax_cross_entropy(x, y, axis=axis).mean()
        return lambda x, y: optax.softmax_cross_entropy_with_integer_labels(x, y, axis=axis).mean()

    def sparse(x: Any, y: Any) -> Any:
        p = jnp.take_along_axis(x, jnp.expand_dims(y, axis), axis) / x.sum(axis, keepdims=True)
        return -jnp.log(jnp.clip(p, EPSILON, 1 - EPSILON)).mean()

    def dense(x: Any, y: Any) -> Any:
        p = x / x.sum(axis, keepdims=True)
        return -(y * jnp.log(jnp.clip(p, EPSILON, 1 - EPSILON))).sum() / rows

    return dense if operation.target == "dense" else sparse
