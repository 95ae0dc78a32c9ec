# SPDX-License-Identifier: BSD-3-Clause
"""Subnormal numbers stay in use: after the import and after calls, in every thread, and in the results.

Libraries that are linked with -ffast-math switch them off, for the thread that loads them and all that it starts.
"""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

import xent_native as xn

FLOATS = ["float32", "float64"]

# Run in a process of its own: nothing but NumPy has been imported there. `number` and `half` are computed at run time.
FRESH = """
import sys, threading
import numpy as np

def works():
    found = []
    for dtype in (np.float32, np.float64):
        tiny = np.full(64, np.finfo(dtype).tiny, dtype)
        found.append(bool((tiny * dtype(0.5) > 0).all()))  # the result is subnormal
        low = tiny.view(np.int32 if dtype is np.float32 else np.int64) // 2
        found.append(bool((low.view(dtype) * dtype(4) > 0).all()))  # an operand is
    found.append(float.fromhex("0x1p-1070") * float(sys.argv[1]) != 0)
    return found

def in_a_thread():
    found = []
    thread = threading.Thread(target=lambda: found.extend(works()))
    thread.start()
    thread.join()
    return found

go, results = threading.Event(), []
early = threading.Thread(target=lambda: (go.wait(), results.append(works())))
early.start()  # before the import
import xent_native as xn
results += [works(), in_a_thread()]
x = np.zeros((40_000, 4), np.float32)
y = np.zeros(40_000, np.int64)
for isa in [name for name, state in xn.runtime.config()["isas"].items() if state == "supported"]:
    xn.set_isa(isa)
    for threads in (1, 4):
        xn.sparse_categorical_crossentropy_value_and_grad(y, x, True, n_threads=threads)
        results += [works(), in_a_thread()]
go.set()
early.join()
assert all(map(all, results)), results
print("subnormals work")
"""


def test_the_import_and_calls_leave_subnormals_on():
    command = [sys.executable, "-P", "-c", FRESH, "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "subnormals work\n", done.stderr


def problem(dtype):
    """30,000 rows and more, so that OpenMP's threads have work; every row has subnormal probabilities."""
    far = {"float32": 90.0, "float64": 712.0}[
        dtype
    ]  # exp(-far) is a quarter of the smallest normal number, or less
    x = np.zeros((40_000, 3), dtype)
    x[:, 1] = -far - np.linspace(0, 10, len(x))
    x[:, 2] = -1
    return x


def check_probabilities(prob, x):
    normal = np.finfo(x.dtype).tiny
    # Half an ulp each for the exponential's sum, 1 / S and the products, exp within 2: of 52 bits more, and the
    # last rounding goes to a multiple of the smallest subnormal number.
    exact = np.exp(x[:, 1].astype(np.longdouble)) / (1 + np.exp(np.longdouble(-1)))
    step = np.finfo(x.dtype).smallest_subnormal
    error = np.abs(prob[:, 1].astype(np.longdouble) - exact)
    assert (prob[:, 1] > 0).all()
    assert (prob[:, 1] < normal).all()
    assert (error <= step + 4 * np.finfo(x.dtype).eps * exact).all()


@pytest.mark.skipif(np.finfo(np.longdouble).maxexp <= 1024, reason="needs a long double of a wider range")
@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("order", ["last", "first"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_every_worker_writes_subnormal_results(isa, dtype, order, threads):
    """Probabilities, and gradients that are the same but for the label's class."""
    x = problem(dtype)
    y = np.zeros(len(x), np.int64)
    axis = -1 if order == "last" else 0
    placed = x if order == "last" else np.ascontiguousarray(x.T)
    prob = xn.softmax(placed, axis, n_threads=threads)
    _, grad = xn.sparse_categorical_crossentropy_value_and_grad(y, placed, True, axis=axis, n_threads=threads)
    for result in (prob, grad):
        check_probabilities(result if order == "last" else result.T, x)


@pytest.mark.skipif(np.finfo(np.longdouble).maxexp <= 1024, reason="needs a long double of a wider range")
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_thread_of_the_caller_gets_subnormal_results(isa, dtype):
    x, found = problem(dtype), []
    thread = threading.Thread(target=lambda: found.append(xn.softmax(x, n_threads=2)))
    thread.start()
    thread.join()
    check_probabilities(found[0], x)


@pytest.mark.parametrize("dtype", FLOATS)
def test_subnormal_logits_count(isa, dtype):
    """The larger of two logits is found though both are subnormal: ties would show in the gradient of log S."""
    step = np.finfo(dtype).smallest_subnormal
    x = np.array([[step, 2 * step, 0]], dtype)
    for axis, placed in ((-1, x), (0, np.ascontiguousarray(x.T))):
        loss = xn.sparse_categorical_crossentropy([0], placed, True, axis=axis)
        np.testing.assert_allclose(loss, np.log(3.0), rtol=2 * np.finfo(dtype).eps)
        assert xn.logsumexp(placed - placed, axis)[0] == xn.logsumexp(placed, axis)[0]
