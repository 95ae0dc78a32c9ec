# SPDX-License-Identifier: BSD-3-Clause
"""The comparison of two results of the benchmark, on made-up ones: what is slower is found, noise is not."""

import copy
import sys
import types
from pathlib import Path

import numpy as np
import pytest

# At the end: in front, the sources of xent_native would hide the installed package.
sys.path.append(str(Path(__file__).parents[1]))

from bench import UsageError, cli, compare, documents, result
from bench.limits import parts
from bench.limits.line import line_of

pytest.importorskip("scipy")

CASES = [f"forward float32 100x{classes}" for classes in (10, 30, 100, 1000)]


def scattered(seconds, rng, count=15, scatter=0.03):
    return (seconds * rng.lognormal(0.0, scatter, count)).tolist()


def entry(case, peer, samples, ours=True, threads=2):
    return {
        "peer": peer, "case": case, "threads": threads, "ours": ours, "status": "ok", "detail": "", "samples": samples,
    }  # fmt: skip


def made_up(seed=0, slow=None, machine=1.0, names=CASES, count=15, scatter=0.03, mode="cases"):
    """A result in which the cases of `slow` take so many times as long, and everything `machine` times."""
    rng = np.random.default_rng(seed)
    contests = []
    for number, name in enumerate(names):
        seconds = machine * 1e-3 * (number + 1)
        ours = scattered(seconds * (slow or {}).get(name, 1.0), rng, count, scatter)
        roof = {"bytes": 1, "samples": scattered(machine * 5e-4, rng), "gb_per_s": 1.0}
        contests.append(
            {
                "name": name,
                "roofline": {"read": roof},
                "entries": [
                    entry(name, "xent_native", ours),
                    entry(name, "torch", scattered(3 * seconds, rng), ours=False),
                ],
            }
        )
    return {
        "schema": result.SCHEMA, "mode": mode, "quick": False, "others": 0.01,
        "machine": {"cpu": "A CPU", "cpus": 2, "architecture": "x86_64", "caches": {"L3": "32K"}},
        "settings": {"threads": 2, "isa": "avx2", "megabytes": 128.0},
        "versions": {"xent-native": "0.1.0", "torch": "2.0", "numpy": "2.0"},
        ("cases" if mode == "cases" else "contests"): contests,
    }  # fmt: skip


def verdicts(old, new, **options):
    found = compare.compare(old, new, **options)
    return {change.name.split(",")[0]: change.verdict for change in found.changes if change.verdict != "same"}


def test_equal_code_gives_nothing():
    found = compare.compare(made_up(1), made_up(2))
    assert [change.verdict for change in found.changes] == ["same"] * len(CASES)
    assert (found.missing, found.added, found.remarks) == ([], [], [])


def test_what_is_slower_is_found_and_nothing_else():
    assert verdicts(made_up(1), made_up(2, slow={CASES[2]: 1.3})) == {CASES[2]: "slower"}
    (change,) = compare.compare(made_up(1), made_up(2, slow={CASES[2]: 1.3})).of("slower")
    assert change.times == pytest.approx(1.3, rel=0.05)
    assert change.old == pytest.approx(3e-3, rel=0.05)
    assert change.drift == pytest.approx(1.0, rel=0.05)


def test_what_is_faster_is_found():
    assert verdicts(made_up(1), made_up(2, slow={CASES[0]: 0.7})) == {CASES[0]: "faster"}


def test_less_than_the_least_is_noise():
    old, new = made_up(1), made_up(2, slow={CASES[1]: 1.10})
    assert verdicts(old, new) == {}
    assert verdicts(old, new, least=0.02) == {CASES[1]: "slower"}


def test_outliers_are_noise():
    new = made_up(2)
    for contest in new["cases"]:
        contest["entries"][0]["samples"][:4] = [1.0] * 4
    assert verdicts(made_up(1), new) == {}


def test_scatter_is_noise():
    """Medians that differ by more than the least prove nothing where the samples scatter as much."""
    old, new = (made_up(seed, scatter=0.8) for seed in (4, 5))
    assert max(change.times for change in compare.compare(old, new).changes) > 1.3
    assert verdicts(old, new) == {}


