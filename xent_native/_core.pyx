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
from libc.stdint cimport int64_t, uint64_t, uintptr_t
from libc.string cimport memset, strchr

cdef extern from "Python.h":
    int PyErr_CheckSignals() noexcept  # the exception that it sets stays pending until cross_entropy raises it
    unsigned long PyThread_get_thread_ident() noexcept nogil

cdef extern from "<time.h>" nogil:
    struct timespec:
        long long tv_sec
        long tv_nsec
    int timespec_get(timespec *, int) noexcept
    int TIME_UTC

cdef enum:
    MAX_BUFFERS = 12
    MAX_DIMENSIONS = 64
    CACHE_LINE = 64
    FEW_NUMBERS = 1024  # that row_derivatives keeps on the stack
    LARGE_BYTES = 1 << 22  # from here on a few microseconds for an aligned array are nothing
    SHORT_CALL = 4096  # elements: a few microseconds, in which no other thread would get far

cdef double ASK_SECONDS = 0.02  # between two looks for signals

cdef enum:  # what plain_cross_entropy computes; those before PLAIN_KL warn of a single class
    PLAIN_SPARSE
    PLAIN_DENSE
    PLAIN_FOCAL
    PLAIN_POLY1
    PLAIN_KL
    PLAIN_BINARY
    PLAIN_BINARY_FOCAL

cdef int[5] FLOAT_SIZE = [4, 8, 2, 2, 8]  # of what is read, by xn_dtype,
cdef int[5] WRITTEN_SIZE = [4, 8, 2, 2, 4]  # and of what is written
cdef int[10] INT_SIZE = [1, 1, 2, 2, 4, 4, 8, 8, 4, 8]

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
WHOLE_FLOATS = {numpy.dtype("f4"): XN_WHOLE_FLOAT32, numpy.dtype("f8"): XN_WHOLE_FLOAT64}  # labels of boosters
REDUCTIONS = {
    None: XN_NONE,
    "none": XN_NONE,
    "sum": XN_SUM,
    "mean": XN_MEAN,
    "sum_over_batch_size": XN_MEAN,
    "mean_with_sample_weight": XN_WEIGHTED_MEAN,
}
SHAPES = {"plain": XN_PLAIN, "focal": XN_FOCAL, "poly1": XN_POLY1, "kl": XN_KL}
PLAIN = {
    "sparse": PLAIN_SPARSE,
    "dense": PLAIN_DENSE,
    "focal": PLAIN_FOCAL,
    "poly1": PLAIN_POLY1,
    "kl": PLAIN_KL,
    "binary": PLAIN_BINARY,
    "binary focal": PLAIN_BINARY_FOCAL,
}
# The same objects again: C looks these names up much faster.
cdef dict stored = STORED, integers = INTEGERS, reductions = REDUCTIONS
cdef object ndarray = numpy.ndarray, empty = numpy.empty


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


cdef struct Buffers:
    Py_buffer view[MAX_BUFFERS]
    int count


cdef struct Shape:
    int64_t outer, classes, inner


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


cdef int pending_exception() except -1:
    return -1  # PyErr_CheckSignals has set it


cdef Py_buffer *acquire(Buffers *buffers, object array, int item, bint writable) except NULL:
    """The buffer of an array whose items have `item` bytes, aligned and a whole number of items apart."""
    cdef Py_buffer *view = &buffers.view[buffers.count]
    cdef int i
    PyObject_GetBuffer(array, view, PyBUF_STRIDES | (PyBUF_WRITABLE | PyBUF_FORMAT if writable else 0))
    buffers.count += 1
    if writable and view.format != NULL and strchr(view.format, b'O') != NULL:
        raise ValueError("expected numbers, got references to objects")  # which numbers must not take the place of
    if view.ndim > MAX_DIMENSIONS or (view.ndim > 0 and (view.shape == NULL or view.strides == NULL)):
        raise ValueError("expected strides and at most 64 dimensions")  # ctypes has no strides, though it was asked
    if view.itemsize != item or (view.len > 0 and <uintptr_t> view.buf % item != 0):
        raise ValueError(f"expected aligned items of {item} bytes, got {view.itemsize}")
    for i in range(view.ndim):
        if view.shape[i] > 1 and view.strides[i] % item != 0:
            raise ValueError("strides must be whole items")
    return view


