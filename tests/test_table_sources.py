# SPDX-License-Identifier: BSD-3-Clause
"""Scoring tables: every format gives the figures of the arrays, and every damage is an error that names the file."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples
from tables import NAMES, ROLES, Data, figures, write

from xent_native import scoring
from xent_native.scoring import _csv, _ipc

pa = pytest.importorskip("pyarrow")

DATA = Data.random(500)
EXPECTED = DATA.score()


@pytest.fixture(params=[None, 33])
def chunk_rows(request):
    return request.param


# Formats


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize("kind", ["fixed", "list", "large"])
def test_column_of_lists(tmp_path, suffix, kind, chunk_rows):
    path = write(DATA.lists(kind), tmp_path / f"t{suffix}")
    assert figures(scoring.score(path, chunk_rows=chunk_rows, **ROLES)) == EXPECTED
    assert figures(scoring.score(path, columns="p", **ROLES)) == EXPECTED
    assert figures(scoring.score(path, columns=["p"], **ROLES)) == EXPECTED


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv"])
def test_one_column_a_class_and_labels_as_names(tmp_path, suffix, chunk_rows):
    path = write(DATA.wide(encoded=suffix != ".csv"), tmp_path / f"t{suffix}")
    columns = [f"p_{name}" for name in NAMES]
    assert figures(scoring.score(path, columns="p_*", chunk_rows=chunk_rows, **ROLES)) == EXPECTED
    assert figures(scoring.score(path, columns=columns, classes=NAMES, **ROLES)) == EXPECTED
    turned = scoring.score(path, columns=columns[::-1], classes=NAMES[::-1], **ROLES)
    assert turned.per_class == EXPECTED.per_class[::-1]


def test_row_groups_and_batches(tmp_path, chunk_rows):
    table = DATA.lists()
    for path in (
        write(table, tmp_path / "t.parquet", row_group_size=7, use_dictionary=True),
        write(table, tmp_path / "t.arrow", rows=7),
        write(table, tmp_path / "z.arrow", rows=70, compression="zstd"),
    ):
        assert figures(scoring.score(path, chunk_rows=chunk_rows, **ROLES)) == EXPECTED


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv"])
def test_a_folder_of_files(tmp_path, suffix, chunk_rows):
    (tmp_path / "part").mkdir()
    (tmp_path / "_SUCCESS").write_text("")
    for k in range(5):
        write(DATA.wide().slice(k * 100, 100), tmp_path / "part" / f"{k}{suffix}")
    result = scoring.score(tmp_path, columns="p_*", chunk_rows=chunk_rows, **ROLES)
    worst = result.worst[0]
    row = int(Path(worst.source).stem) * 100 + worst.row
    assert row == EXPECTED.worst[0].row  # files are read in order, rows are counted in each
    for name in ("rows", "mean_loss", "per_class", "calibration", "histogram"):
        assert getattr(result, name) == getattr(EXPECTED, name)
    np.save(tmp_path / "y.npy", DATA.y)
    apart = scoring.score(
        tmp_path / "part", tmp_path / "y.npy", columns="p_*", weight_column="w", group_by="g"
    )
    assert figures(apart) == figures(result)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save, chunk_rows):
    path = tmp_path / "t.npz"
    save(path, p=DATA.x, f=np.asfortranarray(DATA.x), y=DATA.y, w=DATA.w, g=np.array(DATA.g))
    for name in ("p", "f"):
        assert figures(scoring.score(path, columns=name, chunk_rows=chunk_rows, **ROLES)) == EXPECTED
    alone = tmp_path / "one.npz"
    save(alone, DATA.x)
    assert figures(scoring.score(alone, DATA.y, weights=DATA.w, group_by=DATA.g)) == EXPECTED


def test_csv_with_tabs_and_gzip(tmp_path):
    text = write(DATA.wide(), tmp_path / "t.csv").read_text()
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "t.tsv").write_text(text.replace(",", "\t"))
    for name in ("t.csv.gz", "t.tsv"):
        assert figures(scoring.score(tmp_path / name, columns="p_*", **ROLES)) == EXPECTED


def test_labels_and_weights_in_other_files(tmp_path):
    np.save(tmp_path / "x.npy", DATA.x)
    np.save(tmp_path / "names.npy", np.array(NAMES)[DATA.y])
    table = write(DATA.lists(), tmp_path / "t.parquet", row_group_size=9)
    one = write(DATA.lists().select(["y"]), tmp_path / "one.csv")
    weights = write(DATA.lists().select(["w"]), tmp_path / "w.csv")
    for labels, more in (
        (table, ROLES),
        (one, {"weights": weights, "weight_column": "w", "group_by": DATA.g}),
        (tmp_path / "names.npy", {"classes": NAMES, "weights": DATA.w, "group_by": DATA.g}),
        (np.array(NAMES)[DATA.y].tolist(), {"classes": NAMES, "weights": DATA.w, "group_by": DATA.g}),
    ):
        assert figures(scoring.score(tmp_path / "x.npy", labels, chunk_rows=50, **more)) == EXPECTED


def test_large_arrow_files_are_read_in_parts(tmp_path, monkeypatch, chunk_rows):
    """Through places in the file: with nulls, strings, lists, dictionaries and batches at odd bits."""
    monkeypatch.setattr(_ipc, "_LARGE", 0)
    groups = [None if row % 7 == 3 else one for row, one in enumerate(DATA.g)]
    expected = figures(scoring.score(DATA.x, DATA.y, weights=DATA.w, group_by=groups))
    calls = []
    whole = _ipc._slice
    monkeypatch.setattr(_ipc, "_slice", lambda *args: calls.append(1) or whole(*args))
    for kind in ("fixed", "list", "large"):
        table = DATA.lists(kind)
        for g in (
            pa.array(groups),
            pa.array(groups).dictionary_encode(),
            pa.array(groups, pa.large_string()),
        ):
            path = write(table.set_column(4, "g", g), tmp_path / "t.arrow", rows=301)
            assert figures(scoring.score(path, chunk_rows=chunk_rows, **ROLES)) == expected
    assert len(calls) >= 18


@pytest.mark.parametrize("dtype", [pa.float16(), pa.float32(), pa.int32(), pa.uint8()])
def test_types_of_columns(tmp_path, dtype):
    x = np.round(DATA.x * 100).astype(dtype.to_pandas_dtype())
    expected = figures(scoring.score(x, DATA.y, from_logits=True))
    lists = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 4)
    wide = pa.table({**{f"p{k}": x[:, k] for k in range(4)}, "y": DATA.y})
    for name, table in {"a": pa.table({"p": lists, "y": DATA.y}), "b": wide}.items():
        path = write(table, tmp_path / f"{name}.arrow")
        result = scoring.score(path, columns="p*", label_column="y", from_logits=True)
        assert figures(result) == expected


def test_groups_of_every_kind(tmp_path):
    numbers = np.arange(500) % 3
    for name, column, first in (
        ("integers", pa.array(numbers), 0),
        ("booleans", pa.array(numbers == 1), False),
        ("dates", pa.array(numbers.astype("datetime64[D]")), "1970-01-01"),
        ("with null", pa.array([None if k == 0 else "x" for k in numbers]), None),
    ):
        path = write(DATA.lists().append_column("k", column), tmp_path / "t.parquet")
        result = scoring.score(path, columns="p", label_column="y", group_by="k")
        assert first in result.groups, name
        assert sum(one.rows for one in result.groups.values()) == 500


def test_no_rows(tmp_path):
    empty = DATA.lists().slice(0, 0), DATA.wide().slice(0, 0)
    for suffix in (".parquet", ".arrow", ".csv"):
        for k, table in enumerate(empty[1:] if suffix == ".csv" else empty):
            path = write(table, tmp_path / f"{k}{suffix}")
            result = scoring.score(path, columns="p*", **ROLES)
            assert (result.rows, result.classes, result.groups) == (0, 4, {})


# What does not fit


def one_row(**columns) -> dict:
    return {"p_a": [0.5], "p_b": [0.5], "y": [0], **columns}


@pytest.mark.parametrize(
    ("columns", "options", "words"),
    [
        (one_row(), {"label_column": "z"}, "no column 'z'; there are 'p_a', 'p_b', 'y'"),
        (one_row(), {"columns": "q_*"}, "no column fits 'q_\\*'"),
        (one_row(), {"columns": ["p_*", "p_a"]}, "named twice"),
        (one_row(), {"columns": ["p_a", "y_"]}, "no column 'y_'"),
        (one_row(), {"classes": ["a"]}, "classes must name 2 classes; got 1"),
        (one_row(y=[0.0]), {}, "column 'y': labels must be integers or names; got double"),
        (one_row(p_b=["x"]), {"columns": "p_*"}, "column 'p_b' must hold numbers; got string"),
        (one_row(y=["c"]), {"columns": "p_*"}, "row 0: label 'c' is no class \\('a', 'b'\\)"),
        (one_row(y=[2]), {}, "labels must lie in \\[0, 2\\); got 2 at row 0"),
        (one_row(y=pa.array([None], pa.int64())), {}, "row 0: column 'y' is null"),
        (one_row(p_b=pa.array([None], pa.float64())), {}, "row 0: column 'p_b' is null"),
        (one_row(p_b=[-0.5]), {}, "row 0 holds -0.5"),
        (one_row(w=[-1.0]), {"weight_column": "w"}, "weights must .*-1.0"),
        (one_row(w=[np.nan]), {"weight_column": "w"}, "weights must .*nan"),
        (one_row(w=["x"]), {"weight_column": "w"}, "weights must be numbers; got string"),
        (one_row(g=[0.5]), {"group_by": "g", "columns": "p_*"}, "groups must be integers, strings"),
        ({"p": [[0.5, 0.5], [1.0]], "y": [0, 0]}, {}, "row 1: column 'p' has 1 values where others have 2"),
        ({"p": [[0.5, 0.5], None], "y": [0, 0]}, {}, "row 1: column 'p' is null"),
        ({"p": [[0.5, 0.5], [None, 1.0]], "y": [0, 0]}, {}, "row 1: column 'p' holds a null"),
        ({"p": [["a"]], "y": [0]}, {"columns": "p"}, "column 'p' must hold numbers, or lists of them"),
        (
            {"p": pa.array([[]], pa.list_(pa.float64())), "y": [0]},
            {},
            "t.parquet: predictions must have at least one class",
        ),
        ({"p": pa.array([], pa.list_(pa.float64())), "y": pa.array([], pa.int64())}, {}, "how many classes"),
        ({"p": [[1.0]], "q": [[1.0]], "y": [0]}, {}, "say which column holds the predictions"),
        ({"x": ["a"], "y": [0]}, {}, "no column holds predictions"),
    ],
)
def test_tables_that_cannot_be_scored(tmp_path, columns, options, words):
    path = write(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(scoring.DataError, match=words) as caught:
        scoring.score(path, **{"label_column": "y", **options})
    assert str(path) in str(caught.value)


def test_files_of_a_folder_that_differ(tmp_path):
    write(DATA.wide(), tmp_path / "0.parquet")
    write(DATA.wide().drop_columns(["p_bee"]), tmp_path / "1.parquet")
    with pytest.raises(scoring.DataError, match=r"1\.parquet: there is no column 'p_bee'"):
        scoring.score(tmp_path, columns="p_*", **ROLES)
    write(DATA.wide().set_column(1, "p_bee", pa.array(DATA.x[:, 1].astype("f4"))), tmp_path / "1.parquet")
    with pytest.raises(scoring.DataError, match=r"1\.parquet: column 'p_bee' is float; .* it is double"):
        scoring.score(tmp_path, columns="p_*", **ROLES)
    (tmp_path / "1.parquet").rename(tmp_path / "1.txt")
    with pytest.raises(scoring.DataError, match=r"one format; there is 1\.txt"):
        scoring.score(tmp_path, columns="p_*", **ROLES)


def test_rows_that_do_not_match(tmp_path):
    path = write(DATA.lists(), tmp_path / "t.parquet")
    csv = write(DATA.lists().select(["y"]).slice(0, 400), tmp_path / "y.csv")
    with pytest.raises(scoring.DataError, match=r"y\.csv: has fewer rows than .*t\.parquet"):
        scoring.score(path, csv)
    write(pa.table({"y": [*DATA.y, 0]}), csv)
    with pytest.raises(scoring.DataError, match=r"y\.csv: has more rows than .*first of them is row 500"):
        scoring.score(path, csv)
    with pytest.raises(scoring.DataError, match=r"labels: labels must have shape \(500,\)"):
        scoring.score(path, DATA.y[1:])


def test_label_errors_name_the_file_and_row_of_the_label(tmp_path):
    """Not those of the predictions, where the two are cut into files in other ways."""
    for k in range(5):
        write(DATA.lists().slice(k * 100, 100), tmp_path / f"{k}.parquet")
    labels = DATA.y.copy()
    labels[321] = 9
    np.save(tmp_path / "y.npy", labels)
    folder = tmp_path / "p"
    folder.mkdir()
    for k in range(5):
        (tmp_path / f"{k}.parquet").rename(folder / f"{k}.parquet")
    with pytest.raises(scoring.LabelError, match=r"y\.npy: .*got 9 at row 321"):
        scoring.score(folder, tmp_path / "y.npy", columns="p")


# CSV, line by line


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0.5,0.5,x", "row 2: column 2: .*'x'"),
        ("0.5,oops,1", "row 2: column 1: .*'oops'"),
        ("0.5,1", "row 2: Expected 3 columns, got 2"),
        ("0.5,0.5,7", r"labels must lie in \[0, 2\); got 7 at row 2"),
        (",0.5,1", "row 2: column 'p0' is null"),
    ],
)
def test_bad_lines(tmp_path, line, words):
    path = tmp_path / "t.csv"
    good = "0.25,0.75,1\n0.5,0.5,0\n"
    path.write_text(f"p0,p1,y\n{good}{line}\n{good}")
    with pytest.raises(scoring.DataError, match=words) as caught:
        scoring.score(path, columns="p*", label_column="y")
    assert str(path) in str(caught.value)
    result = scoring.score(path, columns="p*", label_column="y", on_error="skip")
    assert (result.rows, result.skipped) == (4, 1)
    expected = scoring.score([[0.25, 0.75], [0.5, 0.5]] * 2, [1, 0] * 2)
    assert result.mean_loss == expected.mean_loss
    assert {row.row for row in result.worst} == {0, 1, 3, 4}


def test_csv_reads_numbers_as_python_does(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("p0,p1,y\n1e-1, .9 ,1\n+2.5E-1,0.75,0\nnan,1,0\n")
    for on_error in ("raise", "skip"):
        result = scoring.score(path, columns="p*", label_column="y", on_error=on_error)
        skipped = on_error == "skip"
        assert (result.rows, result.nan_rows, result.skipped) == (2 + (not skipped), not skipped, skipped)


@pytest.mark.parametrize("chunk", [None, 1])
def test_csv_group_that_is_text_among_integers(tmp_path, monkeypatch, chunk):
    """The row stops the run, or is left out and counted: it is in no group, nor in the one of those without a value."""
    monkeypatch.setattr(_csv, "_BLOCK", 40)  # the first has two rows, which decide what the column holds
    path = tmp_path / "t.csv"
    groups = ["1", "north", "", " 2", str(2**63 - 1), str(2**63), "1.5", "1"]
    path.write_text("p0,p1,y,g\n" + "".join(f"0.25,0.75,1,{group}\n" for group in ["7", *groups]))
    roles = {"columns": "p*", "label_column": "y", "group_by": "g"}
    result = scoring.score(path, on_error="skip", chunk_rows=chunk, **roles)
    assert (result.rows, result.skipped) == (6, 3)
    assert {key: one.rows for key, one in result.groups.items()} == {7: 1, 1: 2, None: 1, 2: 1, 2**63 - 1: 1}
    path.write_text("p0,p1,y,g\n0.25,0.75,1,7\n0.25,0.75,1,7\n0.25,0.75,1,north\n")
    with pytest.raises(scoring.DataError, match=r"t\.csv: row 2: column 3: .*north"):
        scoring.score(path, **roles)


def test_csv_columns_must_be_said_where_they_could_be_others(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,p0,p1,y\n1,0.5,0.5,1\n")
    with pytest.raises(scoring.DataError, match="say which columns hold the predictions"):
        scoring.score(path, label_column="y")


# Skipping


def test_skipped_rows_change_nothing_else(tmp_path, chunk_rows):
    x, y, w = DATA.x.copy(), DATA.y.copy(), DATA.w.copy()
    x[5, 2], x[6, 0], x[7] = -0.5, np.nan, 0.0
    y[100], w[200] = 4, np.inf
    bad = [5, 6, 7, 100, 200]
    result = scoring.score(x, y, weights=w, on_error="skip", chunk_rows=chunk_rows)
    good = np.delete(np.arange(500), bad)
    expected = scoring.score(x[good], y[good], weights=w[good])
    assert (result.skipped, result.rows) == (5, 495)
    numbers = [int(good[row.row]) for row in expected.worst]
    assert [row.row for row in result.worst] == numbers
    for name in ("mean_loss", "per_class", "calibration", "histogram", "confusion"):
        assert getattr(result, name) == getattr(expected, name)


def test_skipping_logits_keeps_minus_infinity():
    x = np.zeros((4, 3))
    x[0, 1], x[1, 1], x[2] = -np.inf, np.inf, -np.inf
    result = scoring.score(x, [0, 0, 0, 0], from_logits=True, on_error="skip")
    assert (result.rows, result.skipped, result.nan_rows) == (2, 2, 0)


def test_skipped_files(tmp_path):
    for k in range(3):
        write(
            DATA.lists().slice(k * 100, 100), tmp_path / f"{k}.parquet", row_group_size=10, compression="none"
        )
    broken = tmp_path / "1.parquet"
    data = broken.read_bytes()
    broken.write_bytes(data[:-9])
    with pytest.raises(scoring.DataError, match=re.escape(str(broken))):
        scoring.score(tmp_path, columns="p", **ROLES)
    with pytest.warns(scoring.SkippedFileWarning, match=re.escape(str(broken))):
        result = scoring.score(tmp_path, columns="p", on_error="skip", **ROLES)
    assert (result.rows, result.skipped) == (200, 0)
    begin, end = len(data) // 5, len(data) // 4
    broken.write_bytes(data[:begin] + b"\xff" * (end - begin) + data[end:])
    with pytest.raises(scoring.DataError, match=re.escape(str(broken))):
        scoring.score(tmp_path, columns="p", **ROLES)
    with pytest.warns(scoring.SkippedFileWarning, match="the rest from row"):
        result = scoring.score(tmp_path, columns="p", on_error="skip", **ROLES)
    assert result.rows + result.skipped == 300
    assert result.skipped > 0
    broken.unlink()
    (tmp_path / "0.parquet").write_bytes(b"")
    (tmp_path / "2.parquet").unlink()
    with pytest.raises(scoring.DataError, match=r"0\.parquet"):  # the only one
        scoring.score(tmp_path, columns="p", on_error="skip", **ROLES)


# Damage


SMALL = Data.random(60)
LISTS = {"columns": "p", "label_column": "y"}
WIDE = {"columns": "p_*", "label_column": "y"}


def source(folder: Path, name: str) -> tuple[Path, dict]:
    """A small file of a kind, and the options to score it with."""
    if name in ("npz", "deflated"):
        path = folder / "t.npz"
        (np.savez if name == "npz" else np.savez_compressed)(path, p=SMALL.x, y=SMALL.y)
        return path, LISTS
    if name == "csv":
        return write(SMALL.wide(), folder / "t.csv"), WIDE
    if name == "lz4":
        return write(SMALL.wide(encoded=True), folder / "z.arrow", rows=40, compression="lz4"), WIDE
    options = {"row_group_size": 40} if name == "parquet" else {"rows": 40}
    return write(SMALL.lists(), folder / f"t.{name}", **options), LISTS


@pytest.mark.parametrize("name", ["parquet", "arrow", "lz4", "npz", "deflated"])
def test_truncated_files(tmp_path, name):
    path, options = source(tmp_path, name)
    data = path.read_bytes()
    for size in (0, 1, 8, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(scoring.DataError) as caught:
            scoring.score(path, **options)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["parquet", "arrow", "csv", "npz"])
def test_missing_files(tmp_path, name):
    path, options = source(tmp_path, name)
    path.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        scoring.score(path, **options)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["npz", "deflated"])
def test_checksums_of_npz(tmp_path, name):
    path, options = source(tmp_path, name)
    with zipfile.ZipFile(path) as file:
        begin = file.getinfo("p.npy").header_offset + 200
    data = bytearray(path.read_bytes())
    data[begin + 200] ^= 1
    path.write_bytes(data)
    with pytest.raises(scoring.DataError, match=r"npz\[p\]: damaged"):
        scoring.score(path, **options)


def test_npz_that_is_none(tmp_path):
    path = tmp_path / "t.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "hello")
    with pytest.raises(scoring.DataError, match=r"no array 'p'; there are 'readme\.txt'"):
        scoring.score(path, [0], columns="p")
    with pytest.raises(scoring.DataError, match=r"readme\.txt\]: not a \.npy file"):
        scoring.score(path, [0], columns="readme.txt")
    np.savez(path, p=np.array([{}], object), y=DATA.y)
    with pytest.raises(scoring.DataError, match="Python objects, which are never loaded"):
        scoring.score(path, columns="p", label_column="y")


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # of pyarrow, of bad text in CSV
@pytest.mark.parametrize("name", ["parquet", "arrow", "lz4", "csv", "npz", "deflated"])
@examples(0.5)
@given(data=st.data())
def test_no_damage_gets_through(tmp_path_factory, name, data):
    """Any bytes changed: a result or a DataError, and nothing else."""
    folder = tmp_path_factory.getbasetemp() / f"damage-{name}"
    folder.mkdir(exist_ok=True)
    path, options = source(folder, name)
    good = path.read_bytes()
    at = data.draw(
        st.one_of(st.integers(0, len(good) - 1), st.integers(max(0, len(good) - 400), len(good) - 1))
    )
    some = data.draw(st.binary(min_size=1, max_size=4))
    path.write_bytes(good[:at] + some + good[at + len(some) :])
    for on_error in ("raise", "skip"):
        with contextlib.suppress(scoring.DataError):
            scoring.score(path, on_error=on_error, **options)


@pytest.mark.parametrize("name", ["parquet", "arrow", "csv", "npz"])
def test_files_that_change_while_they_are_read(tmp_path, name):
    path, options = source(tmp_path, name)

    def grow(done: int, total: int | None) -> None:
        with path.open("ab") as file:
            file.write(b" ")

    with pytest.raises(scoring.DataError, match="changed while it was read") as caught:
        scoring.score(path, progress=grow, **options)
    assert str(path) in str(caught.value)


def test_npy_that_grows_while_it_is_read(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, DATA.x)
    with pytest.raises(scoring.DataError, match=r"x\.npy: changed while it was read"):
        scoring.score(path, DATA.y, progress=lambda done, total: os.truncate(path, path.stat().st_size + 32))


def test_large_arrow_file_that_shrinks_while_it_is_read(tmp_path):
    """In a process of its own, which a map of the file would end."""
    code = """
