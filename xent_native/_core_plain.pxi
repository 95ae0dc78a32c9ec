# SPDX-License-Identifier: BSD-3-Clause
# Part of _core.pyx: the short way of small calls, whose checks must not take longer than their arithmetic.

cdef enum:  # what plain_cross_entropy computes; those before PLAIN_KL warn of a single class
    PLAIN_SPARSE
    PLAIN_DENSE
    PLAIN_FOCAL
    PLAIN_POLY1
    PLAIN_KL
    PLAIN_BINARY
    PLAIN_BINARY_FOCAL

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
cdef object ndarray = numpy.ndarray


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
        take_labels(buffers, y_true, y_code, cls, shape, &p.labels)
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
    cdef xn_status status
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
        status = run(&p, call)
        if status == XN_BAD_LABEL or status == XN_BAD_ARGUMENT:
            return None
        check(&p, status)
        return (p.reduced if loss is None else loss), slope
    finally:
        release(&buffers)
