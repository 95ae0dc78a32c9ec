# SPDX-License-Identifier: BSD-3-Clause
"""LossAccumulator: the same bits for any batches, threads and merges; errors that add nothing; saved states."""

from __future__ import annotations

import copy
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from xent_native import LossAccumulator
from xent_native._data_errors import LabelError
from xent_native._row_inputs import Names
from xent_native.accumulate import Score

OPTIONS = {"top_k": (1, 2), "bins": 7, "worst": 4, "ignore_class": -1, "classwise": True}


def through_json(accumulator: LossAccumulator) -> LossAccumulator:
    return LossAccumulator.from_dict(json.loads(json.dumps(accumulator.to_dict())))


@st.composite
def data(draw):
    """Rows of few values, so that losses tie; some NaN or infinite, some ignored, some of weight 0."""
    n, classes = draw(st.integers(1, 25)), draw(st.integers(1, 20))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.choice([-2.0, 0, 0.5, 0.5, 3], (n, classes)).astype(draw(st.sampled_from(["f4", "f8"])))
    if draw(st.booleans()):
        x[rng.random(x.shape) < 0.05] = rng.choice([np.nan, np.inf, -np.inf])
    y = rng.integers(-1, classes, n)
    weighted = draw(st.sampled_from(["no", "yes", "some"]))
    w = rng.choice([0, 0.1, 1e-300, 3], n)
    has_weight = np.full(n, weighted == "yes") if weighted != "some" else rng.random(n) < 0.5
    groups = rng.choice(np.array(["a", 1, True], object), n) if draw(st.booleans()) else None
    return x, y, w, has_weight, groups


def entered(rows, index, threads) -> LossAccumulator:
    """An accumulator of neighbours: one update for each run of rows with or without weights."""
    x, y, w, has_weight, groups = rows
    accumulator = LossAccumulator(x.shape[1], from_logits=True, n_threads=threads, **OPTIONS)
    ends = [i + 1 for i in range(len(index) - 1) if has_weight[index[i]] != has_weight[index[i + 1]]]
    for part in np.split(index, ends):
        accumulator.update(
            y[part], x[part], w[part] if len(part) and has_weight[part[0]] else None,
            groups=None if groups is None else groups[part],
            source="file", first_row=int(part[0]) if len(part) else 0,
        )  # fmt: skip
    return accumulator


@examples(0.4)
@given(rows=data(), draw=st.data())
def test_same_bits_for_any_batches_and_merges(rows, draw):
    n = len(rows[0])
    whole = entered(rows, np.arange(n), 1)
    ends = sorted(draw.draw(st.lists(st.integers(0, n), max_size=3)))
    parts = [entered(rows, part, draw.draw(st.integers(1, 3))) for part in np.split(np.arange(n), ends)]
    while len(parts) > 1:
        one = parts.pop(draw.draw(st.integers(0, len(parts) - 1)))
        other = parts.pop(draw.draw(st.integers(0, len(parts) - 1)))
        ways = [
            lambda one, other: one + other,
            lambda one, other: one.merge(other),
            lambda one, other: through_json(one).merge(pickle.loads(pickle.dumps(other))),
        ]
        parts.append(draw.draw(st.sampled_from(ways))(one, other))
    assert parts[0] == whole
    assert json.dumps(parts[0].to_dict()) == json.dumps(whole.to_dict())
    assert repr(parts[0].result()) == repr(whole.result())
    assert through_json(whole) == whole


@examples(0.15)
@given(rows=data(), seed=st.integers(0, 1000))
def test_same_bits_for_any_order(rows, seed):
    """Row by row in any order, with their numbers."""
    n = len(rows[0])
    whole, single = entered(rows, np.arange(n), 2), None
    for i in np.random.default_rng(seed).permutation(n):
        one = entered(rows, np.array([i]), 1)
        single = one if single is None else single.merge(one)
    assert single == whole
    assert json.dumps(single.to_dict()) == json.dumps(whole.to_dict())
    assert repr(single.result()) == repr(whole.result())