cdef int real_size(int dtype) noexcept:
    """Bytes of the type that a dtype is computed in."""
    return 8 if FLOAT_SIZE[dtype] == 8 else 4


cdef object lendable(array):
    """An array whose buffer NumPy lends: of bfloat16, a type that it does not know, only the bits."""
    return array.view(numpy.uint16) if array.dtype.kind == "V" else array


cdef bint group(Py_buffer *view, int first, int last, int64_t *size, int64_t *stride) noexcept:
    """Dimensions [first, last) as one, its stride counted in items."""
    cdef int64_t[MAX_DIMENSIONS] shape
    cdef int64_t[MAX_DIMENSIONS] strides
    cdef int i
    for i in range(first, last):
        shape[i - first] = view.shape[i]
        strides[i - first] = view.strides[i] // view.itemsize
    return xn_collapse(last - first, shape, strides, size, stride) != 0


cdef int take_planes(Buffers *buffers, object array, int dtype, int axis, bint writable, Shape *shape,
                     xn_array *planes) except -1:
    """An array with the shape of the input. The first one sets `shape`, where outer is -1 before."""
    if array is None:
        return 0
    if dtype == XN_BFLOAT16:
        array = lendable(array)
    cdef Py_buffer *view = acquire(buffers, array, WRITTEN_SIZE[dtype] if writable else FLOAT_SIZE[dtype], writable)
    cdef Shape own
    if axis < 0 or axis >= view.ndim:
        raise ValueError("axis out of range")
    own.classes = view.shape[axis]
    planes.cls = view.strides[axis] // view.itemsize if own.classes > 1 else 1
    if not (group(view, 0, axis, &own.outer, &planes.outer)
            and group(view, axis + 1, view.ndim, &own.inner, &planes.inner)):
        raise ValueError("these strides do not collapse into (outer, classes, inner)")
    if shape.outer < 0:
        shape[0] = own
    elif own.outer != shape.outer or own.classes != shape.classes or own.inner != shape.inner:
        raise ValueError("an array does not have the shape of the input")
    planes.data = view.buf
    return 0


cdef void *take_rows(Buffers *buffers, object array, int item, int axis, bint writable, Shape *shape,
                     int64_t *outer, int64_t *inner) except? NULL:
    """An array with one item per row: the shape of the input without the class axis."""
    cdef Py_buffer *view = acquire(buffers, array, item, writable)
    cdef int64_t outer_size, inner_size
    if axis > view.ndim:
        raise ValueError("an array of rows has too few dimensions")
    if not (group(view, 0, axis, &outer_size, outer) and group(view, axis, view.ndim, &inner_size, inner)):
        raise ValueError("these strides do not collapse into (outer, inner)")
    if outer_size != shape.outer or inner_size != shape.inner:
        raise ValueError("an array of rows does not have the shape of the input's rows")
    return view.buf


cdef int take_floats(Buffers *buffers, object array, int dtype, int axis, bint writable, Shape *shape,
                     xn_row_array *rows) except -1:
    if array is None:
        return 0
    rows.dtype = <xn_dtype> dtype
    rows.data = take_rows(buffers, array, FLOAT_SIZE[dtype], axis, writable, shape, &rows.outer, &rows.inner)
    return 0


cdef void release(Buffers *buffers) noexcept:
    while buffers.count > 0:
        buffers.count -= 1
        PyBuffer_Release(&buffers.view[buffers.count])


ctypedef xn_status (*operation)(xn_problem *) noexcept nogil


cdef operation softmax_operation(xn_problem *p, bint from_logits) noexcept:
    if p.shape != XN_PLAIN:
        return xn_shaped_ce if from_logits else xn_shaped_prob
    return xn_softmax_ce if from_logits else xn_prob_ce


