# SPDX-License-Identifier: BSD-3-Clause
"""The command xent-native: what it prints where, and its exit codes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xent_native as xn
from xent_native import cli, scoring

DIGITS = Path(__file__).parent / "data" / "digits"
LOGITS, LABELS = str(DIGITS / "logits.npy"), str(DIGITS / "labels.npy")


def run(*arguments: str, **options) -> subprocess.CompletedProcess:
    """The command in a process of its own, away from the source folder."""
    # An editable install that rebuilds at import must not say so on stdout.
    env = {**os.environ, "SKBUILD_EDITABLE_VERBOSE": "0"}
    return subprocess.run(
        [sys.executable, "-m", "xent_native", *arguments], capture_output=True, text=True, env=env, **options
    )


def table(text: str) -> tuple[dict[str, str], dict[int, list[str]]]:
    """The headline figures of a printed table, and its rows for classes."""
    head, classes = {}, {}
    for line in text.splitlines()[1:]:
        words = line.split()
        if words and words[0].isdecimal():
            classes[int(words[0])] = words[1:]
        elif words and words[0] != "class":
            name, value = line[:12].strip(), line[12:].split()
            head[name] = value[0] if value else ""
    return head, classes


def test_digits_as_a_table(tmp_path):
    done = run("score", LOGITS, LABELS, "--from-logits", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    expected = scoring.score(LOGITS, LABELS, from_logits=True)
    head, classes = table(done.stdout)
    assert head == {
        "rows": "1797",
        "classes": "10",
        "mean loss": f"{expected.mean_loss:.6g}",
        "perplexity": f"{expected.perplexity:.6g}",
        "accuracy": f"{expected.accuracy:.4%}",
        "in bits": f"{expected.mean_loss_bits:.6g}",
        "top 5": f"{expected.top_k[5]:.4%}",
        "brier score": f"{expected.brier:.6g}",
        "calibration": f"{expected.calibration.expected_error:.4%}",
    }
    low, high = expected.interval
    assert f"interval {low:.6g} to {high:.6g}\n" in done.stdout
    assert list(classes) == list(range(10))
    for k, one in enumerate(expected.per_class):
        assert classes[k] == [str(one.support), f"{one.mean_loss:.6g}", f"{one.accuracy:.2%}"]


def test_digits_as_json(tmp_path):
    done = run("score", LOGITS, LABELS, "--from-logits", "--json", "--threads", "1", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == scoring.score(LOGITS, LABELS, from_logits=True).to_dict()


def test_console_script():
    script = Path(sys.executable).with_name("xent-native")
    if not script.exists():
        pytest.skip("the package is installed without its script")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"xent-native {xn.__version__}"


def test_info(capsys):
    assert cli.main(["info"]) == 0
    out = capsys.readouterr().out
    xn.show_config()
    assert out == capsys.readouterr().out
    assert xn.isa() in out


@pytest.mark.parametrize(
    "extra", [[], ["--chunk-rows", "100"], ["--threads", "2"], ["--chunk-rows", "99999"]]
)
def test_options_that_change_nothing(capsys, extra):
    assert cli.main(["score", LOGITS, LABELS, "--from-logits", "--json"]) == 0
    expected = capsys.readouterr().out
    assert cli.main(["score", LOGITS, LABELS, "--from-logits", "--json", *extra]) == 0
    assert capsys.readouterr().out == expected


def test_ignored_class(capsys):
    assert cli.main(["score", LOGITS, LABELS, "--from-logits", "--ignore-class", "3"]) == 0
    head, classes = table(capsys.readouterr().out)
    labels = np.load(LABELS)
    assert head["ignored"] == str(np.count_nonzero(labels == 3))
    assert classes[3] == ["0", "-", "-"]


def test_negative_ignored_class(tmp_path, capsys):
    np.save(tmp_path / "p.npy", [[0.2, 0.8], [0.5, 0.5]])
    np.save(tmp_path / "y.npy", [1, -1])
    files = [str(tmp_path / "p.npy"), str(tmp_path / "y.npy")]
    assert cli.main(["score", *files, "--ignore-class", "-1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 1


def test_nan_is_null_and_warned_of(tmp_path, capsys):
    np.save(tmp_path / "x.npy", [[0.0, np.nan], [0.0, 0.0]])
    np.save(tmp_path / "y.npy", [0, 1])
    files = [str(tmp_path / "x.npy"), str(tmp_path / "y.npy")]
    assert cli.main(["score", *files, "--from-logits", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["mean_loss"] is None
    assert "NaN" not in out
    assert "1 rows have the loss NaN; the first is row 0" in err
    assert cli.main(["score", *files, "--from-logits"]) == 0
    assert table(capsys.readouterr().out)[0]["mean loss"] == "nan"


def test_many_classes_show_the_worst(tmp_path, capsys):
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(400, 60)).astype(np.float32), np.arange(400) % 60
    x[y == 59, 59] -= 9
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    assert cli.main(["score", str(tmp_path / "x.npy"), str(tmp_path / "y.npy"), "--from-logits"]) == 0
    out = capsys.readouterr().out
    classes = table(out)[1]
    total = xn.sparse_categorical_crossentropy(y, x, True)
    largest = np.argsort(-np.bincount(y, total))[:50]
    assert "--json has all" in out
    assert list(classes) == sorted(largest)
    assert 59 in classes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "COMMAND"),
        (["rescore"], "invalid choice"),
        (["score"], "LOGITS"),
        (["score", LOGITS], "LABELS"),
        (["score", LOGITS, LABELS, "--no-such-option"], "unrecognized arguments"),
        (["score", LOGITS, LABELS, "--threads", "0"], "at least 1; got '0'"),
        (["score", LOGITS, LABELS, "--threads", "two"], "at least 1; got 'two'"),
        (["score", LOGITS, LABELS, "--chunk-rows", "-5"], "at least 1; got '-5'"),
        (["score", LOGITS, LABELS, "--ignore-class", "x"], "invalid int value"),
        (["calibrate", LOGITS], "LABELS, or --label-column"),
        (["merge"], "STATE"),
        (["score", LOGITS, LABELS, "--top-k", "1,x"], "got 'x'"),
        (["score", LOGITS, LABELS, "--worst", "-1"], "at least 0; got '-1'"),
        (["score", LOGITS, LABELS, "--fail-above", "nan"], "must be a number; got 'nan'"),
        (["score", LOGITS, LABELS, "--columns", "a,,b"], "names with commas"),
        (["score", LOGITS, LABELS, "--on-error", "ignore"], "invalid choice"),
    ],
)
def test_usage_errors_exit_2(capsys, arguments, words):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert out == ""
    assert words in err


def bad_files(folder: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Arguments that cannot be scored, and what the error must name."""
    labels, logits = np.load(LABELS), np.load(LOGITS)
    wrong = labels.copy()
    wrong[1000] = 10
    np.save(folder / "wrong.npy", wrong)
    np.save(folder / "short.npy", labels[:-1])
    np.save(folder / "float.npy", labels.astype(float))
    np.save(folder / "objects.npy", labels.astype(object), allow_pickle=True)
    np.save(folder / "flat.npy", logits.ravel())
    (folder / "truncated.npy").write_bytes(Path(LOGITS).read_bytes()[:-1])
    (folder / "text.npy").write_text("1,2,3\n")
    name = {path.stem: str(path) for path in folder.iterdir()}
    none = str(folder / "none.npy")
    return {
        "label out of range": (["--from-logits", LOGITS, name["wrong"]], [name["wrong"], "row 1000", "10"]),
        "row counts": (["--from-logits", LOGITS, name["short"]], [name["short"], LOGITS, "1797", "1796"]),
        "float labels": (["--from-logits", LOGITS, name["float"]], [name["float"], "integers", "float64"]),
        "object labels": (["--from-logits", LOGITS, name["objects"]], [name["objects"], "Python objects"]),
        "one dimension": (["--from-logits", name["flat"], LABELS], [name["flat"], "(17970,)"]),
        "truncated": (["--from-logits", name["truncated"], LABELS], [name["truncated"], "truncated"]),
        "no npy": (["--from-logits", name["text"], LABELS], [name["text"], "not a .npy file"]),
        "missing": (["--from-logits", none, LABELS], [none, "No such file"]),
        "folder": (["--from-logits", str(folder), LABELS], [str(folder)]),
        "swapped": (["--from-logits", LABELS, LOGITS], [LABELS, "(1797,)"]),
        "logits as probabilities": ([LOGITS, LABELS], [LOGITS, "--from-logits"]),
    }