def test_many_rows_on_any_threads(rng):
    """Enough rows for threads to share them."""
    p = rng.random((20_000, 6), np.float32)
    y, w, g = rng.integers(0, 6, 20_000), rng.random(20_000), rng.integers(0, 3, 20_000)
    seen = []
    for threads, batches in ((1, 1), (2, 7), (4, 3)):
        accumulator = LossAccumulator(n_threads=threads, classwise=True)
        for index in np.array_split(np.arange(20_000), batches):
            accumulator.update(y[index], p[index], w[index], groups=g[index])
        seen.append(accumulator)
    assert seen[0] == seen[1] == seen[2]
    assert repr(seen[0].result()) == repr(seen[1].result()) == repr(seen[2].result())
    assert list(seen[0].result().groups) == [0, 1, 2]


def test_rows_of_the_same_name_have_an_order(rng):
    """Parts that number their rows alike give the same worst rows, whichever comes first."""
    parts = []
    for label in (1, 0, 2, 1):
        part = LossAccumulator(worst=2)
        part.update([label], [[0.25, 0.25, 0.25]])
        parts.append(part)
    forth = (parts[0] + parts[1]) + (parts[2] + parts[3])
    back = (parts[3] + parts[2]) + (parts[1] + parts[0])
    assert forth == back
    assert [row.label for row in forth.result().worst] == [0, 1]
    once = LossAccumulator(worst=2)
    once._enter(
        once._scored([1, 0, 2, 1], np.full((4, 3), 0.25), None, None, "", np.zeros(4, np.int64), Names())
    )
    assert once.result().worst == forth.result().worst


def test_groups_that_are_true_and_1_are_one():
    """To a dict they are: the name does not depend on which came first."""
    x, names = [[0.5, 0.5], [0.25, 0.75]], []
    for groups in ([True, 1], [1, True]):
        one = LossAccumulator()
        one.update([0, 1], x, groups=groups)
        parts = LossAccumulator(2)
        for i in (0, 1):
            parts.update([i], x[i : i + 1], groups=groups[i : i + 1])
        assert one.to_dict() == parts.to_dict()
        names += [repr(list(one.result().groups)), repr(list(parts.result().groups))]
    assert set(names) == {"[1]"}


def test_groups_of_any_scalars():
    one = LossAccumulator(2)
    p = np.full((6, 2), 0.5)
    one.update([0] * 6, p, groups=["b", np.str_("a"), np.int64(3), False, None, np.bool_(False)])
    groups = one.result().groups
    assert list(groups) == [None, False, 3, "a", "b"]
    assert [type(value) for value in groups] == [type(None), bool, int, str, str]
    assert groups[False].rows == 2
    assert through_json(one) == one


def test_empty_batches_leave_no_trace():
    one, other = LossAccumulator(3), LossAccumulator(3)
    one.update(np.zeros(0, int), np.zeros((0, 3)), np.zeros(0), groups=[], source="empty")
    assert one == other
    score = one.result()
    assert (score.rows, score.classes, score.weight) == (0, 3, 0.0)
    assert math.isnan(score.mean_loss)
    assert math.isnan(score.accuracy)
    assert LossAccumulator().result().rows == 0
    one.skip(2)
    assert one != other
    assert (one + one).result().skipped == 4


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, LossAccumulator.copy, through_json,
                                       lambda a: pickle.loads(pickle.dumps(a))])  # fmt: skip
def test_copies_stand_alone(duplicate):
    one = LossAccumulator()
    one.update([0, 1], [[0.5, 0.5], [0.25, 0.75]], [1.0, 2.0], groups=["a", "b"])
    before = json.dumps(one.to_dict())
    other = duplicate(one)
    assert other == one
    other.update([0, 1], [[0.5, 0.5], [0.25, 0.75]], [1.0, 2.0], groups=["a", "b"])
    assert other.result().rows == 4
    assert other.result().weight == 6
    assert other.result().groups["a"].rows == 2
    assert json.dumps(one.to_dict()) == before
    assert one.result().rows == 2


def test_merging_itself_doubles():
    one = LossAccumulator()
    one.update([0], [[0.5, 0.5]])
    one.merge(one)
    assert one.result().rows == 2


def test_worst_rows_count_on():
    """Without first_row, rows are numbered on in each source; ties go by source and row."""
    one = LossAccumulator(worst=4)
    for source in ("b", "a", "b"):
        one.update([0, 1], [[0.5, 0.5], [0.5, 0.5]], source=source)
    assert [(row.source, row.row) for row in one.result().worst] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    one.update([1], [[0.75, 0.25]], source="b", first_row=1000)
    assert [(row.source, row.row) for row in one.result().worst][:2] == [("b", 1000), ("a", 0)]
    assert LossAccumulator(worst=0).result().worst == ()


