# SPDX-License-Identifier: BSD-3-Clause
"""Threads and instruction sets: settings, their precedence and reach."""

from __future__ import annotations

import contextvars
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import ISAS
from processes import last_line, python

import xent_native as xn
from xent_native import runtime

pytestmark = pytest.mark.usefixtures("free_threads")
NO_COUNTS = [0, -1, 1.5, "2", True, [2], float("nan")]
needs_openmp = pytest.mark.skipif(not runtime.config()["openmp"], reason="this build has one thread")


def asked() -> int:
    """The setting that holds here; how many threads that gives depends on the machine and the build."""
    return runtime.resolve_threads(None)


def test_set_num_threads():
    for count in (1, 2, 7, np.int64(3)):
        xn.set_num_threads(count)
        assert asked() == count
        assert 1 <= xn.get_num_threads() <= count
    xn.set_num_threads(None)
    assert asked() == 0
    assert xn.get_num_threads() >= 1


@pytest.mark.parametrize("count", NO_COUNTS)
def test_counts_that_are_none(count):
    before = xn.get_num_threads()
    for call in (
        xn.set_num_threads,
        lambda n: xn.threads(n).__enter__(),
        lambda n: xn.softmax([0.0], n_threads=n),
    ):
        with pytest.raises(ValueError, match=r"(n|n_threads) must be an integer of at least 1; got"):
            call(count)
    with pytest.raises(ValueError, match="n must be an integer of at least 1; got None"):
        xn.threads(None).__enter__()
    assert xn.get_num_threads() == before


def test_absurd_counts_are_clamped(rng):
    x = rng.standard_normal((5000, 20))
    expected = xn.softmax(x, n_threads=1)
    assert np.array_equal(xn.softmax(x, n_threads=10**30), expected)
    xn.set_num_threads(10**9)
    assert np.array_equal(xn.softmax(x), expected)
    assert xn.get_num_threads() <= max(8, os.cpu_count())
    with xn.threads(10**9):
        assert xn.get_num_threads() <= max(8, os.cpu_count())


def test_threads_is_a_context():
    xn.set_num_threads(5)
    with xn.threads(2):
        assert asked() == 2
        with xn.threads(3):
            assert asked() == 3
            xn.set_num_threads(4)
            assert asked() == 3
        assert asked() == 2
    assert asked() == 4
    with pytest.raises(KeyError), xn.threads(1):
        raise KeyError
    assert asked() == 4


def test_context_belongs_to_its_thread():
    xn.set_num_threads(6)
    seen = {}
    with xn.threads(2):
        thread = threading.Thread(target=lambda: seen.update(other=asked()))
        thread.start()
        thread.join()
        seen["copied context"] = contextvars.copy_context().run(asked)
    assert seen == {"other": 6, "copied context": 2}


def test_concurrent_contexts_do_not_mix():
    ready = threading.Barrier(4)

    def work(count):
        with xn.threads(count):
            ready.wait()
            found = [asked() for _ in range(100)]
            ready.wait()
            return found

    with ThreadPoolExecutor(4) as pool:
        for count, found in zip(range(1, 5), pool.map(work, range(1, 5)), strict=True):
            assert found == [count] * 100


@needs_openmp
def test_openmp_decides_when_nothing_is_set():
    xn.set_num_threads(None)
    threadpoolctl = pytest.importorskip("threadpoolctl")
    with threadpoolctl.threadpool_limits(1, user_api="openmp"):
        assert xn.get_num_threads() == 1


def test_isa():
    assert xn.isa() in ISAS
    before = xn.isa()
    for name in ISAS:
        xn.set_isa(name)
        assert xn.isa() == name
    xn.set_isa(before)


@pytest.mark.parametrize("name", ["sse9", "", "AVX2", "avx2 ", None, 3, "avx2\0", "é"])
def test_set_isa_errors(name):
    before = xn.isa()
    with pytest.raises(ValueError, match=rf"instruction set must be one of '{ISAS[0]}'.*; got"):
        xn.set_isa(name)
    assert xn.isa() == before


def test_show_config(capsys):
    xn.show_config()
    shown = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert shown["xent_native"] == xn.__version__
    assert shown["numpy"] == np.__version__
    assert shown["isa"] == xn.isa()
    assert shown["threads"] == str(xn.get_num_threads())
    assert shown["openmp"] in ("True", "False")
    for name in ISAS:
        assert f"{name} (supported)" in shown["isas"]
    assert shown["kernels"].split(", ") == runtime.config()["kernels"]


def test_environment_sets_threads():
    code = "from xent_native import runtime; print(runtime.resolve_threads(None))"
    assert last_line(code, XENT_NATIVE_NUM_THREADS="3") == "3"
    code = "import xent_native as xn; xn.set_num_threads(4); print(xn.runtime.resolve_threads(None))"
    assert last_line(code, XENT_NATIVE_NUM_THREADS="3") == "4"


@needs_openmp
def test_environment_of_openmp():
    code = "import xent_native as xn; print(xn.get_num_threads())"
    assert last_line(code, OMP_NUM_THREADS="1") == "1"
    assert last_line(code, OMP_NUM_THREADS="1", XENT_NATIVE_NUM_THREADS="2") == "2"


@pytest.mark.parametrize("value", ["0", "-2", "two", "1.5", " "])
def test_environment_with_a_wrong_number_of_threads(value):
    done = python("import xent_native", XENT_NATIVE_NUM_THREADS=value)
    assert done.returncode != 0
    assert f"XENT_NATIVE_NUM_THREADS must be an integer of at least 1; got {value!r}" in done.stderr


@pytest.mark.parametrize("name", ISAS)
def test_environment_sets_isa(name):
    code = "import xent_native as xn; print(xn.isa(), xn.softmax([0.0, 0.0]).tolist())"
    assert last_line(code, XENT_NATIVE_ISA=name) == f"{name} [0.5, 0.5]"


def test_environment_with_a_wrong_isa():
    """Never a silent best."""
    done = python("import xent_native", XENT_NATIVE_ISA="avx1024")
    assert done.returncode != 0
    assert "ValueError: XENT_NATIVE_ISA: instruction set must be one of" in done.stderr
    assert "got 'avx1024'" in done.stderr
