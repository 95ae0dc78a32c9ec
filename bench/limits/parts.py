# SPDX-License-Identifier: BSD-3-Clause
"""The parts of the limits, in the order in which they are measured and printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from .bandwidth import binary, float64, focal, inputs, layouts, table
from .boosting import boosting
from .calls import region, small
from .halves import halves
from .imports import imports
from .line import Line
from .memory import memory
from .peers import peers
from .scaling import scaling
from .scikit_learn import scikit_learn
from .scoring import scoring
from .session import Session
from .sklearn_losses import sklearn_losses
from .training import training

# Those with peers come last: their thread pools and allocators are not in the process before.
PARTS: dict[str, Callable[[Session], Iterator[Line]]] = {
    "table": table,
    "float64": float64,
    "halves": halves,
    "inputs": inputs,
    "focal": focal,
    "binary": binary,
    "layouts": layouts,
    "scaling": scaling,
    "region": region,
    "memory": memory,
    "small": small,
    "import": imports,
    "boosting": boosting,
    "scoring": scoring,
    "peers": peers,
    "training": training,
    "sklearn-losses": sklearn_losses,
    "scikit-learn": scikit_learn,
}


def measure(session: Session, names: Sequence[str]) -> list[Line]:
    """The lines of the parts of these names; rows of one table stand together."""
    lines = [line for name in PARTS if name in names for line in _part(session, name)]
    sections = list(dict.fromkeys(line.section for line in lines))
    return sorted(lines, key=lambda line: sections.index(line.section))


def _part(session: Session, name: str) -> list[Line]:
    """The lines of one part, with samples unless those are in its contests."""
    before = len(session.contests)
    lines = list(PARTS[name](session))
    return lines if len(session.contests) == before else [replace(line, samples=()) for line in lines]