GOOD = [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (([0, 3], GOOD), LabelError, r"3 at row 1"),
        (([-1, 0], GOOD), LabelError, r"-1 at row 0"),
        (([0, 2**40], GOOD), LabelError, r"1099511627776 at row 1"),
        (([0, 1], [[0.5, 0.5, 0], [-0.5, 1, 0.5]]), ValueError, r"row 1 holds -0.5"),
        (([0, 1], GOOD, [1, math.nan]), ValueError, r"nan at row 1"),
        (([0, 1], GOOD, [-1, 1]), ValueError, r"-1.0 at row 0"),
        (([0, 1], GOOD, [1, math.inf]), ValueError, r"inf at row 1"),
        (([0, 1], GOOD, [1]), ValueError, r"sample_weight must have shape \(2,\)"),
        (([0, 1], GOOD, ["a", "b"]), (TypeError, ValueError), "sample_weight"),
        (([0, 1], GOOD, np.array([1, 1j])), (TypeError, ValueError), "sample_weight"),
        (([0, 1], GOOD, np.array([1, None], object)), (TypeError, ValueError), "sample_weight"),
        (([0], GOOD), ValueError, "y_true must have shape"),
        (([[0, 1]], GOOD), ValueError, "y_true must have shape"),
        (([0.5, 1], GOOD), TypeError, "y_true"),
        ((["a", "b"], GOOD), TypeError, "y_true"),
        ((np.array([0, None], object), GOOD), TypeError, "y_true"),
        (([0, 1], [0.5, 0.5]), ValueError, "y_pred must have shape"),
        (([0, 1], [GOOD]), ValueError, "y_pred must have shape"),
        (([0, 1], [[0.5, 0.5]] * 2), ValueError, "3 classes"),
        (([0, 1], np.zeros((2, 0))), ValueError, "classes"),
        (([0, 1], np.array(GOOD, object)), TypeError, "y_pred"),
        (([0, 1], np.array(GOOD, complex)), TypeError, "y_pred"),
        (([0, 1], [["a"] * 3] * 2), TypeError, "y_pred"),
        ((None, GOOD), TypeError, "y_true"),
        (([0, 1], None), TypeError, "y_pred"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
@pytest.mark.parametrize("seen", [False, True])
def test_errors_add_nothing(arguments, error, says, seen):
    one = LossAccumulator(3)
    if seen:
        one.update([0, 1], GOOD, [1.0, 2.0], groups=["a", "b"])
        one.skip(1)
    before, state = one.copy(), json.dumps(one.to_dict())
    with pytest.raises(error, match=says):
        one.update(*arguments, groups=["a", "c"], source="bad")
    assert one == before
    assert json.dumps(one.to_dict()) == state


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"groups": ["a"]}, ValueError), ({"groups": "ab"}, TypeError), ({"groups": 3}, (TypeError, ValueError)),
        ({"groups": [0.5, 1.0]}, TypeError), ({"groups": [[1], [2]]}, TypeError), ({"source": 3}, TypeError),
        ({"source": None}, TypeError), ({"first_row": -1}, ValueError), ({"first_row": 0.5}, TypeError),
        ({"first_row": 1 << 62}, ValueError),
    ],
    ids=str,
)  # fmt: skip
def test_errors_of_names_add_nothing(more, error):
    one = LossAccumulator()
    with pytest.raises(error, match=next(iter(more))):
        one.update([0, 1], GOOD, **more)
    assert one == LossAccumulator()
    assert one.num_classes is None


def test_only_the_same_options_merge():
    one = LossAccumulator(3)
    for options in ({"from_logits": True}, {"ignore_class": 1}, {"top_k": (2,)}, {"bins": 3}, {"worst": 1},
                    {"max_confusion": 2}, {"classwise": True}):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(options))):
            one.merge(LossAccumulator(3, **options))
    with pytest.raises(ValueError, match="3 classes"):
        one.merge(LossAccumulator(4))
    with pytest.raises(TypeError, match="LossAccumulator"):
        one.merge({})
    with pytest.raises(TypeError):
        one + 1
    assert one == LossAccumulator(3)
    assert (LossAccumulator() + one).num_classes == 3


