/* SPDX-License-Identifier: BSD-3-Clause */
/* xn_score on problems that the input describes: labels that may be bad, any layout, any bits as numbers. What it says
 * of a row is held against tests/c/score_truth.c, and its loss against the operation that computes it alone. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../c/problem.h"
#include "../c/score_truth.h"
#include "fuzz.h"

enum { SOME = 150, DOUBLES = 3, LINES = 6 }; /* loss, confidence, brier; label, best, rank */
enum { OF_LOSS, OF_CONFIDENCE, OF_BRIER, OF_LABEL, OF_BEST, OF_RANK };

static problem q;
static field lines[LINES];
static xn_row_scores to;
static double *kept[2]; /* [LINES][rows] */
static int64_t room, rows_checked, rows_told;

/* Mostly few elements; once in a while some thousand classes, or rows for several tiles. */
static void draw_sizes(xn_problem *p, rng *r) {
    const int kind = (int)rng_int(r, 0, 255);
    p->classes = rng_int(r, 1, kind < 150 ? 24 : kind < 240 ? 300 : kind < 250 ? 5000 : 4);
    p->outer = rng_int(r, kind < 2 ? 0 : 1, (kind >= 250 ? 8 : 1) * SOME / p->classes + 2);
    p->inner = 1;
}

/* What problem_draw has drawn beside what can be scored is taken away again. */
static void strip(xn_problem *p) {
    const xn_row_array no_rows = {0};
    const xn_array nothing = {0};
    static int64_t no_label;
    q.outputs = 0;
    q.in_place = -1;
    p->classes_last = 1;
    p->sample_weight = p->loss = p->lse = no_rows;
    p->target = p->grad = p->hess = p->prob = p->log_prob = nothing;
    p->class_weight = NULL;
    p->label_smoothing = 0;
    p->without_loss = 0;
    p->reduction = XN_NONE;
    p->n_threads = (int)(q.rows % 3);
    if (!p->labels.data) p->labels = (xn_labels){&no_label, XN_INT64, 1, 1}; /* of no rows */
}

static void draw(rng *r) {
    q.p = (xn_problem){.dtype = (xn_dtype)rng_int(r, 0, XN_DTYPES - 1)};
    q.operation = rng_chance(r, 50) ? SOFTMAX : PROB_CE;
    q.hostile = rng_chance(r, 70);
    q.force_labels = 1;
    q.bad_labels = rng_chance(r, 20);
    q.forced_type = (xn_int_type)rng_int(r, XN_INT8, XN_WHOLE_FLOAT64);
    draw_sizes(&q.p, r);
    problem_draw(&q, r);
    strip(&q.p);
    problem_describe(&q);
    const int64_t rows = q.rows + !q.rows;
    for (int i = 0; i < LINES; i++)
        field_place(r, lines + i, i < DOUBLES ? sizeof(double) : sizeof(int32_t), (const int64_t[3]){rows, 1, 1},
                    (const int64_t[3]){1, 0, 0});
    to = (xn_row_scores){(double *)lines[OF_LOSS].origin,  (double *)lines[OF_CONFIDENCE].origin,
                         (double *)lines[OF_BRIER].origin, (int32_t *)lines[OF_LABEL].origin,
                         (int32_t *)lines[OF_BEST].origin, (int32_t *)lines[OF_RANK].origin};
    if (rows <= room) return;
    room = rows;
    for (int i = 0; i < 2; i++) kept[i] = resized(kept[i], LINES * rows, sizeof(double));
}

static int is_from_logits(void) {
    return q.operation == SOFTMAX;
}

static int is_untouched(void) {
    int untouched = 1;
    for (int i = 0; i < LINES; i++) untouched &= field_untouched(lines + i);
    return untouched && (q.rows == 0 || memcmp(q.input.data, q.saved, q.input.bytes) == 0);
}

/* Some rows, as they were asked for alone; what is said of them, which leaves the memory as it was. */
static void run(int64_t from, int64_t rows, double *found) {
    xn_problem part = q.p;
    xn_row_scores there = {to.loss + from,  to.confidence + from, to.brier + from,
                           to.label + from, to.best + from,       to.rank + from};
    part.outer = rows;
    if (q.rows > 0) part.input.data = field_at(&q.input, from, 0, 0);
    if (q.rows > 0) part.labels.data = field_at(&q.labels, from, 0, 0);
    const xn_status status = xn_score(&part, is_from_logits(), &there);
    if (status != XN_OK) fail("status %d: %s", (int)status, xn_status_text(status));
    for (int line = 0; line < LINES; line++)
        for (int64_t row = from; row < from + rows; row++) {
            double *value = found + line * q.rows + row;
            *value = (double)(int32_t)field_get_bits(lines + line, row, 0, 0);
            if (line < DOUBLES) *value = field_get(lines + line, XN_FLOAT64, row, 0, 0);
            field_put_bits(lines + line, row, 0, 0, ~(uint64_t)0);
        }
    if (!is_untouched()) fail("something else was written");
}

static void compare(const double *one, const double *other, const char *what) {
    for (int64_t i = 0; i < LINES * q.rows; i++) {
        if (same_bits(one[i], other[i])) continue;
        fail("%s differ: %a, not %a: score %d of row %" PRId64, what, other[i], one[i], (int)(i / q.rows), i % q.rows);
        return;
    }
}

