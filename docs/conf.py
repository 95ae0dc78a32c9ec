# SPDX-License-Identifier: BSD-3-Clause
"""How Sphinx makes the site: ``sphinx-build -W --keep-going -n -c docs . build/site``, from the project's root.

The source is the whole project, of which the Markdown files are pages. So each link between files leads on the site
where it leads on GitHub: to a page, or to a file that is not one as a download.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from docutils.utils.math import latex2mathml

import xent_native

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent

project = "xent_native"
author = "The xent_native developers"
copyright = author
version = release = xent_native.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "src/**.md", "bench/**.md", "tests/**.md"]
exclude_patterns = [".*", "build", "dist", "docs/site", "**/__pycache__"]
highlight_language = "python"
nitpicky = True
# Names of hosts, whose indexes of names are in the network.
nitpick_ignore_regex = [("py:.*", r"(sklearn|dask|torch)\..*")]

# Markdown as GitHub has it: $...$ and blocks of ```math, anchors of headings.
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
myst_dmath_double_inline = True

# Types stand in the docstrings; annotations would say them once more.
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "member-order": "bysource"}
toc_object_entries_show_parents = "hide"
autosummary_generate = True
autosummary_ignore_module_all = False
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_title = "xent_native"
html_static_path = ["site/static"]
html_extra_path = ["site/extra"]
html_css_files = ["site.css"]
templates_path = [str(DOCS / "site" / "templates")]  # some look from the source folder, some from this one
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_sidebars = {"**": ["all-pages.html"]}
html_theme_options = {
    "navbar_center": [],
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "collapse_navigation": True,
}


def add_navigation(app: Sphinx, docname: str, source: list[str]) -> None:
    """Build the tree of pages out of the lists of links in index.md, so that GitHub shows nothing but these."""
    if docname != root_doc:
        return
    for heading, section in re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", source[0], re.MULTILINE):
        links = re.findall(r"^\* \[([^]]+)\]\(([^)]+)\.md\)", section, re.MULTILINE)
        if links:
            pages = [f"{text} <{page}>" for text, page in links]
            lines = ["", "```{toctree}", ":hidden:", f":caption: {heading}", "", *pages, "```", ""]
            source[0] += "\n".join(lines)


def strip_examples(app: Sphinx, document: nodes.document) -> None:
    """Take off the empty line that an example has at its end, where doctest needs it and readers do not."""
    for block in document.findall(nodes.literal_block):
        text = block.astext().rstrip()
        block.rawsource, block[:] = text, [nodes.Text(text)]


def mathml(latex: str, block: bool) -> str:
    """A formula as the browser's own mathematics: no script and no network are needed."""
    text = latex2mathml.tex2mathml(latex, as_block=block)
    # What docutils leaves to the browser's guess: the space after log, and which bar opens.
    text = text.replace("<mo>&ApplyFunction;</mo>", '<mo lspace="0" rspace="0.1em">&ApplyFunction;</mo>')
    text = re.sub(r'<mo class="mathopen">([|‖])</mo>', r'<mo form="prefix" stretchy="false">\1</mo>', text)
    return re.sub(r"<mo>([|‖])</mo>", r'<mo form="postfix" stretchy="false">\1</mo>', text)


def visit_math(translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append(mathml(node.astext(), block=False))
    raise nodes.SkipNode


def visit_math_block(translator, node: nodes.math_block) -> None:
    """Write a formula on lines of its own."""
    translator.body.append(f'<div class="formula">{mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the functions above."""
    app.connect("source-read", add_navigation)
    app.connect("doctree-read", strip_examples)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
