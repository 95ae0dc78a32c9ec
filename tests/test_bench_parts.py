# SPDX-License-Identifier: BSD-3-Clause
"""Parts of the benchmark: cases and their right answers, reports of contests, repeats, the roofline.

Nothing here depends on how long anything takes.
"""

import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import xent_native

# At the end: in front, the sources of xent_native would hide the installed package.
sys.path.append(str(Path(__file__).parents[1]))

from bench import (
    answers,
    arrays,
    cases,
    cli,
    contest,
    crossover,
    options,
    report,
    result,
    roofline,
    runs,
    timing,
)
from bench.peers import PEERS, Peer, Settings, Unsupported


@pytest.fixture
def in_process(monkeypatch):
    """Calls of bench in this process must not change how many threads other tests use."""
    monkeypatch.setattr(xent_native.runtime, "_process_threads", 0)


# What is measured


def case_of(operation, dtype="float32", shape=(6, 5), axis=-1):
    return cases.Case(cases.OPERATIONS[operation], dtype, shape, axis)


@pytest.mark.parametrize(
    ("operation", "dtype", "read", "written", "roof"),
    [
        ("forward", "float32", 6 * 5 * 4, 0, "read"),
        ("forward", "bfloat16", 6 * 5 * 2, 0, "read"),
        ("gradient", "float32", 6 * 5 * 4, 6 * 5 * 4, "copy"),
        ("gradient", "float64", 6 * 5 * 8, 6 * 5 * 8, "copy"),
        ("dense-forward", "float32", 2 * 6 * 5 * 4, 0, "read"),
        ("dense-gradient", "float16", 2 * 6 * 5 * 2, 6 * 5 * 2, "copy"),
        ("prob-forward", "float32", 6 * 5 * 4, 0, "read"),
        ("prob-dense-gradient", "float32", 2 * 6 * 5 * 4, 6 * 5 * 4, "copy"),
        ("softmax", "float32", 6 * 5 * 4, 6 * 5 * 4, "copy"),
        ("logsumexp", "float32", 6 * 5 * 4, 0, "read"),
    ],
)
def test_bytes_are_those_of_the_large_arrays(operation, dtype, read, written, roof):
    case = case_of(operation, dtype)
    assert (case.bytes_read, case.bytes_written, case.roof) == (read, written, roof)
    assert case.bytes_moved == read + written


@pytest.mark.parametrize(
    ("arguments", "classes"),
    [([], (10, 100, 1000, 32768)), (["--peers"], (10, 30, 100, 1000, 32768, 131072))],
)
def test_presets_are_tables_with_all_competitors(arguments, classes):
    chosen = options.parse(arguments)
    selected = cases.select(chosen.ops, chosen.classes, chosen.dtype, chosen.mb)
    assert [(case.operation.name, case.classes) for case in selected] == [
        (operation, count) for operation in ("forward", "gradient") for count in classes
    ]
    for case in selected:
        assert case.dtype == "float32"
        assert case.axis == -1
        assert case.bytes_read >= 128 * 2**20
    assert runs.chosen_peers(chosen.peers) == list(PEERS)


def test_options_go_before_presets():
    assert options.parse(["--classes", "7", "--peers"]).classes == [7]
    chosen = options.parse(["--peers", "numpy"])
    assert chosen.classes == list(cases.DEFAULT_CLASSES)
    assert runs.chosen_peers(chosen.peers) == [
        "xent_native",
        "xent_native-new-array",
        "xent_native-class",
        "numpy",
    ]


