# SPDX-License-Identifier: BSD-3-Clause
"""The site of the documentation: every public name is in it, every page is linked, and Sphinx builds it silently."""

from __future__ import annotations

import importlib
import pkgutil
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import xent_native

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
MODULES = ["xent_native"] + [
    f"xent_native.{module.name}"
    for module in pkgutil.iter_modules(xent_native.__path__)
    if not module.name.startswith("_")
]
SPHINX = ("sphinx", "myst_parser", "numpydoc", "pydata_sphinx_theme")
HOSTS = ("sklearn", "scipy", "dask")  # of which public classes are made, or whose functions are wrapped


def sections(text: str) -> dict[str, str]:
    """Text by heading."""
    return {
        part.partition("\n")[0]: part.partition("\n")[2]
        for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    }


def listed(text: str) -> dict[str, list[str]]:
    """The names that the page lists, by module: in tables of summaries, and in sentences on what is elsewhere."""
    found = {}
    for heading, section in sections(text).items():
        if heading.startswith("xent_native"):
            summaries = re.findall(
                r"^\.\. autosummary::\n(?:   :.*\n)*\n((?:   \w+\n)+)", section, re.MULTILINE
            )
            elsewhere = re.findall(r"^(?:From|Modules)\b[^:]*:((?:.|\n)+?)\n\n", section, re.MULTILINE)
            assert heading not in found
            found[heading] = [*" ".join(summaries).split(), *re.findall(r"`(\w+)`", " ".join(elsewhere))]
    for module, names in re.findall(
        r"^\* `(xent_native\.\w+)`: ((?:.+\n)(?:  .+\n)*)",
        sections(text)["Modules behind these"],
        re.MULTILINE,
    ):
        found[module] = re.findall(r"`(\w+)`", names)
    return found


PAGE = listed((DOCS / "api.md").read_text(encoding="utf-8"))


def test_the_page_has_every_public_module():
    assert sorted(PAGE) == sorted(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_the_page_has_every_public_name(name):
    assert sorted(PAGE[name]) == sorted(importlib.import_module(name).__all__)


def test_every_page_is_in_the_navigation():
    """It is made of the lists of links in index.md."""
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    links = re.findall(r"^\* \[[^]]+\]\((\S+?\.md)\)", index, re.MULTILINE)
    assert len(links) == len(set(links))
    assert {path.name for path in DOCS.glob("*.md")} - {"index.md"} == {
        link for link in links if "/" not in link
    }


def test_the_pictures_show_the_committed_results():
    """Else `python docs/performance_pictures.py` makes them."""
    script = runpy.run_path(str(DOCS / "performance_pictures.py"))
    assert script["PICTURES"]
    for picture, run in script["PICTURES"].items():
        assert script["shown_run"](picture) == script["run_of"](run), picture


def test_the_site_is_built_without_a_warning(tmp_path):
    """From a copy, as pages of the reference are written beside the others."""
    for library in (*SPHINX, *HOSTS):
        pytest.importorskip(library)
    source, site = tmp_path / "source", tmp_path / "site"
    skipped = shutil.ignore_patterns("api", "__pycache__", "findings")
    for folder in ("docs", "src", "bench", "tests"):
        shutil.copytree(ROOT / folder, source / folder, ignore=skipped)
    for path in (*ROOT.glob("*.md"), ROOT / "LICENSE"):
        shutil.copy(path, source)
    command = ["-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-c", source / "docs", source, site]
    run = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    page = (site / "docs" / "api" / "xent_native.softmax.html").read_text(encoding="utf-8")
    assert "<math" in page
    assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//', page), "it needs a network"
    for name in {name for names in PAGE.values() for name in names} - {"main"}:
        is_module = f"xent_native.{name}" in MODULES
        assert is_module or list((site / "docs" / "api").glob(f"xent_native.*{name}.html")), name
    assert (site / "docs" / "scikit-learn.html").exists()
    assert (site / "index.html").exists()
