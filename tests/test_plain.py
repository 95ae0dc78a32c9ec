# SPDX-License-Identifier: BSD-3-Clause
"""The short way of plain calls and the thorough way are one function: the same bits, types and errors."""

from __future__ import annotations

import functools
import inspect
import itertools
import sys

import numpy as np
import pytest
from cases import INTEGERS

import xent_native as xn
from xent_native import _core, losses

SHORT = _core.plain_cross_entropy
SHAPES = [
    ((7, 5), -1),
    ((70, 3), 1),
    ((6, 130), -1),
    ((4, 5), 0),
    ((2, 6, 3), 1),
    ((2, 3, 4), -1),
    ((5, 1), -1),
]
SHAPES += [((1, 4, 1), 1), ((6, 130, 1), 1), ((6,), 0), ((0, 3), -1), ((2, 3, 0), 1), ((2, 1, 3, 4), -3)]
REDUCTIONS = [None, "none", "sum", "mean", "sum_over_batch_size", "mean_with_sample_weight"]


def layouts(array: np.ndarray) -> dict[str, np.ndarray]:
    """The same values in memory that C walks as it is, and in memory that it does not."""
    misaligned = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    misaligned[...] = array
    gaps = np.repeat(array, 2, axis=-1)[..., ::2]
    read_only = array.copy()
    read_only.flags.writeable = False
    return {
        "C": array,
        "F": np.asfortranarray(array),
        "gaps": gaps,
        "reversed": array[::-1].copy()[::-1],
        "misaligned": misaligned,
        "other byte order": array.astype(array.dtype.newbyteorder()),
        "read-only": read_only,
        "subclass": array.view(np.memmap),
        "list": array.tolist(),
    }


def outcome(call):
    """What a call gave, to the last bit: dtypes, shapes, bytes; or its exception."""
    try:
        values = call()
    except Exception as error:
        return type(error), str(error)
    values = values if isinstance(values, tuple) else (values,)
    return [(type(v), getattr(v, "dtype", None), np.shape(v), np.asarray(v).tobytes()) for v in values]


@pytest.fixture
def both_ways(monkeypatch):
    """A function that checks that a call does the same both ways, and says whether the short way took it."""

    def check(call, what) -> bool:
        taken = []

        def spy(*arguments):
            found = SHORT(*arguments)
            taken.append(found is not None)
            return found

        monkeypatch.setattr(_core, "plain_cross_entropy", lambda *arguments: None)
        thorough = outcome(call)
        monkeypatch.setattr(_core, "plain_cross_entropy", spy)
        assert outcome(call) == thorough, what
        return taken == [True]

    return check


def problem(dense: bool, shape, axis, dtype="float32", integer="int64"):
    rng = np.random.default_rng([dense, *shape])
    x = (rng.random(shape) + 0.05).astype(dtype)
    if dense:
        return rng.random(shape).astype(dtype), x
    rows = np.moveaxis(x, axis, -1).shape[:-1]
    return rng.integers(0, shape[axis], rows).astype(integer), x


def functions(dense: bool):
    name = "categorical_crossentropy" if dense else "sparse_categorical_crossentropy"
    return getattr(xn, name), getattr(xn, f"{name}_value_and_grad")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("dense", [True, False])
def test_plain_calls_take_the_short_way(isa, both_ways, dense, from_logits, dtype):
    for (shape, axis), reduction, smoothing in itertools.product(SHAPES, REDUCTIONS, (0.0, 0.1)):
        y, x = problem(dense, shape, axis, dtype)
        for function in functions(dense):

            def call(function=function, y=y, x=x, axis=axis, reduction=reduction, smoothing=smoothing):
                return function(y, x, from_logits, axis=axis, reduction=reduction, label_smoothing=smoothing)

            warns = dense and shape[axis] == 1  # of one class, which the short way does not
            assert both_ways(call, (function.__name__, shape, axis, reduction, smoothing)) != warns


