# SPDX-License-Identifier: BSD-3-Clause
"""The part of the benchmark that scores files: what it makes, reads, checks and leaves behind.

Nothing here depends on how long anything takes.
"""

import shutil
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

# At the end: in front, the sources of xent_native would hide the installed package.
sys.path.append(str(Path(__file__).parents[1]))

from bench import timing
from bench.limits import scoring, targets
from bench.limits.session import Session


@pytest.fixture
def session():
    """One with small files, of which the part needs no roofline."""
    plan = timing.Plan(3, 0.05, 0.0)
    return Session(None, plan, 0.05, 0.5, 1, ["baseline"], [], True, lambda text: None)


@pytest.fixture
def best_isa():
    """The instruction set as it was."""
    import xent_native

    before = xent_native.isa()
    yield
    xent_native.set_isa(before)


def write(kind: str, folder: Path, megabytes: float, classes: int) -> scoring.Files:
    if kind == "parquet":
        pytest.importorskip("pyarrow")
        return scoring.write_parquet(folder, megabytes, classes)
    return scoring.write_npy(folder, megabytes, classes)


@pytest.mark.parametrize("kind", ["npy", "parquet"])
@pytest.mark.parametrize(("megabytes", "classes"), [(0.05, 10), (0.05, 1000), (25, 1000)])
def test_files_have_their_size_and_are_scored_right(kind, megabytes, classes, tmp_path):
    files = write(kind, tmp_path, megabytes, classes)
    size = files.predictions.stat().st_size
    # Whole blocks of at most 8.4 MB; Parquet squeezes what repeats, and has an end of its own.
    assert size == pytest.approx(megabytes * 1e6, abs=4.5e6 if megabytes > 1 else 5000)
    assert files.rows == pytest.approx(megabytes * 1e6 / (4 * classes), rel=0.2)
    assert scoring.scored(files, 1)() == ""
    assert scoring.scored(files, 1, top_k=())() == ""


def test_plain_reads_read_everything(tmp_path):
    files = write("npy", tmp_path, 25, 1000)
    every = files.predictions.stat().st_size + files.labels.stat().st_size
    assert every > 2 * scoring.CHUNK
    assert scoring.plain_read(files)() == every
    table = write("parquet", tmp_path, 25, 1000)
    assert [read() for read in scoring.arrow_reads(table)] == [table.rows] * 2


@pytest.mark.parametrize(
    ("change", "words"),
    [({"rows": 13}, "scored 12 of 13 rows"), ({"mean_loss": 1.0}, "the mean loss is off by")],
)
def test_a_wrong_score_has_no_figure(change, words, tmp_path, session):
    files = replace(write("npy", tmp_path, 0.05, 1000), **change)
    ((samples, remark),) = scoring.beside(session, files, lambda: None, [scoring.scored(files, 1)])
    assert samples == []
    assert words in remark


def test_ratios_are_of_the_plain_time_over_our_own(session, monkeypatch, tmp_path):
    """A clock that moves by what each call says it takes."""
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def takes(seconds):
        def call():
            now[0] += seconds
            return ""

        return call

    files = write("npy", tmp_path, 25, 1000)  # beside its labels of 50 KB
    found = scoring.beside(session, files, takes(0.01), [takes(0.02), takes(0.005)])
    assert [remark for _, remark in found] == ["read at 2.5 GB/s"] * 2
    assert [samples for samples, _ in found] == [pytest.approx([0.5] * 3), pytest.approx([2.0] * 3)]


def test_the_peak_is_that_of_a_process_of_its_own(tmp_path, session):
    files = write("npy", tmp_path, 25, 1000)
    held = np.ones(320_000_000, np.uint8)  # of this process, not of that one
    line = scoring.peak(files, session, "memory")
    assert held[-1] == 1
    assert 10 < line.figure < targets.SCORING_MEMORY
    assert line.verdict == "pass"
    line = scoring.peak(replace(files, rows=1), session, "memory")
    assert (line.figure, line.remark) == (None, f"scored {files.rows} of 1 rows")


def test_nothing_stays_behind(session, tmp_path, monkeypatch, best_isa):
    monkeypatch.setattr(scoring.tempfile, "tempdir", str(tmp_path))
    lines = list(scoring.scoring(session))
    assert len(lines) == 8
    assert list(tmp_path.iterdir()) == []
    for line in lines:
        assert line.figure is not None or line.remark == "pyarrow is not installed"
        if "over that of reading" in line.section:
            assert (line.target, line.at_least) == (targets.SCORING_TIME, False)


@pytest.mark.parametrize("why", ["no room", "no pyarrow"])
def test_what_cannot_be_made_says_why(why, session, monkeypatch, best_isa):
    if why == "no room":
        usage = namedtuple("usage", "free")
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(1.4 * session.file_megabytes * 1e6))
    else:
        monkeypatch.setattr(scoring.importlib.util, "find_spec", lambda name: None)
    lines = list(scoring.scoring(session))
    missing = [line for line in lines if line.figure is None]
    if why == "no room":
        assert len(missing) == len(lines) == 8
        assert all("has 1 MB left: set TMPDIR" in line.remark for line in lines)
    else:
        assert [line.remark for line in missing] == ["pyarrow is not installed"] * 2
