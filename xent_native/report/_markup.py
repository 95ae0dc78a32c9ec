# SPDX-License-Identifier: BSD-3-Clause
"""HTML and SVG elements as text. Whatever comes from data is escaped here, and nowhere else."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable
from typing import Any

_LONGEST = 120  # characters of a name that a page shows: names from data may have any length
_VOID = frozenset({"meta", "br", "rect", "line", "path", "circle"})

# Characters that turn the direction of the text around them: a name could make its neighbours read otherwise.
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def element(tag: str, *content: Any, **attributes: Any) -> Markup:
    """An element with escaped content; attributes that are None are left out.

    Content may be Markup, text, numbers, None (nothing) or iterables of these. An underscore at the end of an
    attribute's name falls away (``class_``); others become hyphens. True gives an attribute without a value.
    """
    names = ((name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items())
    text = "".join(
        f" {name}" if value is True else f' {name}="{escape(_plain(value))}"'
        for name, value in names
        if value is not None and value is not False
    )
    if tag in _VOID and not content:
        return Markup(f"<{tag}{text}>" if tag in ("meta", "br") else f"<{tag}{text}/>")
    return Markup(f"<{tag}{text}>{joined(content)}</{tag}>")


def joined(content: Any) -> Markup:
    """Content as markup, escaped where it is none."""
    if content is None:
        return Markup()
    if isinstance(content, Markup):
        return content
    if isinstance(content, Iterable) and not isinstance(content, str):
        return Markup("".join(map(joined, content)))
    return Markup(escape(_plain(content)))


def escape(text: str) -> str:
    r"""Text for content and attributes, with what no page should hold written as ``\x00``."""
    return html.escape("".join(c if _shows(c) else _code(c) for c in text))


def name(value: Any) -> str:
    """A name from data as one line, of a length that a page can show."""
    text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def data(value: Any) -> Markup:
    """A name from data as an element whose direction of writing stays its own."""
    return element("bdi", name(value))


def _plain(value: Any) -> str:
    """Coordinates with as many digits as a screen has."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _shows(character: str) -> bool:
    if character in " \n":
        return True
    return unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp") and character not in _DIRECTIONS


def _code(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
