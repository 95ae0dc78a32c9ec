# SPDX-License-Identifier: BSD-3-Clause
"""Threads and instruction sets: settings, their precedence and reach; and the ways a process may run us."""

from __future__ import annotations

import contextvars
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import ISAS

import xent_native as xn
from xent_native import runtime

pytestmark = pytest.mark.usefixtures("free_threads")
NO_COUNTS = [0, -1, 1.5, "2", True, [2], float("nan")]
needs_openmp = pytest.mark.skipif(not runtime.config()["openmp"], reason="this build has one thread")


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    """Another process; only the last line of its output is ours to judge."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("XENT_", "OMP_"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def last_line(code: str, **environment: str) -> str:
    done = python(code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


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


def test_calls_from_many_threads(rng):
    """Each gets its own result, whether the calls open threads of their own or not."""
    inputs = [rng.standard_normal((2000 + 100 * i, 40)) for i in range(8)]
    expected = [xn.softmax(x, n_threads=1) for x in inputs]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for result, want in zip(pool.map(xn.softmax, inputs), expected, strict=True):
                assert result.tobytes() == want.tobytes()


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


LARGE = """
    import numpy as np, xent_native as xn
    x = np.random.default_rng(0).standard_normal((20000, 20))
    y = np.zeros(20000, int)
    expected = xn.sparse_categorical_crossentropy(y, x, True, n_threads=2)
    def same():
        return bool((xn.sparse_categorical_crossentropy(y, x, True, n_threads=2) == expected).all())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_child():
    """After a parent that has used threads: GNU's OpenMP would wait for ever."""
    code = """
    import os, signal, warnings
    warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads: that is the case tested
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a child that waits for ever shall not outlive the test
        os._exit(0 if same() and xn.get_num_threads() == 1 else 1)
    assert same()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert last_line(LARGE + code) == "0"


def test_pool_of_threads_in_a_fresh_process():
    code = """
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(4) as pool:
        print(all(pool.map(lambda _: same(), range(20))))
    """
    assert last_line(LARGE + code) == "True"


def test_at_interpreter_exit():
    code = """
    import atexit
    atexit.register(lambda: print(same()))
    class Last:
        def __del__(self, softmax=xn.softmax):
            softmax([0.0])
    last = Last()
    """
    assert last_line(LARGE + code) == "True"


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "ValueError"])
def test_a_signal_stops_a_long_call(error):
    """The helper gets the interpreter only when the call has given it up: the signal comes while C runs.

    The call would go through 2^32 elements that are one row in memory. It ends at the next look at pending
    signals, so the error is raised in the line of the call, not in a line of the package before it. An error that
    a handler raises is the user's, even if the library raises some of the same kind.
    """
    code = """
    import signal, sys, threading, traceback
    import numpy as np, xent_native as xn
    x = np.broadcast_to(np.zeros(4096, np.float32), (1 << 20, 4096))
    y = np.zeros(1 << 20, np.uint8)
    go = threading.Event()
    def helper():
        go.wait()
        signal.raise_signal(signal.SIGINT)
    thread = threading.Thread(target=helper)
    thread.start()
    sys.setswitchinterval(1000)
    def handler(number, frame):
        raise ERROR("stop")
    signal.signal(signal.SIGINT, handler)
    try:
        go.set()
        xn.sparse_categorical_crossentropy(y, x, True)
        print("finished")
    except ERROR as error:
        print("interrupted in", traceback.extract_tb(error.__traceback__)[-1].name)
    thread.join()
    """
    assert last_line(code.replace("ERROR", error)).startswith("interrupted in")
