# SPDX-License-Identifier: BSD-3-Clause
"""What all losses have in common: options, reductions, configuration."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, Final, Generic, Self

import numpy as np

from .. import _copy, _options, _problem
from .._typing import Array, Losses, Value_co

__all__ = ["Loss", "Reduction"]


class Reduction:
    """Names of reductions, as older Keras code writes them.

    Examples
    --------
    >>> from xent_native.losses import Reduction
    >>> Reduction.SUM_OVER_BATCH_SIZE
    'sum_over_batch_size'
    """

    NONE: Final = "none"
    SUM: Final = "sum"
    SUM_OVER_BATCH_SIZE: Final = "sum_over_batch_size"


class Loss(abc.ABC, Generic[Value_co]):
    """What all losses share: options, a reduction and a configuration.

    A subclass computes in `_compute`, and lists in `_options` the attributes that its configuration has beside
    those of this class.

    Parameters
    ----------
    name : str
        Stands in the configuration.
    reduction : str or None
        See the subclasses.
    dtype : str, dtype or None
        What `y_pred` is converted to before the loss is computed; None keeps its precision.
    """

    _options: ClassVar[tuple[str, ...]]
    _dense: ClassVar[bool] = True  # targets have the shape of predictions

    def __init__(self, name: str, reduction: str | None, dtype: Any) -> None:
        _options.reduction_code(reduction)
        self.name = name
        self.reduction = reduction
        try:
            self.dtype = None if dtype is None else np.dtype(dtype).name
        except Exception:  # whatever NumPy and the object's own methods raise
            self.dtype = "no dtype at all"
        if self.dtype not in (None, "float32", "float64"):
            raise ValueError(f"dtype must be 'float32', 'float64' or None; got {_options.shown(dtype)}")

    @abc.abstractmethod
    def _compute(
        self, y_true: Any, y_pred: Any, sample_weight: Any, reduction: str | None, grad: bool, grad_out: Any
    ) -> tuple[Any, Any]:
        """(loss, gradient or None) of arrays as :meth:`_fitted` leaves them."""

    def _fitted(
        self, y_true: Any, y_pred: Any, sample_weight: Any, reduction: str | None, grad: bool, grad_out: Any
    ) -> tuple[Any, Any]:
        """(loss, gradient or None): predictions in `dtype`, and the ranks of arrays brought together as Keras does."""
        given = y_pred
        if self.dtype is not None:
            given = _copy.converted(_problem.as_array("y_pred", y_pred), self.dtype, copy=False)
        x, t = _problem.same_rank(given, y_true) if self._dense else (given, y_true)
        if x is given:
            return self._compute(t, x, sample_weight, reduction, grad, grad_out)
        buffer = (
            x if grad_out is given else _problem.reshaped_view("grad_out", grad_out, np.shape(given), x.shape)
        )
        loss, slope = self._compute(t, x, sample_weight, reduction, grad, buffer)
        return loss, slope if slope is None else slope.reshape(
            np.shape(given)
        ) if grad_out is None else grad_out

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Value_co:
        """The reduced loss: a float, or an array with one value per row for ``reduction="none"``."""
        value: Value_co = self._fitted(y_true, y_pred, sample_weight, self.reduction, False, None)[0]
        return value

    def call(self, y_true: Any, y_pred: Any) -> Losses:
        """The loss of each row, before weights and reduction."""
        losses: Losses = self._fitted(y_true, y_pred, None, "none", False, None)[0]
        return losses

    def value_and_grad(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None, *, grad_out: Any = None
    ) -> tuple[Value_co, Array]:
        """What calling the loss returns, and its derivative with respect to `y_pred`.

        For ``reduction="none"`` the gradient is that of the sum. `grad_out` is a buffer of the shape and
        dtype of `y_pred` to put it in; from logits it may be `y_pred` itself.
        """
        return self._fitted(y_true, y_pred, sample_weight, self.reduction, True, grad_out)

    def grad(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Array:
        """The gradient of :meth:`value_and_grad` alone."""
        return self.value_and_grad(y_true, y_pred, sample_weight)[1]

    def get_config(self) -> dict[str, Any]:
        """All options as JSON-able values: ``type(loss).from_config(config)`` makes an equal loss."""
        config = {"name": self.name, "reduction": self.reduction, "dtype": self.dtype}
        config.update((option, _plain(getattr(self, option))) for option in self._options)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A loss from the dictionary that :meth:`get_config` returned."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Loss) and type(self) is type(other) and self.get_config() == other.get_config()
        )

    __hash__ = None  # type: ignore[assignment]  # the options may be changed

    def __repr__(self) -> str:
        options = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({options})"


def _plain(value: Any) -> Any:
    """NumPy's arrays and scalars as lists and numbers, keys of mappings as JSON writes them."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