@pytest.mark.parametrize("integer", [*INTEGERS, "longlong", "ulonglong"])
@pytest.mark.parametrize(
    "ignored", [None, 0, 2, -1, 127, 255, 2**31, -(2**63), 2**63 - 1, 2**63, 2**64, -(2**70)]
)
def test_labels_and_ignored_classes(both_ways, integer, ignored):
    limits = np.iinfo(integer)
    fits = ignored is not None and limits.min <= ignored <= limits.max
    for (shape, axis), reduction in itertools.product(SHAPES, ("none", "mean")):
        y, x = problem(False, shape, axis, integer=integer)
        if fits:
            y.reshape(-1)[::3] = ignored
        elif ignored == -1:  # the same bits, but not the same number
            y.reshape(-1)[::3] = limits.max
        for function in functions(False):
            call = functools.partial(function, y, x, True, ignored, axis, reduction=reduction)
            short = both_ways(call, (function.__name__, shape, axis, reduction))
            in_range = np.all((y < shape[axis]) | (y == ignored))
            fits_int64 = ignored is None or (-(2**63) <= ignored < 2**63 and np.dtype(integer) != np.uint64)
            assert short == (in_range and fits_int64)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("dense", [True, False])
def test_layouts(both_ways, dense, from_logits):
    taken = {}
    for shape, axis in SHAPES:
        if len(shape) == 1 or (dense and shape[axis] == 1):  # of one class the short way would not warn
            continue
        y, x = problem(dense, shape, axis)
        for (x_layout, xs), (y_layout, ys) in itertools.product(layouts(x).items(), layouts(y).items()):
            for function in functions(dense):
                call = functools.partial(function, ys, xs, from_logits, axis=axis, reduction="mean")
                short = both_ways(call, (function.__name__, shape, x_layout, y_layout))
                taken.setdefault((x_layout, y_layout), []).append(short)
    assert all(taken["C", "C"])
    assert all(taken["read-only", "read-only"])
    for never in ("subclass", "list"):
        assert not any(any(found) for layout, found in taken.items() if never in layout)


BAD = {
    "from_logits": [1, 0, "yes", np.True_, None, np.array([True, False])],
    "axis": [1, 0, 2, -2, -3, 2**40, -(2**40), 1.0, "1", None, True, np.int64(1), [1]],
    "label_smoothing": [
        0,
        1,
        1.0,
        -0.1,
        1.1,
        float("nan"),
        float("inf"),
        "a",
        None,
        np.float32(0.1),
        10**400,
    ],
    "epsilon": [0, 0.0, 0.4999, 0.5, 1.0, -1e-9, float("nan"), "a", None, np.float64(1e-3), 10**400],
    "reduction": ["sum", "avg", "", 2, [], np.str_("mean"), "mean_with_sample_weight"],
    "n_threads": [1, 3, 0, -1, 1.5, "2", True, 10**30],
    "sample_weight": [np.ones(4), [1, 2, 3, 4.0], 2.0, np.ones(3), "a"],
    "class_weight": [np.ones(3), [1, 2, 0.5], {0: 2.0}, np.ones(4), {7: 1.0}],
    "out": [np.empty(4), np.empty(4, np.float32), np.empty(()), 3],
}
LABELS = [
    [0, 1, 2, 0], [[0], [1], [2], [0]], [0, 1, 2], [0, 1, 2, 3], [0, -1, 2, 0], [0.0, 1, 2, 0], [True] * 4,
    [0, 1, 2, 2**40], [], None, "a", 0,
]  # fmt: skip
# As many rows, and as many of them in a group, but not the same ones.
LOGITS = np.ones((2, 3, 5), np.float32)
SWAPPED = {
    True: [np.ones(shape, np.float32) for shape in ((3, 2, 5), (6, 5), (1, 6, 5), (6, 1, 5))],
    False: [np.ones(shape, int) for shape in ((3, 2), (6,), (1, 6), (6, 1), (2, 3, 1), (1, 2, 3))],
}
PREDICTIONS = [None, "a", 1.0, [], [[]], np.zeros((4, 0)), np.zeros((0, 3)), np.zeros((4, 3), complex)]
PREDICTIONS += [
    np.zeros((4, 3), dtype) for dtype in ("f2", "f4", "f8", "g", "i4", "?", "O", "M8[s]", ">f4", "S3")
]
PREDICTIONS += [np.ma.masked_less(np.eye(4, 3), 1), np.full((4, 3), np.nan)]


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("dense", [True, False])
def test_unusual_arguments_and_errors(both_ways, dense, from_logits):
    """Whatever the argument: both ways give the same, or refuse it in the same words."""
    y, x = problem(dense, (4, 3), -1)
    names = [*BAD] if dense else [*BAD, "ignore_class"]
    values = {**BAD, "ignore_class": [1, -1, 2**70, True, 1.0, "1", np.int8(1), [1]]}
    for function, reduction in itertools.product(functions(dense), ("none", "mean")):
        usual = {"y_true": y, "y_pred": x, "from_logits": from_logits, "reduction": reduction}
        changes = [{name: value} for name in names for value in values[name]]
        changes += [{"y_pred": value} for value in PREDICTIONS]
        changes += [{"y_true": value} for value in PREDICTIONS]
        changes += [{"y_true": np.array(value)} for value in LABELS if value is not None]
        changes += [{"y_true": np.array(value).astype("i4")} for value in LABELS[:5]]
        changes += [{"y_true": value} for value in LABELS]
        changes += [{"y_true": swapped, "y_pred": LOGITS} for swapped in SWAPPED[dense]]
        changes += [
            {"y_true": np.array(v), "axis": a} for v in ([0, 1, 1], [0, 3, 4], [0, 1]) for a in (0, -2, 1)
        ]
        for change in changes:
            both_ways(functools.partial(function, **{**usual, **change}), change)


