# SPDX-License-Identifier: BSD-3-Clause
# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: freethreading_compatible=True, embedsignature=True, binding=True
"""From Python buffers to the C core: no arithmetic and no defaults live here.

Every buffer is checked against the problem's shape and item size before its pointer is used, so that
nothing passed to this module can make C read or write out of bounds. Users meet friendlier checks first,
in _problem.py; but plain_cross_entropy takes the calls that need none of them.
"""

import os
import threading

import numpy

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport INFINITY
from libc.stdint cimport INT64_MAX, int64_t, uint64_t, uintptr_t
from libc.string cimport memset, strchr

# What C calls the dtypes and reductions that it knows. Dtypes of the other byte order are none of them.
FLOATS = {numpy.dtype("f4"): XN_FLOAT32, numpy.dtype("f8"): XN_FLOAT64}
STORED = {**FLOATS, numpy.dtype("f2"): XN_FLOAT16}  # of arrays with a class axis; and bfloat16, see stored_code
BFLOAT16 = XN_BFLOAT16
FLOAT64_TO_FLOAT32 = XN_FLOAT64_TO_FLOAT32
INTEGERS = {
    numpy.dtype(char): (XN_INT8 if numpy.dtype(char).kind == "i" else XN_UINT8)
    + 2 * (numpy.dtype(char).itemsize.bit_length() - 1)
    for char in "bBhHiIlLqQ"
}
# Labels of hosts that have them in floats, too.
LABELS = {**INTEGERS, numpy.dtype("f4"): XN_WHOLE_FLOAT32, numpy.dtype("f8"): XN_WHOLE_FLOAT64}
REDUCTIONS = {
    None: XN_NONE,
    "none": XN_NONE,
    "sum": XN_SUM,
    "mean": XN_MEAN,
    "sum_over_batch_size": XN_MEAN,
    "mean_with_sample_weight": XN_WEIGHTED_MEAN,
}
SHAPES = {"plain": XN_PLAIN, "focal": XN_FOCAL, "poly1": XN_POLY1, "kl": XN_KL}

# One module in parts: C sees a single file, and inlines what small calls pass through.
include "_core_buffers.pxi"
include "_core_run.pxi"
include "_core_calls.pxi"
include "_core_plain.pxi"
include "_core_scores.pxi"


def isa():
    """Name of the instruction set in use."""
    return xn_isa().decode()


def isas():
    """(name, whether this CPU runs it) of each instruction set in this build, best first."""
    found = []
    cdef int i = 0
    while xn_isa_name(i) != NULL:
        found.append((xn_isa_name(i).decode(), xn_isa_supported(i) != 0))
        i += 1
    return found


def kernels():
    """Names of the kernels."""
    found = []
    cdef int i = 0
    while xn_kernel_name(i) != NULL:
        found.append(xn_kernel_name(i).decode())
        i += 1
    return found


def set_isa(str name):
    """Use an instruction set; ValueError if this build or this CPU lacks it."""
    cdef bytes encoded = name.encode()
    cdef xn_status status = xn_set_isa(encoded)
    if status != XN_OK:
        raise ValueError(xn_status_text(status).decode())


def has_openmp():
    """Whether this build can use more than one thread."""
    return xn_has_openmp() != 0


def threads(int asked):
    """Threads that a large call uses that asks for so many, or for 0: whatever there are."""
    return xn_threads(asked)
