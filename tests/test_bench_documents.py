# SPDX-License-Identifier: BSD-3-Clause
"""The generated parts of README.md and docs/performance.md: made from results, and those in git from those in git."""

import sys
from pathlib import Path

import pytest

# At the end: in front, the sources of xent_native would hide the installed package.
sys.path.append(str(Path(__file__).parents[1]))

from bench import cli, documents, report, result, tables
from bench.limits.line import Line

HEADER = {
    "schema": result.SCHEMA,
    "command": "python -m bench --some options",
    "date": "2026-01-02T03:04:05+00:00",
    "machine": {"cpu": "A CPU", "caches": {"L1 data": "32K"}, "python": "3.11.0"},
    "commit": {"hash": "0123456789abcdef", "modified": False},
    "settings": {"threads": 2, "isa": "avx2"},
    "versions": {"numpy": "2.0.0", "torch": None},
    "quick": False,
    "others": None,
    "roofline": None,
}
LINES = [
    Line("Section", "a figure", "R", 0.5, 0.6, True, (0.5, 0.7)),
    Line("Section", "another", "us", 2.5, 3.456, False, None, "why"),
]


@pytest.fixture
def limits(tmp_path):
    """A result of the limits that passes for a real one: (result, path)."""
    found = {**HEADER, "mode": "limits", "lines": [line.to_dict() for line in LINES], "contests": []}
    path = tmp_path / "limits.json"
    result.write(found, path)
    return found, path


@pytest.fixture
def small(tmp_path):
    """A result of another mode."""
    path = tmp_path / "crossover.json"
    result.write({**HEADER, "mode": "crossover", "serial_below": 1, "curves": []}, path)
    return path


@pytest.fixture
def document(tmp_path):
    begin, end = documents.markers("limits")
    path = tmp_path / "DOCUMENT.md"
    path.write_text(f"# Title\n\n{begin}\nold\n{end}\n\nThe rest.\n")
    return path


def run(option, results, document):
    return cli.main([option, *map(str, results), "--documents", str(document)])


def test_documents_are_generated_and_checked(limits, small, document, capsys):
    found, path = limits
    assert run("--check-docs", [path], document) == 1
    assert "--update-docs" in capsys.readouterr().err
    assert run("--update-docs", [small, path], document) == 0
    assert run("--check-docs", [path], document) == 0
    text = document.read_text()
    begin, end = documents.markers("limits")
    assert text.startswith(f"# Title\n\n{begin}\n")
    assert text.endswith(f"\n{end}\n\nThe rest.\n")
    assert "old" not in text
    for part in (found["command"], "A CPU", "avx2", "1 of 2 pass", "0123456789"):
        assert part in text
    assert [table.render(markdown=True) in text for table in report.tables(found)] == [True]
    found["lines"][0]["figure"] += 0.1
    result.write(found, path)
    assert run("--check-docs", [path], document) == 1


def test_quick_runs_and_missing_markers_are_refused(limits, document, capsys):
    found, path = limits
    begin, end = documents.markers("limits")
    for text in (begin, f"{end}\n{begin}", f"{begin}{begin}{end}"):
        document.write_text(text)
        with pytest.raises(SystemExit):
            run("--update-docs", [path], document)
        assert f"there must be one {begin}" in capsys.readouterr().err
        assert document.read_text() == text
    document.write_text(f"{begin}{end}")
    result.write({**found, "quick": True}, path)
    with pytest.raises(SystemExit):
        run("--update-docs", [path], document)
    assert "--quick run" in capsys.readouterr().err
    assert document.read_text() == f"{begin}{end}"


def test_a_document_without_a_place_stays_as_it_is(limits, document):
    document.write_text("nothing here")
    assert run("--check-docs", [limits[1]], document) == 0


def test_committed_documents_have_the_committed_figures():
    assert documents.outdated(documents.DOCUMENTS, documents.RESULTS) == []
    text = "\n".join(path.read_text() for path in documents.DOCUMENTS)
    for path in documents.RESULTS:
        assert f"--update-docs bench/results/{path.name}" in text


def test_tables_are_aligned():
    table = tables.Table("Title", ["", "figure"], [["a", "1.0"], ["long name", "10.0"]], "A note.")
    assert (
        table.render(markdown=False)
        == "Title\n           figure\na             1.0\nlong name    10.0\nA note."
    )
    assert table.render(markdown=True).splitlines() == [
        "**Title**",
        "",
        "|           | figure |",
        "| --------- | -----: |",
        "| a         |    1.0 |",
        "| long name |   10.0 |",
        "",
        "A note.",
    ]


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": "other/1"}', '{"schema": "xent_native-bench/2"}'])
def test_other_files_are_refused(text, tmp_path):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"file\.json"):
        result.read(path)
