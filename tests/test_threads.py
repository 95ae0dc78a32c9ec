# SPDX-License-Identifier: BSD-3-Clause
"""Threads: the same bits however many there are, whoever calls, and whatever the system and the environment allow."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from processes import LARGE, last_line

import xent_native as xn
from xent_native import runtime

pytestmark = pytest.mark.usefixtures("free_threads")
needs_openmp = pytest.mark.skipif(not runtime.config()["openmp"], reason="this build has one thread")
on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="limits and control groups of Linux"
)


@pytest.fixture(scope="module")
def example():
    """Arguments of a call that is large enough for threads, and its result on one."""
    x = np.random.default_rng(1).standard_normal((3000, 40))
    y = np.arange(3000) % 40
    loss, grad = call(y, x, 1)
    return y, x, loss.tobytes(), grad.tobytes()


def call(y, x, n_threads=None):
    return xn.sparse_categorical_crossentropy_value_and_grad(y, x, True, n_threads=n_threads)


def is_same(example, n_threads=None):
    y, x, loss, grad = example
    found = call(y, x, n_threads)
    return found[0].tobytes() == loss and found[1].tobytes() == grad


def together(count, work):
    """The results of work(0), work(1), ..., each in a thread, all begun at once."""
    ready = threading.Barrier(count)

    def begin(number):
        ready.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


# Callers.


def test_calls_from_many_threads(rng):
    """Each gets its own result, whether the calls open threads of their own or not."""
    inputs = [rng.standard_normal((2000 + 100 * i, 40)) for i in range(8)]
    expected = [xn.softmax(x, n_threads=1) for x in inputs]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for result, want in zip(pool.map(xn.softmax, inputs), expected, strict=True):
                assert result.tobytes() == want.tobytes()


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8, 10**9, None])
def test_callers_with_teams_of_their_own(example, n_threads):
    assert all(together(6, lambda _: all(is_same(example, n_threads) for _ in range(5))))


def test_set_num_threads_from_several_threads(example):
    """One thread's setting is every thread's; whichever holds, results do not change, nor a count that is not set."""

    def work(number):
        for count in [1, 2, 3, 5, 8, None] * 5:
            xn.set_num_threads(count if number % 2 else None)
            if not (is_same(example) and 1 <= xn.get_num_threads() <= max(8, os.cpu_count())):
                return False
            with xn.threads(number + 1):
                if runtime.resolve_threads(None) != number + 1:
                    return False
        return True

    assert all(together(6, work))


def test_outputs_of_one_array_from_many_threads(example):
    """Callers may fill parts of one array, and read the same input."""
    y, x, _, grad = example
    buffer = np.empty((6, *x.shape))

    def work(number):
        xn.sparse_categorical_crossentropy_value_and_grad(y, x, True, grad_out=buffer[number], n_threads=2)
        return buffer[number].tobytes() == grad

    assert all(together(6, work))


def test_one_loss_in_many_threads(example):
    """A loss object keeps nothing of a call."""
    y, x, loss, grad = example
    shared = xn.SparseCategoricalCrossentropy(from_logits=True, reduction="none")

    def work(_):
        found = [shared.value_and_grad(y, x) for _ in range(5)]
        return all(one[0].tobytes() == loss and one[1].tobytes() == grad for one in found)

    assert all(together(6, work))


def test_a_pool_of_threads_in_a_fresh_process():
    """The first calls of all come from several threads at once, and so do imports that are made late."""
    code = """
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(4) as pool:
        print(all(pool.map(lambda _: same(), range(20))))
    """
    assert last_line(LARGE, code) == "True"


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib(backend):
    """Workers of loky are told how many threads they may use, and use no more."""
    pytest.importorskip("joblib")
    code = f"""
    import joblib
    loss = xn.SparseCategoricalCrossentropy(from_logits=True, reduction="none")
    want = loss(y, x)
    limits = dict(inner_max_num_threads=1) if {backend!r} == "loky" else {{}}
    with joblib.parallel_config({backend!r}, n_jobs=2, **limits):
        found = joblib.Parallel()(joblib.delayed(loss)(y, x) for _ in range(6))
        counts = joblib.Parallel()(joblib.delayed(xn.get_num_threads)() for _ in range(4))
    few = max(counts) == 1 if {backend!r} == "loky" else min(counts) >= 1
    print(all((one == want).all() for one in found), few)
    """
    assert last_line(LARGE, code) == "True True"


# Settings of others.


@needs_openmp
def test_threadpool_limits_act_on_the_calling_thread_alone(example):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    xn.set_num_threads(None)
    before = xn.get_num_threads()
    with threadpoolctl.threadpool_limits(1, user_api="openmp"), ThreadPoolExecutor(1) as pool:
        assert xn.get_num_threads() == 1
        assert pool.submit(xn.get_num_threads).result() == before
        assert is_same(example)
        assert pool.submit(is_same, example).result()
        xn.set_num_threads(2)  # who says so gets two all the same
        assert xn.get_num_threads() == 2
    with threadpoolctl.threadpool_limits(7, user_api="openmp"):
        assert is_same(example)


ENVIRONMENTS = {
    "as it is": {},
    "one": {"OMP_NUM_THREADS": "1"},
    "three": {"OMP_NUM_THREADS": "3"},
    "absurdly many": {"OMP_NUM_THREADS": "2000000000", "XENT_NATIVE_NUM_THREADS": "99999999999999999999"},
    "nonsense": {"OMP_NUM_THREADS": "many", "OMP_STACKSIZE": "huge", "OMP_THREAD_LIMIT": "-3"},
    "limit": {"OMP_THREAD_LIMIT": "2", "OMP_NUM_THREADS": "8"},
    "limit of one": {"OMP_THREAD_LIMIT": "1"},
    "dynamic": {"OMP_DYNAMIC": "true", "OMP_NUM_THREADS": "8"},
    "nested": {"OMP_NESTED": "true", "OMP_MAX_ACTIVE_LEVELS": "4", "OMP_NUM_THREADS": "2,2,2"},
    "no levels": {"OMP_MAX_ACTIVE_LEVELS": "0"},
    "bound": {"OMP_PROC_BIND": "close", "OMP_PLACES": "threads", "OMP_WAIT_POLICY": "active"},
    "small stacks": {"OMP_STACKSIZE": "16K"},
    "stacks that nobody has": {"OMP_STACKSIZE": "1000000G"},
    "stacks beyond the address space": {"OMP_STACKSIZE": "99999999999G"},
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environments_of_openmp(name):
    """Dask and loky set OMP_NUM_THREADS for their workers; others set whatever."""
    code = """
    with xn.threads(8):
        eight = same(8)
    print(hashlib.sha256(xn.softmax(x, n_threads=1).tobytes()).hexdigest(), eight, same(3), xn.get_num_threads())
    """
    found = last_line(LARGE, code, **ENVIRONMENTS[name]).split()
    x = np.random.default_rng(0).standard_normal((20000, 20))
    import hashlib

    assert found[0] == hashlib.sha256(xn.softmax(x, n_threads=1).tobytes()).hexdigest()
    assert found[1:3] == ["True", "True"]
    if name in ("one", "limit of one", "no levels"):
        assert found[3] == "1"
    if name in ("three", "limit") and runtime.config()["openmp"]:
        assert found[3] == {"three": "3", "limit": "2"}[name]


# What the system refuses: OpenMP ends a process that cannot have the threads that it asked for.


LIMITS = """
import resource
if os.getuid() == 0:  # whom these limits do not bind: a user that nobody else is
    user = 200000 + os.getpid()
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
def threads_here():
    return len(os.listdir("/proc/self/task"))
