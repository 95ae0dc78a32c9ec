# SPDX-License-Identifier: BSD-3-Clause
"""Books: counts and exact sums against Python's fractions, carries, cells of the confidence, and saved states."""

from __future__ import annotations

import copy
import json
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from xent_native import _books, _core
from xent_native._books import UNIT, Book, Cells, Shape

CELLS = Cells(15)
ANY_LOSS = st.one_of(
    st.floats(min_value=0),
    st.floats(min_value=0, max_value=1e-300),
    st.sampled_from([0.0, 5e-324, 2.0**-1022, 1.0, 1.7976931348623157e308, math.inf, math.nan]),
)
WEIGHT = st.floats(min_value=0, max_value=1.7976931348623157e308, exclude_min=True)


def shape(classes: int = 3, *, weighted: bool = False, bins: int = 0) -> Shape:
    return Shape(classes, CELLS.count, min(2, classes), True, weighted, bins)


def scores(loss, *, confidence=None, brier=None, label=None, best=None, rank=None) -> tuple[np.ndarray, ...]:
    """What _core.score_rows would give; NaN losses have no rank."""
    loss = np.array(loss, np.float64)
    n = len(loss)
    parts = [confidence, brier, label, best, rank]
    parts = [np.zeros(n) if part is None else np.array(part) for part in parts]
    rank = np.where(np.isnan(loss), -1, parts[4])
    return (
        loss,
        *(part.astype(np.float64) for part in parts[:2]),
        *(part.astype(np.int32) for part in (*parts[2:4], rank)),
    )


def exact(values) -> int:
    """The sum of what is finite, in units of 2^-1074."""
    return int(sum((Fraction(v) for v in values if math.isfinite(v)), Fraction(0)) * UNIT)


@examples(1)
@given(rows=st.lists(st.tuples(ANY_LOSS, st.integers(0, 2)), max_size=40), cuts=st.integers(1, 7))
def test_sums_are_exact(rows, cuts):
    book = Book(shape())
    for i in range(0, len(rows), cuts):
        part = rows[i : i + cuts]
        values = scores([loss for loss, _ in part], label=[label for _, label in part])
        book.enter(values, None, CELLS, None, 1)
    for k in range(3):
        own = [loss for loss, label in rows if label == k]
        assert book.sums("loss")[k] == exact(own)
        assert book.count("support")[k] == len(own)
        assert book.count("nans")[k] == sum(map(math.isnan, own))
        assert book.count("infinite")[k] == sum(map(math.isinf, own))
    numbers = [loss for loss, _ in rows if not math.isnan(loss)]
    assert book.sums("loss_square")[0] == exact(loss * loss for loss in numbers)
    assert book.count("lost")[0] == sum(loss * loss == math.inf for loss in numbers)
    assert (
        sum(book.count("losses")) == sum(book.count("ranks")) == sum(book.count("cell_rows")) == len(numbers)
    )


@examples(1)
@given(rows=st.lists(st.tuples(ANY_LOSS, WEIGHT, st.integers(0, 2)), min_size=1, max_size=30))
def test_weighted_sums_are_exact(rows):
    loss, weight, rank = (list(part) for part in zip(*rows, strict=True))
    values = scores(loss, rank=rank, confidence=np.full(len(rows), 0.75), brier=np.full(len(rows), 0.5))
    book = Book(shape(weighted=True))
    book.enter(values, np.array(weight), CELLS, None, 1)
    number = [(w, x, r) for w, x, r in zip(weight, loss, rank, strict=True) if not math.isnan(x)]
    hits = exact(w for w, _, r in number if r == 0)
    assert book.sums("weight") == [exact(weight), 0, 0]
    assert book.sums("loss") == [exact(w * x for w, x, _ in number), 0, 0]
    assert book.sums("weight_square") == [exact(w * w for w, _, _ in number)]
    assert book.sums("weight_loss") == [exact(w * (w * x) for w, x, _ in number)]
    assert book.sums("brier") == [exact(w * 0.5 for w, _, _ in number)]
    assert book.sums("hit_weight") == [hits, 0, 0]
    assert sum(book.sums("cell_hit_weight")) == hits
    assert sum(book.sums("cell_confidence")) == exact(w * 0.75 for w, _, _ in number)
    assert book.sums("rank_weight")[:2] == [hits, exact(w for w, _, r in number if r == 1)]
    for name in ("cell_weight", "losses_weight", "confusion_weight", "rank_weight"):
        assert sum(book.sums(name)) == exact(w for w, _, _ in number)


@pytest.mark.parametrize("most", [2, 64])
def test_carries_are_propagated_in_time(monkeypatch, rng, most):
    """However many rows limbs may hold before their carries move on, sums are the same."""
    values = np.ldexp(1 + rng.random(100), rng.integers(-1070, 1000, 100))
    plain, carried = Book(shape()), Book(shape())
    plain.enter(scores(values), None, CELLS, None, 1)
    monkeypatch.setattr(_books, "_MOST_PENDING", most)
    for value in values:
        carried.enter(scores([value]), None, CELLS, None, 1)
        assert carried._pending <= most
    assert carried.data.tobytes() != plain.data.tobytes()
    assert carried.sums("loss") == plain.sums("loss") == [exact(values), 0, 0]
    assert carried == plain
    both = plain.copy()
    both.add(carried)
    assert both._pending <= most + 1
    assert both.sums("loss") == [2 * exact(values), 0, 0]


