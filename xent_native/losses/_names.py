# SPDX-License-Identifier: BSD-3-Clause
"""Losses by their names and configurations."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .. import _options, functional
from .base import Loss
from .binary import BinaryCrossentropy, BinaryFocalCrossentropy
from .categorical import CategoricalCrossentropy, SparseCategoricalCrossentropy
from .divergence import KLDivergence
from .focal import CategoricalFocalCrossentropy
from .poly1 import Poly1Crossentropy

__all__ = ["deserialize", "get", "serialize"]

_CLASSES: dict[str, Callable[..., Loss[Any]]] = {
    cls.__name__: cls
    for cls in (
        BinaryCrossentropy,
        BinaryFocalCrossentropy,
        CategoricalCrossentropy,
        CategoricalFocalCrossentropy,
        KLDivergence,
        Poly1Crossentropy,
        SparseCategoricalCrossentropy,
    )
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        functional.binary_crossentropy,
        functional.binary_focal_crossentropy,
        functional.categorical_crossentropy,
        functional.categorical_focal_crossentropy,
        functional.kl_divergence,
        functional.poly1_crossentropy,
        functional.sparse_categorical_crossentropy,
    )
}
# Names that Keras has beside these, of functions alone.
_ALIASES: dict[str, Callable[..., Any]] = {
    "bce": functional.binary_crossentropy,
    "BCE": functional.binary_crossentropy,
    "kld": functional.kl_divergence,
    "KLD": functional.kl_divergence,
}


def get(identifier: Any) -> Any:
    """A loss from its name, its configuration, or itself.

    Parameters
    ----------
    identifier : str, dict, callable or None
        ``"categorical_crossentropy"`` gives the function, ``"CategoricalCrossentropy"`` an instance of the
        class, a dictionary from :func:`serialize` an instance with its options, and a class an instance; any
        other callable is returned as it is, None as None.

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
        if identifier in _ALIASES:
            return _ALIASES[identifier]
        if identifier in _CLASSES:
            return _CLASSES[identifier]()
    elif isinstance(identifier, dict):
        return deserialize(identifier)
    elif callable(identifier):
        return identifier() if isinstance(identifier, type) else identifier
    known = ", ".join([*_FUNCTIONS, *_CLASSES])
    raise ValueError(f"Could not interpret loss identifier: {_options.shown(identifier)}; known are {known}")


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
    raise ValueError(f"loss must be one of xent_native's classes or functions; got {_options.shown(loss)}")


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
    name, config = description.get("class_name"), description.get("config")
    if name == "function" and isinstance(config, str):  # Keras's form of a function
        return get(config)
    cls = _CLASSES.get(str(name))
    if cls is None:
        known = ", ".join(_CLASSES)
        raise ValueError(
            f"Could not interpret loss identifier: {_options.shown(description)}; known classes are {known}"
        )
    options = config or {}
    if not isinstance(options, dict) or not all(isinstance(key, str) for key in options):
        raise ValueError(f"config of {name} must be a dictionary of options; got {_options.shown(config)}")
    unknown = set(options) - set(inspect.signature(cls).parameters)
    if unknown:
        raise ValueError(
            f"config of {name} has an option that it does not know: {', '.join(sorted(unknown))}"
        )
    return cls(**options)
