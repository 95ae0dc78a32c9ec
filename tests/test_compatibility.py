# SPDX-License-Identifier: BSD-3-Clause
"""The tables of docs/compatibility.md: every cell is run, and the page has no other."""

from __future__ import annotations

import inspect

import compatibility
import compatibility_inputs
import compatibility_page
import pytest

import xent_native as xn

CELLS = compatibility.cells()
RUN = [cell for cell in CELLS if not cell.reason]


@pytest.mark.parametrize("dtype", compatibility.DTYPES)
@pytest.mark.parametrize("cell", RUN, ids=lambda cell: cell.name)
def test_cell(cell, dtype):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    if cell.host == "PyTorch":
        pytest.importorskip("torch")
    compatibility.run(cell, dtype)


@pytest.mark.parametrize("column", compatibility_inputs.COLUMNS)
@pytest.mark.parametrize("kind", compatibility_inputs.KINDS.values(), ids=lambda kind: kind.name)
def test_input(kind, column):
    needs = compatibility_inputs.missing(kind)
    if needs:
        pytest.skip(f"{needs} is not installed")
    compatibility_inputs.run(column, kind)


@pytest.mark.parametrize("kind", compatibility_inputs.KINDS.values(), ids=lambda kind: kind.name)
def test_copies(kind):
    needs = compatibility_inputs.missing(kind)
    if needs:
        pytest.skip(f"{needs} is not installed")
    assert compatibility_inputs.is_copied(kind) == kind.copied


def test_every_function_has_its_row():
    losses = {name for name in xn.__all__ if name.endswith(("_crossentropy", "_divergence"))}
    assert set(compatibility.FUNCTIONS) == losses
    assert {name for name in xn.__all__ if f"{name}_value_and_grad" in xn.__all__} == losses
    own = {name for name in xn.torch.__all__ if name[0].islower()}
    assert {f.torch for f in compatibility.FUNCTIONS.values() if f.torch} == own


@pytest.mark.parametrize("function", compatibility.FUNCTIONS.values(), ids=lambda function: function.name)
def test_every_option_has_its_row(function):
    """An argument that a function has stands in the table as one that works, and no other does."""
    known = {
        option
        for option in compatibility.OPTIONS
        if not option.startswith(("from_", "_", "out", "reduction,"))
    }
    arguments = set(inspect.signature(getattr(xn, function.name)).parameters)
    works = {
        cell.option
        for cell in CELLS
        if cell.function is function and cell.host == "function" and not cell.reason
    }
    ours = known - ({"epsilon"} if function.name != "poly1_crossentropy" else set())
    assert works & ours == arguments & ours


def test_the_page_is_current():
    assert compatibility_page.main(["--check"]) == 0


def test_a_page_that_is_not_current_is_found(tmp_path, monkeypatch, capsys):
    text = compatibility_page.PAGE.read_text()
    monkeypatch.setattr(compatibility_page, "PAGE", tmp_path / "page.md")
    compatibility_page.PAGE.write_text(text.replace("f16", "f17", 1))
    assert compatibility_page.main(["--check"]) == 1
    assert "run python tests/compatibility_page.py --update" in capsys.readouterr().err
    assert compatibility_page.main(["--update"]) == 0
    assert compatibility_page.PAGE.read_text() == text