def test_chance_alone_finds_nothing_among_hundreds():
    names = [f"forward float32 7x{classes}" for classes in range(300)]
    for seed in range(5):
        assert verdicts(made_up(seed, names=names), made_up(100 + seed, names=names), least=0.0) == {}


@pytest.mark.parametrize("machine", [0.5, 1.5, 3.0])
def test_a_faster_or_slower_machine_is_no_change(machine):
    assert verdicts(made_up(1), made_up(2, machine=machine)) == {}
    slower = made_up(2, machine=machine, slow={CASES[3]: 1.5 / min(1.0, machine)})
    assert verdicts(made_up(1), slower) == {CASES[3]: "slower"}


def test_a_peer_of_another_version_is_no_measure_of_the_machine():
    old, new = made_up(1), made_up(2, slow={CASES[2]: 1.5})
    for contest in new["cases"]:
        contest["entries"][1]["samples"] = [9 * s for s in contest["entries"][1]["samples"]]
    assert verdicts(old, new) == {}
    new["versions"]["torch"] = "2.1"
    assert verdicts(old, new) == {CASES[2]: "slower"}
    assert compare.compare(old, new).remarks == ["torch: 2.0, then 2.1"]


def test_the_drift_of_the_run_holds_where_nothing_stands_beside():
    results = made_up(1), made_up(2, machine=2.0)
    for made in results:
        made["cases"][0]["roofline"] = None
        del made["cases"][0]["entries"][1]
    assert verdicts(*results) == {}


def test_cases_that_one_result_lacks_are_listed():
    found = compare.compare(made_up(1, names=CASES[:3]), made_up(2, names=CASES[1:]))
    assert found.missing == [f"{CASES[0]}, xent_native, 2 threads"]
    assert found.added == [f"{CASES[3]}, xent_native, 2 threads"]
    assert len(found.changes) == 2
    text = compare.render(found)
    assert f"* not in the new result: {CASES[0]}" in text
    assert f"* not in the old result: {CASES[3]}" in text


def test_what_failed_has_no_figure():
    new = made_up(2)
    new["cases"][1]["entries"][0].update(status="failed", detail="why", samples=[])
    assert compare.compare(made_up(1), new).missing == [f"{CASES[1]}, xent_native, 2 threads"]


def test_too_few_samples_are_said():
    found = compare.compare(made_up(1, count=4), made_up(2, count=4, slow={CASES[0]: 3.0}))
    assert {change.verdict for change in found.changes} == {"few samples"}
    assert "4 with too few samples" in compare.render(found)


def test_a_case_in_two_contests_is_two_figures():
    old, new = made_up(1, mode="limits"), made_up(2, mode="limits")
    for made, factor in ((old, 1.0), (new, 1.5)):
        alone = copy.deepcopy(made["contests"][0])
        alone["entries"] = [alone["entries"][0]]
        alone["entries"][0]["samples"] = [factor * 7e-3 * (1 + i / 1000) for i in range(15)]
        made["contests"].append(alone)
    found = compare.compare(old, new)
    assert len(found.changes) == 5
    assert [round(change.old, 3) for change in found.of("slower")] == [0.007]


@pytest.mark.parametrize(
    ("unit", "at_least", "factor", "verdict"),
    [
        ("times", True, 0.7, "slower"), ("times", True, 1.5, "faster"), ("times", False, 1.5, "slower"),
        ("ms", False, 1.5, "slower"), ("us", False, 0.6, "faster"), ("ms", False, 1.05, "same"),
    ],
)  # fmt: skip
def test_lines_of_the_limits_are_compared(unit, at_least, factor, verdict):
    old, new = made_up(1, mode="limits"), made_up(2, mode="limits")
    rng = np.random.default_rng(3)
    for made, size in ((old, 1.0), (new, factor)):
        samples = scattered(30.0 * size, rng)
        made["lines"] = [line_of("Section", "what", unit, 60.0, samples, at_least=at_least).to_dict()]
    (change,) = [change for change in compare.compare(old, new).changes if change.name == "Section: what"]
    assert change.verdict == verdict


def test_memory_is_compared_without_samples():
    old, new = made_up(1, mode="limits"), made_up(2, mode="limits")
    line = {"section": "Memory", "unit": "MB", "at_least": False}
    old["lines"] = [{**line, "what": "few", "figure": 0.1}, {**line, "what": "many", "figure": 3.0}]
    new["lines"] = [{**line, "what": "few", "figure": 1.9}, {**line, "what": "many", "figure": 3.9}]
    assert [change.name for change in compare.compare(old, new).of("slower")] == ["Memory: many"]


