# SPDX-License-Identifier: BSD-3-Clause
"""Processes: forked ones whose parent has used threads, all kinds that Python makes, and the end of the interpreter.

GNU's OpenMP waits for ever in a forked child whose parent has run a parallel region. Each script here runs in a process
of its own, with a time-out, and each child has an alarm: one that waits shall not outlive its test.
"""

from __future__ import annotations

import os

import pytest
from processes import LARGE, last_line, python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

FORK = """
import warnings
warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads: that is the case tested
def in_child(work):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if work() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert same()
"""


def test_a_child_and_its_child():
    """They compute on one thread, whatever they ask for."""
    code = """
    def alone():
        with xn.threads(4):
            return same() and xn.get_num_threads() == 1
    assert in_child(alone) == 0
    assert in_child(lambda: alone() and in_child(alone) == 0) == 0
    assert in_child(lambda: in_child(alone) == 0 and alone()) == 0
    print(same())
    """
    assert last_line(LARGE + FORK, code) == "True"


def test_a_child_with_threads_and_processes_of_its_own():
    code = """
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
    import multiprocessing
    def threads():
        with ThreadPoolExecutor(4) as pool:
            return all(pool.map(same, [1, 2, 4, 8] * 4))
    def processes():
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
            return all(pool.map(same, [1, 2, 4, 8]))
    print(in_child(threads), in_child(processes), processes(), threads(), in_child(threads))
    """
    assert last_line(LARGE + FORK, code) == "0 0 True True 0"


def test_a_fork_while_another_thread_computes():
    """In the middle of a parallel region, most likely; and in that of its threads being created."""
    code = """
    done = False
    def compute():
        while not done:
            assert same(2)
    def start():
        while not done:
            thread = threading.Thread(target=digest, args=(3,))
            thread.start()
            thread.join()
    threads = [threading.Thread(target=compute), threading.Thread(target=start)]
    for thread in threads:
        thread.start()
    codes = {in_child(same) for _ in range(12)}
    done = True
    for thread in threads:
        thread.join()
    print(codes, same())
    """
    assert last_line(LARGE + FORK, code) == "{0} True"


def test_a_fork_in_a_thread_and_in_a_pool_of_threads():
    """The thread that forks is its child's main thread: signals reach its calls."""
    code = """
    from concurrent.futures import ThreadPoolExecutor
    def interrupted():
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            xn.logsumexp(np.broadcast_to(np.float32(0), (1 << 16, 1 << 22)))
        except KeyboardInterrupt:
            return same()
    with ThreadPoolExecutor(2) as pool:
        print(sorted(pool.map(in_child, [same, interrupted])), same())
    """
    assert last_line(LARGE + FORK, code) == "[0, 0] True"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method):
    """Functions of the package travel to the workers by name; the workers' results are those of this process."""
    code = f"""
    import multiprocessing
    if __name__ == "__main__":
        want = xn.sparse_categorical_crossentropy(y, x, True)
        with multiprocessing.get_context({method!r}).Pool(2) as pool:
            found = pool.starmap(xn.sparse_categorical_crossentropy, [(y, x, True)] * 4, chunksize=1)
            loss = xn.SparseCategoricalCrossentropy(from_logits=True, reduction="none")
            found += pool.starmap(loss, [(y, x)] * 2)
        print(all((one == want).all() for one in found), same())
    """
    assert last_line(LARGE + FORK, code) == "True True"


def test_a_program_is_started_while_threads_compute():
    code = """
    import subprocess
    thread = threading.Thread(target=lambda: [digest(2) for _ in range(30)])
    thread.start()
    codes = {subprocess.run([sys.executable, "-c", "print()"], stdout=subprocess.DEVNULL).returncode for _ in range(3)}
    thread.join()
    print(codes, same())
    """
    assert last_line(LARGE + FORK, code) == "{0} True"


def test_a_fork_before_the_first_call():
    code = """
    import warnings
    warnings.simplefilter("ignore")
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if same() and xn.get_num_threads() == 1 else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), same())
    """
    assert last_line(LARGE, code) == "0 True"


# The end of the interpreter.


def test_at_exit_and_in_destructors():
    """At exit all works. When modules are taken apart Python has emptied ours, too: a TypeError then, but no crash."""
    code = """
    import atexit
    atexit.register(lambda: print(same(), flush=True))
    class Last:
        def __del__(self, call=xn.softmax, x=x, write=os.write, gone=TypeError):
            try:
                call(x, n_threads=2)
            except gone:
                pass
            write(1, b"last\\n")
    last = Last()
    sys.last = Last()  # goes when modules are taken apart
    """
    done = python(LARGE, code)
    assert (done.returncode, done.stdout.split()) == (0, ["True", "last", "last"]), done.stderr


@pytest.mark.parametrize("how", ["pass", "sys.exit(0)", "os.kill(os.getpid(), signal.SIGINT); time.sleep(5)"])
def test_the_interpreter_ends_while_daemon_threads_compute(how):
    """They may not come back from a call; nothing crashes, and nothing waits for them."""
    code = f"""
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    big = np.broadcast_to(np.float32(0), (1 << 16, 1 << 22))  # would take hours
    def often():
        while True:
            digest(2)
    for work in (often, often, lambda: xn.logsumexp(big, n_threads=2), lambda: xn.softmax(x)):
        threading.Thread(target=work, daemon=True).start()
    time.sleep(0.2)
    print(same(), flush=True)
    {how}
    """
    assert last_line(LARGE, code) == "True"
