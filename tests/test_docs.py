# SPDX-License-Identifier: BSD-3-Clause
"""The texts keep their word: examples run, links lead somewhere, the map names files that exist."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import pytest
import reliability_page

from xent_native import cli

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
    "torch",
}  # without which a page's examples cannot run


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def skip_without_hosts(path: Path) -> None:
    for module in re.findall(r"^>>> (?:import|from) (\w+)", path.read_text(), re.MULTILINE):
        if module in HOSTS:
            pytest.importorskip(module)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to write into where the examples find the digits as in the project's own."""
    (tmp_path / "tests").symlink_to(ROOT / "tests", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_texts_are_there():
    found = set(map(name, TEXTS))
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/numerics.md"} <= found
    assert {"src/README.md", "src/kernels/README.md"} <= found


@pytest.mark.parametrize("path", [path for path in TEXTS if ">>> " in path.read_text()], ids=name)
def test_examples(path, place):
    skip_without_hosts(path)
    result = doctest.testfile(str(path), module_relative=False, encoding="utf-8")
    assert result.attempted > 0
    assert result.failed == 0


def test_commands_of_the_page_on_scoring(place, capsys):
    """Each exits as it says, and prints the lines that stand below it, after the examples have made their files."""
    page = ROOT / "docs/scoring.md"
    skip_without_hosts(page)
    assert doctest.testfile(str(page), module_relative=False, encoding="utf-8").failed == 0
    capsys.readouterr()
    count = 0
    for block, text in re.findall(
        r"^```sh\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", page.read_text(), re.MULTILINE | re.DOTALL
    ):
        for line in block.splitlines():
            command, _, comment = line.partition("  # exit code ")
            program, *arguments = shlex.split(command)
            assert program == "xent-native"
            assert cli.main(arguments) == int(comment or 0), line
            count += 1
        printed = capsys.readouterr().out.splitlines()
        assert [line for line in text.splitlines() if line not in printed] == []
        for report in re.findall(r"--report (\S+)", block):
            assert "<svg" in (place / report).read_text("utf-8")
    assert count == 12


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
