# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C: a long call of any kind ends within a moment, what a handler raises is the caller's, the next call is right.

How often C asks is counted in tests/c/test_threads.c; how long it takes is measured by tests/slow/interrupt.py. Here
each call would take half a minute at least, and may take five seconds to end, so that a busy machine fails nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from processes import LARGE, last_line

import xent_native as xn
from xent_native import _copy

# One process for all kinds: the signal goes to the process, and pytest shall not see it.
ALL_KINDS = """
sys.path.insert(0, TESTS)
import long_calls
want = digest(1)
xn.set_isa(ISA)
if ISA != "baseline":  # whose bits are others
    assert digest(1) == want
want = digest(1)
late = []
for name, prepare in long_calls.CALLS.items():
    call = prepare()
    for n_threads in (1, 2):
        seconds = long_calls.interrupt(lambda: call(n_threads), 0.03)
        if seconds is None or seconds > 5 or digest(2) != want:
            late.append((name, n_threads, seconds))
print(len(long_calls.CALLS) > 20, late)
"""


@pytest.mark.parametrize("level", sorted({xn.isa(), "baseline"}))
def test_a_long_call_of_any_kind(level):
    settings = f"TESTS = {str(Path(__file__).parent)!r}\nISA = {level!r}\n"
    assert last_line(settings, LARGE, ALL_KINDS) == "True []"


def test_outputs_are_unfinished():
    """Where the call stops nothing more is written: the end of a large gradient is as it was."""
    code = """
    rows, classes = 1 << 8, 1 << 17
    grad = np.full((rows, classes), np.nan, np.float32)
    x = np.zeros((rows, classes), np.float32)
    labels = np.zeros(rows, np.uint8)
    sys.setswitchinterval(1000)  # the helper gets the interpreter when the call has given it up, and not before
    go = threading.Event()
    def helper():
        go.wait()
        signal.raise_signal(signal.SIGINT)
    thread = threading.Thread(target=helper)
    thread.start()
    try:
        go.set()
        xn.sparse_categorical_crossentropy_value_and_grad(labels, x, True, grad_out=grad, n_threads=1)
        print("finished")
    except KeyboardInterrupt:
        print("interrupted", np.isnan(grad[-1]).all())
    thread.join()
    """
    assert last_line(LARGE, code) == "interrupted True"


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "ValueError"])
def test_what_a_handler_raises(error):
    """It is raised in the line of the call. A ValueError is the user's, even if the library raises some of its kind."""
    code = f"""
    import traceback
    big = np.broadcast_to(np.zeros(4096, np.float32), (1 << 22, 4096))
    labels = np.zeros(1 << 22, np.uint8)
    def handler(number, frame):
        raise {error}("stop")
    signal.signal(signal.SIGINT, handler)
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        xn.sparse_categorical_crossentropy(labels, big, True)
        print("finished")
    except {error} as error:
        print("interrupted in", traceback.extract_tb(error.__traceback__)[-1].name, error)
    """
    found = last_line(LARGE, code)
    assert found.startswith("interrupted in")
    assert found.endswith("stop")


def test_a_handler_that_raises_nothing():
    """The call goes on, also when the handler makes calls of its own."""
    code = """
    big = np.broadcast_to(np.float32(0), (1 << 12, 1 << 16))
    want = xn.logsumexp(big[:1])
    seen = []
    signal.signal(signal.SIGALRM, lambda number, frame: seen.append(same()))
    right = True
    while len(seen) < 3:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        right = right and (xn.logsumexp(big, n_threads=2) == want).all()
    print(right, all(seen))
    """
    assert last_line(LARGE, code) == "True True"


def test_a_call_in_another_thread_goes_on():
    """Python's signals are for its main thread: there it is raised, and the call ends as if nothing was."""
    code = """
    big = np.broadcast_to(np.float32(0), (1 << 13, 1 << 16))
    want = xn.logsumexp(big[:1])
    result = []
    thread = threading.Thread(target=lambda: result.append(xn.logsumexp(big, n_threads=2)))
    thread.start()
    try:
        os.kill(os.getpid(), signal.SIGINT)
        while not result:
            time.sleep(0.01)
        print("not interrupted")
    except KeyboardInterrupt:
        while not result:
            time.sleep(0.01)
        print((result[0] == want).all(), same())
    """
    assert last_line(LARGE, code) == "True True"


def test_interrupted_calls_keep_no_memory():
    """Many calls that need memory for their sums and their exponentials, each interrupted at its first look."""
    code = """
    big = np.broadcast_to(np.float32(0), (1 << 8, 1 << 22))
    labels = np.zeros(1 << 8, np.uint8)
    def stop(number, frame):
        raise KeyboardInterrupt
    def interrupted(times):
        for _ in range(times):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-3)
                xn.categorical_focal_crossentropy(big, big, from_logits=True, reduction="sum", n_threads=2)
                return False
            except KeyboardInterrupt:
                pass
        return True
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096
    signal.signal(signal.SIGALRM, stop)
    done = interrupted(20)
    before = resident()
    print(done, interrupted(60), resident() - before < 16 << 20)
    """
    if not Path("/proc/self/statm").exists():
        pytest.skip("reads the memory of a Linux process")
    assert last_line(LARGE, code) == "True True True"


# Copies, of arrays that C cannot walk or of another dtype: NumPy itself never looks for signals.

ODD = {
    "one piece": np.arange(5.0),
    "long": np.arange(1000, dtype=">i4"),
    "matrix": np.arange(600.0).reshape(20, 30),
    "few long rows": np.arange(600.0).reshape(2, 300),
    "one long row": np.arange(600.0).reshape(1, 600),
    "Fortran": np.asfortranarray(np.arange(600.0).reshape(20, 30)),
    "reversed": np.arange(600.0).reshape(20, 30)[::-1, ::-2],
    "odd steps": np.arange(1200.0).reshape(10, 8, 15)[::3, 1:, ::2],
    "broadcast": np.broadcast_to(np.arange(9.0), (30, 40, 9)),
    "misaligned": np.ones(2401, np.uint8)[1:].view(np.float64).reshape(30, 10),
    "empty": np.zeros((3, 0, 4)),
    "scalar": np.array(3.0),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("order", ["C", "K"])
def test_copies_are_made_in_pieces(name, order, monkeypatch):
    """Each small enough, and together what NumPy's own copy is, its strides included."""
    array, sizes, copyto = ODD[name], [], np.copyto

    def counted(to, given, **options):
        sizes.append(given.size)
        copyto(to, given, **options)

    monkeypatch.setattr(_copy, "PIECE", 50)
    monkeypatch.setattr(np, "copyto", counted)
    copy = _copy.converted(array, np.float32, order=order)
    monkeypatch.undo()
    want = array.astype(np.float32, order=order)
    assert np.array_equal(copy, want)
    assert (copy.dtype, copy.strides, copy.flags.aligned) == (want.dtype, want.strides, True)
    assert max(sizes) <= 50
    assert sum(sizes) == array.size
