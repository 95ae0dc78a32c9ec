# SPDX-License-Identifier: BSD-3-Clause
"""xent_native.torch with NumPy arrays: PyTorch's semantics where there is no PyTorch."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import reference
from bounds import assert_within

import xent_native as xn
import xent_native.torch as xt

SHAPES = ((7,), (5, 3), (2, 5, 4), (2, 3, 4, 5), (3, 130))


def problem(shape, rng, dtype=np.float64):
    """(logits, labels with some of -100, probabilities, class axis)."""
    axis = min(1, len(shape) - 1)
    rows = shape[:axis] + shape[axis + 1 :]
    labels = np.where(rng.random(rows) < 0.3, -100, rng.integers(0, shape[axis], rows))
    labels.flat[:1] = 0
    soft = np.moveaxis(rng.dirichlet(np.ones(shape[axis]), rows), -1, axis)
    return rng.standard_normal(shape).astype(dtype), labels, soft.astype(dtype), axis


def expected(x, y, axis, weight, smoothing, reduction):
    """By the oracle; the divisor is PyTorch's."""
    dense = y.ndim == x.ndim
    rows = reference.cross_entropy(
        y, x, from_logits=True, axis=axis, label_smoothing=smoothing, class_weight=weight,
        ignore_class=None if dense else -100,
    ).loss  # fmt: skip
    if reduction == "none":
        return rows
    if reduction == "sum":
        return rows.sum()
    if dense:
        return rows.mean()
    valid = y[y != -100]
    return rows.sum() / (valid.size if weight is None else weight[valid].sum())


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dense", [False, True])
def test_values(rng, dense, weighted, smoothing, reduction):
    """float64: 1e-13 is far above the roundings of a few terms, far below what a wrong factor does."""
    for shape in SHAPES:
        x, labels, soft, axis = problem(shape, rng)
        weight = rng.random(shape[axis]) + 0.5 if weighted else None
        y = soft if dense else labels
        loss = xt.cross_entropy(x, y, weight, reduction=reduction, label_smoothing=smoothing)
        truth = expected(x, y, axis, weight, smoothing, reduction)
        assert_within(loss, truth, 1e-13 * (1 + np.abs(truth)), str(shape))
        assert isinstance(loss, np.ndarray if reduction == "none" else np.float64)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtypes(rng, dtype):
    kind = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
    x, labels, soft, _ = problem((6, 5), rng)
    x, soft = x.astype(kind), soft.astype(kind)
    wide = np.float64 if dtype == "float64" else np.float32
    for y in (labels, soft):
        loss = xt.cross_entropy(x, y, reduction="none")
        assert loss.dtype == wide
        other = y if y is labels else y.astype(wide)
        assert loss.tobytes() == xt.cross_entropy(x.astype(wide), other, reduction="none").tobytes()
        assert isinstance(xt.cross_entropy(x, y), float)


def test_probabilities_of_another_dtype(rng):
    """Both go to the wider of the two, as PyTorch promotes them."""
    x, _, soft, _ = problem((6, 5), rng)
    wide = xt.cross_entropy(x.astype(np.float32).astype(np.float64), soft, reduction="none")
    mixed = xt.cross_entropy(x.astype(np.float32), soft, reduction="none")
    assert mixed.dtype == np.float64
    assert mixed.tobytes() == wide.tobytes()
    assert (
        xt.cross_entropy(x.astype(np.float16), soft.astype(np.float32), reduction="none").dtype == np.float32
    )


@pytest.mark.parametrize("function", [xt.cross_entropy, xt.binary_cross_entropy_with_logits])
def test_the_two_small_dtypes_meet_in_float32(rng, function):
    """NumPy has no common type for them."""
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x, _, soft, _ = problem((6, 5), rng)
    for a, b in ((bfloat16, np.float16), (np.float16, bfloat16)):
        y, t = x.astype(a), soft.astype(b)
        assert function(y, t) == function(y.astype(np.float32), t.astype(np.float32))


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_nothing_to_count(reduction):
    for x, y in (
        (np.zeros((0, 3)), np.zeros(0, int)),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (np.zeros((2, 3, 0)), np.zeros((2, 0), int)),
        (np.ones((2, 3)), np.full(2, -100)),
    ):
        loss = xt.cross_entropy(x, y, reduction=reduction)
        if reduction == "none":
            assert np.array_equal(loss, np.zeros(np.delete(x.shape, 1)))
        else:
            assert np.isnan(loss) if reduction == "mean" else loss == 0.0


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("weight", [None, (), (5,), (6, 1), (6, 5)])
@pytest.mark.parametrize("pos_weight", [None, (), (5,), (6, 1), (6, 5)])
def test_binary_values(rng, weight, pos_weight, reduction):
    """The formula in float64; 1e-13 as above."""
    x, t = 3 * rng.standard_normal((6, 5)), rng.random((6, 5))
    w = None if weight is None else rng.random(weight) + 0.5
    p = None if pos_weight is None else rng.random(pos_weight) + 0.5
    loss = xt.binary_cross_entropy_with_logits(x, t, w, p, reduction)
    truth = t * np.log1p(np.exp(-x)) * (1 if p is None else p) + (1 - t) * np.log1p(np.exp(x))
    truth = truth * (1 if w is None else w)
    truth = {"none": truth, "mean": truth.mean(), "sum": truth.sum()}[reduction]
    assert_within(loss, truth, 1e-13 * (1 + np.abs(truth)), "loss")
    for dtype in ("float16", "float32"):
        narrow = xt.binary_cross_entropy_with_logits(x.astype(dtype), t.astype(dtype), w, p, reduction)
        assert reduction != "none" or narrow.dtype == np.float32
        np.testing.assert_allclose(narrow, truth, rtol=2e-2 if dtype == "float16" else 1e-5)