cdef xn_status run(xn_problem *p, operation call) except? XN_INTERRUPTED:
    """Calls C, without the GIL unless the call is short. An interruption and a lack of memory become exceptions here."""
    cdef xn_status status
    if PyThread_get_thread_ident() == main_thread:  # else NULL: a daemon thread must not wait for the GIL inside of C
        p.interrupted = interrupted
    if p.outer * p.inner * p.classes < SHORT_CALL:
        status = call(p)
    else:
        with nogil:
            status = call(p)
    if status == XN_INTERRUPTED:
        pending_exception()
    if status == XN_NO_MEMORY:
        raise MemoryError(xn_status_text(status).decode())
    return status


cdef int take_plain(Buffers *buffers, xn_problem *p, Shape *shape, int kind, y_true, y_pred, dtype, axis,
                    ignore_class, label_smoothing, reduction, epsilon) except -2:
    """Fills in the problem of plain_cross_entropy but for its outputs. The class axis, or -1 if it is not plain."""
    cdef Py_buffer *x
    cdef Py_buffer *y
    cdef int cls, i
    cdef bint dense = kind != PLAIN_SPARSE
    if type(axis) is not int or type(label_smoothing) is not float or type(epsilon) is not float:
        return -1  # no method of an option runs here: what it raises would be lost
    if reduction is not None and type(reduction) is not str:
        return -1
    code = stored.get(dtype)
    y_code = stored.get(y_true.dtype) if dense else integers.get(y_true.dtype)
    reduction_code = reductions.get(reduction)
    if code is None or y_code is None or reduction_code is None:
        return -1
    memset(p, 0, sizeof(p[0]))
    p.dtype = <xn_dtype> <int> code
    p.reduction = <xn_reduction> <int> reduction_code
    p.label_smoothing = label_smoothing
    p.epsilon = epsilon
    if not (0 <= p.label_smoothing <= 1 and 0 <= p.epsilon < 0.5):
        return -1
    cls = axis
    shape.outer = -1
    if cls < 0:
        cls += <int> y_pred.ndim
    take_planes(buffers, y_pred, p.dtype, cls, False, shape, &p.input)
    if dense:
        if y_code != code or (shape.classes == 1 and kind < PLAIN_KL):  # of which _problem.py warns
            return -1
        take_planes(buffers, y_true, p.dtype, cls, False, shape, &p.target)
    else:
        p.labels.type = <xn_int_type> <int> y_code
        p.labels.data = take_rows(buffers, y_true, INT_SIZE[<int> p.labels.type], cls, False, shape,
                                  &p.labels.outer, &p.labels.inner)
    x, y = &buffers.view[0], &buffers.view[1]
    if y.ndim != (x.ndim if dense else x.ndim - 1):
        return -1
    for i in range(y.ndim):
        if y.shape[i] != x.shape[i if dense or i < cls else i + 1]:
            return -1
    if ignore_class is not None:
        if dense or type(ignore_class) is not int or p.labels.type == XN_UINT64:
            return -1
        p.has_ignored = 1
        p.ignored = ignore_class
    p.outer, p.classes, p.inner = shape.outer, shape.classes, shape.inner
    p.classes_last = cls == x.ndim - 1
    return cls


def is_bfloat16(dtype):
    """Whether a dtype is that of ml_dtypes, in either byte order; anyone may give bits that name."""
    return dtype.name == "bfloat16" and dtype.itemsize == 2 and not issubclass(dtype.type, numpy.void)


def stored_code(dtype):
    """What C calls the dtype of an array with a class axis; -1 if it does not know it."""
    return STORED.get(dtype, XN_BFLOAT16 if is_bfloat16(dtype) and dtype.isnative else -1)


def collapses(array, int axis):
    """Whether an array can be passed without a copy: its dimensions on either side of axis view as one."""
    cdef Py_buffer view
    cdef int64_t size, stride
    cdef bint whole = True
    cdef int i
    PyObject_GetBuffer(lendable(array), &view, PyBUF_STRIDES)
    try:
        if not 0 <= axis < view.ndim <= MAX_DIMENSIONS or view.strides == NULL or view.itemsize == 0:
            return False
        for i in range(view.ndim):
            whole = whole and (view.shape[i] < 2 or view.strides[i] % view.itemsize == 0)
        return (whole and group(&view, 0, axis, &size, &stride)
                and group(&view, axis + 1, view.ndim, &size, &stride))
    finally:
        PyBuffer_Release(&view)


