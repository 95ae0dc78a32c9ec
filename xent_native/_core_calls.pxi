# SPDX-License-Identifier: BSD-3-Clause
# Part of _core.pyx: the calls that take every option and array, in the types and shapes that C wants.

cdef enum:
    FEW_NUMBERS = 1024  # that row_derivatives keeps on the stack


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
        take_labels(&buffers, labels, label_type, axis, &shape, &p.labels)
        p.class_weight = take_classes(&buffers, class_weight, real_size(dtype), &shape)
        p.outer, p.classes, p.inner = shape.outer, shape.classes, shape.inner
        p.classes_last = axis == buffers.view[0].ndim - 1
        check(&p, run(&p, softmax_operation(&p, from_logits)))
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
        take_labels(&buffers, labels, label_type, axis, &shape, &p.labels)
        p.outer, p.classes, p.inner = shape.outer, shape.classes, shape.inner
        p.classes_last = 1
        check(&p, run(&p, xn_prob_ce))
        return p.reduced, p.seen.least, p.seen.most, p.seen.off
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
        take_labels(&buffers, labels, label_type, axis, &shape, &p.labels)
        if each is not None and FLOAT_SIZE[loss_dtype] != real_size(dtype):
            raise ValueError("each must have the dtype that x is computed in")
        p.binary.pos_weight = take_classes(&buffers, pos_weight, real_size(dtype), &shape)
        p.outer, p.classes, p.inner = shape.outer, shape.classes, shape.inner
        p.classes_last = axis == buffers.view[0].ndim - 1
        check(&p, run(&p, xn_binary_ce))
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


cdef double *zeros_for_row(int64_t n, double *few) except NULL:
    """Room for gradient, probabilities and Hessian of n classes: `few` if they fit, else new memory."""
    cdef double *room = NULL
    if n + 2 <= FEW_NUMBERS // n:
        memset(few, 0, n * (n + 2) * sizeof(double))
        return few
    if n + 2 <= INT64_MAX // <int64_t> sizeof(double) // n:
        room = <double *> PyMem_Calloc(n * (n + 2), sizeof(double))
    if room == NULL:
        raise MemoryError(f"there is not enough memory for the Hessian of {n} classes")
    return room


def row_derivatives(x, double label, double weight, double label_smoothing, class_weight, int shape_of_loss,
                    double coefficient, double hess_scale, bint full):
    """(gradient, Hessian) of one float64 row with its label, a whole number, as lists; the Hessian is a list of rows.

    Without `full` it has nothing but its diagonal.
    """
    cdef xn_problem p
    cdef Buffers buffers
    cdef Shape shape
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
        p.class_weight = take_classes(&buffers, class_weight, sizeof(double), &shape)
        room = zeros_for_row(n, few)
        p.outer, p.classes, p.inner = 1, n, 1
        p.classes_last = 1
        p.grad.data, p.grad.cls = room, 1
        if full:
            p.prob.data, p.prob.cls = room + n, 1
            status = xn_softmax_hessian(&p, room + 2 * n)
        else:
            p.hess.data, p.hess.cls = room + 2 * n, n + 1
            status = run(&p, softmax_operation(&p, True))
        check(&p, status)
        return as_list(room, n), as_square(room + 2 * n, n)
    finally:
        release(&buffers)
        if room != few:
            PyMem_Free(room)
