# SPDX-License-Identifier: BSD-3-Clause
"""Focal loss, poly1 and KL divergence as classes: positional order, agreement with the functions, configuration."""

from __future__ import annotations

import copy
import inspect
import json
import pickle

import numpy as np
import pytest

import xent_native as xn
from xent_native import losses

END = [("reduction", "sum_over_batch_size"), ("name", ...), ("dtype", None)]
POSITIONAL = {
    "CategoricalFocalCrossentropy": [
        ("alpha", 0.25), ("gamma", 2.0), ("from_logits", False), ("label_smoothing", 0.0), ("axis", -1), *END,
    ],
    "Poly1Crossentropy": [("epsilon", 2.0), ("from_logits", True), ("axis", -1), *END],
    "KLDivergence": END,
}  # fmt: skip
FUNCTIONS = {
    "CategoricalFocalCrossentropy": "categorical_focal_crossentropy",
    "Poly1Crossentropy": "poly1_crossentropy",
    "KLDivergence": "kl_divergence",
}
OPTIONS = {
    "CategoricalFocalCrossentropy": [
        {},
        {"alpha": [0.25, 0.5, 1.0], "gamma": 3, "from_logits": True, "reduction": "sum"},
        {"alpha": np.float32(0.5), "label_smoothing": 0.1, "axis": 0, "reduction": None, "name": "mine"},
        {"gamma": np.int64(1), "class_weight": {1: 2.0}, "epsilon": 1e-3, "dtype": "float32"},
    ],
    "Poly1Crossentropy": [
        {},
        {"epsilon": -1, "label_smoothing": 0.2, "reduction": "mean_with_sample_weight"},
        {"from_logits": False, "clip_epsilon": 1e-4, "axis": 0, "class_weight": [1.0, 2.0, 0.5]},
    ],
    "KLDivergence": [{}, {"axis": 0, "reduction": "none"}, {"epsilon": 1e-3, "dtype": np.float64}],
}
CASES = [(name, options) for name, many in OPTIONS.items() for options in many]


@pytest.mark.parametrize("name", POSITIONAL)
def test_positional_order(name):
    parameters = inspect.signature(getattr(xn, name)).parameters.values()
    expected = [(key, FUNCTIONS[name] if default is ... else default) for key, default in POSITIONAL[name]]
    assert [(p.name, p.default) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD] == expected


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_class_and_function_agree(name, options, rng):
    loss = getattr(xn, name)(**options)
    x, y = rng.random((3, 3)) + 0.1, rng.dirichlet(np.ones(3), 3)
    arguments = {k: v for k, v in options.items() if k not in ("dtype", "name")}
    arguments.setdefault("reduction", "sum_over_batch_size")
    given = x.astype(options.get("dtype") or x.dtype)
    both = getattr(xn, f"{FUNCTIONS[name]}_value_and_grad")
    for weight in (None, np.array([1.0, 0.0, 2.5])):
        expected, slope = both(y, given, sample_weight=weight, **arguments)
        value, grad = loss.value_and_grad(y, x, weight)
        assert np.array_equal(value, expected)
        assert np.array_equal(grad, slope)
        assert np.array_equal(loss(y, x, weight), expected)
        assert np.array_equal(loss.grad(y, x, weight), slope)
    rows = getattr(xn, FUNCTIONS[name])(y, given, **{**arguments, "reduction": "none"})
    assert np.array_equal(loss.call(y, x), rows)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_configuration_round_trips(name, options, rng):
    cls = getattr(xn, name)
    loss = cls(**options)
    described = losses.serialize(loss)
    assert set(loss.get_config()) == set(inspect.signature(cls).parameters)
    twins = [
        cls.from_config(loss.get_config()),
        pickle.loads(pickle.dumps(loss)),
        copy.deepcopy(loss),
        losses.deserialize(json.loads(json.dumps(described))),
        losses.get(described),
    ]
    x, y = rng.random((3, 3)) + 0.1, rng.dirichlet(np.ones(3), 3)
    for twin in twins:
        assert type(twin) is cls
        assert twin == loss
        assert np.array_equal(twin(y, x), loss(y, x))


@pytest.mark.parametrize(("cls", "function"), FUNCTIONS.items())
def test_get_by_name(cls, function):
    assert losses.get(function) is getattr(xn, function)
    assert losses.serialize(losses.get(function)) == function
    assert losses.get(cls) == getattr(xn, cls)()
    assert getattr(losses, cls) is getattr(xn, cls)