def saved() -> dict:
    one = LossAccumulator(3, worst=2)
    one.update([0, 1], GOOD, [1.0, 2.0], groups=["a", "b"], source="f")
    one.update([2, 1], [[math.nan, 0, 1], [0.5, 0.5, 0]])
    return json.loads(json.dumps(one.to_dict()))


def with_change(path, value) -> dict:
    state = saved()
    place = state
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return state


_ROW = ["f", 0, 0, 0, "0x1p+0", "0x1p-1"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["format"], "x"), (["format"], None), (["version"], 2), (["version"], True), (["version"], 1.0),
        (["options"], None), (["options"], []), (["options"], {}), (["options", "bins"], 1000),
        (["options", "n_threads"], 1), (["options", "top_k"], "5"), (["options", "worst"], -1),
        (["options", "top_k"], [1 << 40]),
        (["num_classes"], None), (["num_classes"], 0), (["num_classes"], 1 << 40), (["num_classes"], "3"),
        (["num_classes"], 2), (["num_classes"], 4), (["ignored"], -1), (["ignored"], 0.5), (["skipped"], None),
        (["skipped"], 1 << 70), (["first_nan"], 3), (["first_nan"], ["f"]), (["first_nan"], [0, "f"]),
        (["first_nan"], ["f", -1]), (["seen"], []), (["seen"], {"f": -1}), (["seen"], {"f": "x"}),
        (["worst"], None), (["worst"], [_ROW] * 3), (["worst"], [_ROW[:5]]), (["worst"], ["abcdef"]),
        (["worst"], [["f", 0, 3, *_ROW[3:]]]), (["worst"], [["f", 0, 0, -1, *_ROW[4:]]]),
        (["worst"], [[*_ROW[:4], "nan", "0x1p-1"]]), (["worst"], [[*_ROW[:4], "0x1p99999999", "0x1p-1"]]),
        (["worst"], [[*_ROW[:4], 1.0, "0x1p-1"]]), (["worst"], [[3, *_ROW[1:]]]),
        (["plain"], []), (["plain"], {"nothing": []}), (["plain", "support"], [[3, 1]]),
        (["plain", "support"], [[0, -1]]), (["plain", "support"], [[0, "1"]]), (["plain", "loss"], [[0, "g"]]),
        (["plain", "loss"], [[0, "f" * 540]]), (["weighted", "weight"], [[0, 1]]), (["weighted"], 3),
        (["groups"], None), (["groups"], [["a"]]), (["groups"], [["a", None]]), (["groups"], [["a", {}]]),
        (["groups", 0, 0], 0.5), (["groups", 0, 0], ["a"]), (["groups", 0, 0], "b"),
        (["groups", 0, 1, "num_classes"], 2), (["groups", 0, 1, "num_classes"], None),
        (["groups", 0, 1, "num_classes"], False), (["groups", 0, 1, "groups"], saved()["groups"]),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_damaged_states_are_refused(path, value):
    LossAccumulator.from_dict(saved())
    with pytest.raises(ValueError, match="state"):
        LossAccumulator.from_dict(with_change(path, value))


@pytest.mark.parametrize("key", list(saved()))
def test_states_lack_nothing(key):
    state = saved()
    del state[key]
    with pytest.raises(ValueError, match="state"):
        LossAccumulator.from_dict(state)


@pytest.mark.parametrize("state", [None, [], "state", 3, {}])
def test_no_states(state):
    with pytest.raises(ValueError, match="to_dict"):
        LossAccumulator.from_dict(state)


def test_worst_rows_of_a_state_are_put_in_order():
    state = with_change(["worst"], [_ROW, ["e", *_ROW[1:]]])
    assert [row.source for row in LossAccumulator.from_dict(state).result().worst] == ["e", "f"]


def test_results_are_plain_values():
    score = LossAccumulator.from_dict(saved()).result()
    assert isinstance(score, Score)
    assert repr(pickle.loads(pickle.dumps(score))) == repr(score)
    assert json.loads(json.dumps(score.to_dict(), allow_nan=False))["mean_loss"] is None