def test_layouts_have_their_own_shapes():
    chosen = cases.select(["axis1-gradient", "wide-forward"], [10], "float32", 128)
    assert [(case.operation.name, case.shape, case.axis) for case in chosen] == [
        ("gradient", (8, 100, 256, 256), 1),
        ("gradient", (2, 1000, 64, 64), 1),
        ("forward", (1, 1 << 24), -1),
        ("forward", (3, 5_000_000), -1),
    ]
    assert chosen[0].rows == 8 * 256 * 256


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("operation", list(cases.OPERATIONS))
def test_expected_answers_are_those_of_plain_loops(operation, axis):
    case = case_of(operation, "float64", (3, 4) if axis == -1 else (2, 4, 3), axis)
    made = arrays.make_arrays(case)
    answer = answers.expected(case, made)
    values, planes = [], []
    x = np.moveaxis(made.x, axis, -1).reshape(-1, 4)
    dense = None if made.dense is None else np.moveaxis(made.dense, axis, -1).reshape(-1, 4)
    for i, row in enumerate(x.tolist()):
        total = math.fsum(math.exp(v) for v in row)
        if case.operation.target == "none":
            values.append(math.log(total))
            softmax = [math.exp(v) / total for v in row]
            planes.append(softmax if case.operation.output == "softmax" else [math.log(p) for p in softmax])
            continue
        t = dense[i].tolist() if dense is not None else [float(j == made.labels.flat[i]) for j in range(4)]
        if case.operation.loss.startswith("binary"):
            p = [1 / (1 + math.exp(-v)) for v in row]
            planes.append([(q - u) / (4 * len(x)) for q, u in zip(p, t, strict=True)])
            powers = [(u * (1 - q) + (1 - u) * q) ** 2 if "focal" in case.operation.loss else 1.0
                      for q, u in zip(p, t, strict=True)]  # fmt: skip
            values.append(math.fsum(-f * (u * math.log(q) + (1 - u) * math.log(1 - q))
                                    for q, u, f in zip(p, t, powers, strict=True)) / 4)  # fmt: skip
            continue
        if case.operation.source == "logits":
            p = [math.exp(v) / total for v in row]
            planes.append([(math.fsum(t) * q - u) / len(x) for q, u in zip(p, t, strict=True)])
        else:
            p = [v / math.fsum(row) for v in row]
            slope = math.fsum(t) / math.fsum(row)
            planes.append([(slope - u / v) / len(x) for v, u in zip(row, t, strict=True)])
        focal = case.operation.loss == "focal"
        factors = [0.25 * (1 - q) ** 2 if focal else 1.0 for q in p]
        values.append(-math.fsum(u * f * math.log(q) for q, u, f in zip(p, t, factors, strict=True)))
    # Both sides are float64 sums of at most 12 terms of order 1.
    if case.operation.output in ("softmax", "log_softmax"):
        assert answer.mean is None
    else:
        assert answer.mean == pytest.approx(math.fsum(values) / len(values), rel=1e-13)
    if case.operation.writes:
        np.testing.assert_allclose(answer.rows, planes, rtol=1e-12, atol=1e-15)
    else:
        assert answer.rows is None


# Competitors that give no figure


class Stub(Peer):
    """NumPy's answer, spoiled."""

    name = "stub"
    package = "numpy"
    summary = "a competitor of the tests"

    def spoil(self, loss, grad):
        return loss, grad

    def prepare(self, case, arrays):
        call = PEERS["numpy"](self.settings).prepare(case, arrays)
        return lambda: self.spoil(*call())


class WrongLoss(Stub):
    def spoil(self, loss, grad):
        return loss * 1.01, grad


class NaNLoss(Stub):
    def spoil(self, loss, grad):
        return loss * np.nan, grad


class WrongGradient(Stub):
    def spoil(self, loss, grad):
        grad[-1, 0] += 0.01 / len(grad)
        return loss, grad


class WrongScale(Stub):
    def spoil(self, loss, grad):
        return loss, grad * len(grad)


class Fails(Stub):
    def prepare(self, case, arrays):
        raise RuntimeError("out of luck\nand more")


class FailsLater(Stub):
    def spoil(self, loss, grad):
        raise MemoryError("too large")


class Refuses(Stub):
    def prepare(self, case, arrays):
        raise Unsupported("not on Sundays")


class Missing(Stub):
    package = "no-such-distribution"

    def load(self):
        raise AssertionError("must not be loaded")


