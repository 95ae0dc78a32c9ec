# SPDX-License-Identifier: BSD-3-Clause
"""What no call writes: its inputs, ever; and the caller's buffers, if there is anything wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from edge_functions import CALLS, DTYPES, LABELLED, ORDERS, Call, dtype_of
from edge_rows import Sparse

N, C = 6, 5


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_inputs_are_never_modified(call):
    """Nor need they be writeable: results are the same if they are not."""
    for dtype in DTYPES:
        for order in ORDERS:
            y, x, axis = call.placed(*call.problem(N, C, dtype), order)
            inputs = {"y_true": y, "y_pred": x, **call.weights(x, axis)}
            before = {name: array.tobytes() for name, array in inputs.items()}
            options = {name: inputs[name] for name in inputs if name not in ("y_true", "y_pred")}
            found = [call(y, x, axis, **options), call(y, x, axis), call(y, x, axis, **call.buffers(x, axis))]
            for array in inputs.values():
                array.flags.writeable = False
            again = [call(y, x, axis, **options), call(y, x, axis), call(y, x, axis, **call.buffers(x, axis))]
            for one, other in zip(found, again, strict=True):
                assert {name: value.tobytes() for name, value in one.items()} == {
                    name: value.tobytes() for name, value in other.items()
                }
            for name, array in inputs.items():
                assert array.tobytes() == before[name], f"{name}, {dtype}, {order}"


class Hostile:
    """Its methods raise what nobody expects."""

    def raising(self, *args: Any, **options: Any) -> Any:
        raise RuntimeError("no")

    __array__ = __float__ = __index__ = __bool__ = __repr__ = raising


def wrong_arrays(good: np.ndarray) -> Iterator[Any]:
    """In place of an array of numbers: of a shape that does not fit, or no numbers."""
    yield np.zeros((*good.shape, 2), good.dtype)
    yield np.zeros((good.shape[0] + 1, *good.shape[1:]), good.dtype)
    yield good.astype(object)
    yield good.astype(complex)
    yield good.astype(str)
    yield np.ma.array(np.asarray(good), mask=True)
    yield Sparse()
    yield Hostile()
    yield [[1.0], [1.0, 2.0]]
    yield {"a": 1}


WRONG_OPTIONS: dict[str, tuple[Any, ...]] = {
    "axis": (2, -3, 10**30, 1.0, None, True, "1", Hostile()),
    "reduction": ("average", 1, [], Hostile()),
    "from_logits": (np.array([True, False]), Hostile()),
    "label_smoothing": (
        -0.1,
        1.1,
        np.nan,
        np.inf,
        "0.1",
        b"1",
        None,
        True,
        1j,
        10**400,
        np.ma.masked,
        Hostile(),
    ),
    "epsilon": (-0.1, np.nan, np.inf, "0.1", None, True, Hostile()),
    "clip_epsilon": (-0.1, 0.5, np.nan, "0.1", None, True, Hostile()),
    "gamma": (-0.1, np.nan, np.inf, "2", None, True, 10**400, Hostile()),
    "apply_class_balancing": (np.array([True, False]), Hostile()),
    "ignore_class": (1.0, "1", True, [1], np.nan, Hostile()),
    "ignore_index": (1.0, "1", True, None, np.nan, Hostile()),
    "n_threads": (0, -1, 1.5, "2", True, np.nan, Hostile()),
    "class_weight": ({C: 1.0}, {-1: 1.0}, {"a": 1.0}, {"9" * 5000: 1.0}, {0: "a"}, {0: None}, {0: Hostile()}),
    "alpha": (np.nan, -np.inf),
    "dtype": ("float16", "int32", "nothing", 3, Hostile()),
}


def wrong_calls(call: Call, y: Any, x: np.ndarray) -> Iterator[tuple[str, Any, Any, dict[str, Any]]]:
    """(what is wrong, targets, predictions, options) of calls that must be refused."""
    for value in (*wrong_arrays(x), None, x[:, :0], x[0, 0]):
        if not (call.host == "activation" and isinstance(value, np.ndarray) and value.dtype.kind == "f"):
            yield "y_pred", y, value, {}
    for value in wrong_arrays(y) if call.targets else ():
        yield "y_true", value, x, {}
    if call.targets:
        yield "y_true", None, x, {}
    if call in LABELLED:
        for value in (C, 127, -1, -128):
            bad = np.zeros(N, np.int8)
            bad[-1] = value
            yield "label", bad, x, {}
        yield "labels", np.zeros(N), x, {}
    for name, good in call.weights(x).items():
        for value in wrong_arrays(good):
            if name not in ("class_weight",) or not isinstance(value, dict):
                yield name, y, x, {name: value}
    for name, values in WRONG_OPTIONS.items():
        for value in values if name in call.arguments else ():
            if name == "epsilon" and "poly1" in call.name.lower() and value == -0.1:
                continue  # of poly1: any finite number
            yield name, y, x, {name: value}
    if call.outputs == ("grad", "hess"):
        yield "from_logits", y, x, {"from_logits": False}
    for name, good in call.buffers(x).items():
        locked = good.copy()
        locked.flags.writeable = False
        other = np.float32 if good.dtype == np.float64 else np.float64
        for value in (
            good[..., None],
            good[:-1],
            good.astype(other),
            locked,
            good.tolist(),
            "a",
            1.0,
            Hostile(),
        ):
            yield name, y, x, {name: value}
        yield name, y, x, {name: np.broadcast_to(good[:1].copy(), good.shape)}
        yield name, y, x, {name: np.lib.stride_tricks.as_strided(good.copy(), good.shape, (0,) * good.ndim)}


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_buffers_are_untouched_by_every_error(call):
    """Only documented exceptions; all the buffers that the call can take are there, and keep their bytes."""
    y, x = call.problem(N, C, "float64")
    given = call.buffers(x)
    places = {
        name: np.arange(good.size, dtype=good.dtype).reshape(good.shape) for name, good in given.items()
    }
    before = {name: buffer.tobytes() for name, buffer in places.items()}
    tried = 0
    for what, target, prediction, options in wrong_calls(call, y, x):
        with pytest.raises((TypeError, ValueError, IndexError)) as caught:
            call(target, prediction, options.pop("axis", -1), **{**places, **options})
        assert re.match(r"\w+ must |\w+_grad_and_hess must ", str(caught.value)), f"{what}: {caught.value!r}"
        if what == "label":
            assert caught.type is IndexError
        for name, buffer in places.items():
            assert buffer.tobytes() == before[name], f"{what} wrong: {name} was written"
        tried += 1
    assert tried > 10


@pytest.mark.parametrize(
    "call", [call for call in CALLS if "grad_out" in call.arguments and call.logits], ids=str
)
def test_predictions_in_place_are_untouched_by_every_error(call):
    y, x = call.problem(N, C, "float64")
    before = x.tobytes()
    for what, target, prediction, options in wrong_calls(call, y, x):
        if prediction is x and "grad_out" not in options:
            with pytest.raises((TypeError, ValueError, IndexError)):
                call(target, x, options.pop("axis", -1), grad_out=x, **options)
            assert x.tobytes() == before, what


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_numbers_that_do_not_fit_make_no_noise(call):
    """Weights and targets beyond the computing dtype: inf or 0 there, also where NumPy is told to raise."""
    for dtype in ("float16", "float32"):
        y, x, axis = call.placed(*call.problem(N, C, dtype), "last")
        wide = {name: np.full_like(value, 1e300) for name, value in call.weights(x, axis).items()}
        tiny = {name: np.full_like(value, 1e-300) for name, value in wide.items()}
        with np.errstate(all="raise"):
            for options in (wide, tiny, {}):
                call(y, x, axis, **options)
            if "class_weight" in call.arguments:
                call(y, x, axis, class_weight={0: 1e300, 1: 1e-300, "2": 10**400})
            if call.targets and y.dtype.kind == "f":
                call(np.full(y.shape, 1e300), x, axis)
                call(np.full(y.shape, 1e-300), x, axis)
            if "reduction" in call.arguments and "out" in call.arguments:
                out = np.zeros((), np.float32)
                call(y, np.full(x.shape, -1e300 if call.logits else 0.5), axis, reduction="sum", out=out)
        assert dtype_of(dtype) == x.dtype
