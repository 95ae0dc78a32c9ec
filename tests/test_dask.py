# SPDX-License-Identifier: BSD-3-Clause
"""Scoring on Dask: the bits of one machine for any partitions and scheduler, also when a worker is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from xent_native import LossAccumulator, scoring
from xent_native.dask import _merged, accumulate, score
from xent_native.scoring import DataError, LabelError

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

ROWS, CLASSES = 1000, 7
SEASONS = ("spring", "summer", "autumn", "winter")


def case(rows: int = ROWS, classes: int = CLASSES, seed: int = 0):
    """Logits, labels, weights and groups."""
    g = np.random.default_rng(seed)
    x = g.normal(scale=3, size=(rows, classes)).astype(np.float32)
    return x, g.integers(0, classes, rows), g.random(rows), np.array(SEASONS)[g.integers(0, 4, rows)]


def alone(x, y, w=None, groups=None, **options) -> str:
    """What one machine says, with all bits and NaN: the text of a float is exact."""
    return repr(scoring.score(x, y, weights=w, group_by=groups, from_logits=True, **options))


@pytest.mark.parametrize("chunks", [(ROWS, CLASSES), (40, 3), ((1, 0, 998, 1), (2, 5))], ids=str)
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_any_partitioning_gives_the_same_bits(chunks, scheduler):
    x, y, w, g = case()
    found = score(
        da.from_array(x, chunks=chunks),
        da.from_array(y, chunks=101),
        da.from_array(w, chunks=300),
        group_by=da.from_array(g, chunks=-1),
        from_logits=True,
        classwise=True,
        scheduler=scheduler,
    )
    assert repr(found) == alone(x, y, w, g, classwise=True)
    assert set(found.groups) == set(SEASONS)


def test_processes():
    x, y, _, _ = case()
    found = score(
        da.from_array(x, chunks=(300, 7)),
        da.from_array(y, chunks=300),
        from_logits=True,
        scheduler="processes",
    )
    assert repr(found) == alone(x, y)


def test_options_and_columns_in_memory():
    x, y, w, g = case()
    options = {"ignore_class": 3, "top_k": (1, 2), "bins": 4, "worst": 3, "max_confusion": 5}
    found = score(
        da.from_array(x, chunks=(100, 7)), y[:, None], w.tolist(), group_by=g, from_logits=True, **options
    )
    assert repr(found) == alone(x, y, w, g, **options)
    assert (found.ignored, len(found.worst), found.confusion, list(found.top_k)) == (
        (y == 3).sum(),
        3,
        None,
        [1, 2],
    )


def test_nan_rows_are_those_of_one_machine():
    x, y, _, _ = case()
    x[[7, 500]] = np.nan
    found = score(da.from_array(x, chunks=(100, 7)), da.from_array(y, chunks=100), from_logits=True)
    assert (found.nan_rows, found.first_nan_row) == (2, 7)
    assert repr(found) == alone(x, y)


def unknown(array):
    """The same array, whose chunks have forgotten their lengths."""
    return array[da.ones(len(array), chunks=array.chunks[0], dtype=bool)]


def test_chunks_of_unknown_length_are_named():
    x, y, _, _ = case(100)
    parts = unknown(da.from_array(x, chunks=(40, 7))), unknown(da.from_array(y, chunks=40))
    found = score(*parts, from_logits=True, worst=1)
    (worst,) = score(da.from_array(x, chunks=40), y, from_logits=True, worst=1).worst
    assert (worst.source, found.worst[0].source) == ("predictions", f"partition {worst.row // 40}")
    assert found.worst[0].row == worst.row % 40
    assert alone(x, y, worst=0) == repr(score(*parts, from_logits=True, worst=0))


def test_errors_say_where():
    x, y, _, _ = case(100)
    y[77] = 9
    parts = da.from_array(x, chunks=(40, 7)), da.from_array(y, chunks=40)
    with pytest.raises(LabelError, match=r"labels: .* got 9 at row 77$"):
        score(*parts, from_logits=True)
    with pytest.raises(LabelError, match=r"partition 1: labels: .* got 9 at row 37$"):
        score(*map(unknown, parts), from_logits=True)
    y[77] = 0
    with pytest.raises(DataError, match=r"predictions: row (0|40|80) holds -.*from_logits=True"):
        score(parts[0], da.from_array(y, chunks=40))


@pytest.mark.parametrize(
    ("predictions", "labels", "error", "text"),
    [
        (np.zeros((3, 2)), [0, 1, 0], TypeError, r"(?s)predictions must be a dask array.*scoring\.score"),
        (da.zeros(3), [0, 1, 0], DataError, r"predictions must have shape \(rows, classes\); got \(3,\)"),
        (da.zeros((3, 2)), [0, 1], DataError, r"labels must have shape \(3,\).*got \(2,\)"),
        (da.zeros((3, 2)), np.zeros((3, 2), int), DataError, r"labels must have shape \(3,\).*got \(3, 2\)"),
        (unknown(da.zeros((3, 2), chunks=1)), [0, 1, 0], DataError, "labels must be a dask array"),
        (
            unknown(da.zeros((3, 2), chunks=1)), unknown(da.zeros(3, chunks=2, dtype=int)), DataError,
            "labels must have the chunks .* 3 of them; got 2",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_at_once(predictions, labels, error, text):
    with pytest.raises(error, match=text):
        accumulate(predictions, labels)


def test_options_are_checked_before_anything_runs():
    with pytest.raises(ValueError, match="bins must be an integer"):
        accumulate(da.zeros((3, 2)), [0, 1, 0], bins=0)
    with pytest.raises(ValueError, match="n_threads"):
        accumulate(da.zeros((3, 2)), [0, 1, 0], n_threads=0)


def test_a_tree_merges_eight_states_at_a_time():
    graph = dict(accumulate(da.zeros((1000, 2), chunks=(1, 2)), np.zeros(1000, int)).__dask_graph__())
    keys = {key for key in graph if str(key[0]).startswith("score-rows-")}
    assert len(keys) == 1000
    merges = {key: value for key, value in graph.items() if str(key[0]).startswith("merge-scores-")}
    assert len(merges) == 125 + 16 + 2 + 1
    assert max(len(parts) for _, parts in merges.values()) == 8


def test_states_that_are_merged_stay_what_they_are():
    """Dask may hand them out once more, to a task that is computed again."""
    x, y, _, _ = case(20)
    parts = [LossAccumulator(from_logits=True) for _ in range(2)]
    for part, rows in zip(parts, (slice(0, 10), slice(10, 20)), strict=True):
        part.update(y[rows], x[rows])
    before = [part.copy() for part in parts]
    assert _merged(parts) == _merged(parts) != parts[0]
    assert parts == before


@pytest.mark.parametrize("role", [0, 1, 2])
def test_arrays_that_lie_anywhere(role):
    """A wire gives memory at any address."""
    x, y, w, _ = case(20)
    arrays = [x, y, w]
    memory = np.empty(arrays[role].nbytes + 1, np.uint8)[1:]
    memory[:] = arrays[role].reshape(-1).view(np.uint8)
    arrays[role] = memory.view(arrays[role].dtype).reshape(arrays[role].shape)
    assert not arrays[role].flags.aligned
    assert alone(*arrays) == alone(x, y, w)


def test_what_is_shared_is_computed_once(tmp_path):
    def load(block_id=None):
        (tmp_path / f"{block_id[0]}-{os.urandom(8).hex()}").touch()
        return np.hstack([np.eye(3), np.arange(3)[:, None]])

    whole = da.map_blocks(load, chunks=((3,) * 4, (4,)), dtype=float, meta=np.empty((0, 0)))
    assert score(whole[:, :3], whole[:, 3].astype(int), scheduler="threads").accuracy == 1
    assert len(list(tmp_path.iterdir())) == 4


THREADS = """
import os, sys
import dask.array as da
import numpy as np
from xent_native.dask import score