def new_plane(x):
    """An array of the shape and dtype of x, not filled. A large one begins at a cache line.

    Gradients that do not fit into the cache are stored past it, line by line; NumPy's arrays begin 16 bytes into a
    line, and then a row whose length is a number of whole lines never fills its first and its last one.
    """
    cdef Py_ssize_t size = x.nbytes, start
    if size < LARGE_BYTES:
        return empty(x.shape, x.dtype)
    memory = empty(size + CACHE_LINE, numpy.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start:start + size].view(x.dtype).reshape(x.shape)


def cross_entropy(bint from_logits, x, int dtype, int axis, labels, int label_type, target, ignored,
                  double label_smoothing, class_weight, sample_weight, int weight_dtype, double epsilon,
                  int reduction, int n_threads, loss, int loss_dtype, lse, grad, hess, prob, log_prob,
                  int shape_of_loss, double coefficient, double alpha, bint without_loss=False,
                  double hess_scale=0):
    """One call of xn_softmax_ce or xn_prob_ce, or of what has their place for the other SHAPES.

    Arrays may be None; returns the reduced loss. Outputs have the dtype of x, but for FLOAT64_TO_FLOAT32.
    """
    cdef xn_problem p
    cdef Buffers buffers
    cdef Shape shape
    cdef Py_buffer *view
    cdef xn_status status
    if not (0 <= dtype < XN_DTYPES and 0 <= label_type <= XN_WHOLE_FLOAT64 and 0 <= weight_dtype < 2 and 0 <= loss_dtype < 2
            and 0 <= reduction < 4 and XN_PLAIN <= shape_of_loss <= XN_KL):
        raise ValueError("unknown dtype, reduction or shape code")
    memset(&p, 0, sizeof(p))
    shape.outer = -1
    buffers.count = 0
    p.dtype = <xn_dtype> dtype
    p.label_smoothing = label_smoothing
    p.epsilon = epsilon
    p.reduction = <xn_reduction> reduction
    p.shape = <xn_shape> shape_of_loss
    p.coefficient = coefficient
    p.alpha = alpha
    p.hess_scale = hess_scale
    p.without_loss = without_loss
    p.n_threads = n_threads
    if ignored is not None:
        p.has_ignored = 1
        p.ignored = <int64_t> <uint64_t> (ignored & 0xFFFFFFFFFFFFFFFF)
    if x is None:
        raise ValueError("there is no input")
    if axis < 0:
        axis += <int> x.ndim
    try:
        take_planes(&buffers, x, dtype, axis, False, &shape, &p.input)
        take_planes(&buffers, target, dtype, axis, False, &shape, &p.target)
        take_planes(&buffers, grad, dtype, axis, True, &shape, &p.grad)
        take_planes(&buffers, hess, dtype, axis, True, &shape, &p.hess)
        take_planes(&buffers, prob, dtype, axis, True, &shape, &p.prob)
        take_planes(&buffers, log_prob, dtype, axis, True, &shape, &p.log_prob)
        take_floats(&buffers, sample_weight, weight_dtype, axis, False, &shape, &p.sample_weight)
        take_floats(&buffers, loss, loss_dtype, axis, True, &shape, &p.loss)
        take_floats(&buffers, lse, loss_dtype, axis, True, &shape, &p.lse)
        if labels is not None:
            p.labels.type = <xn_int_type> label_type
            p.labels.data = take_rows(&buffers, labels, INT_SIZE[label_type], axis, False, &shape,
                                      &p.labels.outer, &p.labels.inner)
        if class_weight is not None:
            view = acquire(&buffers, class_weight, real_size(dtype), False)
            if view.ndim != 1 or view.shape[0] != shape.classes or view.strides[0] != view.itemsize:
                raise ValueError("class_weight must be contiguous, with one item per class")
            p.class_weight = view.buf
        p.outer, p.classes, p.inner = shape.outer, shape.classes, shape.inner
        p.classes_last = axis == buffers.view[0].ndim - 1
        status = run(&p, softmax_operation(&p, from_logits))
        if status == XN_BAD_LABEL:
            raise LabelError(p.bad_row, <uint64_t> p.bad_label if p.labels.type == XN_UINT64 else p.bad_label)
        if status != XN_OK:
            raise ValueError(xn_status_text(status).decode())
        return p.reduced
    finally:
        release(&buffers)


