# SPDX-License-Identifier: BSD-3-Clause
"""Any call of any loss: hypothesis draws arrays of random bits in any layout, and options that make sense or do not.

A call gives a result or one of the documented exceptions; an exception leaves every buffer as it was; inputs are never
written; and a result does not depend on the layout of its arrays (the same bits as from plain ones), on the rows
beside a row (D1), on threads (D2), or on AVX2 or AVX-512 (D3).
"""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import numpy as np
import pytest
from compatibility import FUNCTIONS
from compatibility_inputs import misaligned, read_only
from conftest import ISAS
from hypothesis import event, given
from hypothesis import strategies as st
from profiles import examples

import xent_native as xn

DOCUMENTED = (TypeError, ValueError, IndexError)
INTEGERS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
CALLS = [name for name in xn.__all__ if name.startswith(tuple(FUNCTIONS))]
# Around vectors, and on either side of where lanes over rows give way to lanes over classes.
CLASSES = st.one_of(st.integers(1, 9), st.sampled_from([16, 17, 63, 64, 65, 112, 113, 130, 300]))

# By option: values that make sense, and values that do not.
OPTIONS: dict[str, tuple[list[Any], list[Any]]] = {
    "from_logits": ([True, False, True, False, 1, 0], []),
    "label_smoothing": ([0.0, 0.1, 1.0, np.float32(0.25), 1], [-0.1, 1.5, np.nan, "0.1", None, True, [0.1]]),
    "reduction": (
        ["none", None, "sum", "mean", "sum_over_batch_size", "mean_with_sample_weight"],
        ["average", 3, [], "SUM"],
    ),
    "ignore_class": ([None, 0, 1, -1, 255, np.int8(2), 2**64 - 1], [1.0, "1", True, [0]]),
    "alpha": ([0.25, 0.0, 1.0, 1], [np.nan, np.inf, "a", -1e400, [[0.5]]]),
    "gamma": ([2.0, 0.0, 1.0, 0.5, 5, np.float64(3)], [-1.0, np.nan, np.inf, "2", None]),
    "apply_class_balancing": ([True, False], []),
    "clip_epsilon": ([1e-7, 0.0, 0.25], [-1.0, np.nan, "e", None]),
    "epsilon": ([1e-7, 0.0, 0.25], [-1.0, np.nan, "e", None]),
    "n_threads": ([None, 1, 2, 5, 10**30, np.int64(3)], [0, -1, 1.5, "2", True]),
}


class Call(NamedTuple):
    """A call before it is made: plain arrays, and how they are to be laid out."""

    name: str
    x: np.ndarray
    y: np.ndarray
    axis: int
    options: dict[str, Any]
    ways: tuple[str, ...]
    buffers: bool
    in_place: bool
    sensible: bool


def random_values(draw, rng, shape, dtype) -> np.ndarray:
    """Of any bits, of the extremes, or such as a model may give."""
    size = int(np.prod(shape))
    info = np.finfo(dtype) if dtype.kind == "f" else __import__("ml_dtypes").finfo(dtype)
    kind = draw(st.sampled_from(["bits", "extremes", "usual", "usual", "positive"]))
    if kind == "bits":
        return np.frombuffer(rng.bytes(size * dtype.itemsize), dtype).reshape(shape).copy()
    if kind == "extremes":
        some = [
            0,
            -0.0,
            1,
            -1,
            info.max,
            -info.max,
            info.tiny,
            info.smallest_subnormal,
            np.inf,
            -np.inf,
            np.nan,
        ]
        return rng.choice(np.array(some, dtype), shape)
    usual = 5 * rng.standard_normal(shape)
    return (np.abs(usual) + 0.01 if kind == "positive" else usual).astype(dtype)


def random_labels(draw, rng, shape, classes) -> np.ndarray:
    """Mostly classes; now and then one that is none."""
    dtype = np.dtype(draw(st.sampled_from(INTEGERS)))
    info = np.iinfo(dtype)
    y = rng.integers(0, min(classes - 1, info.max) + 1, shape).astype(dtype)
    if y.size and draw(st.integers(0, 3)) == 0:
        wrong = draw(
            st.sampled_from([info.min, info.max, min(classes, info.max), 2 if info.min == 0 else -1])
        )
        y.flat[draw(st.integers(0, y.size - 1))] = wrong
    return y


def option(draw, name: str) -> tuple[Any, bool]:
    good, bad = OPTIONS[name]
    wrong = bool(bad) and draw(st.integers(0, 19)) == 0
    return draw(st.sampled_from(bad if wrong else good)), not wrong


