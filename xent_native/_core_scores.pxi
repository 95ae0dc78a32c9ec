# SPDX-License-Identifier: BSD-3-Clause
# Part of _core.pyx: scores of rows, and the books that they are entered in.

LIMBS = XN_LIMBS
CONFIDENCE_KEYS = XN_CONFIDENCE_KEYS
LOSS_OCTAVES = XN_LOSS_OCTAVES


cdef void *take_line(Buffers *buffers, object array, int item, int64_t size, bint writable) except NULL:
    """`size` neighbours in an array of one dimension; a pointer that is never NULL."""
    cdef Py_buffer *view = acquire(buffers, array, item, writable)
    if view.ndim != 1 or view.shape[0] != size or (size > 1 and view.strides[0] != item):
        raise ValueError(f"expected {size} neighbours")
    return view.buf


cdef int take_scores(Buffers *buffers, scores, int64_t rows, bint writable, xn_row_scores *to) except -1:
    loss, confidence, brier, label, best, rank = scores
    to.loss = <double *> take_line(buffers, loss, 8, rows, writable)
    to.confidence = <double *> take_line(buffers, confidence, 8, rows, writable)
    to.brier = <double *> take_line(buffers, brier, 8, rows, writable)
    to.label = <int32_t *> take_line(buffers, label, 4, rows, writable)
    to.best = <int32_t *> take_line(buffers, best, 4, rows, writable)
    to.rank = <int32_t *> take_line(buffers, rank, 4, rows, writable)
    return 0


cdef xn_status run_score(xn_problem *p, bint from_logits, const xn_row_scores *to) noexcept:
    cdef xn_status status
    if PyThread_get_thread_ident() == main_thread:
        p.interrupted = interrupted
    with nogil:
        status = xn_score(p, from_logits, to)
    return status


def score_room(Py_ssize_t rows):
    """Arrays for what score_rows says of so many rows."""
    return (empty(rows), empty(rows), empty(rows), empty(rows, "i4"), empty(rows, "i4"), empty(rows, "i4"))


def score_rows(x, int dtype, labels, int label_type, ignored, bint from_logits, double epsilon, int n_threads,
               room=None):
    """One call of xn_score: loss, confidence, Brier score (float64), label, best class and rank (int32) of each row.

    They are in `room`, if that is given and large enough: fresh memory takes longer than the arithmetic.
    """
    cdef xn_problem p
    cdef Buffers buffers
    cdef Shape shape
    cdef xn_row_scores to
    if not (0 <= dtype < XN_DTYPES and 0 <= label_type < 8):
        raise ValueError("unknown dtype code")
    memset(&p, 0, sizeof(p))
    shape.outer = -1
    buffers.count = 0
    p.dtype = <xn_dtype> dtype
    p.epsilon = epsilon
    p.reduction = XN_NONE
    p.n_threads = n_threads
    if ignored is not None:
        p.has_ignored = 1
        p.ignored = <int64_t> <uint64_t> (ignored & 0xFFFFFFFFFFFFFFFF)
    if x is None or x.ndim != 2:
        raise ValueError("expected an input of rows and classes")
    rows = x.shape[0]
    if room is None or len(room[0]) < rows:
        room = score_room(rows)
    scores = tuple([part[:rows] for part in room])
    if rows == 0:
        return scores
    try:
        take_planes(&buffers, x, dtype, 1, False, &shape, &p.input)
        take_labels(&buffers, labels, label_type, 1, &shape, &p.labels)
        take_scores(&buffers, scores, rows, True, &to)
        p.outer, p.classes, p.inner = shape.outer, shape.classes, shape.inner
        p.classes_last = 1
        check(&p, run_score(&p, from_logits, &to))
        return scores
    finally:
        release(&buffers)


cdef xn_book_shape book_shape(shape) except *:
    cdef xn_book_shape found
    found.classes, found.cells, found.ranks, found.has_confusion, found.weighted, found.class_bins = shape
    return found


def book_sections(*shape):
    """(name, items, whether they are exact sums) of each section of a book, in their order.

    A shape is (classes, cells, ranks, has_confusion, weighted, class_bins).
    """
    cdef xn_book_shape wanted = book_shape(shape)
    cdef int64_t items = 0
    cdef int is_sum = 0
    cdef list found = []
    cdef const char *name
    while True:
        name = xn_book_section(&wanted, <int> len(found), &items, &is_sum)
        if name == NULL:
            return found
        found.append((name.decode(), items, is_sum != 0))


def enter(book, shape, scores, weight, start, cut, probability, int n_threads):
    """Adds rows to a book: one call of xn_enter. weight and probability may be None.

    Returns how many rows count nowhere, how many have NaN for a loss, and the largest of the other losses.
    """
    cdef xn_entries e
    cdef xn_entered seen
    cdef xn_row_scores s
    cdef Buffers buffers
    cdef Py_buffer *view
    cdef int64_t *data
    cdef xn_status status
    memset(&e, 0, sizeof(e))
    buffers.count = 0
    e.shape = book_shape(shape)
    e.rows = len(scores[0])
    if e.rows == 0:
        return 0, 0, -INFINITY
    e.n_threads = n_threads
    e.entered = &seen
    size = sum(items * XN_LIMBS if is_sum else items for _, items, is_sum in book_sections(*shape))
    try:
        data = <int64_t *> take_line(&buffers, book, 8, size, True)
        take_scores(&buffers, scores, e.rows, False, &s)
        e.scores = &s
        e.start = <const int32_t *> take_line(&buffers, start, 4, XN_CONFIDENCE_KEYS, False)
        e.cut = <const double *> take_line(&buffers, cut, 8, XN_CONFIDENCE_KEYS, False)
        if weight is not None:
            e.weight = <const double *> take_line(&buffers, weight, 8, e.rows, False)
        if probability is not None:
            view = acquire(&buffers, probability, probability.itemsize, False)
            if (view.ndim != 2 or view.shape[0] != e.rows or view.shape[1] != e.shape.classes
                    or not probability.flags.c_contiguous or probability.dtype not in FLOATS):
                raise ValueError("expected contiguous probabilities of these rows and classes")
            e.probability = view.buf
            e.probability_is_double = view.itemsize == 8
        with nogil:
            status = xn_enter(&e, data)
        if status != XN_OK:
            raise ValueError(xn_status_text(status).decode())
        return seen.ignored, seen.nans, seen.most
    finally:
        release(&buffers)


def confidence_key(double confidence):
    """The fine bin of a confidence in [0, 1]."""
    return xn_confidence_key(confidence)
