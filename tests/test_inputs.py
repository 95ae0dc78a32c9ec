# SPDX-License-Identifier: BSD-3-Clause
"""What users pass: any array that NumPy can view on the CPU, any dtype, strides and byte order."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from cases import INTEGERS
from compatibility_inputs import ArrayOnly, DLPackOnly, memmap, misaligned, read_only, same
from edge_functions import CALLS, DTYPES, ORDERS

import xent_native as xn

SPARSE = xn.sparse_categorical_crossentropy_value_and_grad
DENSE = xn.categorical_crossentropy_value_and_grad


@pytest.fixture
def y(rng):
    return rng.integers(0, 5, (6, 4))


@pytest.fixture
def x(rng):
    return rng.random((6, 4, 5)) + 0.1


def every_way(flip: slice):
    """A view of another array that has the same items: every axis is stepped through by `flip`."""

    def make(a: np.ndarray) -> np.ndarray:
        index = (flip,) * a.ndim
        wide = np.zeros([n * abs(flip.step) for n in a.shape], a.dtype)
        wide[index] = a
        return wide[index]

    return make


WAYS = {
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(a.tolist()),
    "F order": np.asfortranarray,
    "negative strides": every_way(slice(None, None, -1)),
    "transposed": lambda a: a.T.copy().T,
    "every second": every_way(slice(None, None, 2)),
    "uneven rows": lambda a: np.repeat(a, 3, axis=a.ndim // 2)[
        (slice(None),) * (a.ndim // 2) + (slice(None, None, 3),)
    ],
    "misaligned": misaligned,
    "read-only": read_only,
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder("S")),
    "subclass": lambda a: a.view(type("Sub", (np.ndarray,), {})),
    "array interface": ArrayOnly,
    "DLPack": DLPackOnly,
    "memory": lambda a: memoryview(np.ascontiguousarray(a)),
    "mask of nothing": lambda a: np.ma.array(a, mask=False),
    "memmap, r": memmap,
    "memmap, c": lambda a: memmap(a, "c"),
    "memmap, r+": lambda a: memmap(a, "r+"),
}
WITHOUT_BFLOAT16 = ("list", "tuple", "memory", "DLPack")


def close(actual, expected) -> None:
    """The order of additions may differ with the layout: a few ulp."""
    np.testing.assert_allclose(actual[0], expected[0], rtol=1e-14)
    np.testing.assert_allclose(actual[1], expected[1], rtol=1e-13, atol=1e-15)
    assert type(actual[0]) is np.ndarray
    assert type(actual[1]) is np.ndarray


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_every_argument_of_every_function_in_every_form(call):
    for dtype in DTYPES:
        for order in ORDERS:
            y, x, axis = call.placed(*call.problem(6, 5, dtype), order)
            arguments = {
                "y_true": y,
                "y_pred": x,
                **(call.weights(x, axis) if dtype == "float64" else {}),
            }

            def run(given, axis=axis):
                options = {k: v for k, v in given.items() if k not in ("y_true", "y_pred")}
                return call(given["y_true"], given["y_pred"], axis, **options)

            expected = run(arguments)
            for way, convert in WAYS.items():
                for name, array in arguments.items():
                    if dtype == "bfloat16" and array.dtype == x.dtype and way in WITHOUT_BFLOAT16:
                        continue
                    if (dtype != "float64" and way in ("list", "tuple")) or (
                        name == "y_true" and not call.targets
                    ):
                        continue
                    found = run({**arguments, name: convert(array)})
                    same(found.values(), expected.values(), f"{way}: {name}, {dtype}, {order}")
            for name, array in arguments.items():
                repeated = np.broadcast_to(array[:1], array.shape)
                found, wanted = run({**arguments, name: repeated}), run({**arguments, name: repeated.copy()})
                same(found.values(), wanted.values(), f"stride 0: {name}, {dtype}, {order}")


BUFFER_WAYS = {
    name: WAYS[name]
    for name in (
        "F order", "negative strides", "transposed", "every second", "uneven rows", "misaligned", "subclass",
        "memmap, c", "memmap, r+",
    )
}  # fmt: skip


@pytest.mark.parametrize("call", [call for call in CALLS if {"out", "grad_out"} & call.arguments], ids=str)
def test_buffers_of_every_function_in_every_form(call):
    for dtype in DTYPES:
        for order in ORDERS:
            y, x, axis = call.placed(*call.problem(6, 5, dtype), order)
            expected = call(y, x, axis)
            for way, convert in BUFFER_WAYS.items():
                buffers = {name: convert(buffer) for name, buffer in call.buffers(x, axis).items()}
                found = call(y, x, axis, **buffers)
                same(found.values(), expected.values(), f"{way}, {dtype}, {order}")
                assert {id(value) for value in found.values()} >= {id(buffer) for buffer in buffers.values()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("from_logits", [True, False])
def test_predictions_labels_and_weights_in_every_form(y, x, rng, way, from_logits):
    convert = WAYS[way]
    weight, factors = rng.random((6, 4)), rng.random((5, 1))[:, 0]
    options = {"class_weight": factors, "sample_weight": weight}
    expected = SPARSE(y, x, from_logits, **options)
    close(SPARSE(y, convert(x), from_logits, **options), expected)
    close(SPARSE(convert(y), x, from_logits, **options), expected)
    close(SPARSE(y, x, from_logits, class_weight=factors, sample_weight=convert(weight)), expected)
    soft = rng.dirichlet(np.ones(5), (6, 4))
    expected = DENSE(soft, x, from_logits)
    close(DENSE(convert(soft), x, from_logits), expected)
    close(DENSE(soft, convert(x), from_logits), expected)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_labels_of_either_byte_order(y, x, dtype):
    expected = SPARSE(y, x, True)
    swapped = y.astype(np.dtype(dtype).newbyteorder("S"))
    close(SPARSE(swapped, x, True), expected)


@pytest.mark.parametrize("char", list("bBhHiIlLqQ"))
def test_labels_of_every_c_integer_type(y, x, char):
    """NumPy has two types of the same width for some of them."""
    expected = SPARSE(y, x, True)
    actual = SPARSE(y.astype(np.dtype(char)), x, True)
    assert actual[0].tobytes() == expected[0].tobytes()


def test_zero_strides(y, rng):
    row = rng.standard_normal((1, 1, 5))
    x = np.broadcast_to(row, (6, 4, 5))
    close(SPARSE(y, x, True), SPARSE(y, x.copy(), True))
    flat = np.broadcast_to(rng.standard_normal((6, 4, 1)), (6, 4, 5))
    close(SPARSE(y, flat, True), SPARSE(y, flat.copy(), True))
    same = np.broadcast_to(np.int8(2), (6, 4))
    close(SPARSE(same, x, True), SPARSE(same.copy(), x, True))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_small_floats(y, x, dtype):
    dtype = np.dtype(dtype) if dtype == "float16" else np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    x = x.astype(dtype)
    for from_logits in (True, False):
        loss, grad = SPARSE(y, x, from_logits)
        expected = SPARSE(y, x.astype(np.float32), from_logits)
        assert loss.dtype == np.float32
        assert grad.dtype == dtype
        assert loss.tobytes() == expected[0].tobytes()
        assert grad.tobytes() == expected[1].astype(dtype).tobytes()
    soft = np.full(x.shape, 0.25).astype(dtype)
    assert (
        DENSE(soft, x, True)[0].tobytes()
        == DENSE(soft.astype(np.float32), x.astype(np.float32), True)[0].tobytes()
    )
    assert xn.softmax(x).dtype == dtype
    assert xn.log_softmax(x).dtype == dtype
    assert xn.logsumexp(x).dtype == np.float32


def test_small_floats_of_other_byte_order(y, x):
    half = x.astype(">f2")
    assert SPARSE(y, half, True)[0].tobytes() == SPARSE(y, half.astype("<f2"), True)[0].tobytes()
    assert SPARSE(y, half, True)[1].dtype == np.float16


def test_pandas(rng):
    pd = pytest.importorskip("pandas")
    x = rng.random((6, 5))
    y = rng.integers(0, 5, 6)
    expected = SPARSE(y, x, True)
    close(SPARSE(pd.Series(y), pd.DataFrame(x), True), expected)
    close(SPARSE(pd.Index(y), pd.DataFrame(x), True, sample_weight=pd.Series(np.ones(6))), expected)
    frame = pd.DataFrame({f"c{i}": x[:, i] for i in range(5)})
    close(SPARSE(pd.Series(y).astype("int8"), frame, True), expected)
    dense = pd.DataFrame(np.eye(5)[y])
    close(DENSE(dense, frame, True), expected)
    close(SPARSE(y, frame, True, class_weight=pd.Series(np.ones(5))), expected)
    with pytest.raises(TypeError, match="y_true must hold real numbers; got dtype object"):
        SPARSE(pd.Series(["a"] * 6), frame, True)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_what_has_no_numbers_in_order_is_refused(call):
    """Of SciPy, polars, pyarrow and pandas: sparse arrays, ragged lists, missing rows; as predictions and targets."""
    refused = []
    y, x = call.problem(3, 2, "float64")
    sparse = pytest.importorskip("scipy.sparse")
    refused += [sparse.csr_matrix(x), sparse.csc_array(x), sparse.coo_array(x)]
    pl, pa, pd = (pytest.importorskip(name) for name in ("polars", "pyarrow", "pandas"))
    refused += [
        pl.Series([[1.0], [1.0, 2.0], [2.0, 3.0]]),
        pl.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["x", "y", "z"]}),
        pa.array([[1.0], [1.0, 2.0], [2.0, 3.0]]),
        pa.array([[1.0, 2.0], None, [2.0, 3.0]], pa.list_(pa.float64(), 2)),
        pd.DataFrame({"a": ["x", "y", "z"], "b": [1, 2, 3]}),
    ]
    for value in refused:
        with pytest.raises((TypeError, ValueError), match=r"^\w+ must "):
            call(y, value)
        if call.targets:
            with pytest.raises((TypeError, ValueError), match=r"^\w+ must "):
                call(value, x)


def test_missing_numbers_are_nan_and_missing_labels_an_error():
    pa, pl, pd = (pytest.importorskip(name) for name in ("pyarrow", "polars", "pandas"))
    columns = {"a": [1.0, None, 3.0], "b": [1.0, 2.0, 4.0]}
    for value in (
        pd.DataFrame(columns),
        pd.DataFrame(columns).astype("Float64"),
        pd.DataFrame(columns).astype("double[pyarrow]"),
        pl.DataFrame(columns),
        pa.table(columns),
        pa.array([[1.0, 1.0], [None, 2.0], [3.0, 4.0]], pa.list_(pa.float64(), 2)),
    ):
        loss, grad = SPARSE([0, 1, 1], value, True)
        assert np.isnan(loss).tolist() == [False, True, False]
        assert np.isnan(grad).all(axis=1).tolist() == [False, True, False]
    labels = [0, None, 1]
    for value in (labels, pd.Series(labels, dtype="Int64"), pl.Series(labels), pa.array(labels)):
        with pytest.raises(TypeError, match="y_true must hold"):
            SPARSE(value, np.zeros((3, 2)), True)


def test_lists_of_equal_length_are_rows(rng):
    """Also where they are a slice of longer ones."""
    pa, pl = pytest.importorskip("pyarrow"), pytest.importorskip("polars")
    x, y = rng.random((6, 5)), rng.integers(0, 5, 4)
    expected = SPARSE(y, x[1:5], True)
    lists = pa.FixedSizeListArray.from_arrays(x.reshape(-1), 5)
    for value in (
        lists.slice(1, 4),
        pa.chunked_array([lists.slice(1, 2), lists.slice(3, 2)]),
        pl.Series(x.tolist()).slice(1, 4),
        pl.Series(x.tolist(), dtype=pl.Array(pl.Float64, 5)).slice(1, 4),
    ):
        close(SPARSE(y, value, True), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torch_cpu_tensors(rng):
    torch = pytest.importorskip("torch")
    x = rng.random((6, 5))
    y = rng.integers(0, 5, 6)
    expected = SPARSE(y, x, True)
    tensor = torch.from_numpy(x)
    for given in (tensor, tensor.clone().requires_grad_(), tensor.t().contiguous().t()):
        close(SPARSE(torch.from_numpy(y), given, True), expected)
    close(DENSE(torch.eye(5, dtype=torch.float64)[torch.from_numpy(y)], tensor, True), expected)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("shape", [(0, 3), (0, 100), (2, 0, 4), (0, 0, 2), (3, 4, 0)])
def test_no_rows(shape, from_logits):
    axis = 1 if shape[-1] == 0 else -1
    x = np.zeros(shape)
    rows = np.moveaxis(x, axis, -1).shape[:-1]
    loss, grad = SPARSE(np.zeros(rows, int), x, from_logits, axis=axis)
    assert loss.shape == rows
    assert grad.shape == shape
    loss, grad = DENSE(x, x, from_logits, axis=axis)
    assert loss.shape == rows
    for reduction in ("sum", "mean", "sum_over_batch_size", "mean_with_sample_weight"):
        for weight in (None, np.ones(rows)):
            loss = xn.sparse_categorical_crossentropy(
                np.zeros(rows, np.uint8), x, from_logits, axis=axis, reduction=reduction, sample_weight=weight
            )
            assert loss == 0.0
            assert type(loss) is float
    assert xn.softmax(x, axis).shape == shape
    assert xn.log_softmax(x, axis).shape == shape
    assert xn.logsumexp(x, axis).shape == rows


def test_empty_list_of_labels():
    assert SPARSE([], np.zeros((0, 3)), True)[0].shape == (0,)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
def test_targets_that_a_half_type_holds_do_not_widen_the_predictions(dtype):
    """One-hot targets, usually: both are read as half types then, without copies of the predictions."""
    y = np.eye(50, dtype=dtype)[np.arange(4000) % 50]
    x = np.random.default_rng(0).normal(size=y.shape).astype(np.float16)
    half = xn.categorical_crossentropy(y.astype(np.float16), x, True)
    tracemalloc.start()
    loss = xn.categorical_crossentropy(y, x, True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(loss, half)
    assert peak < 4 * x.nbytes - 1  # as two arrays of float32 would take
    soft = np.full_like(x, 0.1, dtype=np.float32)  # which float16 does not hold
    exact = xn.categorical_crossentropy(soft, x.astype(np.float32), True)
    assert np.array_equal(xn.categorical_crossentropy(soft, x, True), exact)


def test_a_gradient_beyond_a_half_type_is_infinite_without_a_warning():
    """Also where targets make the call compute in float32."""
    x = np.array([[1e-5, 0.999]], np.float16)
    for targets in (np.array([[1, 0]]), np.array([[0.9999, 0.0001]])):
        _, grad = xn.categorical_crossentropy_value_and_grad(targets, x)
        assert grad[0, 0] == -np.inf
