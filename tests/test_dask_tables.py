# SPDX-License-Identifier: BSD-3-Clause
"""Dask dataframes and files of predictions: the figures of one machine, for any partitions and row groups."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from xent_native import scoring
from xent_native.dask import accumulate, score

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
dd = pytest.importorskip("dask.dataframe")

CATS = ("cat", "dog", "emu")
ROWS = 500


def table(seed: int = 0, rows: int = ROWS):
    """One column a class, labels as numbers and as names, weights, groups, and a column that nobody needs."""
    g = np.random.default_rng(seed)
    p = g.dirichlet(np.ones(3), rows).astype(np.float32)
    y = g.integers(0, 3, rows)
    return pa.table(
        {
            **{f"p_{name}": p[:, k] for k, name in enumerate(CATS)},
            "list": pa.FixedSizeListArray.from_arrays(pa.array(p.reshape(-1)), 3),
            "label": y,
            "name": pa.array(CATS).take(pa.array(y)),
            "weight": g.random(rows),
            "site": pa.array(["north", "south"]).take(pa.array(g.integers(0, 2, rows))),
            "text": ["x"] * rows,
        }
    )


CALLS = {
    "columns": ("label", {"columns": "p_*"}),
    "list": ("label", {"columns": "list"}),
    "names": ("name", {"columns": [f"p_{name}" for name in CATS], "classes": CATS}),
    "weights": ("label", {"columns": "p_*", "weights": "weight", "group_by": "site", "top_k": (1, 2)}),
}


def write(folder, table, files: int = 3, row_group_size: int = 64):
    from pyarrow import parquet

    each = -(-len(table) // files)
    for i in range(files):
        parquet.write_table(
            table.slice(i * each, each), folder / f"part-{i}.parquet", row_group_size=row_group_size
        )
    return folder


def single(path, labels, options):
    """The same call on one machine, whose arguments have other names."""
    options = {{"weights": "weight_column"}.get(name, name): value for name, value in options.items()}
    return scoring.score(path, label_column=labels, **options)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("row_group_size", [1000, 64, 7])
def test_parquet_has_the_bits_of_one_machine(tmp_path, call, row_group_size):
    labels, options = CALLS[call]
    folder = write(tmp_path, table(), row_group_size=row_group_size)
    weights = {name: options[name] for name in options if name != "weights"}
    found = score(str(folder), labels, options.get("weights"), **weights, scheduler="threads")
    assert repr(found) == repr(single(folder, labels, options))
    assert {one.source for one in found.worst} <= {str(path) for path in folder.iterdir()}


def test_a_pattern_and_a_list_name_files(tmp_path):
    folder = write(tmp_path, table())
    paths = sorted(folder.iterdir())
    whole = score(folder, "label", columns="p_*")
    assert repr(score(str(folder / "part-*.parquet"), "label", columns="p_*")) == repr(whole)
    assert repr(score([paths[2], str(paths[0]), paths[1]], "label", columns="p_*")) == repr(whole)
    with pytest.raises(FileNotFoundError, match="no file fits"):
        score(str(folder / "no-*.parquet"), "label")


def test_row_groups_are_tasks(tmp_path):
    graph = dict(
        accumulate(write(tmp_path, table(), row_group_size=50), "label", columns="p_*").__dask_graph__()
    )
    assert sum(str(key[0]).startswith("score-rows-") for key in graph) == 3 * 4


@pytest.mark.parametrize("ending", ["csv", "arrow"])
def test_other_formats_are_a_task_a_file(tmp_path, ending):
    from pyarrow import csv, feather

    whole = table().drop_columns(["list"])
    for i in range(2):
        part = whole.slice(i * 250, 250)
        path = tmp_path / f"{i}.{ending}"
        csv.write_csv(part, path) if ending == "csv" else feather.write_feather(part, path)
    assert repr(score(tmp_path, "label", columns="p_*")) == repr(
        single(tmp_path, "label", {"columns": "p_*"})
    )


def places_aside(result):
    """All figures but the places of rows, which are those of partitions."""
    worst = [(one.label, one.predicted, one.loss, one.confidence) for one in result.worst]
    groups = {name: places_aside(one) for name, one in result.groups.items()}
    return repr((dataclasses.replace(result, worst=(), groups={}), sorted(worst), groups))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("partitions", [1, 7])
def test_dataframes_have_the_bits_of_one_machine(tmp_path, call, partitions):
    labels, options = CALLS[call]
    whole = table()
    folder = write(tmp_path, whole, files=1)
    if call == "list":  # Dask makes strings of lists unless they are Arrow's
        frame = whole.to_pandas(types_mapper=pd.ArrowDtype)
    else:
        frame = whole.drop_columns(["list"]).to_pandas()
    others = {name: options[name] for name in options if name != "weights"}
    parts = dd.from_pandas(frame, npartitions=partitions)
    found = score(parts, labels, options.get("weights"), **others, scheduler="synchronous")
    assert places_aside(found) == places_aside(single(folder, labels, options))
    assert all(one.source.startswith("partition ") for one in found.worst)


def test_partitions_without_rows():
    frame = table().to_pandas().drop(columns=["list"])
    parts = dd.from_map(lambda i: frame.iloc[i * 250 : (i + 1) * 250], range(4), meta=frame.iloc[:0])
    assert score(parts, "label", columns="p_*").rows == ROWS


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # that Dask uses
def test_dataframes_read_the_columns_that_are_needed(tmp_path):
    read = dd.read_parquet(write(tmp_path, table().drop_columns(["list"])))
    asked = []

    def noted(part):
        asked.append(list(part.columns))
        return part

    with pytest.MonkeyPatch.context() as patch:
        from xent_native import _dask_parts

        whole = _dask_parts._score_frame
        patch.setattr(_dask_parts, "_score_frame", lambda *args: whole(*args[:3], noted(args[3])))
        score(read, "label", columns=[f"p_{name}" for name in CATS], scheduler="synchronous")
    assert asked == [["p_cat", "p_dog", "p_emu", "label"]] * 3


def test_errors_name_file_and_row(tmp_path):
    bad = table().to_pandas().drop(columns=["list"])
    bad.loc[450, "label"] = 7
    write(tmp_path, pa.Table.from_pandas(bad))
    with pytest.raises(scoring.LabelError, match=r"part-2\.parquet: labels .* got 7 at row 116"):
        score(tmp_path, "label", columns="p_*")
    with pytest.raises(scoring.LabelError, match=r"partition 1: labels .* got 7 at row 200"):
        score(dd.from_pandas(bad, npartitions=2), "label", columns="p_*")
    bad["name"] = "gnu"
    with pytest.raises(scoring.DataError, match=r"partition 0: row 0: label 'gnu' is no class"):
        score(dd.from_pandas(bad, npartitions=1), "name", columns="p_*")


@pytest.mark.parametrize(
    ("labels", "options", "error", "text"),
    [
        ("none", {}, scoring.DataError, "labels: there is no column 'none'"),
        ("label", {"group_by": "none"}, scoring.DataError, "group_by: there is no column 'none'"),
        ("label", {"columns": ["p_cat", "none"]}, scoring.DataError, "columns: there is no column 'none'"),
        ([0, 1], {}, TypeError, "labels must be the name of a column"),
    ],
)
def test_columns_that_are_not_there(labels, options, error, text):
    frame = dd.from_pandas(table().to_pandas().drop(columns=["list"]), npartitions=2)
    with pytest.raises(error, match=text):
        accumulate(frame, labels, **options)


def test_damaged_files(tmp_path):
    path = write(tmp_path, table()) / "part-1.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(scoring.DataError, match=r"part-1\.parquet: damaged"):
        score(tmp_path, "label", columns="p_*")
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    with pytest.raises(scoring.DataError, match=r"x\.npy: must be Parquet, Arrow or CSV"):
        score(tmp_path / "x.npy", "label")
