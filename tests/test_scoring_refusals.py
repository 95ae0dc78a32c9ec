# SPDX-License-Identifier: BSD-3-Clause
"""What scoring refuses, because its result would be another than the caller thinks."""

from __future__ import annotations

import copy
import json
import os
import shutil

import numpy as np
import pytest

from xent_native import LossAccumulator, cli, scoring

RNG = np.random.default_rng(7)
X = RNG.random((60, 3)).astype(np.float32)
Y = RNG.integers(0, 3, 60)


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    return tmp_path


def table(path, names):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({**{name: X[:, k] for k, name in enumerate(names)}, "label": Y}), path)


@pytest.mark.parametrize("classes", [None, ["c", "b", "a"]])
def test_states_of_other_classes_do_not_merge(tmp_path, classes):
    """Also where the order of the columns alone makes the difference."""
    table(tmp_path / "1.parquet", "abc")
    table(tmp_path / "2.parquet", "cba")
    states = [tmp_path / "1.json", tmp_path / "2.json"]
    for k, state in enumerate(states):
        wanted = list("abc") if classes and k == 0 else classes
        scoring.score(
            tmp_path / f"{k + 1}.parquet", label_column="label", columns=wanted, classes=wanted, state=state
        )
    with pytest.raises(scoring.StateError, match=r"was made with (classes|columns)="):
        scoring.merge(states)


def test_one_file_by_two_names_does_not_merge(folder):
    shutil.copy2(folder / "x.npy", folder / "copy.npy")
    for k, name in enumerate(("x.npy", "copy.npy")):
        scoring.score(folder / name, folder / "y.npy", state=folder / f"{k}.json")
    with pytest.raises(scoring.StateError, match="which another state holds"):
        scoring.merge([folder / "0.json", folder / "1.json"])


@pytest.mark.parametrize("more", [{"weights": "y.npy"}, {"group_by": "y.npy"}])
def test_a_state_knows_what_each_file_is_for(folder, more):
    files = folder / "x.npy", folder / "y.npy"
    scoring.score(*files, state=folder / "state.json")
    with pytest.raises(scoring.StateError, match=f"was made with {next(iter(more))}=None"):
        scoring.score(
            *files, state=folder / "state.json", **{key: folder / name for key, name in more.items()}
        )


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no such device here")
@pytest.mark.parametrize("path", ["/dev/zero", "/dev/full"])
def test_a_state_is_a_regular_file(folder, path):
    with pytest.raises(scoring.StateError, match="no regular file"):
        scoring.score(folder / "x.npy", folder / "y.npy", state=path)
    with pytest.raises(scoring.StateError, match="no regular file"):
        scoring.merge([path])


@pytest.mark.parametrize(
    "options",
    [
        ["--report", "x.npy"],
        ["--report", "y.npy"],
        ["--state", "a.json", "--report", "a.json"],
        ["--state", "x.npy"],
    ],
)
def test_outputs_take_no_place_of_others(folder, options, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = {name: (folder / name).read_bytes() for name in ("x.npy", "y.npy")}
    assert cli.main(["score", "x.npy", "y.npy", *options]) == 2
    assert "too" in capsys.readouterr().err
    assert before == {name: (folder / name).read_bytes() for name in before}
    assert sorted(os.listdir(folder)) == ["x.npy", "y.npy"]


def test_a_temperature_of_what_overflows():
    with pytest.raises(scoring.DataError, match="rows from 0: logits or weights are too large"):
        scoring.fit_temperature(X.astype(np.float64) * 1e200, Y, from_logits=True)


def test_states_without_their_rows():
    one = LossAccumulator()
    one.update(Y, X)
    for damage in ({"plain": None}, {"plain": {}}, {"ignored": 3}, {"seen": {"": 59}}):
        state = {**copy.deepcopy(one.to_dict()), **damage}
        with pytest.raises(ValueError, match="rows"):
            LossAccumulator.from_dict(json.loads(json.dumps(state)))


def test_groups_that_json_cannot_hold():
    one = LossAccumulator()
    with pytest.raises(TypeError, match="groups must hold integers"):
        one.update(Y[:1], X[:1], groups=[10**5000])
    assert one == LossAccumulator()


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        (np.array(["a", "b", "d"])[Y], {"classes": ["a", "b", "c"]}),
        (Y, {"bins": np.float64(1.5)}),
        (Y, {"on_error": np.str_("never")}),
        (Y, {"ignore_class": np.float32(0.5)}),
        (Y, {"weights": np.float32(X[:, 0] - 2)}),
        (Y - np.int8(1), {}),
    ],
)
def test_errors_show_values_without_their_numpy_type(labels, options):
    with pytest.raises((TypeError, ValueError)) as caught:
        scoring.score(X, labels, **options)
    assert "np." not in str(caught.value)
