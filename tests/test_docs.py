# SPDX-License-Identifier: BSD-3-Clause
"""The texts keep their word: examples run, links lead somewhere, the map names files that exist."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest
import reliability_page

ROOT = Path(__file__).parent.parent
TEXTS = sorted(
    path
    for folder in (".", "docs", "src", "src/kernels", "tests/data/digits", "tests/data/golden")
    for path in (ROOT / folder).glob("*.md")
)

HOSTS = {
    "dask",
    "pandas",
    "pyarrow",
    "sklearn",
    "xgboost",
    "lightgbm",
    "catboost",
}  # without which a page's examples cannot run


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_texts_are_there():
    found = set(map(name, TEXTS))
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/numerics.md"} <= found
    assert {"src/README.md", "src/kernels/README.md"} <= found


@pytest.mark.parametrize("path", [path for path in TEXTS if ">>> " in path.read_text()], ids=name)
def test_examples(path, monkeypatch):
    for module in re.findall(r"^>>> (?:import|from) (\w+)", path.read_text(), re.MULTILINE):
        if module in HOSTS:
            pytest.importorskip(module)
    monkeypatch.chdir(ROOT)  # the README reads the digits
    result = doctest.testfile(str(path), module_relative=False, encoding="utf-8")
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_links(path):
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("heading", ["Try it", "Test it"])
def test_readme_has_the_two_commands(heading):
    section = (ROOT / "README.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert block.count("\n") == 1
    assert "python3 -m venv .venv" in block


def test_the_map_names_files_that_exist():
    text = (ROOT / "src/README.md").read_text()
    names = re.findall(r"`([\w/.]+\.(?:h|c|def|py|pyx|pxi|pxd|txt|md))`", text)
    assert len(names) > 20
    places = [ROOT, ROOT / "src", ROOT / "src/kernels", ROOT / "xent_native"]
    for file in names:
        if "NAME" not in file:
            assert any((place / file).exists() for place in places), file


def test_reliability_names_tests_that_exist():
    """Its tables are those that tests and records give; what pytest collects is counted on --update alone."""
    assert reliability_page.missing() == []
    assert reliability_page.main(["--check"]) == 0
