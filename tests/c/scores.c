/* SPDX-License-Identifier: BSD-3-Clause */
/* Random tiles for the score kernels: every instruction set, against the truth and bit for bit. */
#include "scores.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "field.h"
#include "score_truth.h"
#include "truth.h"

enum { CONFIDENCE, BRIER, BEST, RANK, SCORES };

typedef struct {
    xn_dtype dtype;
    int64_t rows, classes;
    int is_prob, with_loss;
    xn_tile tile;
    xn_scores scores;
    field input, label, weight, loss, out[SCORES];
} score_case;

static xn_plane draw_input(rng *r, score_case *s) {
    const int64_t gap = rng_int(r, 0, 9);
    int64_t row = s->classes + gap, cls = 1;
    switch (rng_int(r, 0, 5)) {
        case 0: row = 1, cls = s->rows + gap; break;
        case 1: row = 2 * s->classes + gap, cls = 2; break;
        case 2: row = -row; break;
        case 3: row = 0; break;
        default: break;
    }
    field_place(r, &s->input, dtype_size(s->dtype), (const int64_t[3]){s->rows, s->classes, 1},
                (const int64_t[3]){row, cls, 0});
    double *x = resized(NULL, s->classes, sizeof *x);
    for (int64_t i = 0; i < s->rows; i++) {
        draw_row(r, s->is_prob, s->dtype, s->classes, x);
        for (int64_t c = 0; c < s->classes; c++) {
            if (c > 0 && rng_chance(r, 3)) x[c] = x[rng_int(r, 0, c - 1)];
            field_put(&s->input, s->dtype, i, c, 0, x[c]);
        }
    }
    free(x);
    return (xn_plane){s->input.origin, row, cls};
}

static void *draw_line(rng *r, field *f, size_t element, int64_t rows) {
    field_place(r, f, element, (const int64_t[3]){rows, 1, 1}, (const int64_t[3]){1, 0, 0});
    return f->origin;
}

static void draw(score_case *s, rng *r) {
    s->is_prob = !s->with_loss && rng_chance(r, 50);
    s->tile = (xn_tile){.rows = s->rows, .classes = s->classes, .keep = 1, .grad_scale = 1};
    s->tile.input = draw_input(r, s);
    int64_t *label = draw_line(r, &s->label, sizeof(int64_t), s->rows);
    for (int64_t i = 0; i < s->rows; i++) label[i] = rng_int(r, 0, s->classes - 1);
    s->tile.label = label;
    for (int i = 0; i < SCORES; i++)
        (void)draw_line(r, s->out + i, i < BEST ? sizeof(double) : sizeof(int32_t), s->rows);
    s->scores = (xn_scores){!s->is_prob, (double *)s->out[CONFIDENCE].origin, (double *)s->out[BRIER].origin,
                            (int32_t *)s->out[BEST].origin, (int32_t *)s->out[RANK].origin};
    s->tile.score = &s->scores;
    if (!s->with_loss) return;
    double *weight = draw_line(r, &s->weight, sizeof(double), s->rows);
    for (int64_t i = 0; i < s->rows; i++) weight[i] = 1;
    s->tile.weight = weight;
    s->tile.loss = draw_line(r, &s->loss, sizeof(double), s->rows);
}

static void check_row(const score_case *s, const char *isa, int64_t row, const double *confidence, const double *brier,
                      const int32_t *best, const int32_t *rank) {
    double *x = resized(NULL, s->classes, sizeof *x);
    for (int64_t c = 0; c < s->classes; c++) x[c] = field_get(&s->input, s->dtype, row, c, 0);
    const score_truth t = truth_of_scores(x, s->classes, s->tile.label[row], s->dtype, s->is_prob);
    free(x);
    if (t.has_nan) return;
    if (t.is_negative != (rank[row] == XN_NEGATIVE))
        fail("%s: row %" PRId64 ": rank %d, negative %d", isa, row, rank[row], t.is_negative);
    if (best[row] != t.best) fail("%s: row %" PRId64 ": best %d, not %" PRId64, isa, row, best[row], t.best);
    if (!t.is_negative && rank[row] != t.rank)
        fail("%s: row %" PRId64 ": rank %d, not %" PRId64, isa, row, rank[row], t.rank);
    (void)check_score_figures(&t, isa, row, confidence[row], brier[row]);
}

/* The outputs of one ISA: [SCORES][rows] as doubles. */
static void collect(score_case *s, double *found) {
    for (int i = 0; i < SCORES; i++) {
        for (int64_t row = 0; row < s->rows; row++) {
            double value;
            if (i < BEST) {
                value = field_take(s->out + i, XN_FLOAT64, row, 0, 0);
            } else {
                value = (double)(int32_t)field_get_bits(s->out + i, row, 0, 0);
                field_put_bits(s->out + i, row, 0, 0, ~(uint64_t)0);
            }
            found[i * s->rows + row] = value;
        }
        if (!field_untouched(s->out + i)) fail("output %d: a stray write", i);
    }
    if (!arena_untouched(&s->out[0].memory)) fail("a stray write");
}

void run_score_tile(const kernel_set *k, xn_dtype dtype, int64_t rows, int64_t classes, uint64_t seed) {
    static score_case s; /* its memory serves all tiles */
    rng r = rng_of(seed);
    s.dtype = dtype;
    s.with_loss = strcmp(k->name, "softmax_ce_rows") == 0;
    s.rows = rows;
    s.classes = classes;
    draw(&s, &r);
    double *found = resized(NULL, 2 * SCORES * rows, sizeof *found), *first = found + SCORES * rows;
    for (int isa = 0; isa < k->count; isa++) {
        describe("%s %s type %d, %" PRId64 " x %" PRId64 ", %s, seed %" PRIu64, k->name, k->isas[isa], (int)dtype, rows,
                 classes, s.is_prob ? "probabilities" : "logits", seed);
        k->kernel[isa](&s.tile);
        for (int64_t row = 0; row < rows; row++)
            check_row(&s, k->isas[isa], row, s.scores.confidence, s.scores.brier, s.scores.best, s.scores.rank);
        collect(&s, isa == 0 ? first : found);
        for (int64_t i = 0; isa > 0 && is_fused(k->isas[isa]) && i < SCORES * rows; i++)
            if (!same_bits(found[i], first[i])) {
                fail("%s: %a, not %a: item %" PRId64, k->isas[isa], found[i], first[i], i);
                break;
            }
    }
    /* One row alone has the same bits. */
    const int64_t row = rng_int(&r, 0, rows - 1), size = (int64_t)dtype_size(dtype);
    xn_tile tile = s.tile;
    tile.rows = 1;
    tile.input.data = (char *)tile.input.data + row * tile.input.row * size;
    tile.label += row;
    if (s.with_loss) tile.weight += row;
    k->kernel[0](&tile);
    const double alone[SCORES] = {s.scores.confidence[0], s.scores.brier[0], s.scores.best[0], s.scores.rank[0]};
    for (int i = 0; i < SCORES; i++)
        if (!same_bits(alone[i], first[i * rows + row])) fail("row %" PRId64 " alone differs in score %d", row, i);
    free(found);
}
