# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch's side: tensors as memory for the kernels, the losses in the autograd graph, torch.nn modules.

The only module that imports PyTorch when it is loaded; nothing loads it before there is a tensor or a module.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch.autograd import forward_ad

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

NO_MEMORY = (
    "xent_native's losses need plain tensors on the CPU, whose memory they can read; they cannot be used within "
    "torch.func's transforms, with batched gradients, or while PyTorch traces or exports. "
    "PyTorch's own losses can"
)


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
    input = autocast(input)
    if target.is_floating_point():
        if probabilities:
            input, target = promoted(input, autocast(target))
        elif tuple(target.shape) == _rows(input.shape):
            raise TypeError(f"target must hold integer class indices; got dtype {target.dtype}")
    elif probabilities:
        raise TypeError(
            f"target must hold probabilities of a floating point type if its shape is that of input, "
            f"{tuple(input.shape)}; got dtype {target.dtype}"
        )
    make = partial(_softmax_problem, ignore_index, reduction, label_smoothing)
    return loss_of(make, input, target, option("weight", weight))


def _softmax_problem(
    ignore_index: int, reduction: str, label_smoothing: float, input: Any, target: Any, weight: Any
) -> SoftmaxProblem:
    shape, code = tuple(input.shape), CODES[input.dtype]
    return SoftmaxProblem(
        shape,
        code,
        memory("target", target),
        numbers("weight", weight),
        ignore_index,
        reduction,
        label_smoothing,
    )


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any, pos_weight: Any, reduction: str
) -> Any:
    """:func:`xent_native.torch.binary_cross_entropy_with_logits` of tensors."""
    check(input, target, weight=weight, pos_weight=pos_weight)
    if target.is_complex():
        raise TypeError(f"target must hold real numbers; got dtype {target.dtype}")
    input = autocast(input)
    if target.is_floating_point():
        input, target = promoted(input, autocast(target))
    else:
        target = target.to(input.dtype)
    weight, pos_weight = option("weight", weight), option("pos_weight", pos_weight)
    dtype = input.dtype
    if dtype.itemsize == 2 and _sigmoid.folds(*_binary_weights(input, weight, pos_weight)):
        input, target = input.float(), target.float()
    return loss_of(partial(_binary_problem, reduction), input, target, weight, pos_weight).to(dtype)


def _binary_weights(input: Any, weight: Any, pos_weight: Any) -> tuple[Any, Any]:
    shape = tuple(input.shape)
    return (
        _sigmoid.weight_array("weight", numbers("weight", weight), shape),
        _sigmoid.weight_array("pos_weight", numbers("pos_weight", pos_weight), shape),
    )


def _binary_problem(
    reduction: str, input: Any, target: Any, weight: Any, pos_weight: Any
) -> _sigmoid.BinaryProblem:
    weights = _binary_weights(input, weight, pos_weight)
    return _sigmoid.BinaryProblem(
        tuple(input.shape), CODES[input.dtype], memory("target", target), *weights, reduction
    )


def _rows(shape: Any) -> tuple[int, ...]:
    """The shape of the losses."""
    return (*shape[:1], *shape[2:]) if len(shape) > 1 else ()


def check(input: Any, target: Any, **others: Any) -> None:
    """TypeError unless all are tensors (the options: or arrays) in this machine's memory, without gradients to take."""
    if not _foreign.is_tensor(target):
        raise TypeError(f"target must be a tensor, as input is one; got {type(target).__name__}")
    for name, tensor in {"input": input, "target": target, **others}.items():
        if _foreign.is_tensor(tensor):
            fault = _foreign.tensor_fault(tensor)
            if fault:
                raise TypeError(f"{name} {fault}")
            check_storage(name, tensor)  # before any conversion reads it
            if name == "input":
                continue
            if tensor.requires_grad and torch.is_grad_enabled():
                raise ValueError(
                    f"{name} must not require a gradient: only that of input is computed; use its detach()"
                )
            if forward_ad.unpack_dual(tensor).tangent is not None:
                raise ValueError(f"{name} must not have a tangent: only that of input is followed")
    expected = ", ".join(str(dtype) for dtype in CODES)
    if input.dtype not in CODES:
        raise TypeError(f"input must be one of {expected}; got {input.dtype}")
    if target.is_floating_point() and target.dtype not in CODES:
        raise TypeError(f"target must be one of {expected}, or integers; got {target.dtype}")