x = da.from_array(np.ones((40_000, 100), np.float32), chunks=(10_000, 100))
for options in ({}, {"n_threads": 6}):
    score(x, np.zeros(40_000, int), scheduler="synchronous", **options)
    print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")
def test_tasks_start_no_threads_of_their_own():
    """On an interpreter of its own, whose threads are all ours."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "XENT_"))}
    environment["OPENBLAS_NUM_THREADS"] = "1"
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(THREADS)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    by_default, asked = map(int, run.stdout.split())
    assert by_default == 1
    assert asked > 1


@pytest.mark.filterwarnings("ignore")  # of what dies with its worker
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_worker_changes_nothing(tmp_path):
    """A worker ends in the middle of a task, and takes the states with it that it had computed."""
    distributed = pytest.importorskip("distributed")
    x, y, w, _ = case(2000)

    def deadly(block, block_info=None):
        at = block_info[0]["chunk-location"][0]
        (tmp_path / f"{at}-{os.urandom(8).hex()}").touch()
        if at == 20 and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return block

    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    )
    with cluster, distributed.Client(cluster):
        parts = da.from_array(x, chunks=(50, 7)).map_blocks(deadly, dtype=x.dtype)
        found = score(parts, da.from_array(y, chunks=50), da.from_array(w, chunks=50), from_logits=True)
    assert (tmp_path / "killed").exists()
    assert len(list(tmp_path.glob("20-*"))) == 2
    assert repr(found) == alone(x, y, w)


def test_without_dask_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(ModuleNotFoundError, match=r"xent-native\[dask\]"):
        score(np.zeros((1, 2)), [0])
