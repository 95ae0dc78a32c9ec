# SPDX-License-Identifier: BSD-3-Clause
"""The command's options for files: tables, groups, states, limits, reports, calibration, and the line of progress."""

from __future__ import annotations

import io
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from tables import NAMES, Data, write

from xent_native import cli, scoring
from xent_native.cli import _terminal

DIGITS = Path(__file__).parent / "data" / "digits"
FILES = [str(DIGITS / "logits.npy"), str(DIGITS / "labels.npy"), "--from-logits"]
DATA = Data.random(300)


@pytest.fixture
def output(capsys):
    """A function that runs the command and returns its exit code, stdout and stderr."""

    def run(*arguments) -> tuple[int, str, str]:
        code = cli.main([str(one) for one in arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def reports(monkeypatch) -> list:
    """What write_html of a report that writes nothing was called with."""
    calls: list = []
    module = types.ModuleType("xent_native.report")
    module.write_html = lambda result, path, *, title, before=None: calls.append(
        (result, path, title, before)
    )
    monkeypatch.setitem(sys.modules, "xent_native.report", module)
    monkeypatch.setattr("xent_native.report", module, raising=False)
    return calls


def test_every_option_reaches_its_parameter(tmp_path, output):
    pytest.importorskip("pyarrow")
    path = write(DATA.wide(), tmp_path / "t.parquet")
    code, out, err = output(
        "score", path, "--columns", "p_*", "--label-column", "y", "--weight-column", "w", "--group-by", "g",
        "--top-k", "1,2", "--bins", "7", "--worst", "3", "--classwise", "--max-confusion", "2",
        "--classes", ",".join(NAMES), "--json",
    )  # fmt: skip
    expected = scoring.score(
        path, columns="p_*", label_column="y", weight_column="w", group_by="g", top_k=(1, 2), bins=7, worst=3,
        classwise=True, max_confusion=2, classes=NAMES,
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads(json.dumps(expected.to_dict()))
    assert len(expected.calibration.equal_width) == 7


def test_groups_and_worst_rows_in_the_table(tmp_path, output):
    np.save(tmp_path / "g.npy", np.arange(1797) % 2 == 0)
    code, out, _ = output("score", *FILES, "--group-by", tmp_path / "g.npy", "--worst", "2")
    assert code == 0
    result = scoring.score(*FILES[:2], from_logits=True, group_by=np.arange(1797) % 2 == 0)
    for key, one in result.groups.items():
        assert f"{key!s:<5} {one.rows:>10} {one.mean_loss:>12.6g}" in out
    rows = [line for line in out.splitlines() if line.startswith("row ")]
    assert [f"row {row.row} of {FILES[0]}: loss {row.loss:.6g}" for row in result.worst[:2]] == [
        line.partition(",")[0] for line in rows
    ]
    assert "worst rows" not in output("score", *FILES)[1]


def test_fail_above(output):
    loss = scoring.score(*FILES[:2], from_logits=True).mean_loss
    assert output("score", *FILES, "--fail-above", loss)[0] == 0
    code, out, err = output("score", *FILES, "--fail-above", np.nextafter(loss, 0))
    assert code == 3
    assert "rows" in out  # the result is printed all the same
    assert "the mean loss is" in err


def test_fail_above_with_nan(tmp_path, output):
    np.save(tmp_path / "x.npy", [[np.nan, 1.0]])
    np.save(tmp_path / "y.npy", [0])
    files = [tmp_path / "x.npy", tmp_path / "y.npy", "--from-logits"]
    assert output("score", *files)[0] == 0
    assert output("score", *files, "--fail-above", "inf")[0] == 3


def test_state_and_merge(tmp_path, output):
    x, y = np.load(FILES[0]), np.load(FILES[1])
    for k, rows in enumerate((slice(0, 1000), slice(1000, None))):
        np.save(tmp_path / f"x{k}.npy", x[rows])
        np.save(tmp_path / f"y{k}.npy", y[rows])
        code, _, err = output(
            "score", tmp_path / f"x{k}.npy", tmp_path / f"y{k}.npy", "--from-logits",
            "--state", tmp_path / f"{k}.json",
        )  # fmt: skip
        assert (code, err) == (0, "")
    whole = tmp_path / "all.json"
    code, out, _ = output("merge", tmp_path / "0.json", tmp_path / "1.json", "--json", "--state", whole)
    expected = scoring.score(x, y, from_logits=True).to_dict()
    assert code == 0
    assert {**json.loads(out), "worst": []} == json.loads(json.dumps({**expected, "worst": []}))
    assert output("merge", whole, "--json")[1] == out
    assert output("merge", whole, "--fail-above", "0")[0] == 3
    code, out, err = output("merge", whole, tmp_path / "0.json")
    assert (code, out) == (1, "")
    assert "which another state holds" in err
    code, out, err = output("score", *FILES, "--state", tmp_path / "0.json")
    assert (code, out) == (1, "")
    assert "0.json: was made of another" in err


def test_on_error_skip_says_what_it_left_out(tmp_path, output):
    pytest.importorskip("pyarrow")
    for k in range(2):
        write(DATA.lists().slice(k * 100, 100), tmp_path / f"{k}.parquet")
    (tmp_path / "1.parquet").write_bytes(b"PAR1")
    options = ["--columns", "p", "--label-column", "y"]
    code, out, err = output("score", tmp_path, *options)
    assert (code, out) == (1, "")
    assert "1.parquet" in err
    code, out, err = output("score", tmp_path, *options, "--on-error", "skip")
    assert code == 0
    assert "xent-native: warning: left out: " in err
    assert "1.parquet" in err


def test_options_out_of_range_exit_2(output):
    code, out, err = output("score", *FILES, "--bins", "101")
    assert (code, out) == (2, "")
    assert "bins must be an integer in [1, 100]; got 101" in err


def test_reports(tmp_path, output, reports):
    assert output("score", *FILES, "--report", "a.html")[0] == 0
    result, path, title, before = reports.pop()
    assert (path, before, title) == ("a.html", None, f"{FILES[0]} against {FILES[1]}")
    assert result == scoring.score(*FILES[:2], from_logits=True)
    assert output("calibrate", *FILES, "--report", "b.html")[0] == 0
    after, path, title, before = reports.pop()
    assert (path, before) == ("b.html", result)
    assert after.mean_loss < before.mean_loss
    assert "divided by" in title


def test_a_report_that_cannot_be_written(output, reports, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys.modules["xent_native.report"], "write_html", full)
    code, out, err = output("score", *FILES, "--report", "a.html")
    assert (code, out) == (1, "")
    assert "a.html: No space left" in err


def test_calibrate(output):
    fit = scoring.fit_temperature(*FILES[:2], from_logits=True)
    code, out, err = output("calibrate", *FILES)
    assert (code, err) == (0, "")
    lines = {line[:11].strip(): line[11:].split() for line in out.splitlines()[1:]}
    assert lines["temperature"] == [f"{fit.temperature:.6g}"]
    assert lines["mean loss"] == [f"{fit.before.mean_loss:.6g}", f"{fit.after.mean_loss:.6g}"]
    code, out, _ = output("calibrate", *FILES, "--json")
    assert json.loads(out) == json.loads(json.dumps(fit.to_dict()))


def test_calibration_without_a_best_temperature_exits_1(tmp_path, output):
    np.save(tmp_path / "x.npy", [[1.0, 0.0]])
    np.save(tmp_path / "y.npy", [0])
    code, out, err = output("calibrate", tmp_path / "x.npy", tmp_path / "y.npy", "--from-logits")
    assert (code, out) == (1, "")
    assert "no temperature" in err


def test_a_format_that_needs_pyarrow(tmp_path, output, monkeypatch):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, out, err = output("score", tmp_path / "t.parquet", "--label-column", "y")
    assert (code, out) == (1, "")
    assert "pip install 'xent-native[parquet]'" in err


# Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time in seconds, which the test moves."""
    now = [100.0]
    monkeypatch.setattr(_terminal.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(_terminal.shutil, "get_terminal_size", lambda: types.SimpleNamespace(columns=81))
    return now


def test_progress_on_a_terminal(clock):
    stream = Terminal()
    progress = _terminal.Progress(stream)
    progress(1_000_000, 4_000_000)  # of which an earlier run had done a million
    clock[0] += 2
    progress(2_000_000, 4_000_000)
    assert stream.getvalue().strip() == "50% of 4,000,000 rows   500k rows/s   0:04 left"
    clock[0] += 0.1
    progress(2_100_000, 4_000_000)  # too soon to be shown
    progress.close()
    lines = stream.getvalue().split("\r")
    assert [len(line) for line in lines] == [0, 80, 80, 0]
    assert lines[2].strip() == ""


def test_progress_without_an_end(clock):
    stream = Terminal()
    progress = _terminal.Progress(stream)
    progress(0, None)
    clock[0] += 1
    progress(12_345_678, None)
    assert stream.getvalue().strip() == "12,345,678 rows   12.3M rows/s"


def test_progress_of_another_pass(clock):
    stream = Terminal()
    progress = _terminal.Progress(stream)
    for done in (0, 1000, 10):
        progress(done, 1000)
        clock[0] += 7200
    progress(20, 1000)
    assert stream.getvalue().split("\r")[-1].strip() == "2% of 1,000 rows   0.00139 rows/s   196:00:00 left"


def test_no_progress_in_a_pipe(clock):
    stream = io.StringIO()
    progress = _terminal.Progress(stream)
    for done in range(5):
        clock[0] += 10
        progress(done, 5)
    progress.close()
    assert stream.getvalue() == ""
    _terminal.Progress(None)(1, 2)  # a process without stderr


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pseudo-terminals")
def test_a_real_terminal_gets_its_line(tmp_path):
    """The table goes to a pipe, the line of progress to the terminal."""
    import os
    import pty
    import subprocess

    code = (
        "import sys; from xent_native import cli; from xent_native.cli import _terminal;"
        "_terminal._SECONDS = 0.0; sys.exit(cli.main(sys.argv[1:]))"
    )
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, "score", *FILES, "--chunk-rows", "500"],
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
        )
        shown = os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0
    assert "rows/s" in shown
    assert "100% of 1,797 rows" in shown
    assert "rows/s" not in done.stdout


def test_data_does_not_reach_the_terminal_as_it_is(tmp_path, output):
    """Escape sequences and ends of lines, in values of groups and in what pyarrow says of a file."""
    pytest.importorskip("pyarrow")
    path = tmp_path / "t.csv"
    path.write_text('p0,p1,y,g\n0.5,0.5,1,\x1b[31mred\n0.5,0.5,0,"two\nlines"\n')
    arguments = ("score", path, "--columns", "p*", "--label-column", "y", "--group-by", "g")
    code, out, err = output(*arguments)
    assert (code, err) == (0, "")
    assert "\\x1b[31mred" in out
    assert "two\\nlines" in out
    path.write_text("p0,p1,y,g\n0.5,\x1b[31mred,1,1\n")
    code, out, err = output(*arguments)
    assert (code, out) == (1, "")
    assert "\\x1b[31mred" in err
    assert "\x1b" not in err


def test_errors_are_short(tmp_path, output):
    pytest.importorskip("pyarrow")
    path = tmp_path / "t.csv"
    for line in ("0.5,0.5," + "1" * 10_000, "x" * 10_000):
        path.write_text(f"p0,p1,y\n{line}\n")
        code, _, err = output("score", path, "--columns", "p*", "--label-column", "y")
        assert code == 1
        assert "row 0" in err
        assert len(err) < 1000


def test_limit_of_a_loss_that_is_no_number(tmp_path, output):
    for name, values in {"x.npy": np.full((2, 3), np.nan), "y.npy": np.zeros(2, int)}.items():
        np.save(tmp_path / name, values)
    code, _, err = output("score", tmp_path / "x.npy", tmp_path / "y.npy", "--fail-above", "1")
    assert code == 3
    assert "the mean loss is nan, not at most 1" in err