def check_storage(name: str, tensor: Any) -> None:
    """ValueError if somebody has made a tensor's memory smaller than its shape says."""
    try:
        fault = _foreign.storage_fault(tensor)
    except RuntimeError as error:  # it stands for others, within a transform, and has none
        raise TypeError(NO_MEMORY) from error
    if fault:
        raise ValueError(f"{name} {fault}")


def autocast(tensor: Any) -> Any:
    """As PyTorch's own losses take it under torch.autocast: in float32, unless it is float64."""
    narrow = tensor.dtype.itemsize == 2 and torch.is_autocast_enabled("cpu")
    return tensor.float() if narrow else tensor


def promoted(input: Any, target: Any) -> tuple[Any, Any]:
    """Both in the dtype that holds the numbers of both."""
    if input.dtype == target.dtype:
        return input, target
    dtype = torch.promote_types(input.dtype, target.dtype)
    return input.to(dtype), target.to(dtype)


def option(name: str, value: Any) -> Any:
    """An option as a tensor, which the graph can keep, or None. float64 holds what an array may have."""
    if value is None or _foreign.is_tensor(value):
        return value
    return torch.from_numpy(np.array(_problem.as_array(name, value), np.float64, order="C"))


def memory(name: str, tensor: Any) -> np.ndarray:
    """The tensor's memory as an array, without a copy; bfloat16 as the integers that hold its bits. Errors name it.

    Within transforms and tracing, tensors stand for others. They have no memory, which they say when they are asked
    for it; or not, and lend what is not theirs. There real tensors are replaced too when they are detached.
    """
    if torch.jit.is_tracing():
        raise TypeError(NO_MEMORY)
    try:
        plain = tensor.detach()
        if type(plain) not in (torch.Tensor, type(tensor)):
            raise TypeError(NO_MEMORY)
        if plain.dtype == torch.bfloat16:
            array = plain.resolve_neg().view(torch.int16).numpy().view(np.uint16)
        else:
            array = plain.numpy(force=True)
        plain.untyped_storage().data_ptr()  # raises within functionalize(), where numpy() does not
    except RuntimeError as error:
        raise TypeError(NO_MEMORY) from error
    check_storage(name, plain)
    return np.asarray(array)


def numbers(name: str, tensor: Any) -> np.ndarray | None:
    """As `memory`, but bfloat16 as float32; None if there is no tensor."""
    if tensor is None:
        return None
    return memory(name, tensor.float() if tensor.dtype == torch.bfloat16 else tensor)


def loss_of(make: Callable[..., Problem], input: Any, *others: Any) -> Any:
    """The loss as a tensor; in the graph if a gradient will be asked for, or if `input` carries a tangent."""
    x = memory("input", input)
    problem = make(input, *others)
    grows = input.requires_grad and torch.is_grad_enabled()
    if grows or forward_ad.unpack_dual(input).tangent is not None:
        return _Loss.apply(input, x, problem, make, *others)
    return solve(problem, x, None, input.dtype)


def solve(problem: Problem, x: np.ndarray, grad: Any, dtype: Any) -> Any:
    """The loss of the logits `x` as a tensor of the input's dtype; `grad`, a tensor or None, is filled."""
    threads = runtime.resolve_threads(None) or torch.get_num_threads()
    into = None if grad is None else memory("grad", grad)
    if problem.reduction != "none":
        value = problem.solve(x, into, None, threads)
        try:
            return torch.scalar_tensor(value, dtype=dtype, device="cpu")
        except RuntimeError:  # it overflows the dtype; a conversion makes it infinite, but takes longer
            return torch.scalar_tensor(value, dtype=torch.float64, device="cpu").to(dtype)
    losses = torch.empty(problem.rows, dtype=_wide(dtype), device="cpu")
    problem.solve(x, into, memory("losses", losses), threads)
    return losses.to(dtype)