def score_probabilities(x, int dtype, labels, int label_type, target, sample_weight, int weight_dtype,
                        double epsilon, int reduction, int n_threads):
    """One call of xn_prob_ce on probabilities as they are, classes last.

    The reduced loss, then the least and the largest of all probabilities, and the largest distance of a row's sum from
    1, which is infinite if one is not finite. Of labels, target and sample_weight any may be None.
    """
    cdef xn_problem p
    cdef Buffers buffers
    cdef Shape shape
    cdef int axis
    cdef xn_status status
    if not (0 <= dtype < XN_DTYPES and 0 <= label_type < 8 and 0 <= weight_dtype < 2 and 0 <= reduction < 4):
        raise ValueError("unknown dtype or reduction code")
    if x is None:
        raise ValueError("there is no input")
    memset(&p, 0, sizeof(p))
    shape.outer = -1
    buffers.count = 0
    p.dtype = <xn_dtype> dtype
    p.epsilon = epsilon
    p.reduction = <xn_reduction> reduction
    p.as_given = 1
    p.n_threads = n_threads
    axis = <int> x.ndim - 1
    try:
        take_planes(&buffers, x, dtype, axis, False, &shape, &p.input)
        take_planes(&buffers, target, dtype, axis, False, &shape, &p.target)
        take_floats(&buffers, sample_weight, weight_dtype, axis, False, &shape, &p.sample_weight)
        if labels is not None:
            p.labels.type = <xn_int_type> label_type
            p.labels.data = take_rows(&buffers, labels, INT_SIZE[label_type], axis, False, &shape,
                                      &p.labels.outer, &p.labels.inner)
        p.outer, p.classes, p.inner = shape.outer, shape.classes, shape.inner
        p.classes_last = 1
        status = run(&p, xn_prob_ce)
        if status == XN_BAD_LABEL:
            raise LabelError(p.bad_row, <uint64_t> p.bad_label if p.labels.type == XN_UINT64 else p.bad_label)
        if status != XN_OK:
            raise ValueError(xn_status_text(status).decode())
        return p.reduced, p.seen.least, p.seen.most, p.seen.off
    finally:
        release(&buffers)


cdef operation plain_operation(xn_problem *p, int kind, bint from_logits, coefficient, alpha, bint balanced) except? NULL:
    """Sets what the losses other than cross-entropy have, and returns what computes them."""
    if kind <= PLAIN_DENSE:
        return xn_softmax_ce if from_logits else xn_prob_ce
    if kind == PLAIN_BINARY:
        p.binary.from_probabilities = not from_logits
        return xn_binary_ce
    if type(coefficient) not in (int, float) or type(alpha) not in (int, float):
        raise TypeError
    p.coefficient = coefficient
    p.alpha = alpha
    if kind == PLAIN_BINARY_FOCAL:
        p.binary.from_probabilities = not from_logits
        p.binary.focal = 1
        p.binary.balanced = balanced
        if not (0 <= p.alpha <= 1 and 0 <= p.coefficient < INFINITY):
            raise ValueError
        return xn_binary_ce
    p.shape = XN_FOCAL if kind == PLAIN_FOCAL else XN_POLY1 if kind == PLAIN_POLY1 else XN_KL
    return xn_shaped_ce if from_logits else xn_shaped_prob