def test_limbs_hold_as_many_rows_as_are_pending():
    """The most that a limb can get, as often as it may before carries move on, by doubling."""
    most = float(np.finfo(np.float64).max)
    book = Book(shape())
    book.enter(scores([most, math.ldexp(1 + (2**31 - 1) / 2**31, 0)]), None, CELLS, None, 1)
    one = book.copy().sums("loss")[0]
    for _ in range(31):
        book.add(book.copy())
    assert book.sums("loss")[0] == one << 31
    assert book.count("support")[0] == 1 << 32


def test_cells_hold_their_confidences():
    """Each confidence is in the cell between whose edges it lies: on edges, beside them, and at random."""
    for bins in (1, 2, 3, 7, 15, 100):
        cells = Cells(bins)
        assert np.all(np.diff(cells.edges) > 0)
        assert (cells.edges[0], cells.edges[-1]) == (0, 1)
        edges = np.concatenate([cells.edges, np.arange(bins + 1) / bins])
        values = np.unique(
            np.clip(np.concatenate([edges, np.nextafter(edges, 0), np.nextafter(edges, 1)]), 0, 1)
        )
        book = Book(Shape(1, cells.count, 1, False, False, 0))
        book.enter(scores(np.zeros(len(values)), confidence=values), None, cells, None, 1)
        place = np.minimum(np.searchsorted(cells.edges, values, side="right") - 1, len(cells.edges) - 2)
        assert book.count("cell_rows") == np.bincount(place, minlength=cells.count).tolist()
        wide = np.minimum(np.searchsorted(np.arange(1, bins) / bins, values, side="right"), bins - 1)
        assert cells.bin[place].tolist() == wide.tolist()


def test_keys_of_confidences_ascend():
    values = np.sort(np.concatenate([np.linspace(0, 1, 5001), np.ldexp(1.0, -np.arange(60)), [5e-324]]))
    keys = [_core.confidence_key(value) for value in values]
    assert keys == sorted(keys)
    assert keys[0] == 0
    assert keys[-1] == _core.CONFIDENCE_KEYS - 1


def test_rows_outside_of_a_book_are_refused():
    """Nothing is written where a row leads out of the book."""
    book = Book(shape())
    for wrong in ({"label": [0, 3]}, {"best": [0, 3]}, {"best": [-1, 0]}):
        with pytest.raises(ValueError, match=r"expected|no sense"):
            book.enter(scores([1.0, 1.0], **wrong), None, CELLS, None, 1)
    with pytest.raises(ValueError, match=r"expected|no sense"):
        book.enter(scores([1.0]), np.ones(1), CELLS, None, 1)
    with pytest.raises(ValueError, match=r"expected|no sense"):
        book.enter(scores([1.0, 1.0]), np.ones(1), CELLS, None, 1)
    weighted = Book(shape(weighted=True))
    for weight in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"expected|no sense"):
            weighted.enter(scores([1.0]), np.array([weight]), CELLS, None, 1)
    with pytest.raises(ValueError, match=r"expected|no sense"):
        Book(shape(bins=3)).enter(scores([1.0]), None, CELLS, None, 1)
    with pytest.raises(ValueError, match=r"expected|no sense"):
        Book(shape(bins=3)).enter(scores([1.0]), None, CELLS, np.ones((1, 2)), 1)
    assert not book.data.any()
    assert not weighted.data.any()


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, Book.copy, lambda b: pickle.loads(pickle.dumps(b))]
)
def test_copies_stand_alone(duplicate):
    """Sections of a copy are views of the copy's data: what is entered later is seen there, and nowhere else."""
    book = Book(shape())
    book.enter(scores([1.0, 2.0]), None, CELLS, None, 1)
    other = duplicate(book)
    assert other == book
    other.enter(scores([4.0]), None, CELLS, None, 1)
    assert other != book
    assert (other.count("support")[0], other.sums("loss")[0]) == (3, 7 * UNIT)
    assert (book.count("support")[0], book.sums("loss")[0]) == (2, 3 * UNIT)
    assert book != "a book"


def test_states_come_back(rng):
    book = Book(shape(weighted=True))
    values = scores(np.ldexp(rng.random(50), rng.integers(-1000, 1000, 50)), label=rng.integers(0, 3, 50))
    book.enter(values, rng.random(50) + 0.1, CELLS, None, 1)
    again = Book(shape(weighted=True))
    again.fill(json.loads(json.dumps(book.to_dict())))
    assert again == book
    assert again.to_dict() == book.to_dict()
    assert Book(shape()).to_dict() == {}


@pytest.mark.parametrize(
    "sections",
    [
        [], None, {"nothing": []}, {"support": {}}, {"support": [[0, 1]] * 4}, {"support": [[3, 1]]},
        {"support": [[-1, 1]]}, {"support": [[0, -1]]}, {"support": [[0, 1.0]]}, {"support": [[0, True]]},
        {"support": [[True, 1]]}, {"support": [[0, 1 << 62]]}, {"support": [0]}, {"support": [[0]]},
        {"support": [["0", 1]]}, {"loss": [[0, 1]]}, {"loss": [[0, ""]]}, {"loss": [[0, "-1"]]},
        {"loss": [[0, "0x1"]]}, {"loss": [[0, "1_0"]]}, {"loss": [[0, " 1"]]}, {"loss": [[0, "f" * 10_000_000]]},
        {"loss": [[0, f"{1 << 2142:x}"]]}, {"loss": [[5, "1"]]}, {"loss": [[0, None]]}, {"loss": "11"},
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_damaged_states_are_refused(sections):
    with pytest.raises(ValueError, match=r"must|expected sections|there is no section"):
        Book(shape()).fill(sections)
