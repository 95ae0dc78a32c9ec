# SPDX-License-Identifier: BSD-3-Clause
"""The losses as modules: what they keep and do, whether or not there is a torch.nn.Module to build on."""

from __future__ import annotations

from typing import Any

from .. import _problem
from . import _softmax, cross_entropy


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

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", self._kept("weight", weight))
        self.ignore_index = _softmax.ignored_index(ignore_index)
        self.reduction = _softmax.reduction_name(reduction)
        self.label_smoothing = _problem.smoothing(label_smoothing)

    def register_buffer(self, name: str, value: Any) -> None:
        """Keep an array: an attribute, or what torch.nn.Module makes of it."""
        setattr(self, name, value)

    def _kept(self, name: str, value: Any) -> Any:
        """An array as this class keeps it."""
        return None if value is None else _problem.as_array(name, value)

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


class Callable:
    """What torch.nn.Module is for modules that only see NumPy arrays."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls ``forward``."""
        return self.forward(*args, **kwargs)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"  # type: ignore[attr-defined]
