# SPDX-License-Identifier: BSD-3-Clause
"""Writes the tables of docs/compatibility.md, or checks that they are those that the tests run.

python tests/compatibility_page.py --update | --check
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import compatibility
import compatibility_inputs
from compatibility import DTYPES, HOSTS
from golden_differences import DIFFERENCES
from pages import asked_to_update, filled, keep, table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "compatibility.md"
COMMAND = "python tests/compatibility_page.py --update"


def functions() -> str:
    """Function x option x dtype x host, and the reasons of the cells that are empty, by number."""
    reasons: list[str] = []
    short = {"float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64"}
    everything = " ".join(short[dtype] for dtype in DTYPES)

    def text(cell: compatibility.Cell) -> str:
        if not cell.reason:
            return everything
        if cell.reason not in reasons:
            reasons.append(cell.reason)
        return f"- ({reasons.index(cell.reason) + 1})"

    by_row: dict[tuple[str, str], list[str]] = {}
    for cell in compatibility.cells():
        by_row.setdefault((cell.function.name, cell.option), []).append(text(cell))
    lines = [[f"`{name}`", f"`{option}`", *found] for (name, option), found in by_row.items()]
    notes = "\n".join(f"{number}. {reason}." for number, reason in enumerate(reasons, 1))
    return f"{table(['function', 'option', *HOSTS], lines)}\n\n{notes}"


def inputs() -> str:
    """Kinds of arrays x functions, and whether they are copied."""
    head = [
        "`y_pred`, `y_true` and weights as",
        "`y_pred` is",
        *(f"`{c}`" for c in compatibility_inputs.COLUMNS),
    ]
    lines = [
        [kind.name, "copied" if kind.copied else "shared", *["yes"] * len(compatibility_inputs.COLUMNS)]
        for kind in compatibility_inputs.KINDS.values()
    ]
    return table(head, lines)


def differences() -> str:
    """Where a peer's recorded answers are other than ours."""
    return "\n".join(f"* **{each.name}.** {each.reason}." for each in DIFFERENCES)


PARTS = {"functions": functions, "inputs": inputs, "differences": differences}


def current(text: str) -> str:
    """The page's text with the parts as they are now."""
    return filled(text, {name: part() for name, part in PARTS.items()}, COMMAND)


def main(arguments: Sequence[str] | None = None) -> int:
    update = asked_to_update("The tables of docs/compatibility.md.", arguments)
    return keep(PAGE, current(PAGE.read_text(encoding="utf-8")), update, COMMAND)


if __name__ == "__main__":
    sys.exit(main())