@pytest.mark.parametrize(
    ("stub", "status", "detail"),
    [
        (Stub, "ok", ""),
        (WrongLoss, "disagrees", "mean "),
        (NaNLoss, "disagrees", "mean nan"),
        (WrongGradient, "disagrees", "row 39 is off"),
        (WrongScale, "disagrees", "is off by"),
        (Fails, "failed", "RuntimeError: out of luck"),
        (FailsLater, "failed", "MemoryError: too large"),
        (Refuses, "unsupported", "not on Sundays"),
        (Missing, "missing", "no-such-distribution is not installed"),
    ],
)
def test_who_gives_no_figure_is_reported_with_the_reason(stub, status, detail, in_process):
    case = case_of("gradient", shape=(40, 10))
    peers = [PEERS["xent_native"](Settings(1)), stub(Settings(1))]
    entrants = [contest.Entrant(peer, case) for peer in peers]
    measured = contest.run(entrants, None, timing.Plan(3, 0.05, 0.0))
    ours, other = measured.entries
    assert (ours.status, len(ours.samples)) == ("ok", 3)
    assert other.status == status
    assert other.detail.startswith(detail) or detail in other.detail
    assert len(other.samples) == (3 if status == "ok" else 0)
    made = {"others": 0.5, "quick": False}
    result.add_cases(made, [measured], None)
    remarks = "\n".join(report.remarks(made))
    assert "Other processes used 50%" in remarks
    assert (f"stub: {status}" in remarks) == (status in ("failed", "disagrees"))
    assert detail in remarks


def test_exit_status_tells_that_we_gave_no_figure(in_process, monkeypatch, capsys):
    monkeypatch.setitem(PEERS, "xent_native", type("Broken", (Fails,), {"name": "xent_native", "ours": True}))
    assert cli.main(["--quick", "--peers", "numpy", "--classes", "10", "--ops", "forward"]) == 1
    assert "out of luck" in capsys.readouterr().out


# How it is measured


@pytest.mark.parametrize(
    ("seconds", "repeats"), [(0.0, 15), (0.01, 15), (0.3, 10), (1.5, 3), (19.0, 3), (21.0, 1)]
)
def test_slow_calls_are_repeated_less(seconds, repeats):
    assert timing.Plan(15, 3.0).repeats_for(seconds) == repeats


@pytest.mark.parametrize("rounds", [1, 3, 15])
@pytest.mark.parametrize("repeats", [1, 3, 10, 15])
def test_fewer_repeats_are_spread_over_all_rounds(repeats, rounds):
    repeats = min(repeats, rounds)
    due = timing.due(repeats, rounds)
    assert len(due) == repeats
    assert max(np.diff([-1, *due])) <= math.ceil(rounds / repeats)


def test_rounds_take_everybody_in_turn():
    log = []

    def contestant(name, repeats, inner=1):
        return timing.Contestant(
            lambda: log.append(name), lambda: log.append(f"setup {name}"), repeats=repeats, inner=inner
        )

    players = [contestant("a", 4), contestant("b", 4, inner=20), contestant("c", 2)]
    timing.run_rounds(players, 4, 0.0)
    assert [len(player.samples) for player in players] == [4, 4, 2]
    turns = [entry[-1] for entry in log if entry.startswith("setup")]
    # Due in rounds 2 and 4: ab, abc, ab, abc, each in some order.
    rounds = [turns[:2], turns[2:5], turns[5:7], turns[7:]]
    assert [sorted(names) for names in rounds] == [list("ab"), list("abc"), list("ab"), list("abc")]
    assert log.count("a") == 4
    assert log.count("b") == 4 * (2 + 20)
    assert log.count("c") == 2
    assert all(log[log.index(name) - 1] == f"setup {name}" for name in "abc")


def test_ratios_compare_times_of_one_round():
    slow, fast = [2.0, 40.0, 6.0, 8.0], [1.0, 10.0, 2.0, 1.0]
    assert timing.ratios(slow, fast, 4) == [2.0, 4.0, 3.0, 8.0]
    assert timing.due(2, 4) == [1, 3]
    assert timing.ratios([20.0, 4.0], fast, 4) == [2.0, 4.0]
    assert timing.ratios(fast, [20.0, 4.0], 4) == [0.5, 0.25]
    assert (timing.due(1, 3), timing.due(2, 3)) == ([2], [1, 2])


