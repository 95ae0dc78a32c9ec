/* SPDX-License-Identifier: BSD-3-Clause */
/* Labels and weights of rows: checked and counted before anything is written, then read tile by tile. */
#include <stdlib.h>
#include <string.h>

#include "core.h"

enum { ROWS_PER_TILE = 512, TILES_PER_JOB = 128 };

/* Calls DO(type) for the C type of the labels. */
#define WITH_LABEL_TYPE(type, DO)            \
    switch (type) {                          \
        case XN_INT8: DO(int8_t); break;     \
        case XN_UINT8: DO(uint8_t); break;   \
        case XN_INT16: DO(int16_t); break;   \
        case XN_UINT16: DO(uint16_t); break; \
        case XN_INT32: DO(int32_t); break;   \
        case XN_UINT32: DO(uint32_t); break; \
        case XN_INT64: DO(int64_t); break;   \
        case XN_UINT64: DO(uint64_t); break; \
        case XN_WHOLE_FLOAT32:               \
        case XN_WHOLE_FLOAT64: break;        \
    }

/* All ones where the label is in [0, last], else 0. Without a comparison, which SSE2 has not for 64 bits. */
static inline int64_t in_range(int64_t label, int64_t last) {
    return ~((label | (int64_t)((uint64_t)last - (uint64_t)label)) >> 63);
}

/* The whole number that a float holds, else INT64_MIN. Adding a large number leaves it in the low bits. NaN compares
 * false. Without a conversion to 64 bits, which SSE2 has not. */
static inline int64_t whole(double value) {
    const double large = 0x1.8p52, sum = value + large;
    int64_t low, high;
    memcpy(&low, &large, sizeof low);
    memcpy(&high, &sum, sizeof high);
    return (value > -0x1p50) & (value < 0x1p50) & (sum - large == value) ? high - low : INT64_MIN;
}

static void widen_floats(const xn_labels *labels, int64_t offset, int64_t step, int64_t rows, int64_t *label) {
#define WHOLES(type)                                                                     \
    {                                                                                    \
        const type *from = (const type *)labels->data + offset;                          \
        if (step == 1) {                                                                 \
            for (int64_t i = 0; i < rows; i++) label[i] = whole((double)from[i]);        \
        } else {                                                                         \
            for (int64_t i = 0; i < rows; i++) label[i] = whole((double)from[i * step]); \
        }                                                                                \
    }
    if (labels->type == XN_WHOLE_FLOAT32) WHOLES(float) else WHOLES(double)
#undef WHOLES
}

/* Labels as int64. A uint64 beyond 2^63 comes out negative, which is as wrong as it was. */
static void widen(const xn_labels *labels, int64_t offset, int64_t step, int64_t rows, int64_t *label) {
#define WIDEN(type)                                                                \
    {                                                                              \
        const type *from = (const type *)labels->data + offset;                    \
        if (step == 1) {                                                           \
            for (int64_t i = 0; i < rows; i++) label[i] = (int64_t)from[i];        \
        } else {                                                                   \
            for (int64_t i = 0; i < rows; i++) label[i] = (int64_t)from[i * step]; \
        }                                                                          \
    }
    if (labels->type >= XN_WHOLE_FLOAT32) {
        widen_floats(labels, offset, step, rows, label);
        return;
    }
    WITH_LABEL_TYPE(labels->type, WIDEN)
#undef WIDEN
}

int64_t xn_label_classes(const xn_problem *p) {
    return p->label_classes > 0 ? p->label_classes : p->classes;
}

enum { MOST_FAST = 1 << 24 }; /* whole numbers up to here are float32 */

/* Whether labels are floats in a row, each of which has to be a class: then few instructions do. */
static int are_quick_floats(const xn_problem *p, int64_t step) {
    return p->labels.type >= XN_WHOLE_FLOAT32 && !p->has_ignored && step == 1 && xn_label_classes(p) <= MOST_FAST;
}

/* Floats that were found to be labels up to `last`. Whatever they are by now, the result is in range. */
static void convert_floats(const xn_labels *labels, int64_t offset, int64_t rows, int64_t last, int64_t *label) {
#define CONVERT(type)                                                          \
    {                                                                          \
        const type *from = (const type *)labels->data + offset;                \
        const type most = (type)last;                                          \
        for (int64_t i = 0; i < rows; i++) {                                   \
            const type inside = from[i] >= 0 && from[i] <= most ? from[i] : 0; \
            label[i] = (int32_t)inside;                                        \
        }                                                                      \
    }
    if (labels->type == XN_WHOLE_FLOAT32) CONVERT(float) else CONVERT(double)
#undef CONVERT
}

/* The labels of a span. Ignored rows get label 0 and weight 0, which drops them. All are in range: another
 * thread of the caller may have changed them since the check, and even then C must stay inside the row. */
