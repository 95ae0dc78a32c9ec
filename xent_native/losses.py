# SPDX-License-Identifier: BSD-3-Clause
"""The losses as classes, with Keras's names, positional order and configuration."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from . import _problem, functional
from .functional import EPSILON

__all__ = [
    "CategoricalCrossentropy",
    "Loss",
    "Reduction",
    "SparseCategoricalCrossentropy",
    "deserialize",
    "get",
    "serialize",
]


class Reduction:
    """Names of reductions, as older Keras code writes them.

    Examples
    --------
    >>> from xent_native.losses import Reduction
    >>> Reduction.SUM_OVER_BATCH_SIZE
    'sum_over_batch_size'
    """

    NONE = "none"
    SUM = "sum"
    SUM_OVER_BATCH_SIZE = "sum_over_batch_size"


class Loss(abc.ABC):
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

    def __init__(self, name: str, reduction: str | None, dtype: Any) -> None:
        _problem.reduction_code(reduction)
        self.name = name
        self.reduction = reduction
        try:
            self.dtype = None if dtype is None else np.dtype(dtype).name
        except (TypeError, ValueError):
            self.dtype = "no dtype at all"
        if self.dtype not in (None, "float32", "float64"):
            raise ValueError(f"dtype must be 'float32', 'float64' or None; got {dtype!r}")

    @abc.abstractmethod
    def _compute(
        self, y_true: Any, y_pred: Any, sample_weight: Any, reduction: str | None, grad: bool, grad_out: Any
    ) -> tuple[Any, Any]:
        """(loss, gradient or None)."""

    def _predictions(self, y_pred: Any) -> Any:
        if self.dtype is None:
            return y_pred
        return _problem.as_array("y_pred", y_pred).astype(self.dtype, copy=False)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The reduced loss: a float, or an array with one value per row for ``reduction="none"``."""
        return self._compute(y_true, y_pred, sample_weight, self.reduction, False, None)[0]

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each row, before weights and reduction."""
        return self._compute(y_true, y_pred, None, "none", False, None)[0]

    def value_and_grad(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None, *, grad_out: Any = None
    ) -> tuple[Any, Any]:
        """What calling the loss returns, and its derivative with respect to `y_pred`.

        For ``reduction="none"`` the gradient is that of the sum. `grad_out` is a buffer of the shape and
        dtype of `y_pred` to put it in; from logits it may be `y_pred` itself.
        """
        return self._compute(y_true, y_pred, sample_weight, self.reduction, True, grad_out)

    def grad(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
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


class CategoricalCrossentropy(Loss):
    """Cross-entropy between dense targets, such as one-hot rows, and predictions.

    The class form of :func:`xent_native.categorical_crossentropy`, where the formula stands.

    Parameters
    ----------
    from_logits : bool, default False
        Whether `y_pred` holds logits.
    label_smoothing : float, default 0.0
        In [0, 1]: targets become ``t * (1 - label_smoothing) + label_smoothing / C``.
    axis : int, default -1
        The axis of the classes.
    reduction : {"sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none"} or None
        The default divides by the number of rows, whatever the weights.
    name : str, default "categorical_crossentropy"
        Stands in the configuration.
    dtype : str or None, default None
        ``"float32"`` or ``"float64"`` to compute in; None keeps the precision of `y_pred`.
    class_weight : array_like of shape (C,) or mapping, optional
        Factor of each class's term.
    epsilon : float, default 1e-7
        Where probabilities are clipped.

    Raises
    ------
    ValueError
        If an option is out of range.

    Examples
    --------
    >>> from xent_native import CategoricalCrossentropy
    >>> round(CategoricalCrossentropy()([[0, 1, 0]], [[0.1, 0.8, 0.1]]), 5)
    0.22314
    """

    _options = ("from_logits", "label_smoothing", "axis", "class_weight", "epsilon")

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
        dtype: Any = None,
        *,
        class_weight: Any = None,
        epsilon: float = EPSILON,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits = bool(from_logits)
        self.label_smoothing = _problem.smoothing(label_smoothing)
        self.axis = _problem.axis_number(axis)
        self.class_weight = class_weight
        self.epsilon = _problem.clip_epsilon(epsilon)

    def _compute(
        self, y_true: Any, y_pred: Any, sample_weight: Any, reduction: str | None, grad: bool, grad_out: Any
    ) -> tuple[Any, Any]:
        return functional.cross_entropy(
            True, y_true, self._predictions(y_pred), self.from_logits, self.axis, None, self.label_smoothing,
            self.class_weight, sample_weight, reduction, self.epsilon, None, None, grad, grad_out,
        )  # fmt: skip


class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy between labels that are class indices and predictions.

    The class form of :func:`xent_native.sparse_categorical_crossentropy`, where the formula stands.

    Parameters
    ----------
    from_logits : bool, default False
        Whether `y_pred` holds logits.
    ignore_class : int, optional
        Rows with this label have loss 0 and gradient 0, and do not count in a mean.
    reduction : {"sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none"} or None
        The default divides by the number of rows that are not ignored, whatever the weights.
    axis : int, default -1
        The axis of the classes.
    name : str, default "sparse_categorical_crossentropy"
        Stands in the configuration.
    dtype : str or None, default None
        ``"float32"`` or ``"float64"`` to compute in; None keeps the precision of `y_pred`.
    label_smoothing : float, default 0.0
        In [0, 1]: the target is ``1 - label_smoothing + label_smoothing / C`` at the label and
        ``label_smoothing / C`` elsewhere.
    class_weight : array_like of shape (C,) or mapping, optional
        Factor of each class's term.
    epsilon : float, default 1e-7
        Where probabilities are clipped.

    Raises
    ------
    ValueError
        If an option is out of range.

    Examples
    --------
    >>> from xent_native import SparseCategoricalCrossentropy
    >>> loss = SparseCategoricalCrossentropy(from_logits=True)
    >>> round(loss([1, 0], [[2.0, 5.0, 1.0], [7.0, 1.0, 0.5]]), 7)
    0.0349291
    >>> SparseCategoricalCrossentropy.from_config(loss.get_config()) == loss
    True
    """

    _options = ("from_logits", "ignore_class", "axis", "label_smoothing", "class_weight", "epsilon")

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
        *,
        label_smoothing: float = 0.0,
        class_weight: Any = None,
        epsilon: float = EPSILON,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits = bool(from_logits)
        self.ignore_class = _problem.label_number(ignore_class)
        self.axis = _problem.axis_number(axis)
        self.label_smoothing = _problem.smoothing(label_smoothing)
        self.class_weight = class_weight
        self.epsilon = _problem.clip_epsilon(epsilon)

    def _compute(
        self, y_true: Any, y_pred: Any, sample_weight: Any, reduction: str | None, grad: bool, grad_out: Any
    ) -> tuple[Any, Any]:
        return functional.cross_entropy(
            False, y_true, self._predictions(y_pred), self.from_logits, self.axis, self.ignore_class,
            self.label_smoothing, self.class_weight, sample_weight, reduction, self.epsilon, None, None, grad,
            grad_out,
        )  # fmt: skip


