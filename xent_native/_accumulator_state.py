# SPDX-License-Identifier: BSD-3-Clause
"""What a :class:`LossAccumulator` has seen as plain values for JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import _row_inputs
from ._options import count
from ._worst_rows import worst_from_state, worst_state

if TYPE_CHECKING:
    from .accumulate import LossAccumulator

__all__ = ["restore", "state_of"]

_MOST = 1 << 62


def state_of(accumulator: LossAccumulator) -> dict[str, Any]:
    """Everything but the options."""
    one = accumulator
    return {
        "num_classes": one._classes,
        "ignored": one._ignored,
        "skipped": one._skipped,
        "first_nan": None if one._first_nan is None else list(one._first_nan),
        "seen": dict(sorted(one._seen.items())),
        "worst": worst_state(one._worst),
        "plain": one._books[False].to_dict() if False in one._books else None,
        "weighted": one._books[True].to_dict() if True in one._books else None,
        "groups": [
            [value, state_of(one._groups[value])]
            for value in sorted(one._groups, key=_row_inputs.group_order)
        ],
    }


def restore(new: LossAccumulator, state: Mapping[str, Any], *, is_group: bool = False) -> None:
    """Fill an accumulator that is new with what `state_of` gave; an error of some kind if it cannot have been that."""
    new._ignored, new._skipped = (count(name, state[name], 0, _MOST) for name in ("ignored", "skipped"))
    if state["first_nan"] is not None:
        source, row = state["first_nan"]
        new._first_nan = _row_inputs.text("source", source), count("row", row, 0, _MOST)
    new._seen = {
        _row_inputs.text("source", name): count("rows", n, 0, _MOST) for name, n in state["seen"].items()
    }
    new._worst = worst_from_state(state["worst"], new._options.worst, new._classes or 1)
    for weighted, name in ((False, "plain"), (True, "weighted")):
        if state[name] is not None:
            if new._classes is None:
                raise ValueError("num_classes must be known where rows are")
            new._books[weighted] = new._book(weighted)
            new._books[weighted].fill(state[name])
    rows = new._ignored + sum(sum(book.count("support")) for book in new._books.values())
    if not is_group and rows != sum(new._seen.values()):
        raise ValueError(f"{sum(new._seen.values())} rows were seen, but {rows} are there")
    for value, group in state["groups"]:
        if is_group:
            raise ValueError("groups must not have groups")
        if type(group["num_classes"]) is not int or group["num_classes"] != new._classes:
            raise ValueError(f"groups must have {new._classes} classes; got {group['num_classes']!r:.40}")
        if _row_inputs.group_value(value) in new._groups:
            raise ValueError(f"groups must differ; got {value!r:.40} twice")
        restore(new._group(_row_inputs.group_value(value)), group, is_group=True)
