# SPDX-License-Identifier: BSD-3-Clause
"""A step of training in PyTorch: xent_native.torch against PyTorch's own loss, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator

from ..cases import OPERATIONS, Case
from ..contest import Entrant
from ..peers import Settings
from ..peers.frameworks import Torch, XentNativeTorch
from . import targets
from .line import Line, line_of
from .session import Session


def training(session: Session) -> Iterator[Line]:
    """PyTorch's tensors, forward and backward, against PyTorch's own loss."""
    ours, own = XentNativeTorch(Settings(session.threads, session.isas[0])), Torch(Settings(session.threads))
    for shape in targets.TRAINING_QUICK if session.quick else targets.TRAINING:
        case = Case(OPERATIONS["gradient"], "float32", shape)
        contest = session.run(Entrant(ours, case), Entrant(own, case))
        first, second = contest.entries
        yield line_of(
            "In PyTorch: forward and backward, float32, integer labels, mean; times as fast as PyTorch's own loss",
            f"({', '.join(f'{n:,}' for n in shape)})",
            "times",
            targets.TRAINING_TIMES,
            contest.times(second, first),
            remark=first.detail or second.detail,
        )