def plain_cross_entropy(int kind, y_true, y_pred, from_logits, axis, ignore_class, label_smoothing, reduction,
                        epsilon, int n_threads, bint grad, coefficient=0.0, alpha=1.0, balanced=False):
    """(loss, gradient or None) of a call whose arguments are what they nearly always are, else None.

    Small batches spend more time on the checks of _problem.py than on arithmetic. Here the usual case is
    recognised: plain arrays that need no conversion, options of the plain types and in range, no weights, no
    buffers of the caller. Nothing is refused: None sends the call the thorough way, which takes it or says what
    is wrong with it. `kind` is one of PLAIN, and `coefficient` the gamma or epsilon of those that have one.
    """
    cdef xn_problem p
    cdef Buffers buffers
    cdef Shape shape
    cdef operation call
    cdef int cls
    cdef object loss = None, slope = None
    if not PLAIN_SPARSE <= kind <= PLAIN_BINARY_FOCAL:
        raise ValueError("unknown kind of loss")
    if type(y_pred) is not ndarray or type(y_true) is not ndarray:
        return None
    if type(from_logits) is not bool or type(balanced) is not bool:
        return None
    dtype = y_pred.dtype
    buffers.count = 0
    try:
        try:
            cls = take_plain(&buffers, &p, &shape, kind, y_true, y_pred, dtype, axis, ignore_class,
                             label_smoothing, reduction, epsilon)
            if cls < 0:
                return None
            call = plain_operation(&p, kind, from_logits, coefficient, alpha, balanced)
        except (BufferError, OverflowError, TypeError, ValueError):  # the thorough way says what is wrong
            return None
        if p.reduction == XN_NONE:
            rows = y_true.shape if kind == PLAIN_SPARSE else y_pred.shape[:cls] + y_pred.shape[cls + 1:]
            loss = empty(rows, numpy.float64 if p.dtype == XN_FLOAT64 else numpy.float32)
            take_floats(&buffers, loss, XN_FLOAT64 if p.dtype == XN_FLOAT64 else XN_FLOAT32, cls, True, &shape,
                        &p.loss)
        if grad:
            slope = new_plane(y_pred)
            take_planes(&buffers, slope, p.dtype, cls, True, &shape, &p.grad)
        p.n_threads = n_threads
        if run(&p, call) != XN_OK:
            return None
        return (p.reduced if loss is None else loss), slope
    finally:
        release(&buffers)


def binary_cross_entropy(bint from_logits, x, int dtype, int axis, target, double label_smoothing, pos_weight,
                         focal, sample_weight, int weight_dtype, double epsilon, int reduction, double share,
                         int n_threads, loss, int loss_dtype, each, grad, hess, prob, bint without_loss=False,
                         labels=None, int label_type=0):
    """One call of xn_binary_ce. Arrays may be None; returns the reduced loss.

    focal is None or (balanced, alpha, gamma); each is of the dtype that x is computed in.
    """
    cdef xn_problem p
    cdef Buffers buffers
    cdef Shape shape
    cdef Py_buffer *view
    cdef xn_status status
    if not (0 <= dtype < XN_DTYPES and 0 <= weight_dtype < 2 and 0 <= loss_dtype < 2 and 0 <= reduction < 4
            and 0 <= label_type <= XN_WHOLE_FLOAT64):
        raise ValueError("unknown dtype or reduction code")
    memset(&p, 0, sizeof(p))
    shape.outer = -1
    buffers.count = 0
    p.dtype = <xn_dtype> dtype
    p.label_smoothing = label_smoothing
    p.epsilon = epsilon
    p.reduction = <xn_reduction> reduction
    p.n_threads = n_threads
    p.without_loss = without_loss
    p.binary.from_probabilities = not from_logits
    p.binary.share = share
    if focal is not None:
        p.binary.focal = 1
        p.binary.balanced, p.alpha, p.coefficient = focal
    if x is None:
        raise ValueError("there is no input")
    if axis < 0:
        axis += <int> x.ndim
    try:
        take_planes(&buffers, x, dtype, axis, False, &shape, &p.input)
        take_planes(&buffers, target, dtype, axis, False, &shape, &p.target)
        take_planes(&buffers, each, loss_dtype, axis, True, &shape, &p.binary.each)
        take_planes(&buffers, grad, dtype, axis, True, &shape, &p.grad)
        take_planes(&buffers, hess, dtype, axis, True, &shape, &p.hess)
        take_planes(&buffers, prob, dtype, axis, True, &shape, &p.prob)
        take_floats(&buffers, sample_weight, weight_dtype, axis, False, &shape, &p.sample_weight)
        take_floats(&buffers, loss, loss_dtype, axis, True, &shape, &p.loss)
        if labels is not None:
            p.labels.type = <xn_int_type> label_type
            p.labels.data = take_rows(&buffers, labels, INT_SIZE[label_type], axis, False, &shape,
                                      &p.labels.outer, &p.labels.inner)
        if each is not None and FLOAT_SIZE[loss_dtype] != real_size(dtype):
            raise ValueError("each must have the dtype that x is computed in")
        if pos_weight is not None:
            view = acquire(&buffers, pos_weight, real_size(dtype), False)
            if view.ndim != 1 or view.shape[0] != shape.classes or view.strides[0] != view.itemsize:
                raise ValueError("pos_weight must be contiguous, with one item per class")
            p.binary.pos_weight = view.buf
        p.outer, p.classes, p.inner = shape.outer, shape.classes, shape.inner
        p.classes_last = axis == buffers.view[0].ndim - 1
        status = run(&p, xn_binary_ce)
        if status == XN_BAD_LABEL:
            raise LabelError(p.bad_row, <uint64_t> p.bad_label if p.labels.type == XN_UINT64 else p.bad_label)
        if status != XN_OK:
            raise ValueError(xn_status_text(status).decode())
        return p.reduced
    finally:
        release(&buffers)