def test_data_errors_exit_1(tmp_path, capsys):
    for case, (arguments, words) in bad_files(tmp_path).items():
        assert cli.main(["score", *arguments]) == 1, case
        out, err = capsys.readouterr()
        assert out == "", case
        assert err.startswith("xent-native: error: "), case
        assert err.count("\n") == 1, case
        for word in words:
            assert word in err, (case, word)


def test_data_error_in_a_process(tmp_path):
    done = run("score", LOGITS, str(tmp_path / "none.npy"), "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr


def test_reader_that_closes_early():
    env = {**os.environ, "SKBUILD_EDITABLE_VERBOSE": "0"}
    command = [sys.executable, "-m", "xent_native", "score", LOGITS, LABELS, "--from-logits"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 1


def shell(redirection: str) -> subprocess.CompletedProcess:
    """The command under a shell that opens its streams."""
    env = {**os.environ, "SKBUILD_EDITABLE_VERBOSE": "0"}
    command = '"$0" -m xent_native score "$1" "$2" --from-logits ' + redirection
    return subprocess.run(
        ["sh", "-c", command, sys.executable, LOGITS, LABELS], capture_output=True, text=True, env=env
    )


@pytest.mark.skipif(sys.platform == "win32", reason="its shell is another")
@pytest.mark.parametrize(
    ("redirection", "words"),
    [
        (">&-", "stdout is closed"),
        pytest.param(
            "> /dev/full",
            "No space left",
            marks=pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no such device"),
        ),
    ],
)
def test_results_that_nobody_can_have(redirection, words):
    done = shell(redirection)
    assert done.returncode == 1
    assert re.fullmatch(f"xent-native: error: .*{words}.*\n", done.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="its shell is another")
def test_closed_stderr(tmp_path):
    """What went wrong is not told as a result."""
    done = shell(f"--ignore-class 3 2>&- >'{tmp_path}/out'; code=$?; cat '{tmp_path}/out'; exit $code")
    assert (done.returncode, done.stdout[:1]) == (0, LOGITS[:1])
    done = subprocess.run(
        ["sh", "-c", '"$0" -m xent_native score "$1" nowhere.npy 2>&-', sys.executable, LOGITS],
        capture_output=True,
    )
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_names_that_cannot_be_printed(tmp_path, encoding):
    folder = os.fsencode(tmp_path)
    for name in (b"p\xff.npy", "\u00e9.npy".encode()):
        shutil.copy(LOGITS, os.path.join(folder, name))
        env = {**os.environ, "SKBUILD_EDITABLE_VERBOSE": "0", "PYTHONIOENCODING": encoding, "PYTHONUTF8": "1"}
        command = [sys.executable, "-m", "xent_native", "score", os.path.join(folder, name), LABELS]
        done = subprocess.run([*command, "--from-logits"], capture_output=True, env=env)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b".npy against" in done.stdout
        assert subprocess.run([*command[:-1], command[-2]], capture_output=True, env=env).returncode == 1


def test_interrupted(monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(scoring, "score", interrupt)
    assert cli.main(["score", LOGITS, LABELS]) == 130


def test_help_explains_itself(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["score", "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert "xent-native score logits.npy labels.npy --from-logits" in out
    assert "exit codes" in out
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"xent-native {xn.__version__}\n"