import os, sys
import pyarrow as pa
from xent_native import scoring
from xent_native.scoring import _csv, _ipc
_ipc._LARGE = 0
try:
    scoring.score(sys.argv[1], columns="p", label_column="y", chunk_rows=1000,
                  progress=lambda done, total: os.truncate(sys.argv[1], 4096))
except scoring.DataError as error:
    print("told", error)
"""
    path = write(Data.random(20_000).lists(), tmp_path / "t.arrow")
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert (done.returncode, done.stdout[:4]) == (0, "told"), done.stderr


def test_without_pyarrow(tmp_path, monkeypatch):
    path = write(DATA.lists(), tmp_path / "t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'xent-native\[parquet\]'"):
        scoring.score(path, columns="p", label_column="y")


def test_pyarrow_is_imported_only_for_its_formats(tmp_path):
    np.save(tmp_path / "x.npy", DATA.x)
    np.savez(tmp_path / "y.npz", DATA.y)
    code = (
        "import sys; from xent_native import scoring; scoring.score(*sys.argv[1:]);"
        "print([name for name in sys.modules if name.startswith(('pyarrow', 'pandas'))])"
    )
    files = [tmp_path / "x.npy", tmp_path / "y.npz"]
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


MEASURED = """
import sys
from xent_native import scoring
result = scoring.score(sys.argv[1], *sys.argv[2:], columns=None if sys.argv[2:] else "p",
                       label_column=None if sys.argv[2:] else "y", from_logits=True)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(result.rows, int(peak.split()[1]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it alone says what was resident")
@pytest.mark.parametrize("suffix", [".npy", ".parquet", ".arrow"])
def test_memory_does_not_grow_with_the_file(tmp_path, suffix):
    """A file of 400 MB, in one record batch or row group, in less than 300 MB."""
    rows, classes = 100_000, 1000
    path, files = tmp_path / f"t{suffix}", []
    if suffix == ".npy":
        np.save(tmp_path / "y.npy", np.zeros(rows, np.int8))
        files = [tmp_path / "y.npy"]
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "<f4", "fortran_order": False, "shape": (rows, classes)}
            )
            file.truncate(file.tell() + rows * classes * 4)  # of zeros that take no room
    else:
        values = pa.array(np.zeros(rows * classes, np.float32))
        lists = pa.FixedSizeListArray.from_arrays(values, classes)
        options = {"row_group_size": rows, "use_dictionary": False} if suffix == ".parquet" else {}
        write(pa.table({"p": lists, "y": np.zeros(rows, np.int8)}), path, **options)
    done = subprocess.run([sys.executable, "-c", MEASURED, path, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found, megabytes = map(int, done.stdout.splitlines()[-1].split())
    assert found == rows
    assert megabytes < 300