cdef list as_list(const double *values, int64_t count):
    return [values[i] for i in range(count)]


cdef list as_square(const double *values, int64_t count):
    """A symmetric matrix as a list of rows, which share their numbers."""
    cdef list rows = [[None] * count for _ in range(count)]
    cdef int64_t i, j
    for i in range(count):
        for j in range(i, count):
            value = values[i * count + j]
            (<list> rows[i])[j] = value
            (<list> rows[j])[i] = value
    return rows


def row_derivatives(x, double label, double weight, double label_smoothing, class_weight, int shape_of_loss,
                    double coefficient, double hess_scale, bint full):
    """(gradient, Hessian) of one float64 row with its label, a whole number, as lists; the Hessian is a list of rows.

    Without `full` it has nothing but its diagonal.
    """
    cdef xn_problem p
    cdef Buffers buffers
    cdef Shape shape
    cdef Py_buffer *view
    cdef double few[FEW_NUMBERS]
    cdef double *room = few
    cdef xn_status status
    cdef int64_t n
    if not XN_PLAIN <= shape_of_loss < XN_KL:
        raise ValueError("unknown shape code")
    memset(&p, 0, sizeof(p))
    shape.outer = -1
    buffers.count = 0
    p.dtype = XN_FLOAT64
    p.label_smoothing = label_smoothing
    p.shape = <xn_shape> shape_of_loss
    p.coefficient = coefficient
    p.alpha = 1
    p.hess_scale = hess_scale
    p.without_loss = 1
    p.n_threads = 1
    p.labels.type = XN_WHOLE_FLOAT64
    p.labels.data = &label
    p.sample_weight.dtype = XN_FLOAT64
    p.sample_weight.data = &weight
    try:
        take_planes(&buffers, x, XN_FLOAT64, 0, False, &shape, &p.input)
        n = shape.classes
        if buffers.view[0].ndim != 1 or n == 0:
            raise ValueError("expected one row")
        if class_weight is not None:
            view = acquire(&buffers, class_weight, sizeof(double), False)
            if view.ndim != 1 or view.shape[0] != n or view.strides[0] != view.itemsize:
                raise ValueError("class_weight must be contiguous, with one item per class")
            p.class_weight = view.buf
        if n * (n + 2) > FEW_NUMBERS:
            room = <double *> PyMem_Calloc(n * (n + 2), sizeof(double))
            if room == NULL:
                raise MemoryError
        else:
            memset(room, 0, n * (n + 2) * sizeof(double))
        p.outer, p.classes, p.inner = 1, n, 1
        p.classes_last = 1
        p.grad.data, p.grad.cls = room, 1
        if full:
            p.prob.data, p.prob.cls = room + n, 1
            status = xn_softmax_hessian(&p, room + 2 * n)
        else:
            p.hess.data, p.hess.cls = room + 2 * n, n + 1
            status = run(&p, softmax_operation(&p, True))
        if status == XN_BAD_LABEL:
            raise LabelError(p.bad_row, p.bad_label)
        if status != XN_OK:
            raise ValueError(xn_status_text(status).decode())
        return as_list(room, n), as_square(room + 2 * n, n)
    finally:
        release(&buffers)
        if room != few:
            PyMem_Free(room)


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
