# SPDX-License-Identifier: BSD-3-Clause
"""Scores that stop and go on: the same bits as in one go, and states of other files or options are refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tables import ROLES, Data, figures, write

from xent_native import LossAccumulator, scoring
from xent_native.scoring import _resume

DATA = Data.random(1000)


class StoppedError(Exception):
    """What a caller's progress raises."""


def stop_at(rows: int):
    def progress(done: int, total: int | None) -> None:
        if done >= rows:
            raise StoppedError

    return progress


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    np.save(tmp_path / "x.npy", DATA.x)
    np.save(tmp_path / "y.npy", DATA.y)
    return tmp_path / "x.npy", tmp_path / "y.npy"


def stopped(state: Path, rows: int, *args, n_threads: int = 1, **options) -> dict:
    """Score until some rows are done; what the state says then. Several threads may have done more."""
    with pytest.raises(StoppedError):
        scoring.score(
            *args, state=state, chunk_rows=100, progress=stop_at(rows), n_threads=n_threads, **options
        )
    return json.loads(state.read_text())


def test_goes_on_where_it_stopped(tmp_path, files):
    state = tmp_path / "state.json"
    found = stopped(state, 400, *files)
    assert (found["rows"], found["complete"]) == (400, False)
    seen = []
    result = scoring.score(*files, state=state, chunk_rows=77, progress=lambda done, total: seen.append(done))
    assert result == scoring.score(*files)
    assert seen[0] == 477
    assert json.loads(state.read_text())["complete"]
    seen.clear()
    again = scoring.score(*files, state=state, progress=lambda done, total: seen.append(done))
    assert (again, seen) == (result, [])
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv", ".npz"])
@pytest.mark.parametrize("rows", [100, 500, 900])
def test_every_format_goes_on(tmp_path, suffix, rows):
    pytest.importorskip("pyarrow")
    path, options = tmp_path / f"t{suffix}", {"columns": "p", **ROLES}
    if suffix == ".npz":
        np.savez_compressed(path, p=DATA.x, y=DATA.y, w=DATA.w, g=np.array(DATA.g))
    else:
        path = tmp_path / "folder"
        path.mkdir()
        options["columns"] = "p_*"
        for k in range(4):
            more = {"row_group_size": 90} if suffix == ".parquet" else {"rows": 90}
            write(DATA.wide().slice(250 * k, 250), path / f"{k}{suffix}", **more)
    state = tmp_path / "state.json"
    assert stopped(state, rows, path, n_threads=3, **options)["rows"] >= rows
    result = scoring.score(path, state=state, **options)
    assert result == scoring.score(path, **options)
    assert result.groups


def test_skipped_lines_of_csv_are_counted_once(tmp_path):
    pytest.importorskip("pyarrow")
    lines = ["0.5,0.5,1", "0.25,0.75,0", "0.1,0.2", "x,0.5,0", "0.5,0.5,9"] * 50
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["p0,p1,y", *lines]))
    options = {"columns": "p*", "label_column": "y", "on_error": "skip"}
    whole = scoring.score(path, **options)
    assert (whole.rows, whole.skipped) == (100, 150)
    for rows in range(1, 12):
        state = tmp_path / f"{rows}.json"
        with pytest.raises(StoppedError):
            scoring.score(path, state=state, chunk_rows=3, progress=stop_at(rows), **options)
        assert scoring.score(path, state=state, **options) == whole


def test_a_run_that_is_killed(tmp_path, files):
    """SIGKILL, which leaves no time to write: the last state that was written is whole."""
    code = """
import sys, time
from xent_native import scoring
from xent_native.scoring import _resume
_resume._SECONDS = 0.0
scoring.score(sys.argv[1], sys.argv[2], state=sys.argv[3], chunk_rows=10,
              progress=lambda done, total: done >= 200 and (print(done, flush=True), time.sleep(0.02)))
"""
    state = tmp_path / "state.json"
    process = subprocess.Popen([sys.executable, "-c", code, *files, state], stdout=subprocess.PIPE)
    assert process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    found = json.loads(state.read_text())
    assert 200 <= found["rows"] < 1000
    assert scoring.score(*files, state=state) == scoring.score(*files)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_ctrl_c_leaves_a_state_that_goes_on(tmp_path, files, n_threads):
    state = tmp_path / "state.json"

    def interrupt(done: int, total: int | None) -> None:
        if done == 500:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        scoring.score(*files, state=state, chunk_rows=10, progress=interrupt, n_threads=n_threads)
    rows = json.loads(state.read_text())["rows"]
    assert rows == 500 if n_threads == 1 else 500 <= rows < 1000
    assert scoring.score(*files, state=state) == scoring.score(*files)