def test_fractions_are_of_the_bandwidth_of_the_same_round(in_process):
    peer, case = PEERS["xent_native"](Settings(1)), case_of("gradient", shape=(8, 4))
    entry = contest.Entry(peer, case, samples=[1.0, 4.0, 2.0])
    bandwidths = {"read": contest.Bandwidth(1, [9.0] * 3), "copy": contest.Bandwidth(512, [2.0, 1.0, 1.0])}
    measured = contest.Contest([entry], 3, bandwidths)
    # 256 bytes moved, 512 by the copy.
    assert measured.fractions(entry) == [1.0, 0.125, 0.25]
    assert measured.ours() is entry
    assert measured.fastest_peer() is None
    other = contest.Entry(PEERS["numpy"](Settings(1)), case, samples=[3.0, 4.0, 4.0])
    assert measured.times(other, entry) == [3.0, 1.0, 2.0]
    failed = contest.Entry(PEERS["torch"](Settings(1)), case, status="failed")
    assert measured.times(failed, entry) == measured.fractions(failed) == []
    measured.entries += [failed, other]
    assert measured.fastest_peer() is other


class Counts(Stub):
    """Notes the address of the input of each call."""

    seen: list

    def prepare(self, case, arrays):
        call = super().prepare(case, arrays)
        return lambda: self.seen.append(arrays.x.ctypes.data) or call()


@pytest.mark.parametrize(("kind", "copies"), [("large", 3), ("cached", 1), ("small", 1)])
def test_large_cases_that_a_cache_could_hold_go_round_among_copies(kind, copies):
    case = cases.Case(cases.OPERATIONS["forward"], "float32", (1000, 100), kind=kind)
    counts = Counts(Settings(1))
    counts.seen = []
    measured = contest.run([contest.Entrant(counts, case)], None, timing.Plan(3, 0.05, 0.0), megabytes=1.0)
    assert measured.entries[0].status == "ok"
    assert len(set(counts.seen)) == copies
    if kind == "large":
        assert counts.seen == (counts.seen[:3] * 3)[:7]  # checked, planned by one call, 3 rounds


def test_roofline_reads_and_copies_everything():
    limit = roofline.Roofline(1.0, 2)
    count = limit.read_bytes // 4
    assert (limit.read_bytes, limit.copy_bytes) == (2**20, 2**21)
    limit._source[:] = np.arange(count) % 1000
    if limit.kind.startswith("C,"):
        assert limit.read() == float(np.sum(np.arange(count) % 1000))
    assert np.array_equal(limit.copy(), limit._source)


def test_roofline_without_a_compiler_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", str(tmp_path / "no-such-compiler"))
    limit = roofline.Roofline(1.0, 2)
    assert limit.kind.startswith("NumPy on one thread (")
    assert "no-such-compiler" in limit.kind
    assert limit.threads == 1
    assert limit.read() == 1.0
    assert np.array_equal(limit.copy(), limit._source)


def test_crossover_estimate_finds_a_known_cost():
    # 1 ns an element; two threads halve that and cost 10 us: they pay from 20 us = 20,000 elements on.
    points = [
        {"elements": n, "busy": {"1": n * 1e-9, "many": n * 1e-9 / 2 + 1e-5}}
        for n in (1000, 30_000, 64_000, 1_000_000)
    ]
    found = crossover.estimate(points, "busy", 2, 30_000)
    assert found["region"] == pytest.approx(1e-5)
    assert found["pays_from"] == pytest.approx(20_000, abs=1)
    assert crossover.estimate(points[:1], "busy", 2, 30_000) is None
    for point in points:
        point["busy"]["many"] += 1.0
    assert crossover.estimate(points, "busy", 2, 30_000)["pays_from"] is None


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_exponentials_are_those_of_numpy():
    x = roofline._aligned(128)
    x[:] = np.linspace(-5, 5, 128)
    total = roofline.build().roofline_exp(x.ctypes.data, x.size, 3, 2)
    assert total == pytest.approx(3 * 2 * np.exp(x.astype(np.float64)).sum(), rel=1e-6)
    assert roofline.exponentials(1, rounds=2, count=128) > 0


@pytest.mark.parametrize("grad", [False, True])
def test_speed_in_cache_is_a_speed(grad):
    assert roofline.in_cache(10, "float16", grad, rounds=2) > 0
