# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch's losses on the same kernels: for tensors on the CPU, and for NumPy arrays without PyTorch.

Tensors in give tensors in the autograd graph out, without a copy of the logits; NumPy arrays in give NumPy out.
PyTorch is imported when a tensor comes, or when a module class is asked for.

>>> import numpy as np
>>> from xent_native.torch import cross_entropy
>>> print(round(cross_entropy(np.array([[2.0, 5.0, 1.0], [7.0, 1.0, 0.5]]), np.array([1, 0])), 7))
0.0349291
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from .. import _copy, _core, _foreign, _problem, runtime
from .._typing import AnyTensor, Losses
from . import _sigmoid, _softmax

if TYPE_CHECKING:
    from ._tensors import BCEWithLogitsLoss, CrossEntropyLoss

__all__ = ["BCEWithLogitsLoss", "CrossEntropyLoss", "binary_cross_entropy_with_logits", "cross_entropy"]


# fmt: off
@overload
def cross_entropy(
    input: AnyTensor, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> AnyTensor: ...
@overload
def cross_entropy(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Literal["mean", "sum"] = "mean",
    label_smoothing: float = 0.0,
) -> np.float64: ...
@overload
def cross_entropy(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, *, reduction: Literal["none"],
    label_smoothing: float = 0.0,
) -> Losses: ...
@overload
def cross_entropy(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> np.float64 | Losses: ...
# fmt: on
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    r"""Cross-entropy from logits with PyTorch's semantics, as ``torch.nn.functional.cross_entropy``.

    With class weights w, smoothing s, and targets t of a row: given as probabilities, or 1 at its label y,

    .. math::

        \ell = -\sum_c w_c \, t'_c \log p_c, \qquad
        t'_c = (1 - s) \, t_c + \frac{s}{C}, \qquad
        p = \mathrm{softmax}(x)

    Parameters
    ----------
    input : Tensor or array_like, shape (C,), (N, C) or (N, C, d1, ...)
        Logits. float16, bfloat16, float32 or float64; a tensor must be on the CPU.
    target : Tensor or array_like, shape (), (N,) or (N, d1, ...), or that of `input`
        Class indices of any integer dtype; or, if the shape is that of `input`, class probabilities.
    weight : Tensor or array_like of shape (C,), optional
        Factor of each class's term, after smoothing.
    ignore_index : int, default -100
        Rows with this label have loss 0 and gradient 0, and do not count in the mean. Only for class indices.
    reduction : {"mean", "sum", "none"}
        The mean over class indices divides by the sum of ``weight[y]`` over the rows that are not ignored,
        that over probabilities by the number of rows. It is NaN where that is 0.
    label_smoothing : float, default 0.0
        In [0, 1].

    Returns
    -------
    Tensor, or ndarray or numpy.float64
        In nats. For tensors: in the dtype of `input`, in its autograd graph if it requires a gradient. For
        arrays: per row float64 for float64 input, else float32; reduced a float64.

    Raises
    ------
    IndexError
        If a label is outside of [0, C) and not `ignore_index`, whatever the reduction.
    TypeError
        If a dtype does not fit, or a tensor is not in the memory of this machine.
    ValueError
        If shapes do not fit, an option is out of range, or another tensor than `input` requires a gradient.

    Notes
    -----
    A gradient is computed together with the loss if `input` requires one, in one pass, and multiplied by what
    comes from upstream in the backward pass. It cannot be differentiated once more. Where PyTorch would answer
    NaN for a target of 0 at a logit of -inf, or for an ignored row that holds NaN, this counts 0.

    References
    ----------
    ``torch.nn.CrossEntropyLoss`` in the documentation of PyTorch has the same formulas.

    Examples
    --------
    >>> import numpy as np
    >>> from xent_native.torch import cross_entropy
    >>> logits = np.array([[2.0, 5.0, 1.0], [7.0, 1.0, 0.5]], np.float32)
    >>> cross_entropy(logits, np.array([1, -100]), reduction="none").round(6).tolist()
    [0.06588400155305862, 0.0]
    """
    if _foreign.is_tensor(input):
        from . import _tensors

        return _tensors.cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)
    x, y = _problem.prediction(input, "input")[0], _problem.as_array("target", target)
    if x.ndim > 0:
        x, y = _same_dtype(x, y)
    problem = _softmax.SoftmaxProblem(
        x.shape, _core.stored_code(x.dtype), y, weight, ignore_index, reduction, label_smoothing
    )
    losses = np.empty(problem.rows, problem.dtype) if problem.reduction == "none" else None
    value = problem.solve(x, None, losses, runtime.resolve_threads(None))
    return np.float64(value) if losses is None else losses


# fmt: off
@overload
def binary_cross_entropy_with_logits(
    input: AnyTensor, target: Any, weight: Any = None, pos_weight: Any = None, reduction: str = "mean",
) -> AnyTensor: ...
@overload
def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: Literal["mean", "sum"] = "mean",
) -> np.float64: ...
@overload
def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, pos_weight: Any = None, *, reduction: Literal["none"],
) -> Losses: ...
@overload
def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: str = "mean",
) -> np.float64 | Losses: ...
# fmt: on
def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    pos_weight: Any = None,
    reduction: str = "mean",
) -> Any:
    r"""Binary cross-entropy from logits, as ``torch.nn.functional.binary_cross_entropy_with_logits``.

    Each element is a problem of its own. With weights w and p (`pos_weight`), and the sigmoid of the logit x:

    .. math:: \ell = -w \left( p \, t \log \sigma(x) + (1 - t) \log \sigma(-x) \right)

    Parameters
    ----------
    input : Tensor or array_like, any shape
        Logits. float16, bfloat16, float32 or float64; a tensor must be on the CPU.
    target : Tensor or array_like of the shape of `input`
        Usually in [0, 1]; integers and bools are taken for 0 and 1.
    weight : Tensor or array_like, optional
        Factor of each loss; broadcasts to `input`.
    pos_weight : Tensor or array_like, optional
        Factor of what targets of 1 contribute; broadcasts to `input`.
    reduction : {"mean", "sum", "none"}
        The mean divides by the number of elements, whatever the weights. It is NaN if there are none.

    Returns
    -------
    Tensor, or ndarray or numpy.float64
        In nats; as from :func:`cross_entropy`, one loss for each element.

    Raises
    ------
    TypeError
        If a dtype does not fit, or a tensor is not in the memory of this machine.
    ValueError
        If shapes do not fit, `reduction` is unknown, or another tensor than `input` requires a gradient.

    Notes
    -----
    The gradient is computed as that of :func:`cross_entropy` is. Weights that vary along the last axis or, for
    `pos_weight`, along others, take another pass.

    References
    ----------
    ``torch.nn.BCEWithLogitsLoss`` in the documentation of PyTorch has the same formula.

    Examples
    --------
    >>> import numpy as np
    >>> from xent_native.torch import binary_cross_entropy_with_logits
    >>> print(round(binary_cross_entropy_with_logits(np.array([0.0, 2.0]), np.array([1.0, 0.0])), 7))
    1.4100376
    """
    if _foreign.is_tensor(input):
        from . import _tensors

        return _tensors.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction)
    x, y = _problem.prediction(input, "input")[0], _problem.as_array("target", target)
    if y.dtype.kind in "iub":
        y = _copy.converted(y, x.dtype)
    if y.shape == x.shape:
        x, y = _same_dtype(x, y)
    weights = _sigmoid.weight_array("weight", weight, x.shape)
    positive = _sigmoid.weight_array("pos_weight", pos_weight, x.shape)
    if _sigmoid.folds(weights, positive) and x.dtype.itemsize == 2:
        x, y = _copy.converted(x, np.float32), _copy.converted(y, np.float32)
    problem = _sigmoid.BinaryProblem(x.shape, _core.stored_code(x.dtype), y, weights, positive, reduction)
    losses = np.empty(problem.rows, problem.dtype) if problem.reduction == "none" else None
    value = problem.solve(x, None, losses, runtime.resolve_threads(None))
    return np.float64(value) if losses is None else losses


def _same_dtype(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Targets that are probabilities in the dtype of the logits, or both in the wider of the two."""
    if y.shape != x.shape or y.dtype == x.dtype:
        return x, y
    if y.dtype.kind in "iub":
        raise TypeError(
            f"target must hold probabilities of a floating point type if its shape is that of input, {x.shape}; "
            f"got dtype {y.dtype}"
        )
    if {x.dtype.name, y.dtype.name} == {"bfloat16", "float16"}:
        both = np.dtype(np.float32)  # NumPy has no common type for these
    else:
        both = _problem.prediction(np.empty(0, np.promote_types(x.dtype, y.dtype)))[1]
    return _copy.converted(x, both, copy=False), _copy.converted(y, both, copy=False)


def __getattr__(name: str) -> Any:
    """The module classes, when they are first asked for: torch.nn modules if PyTorch is installed."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from . import _tensors as classes
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        from . import _plain as classes  # type: ignore[no-redef]
    globals()[name] = value = getattr(classes, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