def test_names_that_keras_has_beside():
    assert losses.get("kld") is losses.get("KLD") is xn.kl_divergence


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (ValueError, "gamma must be a finite number", lambda: xn.CategoricalFocalCrossentropy(gamma=-0.5)),
        (ValueError, "alpha must be finite", lambda: xn.CategoricalFocalCrossentropy([0.5, float("nan")])),
        (TypeError, "alpha must hold real numbers", lambda: xn.CategoricalFocalCrossentropy("auto")),
        (ValueError, "epsilon must be a finite number", lambda: xn.Poly1Crossentropy(float("nan"))),
        (ValueError, "clip_epsilon must lie in", lambda: xn.Poly1Crossentropy(clip_epsilon=-1)),
        (ValueError, "axis must be an integer", lambda: xn.KLDivergence(axis=True)),
        (ValueError, "reduction must be one of", lambda: xn.KLDivergence("batchmean")),
    ],
)
def test_options_are_checked_when_made(error, message, make):
    with pytest.raises(error, match=message):
        make()


def test_one_class_is_a_warning_of_the_categorical_losses():
    one = np.ones((2, 1))
    for call in (
        lambda: xn.categorical_crossentropy(one, one, True),
        lambda: xn.categorical_crossentropy_value_and_grad(one, one, True),
        lambda: xn.CategoricalCrossentropy(from_logits=True)(one, one),
        lambda: xn.CategoricalFocalCrossentropy(from_logits=True)(one, one),
    ):
        with pytest.warns(SyntaxWarning, match=r"more than one class; got shape \(2, 1\)") as caught:
            call()
        assert caught[0].filename == __file__
    xn.sparse_categorical_crossentropy([0, 0], one, True)
    xn.kl_divergence(one, one)


@pytest.mark.parametrize(
    ("y_shape", "x_shape", "common"),
    [
        ((3,), (3, 1), (3, 1)), ((3, 1), (3,), (3, 1)), ((4, 3, 1), (4, 3), (4, 3)), ((4, 3), (4, 3, 1), (4, 3)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["CategoricalCrossentropy", *FUNCTIONS])
def test_classes_fix_ranks_as_keras(name, y_shape, x_shape, common, rng):
    """A last axis of length 1 too many or too few; the gradient has the shape of the predictions."""
    loss = getattr(xn, name)()
    y, x = rng.random(y_shape), rng.random(x_shape) + 0.1
    expected, slope = loss.value_and_grad(y.reshape(common), x.reshape(common))
    buffer = np.empty(x_shape)
    for given in (None, buffer):
        value, grad = loss.value_and_grad(y, x, grad_out=given)
        assert value == expected
        assert grad.shape == x_shape
        assert np.array_equal(grad.reshape(common), slope)
    assert grad is buffer
    assert loss(y.tolist(), x.tolist()) == expected
    for wrong in [np.empty((2, 2)), *([np.empty(common)] if common != x_shape else [])]:
        with pytest.raises(ValueError, match="grad_out must have"):
            loss.value_and_grad(y, x, grad_out=wrong)


@pytest.mark.parametrize("name", ["CategoricalCrossentropy", "BinaryCrossentropy", *FUNCTIONS])
def test_weights_of_rows_may_lack_a_last_axis_of_length_1(name, rng):
    y, x = rng.random((4, 1, 3)), rng.random((4, 1, 3)) + 0.1
    loss = getattr(xn, name)(reduction="sum")
    weights = np.array([1.0, 2.0, 0.0, 3.0])
    assert loss(y, x, weights) == loss(y, x, weights[:, None])


@pytest.mark.parametrize(
    ("name", "option"), [("BinaryCrossentropy", "pos_weight"), ("Poly1Crossentropy", "class_weight")]
)
def test_weights_of_any_library_are_kept_as_numbers(name, option, rng):
    """Configurations are JSON, losses are equal or not, and what the caller does to the array changes nothing."""
    pandas = pytest.importorskip("pandas")
    cls = getattr(xn, name)
    mine = np.array([1.0, 2.0, 0.5])
    made = [cls(**{option: given}) for given in (mine, [1, 2, 0.5], pandas.Series([1.0, 2.0, 0.5]))]
    mine[0] = 9
    assert all(loss == made[0] for loss in made)
    assert json.loads(json.dumps(made[2].get_config()))[option] == [1.0, 2.0, 0.5]
    assert pickle.loads(pickle.dumps(made[2])) == made[0]
    for wrong, error in (("abc", TypeError), (object(), TypeError), ([[1.0], [2.0]], ValueError)):
        with pytest.raises(error, match=option):
            cls(**{option: wrong})
