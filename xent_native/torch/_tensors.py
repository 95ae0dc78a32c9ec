# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch's side: tensors as memory for the kernels, the losses in the autograd graph, torch.nn modules.

The only module that imports PyTorch when it is loaded; nothing loads it before there is a tensor or a module.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch

from .. import _core, _foreign, _problem, runtime
from . import _sigmoid
from ._modules import BCEWithLogitsModule, CrossEntropyModule
from ._softmax import SoftmaxProblem

CODES = {
    torch.float32: _core.STORED[np.dtype(np.float32)],
    torch.float64: _core.STORED[np.dtype(np.float64)],
    torch.float16: _core.STORED[np.dtype(np.float16)],
    torch.bfloat16: _core.BFLOAT16,
}


class Problem(Protocol):
    """What a loss is made of beside its input: see SoftmaxProblem."""

    axis: int
    class_axis: int
    rows: tuple[int, ...]
    reduction: str
    pending: float
    code: int

    def arranged(self, array: np.ndarray) -> np.ndarray:
        """See BinaryProblem."""

    def solve(self, x: np.ndarray, grad: Any, losses: Any, n_threads: int) -> float:
        """See SoftmaxProblem."""


def cross_entropy(
    input: Any, target: Any, weight: Any, ignore_index: int, reduction: str, label_smoothing: float
) -> Any:
    """:func:`xent_native.torch.cross_entropy` of tensors."""
    check(input, target, weight=weight)
    probabilities = target.shape == input.shape and input.dim() > 0
    if target.is_floating_point():
        if probabilities and target.dtype != input.dtype:
            dtype = torch.promote_types(input.dtype, target.dtype)
            input, target = input.to(dtype), target.to(dtype)
        elif tuple(target.shape) == _rows(input.shape):
            raise TypeError(f"target must hold integer class indices; got dtype {target.dtype}")
    elif probabilities:
        raise TypeError(
            f"target must hold probabilities of a floating point type if its shape is that of input, "
            f"{tuple(input.shape)}; got dtype {target.dtype}"
        )
    problem = SoftmaxProblem(
        tuple(input.shape),
        CODES[input.dtype],
        memory(target),
        weight,
        ignore_index,
        reduction,
        label_smoothing,
    )
    return loss_of(problem, input, target, weight)


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any, pos_weight: Any, reduction: str
) -> Any:
    """:func:`xent_native.torch.binary_cross_entropy_with_logits` of tensors."""
    check(input, target, weight=weight, pos_weight=pos_weight)
    if not target.is_floating_point() or target.dtype != input.dtype:
        dtype = (
            input.dtype if not target.is_floating_point() else torch.promote_types(input.dtype, target.dtype)
        )
        input, target = input.to(dtype), target.to(dtype)
    shape = tuple(input.shape)
    weights = _sigmoid.weight_array("weight", weight, shape)
    positive = _sigmoid.weight_array("pos_weight", pos_weight, shape)
    dtype = input.dtype
    if _sigmoid.folds(weights, positive) and dtype.itemsize == 2:
        input, target = input.float(), target.float()
    problem = _sigmoid.BinaryProblem(shape, CODES[input.dtype], memory(target), weights, positive, reduction)
    return loss_of(problem, input, target, weight, pos_weight).to(dtype)


def _rows(shape: Any) -> tuple[int, ...]:
    """The shape of the losses."""
    return (*shape[:1], *shape[2:]) if len(shape) > 1 else ()


def check(input: Any, target: Any, **others: Any) -> None:
    """TypeError unless all are tensors (the options: or arrays) in this machine's memory, without gradients to take."""
    if not _foreign.is_tensor(target):
        raise TypeError(f"target must be a tensor, as input is one; got {type(target).__name__}")
    for name, tensor in {"input": input, "target": target, **others}.items():
        if _foreign.is_tensor(tensor):
            _foreign.check_tensor(name, tensor)
            if tensor.requires_grad and name != "input":
                raise ValueError(
                    f"{name} must not require a gradient: only that of input is computed; use its detach()"
                )
    if input.dtype not in CODES:
        expected = ", ".join(str(dtype) for dtype in CODES)
        raise TypeError(f"input must be one of {expected}; got {input.dtype}")


def memory(tensor: Any) -> np.ndarray:
    """The tensor's memory as an array, without a copy; bfloat16 as the integers that hold its bits."""
    if tensor.dtype == torch.bfloat16:
        return np.asarray(tensor.detach().view(torch.int16).numpy().view(np.uint16))
    return np.asarray(tensor.numpy(force=True))