void xn_read_labels(const xn_problem *p, const xn_plan *plan, xn_span span, int64_t *label, double *weight) {
    const xn_labels *l = &p->labels;
    const int64_t last = xn_label_classes(p) - 1, offset = xn_row_offset(span, l->outer, l->inner);
    const int64_t step = xn_row_step(plan, l->outer, l->inner);
    if (are_quick_floats(p, step)) {
        convert_floats(l, offset, span.rows, last, label);
        return;
    }
    widen(l, offset, step, span.rows, label);
    for (int64_t i = 0; p->has_ignored && i < span.rows; i++) weight[i] = label[i] == p->ignored ? 0 : weight[i];
    for (int64_t i = 0; i < span.rows; i++) label[i] &= in_range(label[i], last);
}

/* Floats that were found to be labels are targets as they are. */
static int copy_hard_targets(const xn_problem *p, int64_t offset, int64_t rows, xn_hard_targets *hard) {
    const int to = xn_element_size(p->dtype), single = p->labels.type == XN_WHOLE_FLOAT32;
    const float *f32 = (const float *)p->labels.data + offset;
    const double *f64 = (const double *)p->labels.data + offset;
    if (to == 8 && single) {
        for (int64_t i = 0; i < rows; i++) hard->f64[i] = (double)f32[i];
    } else if (to == 4 && !single) {
        for (int64_t i = 0; i < rows; i++) hard->f32[i] = (float)f64[i];
    } else if (to == 8 || to == 4) {
        memcpy(hard, single ? (const void *)f32 : f64, (size_t)(rows * to));
    }
    return to > 2;
}

void xn_read_hard_targets(const xn_problem *p, const xn_plan *plan, xn_span span, int64_t *label, double *weight,
                          xn_hard_targets *hard) {
    const xn_labels *l = &p->labels;
    const int plain = !p->has_ignored && xn_row_step(plan, l->outer, l->inner) == 1;
    const uint16_t one = p->dtype == XN_BFLOAT16 ? 0x3f80 : 0x3c00;
    if (plain && l->type >= XN_WHOLE_FLOAT32 &&
        copy_hard_targets(p, xn_row_offset(span, l->outer, l->inner), span.rows, hard))
        return;
    xn_read_labels(p, plan, span, label, weight);
    if (xn_element_size(p->dtype) == 8) {
        for (int64_t i = 0; i < span.rows; i++) hard->f64[i] = (double)label[i];
    } else if (xn_element_size(p->dtype) == 4) {
        for (int64_t i = 0; i < span.rows; i++) hard->f32[i] = (float)label[i];
    } else {
        for (int64_t i = 0; i < span.rows; i++) hard->half[i] = label[i] ? one : 0;
    }
}

void xn_read_weights(const xn_problem *p, const xn_plan *plan, xn_span span, double *weight) {
    const xn_row_array *w = &p->sample_weight;
    if (!w->data) {
        for (int64_t i = 0; i < span.rows; i++) weight[i] = 1;
        return;
    }
    const int64_t offset = xn_row_offset(span, w->outer, w->inner);
    const int64_t step = xn_row_step(plan, w->outer, w->inner);
    if (w->dtype == XN_FLOAT32) {
        const float *from = (const float *)w->data + offset;
        for (int64_t i = 0; i < span.rows; i++) weight[i] = (double)from[i * step];
    } else {
        const double *from = (const double *)w->data + offset;
        for (int64_t i = 0; i < span.rows; i++) weight[i] = from[i * step];
    }
}

/* One job of the check: the result for its rows. */
typedef struct {
    xn_count count;
    int64_t bad_row; /* -1: none */
    int64_t bad_label;
} checked;

typedef struct {
    const xn_problem *p;
    xn_plan plan;
    checked *results;
} check_context;

/* Whether floats are labels up to `last`, in few instructions: what is wrong is looked for elsewhere. As the bits of an
 * integer, numbers that are not negative have their own order, and NaN, infinity and all others are above them. */
static int are_whole_f32(const float *from, int64_t rows, int64_t last) {
    const float most = (float)last;
    uint32_t bad = 0, limit, bits, back;
    memcpy(&limit, &most, sizeof limit);
    for (int64_t i = 0; i < rows; i++) {
        memcpy(&bits, from + i, sizeof bits);
        const uint32_t inside = bits <= limit ? ~UINT32_C(0) : 0, kept = bits & inside;
        float value;
        memcpy(&value, &kept, sizeof value);
        const float whole = (float)(int32_t)value;
        memcpy(&back, &whole, sizeof back);
        bad |= ~inside | (back ^ kept);
    }
    return bad == 0;
}

static int are_whole_f64(const double *from, int64_t rows, int64_t last) {
    int bad = 0;
    for (int64_t i = 0; i < rows; i++) {
        const double value = from[i] >= 0 && from[i] <= (double)last ? from[i] : 0.5;
        bad |= (double)(int32_t)value != value;
    }
    return !bad;
}

