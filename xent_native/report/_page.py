# SPDX-License-Identifier: BSD-3-Clause
"""The report as one HTML file: sections, style and script in it, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import tempfile
from importlib import resources
from typing import Any, TextIO

from ..accumulate import LossAccumulator, Score
from . import _headline, _sections
from ._figures import as_score, namer
from ._markup import Markup, data, element

__all__ = ["write_html"]


def write_html(
    result: Score | LossAccumulator,
    path: str | os.PathLike[str] | TextIO,
    *,
    title: str,
    before: Score | LossAccumulator | None = None,
    class_names: Any = None,
) -> None:
    """Write a report that can be read in any browser, also without a network.

    The page is one file without anything from elsewhere. It can be read on a phone, in the dark, on paper and by a
    screen reader, and works without scripts, which only sort its tables. The same result gives the same bytes.

    Parameters
    ----------
    result : Score or LossAccumulator
        What to show.
    path : str, path or text stream
        Where to. A file appears, or takes the place of an older one, only when all of it has been written.
    title : str
        The heading.
    before : Score or LossAccumulator, optional
        The result before calibration by a temperature, which is shown beside.
    class_names : sequence of str or mapping of int to str, optional
        Names of the classes; by default their indices. Classes that a mapping leaves out keep theirs.

    Raises
    ------
    TypeError
        If `result` or `before` is neither a Score nor a LossAccumulator, or names are no names.
    ValueError
        If there is not one name for each class.
    OSError
        If the file cannot be written.

    Notes
    -----
    Names and values from data may be anything: they are escaped, and the page's Content-Security-Policy lets no script
    run but its own, whose hash it holds.

    Examples
    --------
    >>> import io
    >>> from xent_native import report, scoring
    >>> page = io.StringIO()
    >>> report.write_html(scoring.score([[0.1, 0.9], [0.7, 0.3]], [1, 1]), page, title="Two rows")
    >>> page.getvalue()[:15]
    '<!DOCTYPE html>'
    """
    text = _page(as_score(result), str(title), None if before is None else as_score(before), class_names)
    if isinstance(path, str | os.PathLike):
        _replace(path, text)
    else:
        path.write(text)


def _page(score: Score, title: str, before: Score | None, class_names: Any) -> str:
    label = namer(class_names, score.classes)
    head = element("header", element("h1", data(title)), _headline.summary(score), _headline.alerts(score))
    sections = _shown(score, before, label) if score.rows else [_sections.definitions()]
    foot = element("footer", "Made by xent_native. Losses are in nats unless it says bits.")
    style, script = _part("page.css"), _part("page.js")
    policy = (
        f"default-src 'none'; style-src 'sha256-{_hash(style)}'; script-src 'sha256-{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    meta = [
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", style),
    ]
    body = element("body", head, sections, foot, element("script", script))
    return f"<!DOCTYPE html>\n{element('html', element('head', meta), body, lang='en')}\n"


def _shown(score: Score, before: Score | None, label: _sections.Label) -> list[Markup]:
    parts = [
        None if before is None else _headline.comparison(before, score),
        _sections.reliability(score, before),
        _sections.losses(score),
        _sections.groups(score),
        _sections.classes(score, label),
        _sections.confusion(score, label),
        _sections.worst(score, label),
        _sections.definitions(),
    ]
    return [_headline.headline(score), element("main", parts)]


def _part(file: str) -> Markup:
    return Markup(resources.files(__package__).joinpath(file).read_text(encoding="utf-8"))


def _hash(text: str) -> str:
    """What a browser compares with the text of an element before it applies or runs it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _replace(path: str | os.PathLike[str], text: str) -> None:
    """Write a file beside `path` and move it there: nobody ever sees half of it."""
    path = os.fspath(path)
    folder, file = os.path.split(path)
    handle, made = tempfile.mkstemp(prefix=f".{file}.", suffix=".part", dir=folder or ".")
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        mask = os.umask(0)  # mkstemp lets nobody else read; the file shall have the modes of any other
        os.umask(mask)
        os.chmod(made, 0o666 & ~mask)
        os.replace(made, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(made)
        raise