def test_binary_without_elements():
    assert np.isnan(xt.binary_cross_entropy_with_logits(np.zeros((0, 3)), np.zeros((0, 3))))
    assert xt.binary_cross_entropy_with_logits(np.zeros(0), np.zeros(0), reduction="sum") == 0.0
    assert xt.binary_cross_entropy_with_logits(
        np.zeros((3, 0)), np.zeros((3, 0)), reduction="none"
    ).shape == (3, 0)


def test_lists_are_arrays():
    logits = [[2.0, 5.0, 1.0], [7.0, 1.0, 0.5]]
    assert xt.cross_entropy(logits, [1, 0]) == xt.cross_entropy(np.array(logits), np.array([1, 0]))
    assert xt.CrossEntropyLoss(weight=[1.0, 2.0, 3.0])(logits, [1, 0]) > 0


@pytest.mark.parametrize(("name", "given", "error", "message"), [
    ("shape", ([[1.0, 2.0]], [0, 1]), ValueError, r"target must have shape \(1,\)"),
    ("label", ([[1.0, 2.0]], [2]), IndexError, r"target must lie in \[0, 2\) or equal ignore_index=-100; got 2 at"),
    ("float labels", ([[1.0, 2.0]], [1.0]), TypeError, "target must hold integer class indices; got dtype float64"),
    ("integer probabilities", ([[1.0, 2.0]], [[0, 1]]), TypeError, "floating point type"),
    ("None", (None, [0]), TypeError, "input must be an array; got None"),
    ("objects", ([["a", "b"]], [0]), TypeError, "input must hold real numbers"),
    ("scalar", (1.0, 0), ValueError, "input must have at least one dimension"),
])  # fmt: skip
def test_errors(name, given, error, message):
    with pytest.raises(error, match=message):
        xt.cross_entropy(*given)


def run_without_torch(code: str) -> str:
    """What a program prints where there is no PyTorch."""
    hide = """
        import sys
        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] == "torch":
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.meta_path.insert(0, Missing())
    """
    program = textwrap.dedent(hide) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_pytorch():
    printed = run_without_torch("""
        import pickle
        import numpy as np
        import xent_native.torch as xt
        x, y = np.array([[2.0, 5.0, 1.0], [7.0, 1.0, 0.5]]), np.array([1, 0])
        loss = xt.CrossEntropyLoss(weight=[1.0, 2.0, 1.0], reduction="sum", label_smoothing=0.1)
        assert loss(x, y) == xt.cross_entropy(x, y, [1.0, 2.0, 1.0], -100, "sum", 0.1)
        assert loss.weight.tolist() == [1.0, 2.0, 1.0]
        twin = pickle.loads(pickle.dumps(loss))
        assert type(twin) is xt.CrossEntropyLoss and twin(x, y) == loss(x, y)
        from xent_native.torch import *
        assert CrossEntropyLoss is xt.CrossEntropyLoss
        each = xt.BCEWithLogitsLoss(pos_weight=2.0)
        assert each(x, x > 1) == xt.binary_cross_entropy_with_logits(x, x > 1, None, 2.0)
        print(loss, "torch" in sys.modules, round(cross_entropy(x, y), 7))
    """)
    assert printed == (
        "CrossEntropyLoss(ignore_index=-100, reduction='sum', label_smoothing=0.1) False 0.0349291\n"
    )


def test_arrays_need_no_pytorch_though_it_is_there():
    """Importing the package or calling the functions does not import PyTorch, which takes seconds."""
    code = """
        import sys
        import numpy as np, xent_native
        xent_native.torch.cross_entropy(np.zeros((2, 3)), np.array([0, 1]))
        print("torch" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_public_names():
    assert set(xt.__all__) <= set(dir(xt))
    for name in xt.__all__:
        assert getattr(xt, name).__doc__
        assert pickle.loads(pickle.dumps(getattr(xt, name))) is getattr(xt, name)
    with pytest.raises(AttributeError, match="no attribute 'NLLLoss'"):
        xt.NLLLoss  # noqa: B018
    assert xn.torch is xt


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("smoothing", [0.0, 0.25])
def test_means_by_extreme_weights(dtype, smoothing, rng):
    """A mean does not depend on the unit of the weights, as far as that is exact: powers of two."""
    x, labels = rng.standard_normal((50, 4)).astype(dtype), rng.integers(0, 4, 50)
    labels[7] = -100
    weight = np.array([1, 2, 0.5, 4], dtype)
    plain = xt.cross_entropy(x, labels, weight, label_smoothing=smoothing)
    for exponent in (1020, -1065) if dtype == "float64" else (120, -140):
        scaled = np.ldexp(weight, exponent)
        assert xt.cross_entropy(x, labels, scaled, label_smoothing=smoothing) == plain


def test_infinite_weights_have_no_mean():
    x = np.array([[1.0, 2, 3], [np.nan, 1, 1]])
    assert np.isnan(xt.cross_entropy(x, np.array([0, 1]), weight=[np.inf, 1, 1]))
    assert np.isnan(xt.cross_entropy(x[:1], np.array([0]), weight=[np.inf, 1, 1]))