@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_ctrl_c_in_the_middle_of_entering_and_folding(tmp_path, files, monkeypatch, n_threads):
    """Neither is cut in two: the state has whole chunks, each once."""
    state, merge, add = tmp_path / "state.json", LossAccumulator._merge, LossAccumulator._add
    calls = {"merge": 0, "add": 0}

    def interrupting(name, call, at):
        def called(self, *arguments):
            calls[name] += 1
            if calls[name] == at:
                os.kill(os.getpid(), signal.SIGINT)
            call(self, *arguments)
            if calls[name] == at:
                os.kill(os.getpid(), signal.SIGINT)

        return called

    monkeypatch.setattr(LossAccumulator, "_merge", interrupting("merge", merge, 1))
    monkeypatch.setattr(LossAccumulator, "_add", interrupting("add", add, 20))
    monkeypatch.setattr(_resume, "_SECONDS", 0.0)
    stops = 0
    for _ in range(10):
        try:
            result = scoring.score(*files, state=state, chunk_rows=10, n_threads=n_threads)
        except KeyboardInterrupt:
            stops += 1
        else:
            break
    assert stops >= 1
    assert result == scoring.score(*files)


@pytest.mark.parametrize("n_threads", [1, 2, 8])
def test_an_error_loses_nothing(tmp_path, files, n_threads):
    """And it is the first one, whichever chunk was done first."""
    labels = DATA.y.copy()
    labels[[777, 800, 999]] = 9
    np.save(files[1], labels)
    state = tmp_path / "state.json"
    with pytest.raises(scoring.LabelError, match="row 777"):
        scoring.score(*files, state=state, chunk_rows=50, n_threads=n_threads)
    assert json.loads(state.read_text())["rows"] == 750
    result = scoring.score(*files, state=state, on_error="skip")
    assert result == scoring.score(*files, on_error="skip")
    assert result.skipped == 3


def test_arrays_have_an_identity(tmp_path):
    state = tmp_path / "state.json"
    stopped(state, 300, DATA.x, DATA.y, weights=DATA.w, group_by=DATA.g)
    result = scoring.score(DATA.x, DATA.y, weights=DATA.w, group_by=DATA.g, state=state)
    assert figures(result) == DATA.score()
    other = DATA.x.copy()
    other[999, 3] = np.nextafter(other[999, 3], 1)
    with pytest.raises(scoring.StateError, match="made of another predictions"):
        scoring.score(other, DATA.y, weights=DATA.w, group_by=DATA.g, state=state)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"from_logits": True}, "from_logits=False; now it is True"),
        ({"bins": 20}, "bins=15; now it is 20"),
        ({"top_k": [1]}, "top_k"),
        ({"ignore_class": 1}, "ignore_class"),
        ({"classes": ["a", "b", "c", "d"]}, "classes"),
        ({"weights": DATA.w}, "weights"),
    ],
)
def test_other_options_are_refused(tmp_path, files, options, words):
    state = tmp_path / "state.json"
    stopped(state, 300, *files)
    before = state.read_bytes()
    with pytest.raises(scoring.StateError, match=words) as caught:
        scoring.score(*files, state=state, **options)
    assert str(state) in str(caught.value)
    assert state.read_bytes() == before


def test_other_files_are_refused(tmp_path, files):
    state = tmp_path / "state.json"
    stopped(state, 300, *files)
    times = os.stat(files[0])
    np.save(files[0], np.vstack([DATA.x, DATA.x[:1]]))
    np.save(files[1], np.append(DATA.y, 0))
    with pytest.raises(scoring.StateError, match=r"x\.npy: its bytes"):
        scoring.score(*files, state=state)
    np.save(files[0], DATA.x)
    np.save(files[1], DATA.y)
    with pytest.raises(scoring.StateError, match=r"x\.npy: its time of change"):
        scoring.score(*files, state=state)
    np.save(files[0], DATA.x[::-1])
    os.utime(files[0], ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(scoring.StateError, match=r"x\.npy: its first bytes"):
        scoring.score(*files, state=state)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "", "no state"),
        (lambda text: text[: len(text) // 2], "no state"),
        (lambda text: "[" * 100_000, "no state"),
        (lambda text: "{}", "no state"),
        (lambda text: text.replace('"version": 1', '"version": 99', 1), "version 99"),
        (lambda text: text.replace('"rows": 300', '"rows": "300"', 1), "'rows' is no int"),
        (lambda text: text.replace('"rows": 300', '"rows": -1', 1), "'rows' is -1"),
        (lambda text: text.replace('"complete": false', '"complete": 0', 1), "'complete' is no bool"),
        (lambda text: text.replace('"mtime_ns"', '"mtime"', 1), "what it says of its files"),
        (
            lambda text: text.replace('"plain": {', '"plain": [{', 1).replace("}}", "}]}", 1),
            "no state|damaged",
        ),
        (lambda text: text.replace('"num_classes": 4', '"num_classes": null', 1), "damaged"),
    ],
)
def test_damaged_states(tmp_path, files, change, words):
    state = tmp_path / "state.json"
    stopped(state, 300, *files)
    state.write_text(change(state.read_text()))
    for call in (lambda: scoring.score(*files, state=state), lambda: scoring.merge([state], partial=True)):
        with pytest.raises(scoring.StateError, match=words) as caught:
            call()
        assert str(state) in str(caught.value)


