# SPDX-License-Identifier: BSD-3-Clause
"""The classes: positional order, reductions, gradients, configuration, and the registry."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import xent_native as xn
from xent_native import losses

CLASSES = [xn.CategoricalCrossentropy, xn.SparseCategoricalCrossentropy]
FUNCTIONS = {
    xn.CategoricalCrossentropy: xn.categorical_crossentropy,
    xn.SparseCategoricalCrossentropy: xn.sparse_categorical_crossentropy,
}
VALUE_AND_GRAD = {
    xn.CategoricalCrossentropy: xn.categorical_crossentropy_value_and_grad,
    xn.SparseCategoricalCrossentropy: xn.sparse_categorical_crossentropy_value_and_grad,
}
OPTIONS = [
    {},
    {"from_logits": True},
    {"from_logits": True, "reduction": "sum", "label_smoothing": 0.1},
    {"from_logits": True, "reduction": "mean_with_sample_weight", "class_weight": [1.0, 2.0, 0.5]},
    {"reduction": "none", "axis": 0, "class_weight": {0: 2.0}},
    {"reduction": None, "epsilon": 1e-3, "dtype": "float32", "name": "mine"},
    {"dtype": np.float64, "class_weight": np.array([1.0, 2.0, 0.5], np.float32)},
]


def targets(cls, labels, axis=-1):
    labels = np.asarray(labels)
    return labels if cls is xn.SparseCategoricalCrossentropy else np.moveaxis(np.eye(3)[labels], -1, axis)


@pytest.fixture
def x(rng):
    return rng.random((3, 3)) + 0.1


def test_positional_order():
    def signature(cls):
        parameters = inspect.signature(cls).parameters.values()
        positional = [(p.name, p.default) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        return positional, {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    assert signature(xn.CategoricalCrossentropy) == (
        [
            ("from_logits", False),
            ("label_smoothing", 0.0),
            ("axis", -1),
            ("reduction", "sum_over_batch_size"),
            ("name", "categorical_crossentropy"),
            ("dtype", None),
        ],
        {"class_weight": None, "epsilon": 1e-7},
    )
    assert signature(xn.SparseCategoricalCrossentropy) == (
        [
            ("from_logits", False),
            ("ignore_class", None),
            ("reduction", "sum_over_batch_size"),
            ("axis", -1),
            ("name", "sparse_categorical_crossentropy"),
            ("dtype", None),
        ],
        {"label_smoothing": 0.0, "class_weight": None, "epsilon": 1e-7},
    )
    for cls in CLASSES:
        call = inspect.signature(cls.__call__).parameters
        assert list(call) == ["self", "y_true", "y_pred", "sample_weight"]
        assert list(inspect.signature(cls.value_and_grad).parameters) == [
            "self", "y_true", "y_pred", "sample_weight", "grad_out",
        ]  # fmt: skip
        assert list(inspect.signature(cls.grad).parameters) == ["self", "y_true", "y_pred", "sample_weight"]


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_class_and_function_agree(cls, options, x):
    """Call, value_and_grad and grad give what the function gives with the same options, bit for bit."""
    loss = cls(**options)
    y = targets(cls, [0, 2, 1], options.get("axis", -1))
    weight = np.array([1.0, 0.0, 2.5])
    given = x.astype(options.get("dtype") or x.dtype)
    arguments = {k: v for k, v in options.items() if k not in ("dtype", "name")}
    arguments.setdefault("reduction", "sum_over_batch_size")
    for sample_weight in (None, weight):
        expected, slope = VALUE_AND_GRAD[cls](y, given, sample_weight=sample_weight, **arguments)
        value, grad = loss.value_and_grad(y, x, sample_weight)
        assert np.array_equal(value, expected)
        assert np.array_equal(grad, slope)
        assert grad.dtype == slope.dtype
        assert np.array_equal(loss(y, x, sample_weight), expected)
        assert np.array_equal(loss.grad(y, x, sample_weight), slope)
        assert np.array_equal(FUNCTIONS[cls](y, given, sample_weight=sample_weight, **arguments), expected)
    assert np.array_equal(loss.call(y, x), FUNCTIONS[cls](y, given, **{**arguments, "reduction": "none"}))


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("axis", [1.0, "1", None, True, np.True_, (0,), [1]])
def test_axis_is_checked_when_made(cls, axis):
    with pytest.raises(ValueError, match="axis must be an integer; got"):
        cls(axis=axis)


@pytest.mark.parametrize("ignored", [1.0, "1", True, np.False_, [1], float("nan")])
def test_ignored_class_is_checked_when_made(ignored):
    with pytest.raises(ValueError, match="ignore_class must be an integer or None; got"):
        xn.SparseCategoricalCrossentropy(ignore_class=ignored)


def test_integers_of_numpy_become_ints():
    loss = xn.SparseCategoricalCrossentropy(ignore_class=np.int8(-1), axis=np.int64(1))
    assert type(loss.ignore_class) is int
    assert type(loss.axis) is int
    assert loss == xn.SparseCategoricalCrossentropy(ignore_class=-1, axis=1)


def test_ignored_class(x):
    loss = xn.SparseCategoricalCrossentropy(True, -1)
    rows = xn.sparse_categorical_crossentropy([0, 2], x[:2], True)
    assert loss([0, 2, -1], x) == pytest.approx(rows.mean(), rel=1e-14)
    assert (loss.grad([0, 2, -1], x)[2] == 0).all()


def test_grad_out(x):
    for cls in CLASSES:
        loss = cls(from_logits=True)
        y = targets(cls, [0, 2, 1])
        expected = loss.grad(y, x)
        buffer = np.full_like(x, np.nan)
        value, grad = loss.value_and_grad(y, x, grad_out=buffer)
        assert grad is buffer
        assert value == loss(y, x)
        logits = x.copy()
        assert loss.value_and_grad(y, logits, grad_out=logits)[1] is logits
        assert np.array_equal(logits, expected)


@pytest.mark.parametrize("cls", CLASSES)
def test_dtype(cls, x):
    """None keeps the precision of the input; a dtype converts the predictions, never the labels."""
    y = targets(cls, [0, 2, 1])
    narrow = x.astype(np.float32)
    assert cls(from_logits=True)(y, x) != cls(from_logits=True)(y, narrow)
    assert cls(from_logits=True, dtype="float32")(y, x) == cls(from_logits=True)(y, narrow)
    assert cls(from_logits=True, dtype="float64")(y, narrow) == cls(from_logits=True)(y, narrow.astype(float))
    assert cls(from_logits=True, dtype="float32").grad(y, x).dtype == np.float32
    assert cls(reduction=None, dtype=np.float64).call(y, narrow).dtype == np.float64
    for dtype in ("float32", np.float32, np.dtype("f4")):
        assert cls(dtype=dtype).dtype == "float32"
    for dtype in ("float16", "int32", "float128", int):
        with pytest.raises((ValueError, TypeError), match=r"dtype must be|data type|not understood"):
            cls(dtype=dtype)
    labels = np.array([2**24 + 1])
    wide = np.zeros((1, 2**24 + 2), np.float32)
    _, grad = xn.SparseCategoricalCrossentropy(True, dtype="float32").value_and_grad(labels, wide)
    assert int(np.argmin(grad)) == 2**24 + 1


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_configuration_round_trips(cls, options, x):
    loss = cls(**options)
    y = targets(cls, [0, 2, 1], options.get("axis", -1))
    expected = loss(y, x)
    config = loss.get_config()
    described = losses.serialize(loss)
    copies = [
        cls.from_config(config),
        cls.from_config(dict(config)),
        pickle.loads(pickle.dumps(loss)),
        copy.copy(loss),
        copy.deepcopy(loss),
        losses.deserialize(described),
        losses.get(described),
    ]
    for twin in copies:
        assert type(twin) is cls
        assert twin == loss
        assert twin.get_config() == config
        assert np.array_equal(twin(y, x), expected)
    assert set(config) == set(inspect.signature(cls).parameters)
    assert cls.from_config(config) != cls(**{**options, "from_logits": not loss.from_logits})
    if not isinstance(options.get("class_weight"), dict):  # whose keys JSON turns into strings: see below
        assert json.loads(json.dumps(described)) == described


@pytest.mark.parametrize(
    "weight",
    [
        np.ones(3, np.longdouble),
        {0: Fraction(1, 2), 1: Decimal(2), 2: np.longdouble(1)},
        {2: np.float32(0.5)},
    ],
    ids=["long double", "mapping", "one"],
)
def test_weights_of_any_number_survive_json(weight):
    loss = xn.SparseCategoricalCrossentropy(from_logits=True, class_weight=weight)
    twin = losses.deserialize(json.loads(json.dumps(losses.serialize(loss))))
    x, y = np.arange(9.0).reshape(3, 3), [0, 1, 2]
    assert (
        twin(y, x)
        == loss(y, x)
        == xn.sparse_categorical_crossentropy(y, x, True, class_weight=weight, reduction="mean")
    )


@pytest.mark.parametrize("config", [5, ["name"], [{}], "name", {1: 2}])
def test_configurations_that_are_none(config):
    with pytest.raises(ValueError, match="config of CategoricalCrossentropy must be a dictionary"):
        losses.deserialize({"class_name": "CategoricalCrossentropy", "config": config})


def test_a_mapping_is_no_weight_of_positives():
    with pytest.raises(TypeError, match="pos_weight must"):
        xn.BinaryCrossentropy(pos_weight={0: 1.0})


@pytest.mark.parametrize("cls", CLASSES)
def test_class_weight_mapping_survives_json(cls, x):
    """JSON turns the keys of a mapping into strings; the loss that comes back must be equal and work."""
    loss = cls(from_logits=True, class_weight={0: 2.0, 2: 0.5})
    twin = losses.deserialize(json.loads(json.dumps(losses.serialize(loss))))
    y = targets(cls, [0, 2, 1])
    assert twin(y, x) == loss(y, x)
    assert twin == loss


def test_configuration_lists_every_option():
    config = xn.SparseCategoricalCrossentropy(
        True, -1, "sum", 1, "mine", "float32", label_smoothing=0.1
    ).get_config()
    assert config == {
        "name": "mine",
        "reduction": "sum",
        "dtype": "float32",
        "from_logits": True,
        "ignore_class": -1,
        "axis": 1,
        "label_smoothing": 0.1,
        "class_weight": None,
        "epsilon": 1e-7,
    }


def test_equality_and_representation():
    loss = xn.CategoricalCrossentropy(True, 0.1)
    assert loss != xn.SparseCategoricalCrossentropy(True, label_smoothing=0.1)
    assert loss != "categorical_crossentropy"
    assert repr(loss).startswith("CategoricalCrossentropy(name='categorical_crossentropy', reduction=")
    assert "label_smoothing=0.1" in repr(loss)
    weighted = xn.CategoricalCrossentropy(class_weight=np.ones(3))
    assert weighted == xn.CategoricalCrossentropy(class_weight=[1, 1, 1])


def test_subclass_is_a_loss(x):
    class Mine(xn.CategoricalCrossentropy):
        pass

    loss = Mine(from_logits=True)
    assert Mine.from_config(loss.get_config()) == loss
    assert loss != xn.CategoricalCrossentropy(from_logits=True)
    with pytest.raises(ValueError, match="loss must be one of"):
        losses.serialize(loss)


@pytest.mark.parametrize("name", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_get_by_name(name):
    function = losses.get(name)
    assert function is getattr(xn, name)
    assert losses.serialize(function) == name
    assert losses.deserialize(name) is function
    cls = "".join(part.title() for part in name.split("_"))
    assert losses.get(cls) == getattr(xn, cls)()
    assert losses.get({"class_name": cls, "config": {"from_logits": True}}) == getattr(xn, cls)(
        from_logits=True
    )
    assert losses.get({"class_name": cls}) == getattr(xn, cls)()


def test_get_passes_callables_and_none():
    assert losses.get(None) is None
    assert losses.get(len) is len
    loss = xn.CategoricalCrossentropy()
    assert losses.get(loss) is loss
    assert losses.get(xn.CategoricalCrossentropy) == loss


def test_names_and_dictionaries_as_keras_has_them():
    assert losses.get("bce") is losses.get("BCE") is xn.binary_crossentropy
    function = {
        "class_name": "function",
        "config": "kl_divergence",
        "module": "builtins",
        "registered_name": "function",
    }
    assert losses.get(function) is xn.kl_divergence
    with pytest.raises(TypeError, match="label_smoothing must be a number"):
        losses.deserialize({"class_name": "BinaryCrossentropy", "config": {"label_smoothing": "a"}})


def test_unknown_losses():
    known = "known are binary_crossentropy, binary_focal_crossentropy, categorical_crossentropy, categorical_focal"
    for identifier in ("crossentropy", "", 3, 2.5):
        with pytest.raises(ValueError, match=f"Could not interpret loss identifier: {identifier!r}; {known}"):
            losses.get(identifier)
    for description in ({}, {"class_name": "Dice"}, {"config": {}}):
        with pytest.raises(ValueError, match="Could not interpret loss identifier"):
            losses.deserialize(description)
    with pytest.raises(
        ValueError, match="config of CategoricalCrossentropy has an option that it does not know"
    ):
        losses.deserialize({"class_name": "CategoricalCrossentropy", "config": {"gamma": 2}})
    for thing in (len, 3, "categorical_crossentropy", xn.softmax):
        with pytest.raises(ValueError, match="loss must be one of"):
            losses.serialize(thing)


def test_legacy_reduction_names(x):
    assert (losses.Reduction.NONE, losses.Reduction.SUM) == ("none", "sum")
    loss = xn.CategoricalCrossentropy(True, reduction=losses.Reduction.SUM_OVER_BATCH_SIZE)
    assert loss(np.eye(3), x) == xn.CategoricalCrossentropy(True)(np.eye(3), x)


def test_public_names():
    assert xn.losses is losses
    for name in xn.__all__:
        assert hasattr(xn, name), name
    assert xn.CategoricalCrossentropy is losses.CategoricalCrossentropy
