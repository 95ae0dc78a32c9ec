# SPDX-License-Identifier: BSD-3-Clause
# Part of _core.pyx: arrays as C takes them, each checked before its pointer is used.

cdef enum:
    MAX_BUFFERS = 12
    MAX_DIMENSIONS = 64
    CACHE_LINE = 64
    LARGE_BYTES = 1 << 22  # from here on a few microseconds for an aligned array are nothing

cdef int[5] FLOAT_SIZE = [4, 8, 2, 2, 8]  # of what is read, by xn_dtype,
cdef int[5] WRITTEN_SIZE = [4, 8, 2, 2, 4]  # and of what is written
cdef int[10] INT_SIZE = [1, 1, 2, 2, 4, 4, 8, 8, 4, 8]

cdef object empty = numpy.empty  # C looks this name up much faster


cdef struct Buffers:
    Py_buffer view[MAX_BUFFERS]
    int count


cdef struct Shape:
    int64_t outer, classes, inner


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


cdef int take_labels(Buffers *buffers, object array, int label_type, int axis, Shape *shape,
                     xn_labels *labels) except -1:
    if array is None:
        return 0
    labels.type = <xn_int_type> label_type
    labels.data = take_rows(buffers, array, INT_SIZE[label_type], axis, False, shape, &labels.outer, &labels.inner)
    return 0


cdef void *take_classes(Buffers *buffers, object array, int item, Shape *shape) except? NULL:
    """An array with one item per class, or NULL for None."""
    if array is None:
        return NULL
    cdef Py_buffer *view = acquire(buffers, array, item, False)
    if view.ndim != 1 or view.shape[0] != shape.classes or view.strides[0] != view.itemsize:
        raise ValueError("weights of classes must be contiguous, with one item per class")
    return view.buf


cdef void release(Buffers *buffers) noexcept:
    while buffers.count > 0:
        buffers.count -= 1
        PyBuffer_Release(&buffers.view[buffers.count])


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
