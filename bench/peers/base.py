# SPDX-License-Identifier: BSD-3-Clause
"""The one signature that all competitors stand behind."""

from __future__ import annotations

import abc
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays import Arrays
from ..cases import Case


class Unsupported(Exception):
    """This competitor has no such operation; the message says why, in a few words."""


@dataclass(frozen=True)
class Settings:
    """What every competitor is told.

    Attributes
    ----------
    threads : int
        How many to use; 0: its own default.
    isa : str
        The instruction set of xent_native; empty: the one in use.
    """

    threads: int = 0
    isa: str = ""


class Peer(abc.ABC):
    """A library, and how its users compute a case with it.

    A subclass imports its library inside of its methods and nowhere else, so that one that is missing is
    reported and the others still run.

    Attributes
    ----------
    name : str
        What ``--peers`` takes and tables show.
    package : str
        The distribution without which it is missing.
    related : tuple of str
        Other distributions whose versions matter.
    summary : str
        What is called, in a few words, for ``--list``.
    ours : bool
        Whether it is xent_native itself, which no fastest peer may be.
    sums : bool
        Whether its gradient belongs to the sum of the losses; it is divided before it is checked.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    related: ClassVar[tuple[str, ...]] = ()
    summary: ClassVar[str]
    ours: ClassVar[bool] = False
    sums: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def label(self) -> str:
        """The name, and what distinguishes a variant."""
        return f"{self.name} {self.settings.isa}".rstrip()

    def versions(self) -> dict[str, str | None]:
        """Versions of the packages, None for one that is not installed; nothing is imported."""
        return {package: _version(package) for package in (self.package, *self.related)}

    def installed(self) -> bool:
        return _version(self.package) is not None

    def applies(self, case: Case) -> bool:
        """Whether this variant of a library is of interest there; where not, it is not even listed."""
        return True

    def load(self) -> None:  # noqa: B027  (NumPy itself has nothing to load)
        """Import the library and set its threads."""

    def setup(self) -> None:  # noqa: B027  (most libraries are the same all the time)
        """Called before every measurement, untimed: settings in which two variants of a library differ."""

    @abc.abstractmethod
    def prepare(self, case: Case, arrays: Arrays) -> Callable[[], Any]:
        """A function without arguments that computes the case once.

        Conversions of the input happen here, outside of what is timed; what users pay at every call
        happens in the function. It returns ``(loss, gradient)``, ``(loss, None)``, ``(None, softmax)`` or
        ``(log-sum-exp, None)`` in the library's own types, finished: nothing may still be running.

        Raises
        ------
        Unsupported
            If the library does not have this operation, layout or dtype.
        """

    def to_numpy(self, value: Any) -> np.ndarray:
        """What :meth:`prepare`'s function returned, as an array."""
        return np.asarray(value)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def refuse(case: Case, *, dtypes: tuple[str, ...], rows_only: bool = False) -> None:
    """Unsupported, unless the dtype is one of these, and the layout (rows, classes) if `rows_only`.

    The focal loss of several classes is nobody's but Keras's, which is not among the peers.
    """
    if case.operation.loss != "cross-entropy":
        raise Unsupported(f"no {case.operation.loss} loss here")
    if case.dtype not in dtypes:
        raise Unsupported(f"no {case.dtype}")
    if rows_only and (len(case.shape) != 2 or case.axis not in (-1, 1)):
        raise Unsupported("only arrays of (rows, classes)")


FLOATS = ("float32", "float64")
ALL_FLOATS = ("float32", "float64", "float16", "bfloat16")
EPSILON = 1e-7  # where probabilities are clipped, as Keras does and xent_native