def weights(draw, rng, shape) -> np.ndarray:
    kind = draw(st.sampled_from(["usual", "usual", "zeros", "bits"]))
    dtype = draw(st.sampled_from(["f4", "f8"]))
    if kind == "bits":
        return np.frombuffer(rng.bytes(int(np.prod(shape)) * 8), "f8").reshape(shape).copy()
    return np.array(rng.random(shape) * (kind == "usual"), dtype)


@st.composite
def calls(draw) -> Call:
    name = draw(st.sampled_from(CALLS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.lists(st.integers(0, 5), max_size=3))
    axis = draw(st.integers(0, len(shape)))
    shape.insert(axis, classes := draw(CLASSES))
    rows = tuple(shape[:axis] + shape[axis + 1 :])
    dtypes = [np.dtype("f2"), np.dtype("f4"), np.dtype("f8")]
    dtypes += [np.dtype(pytest.importorskip("ml_dtypes").bfloat16)]
    dtype = draw(st.sampled_from(dtypes))
    x = random_values(draw, rng, shape, dtype)
    sparse = name.startswith("sparse")
    y = random_labels(draw, rng, rows, classes) if sparse else random_values(draw, rng, shape, dtype)
    if draw(st.integers(0, 19)) == 0:  # a shape that does not fit
        y = y[..., None] if draw(st.booleans()) or y.ndim == 0 else y[..., :0]
    known = inspect.signature(getattr(xn, name)).parameters
    options: dict[str, Any] = {"axis": draw(st.sampled_from([axis, axis - len(shape)]))}
    sensible = True
    for each in OPTIONS:
        if each in known and draw(st.booleans()):
            options[each], fits = option(draw, each)
            sensible &= fits
    if "sample_weight" in known and draw(st.booleans()):
        options["sample_weight"] = weights(draw, rng, rows)
    for each in ("class_weight", "pos_weight"):
        if each in known and draw(st.integers(0, 3)) == 0:
            options[each] = weights(draw, rng, (classes + (draw(st.integers(0, 9)) == 0),))
    ways = tuple(draw(st.sampled_from(sorted(WAYS))) for _ in range(3))
    return Call(name, x, y, axis, options, ways, draw(st.booleans()), draw(st.integers(0, 9)) == 0, sensible)


# The same values elsewhere in memory.


def gaps(a: np.ndarray) -> np.ndarray:
    return np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a


def backwards(a: np.ndarray) -> np.ndarray:
    return np.flip(np.flip(a).copy())


WAYS = {
    "plain": np.copy,
    "Fortran": lambda a: np.asfortranarray(a).copy("F"),
    "gaps": gaps,
    "misaligned": misaligned,
    "read-only": read_only,
    "backwards": backwards,
    "swapped": lambda a: a.astype(a.dtype.newbyteorder("S")) if a.dtype.kind in "fiu" else a.copy(),
}


def bytes_of(array: Any) -> bytes:
    """Of what NumPy sees: any two NaN are the same."""
    array = np.asarray(array)
    if array.dtype.kind in "iu":
        return array.tobytes()
    wide = array.astype(np.float64)  # of NaN the sign and the payload may differ
    return np.where(np.isnan(wide), np.nan, wide).tobytes()


def buffers_of(call: Call, ways: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Buffers that fit the call, filled with what it must not depend on."""
    known = inspect.signature(getattr(xn, call.name)).parameters
    rows = call.x.shape[: call.axis] + call.x.shape[call.axis + 1 :]
    reduced = call.options.get("reduction") not in (None, "none")
    loss = np.float64 if call.x.dtype == np.float64 else np.float32
    fitting = {
        "out": np.full(() if reduced else rows, 7, np.float64 if reduced else loss),
        "grad_out": np.full(call.x.shape, 7, call.x.dtype),
        "hess_out": np.full(call.x.shape, 7, call.x.dtype),
    }
    way = WAYS["misaligned" if "misaligned" in ways else "gaps" if "gaps" in ways else "plain"]
    return {name: way(array) for name, array in fitting.items() if name in known}


def made(call: Call, ways: tuple[str, ...], **more: Any) -> tuple[bytes, ...] | Exception:
    """The bytes of the results, or the exception; holds what must be so in either case."""
    x, y = WAYS[ways[0]](call.x), WAYS[ways[1]](call.y)
    options = {**call.options, **more}
    if "sample_weight" in options:
        options["sample_weight"] = WAYS[ways[2]](options["sample_weight"])
    buffers = buffers_of(call, ways) if call.buffers else {}
    fits = x.flags.writeable and x.dtype.isnative and options.get("from_logits") is True
    if call.in_place and fits and "grad_out" in buffers:
        buffers["grad_out"] = x
    arrays = {
        "y_pred": x,
        "y_true": y,
        **{k: v for k, v in options.items() if isinstance(v, np.ndarray)},
        **buffers,
    }
    before = {name: array.tobytes() for name, array in arrays.items()}
    written = {id(array) for array in buffers.values()}
    try:
        found = getattr(xn, call.name)(y, x, **options, **buffers)
    except DOCUMENTED as error:
        written, found = set(), error
    for name, array in arrays.items():
        if id(array) not in written:
            assert array.tobytes() == before[name], f"{name} was written ({found!r})"
    if isinstance(found, Exception):
        assert str(found)
        return found
    results = found if isinstance(found, tuple) else (found,)
    if call.buffers and len(buffers) == len(results) == 2:
        assert all(result is buffer for result, buffer in zip(results, buffers.values(), strict=True))
    return tuple(map(bytes_of, results))


def first_rows(call: Call) -> Call | None:
    """The same call for the first rows alone; None where there is no more than one."""
    others = [d for d in range(call.x.ndim) if d != call.axis and call.x.shape[d] > 1]
    shape_fits = call.name.startswith("sparse") or call.x.shape == call.y.shape
    if not others or not shape_fits:
        return None
    dimension = others[0]
    row_dimension = dimension - (dimension > call.axis)
    options = dict(call.options, reduction="none")
    if "sample_weight" in options:
        options["sample_weight"] = options["sample_weight"].take([0], row_dimension)
    y_dimension = row_dimension if call.name.startswith("sparse") else dimension
    return call._replace(
        x=call.x.take([0], dimension), y=call.y.take([0], y_dimension), options=options, buffers=False
    )


def loss_rows(call: Call) -> np.ndarray:
    """The losses of the rows, whatever the call's reduction."""
    name = call.name.removesuffix("_value_and_grad")
    return np.asarray(getattr(xn, name)(call.y, call.x, **dict(call.options, reduction="none")))


def is_joined(call: Call) -> bool:
    """Whether the loss is a sum over elements, in which rows play no part."""
    reduced = call.options.get("reduction") not in (None, "none")
    return reduced and call.name.startswith("binary") and not call.name.endswith("hess")


@examples(20)
@given(calls())
def test_any_call(call):
    plain = ("plain",) * 3
    expected = made(call._replace(buffers=False), plain, **({"n_threads": 1} if call.sensible else {}))
    event("result" if isinstance(expected, tuple) else type(expected).__name__)
    found = made(call, call.ways)
    if isinstance(expected, Exception):
        assert type(found) is type(expected), (found, expected)
        return
    if is_joined(call):
        # Rows without weights that lie side by side are summed as one: other additions of the same terms.
        losses = np.abs(loss_rows(call).astype(np.float64))
        with np.errstate(all="ignore"):
            bound = call.x.size * np.finfo(np.float64).eps * np.sum(losses) * call.x.size
        first, second = (np.frombuffer(results[0]) for results in (found, expected))
        assert np.array_equal(first, second, equal_nan=True) or not np.abs(first - second) > bound
        found = (expected[0], *found[1:])
    assert found == expected, f"{call.ways}: the bits depend on the layout or on the buffers"
    if {"avx2", "avx512"} <= set(ISAS):
        before = xn.isa()
        try:
            for name in ("avx2", "avx512"):
                xn.set_isa(name)
                assert made(call, plain) == expected or before == "baseline", f"{name} has other bits"
        finally:
            xn.set_isa(before)
    few = first_rows(call) if not call.name.endswith("grad_and_hess") else None
    if few is not None:
        dimension = next(d for d in range(call.x.ndim) if d != call.axis and call.x.shape[d] > 1)
        row_dimension = dimension - (dimension > call.axis)
        assert bytes_of(loss_rows(few)) == bytes_of(loss_rows(call).take([0], row_dimension)), "D1"


@pytest.mark.parametrize("name", CALLS)
def test_every_function_is_among_them(name):
    """And its options are those that are drawn."""
    known = set(inspect.signature(getattr(xn, name)).parameters)
    drawn = {*OPTIONS, "y_true", "y_pred", "axis", "sample_weight", "class_weight", "pos_weight", "out"}
    assert known <= drawn | {"grad_out", "hess_out"}