static void check_row(int64_t row, const double *found, double loss) {
    const double own = found[OF_LOSS * q.rows + row];
    const int64_t label = q.label[row];
    const int rank = (int)found[OF_RANK * q.rows + row], best = (int)found[OF_BEST * q.rows + row];
    if ((int64_t)found[OF_LABEL * q.rows + row] != label) fail("row %" PRId64 ": not label %" PRId64, row, label);
    if (!same_bits(own, loss)) fail("row %" PRId64 ": loss %a, alone %a", row, own, loss);
    if (!isnan(own) && signbit(own)) fail("row %" PRId64 ": a loss of %g", row, own);
    if (label < 0) {
        if (rank != -1) fail("row %" PRId64 ": rank %d of an ignored row", row, rank);
        return;
    }
    const score_truth t = truth_of_scores(q.x + row * q.p.classes, q.p.classes, label, q.p.dtype, !is_from_logits());
    const int64_t wanted = t.is_negative ? -2 : isnan(own) ? -1 : t.rank;
    if (rank != wanted) fail("row %" PRId64 ": rank %d, not %" PRId64, row, rank, wanted);
    if (rank < 0) return;
    rows_checked++;
    if (best != t.best) fail("row %" PRId64 ": best %d, not %" PRId64, row, best, t.best);
    rows_told +=
        check_score_figures(&t, xn_isa(), row, found[OF_CONFIDENCE * q.rows + row], found[OF_BRIER * q.rows + row]);
}

/* Every instruction set; then in two parts: what is said of a row depends on no other. */
static void check_all(rng *r) {
    const int64_t cut = rng_int(r, 0, q.rows);
    double *first = NULL;
    for (int i = 0; xn_isa_name(i); i++) {
        if (!xn_isa_supported(i)) continue;
        if (xn_set_isa(xn_isa_name(i)) != XN_OK) fail("cannot choose %s", xn_isa_name(i));
        double *found = kept[first != NULL];
        run(0, q.rows, found);
        if (first && is_fused(xn_isa())) compare(first, found, "instruction sets");
        xn_problem alone = q.p;
        double *loss = resized(NULL, q.rows, sizeof *loss);
        alone.loss = (xn_row_array){loss, XN_FLOAT64, 1, 1};
        if ((is_from_logits() ? xn_softmax_ce : xn_prob_ce)(&alone) != XN_OK) fail("there are no losses alone");
        for (int64_t row = 0; row < q.rows; row++) {
            if (real_of(q.p.dtype) == XN_FLOAT32) loss[row] = (double)(float)loss[row];
            check_row(row, found, loss[row]);
        }
        free(loss);
        if (first) continue;
        first = found;
        run(0, cut, kept[1]);
        run(cut, q.rows - cut, kept[1]);
        compare(first, kept[1], "parts");
    }
}

/* What cannot be scored: nothing of it is read or written. */
static void spoil(rng *r, xn_problem *p, xn_row_scores *s) {
    static double number = 1;
    switch (rng_int(r, 0, 18)) {
        case 0: p->inner = rng_int(r, 2, 9); break;
        case 1: p->classes_last = 0; break;
        case 2: p->sample_weight = (xn_row_array){&number, XN_FLOAT64, 0, 0}; break;
        case 3: p->class_weight = &number; break;
        case 4: p->label_smoothing = rng_unit(r) + 5e-324; break;
        case 5: p->loss = (xn_row_array){&number, XN_FLOAT64, 1, 1}; break;
        case 6: p->grad = (xn_array){&number, 1, 1, 1}; break;
        case 7: p->hess = (xn_array){&number, 1, 1, 1}; break;
        case 8: p->prob = (xn_array){&number, 1, 1, 1}; break;
        case 9: p->lse = (xn_row_array){&number, XN_FLOAT64, 1, 1}; break;
        case 10: p->without_loss = 1; break;
        case 11: p->labels.data = NULL; break;
        case 12: p->dtype = (xn_dtype)rng_int(r, XN_DTYPES, 99); break;
        case 13: p->shape = (xn_shape)rng_int(r, XN_FOCAL, 99); break;
        case 14: p->classes = rng_chance(r, 50) ? INT64_MAX : rng_int(r, -5, 0); break;
        case 15: p->outer = rng_chance(r, 50) ? INT64_MIN : -1; break;
        case 16: p->label_classes = rng_int(r, 1, 9); break;
        case 17: s->rank = (int32_t *)((char *)s->rank + rng_int(r, 1, 3)); break;
        default: *(rng_chance(r, 50) ? &s->loss : &s->brier) = NULL; break;
    }
}

void fuzz_score(rng *r) {
    draw(r);
    int64_t label;
    const int64_t row = problem_first_bad(&q, &label);
    xn_row_scores scores = to;
    if (rng_chance(r, 10)) {
        xn_problem p = q.p;
        spoil(r, &p, &scores);
        const xn_status status = xn_score(&p, is_from_logits(), &scores);
        if (status != XN_BAD_ARGUMENT) fail("status %d for what makes no sense", (int)status);
    } else if (row >= 0) {
        const xn_status status = xn_score(&q.p, is_from_logits(), &scores);
        if (status != XN_BAD_LABEL) fail("status %d for a bad label", (int)status);
        if (q.p.bad_row != row || q.p.bad_label != label)
            fail("row %" PRId64 " with %" PRId64 ", not row %" PRId64 " with %" PRId64, q.p.bad_row, q.p.bad_label, row,
                 label);
    } else {
        check_all(r);
        return;
    }
    if (!is_untouched()) fail("something was written in spite of a bad argument or label");
}

void fuzz_score_counts(int64_t *checked, int64_t *told) {
    *checked = rows_checked;
    *told = rows_told;
}