def test_lines_keep_samples_that_no_contest_has(monkeypatch):
    def alone(session):
        yield line_of("Section", "alone", "times", 1.0, [1.0, 2.0, 3.0])

    def contest(session):
        session.contests.append("a contest")
        yield line_of("Section", "contest", "times", 1.0, [1.0, 2.0, 3.0])

    monkeypatch.setattr(parts, "PARTS", {"alone": alone, "contest": contest})
    kept = {
        line.what: line.samples
        for line in parts.measure(types.SimpleNamespace(contests=[]), ["alone", "contest"])
    }
    assert kept == {"alone": (1.0, 2.0, 3.0), "contest": ()}


# The command


def written(tmp_path, name, made):
    path = tmp_path / f"{name}.json"
    result.write(made, path)
    return str(path)


def run(tmp_path, old, new, *options):
    return cli.main(["--compare", written(tmp_path, "old", old), written(tmp_path, "new", new), *options])


def test_the_exit_status_says_whether_anything_is_slower(tmp_path, capsys):
    assert run(tmp_path, made_up(1), made_up(2)) == 0
    assert "4 figures: 0 slower, 0 faster, 4 within the noise" in capsys.readouterr().out
    assert run(tmp_path, made_up(1), made_up(2, slow={CASES[2]: 0.5})) == 0
    assert "Faster" in capsys.readouterr().out
    assert run(tmp_path, made_up(1), made_up(2, slow={CASES[2]: 1.5})) == 1
    output = capsys.readouterr().out
    assert output.startswith("Slower\n")
    assert f"{CASES[2]}, xent_native, 2 threads" in output
    assert CASES[1] not in output
    assert run(tmp_path, made_up(1), made_up(2), "--details", "--markdown") == 0
    assert "| forward float32 100x30, xent_native, 2 threads" in capsys.readouterr().out
    assert run(tmp_path, made_up(1), made_up(2, slow={CASES[2]: 1.1}), "--least", "2") == 1


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("machine", {"cpu": "Another"}, "cpu is 'A CPU' in the old one, 'Another' in the new"),
        ("machine", {"cpus": 4}, "cpus is 2 in the old one, 4 in the new"),
        ("settings", {"threads": 1}, "threads is 2 in the old one, 1 in the new"),
        ("settings", {"isa": "avx512"}, "isa is 'avx2' in the old one"),
        (None, {"others": 0.5}, "other processes used 50% of the CPUs' time during the new one"),
    ],
)
def test_another_machine_is_refused_unless_told(part, change, message, tmp_path, capsys):
    new = made_up(2)
    (new if part is None else new[part]).update(change)
    with pytest.raises(SystemExit) as exit_:
        run(tmp_path, made_up(1), new)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
    assert run(tmp_path, made_up(1), new, "--anyway") == 0
    assert message in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "other/1"}, "must have the schema"),
        ({"mode": "small"}, "the old result is of mode 'cases', the new one of 'small'"),
        ({"mode": "crossover"}, "which has no figures to compare"),
        ({"quick": True}, "the new result is of a --quick run"),
        ({"cases": []}, "no figure in common"),
    ],
)
def test_what_can_never_be_compared_is_refused(change, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        run(tmp_path, made_up(1), {**made_up(2), **change}, "--anyway")
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_scipy_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(UsageError, match="pip install scipy"):
        compare.compare(made_up(1), made_up(2))


@pytest.mark.parametrize("path", documents.RESULTS, ids=lambda path: path.name)
def test_the_committed_results_can_be_compared(path):
    committed = result.read(path)
    found = compare.compare(committed, committed)
    assert len(found.changes) > 10
    assert {change.verdict for change in found.changes} == {"same"}
    slower = copy.deepcopy(committed)
    contest = (slower.get("cases") or slower["contests"])[0]
    contest["entries"][0]["samples"] = [2 * sample for sample in contest["entries"][0]["samples"]]
    assert [change.times for change in compare.compare(committed, slower).of("slower")] == [
        pytest.approx(2.0)
    ]