_CLASSES: dict[str, Callable[..., Loss]] = {
    cls.__name__: cls for cls in (CategoricalCrossentropy, SparseCategoricalCrossentropy)
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (functional.categorical_crossentropy, functional.sparse_categorical_crossentropy)
}


def get(identifier: Any) -> Any:
    """A loss from its name, its configuration, or itself.

    Parameters
    ----------
    identifier : str, dict, callable or None
        ``"categorical_crossentropy"`` gives the function, ``"CategoricalCrossentropy"`` an instance of the
        class, a dictionary from :func:`serialize` an instance with its options; a callable is returned as
        it is, None as None.

    Returns
    -------
    callable or None

    Raises
    ------
    ValueError
        If there is no such loss.

    Examples
    --------
    >>> from xent_native import losses
    >>> losses.get("CategoricalCrossentropy").reduction
    'sum_over_batch_size'
    >>> losses.get("categorical_crossentropy").__name__
    'categorical_crossentropy'
    """
    if identifier is None:
        return None
    if isinstance(identifier, str):
        if identifier in _FUNCTIONS:
            return _FUNCTIONS[identifier]
        if identifier in _CLASSES:
            return _CLASSES[identifier]()
    elif isinstance(identifier, dict):
        return deserialize(identifier)
    elif callable(identifier):
        return identifier
    known = ", ".join([*_FUNCTIONS, *_CLASSES])
    raise ValueError(f"Could not interpret loss identifier: {identifier!r}; known are {known}")


def serialize(loss: Any) -> Any:
    """A JSON-able description of a loss, for :func:`deserialize`.

    Parameters
    ----------
    loss : Loss or callable
        An instance of a class of this module, or one of the functions.

    Returns
    -------
    dict or str
        ``{"class_name": ..., "config": ...}`` for an instance, the name for a function.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> from xent_native import losses
    >>> losses.serialize(losses.CategoricalCrossentropy())["class_name"]
    'CategoricalCrossentropy'
    """
    if type(loss) in _CLASSES.values():
        return {"class_name": type(loss).__name__, "config": loss.get_config()}
    name = getattr(loss, "__name__", None)
    if _FUNCTIONS.get(str(name)) is loss:
        return name
    raise ValueError(f"loss must be one of xent_native's classes or functions; got {loss!r}")


def deserialize(description: Any) -> Any:
    """The loss that :func:`serialize` described.

    Parameters
    ----------
    description : dict or str
        What :func:`serialize` returned; also Keras's own form, as far as the options are ours.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        If there is no such loss, or it has no such option.

    Examples
    --------
    >>> from xent_native import losses
    >>> loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    >>> losses.deserialize(losses.serialize(loss)) == loss
    True
    """
    if not isinstance(description, dict):
        return get(description)
    name = description.get("class_name")
    cls = _CLASSES.get(str(name))
    if cls is None:
        known = ", ".join(_CLASSES)
        raise ValueError(f"Could not interpret loss identifier: {description!r}; known classes are {known}")
    try:
        return cls(**(description.get("config") or {}))
    except TypeError as error:
        raise ValueError(f"config of {name} has an option that it does not know: {error}") from None
