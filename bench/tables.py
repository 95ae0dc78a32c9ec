# SPDX-License-Identifier: BSD-3-Clause
"""A table of text: aligned for a terminal, or Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Table:
    """A title, a line of headings, rows of cells that are already text, and what the columns mean."""

    title: str
    head: list[str]
    rows: list[list[str]]
    note: str = ""

    def render(self, markdown: bool) -> str:
        """The table as text; numbers, which is all but the first column, to the right."""
        widths = [max(3, *(len(line[i]) for line in [self.head, *self.rows])) for i in range(len(self.head))]
        lines = [self._line(line, widths, markdown) for line in [self.head, *self.rows]]
        if markdown:
            rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
            lines.insert(1, self._line(rule, widths, markdown))
        title = f"**{self.title}**" if markdown else self.title
        parts = [title, "", *lines] if markdown else [title, *lines]
        if self.note:
            parts += ["", self.note] if markdown else [self.note]
        return "\n".join(parts)

    @staticmethod
    def _line(cells: Sequence[str], widths: Sequence[int], markdown: bool) -> str:
        padded = [
            cells[0].ljust(widths[0]),
            *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True)),
        ]
        return f"| {' | '.join(padded)} |" if markdown else "  ".join(padded).rstrip()
