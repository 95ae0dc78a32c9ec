/* SPDX-License-Identifier: BSD-3-Clause */
/* What scoring says of a row, by its formulas in long double, with bounds of the errors.
 *
 * With h half an ulp of the compute type, e = exp(x - m) errs by h (|x - m| + 8) of itself: by the rounded difference
 * and by exp; p / m by 4 h. Lanes of the type add up to 64 terms, which costs 64 h of the sum. Confidence and Brier
 * score follow in float64. What is below the normal numbers is lost: `tiny` of each class. */
#include "scores.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "field.h"
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

typedef struct {
    long double confidence, brier, of_confidence, of_brier;
    int64_t best, rank;
    int is_told, has_nan, is_negative;
} score_truth;

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

static double element(const score_case *s, int64_t row, int64_t cls) {
    return field_get(&s->input, s->dtype, row, cls, 0);
}

/* What needs comparisons alone, and the maximum. */
static score_truth order_of(const score_case *s, int64_t row, int64_t label, double *max) {
    score_truth t = {.best = -1};
    const double own = element(s, row, label);
    *max = -INFINITY;
    for (int64_t c = 0; c < s->classes; c++) {
        const double x = element(s, row, c);
        t.has_nan |= isnan(x);
        t.is_negative |= s->is_prob && x < 0;
        if (x > *max || t.best < 0) *max = x, t.best = c;
        t.rank += x > own || (x == own && c < label);
    }
    return t;
}

static score_truth truth_of(const score_case *s, int64_t row, int64_t label) {
    double max;
    score_truth t = order_of(s, row, label, &max);
    const int is_double = s->dtype == XN_FLOAT64 || s->dtype == XN_FLOAT64_TO_FLOAT32;
    const long double h = is_double ? 0x1p-53L : 0x1p-24L, tiny = is_double ? 0x1p-1000L : 0x1p-120L;
    const double normal = is_double ? 0x1p-1020 : 0x1p-124, most = is_double ? 0x1p1020 : 0x1p124;
    if (t.has_nan || t.is_negative || !isfinite(max) || (s->is_prob && !(max > normal && max < most))) return t;
    t.is_told = 1;
    long double sum = 0, others = 0, squares = 0, of_sum = 0, of_squares = 0, off = 0;
    for (int64_t c = 0; c < s->classes; c++) {
        const long double x = element(s, row, c), distance = (long double)max - x;
        const long double e = s->is_prob ? x / (long double)max : distance > 11000 ? 0 : expl(-distance);
        const long double error = h * (s->is_prob ? 4 : distance > 11000 ? 0 : distance + 8) + 64 * h;
        sum += e;
        of_sum += x < (long double)max ? error * e + tiny : 0;
        of_squares += x < (long double)max ? (2 * error + 64 * h) * e * e + tiny : 0;
        if (c == label) continue;
        off += e;
        others += e;
        squares += e * e;
    }
    (void)others;
    /* What is said of the label is taken off the sums of all: it errs as they do. */
    const long double wrong = off / sum, grain = 16 * 0x1p-53L;
    t.confidence = 1 / sum;
    t.of_confidence = (of_sum / sum + grain) / sum;
    t.brier = wrong * wrong + squares / (sum * sum);
    t.of_brier = 2 * wrong * (2 * of_sum / sum + grain * (1 + wrong)) + (2 * of_sum / sum) * (2 * of_sum / sum) +
                 2 * of_squares / (sum * sum) + t.brier * (2 * of_sum / sum + 2 * grain) + grain * grain;
    const double own = element(s, row, label);
    if (own < max) t.of_brier += grain; /* sums without the label are differences, in float64, beside a 1 */
    return t;
}

static void check_row(const score_case *s, const char *isa, int64_t row, const double *confidence, const double *brier,
                      const int32_t *best, const int32_t *rank) {
    const int64_t label = s->tile.label[row];
    const score_truth t = truth_of(s, row, label);
    if (t.has_nan) return;
    if (t.is_negative != (rank[row] == XN_NEGATIVE))
        fail("%s: row %" PRId64 ": rank %d, negative %d", isa, row, rank[row], t.is_negative);
    if (best[row] != t.best) fail("%s: row %" PRId64 ": best %d, not %" PRId64, isa, row, best[row], t.best);
    if (!t.is_negative && rank[row] != t.rank)
        fail("%s: row %" PRId64 ": rank %d, not %" PRId64, isa, row, rank[row], t.rank);
    if (!t.is_told || !is_long_double_whole()) return;
    if (!(fabsl((long double)confidence[row] - t.confidence) <= t.of_confidence))
        fail("%s: row %" PRId64 ": confidence %.17g, not %.20Lg; bound %.3Lg", isa, row, confidence[row], t.confidence,
             t.of_confidence);
    if (!(fabsl((long double)brier[row] - t.brier) <= t.of_brier))
        fail("%s: row %" PRId64 ": Brier %.17g, not %.20Lg; bound %.3Lg", isa, row, brier[row], t.brier, t.of_brier);
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