def limit(kind, value):
    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
def threads_of_user():
    if os.getuid() >= 200000:
        return threads_here()
    mine = [p for p in os.listdir("/proc") if p.isdigit() and os.stat("/proc/" + p).st_uid == os.getuid()]
    return sum(len(os.listdir(f"/proc/{p}/task")) for p in mine)
"""


@on_linux
def test_refused_threads():
    """From no further thread on: one call at a time, each from a thread that has no team yet, and four at once."""
    code = """
    right = []
    def attempt(room, callers):
        go, most = threading.Event(), []
        def caller():
            go.wait()
            right.append(digest(8) == want)
        threads = [threading.Thread(target=caller) for _ in range(callers)]
        for thread in threads:
            thread.start()
        limit(resource.RLIMIT_NPROC, threads_of_user() + room)
        go.set()
        for thread in threads:
            thread.join()
        limit(resource.RLIMIT_NPROC, resource.getrlimit(resource.RLIMIT_NPROC)[1])
    want = digest(1)
    for room in range(10):
        attempt(room, 1)
    for room in (0, 3, 7, 20):
        attempt(room, 4)
    print(len(right), all(right))
    """
    assert last_line(LARGE, LIMITS, code, OPENBLAS_NUM_THREADS="1") == "26 True"


@on_linux
def test_threads_after_a_refusal():
    """What was refused is asked for again, after some calls; and a team that was had is kept."""
    code = """
    want = digest(1)
    def team():
        right = all(digest(8) == want for _ in range(80))
        return right, threads_here() - before
    before = threads_here()
    limit(resource.RLIMIT_NPROC, threads_of_user())
    found = [team()]
    limit(resource.RLIMIT_NPROC, threads_of_user() + 4)
    found += [team()]
    limit(resource.RLIMIT_NPROC, resource.getrlimit(resource.RLIMIT_NPROC)[1])
    found += [team()]
    limit(resource.RLIMIT_NPROC, threads_of_user())
    print(found + [team()])
    """
    teams = [0, 3, 7, 7] if runtime.config()["openmp"] else [0] * 4  # one of four is left for others
    assert last_line(LARGE, LIMITS, code, OPENBLAS_NUM_THREADS="1") == str([(True, n) for n in teams])


@on_linux
@pytest.mark.parametrize("megabytes", [12, 40])
def test_memory_for_few_threads(megabytes):
    code = f"""
    want = digest(1)
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    limit(resource.RLIMIT_AS, pages * resource.getpagesize() + ({megabytes} << 20))
    print(all(digest(8) == want for _ in range(3)), threads_here() < 8)
    """
    stack = {"OMP_STACKSIZE": "10M", "OPENBLAS_NUM_THREADS": "1"}
    assert last_line(LARGE, LIMITS, code, **stack) == "True True"


# Control groups.


@contextlib.contextmanager
def control_group(controller: str) -> Iterator[Path]:
    """A group of its own, where this machine lets one be made; both versions."""
    roots = [Path("/sys/fs/cgroup", controller), Path("/sys/fs/cgroup")]
    group = None
    for root in roots:
        controllers = root / "cgroup.controllers"
        if root == roots[1] and not (
            controllers.exists() and controller in (root / "cgroup.subtree_control").read_text().split()
        ):
            continue
        with contextlib.suppress(OSError):
            (root / f"xent_native_{os.getpid()}").mkdir()
            group = root / f"xent_native_{os.getpid()}"
            break
    if group is None:
        pytest.skip(f"no control group of {controller} can be made here")
    try:
        yield group
    finally:
        group.rmdir()


def join(group: Path) -> str:
    """Code that takes its process into a group."""
    return f"with open({str(group / 'cgroup.procs')!r}, 'w') as file:\n    file.write('0')"


@on_linux
@needs_openmp
def test_a_quota_of_this_machine():
    with control_group("cpu") as group:
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text("150000 100000")
        else:
            (group / "cpu.cfs_quota_us").write_text("150000")
        code = """
        print(xn.get_num_threads(), same(), end=" ")
        xn.set_num_threads(5)
        print(xn.get_num_threads())
        """
        assert last_line(join(group), LARGE, code, OMP_NUM_THREADS="8") == "2 True 5"


@on_linux
def test_a_group_that_may_have_few_threads():
    with control_group("pids") as group:
        (group / "pids.max").write_text("3")
        code = """
        print(all(digest(8) == digest(1) for _ in range(5)), len(os.listdir("/proc/self/task")) <= 3)
        """
        assert last_line(LARGE, join(group), code, OPENBLAS_NUM_THREADS="1") == "True True"