@pytest.mark.parametrize("dense", [True, False])
def test_classes_take_the_short_way(both_ways, dense):
    y, x = problem(dense, (7, 5), -1)
    cls = xn.CategoricalCrossentropy if dense else xn.SparseCategoricalCrossentropy
    for reduction, from_logits in itertools.product(REDUCTIONS, (True, False)):
        loss = cls(from_logits, reduction=reduction, axis=np.int64(-1), label_smoothing=0)
        for call in (loss, loss.call, loss.value_and_grad, loss.grad):
            assert both_ways(functools.partial(call, y, x), (reduction, from_logits))
    loss = cls(dtype="float64")
    assert both_ways(lambda: loss(y if not dense else y.astype(float), x), "converted")
    weighted = cls(class_weight=[1, 2, 3, 4, 5])
    assert not both_ways(lambda: weighted(y, x), "weighted")
    weighted.axis = "no axis"  # set behind the constructor's back
    assert not both_ways(lambda: weighted(y, x), "no axis")


OTHERS = {
    "binary_crossentropy": [{}, {"label_smoothing": 0.1}],
    "binary_focal_crossentropy": [
        {},
        {"gamma": 1, "alpha": 1},
        {"gamma": 0.5, "apply_class_balancing": True},
    ],
    "categorical_focal_crossentropy": [{}, {"gamma": 1, "alpha": 2}, {"gamma": 0.5, "label_smoothing": 0.1}],
    "kl_divergence": [{}, {"epsilon": 0.0}],
    "poly1_crossentropy": [{}, {"epsilon": -1, "label_smoothing": 0.1}],
}
WARN = ("categorical_focal_crossentropy", "poly1_crossentropy")  # of one class, which the short way does not
NUMBERS = [
    0,
    1,
    2.5,
    0.5,
    -0.1,
    True,
    None,
    "a",
    float("nan"),
    float("inf"),
    10**400,
    np.float32(0.5),
    [0.5],
    [1, 2, 3],
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("name", OTHERS)
def test_other_losses_take_the_short_way(isa, both_ways, name, from_logits, dtype):
    for (shape, axis), reduction, options in itertools.product(SHAPES, REDUCTIONS, OTHERS[name]):
        y, x = problem(True, shape, axis, dtype)
        source = {} if name == "kl_divergence" else {"from_logits": from_logits}
        for function in (getattr(xn, name), getattr(xn, f"{name}_value_and_grad")):
            call = functools.partial(function, y, x, axis=axis, reduction=reduction, **source, **options)
            warns = name in WARN and shape[axis] == 1
            assert both_ways(call, (function.__name__, shape, axis, reduction, options)) != warns


@pytest.mark.parametrize("name", OTHERS)
def test_unusual_arguments_of_other_losses(both_ways, name):
    y, x = problem(True, (4, 3), -1)
    values = {**BAD, "pos_weight": BAD["class_weight"], "apply_class_balancing": BAD["from_logits"]}
    values |= {"alpha": NUMBERS, "gamma": NUMBERS, "clip_epsilon": BAD["epsilon"]}
    if name == "poly1_crossentropy":
        values["epsilon"] = NUMBERS
    for function in (getattr(xn, name), getattr(xn, f"{name}_value_and_grad")):
        names = set(inspect.signature(function).parameters) & set(values)
        assert len(names) >= 6
        changes = [{option: value} for option in sorted(names) for value in values[option]]
        changes += [{argument: value} for argument in ("y_true", "y_pred") for value in PREDICTIONS]
        changes += [{"y_true": swapped, "y_pred": LOGITS} for swapped in SWAPPED[True]]
        for change, reduction in itertools.product(changes, ("none", "mean")):
            arguments = {"y_true": y, "y_pred": x, "reduction": reduction, **change}
            both_ways(functools.partial(function, **arguments), change)


@pytest.mark.parametrize(
    "name",
    [
        "BinaryCrossentropy",
        "BinaryFocalCrossentropy",
        "CategoricalFocalCrossentropy",
        "KLDivergence",
        "Poly1Crossentropy",
    ],
)
def test_classes_of_other_losses_take_the_short_way(both_ways, name):
    y, x = problem(True, (7, 5), -1)
    loss = getattr(losses, name)()
    for call in (loss, loss.call, loss.value_and_grad, loss.grad):
        assert both_ways(functools.partial(call, y, x), name)
    assert not both_ways(lambda: loss(y, x, [1.0] * 7), "weighted")


def test_new_arrays_every_time():
    y, x = problem(False, (7, 5), -1)
    loss, grad = xn.sparse_categorical_crossentropy_value_and_grad(y, x, True)
    kept = loss.copy(), grad.copy()
    again = xn.sparse_categorical_crossentropy_value_and_grad((y + 1) % 5, x, True)
    assert np.array_equal(loss, kept[0])
    assert np.array_equal(grad, kept[1])
    assert loss.flags.writeable
    assert grad.flags.owndata
    assert not np.array_equal(again[1], grad)


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("dense", [True, False])
def test_arguments_are_given_back(dense, reduction):
    """A buffer that is not released holds a reference to its array. After results, refusals and bad labels."""
    y, x = problem(dense, (7, 5), -1)
    wrong = y[1:] if dense else np.full(7, 9)
    dtype = x.dtype
    arrays = (y, x, wrong, dtype, reduction)
    before = [sys.getrefcount(a) for a in arrays]
    for _ in range(100):
        assert SHORT(dense, y, x, True, -1, None, 0.0, reduction, 1e-7, 0, True) is not None
        assert SHORT(dense, wrong, x, True, -1, None, 0.0, reduction, 1e-7, 0, True) is None
        assert SHORT(dense, y, x, True, 2**70, None, 0.0, reduction, 1e-7, 0, True) is None
        assert SHORT(dense, y, x, wrong, -1, None, 0.0, reduction, 1e-7, 0, True) is None
        assert SHORT(dense, y, x, True, -1, None, 2.0, reduction, 1e-7, 0, True) is None
    assert [sys.getrefcount(a) for a in arrays] == before
