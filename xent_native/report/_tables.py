# SPDX-License-Identifier: BSD-3-Clause
"""What the sections of the page are built of: headings, paragraphs, tables and their cells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ._markup import Markup, data, element, name
from ._numbers import percent


def section(title: str, *content: Any, wide: bool = True) -> Markup:
    """A section with its heading."""
    return element("section", element("h2", title), content, class_="wide" if wide else None)


def paragraph(*content: Any, kind: str | None = None) -> Markup:
    """A paragraph."""
    return element("p", content, class_=kind)


def folded(title: str, *content: Any) -> Markup:
    """What is there to be unfolded."""
    return element("details", element("summary", title), content)


def table(
    title: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    sortable: bool = False,
    kinds: Mapping[str, str] = MappingProxyType({}),
) -> Markup:
    """A table whose first column names its rows; it scrolls in itself where a screen is too narrow for it.

    `kinds` are classes of the style sheet by a column's head: "word" for text, "plot" for what a phone leaves out.
    """
    head = element("tr", [element("th", text, scope="col", class_=kinds.get(text)) for text in heads])
    body = [
        element("tr", [_as_cell(c, i == 0, kinds.get(heads[i])) for i, c in enumerate(row)]) for row in rows
    ]
    made = element(
        "table",
        element("caption", title),
        element("thead", head),
        element("tbody", body),
        class_="sortable" if sortable else None,
    )
    return element("div", made, class_="table", role="region", aria_label=title, tabindex="0")


def _as_cell(content: Any, first: bool, kind: str | None) -> Markup:
    if isinstance(content, Markup) and content.startswith(("<td", "<th")):
        return content
    return element("th", content, scope="row", class_=kind) if first else element("td", content, class_=kind)


def named(text: str, order: float | str) -> Markup:
    """The cell that names a row, with the value that it is sorted by."""
    return element("th", data(text), scope="row", data_v=name(order))


def cell(content: Any, value: float | None = None, kind: str | None = None) -> Markup:
    """A number with the value that it is sorted by."""
    order = repr(float(value)) if value is not None and math.isfinite(value) else ""
    return element("td", content, data_v=order, class_=kind)


def optional(value: float | None) -> str:
    """A share that there may not be."""
    return "–" if value is None else percent(value)
