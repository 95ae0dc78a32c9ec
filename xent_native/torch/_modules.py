# SPDX-License-Identifier: BSD-3-Clause
"""The losses as modules: what they keep and do, whether or not there is a torch.nn.Module to build on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

from .. import _options
from .._typing import AnyTensor, Losses
from . import _softmax, binary_cross_entropy_with_logits, cross_entropy


class CrossEntropyModule:
    """Cross-entropy from logits with PyTorch's semantics, as a module.

    The class form of :func:`xent_native.torch.cross_entropy`, where the formulas stand. It is a
    ``torch.nn.Module`` if PyTorch is installed: `weight` is a buffer then, so that ``to()`` moves it and
    ``state_dict()`` has it. Without PyTorch it is a plain class for NumPy arrays, with the same attributes.

    Parameters
    ----------
    weight : array_like or Tensor of shape (C,), optional
        Factor of each class's term.
    ignore_index : int, default -100
        Rows with this label count nothing.
    reduction : {"mean", "sum", "none"}
        What is returned of the losses of the rows.
    label_smoothing : float, default 0.0
        In [0, 1]: how much of each target is spread evenly over the classes.

    Raises
    ------
    ValueError
        If an option is out of range.

    Notes
    -----
    The arguments stand in the order of the function's; PyTorch has its deprecated `size_average` and `reduce`
    between them.

    Examples
    --------
    >>> import numpy as np
    >>> from xent_native.torch import CrossEntropyLoss
    >>> loss = CrossEntropyLoss(reduction="sum")
    >>> print(round(loss(np.array([[2.0, 5.0, 1.0], [7.0, 1.0, 0.5]]), np.array([1, 0])), 7))
    0.0698582
    """

    weight: Any

    if TYPE_CHECKING:  # what forward returns, and so the modules' own __call__

        @overload
        def __call__(self, input: AnyTensor, target: Any) -> AnyTensor: ...
        @overload
        def __call__(self, input: Any, target: Any) -> np.float64 | Losses: ...
        def __call__(self, input: Any, target: Any) -> Any: ...

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)  # type: ignore[attr-defined]
        self.ignore_index = _softmax.ignored_index(ignore_index)
        self.reduction = _softmax.reduction_name(reduction)
        self.label_smoothing = _options.smoothing(label_smoothing)

    def forward(self, input: Any, target: Any) -> Any:
        """The loss, as from :func:`xent_native.torch.cross_entropy`."""
        return cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )

    def extra_repr(self) -> str:
        """The options, as ``repr()`` shows them."""
        return (
            f"ignore_index={self.ignore_index}, reduction={self.reduction!r}, "
            f"label_smoothing={self.label_smoothing}"
        )


class BCEWithLogitsModule:
    """Binary cross-entropy from logits with PyTorch's semantics, as a module.

    The class form of :func:`xent_native.torch.binary_cross_entropy_with_logits`, where the formula stands. It is a
    ``torch.nn.Module`` if PyTorch is installed: `weight` and `pos_weight` are buffers then. Without PyTorch it is a
    plain class for NumPy arrays, with the same attributes.

    Parameters
    ----------
    weight : array_like or Tensor, optional
        Factor of each loss; broadcasts to the input.
    pos_weight : array_like or Tensor, optional
        Factor of what targets of 1 contribute; broadcasts to the input.
    reduction : {"mean", "sum", "none"}
        What is returned of the losses of the elements.

    Raises
    ------
    ValueError
        If `reduction` is none of these.

    Notes
    -----
    The arguments stand in the order of the function's; PyTorch has its deprecated `size_average` and `reduce`
    after the first, and `pos_weight` last.

    Examples
    --------
    >>> import numpy as np
    >>> from xent_native.torch import BCEWithLogitsLoss
    >>> loss = BCEWithLogitsLoss(pos_weight=[3.0])
    >>> print(round(loss(np.array([0.0, 0.0]), np.array([1.0, 0.0])), 7))
    1.3862944
    """

    weight: Any
    pos_weight: Any

    if TYPE_CHECKING:  # what forward returns, and so the modules' own __call__

        @overload
        def __call__(self, input: AnyTensor, target: Any) -> AnyTensor: ...
        @overload
        def __call__(self, input: Any, target: Any) -> np.float64 | Losses: ...
        def __call__(self, input: Any, target: Any) -> Any: ...

    def __init__(self, weight: Any = None, pos_weight: Any = None, reduction: str = "mean") -> None:
        super().__init__()
        self.register_buffer("weight", weight)  # type: ignore[attr-defined]
        self.register_buffer("pos_weight", pos_weight)  # type: ignore[attr-defined]
        self.reduction = _softmax.reduction_name(reduction)

    def forward(self, input: Any, target: Any) -> Any:
        """The loss, as from :func:`xent_native.torch.binary_cross_entropy_with_logits`."""
        return binary_cross_entropy_with_logits(input, target, self.weight, self.pos_weight, self.reduction)

    def extra_repr(self) -> str:
        """The options, as ``repr()`` shows them."""
        return f"reduction={self.reduction!r}"