def loss_of(problem: Problem, input: Any, *others: Any) -> Any:
    """The loss as a tensor; in the graph if a gradient will be asked for."""
    if input.requires_grad and torch.is_grad_enabled():
        return _Loss.apply(input, problem, *others)
    return solve(problem, input, None)


def solve(problem: Problem, input: Any, grad: Any) -> Any:
    """The loss in the input's dtype; `grad`, a tensor or None, is filled."""
    x = memory(input)
    threads = runtime.resolve_threads(None) or torch.get_num_threads()
    into = None if grad is None else memory(grad)
    if problem.reduction != "none":
        return torch.scalar_tensor(problem.solve(x, into, None, threads), dtype=input.dtype)
    wide = input.dtype if input.dtype == torch.float64 else torch.float32
    losses = torch.empty(problem.rows, dtype=wide)
    problem.solve(x, into, memory(losses), threads)
    return losses.to(input.dtype)


def new_gradient(problem: Problem, input: Any) -> Any:
    """A tensor of the input's shape, and of its layout in memory if the kernels can walk that."""
    if not input.is_contiguous():
        grad = torch.empty_like(input)
        native = problem.arranged(memory(grad))
        if _problem.passable(native, problem.class_axis) is native and not _problem.overlaps_itself(native):
            return grad
    # NumPy asks the system for large pages, PyTorch does not: a third of the time of a large gradient.
    plane = _core.new_plane(memory(input))
    if input.dtype == torch.bfloat16:
        return torch.from_numpy(plane.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(plane)


class _Loss(torch.autograd.Function):
    """A loss whose gradient is there before it is asked for: one pass over the input computes both."""

    @staticmethod
    def forward(ctx: Any, input: Any, problem: Problem, *others: Any) -> Any:
        ctx.save_for_backward(input, *others)
        ctx.problem = problem
        ctx.grad = new_gradient(problem, input)
        return solve(problem, input, ctx.grad)

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        """Gives the gradient away. A second call, after retain_graph=True, computes it again from what was saved."""
        grad, ctx.grad = ctx.grad, None
        with torch.no_grad():
            if grad is None:
                input = ctx.saved_tensors[0]
                grad = new_gradient(ctx.problem, input)
                solve(ctx.problem, input, grad)
            grad = scaled(ctx.problem, grad, upstream)
        if torch.is_grad_enabled():  # create_graph=True
            grad = _Final.apply(grad, ctx.saved_tensors[0], upstream)
        return grad, None, *[None] * (len(ctx.needs_input_grad) - 2)


class _Final(torch.autograd.Function):
    """A gradient that depends on the input and on what came from upstream, but cannot be differentiated by them."""

    @staticmethod
    def forward(ctx: Any, grad: Any, input: Any, upstream: Any) -> Any:
        return grad.view_as(grad)

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        raise RuntimeError(
            "xent_native's losses can be differentiated once: their gradient has no derivative. "
            "Use PyTorch's own loss where second derivatives are needed"
        )


def scaled(problem: Problem, grad: Any, upstream: Any) -> Any:
    """`grad` times the gradient of what came after, in place: nobody else has seen it."""
    if any(size > 1 and stride for size, stride in zip(upstream.shape, upstream.stride(), strict=True)):
        per_row = upstream if upstream.dim() == grad.dim() else upstream.unsqueeze(problem.axis)
        return grad.mul_(per_row)
    if grad.numel() == 0:
        return grad
    factor = upstream[(0,) * upstream.dim()].item()  # one number for all rows
    factor *= problem.pending
    return grad if factor == 1.0 else grad.mul_(factor)


class Buffers(torch.nn.Module):
    """Arrays among the options as buffers, which are tensors."""

    # As pickle finds the classes, whichever module defines them.
    __module__ = "xent_native.torch"

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """As torch.nn.Module has it, of any array."""
        if tensor is not None and not _foreign.is_tensor(tensor):
            tensor = torch.as_tensor(_problem.as_array(name, tensor))
        super().register_buffer(name, tensor, persistent)


class CrossEntropyLoss(CrossEntropyModule, Buffers):
    __doc__ = CrossEntropyModule.__doc__
    __module__ = "xent_native.torch"


class BCEWithLogitsLoss(BCEWithLogitsModule, Buffers):
    __doc__ = BCEWithLogitsModule.__doc__
    __module__ = "xent_native.torch"
