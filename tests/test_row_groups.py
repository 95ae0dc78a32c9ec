# SPDX-License-Identifier: BSD-3-Clause
"""Row groups of Parquet that threads read side by side: the figures and errors of reading them one after the other."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tables import ROLES, Data, figures, write

from xent_native import scoring
from xent_native.scoring import _plan, _tables

pa = pytest.importorskip("pyarrow")

DATA = Data.random(40_000)  # more than one chunk, so that threads share it
EXPECTED = DATA.score(n_threads=1)


@pytest.fixture
def wholes(monkeypatch) -> list[int]:
    """The first rows of the parts that threads have read for themselves."""
    found: list[int] = []
    load = _tables.TableStream._load

    def noted(self, path, part):
        found.append(part.first)
        return load(self, path, part)

    monkeypatch.setattr(_tables.TableStream, "_load", noted)
    return found


@pytest.mark.parametrize("n_threads", [2, 3, 8])
@pytest.mark.parametrize("group", [997, 20_000, 10**6])
def test_the_figures_of_one_thread(tmp_path, wholes, n_threads, group):
    path = write(DATA.lists(), tmp_path / "t.parquet", row_group_size=group)
    assert figures(scoring.score(path, n_threads=n_threads, **ROLES)) == EXPECTED
    assert min(wholes) == 0
    assert len(wholes) == {997: 4, 20_000: 2, 10**6: 1}[group]
    path = write(DATA.wide(), tmp_path / "w.parquet", row_group_size=group)
    assert figures(scoring.score(path, columns="p_*", n_threads=n_threads, **ROLES)) == EXPECTED


def test_large_row_groups_are_not_read_whole(tmp_path, monkeypatch, wholes):
    monkeypatch.setattr(_plan, "_WHOLE_BYTES", 5_000 * 8 * 4)
    tables = [DATA.lists().slice(at, rows) for at, rows in ((0, 5_000), (5_000, 30_000), (35_000, 5_000))]
    with pa.parquet.ParquetWriter(tmp_path / "t.parquet", tables[0].schema) as file:
        for table in tables:
            file.write_table(table)
    assert figures(scoring.score(tmp_path / "t.parquet", n_threads=2, **ROLES)) == EXPECTED
    assert sorted(wholes) == [0, 35_000]


def test_rows_are_asked_for_in_chunks(tmp_path, wholes):
    """Who says how many rows shall be in memory gets no more; and who skips damage knows what is lost."""
    path = write(DATA.lists(), tmp_path / "t.parquet", row_group_size=997)
    assert figures(scoring.score(path, chunk_rows=100, n_threads=2, **ROLES)) == EXPECTED
    assert figures(scoring.score(path, on_error="skip", n_threads=2, **ROLES)) == EXPECTED
    assert wholes == []


def test_several_files_and_labels_of_their_own(tmp_path, wholes):
    (tmp_path / "parts").mkdir()
    for k in range(4):
        table = DATA.lists().slice(k * 10_000, 10_000).select(["p"])
        write(table, tmp_path / "parts" / f"{k}.parquet", row_group_size=3_000)
    np.save(tmp_path / "y.npy", DATA.y)
    result = scoring.score(
        tmp_path / "parts", tmp_path / "y.npy", weights=DATA.w, group_by=DATA.g, n_threads=3
    )
    assert len(wholes) >= 4
    assert (result.mean_loss, result.per_class, result.rows) == (
        EXPECTED.mean_loss, EXPECTED.per_class, EXPECTED.rows,
    )  # fmt: skip
    worst = result.worst[0]
    assert int(worst.source[-9]) * 10_000 + worst.row == EXPECTED.worst[0].row


@pytest.mark.parametrize("n_threads", [1, 4])
def test_errors_name_the_first_row(tmp_path, n_threads):
    table = DATA.lists()
    p = table["p"].to_pylist()
    for row in (31_234, 12_345, 39_999):
        p[row] = None
    p = pa.array(p, table["p"].type)
    path = write(table.set_column(1, "p", p), tmp_path / "t.parquet", row_group_size=1_000)
    with pytest.raises(scoring.DataError, match=r"t\.parquet: row 12345: column 'p' is null"):
        scoring.score(path, n_threads=n_threads, **ROLES)
    assert scoring.score(path, n_threads=n_threads, on_error="skip", **ROLES).skipped == 3


def test_a_damaged_row_group(tmp_path):
    """What is before it is in the state."""
    path = write(DATA.lists(), tmp_path / "t.parquet", row_group_size=1_000, compression="none")
    place = pa.parquet.ParquetFile(path).metadata.row_group(23).column(1).data_page_offset
    data = bytearray(path.read_bytes())
    data[place : place + 20] = b"\xff" * 20
    path.write_bytes(data)
    state = tmp_path / "state.json"
    with pytest.raises(scoring.DataError, match=r"t\.parquet: damaged"):
        scoring.score(path, n_threads=3, state=state, **ROLES)
    assert 1_000 <= json.loads(state.read_text())["rows"] <= 23_000


@pytest.mark.parametrize("rows", [600, 5_400, 12_000, 39_600])
def test_goes_on_inside_a_row_group(tmp_path, wholes, rows):
    path = write(DATA.lists(), tmp_path / "t.parquet", row_group_size=1_000)
    state = tmp_path / "state.json"

    class StoppedError(Exception):
        pass

    def stop(done, total):
        if done >= rows:
            raise StoppedError

    with pytest.raises(StoppedError):
        scoring.score(path, state=state, n_threads=1, chunk_rows=600, progress=stop, **ROLES)
    assert json.loads(state.read_text())["rows"] == rows
    assert figures(scoring.score(path, state=state, n_threads=2, **ROLES)) == EXPECTED
    assert min(wholes, default=40_000) == -(-rows // 1_000) * 1_000


def test_tiny_row_groups_are_read_together(tmp_path, wholes):
    path = write(DATA.lists(), tmp_path / "t.parquet", row_group_size=10)
    assert figures(scoring.score(path, n_threads=2, **ROLES)) == EXPECTED
    assert len(wholes) < 10
