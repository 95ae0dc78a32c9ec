# SPDX-License-Identifier: BSD-3-Clause
"""Tables of the limits, from the lines in a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..tables import Table

HEAD = ["", "figure", "middle half", "target", "verdict", "remark"]
UNITS = {"R": " R", "W": " W", "times": "", "us": " us", "ms": " ms", "MB": " MB"}


def tables(lines: Sequence[dict[str, Any]]) -> list[Table]:
    """One table per section."""
    found: dict[str, Table] = {}
    for line in lines:
        table = found.setdefault(line["section"], Table(line["section"], HEAD, []))
        table.rows.append(_row(line))
    return [_without_empty_columns(table) for table in found.values()]


def summary(lines: Sequence[dict[str, Any]]) -> str:
    """How many lines pass."""
    verdicts = [line["verdict"] for line in lines]
    text = f"{verdicts.count('pass')} of {len(lines)} pass, {verdicts.count('short')} are short"
    missing = verdicts.count("no figure")
    return f"{text}, {missing} have no figure." if missing else f"{text}."


def _row(line: dict[str, Any]) -> list[str]:
    unit = UNITS[line["unit"]]
    figure = "-" if line["figure"] is None else f"{line['figure']:.2f}{unit}"
    spread = "" if line["spread"] is None else f"{line['spread'][0]:.2f} to {line['spread'][1]:.2f}"
    target = f"{'at least' if line['at_least'] else 'at most'} {line['target']:.2f}{unit}"
    return [line["what"], figure, spread, target, line["verdict"], line["remark"]]


def _without_empty_columns(table: Table) -> Table:
    kept = [i for i in range(len(HEAD)) if any(row[i] for row in table.rows)]
    rows = [[row[i] for i in kept] for row in table.rows]
    return Table(table.title, [table.head[i] for i in kept], rows, table.note)