def _wide(dtype: Any) -> Any:
    """What numbers of this dtype are computed in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def new_gradient(problem: Problem, input: Any, x: np.ndarray) -> Any:
    """A tensor of the input's shape, and of its layout in memory if the kernels can walk that. `x` is its memory."""
    if not input.is_contiguous():
        grad = torch.empty_like(input)
        native = problem.arranged(memory("grad", grad))
        if _problem.passable(native, problem.class_axis) is native and not _problem.overlaps_itself(native):
            return grad
    # NumPy asks the system for large pages, PyTorch does not: a third of the time of a large gradient.
    plane = _core.new_plane(x)
    if input.dtype == torch.bfloat16:
        return torch.from_numpy(plane.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(plane)


class _Loss(torch.autograd.Function):
    """A loss whose gradient is there before it is asked for: one pass over the input computes both.

    Tensors are kept by save_for_backward alone, so that they go as soon as the graph is freed. `make` holds none.
    """

    @staticmethod
    def forward(
        ctx: Any, input: Any, x: np.ndarray, problem: Problem, make: Callable[..., Problem], *others: Any
    ) -> Any:
        ctx.save_for_backward(input, *map(_savable, others))
        ctx.make, ctx.axis, ctx.pending = make, problem.axis, problem.pending
        ctx.grad = new_gradient(problem, input, x)
        loss = solve(problem, x, ctx.grad, input.dtype)
        ctx.loss_dim = loss.dim()
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        """Gives the gradient away. A second call, after retain_graph=True, computes it again from what was saved."""
        memory("upstream", upstream)  # refuses batches of gradients, while there still is one to give
        grad, ctx.grad = ctx.grad, None
        with torch.no_grad():
            if grad is None:
                input, *others = ctx.saved_tensors
                x, problem = memory("input", input), ctx.make(input, *others)
                grad = new_gradient(problem, input, x)
                solve(problem, x, grad, input.dtype)
            grad = scaled(grad, upstream, ctx.axis, ctx.pending)
        if torch.is_grad_enabled():  # create_graph=True
            grad = _Final.apply(grad, ctx.saved_tensors[0], upstream)
        return grad, *[None] * (len(ctx.needs_input_grad) - 1)

    @staticmethod
    def jvp(ctx: Any, tangent: Any, *others: Any) -> Any:
        """The tangent of the loss: the gradient times that of the input, summed over what the loss is summed over.

        PyTorch calls this right after `forward`, so that the gradient is still there.
        """
        wide = _wide(tangent.dtype)
        products = ctx.grad.to(wide) * tangent.to(wide) * ctx.pending
        if ctx.loss_dim < products.dim():
            products = products.sum(ctx.axis) if ctx.loss_dim else products.sum()
        return products.to(tangent.dtype)


def _savable(tensor: Any) -> Any:
    """Tensors from torch.inference_mode() cannot be saved for a backward pass; copies of them can."""
    return tensor.clone() if tensor is not None and tensor.is_inference() else tensor


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


def scaled(grad: Any, upstream: Any, axis: int, pending: float) -> Any:
    """`grad` times the gradient of what came after, in place: nobody else has seen it."""
    if any(size > 1 and stride for size, stride in zip(upstream.shape, upstream.stride(), strict=True)):
        per_row = upstream if upstream.dim() == grad.dim() else upstream.unsqueeze(axis)
        return grad.mul_(per_row)
    if grad.numel() == 0:
        return grad
    factor = upstream[(0,) * upstream.dim()].item()  # one number for all rows
    factor *= pending
    return grad if factor == 1.0 else grad.mul_(factor)


class Buffers(torch.nn.Module):
    """Arrays among the options as buffers, which are tensors."""

    # As pickle finds the classes, whichever module defines them.
    __module__ = "xent_native.torch"

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """As torch.nn.Module has it, of any array."""
        if tensor is not None and not _foreign.is_tensor(tensor):
            tensor = torch.as_tensor(_problem.as_array(name, tensor), device="cpu")
        super().register_buffer(name, tensor, persistent)


class CrossEntropyLoss(CrossEntropyModule, Buffers):
    __doc__ = CrossEntropyModule.__doc__
    __module__ = "xent_native.torch"


class BCEWithLogitsLoss(BCEWithLogitsModule, Buffers):
    __doc__ = BCEWithLogitsModule.__doc__
    __module__ = "xent_native.torch"