static int are_fast(const check_context *c, xn_span span) {
    const xn_labels *l = &c->p->labels;
    const int64_t last = xn_label_classes(c->p) - 1;
    if (!l->data || !are_quick_floats(c->p, xn_row_step(&c->plan, l->outer, l->inner))) return 0;
    const int64_t offset = xn_row_offset(span, l->outer, l->inner);
    if (l->type == XN_WHOLE_FLOAT64) return are_whole_f64((const double *)l->data + offset, span.rows, last);
    return are_whole_f32((const float *)l->data + offset, span.rows, last);
}

static void check_span(const check_context *c, xn_span span, checked *result) {
    int64_t copy[ROWS_PER_TILE];
    const int64_t *label = copy;
    double weight[ROWS_PER_TILE];
    uint64_t bad = 0;
    int64_t ignored = 0;
    const int64_t last = xn_label_classes(c->p) - 1;
    const uint64_t classes = (uint64_t)last + 1;
    const xn_labels *l = &c->p->labels;
    if (l->data && !are_fast(c, span)) {
        const int64_t offset = xn_row_offset(span, l->outer, l->inner);
        const int64_t step = xn_row_step(&c->plan, l->outer, l->inner);
        if (l->type == XN_INT64 && step == 1) {
            label = (const int64_t *)l->data + offset;
        } else {
            widen(l, offset, step, span.rows, copy);
        }
        const int has_ignored = c->p->has_ignored;
        const int64_t skipped = c->p->ignored;
        if (has_ignored) {
            for (int64_t i = 0; i < span.rows; i++) {
                ignored += label[i] == skipped;
                bad |= (label[i] != skipped) & ((uint64_t)label[i] >= classes);
            }
        } else {
            int64_t all = -1;
            for (int64_t i = 0; i < span.rows; i++) all &= in_range(label[i], last);
            bad = all != -1;
        }
        for (int64_t i = 0; bad && result->bad_row < 0 && i < span.rows; i++) {
            if ((has_ignored && label[i] == c->p->ignored) || (uint64_t)label[i] < classes) continue;
            result->bad_row = span.outer * c->p->inner + span.inner + i;
            result->bad_label = label[i];
        }
    }
    result->count.rows += span.rows - ignored;
    if (c->p->reduction != XN_WEIGHTED_MEAN) return;
    xn_read_weights(c->p, &c->plan, span, weight);
    for (int64_t i = 0; i < span.rows; i++) {
        const int skip = l->data && c->p->has_ignored && label[i] == c->p->ignored;
        result->count.weight += skip ? 0 : weight[i];
    }
}

static void check_job(void *context, int64_t job, xn_worker *worker) {
    const check_context *c = context;
    checked *result = c->results + job;
    const int64_t tiles = c->plan.runs * c->plan.tiles_per_run;
    const int64_t first = job * c->plan.tiles_per_job;
    result->bad_row = -1;
    for (int64_t tile = first; tile < tiles && tile < first + c->plan.tiles_per_job; tile++) {
        const xn_span span = xn_span_of(&c->plan, tile);
        if (xn_worker_stops(worker, span.rows)) return;
        check_span(c, span, result);
    }
}

static xn_status run_check(xn_problem *p, check_context *c, xn_count *count) {
    const xn_work work = {c->plan.jobs, ROWS_PER_TILE * TILES_PER_JOB, p->n_threads, p->interrupted};
    const xn_status status = xn_run_jobs(work, check_job, c);
    if (status != XN_OK) return status;
    for (int64_t job = 0; job < c->plan.jobs; job++) {
        count->rows += c->results[job].count.rows;
        count->weight += c->results[job].count.weight;
        if (c->results[job].bad_row < 0) continue;
        p->bad_row = c->results[job].bad_row;
        p->bad_label = c->results[job].bad_label;
        return XN_BAD_LABEL;
    }
    return XN_OK;
}

xn_status xn_count_rows(xn_problem *p, xn_count *count) {
    *count = (xn_count){0, 0};
    if (!p->labels.data && p->reduction != XN_WEIGHTED_MEAN) {
        count->rows = p->outer * p->inner;
        return XN_OK;
    }
    checked few[8];
    check_context c = {p, xn_plan_rows(p, ROWS_PER_TILE), few};
    const int64_t tiles = c.plan.runs * c.plan.tiles_per_run;
    if (c.plan.tiles_per_job < TILES_PER_JOB) {
        c.plan.tiles_per_job = TILES_PER_JOB;
        c.plan.jobs = (tiles + TILES_PER_JOB - 1) / TILES_PER_JOB;
    }
    checked *many = NULL;
    if (c.plan.jobs > (int64_t)(sizeof few / sizeof few[0])) {
        c.results = many = malloc((size_t)c.plan.jobs * sizeof(checked));
        if (!many) return XN_NO_MEMORY;
    }
    memset(c.results, 0, (size_t)c.plan.jobs * sizeof(checked));
    const xn_status status = run_check(p, &c, count);
    free(many);
    return status;
}
