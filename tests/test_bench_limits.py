# SPDX-License-Identifier: BSD-3-Clause
"""The limits of the benchmark: every figure that has a target is measured, judged and kept.

Nothing here depends on how long anything takes.
"""

import importlib.util
import itertools
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

# At the end: in front, the sources of xent_native would hide the installed package.
sys.path.append(str(Path(__file__).parents[1]))

from bench import result, timing
from bench.limits import calls, imports, line, memory, memory_probe, parts, report, targets

ROOT = Path(__file__).parents[1]
LINES = {  # of each part
    "table": 2 * 12,
    "float64": 4,
    "halves": 8,
    "inputs": 9,
    "focal": 3,
    "binary": 9,
    "layouts": 1 + 2,  # a quick run has one shape with classes on axis 1
    "scaling": 6,
    "region": 6,
    "memory": 6,
    "small": 4,
    "import": 1,
    "boosting": 5,
    "scoring": 3 + 1 + 2 + 2,
    "peers": 12,
    "training": 2,
    "sklearn-losses": 2 * 2,  # with one thread and with all, if there are several
    "scikit-learn": 2 + 3,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """All parts on small arrays: (output, JSON)."""
    path = tmp_path_factory.mktemp("bench") / "limits.json"
    command = [sys.executable, "-m", "bench", "--limits", "--quick", "--peers", "numpy", "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert result.read(path) == json.loads(path.read_text())
    return done.stdout, json.loads(path.read_text())


def test_every_part_has_its_lines(run):
    output, found = run
    assert found["mode"] == "limits"
    assert list(LINES) == list(parts.PARTS)
    assert len(found["lines"]) == sum(LINES.values())
    for measured in found["lines"]:
        assert measured["section"] in output
        if measured["figure"] is None:  # what this machine cannot show: says why
            assert measured["remark"]
            assert measured["verdict"] == "no figure"
        else:
            assert measured["figure"] >= 0
    sections = [measured["section"] for measured in found["lines"]]
    assert sum(a != b for a, b in itertools.pairwise(sections)) == len(set(sections)) - 1


def test_what_is_compared_was_measured_in_one_contest(run):
    _, found = run
    for contest in found["contests"]:
        if importlib.util.find_spec("torch") is None and contest in found["contests"][-2:]:
            assert {entry["status"] for entry in contest["entries"]} == {"missing"}  # the training in PyTorch
            continue
        assert {entry["status"] for entry in contest["entries"]} == {"ok"}
        assert {len(entry["samples"]) for entry in contest["entries"]} == {3}
    names = [[entry["peer"] for entry in contest["entries"]] for contest in found["contests"]]
    isas = [name for name, state in found["library"]["isas"].items() if state == "supported"]
    if {"avx512", "avx2"} <= set(isas):
        assert names[:12] == [["xent_native avx512", "xent_native avx2"]] * 12
    halves = [contest for contest in found["contests"] if "bfloat16" in str(contest["entries"][1:])]
    assert len(halves) == 4
    for contest in halves:
        dtypes = [entry["case"].split()[1] for entry in contest["entries"]]
        assert dtypes == ["float32", "bfloat16", "float16"]
        assert len({entry["case"].split()[2] for entry in contest["entries"]}) == 1  # one shape
    if found["settings"]["threads"] > 1:
        threads = [[entry["threads"] for entry in contest["entries"]] for contest in found["contests"]]
        assert threads.count([1, 2]) == 6
    assert (
        sum(len(name) > 2 and "numpy" in name[-1] for name in names) == 2 + 6
    )  # small calls; gradients of the table


def test_figures_are_medians_of_ratios_of_the_samples(run):
    _, found = run
    contest = found["contests"][0]
    entry, roof = contest["entries"][0], contest["roofline"]["read"]
    rows, classes = map(int, entry["case"].split()[2].split("x"))
    scale = 4 * rows * classes / roof["bytes"]
    fractions = sorted(scale * r / t for r, t in zip(roof["samples"], entry["samples"], strict=True))
    first = found["lines"][0]
    assert (first["unit"], first["target"]) == ("R", targets.TABLE["forward"][10])
    assert first["figure"] == pytest.approx(fractions[1])
    if len(contest["entries"]) == 2:
        slow = contest["entries"][1]["samples"]
        times = sorted(a / b for a, b in zip(entry["samples"], slow, strict=True))
        avx2 = next(each for each in found["lines"] if each["section"].startswith("AVX2"))
        assert avx2["figure"] == pytest.approx(times[1])


def test_half_precision_is_as_many_times_as_fast_as_float32_takes_longer(run):
    _, found = run
    contests = [each for each in found["contests"] if "bfloat16" in str(each["entries"][1:])]
    lines = [each for each in found["lines"] if each["section"].startswith("Half")]
    for number, contest in enumerate(contests):
        single, *halves = (entry["samples"] for entry in contest["entries"])
        for half, made in zip(halves, lines[2 * number : 2 * number + 2], strict=True):
            assert made["figure"] == pytest.approx(
                sorted(a / b for a, b in zip(single, half, strict=True))[1]
            )


def test_training_is_as_many_times_as_fast_as_pytorchs_own_loss_takes_longer(run):
    pytest.importorskip("torch")
    _, found = run
    lines = [each for each in found["lines"] if each["section"].startswith("In PyTorch")]
    for made, contest in zip(lines, found["contests"][-2:], strict=True):
        names = [entry["peer"].split()[0] for entry in contest["entries"]]
        assert names == ["xent_native.torch", "torch"]
        ours, own = (entry["samples"] for entry in contest["entries"])
        assert made["figure"] == pytest.approx(sorted(a / b for a, b in zip(own, ours, strict=True))[1])
        assert made["target"] == targets.TRAINING_TIMES


@pytest.mark.parametrize(
    ("names", "units"),
    [("float64", ["R", "R", "W", "W"]), ("memory", ["MB"] * 6), ("import", ["ms"]), ("region,small", None)],
)
def test_parts_can_be_chosen(names, units, tmp_path):
    path = tmp_path / "result.json"
    command = [sys.executable, "-m", "bench", "--limits", "--quick", "--peers", "numpy", "--parts", names]
    done = subprocess.run(
        [*command, "--json", str(path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    assert [measured["unit"] for measured in found["lines"]] == (
        units or ["times"] * 6 + ["us", "times", "us", "us"]
    )
    assert (found["roofline"] is None) == (names != "float64")


@pytest.mark.parametrize(
    ("figure", "at_least", "verdict"),
    [
        (0.5, True, "pass"),
        (0.49, True, "short"),
        (0.5, False, "pass"),
        (0.51, False, "short"),
        (None, True, "no figure"),
        (None, False, "no figure"),
    ],
)
def test_verdicts(figure, at_least, verdict):
    assert line.Line("section", "what", "R", 0.5, figure, at_least).verdict == verdict


def test_a_line_is_the_median_and_the_quartiles_of_its_samples():
    made = line.line_of("section", "what", "R", 0.5, [0.1, 0.9, 0.2, 0.4, 0.3])
    assert (made.figure, made.spread, made.verdict) == (0.3, (0.2, 0.4), "short")
    made = line.line_of("section", "what", "R", 0.5, [], remark="no such CPU")
    assert (made.figure, made.spread, made.remark) == (None, None, "no such CPU")


@pytest.mark.parametrize(
    ("pays_from", "verdicts"),
    [
        (30_000, ["pass", "pass"]),
        (7_500, ["pass", "pass"]),
        (7_000, ["pass", "short"]),
        (40_000, ["short", "pass"]),
    ],
)
def test_regions_open_neither_early_nor_late(pays_from, verdicts):
    estimates = {"busy": {"region": 5e-6, "pays_from": pays_from}, "paused": None}
    lines = list(calls.region_lines({"classes": 10, "estimates": estimates}, 30_000))
    assert [made.verdict for made in lines] == verdicts
    assert lines[0].figure == 30_000 / pays_from
    for busy in (None, {"region": 5e-6, "pays_from": None}):
        lines = list(calls.region_lines({"classes": 10, "estimates": {"busy": busy}}, 30_000))
        assert [made.verdict for made in lines] == ["no figure"] * 2


def test_the_table_shows_figure_target_and_verdict():
    lines = [
        line.line_of("A section", "a figure", "W", 0.5, [0.4, 0.6, 0.8]),
        line.Line("A section", "another", "us", 2.5, 3.456, at_least=False),
    ]
    (table,) = report.tables([made.to_dict() for made in lines])
    assert table.head == ["", "figure", "middle half", "target", "verdict"]  # nobody has a remark
    assert table.rows == [
        ["a figure", "0.60 W", "0.50 to 0.70", "at least 0.50 W", "pass"],
        ["another", "3.46 us", "", "at most 2.50 us", "short"],
    ]
    assert report.summary([made.to_dict() for made in lines]) == "1 of 2 pass, 1 are short."


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems cannot set the mark back")
def test_the_probe_sees_memory_that_was_freed_again():
    code = (
        "import numpy as np, memory_probe as probe\n"
        "np.ones(1 << 24)\n"  # 128 MiB, before the mark is set back
        "assert probe.reset()\n"
        "before = probe.high_water()\n"
        "np.ones(1 << 20)\n"  # 8 MiB, freed at once
        "print(probe.high_water() - before)"
    )
    folder = Path(memory_probe.__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert 7 << 20 < int(done.stdout) < 10 << 20


def test_an_import_that_fails_gives_the_reason(monkeypatch):
    session = types.SimpleNamespace(plan=timing.Plan(repeats=2, pause=0.0), say=lambda text: None)
    monkeypatch.setattr(imports, "PROBE", "import there_is_no_such_module")
    (made,) = imports.imports(session)
    assert made.figure is None
    assert "there_is_no_such_module" in made.remark


def test_a_probe_that_fails_gives_the_reason():
    found, reason = memory.probe("forward", -1, 10, 1)
    assert found is None
    assert "ValueError" in reason
