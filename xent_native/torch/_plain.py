# SPDX-License-Identifier: BSD-3-Clause
"""The modules for users of NumPy without PyTorch."""

from __future__ import annotations

from typing import Any

from .. import _problem
from ._modules import BCEWithLogitsModule, CrossEntropyModule


class Plain:
    """What torch.nn.Module is for modules that only see NumPy arrays."""

    def register_buffer(self, name: str, value: Any) -> None:
        """Keep an array among the options."""
        setattr(self, name, None if value is None else _problem.as_array(name, value))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls ``forward``."""
        return self.forward(*args, **kwargs)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"  # type: ignore[attr-defined]


class CrossEntropyLoss(CrossEntropyModule, Plain):
    __doc__ = CrossEntropyModule.__doc__
    __module__ = "xent_native.torch"


class BCEWithLogitsLoss(BCEWithLogitsModule, Plain):
    __doc__ = BCEWithLogitsModule.__doc__
    __module__ = "xent_native.torch"
