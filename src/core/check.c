/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether a problem makes sense: whatever a caller can get wrong, but for labels, before anything is read. */
#include <math.h>
#include <stddef.h>

#include "core.h"

/* So far no address arithmetic can overflow: kernels ask for what lies at most 255 rows ahead, whether it is there or
 * not, and every element has 8 bytes at most. */
static const int64_t MOST = INT64_C(1) << 52;

static int are_sizes(const xn_problem *p) {
    int64_t rows, elements;
    if (p->outer < 0 || p->inner < 0 || p->classes <= 0) return 0;
    if (p->outer > MOST || p->inner > MOST || p->classes > MOST) return 0;
    if (__builtin_mul_overflow(p->outer, p->inner, &rows)) return 0;
    return !__builtin_mul_overflow(rows, p->classes, &elements) && elements <= MOST;
}

/* A stride is bounded even where nothing but one element needs it. Elements that are written must not coincide. */
static int is_stride(int64_t stride, int64_t size, int written) {
    int64_t span;
    if (written && stride == 0 && size > 1) return 0;
    return !__builtin_mul_overflow(stride, size, &span) && span >= -MOST && span <= MOST;
}

static int is_aligned(const void *data, size_t alignment) {
    return (uintptr_t)data % alignment == 0;
}

static size_t alignment_of(int size) {
    return size == sizeof(double) ? _Alignof(double) : (size_t)size;
}

int xn_is_there(const void *data, int size) {
    return data && is_aligned(data, alignment_of(size));
}

static int is_array(const xn_problem *p, const xn_array *a, int size, int written) {
    if (!a->data) return 1;
    return is_aligned(a->data, alignment_of(size)) && is_stride(a->outer, p->outer, written) &&
           is_stride(a->cls, p->classes, written) && is_stride(a->inner, p->inner, written);
}

static int is_row_array(const xn_problem *p, const xn_row_array *a, int written) {
    if (!a->data) return 1;
    if (a->dtype != XN_FLOAT32 && a->dtype != XN_FLOAT64) return 0;
    return is_aligned(a->data, alignment_of(xn_element_size(a->dtype))) && is_stride(a->outer, p->outer, written) &&
           is_stride(a->inner, p->inner, written);
}

static int are_labels(const xn_problem *p, const xn_labels *l) {
    if (!l->data) return 1;
    if ((unsigned)l->type > XN_WHOLE_FLOAT64) return 0;
    static const size_t of_integers[] = {_Alignof(int8_t), _Alignof(int16_t), _Alignof(int32_t), _Alignof(int64_t)};
    const size_t of_floats = l->type == XN_WHOLE_FLOAT64 ? _Alignof(double) : _Alignof(float);
    return is_aligned(l->data, l->type <= XN_UINT64 ? of_integers[l->type / 2] : of_floats) &&
           is_stride(l->outer, p->outer, 0) && is_stride(l->inner, p->inner, 0);
}

static int are_arrays(const xn_problem *p) {
    const int size = xn_element_size(p->dtype), out = xn_written_size(p->dtype);
    const int real = xn_element_size(xn_real(p->dtype));
    const xn_array *const written[] = {&p->grad, &p->hess, &p->prob, &p->log_prob};
    int sane = is_array(p, &p->input, size, 0) && is_array(p, &p->target, size, 0);
    for (int i = 0; i < 4; i++) {
        const int in_place = written[i]->data && written[i]->data == p->input.data;
        sane &= is_array(p, written[i], out, 1) && (out == size || !in_place);
    }
    return sane && is_array(p, &p->binary.each, real, 1) && are_labels(p, &p->labels) &&
           is_row_array(p, &p->sample_weight, 0) && is_row_array(p, &p->loss, 1) && is_row_array(p, &p->lse, 1) &&
           is_aligned(p->class_weight, alignment_of(real)) && is_aligned(p->binary.pos_weight, alignment_of(real));
}

int xn_is_problem(const xn_problem *p) {
    if (!p || !are_sizes(p) || (unsigned)p->dtype >= XN_DTYPES || (unsigned)p->reduction > XN_WEIGHTED_MEAN) return 0;
    if (!(p->label_smoothing >= 0 && p->label_smoothing <= 1)) return 0;
    if (p->label_classes != 0) return 0;
    if (!(p->hess_scale >= 0 && isfinite(p->hess_scale))) return 0;
    const int has_targets = p->labels.data || p->target.data;
    const int one_kind = !(p->labels.data && p->target.data);
    const int outputs = has_targets || !(p->loss.data || p->grad.data || p->hess.data);
    if (!one_kind || !outputs) return 0;
    if (p->without_loss && (p->loss.data || p->binary.each.data)) return 0;
    if (p->outer * p->inner == 0) return 1; /* of nothing there may be any view */
    return p->input.data && are_arrays(p);
}

int xn_is_loss_alone(const xn_problem *p) {
    const int targets = p->labels.data || p->target.data || p->outer * p->inner == 0;
    return targets && !(p->prob.data || p->log_prob.data || p->lse.data);
}

int xn_is_clip(const xn_problem *p) {
    return p->epsilon >= 0 && p->epsilon < 0.5;
}

int xn_is_focal(const xn_problem *p) {
    return isfinite(p->coefficient) && p->coefficient >= 0 && isfinite(p->alpha);
}
