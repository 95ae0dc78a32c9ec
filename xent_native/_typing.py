# SPDX-License-Identifier: BSD-3-Clause
"""Names for types of the package's own signatures: reductions, and what they leave of the losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Losses: TypeAlias = np.ndarray[Any, np.dtype[np.floating[Any]]]  # of rows: float32 or float64
EachRow: TypeAlias = Literal["none"] | None
Reduced: TypeAlias = Literal["sum", "mean", "sum_over_batch_size", "mean_with_sample_weight"]

Buffer = TypeVar("Buffer", bound=Array)

# What a loss as a class returns. Type checkers know defaults of type variables before Python 3.13 has them.
if TYPE_CHECKING:
    from typing_extensions import TypeVar as _TypeVar

    Value_co = _TypeVar("Value_co", bound=float | Losses, default=float | Losses, covariant=True)
else:
    Value_co = TypeVar("Value_co", covariant=True)


class Tensor(Protocol):
    """What tells a torch.Tensor from an array, where PyTorch may not be installed."""

    @property
    def requires_grad(self) -> bool: ...


AnyTensor = TypeVar("AnyTensor", bound=Tensor)