def test_a_state_that_cannot_be_written(tmp_path, files):
    with pytest.raises(OSError, match="No such file"):
        scoring.score(*files, state=tmp_path / "none" / "state.json")


def test_states_are_replaced_as_a_whole(tmp_path, monkeypatch, files):
    """A crash while a state is written leaves the one before."""
    path = tmp_path / "state.json"
    scoring.score(*files, state=path)
    before, names = path.read_bytes(), sorted(tmp_path.iterdir())

    def crash(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xent_native._files.os.fsync", crash)
    with pytest.raises(OSError, match="No space"):
        scoring.merge([path], state=path)
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == names


# Merging


def parts(folder: Path, **options) -> list[Path]:
    """States of thirds of the rows."""
    made = []
    for k, rows in enumerate((slice(0, 300), slice(300, 310), slice(310, 1000))):
        np.save(folder / f"x{k}.npy", DATA.x[rows])
        made.append(folder / f"{k}.json")
        scoring.score(folder / f"x{k}.npy", DATA.y[rows], weights=DATA.w[rows], state=made[-1], **options)
    return made


def test_merged_states_are_one_run(tmp_path):
    expected = scoring.score(DATA.x, DATA.y, weights=DATA.w)
    states = parts(tmp_path)
    for order in (states, states[::-1]):
        result = scoring.merge(order, state=tmp_path / "all.json")
        for name in (
            "rows",
            "mean_loss",
            "standard_error",
            "per_class",
            "calibration",
            "histogram",
            "confusion",
        ):
            assert getattr(result, name) == getattr(expected, name)
        assert [row.loss for row in result.worst] == [row.loss for row in expected.worst]
    assert scoring.merge([tmp_path / "all.json"]) == result
    two = scoring.merge(states[:2], state=tmp_path / "two.json")
    assert two.rows == 310
    assert scoring.merge([states[2], tmp_path / "two.json"]) == result
    alone = tmp_path / "alone.json"
    accumulator = scoring.LossAccumulator()
    accumulator.update(DATA.y[:300], DATA.x[:300], DATA.w[:300], source=str(tmp_path / "x0.npy"))
    alone.write_text(json.dumps(accumulator.to_dict()))
    assert scoring.merge([alone, *states[1:]]) == result


def test_rows_do_not_count_twice(tmp_path):
    states = parts(tmp_path)
    with pytest.raises(scoring.StateError, match=r"x1\.npy, which another state holds"):
        scoring.merge([states[0], states[1], states[1]])
    scoring.merge(states[:2], state=tmp_path / "two.json")
    with pytest.raises(scoring.StateError, match="another state holds"):
        scoring.merge([tmp_path / "two.json", states[0]])


def test_states_that_cannot_be_merged(tmp_path, files):
    states = parts(tmp_path)
    other = tmp_path / "other.json"
    scoring.score(*files, bins=7, state=other)
    with pytest.raises(scoring.StateError, match=r"other\.json: does not go with .*0\.json: .*bins"):
        scoring.merge([states[0], other])
    part = tmp_path / "part.json"
    stopped(part, 300, *files)
    with pytest.raises(scoring.StateError, match=r"part\.json: stopped after 300 rows"):
        scoring.merge([part])
    assert scoring.merge([part], partial=True).rows == 300
    with pytest.raises(scoring.StateError, match="at least one"):
        scoring.merge([])
    with pytest.raises(FileNotFoundError):
        scoring.merge([tmp_path / "none.json"])
