# SPDX-License-Identifier: BSD-3-Clause
# Part of _core.pyx: how C is called: the GIL, signals, and the exceptions that statuses become.

cdef extern from "Python.h":
    int PyErr_CheckSignals() noexcept  # the exception that it sets stays pending until check() raises it
    unsigned long PyThread_get_thread_ident() noexcept nogil

cdef extern from "<time.h>" nogil:
    struct timespec:
        long long tv_sec
        long tv_nsec
    int timespec_get(timespec *, int) noexcept
    int TIME_UTC

cdef enum:
    SHORT_CALL = 4096  # elements: a few microseconds, in which no other thread would get far

cdef double ASK_SECONDS = 0.02  # between two looks for signals


# Python's signal handlers run in its main thread, which alone is interrupted. Only that thread uses `asked`.
cdef unsigned long main_thread = 0
cdef double asked = 0  # when it last looked for signals, in seconds


def note_main_thread():
    """Takes the calling thread for the main one: it is, in a process that was just forked."""
    global main_thread
    main_thread = PyThread_get_thread_ident()


xn_init()
main_thread = threading.main_thread().ident
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=note_main_thread)


class LabelError(Exception):
    """A label is out of range: args are the row, counted in C order, and the label."""


cdef int interrupted() noexcept nogil:
    """Whether a signal's handler has raised an exception. C asks often; the GIL, which others may hold for 5 ms, is
    taken at intervals."""
    global asked
    cdef timespec now
    cdef double seconds
    timespec_get(&now, TIME_UTC)
    seconds = now.tv_sec + 1e-9 * now.tv_nsec
    if 0 <= seconds - asked < ASK_SECONDS:
        return 0
    asked = seconds
    with gil:
        return PyErr_CheckSignals()


ctypedef xn_status (*operation)(xn_problem *) noexcept nogil


cdef operation softmax_operation(xn_problem *p, bint from_logits) noexcept:
    if p.shape != XN_PLAIN:
        return xn_shaped_ce if from_logits else xn_shaped_prob
    return xn_softmax_ce if from_logits else xn_prob_ce


cdef xn_status run(xn_problem *p, operation call) noexcept:
    """Calls C, without the GIL unless the call is short."""
    cdef xn_status status
    if PyThread_get_thread_ident() == main_thread:  # else NULL: a daemon thread must not wait for the GIL inside of C
        p.interrupted = interrupted
    if p.outer * p.inner * p.classes < SHORT_CALL:
        return call(p)
    with nogil:
        status = call(p)
    return status


cdef int check(const xn_problem *p, xn_status status) except -1:
    """Raises what a status stands for, unless that is success."""
    if status == XN_OK:
        return 0
    if status == XN_INTERRUPTED:
        return -1  # PyErr_CheckSignals has set the exception
    if status == XN_BAD_LABEL:
        raise LabelError(p.bad_row, <uint64_t> p.bad_label if p.labels.type == XN_UINT64 else p.bad_label)
    kind = MemoryError if status == XN_NO_MEMORY else ValueError
    raise kind(xn_status_text(status).decode())
