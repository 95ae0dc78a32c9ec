/* SPDX-License-Identifier: BSD-3-Clause */
/* xn_enter on rows that the input describes, in books of any shape, against sums that carry at once and counts by the
 * text of xent.h; in another order and in two parts; and entries that make no sense, which leave the book as it was. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../c/field.h"
#include "fuzz.h"
#include "xent.h"

enum { MOST_ROWS = 300, MOST_CLASSES = 140, SECTIONS = 40 };
enum { LOSS, CONFIDENCE, BRIER, LABEL, BEST, RANK, WEIGHT, START, CUT, PROBABILITY, BOOK, ARRAYS };

static field arrays[ARRAYS];
static xn_row_scores scores;
static xn_entries e;
static int is_wild; /* scores may be what xn_score never says */
static int64_t size, items_checked, items_told;
static int64_t *truth, *taken; /* books whose carries are propagated */
static struct {
    const char *name;
    int64_t from, items;
    int is_sum;
} sections[SECTIONS];
static int section_count;

static void *draw_line(rng *r, int array, size_t element, int64_t count) {
    field_place(r, arrays + array, element, (const int64_t[3]){count, 1, 1}, (const int64_t[3]){1, 0, 0});
    return arrays[array].origin;
}

static double any_bits(rng *r) {
    const uint64_t bits = rng_bits(r);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Not negative: some common number, an end of the range, or any bits. */
static double any_number(rng *r) {
    static const double ends[] = {0,        5e-324, 0x1p-1022, 0x1p-40, 0x1.fffffffffffffp-41, 0x1p10, 0x1p-1023,
                                  INFINITY, 1e308,  1,         0.5,     0x1.fffffffffffffp9};
    const int kind = (int)rng_int(r, 0, 9);
    return kind < 5 ? 5 * rng_unit(r) : kind < 8 ? ends[rng_int(r, 0, 11)] : fabs(any_bits(r));
}

static double any_share(rng *r) {
    static const double ends[] = {0, 1, 0.5, 0x1p-31, 0x1p-32, 1 - 0x1p-31, 1 - 0x1p-53, 0.5 - 0x1p-54, 5e-324, NAN};
    const int kind = (int)rng_int(r, 0, 9);
    if (kind == 9) return any_bits(r);
    return kind < 4 ? rng_unit(r) : kind < 7 ? 1 - exp(-20 * rng_unit(r)) : ends[rng_int(r, 0, 9)];
}

static double any_weight(rng *r) {
    static const double ends[] = {5e-324, 0x1.fffffffffffffp1023, 0x1p-1022, 1, 0x1p600, 0x1p-600};
    return rng_chance(r, 70) ? 0.1 + 2 * rng_unit(r) : ends[rng_int(r, 0, 5)];
}

static void draw_shape(rng *r) {
    e = (xn_entries){.rows = rng_int(r, 0, 255) < 250 ? rng_int(r, 0, MOST_ROWS) : 20 * MOST_ROWS};
    e.shape.classes = rng_int(r, 1, rng_chance(r, 95) ? 12 : MOST_CLASSES);
    e.shape.cells = rng_int(r, 2, 30);
    e.shape.ranks = rng_int(r, 0, 12);
    e.shape.has_confusion = (int)rng_int(r, 0, 1);
    e.shape.weighted = rng_chance(r, 15); /* books of megabytes */
    e.shape.class_bins = rng_chance(r, 30) ? rng_int(r, 1, 15) : 0;
    e.n_threads = (int)rng_int(r, 0, 3);
    size = section_count = 0;
    for (int i = 0; i < SECTIONS; i++) {
        sections[i].from = size;
        sections[i].name = xn_book_section(&e.shape, i, &sections[i].items, &sections[i].is_sum);
        if (!sections[i].name) break;
        size += sections[i].items * (sections[i].is_sum ? XN_LIMBS : 1);
        section_count++;
    }
    describe("a book of %" PRId64 " classes, %" PRId64 " cells, %" PRId64 " ranks, %" PRId64 " bins%s%s; %" PRId64
             " rows",
             e.shape.classes, e.shape.cells, e.shape.ranks, e.shape.class_bins,
             e.shape.has_confusion ? ", confusion" : "", e.shape.weighted ? ", weights" : "", e.rows);
}

static void draw_scores(rng *r) {
    const int64_t rows = e.rows + !e.rows, classes = e.shape.classes;
    is_wild = rng_chance(r, 20);
    scores =
        (xn_row_scores){draw_line(r, LOSS, 8, rows),  draw_line(r, CONFIDENCE, 8, rows), draw_line(r, BRIER, 8, rows),
                        draw_line(r, LABEL, 4, rows), draw_line(r, BEST, 4, rows),       draw_line(r, RANK, 4, rows)};
    for (int64_t i = 0; i < e.rows; i++) {
        scores.loss[i] = is_wild && rng_chance(r, 50) ? any_bits(r) : any_number(r);
        scores.confidence[i] = any_share(r);
        scores.brier[i] = is_wild && rng_chance(r, 50) ? any_bits(r) : any_number(r);
        scores.label[i] = rng_chance(r, 10) ? (int32_t)rng_int(r, INT32_MIN, -1) : (int32_t)rng_int(r, 0, classes - 1);
        scores.best[i] = (int32_t)rng_int(r, 0, classes - 1);
        scores.rank[i] = (int32_t)(rng_chance(r, 90) ? rng_int(r, -2, 20) : rng_int(r, INT32_MIN, INT32_MAX));
        if (is_wild) continue;
        if (isnan(scores.loss[i])) scores.rank[i] = -1;
        if (isnan(scores.brier[i])) scores.brier[i] = 0;
    }
    e.scores = &scores;
}

static void draw_entries(rng *r) {
    const int64_t rows = e.rows + !e.rows, classes = e.shape.classes;
    if (e.shape.weighted) {
        double *weight = draw_line(r, WEIGHT, 8, rows);
        for (int64_t i = 0; i < e.rows; i++) weight[i] = any_weight(r);
        e.weight = weight;
    }
    int32_t *start = draw_line(r, START, 4, XN_CONFIDENCE_KEYS);
    double *cut = draw_line(r, CUT, 8, XN_CONFIDENCE_KEYS);
    rng chance = rng_fork(r); /* not to spend the bytes */
    for (int key = 0; key < XN_CONFIDENCE_KEYS; key++) {
        start[key] = (int32_t)rng_int(&chance, 0, e.shape.cells - 2);
        cut[key] = rng_unit(&chance);
    }
    for (int64_t i = 0; i < e.rows; i++) { /* what is as large as the cut is above it */
        const double confidence = scores.confidence[i];
        if (confidence >= 0 && confidence <= 1 && rng_chance(&chance, 30))
            cut[xn_confidence_key(confidence)] = confidence;
    }
    e.start = start;
    e.cut = cut;
    if (e.shape.class_bins == 0) return;
    e.probability_is_double = (int)rng_int(r, 0, 1);
    const xn_dtype dtype = e.probability_is_double ? XN_FLOAT64 : XN_FLOAT32;
    e.probability = draw_line(r, PROBABILITY, dtype_size(dtype), rows * classes);
    for (int64_t i = 0; i < e.rows * classes; i++) field_put(arrays + PROBABILITY, dtype, i, 0, 0, any_share(&chance));
}

/* The truth. */

static int64_t section(const char *name) {
    for (int i = 0; i < section_count; i++)
        if (strcmp(sections[i].name, name) == 0) return sections[i].from;
    fail("there is no section %s", name);
    exit(1);
}

static void count(const char *name, int64_t item) {
    truth[section(name) + item]++;
}

/* Adds a number to an integer of limbs that carries at once: its 53 bits, one after the other. */
static void sum(const char *name, int64_t item, double value) {
    int exponent;
    if (!isfinite(value) || value == 0) return;
    const double fraction = frexp(fabs(value), &exponent);
    const uint64_t whole = (uint64_t)ldexp(fraction, 53);
    int64_t *limbs = truth + section(name) + item * XN_LIMBS;
    for (int bit = 0; bit < 53; bit++) {
        if (!(whole >> bit & 1)) continue;
        const int place = exponent - 53 + bit + 1074; /* at least 0: a subnormal number has fewer bits */
        limbs[place / 32] += INT64_C(1) << place % 32;
        for (int i = place / 32; limbs[i] >> 32; i++) limbs[i + 1]++, limbs[i] &= 0xFFFFFFFF;
    }
}

/* 32 bins an octave, of the confidence or of 1 less it, whose bins end with their largest. */
static int confidence_key(double confidence) {
    const int is_low = confidence < 0.5;
    int exponent;
    const double other = 1 - confidence;
    if (!is_low && other == 0) return XN_CONFIDENCE_KEYS - 1;
    const double fraction = frexp(is_low ? confidence : nextafter(other, 0), &exponent);
    const int key = (exponent + 30) * 32 + (int)floor((2 * fraction - 1) * 32), floored = key < 0 ? 0 : key;
    if (is_low && confidence == 0) return 0;
    return is_low ? floored : XN_CONFIDENCE_KEYS - 1 - floored;
}

/* 64 bins an octave, from 2^-40 on. */
static int64_t loss_key(double loss) {
    int exponent;
    if (loss < 0x1p-40) return 0;
    if (!(loss < ldexp(1, XN_LOSS_OCTAVES - 40))) return XN_LOSS_KEYS - 1;
    const double fraction = frexp(loss, &exponent);
    return (exponent + 39) * 64 + (int64_t)floor((2 * fraction - 1) * 64) + 1;
}

static void enter_class_cells(int64_t i, double weight) {
    const int64_t classes = e.shape.classes, bins = e.shape.class_bins;
    const xn_dtype dtype = e.probability_is_double ? XN_FLOAT64 : XN_FLOAT32;
    for (int64_t k = 0; bins > 0 && k < classes; k++) {
        const double p = field_get(arrays + PROBABILITY, dtype, i * classes + k, 0, 0);
        if (!(p >= 0 && p <= 1)) continue;
        const int64_t bin = p == 1 ? bins - 1 : (int64_t)floor(p * (double)bins);
        const int64_t cell = k * bins + (bin < bins ? bin : bins - 1);
        count("class_rows", cell);
        sum("class_confidence", cell, weight * p);
        if (e.weight) sum("class_weight", cell, weight);
        if (scores.label[i] != k) continue;
        count("class_hits", cell);
        if (e.weight) sum("class_hit_weight", cell, weight);
    }
}

static void enter_cell(int64_t i, double weight) {
    const double confidence = scores.confidence[i];
    if (!(confidence >= 0 && confidence <= 1)) return;
    const int key = confidence_key(confidence), hit = scores.rank[i] == 0;
    if (xn_confidence_key(confidence) != key)
        fail("%a has the key %d, not %d", confidence, xn_confidence_key(confidence), key);
    const int64_t cell = e.start[key] + (confidence >= e.cut[key] ? 1 : 0);
    count("cell_rows", cell);
    if (hit) count("cell_hits", cell);
    sum("cell_confidence", cell, weight * confidence);
    if (e.weight) sum("cell_weight", cell, weight);
    if (e.weight && hit) sum("cell_hit_weight", cell, weight);
}

static void enter_row(int64_t i) {
    const int64_t label = scores.label[i], rank = scores.rank[i], pair = label * e.shape.classes + scores.best[i];
    const double weight = e.weight ? e.weight[i] : 1, product = weight * scores.loss[i];
    if (label < 0) return;
    count("support", label);
    if (e.weight) sum("weight", label, weight);
    if (rank < 0) {
        count("nans", label);
        return;
    }
    const int64_t place = rank < e.shape.ranks ? rank : e.shape.ranks;
    if (rank == 0) count("hits", label);
    if (isinf(product)) count("infinite", label);
    if (!isfinite(product * product) || !isfinite(weight * weight) || !isfinite(weight * product)) count("lost", 0);
    sum("loss", label, product);
    sum("loss_square", 0, product * product);
    sum("brier", 0, weight * scores.brier[i]);
    count("losses", loss_key(scores.loss[i]));
    count("ranks", place);
    if (e.shape.has_confusion) count("confusion", pair);
    enter_cell(i, weight);
    enter_class_cells(i, weight);
    if (!e.weight) return;
    if (rank == 0) sum("hit_weight", label, weight);
    sum("weight_square", 0, weight * weight);
    sum("weight_loss", 0, weight * product);
    sum("losses_weight", loss_key(scores.loss[i]), weight);
    sum("rank_weight", place, weight);
    if (e.shape.has_confusion) sum("confusion_weight", pair, weight);
}

/* The book without pending carries; afterwards it is empty. */
static void take(int64_t *to) {
    int64_t *book = (int64_t *)arrays[BOOK].origin;
    memcpy(to, book, (size_t)size * sizeof *to);
    memset(book, 0, (size_t)size * sizeof *book);
    for (int i = 0; i < section_count; i++)
        for (int64_t item = 0; sections[i].is_sum && item < sections[i].items; item++) {
            int64_t *limbs = to + sections[i].from + item * XN_LIMBS;
            for (int limb = 0; limb + 1 < XN_LIMBS; limb++) {
                limbs[limb + 1] += limbs[limb] >> 32;
                limbs[limb] &= 0xFFFFFFFF;
            }
        }
}

static void compare(const int64_t *wanted, const int64_t *found, const char *what) {
    for (int i = 0; i < section_count; i++) {
        const int64_t width = sections[i].is_sum ? XN_LIMBS : 1, from = sections[i].from;
        for (int64_t at = 0; at < sections[i].items * width; at++) {
            if (wanted[from + at] == found[from + at]) continue;
            fail("%s: %s, item %" PRId64 ", limb %" PRId64 ": %" PRId64 ", not %" PRId64, what, sections[i].name,
                 at / width, at % width, found[from + at], wanted[from + at]);
            break;
        }
    }
}

static void enter(int64_t from, int64_t rows) {
    xn_entries part = e;
    const xn_row_scores there = {scores.loss + from,  scores.confidence + from, scores.brier + from,
                                 scores.label + from, scores.best + from,       scores.rank + from};
    const size_t step = (size_t)(from * e.shape.classes) * (e.probability_is_double ? 8 : 4);
    part.rows = rows;
    part.scores = &there;
    if (e.weight) part.weight = e.weight + from;
    if (e.probability) part.probability = (const char *)e.probability + step;
    const xn_status status = xn_enter(&part, (int64_t *)arrays[BOOK].origin);
    if (status != XN_OK) fail("status %d: %s", (int)status, xn_status_text(status));
}

/* What makes no sense; of a row that can be told to be so. */
static int spoil(rng *r) {
    xn_book_shape *s = &e.shape;
    const int64_t row = rng_int(r, 0, e.rows - !!e.rows), choice = rng_int(r, e.rows > 0 ? 0 : 3, 13);
    const int32_t beyond = (int32_t)(rng_chance(r, 50) ? s->classes : rng_int(r, s->classes, INT32_MAX));
    static double bad[] = {0, -0.0, -1, NAN, INFINITY, -INFINITY, -5e-324};
    int32_t *start = (int32_t *)arrays[START].origin + rng_int(r, 0, XN_CONFIDENCE_KEYS - 1);
    switch (choice) {
        case 0: scores.label[row] = beyond; break;
        case 1:
            scores.label[row] = scores.rank[row] = 0;
            scores.best[row] = rng_chance(r, 50) ? beyond : (int32_t)rng_int(r, INT32_MIN, -1);
            break;
        case 2:
            if (!e.weight) return 0;
            ((double *)arrays[WEIGHT].origin)[row] = bad[rng_int(r, 0, 6)];
            break;
        case 3:
            *start = (int32_t)(rng_chance(r, 50) ? s->cells - 1 + rng_int(r, 0, 9) : rng_int(r, INT32_MIN, -1));
            break;
        case 4: s->classes = rng_chance(r, 50) ? INT64_C(1) << 31 : rng_int(r, -9, 0); break;
        case 5: s->cells = rng_int(r, -9, 0); break;
        case 6: s->ranks = rng_int(r, -9, -1); break;
        case 7: s->class_bins = rng_int(r, -9, -1); break;
        case 8: s->weighted = !s->weighted; break;
        case 9: e.rows = rng_int(r, -9, -1); break;
        case 10: scores.rank = NULL; break;
        case 11: scores.loss = (double *)((char *)scores.loss + rng_int(r, 1, 7)); break;
        case 12: e.cut = (const double *)((const char *)e.cut + 4); break;
        default: e.probability = NULL; s->class_bins = rng_int(r, 1, 9);
    }
    return 1;
}

static void check_refusal(rng *r) {
    if (!spoil(r)) return;
    memset(arrays[BOOK].data, UNTOUCHED, arrays[BOOK].bytes);
    if (xn_enter(&e, (int64_t *)arrays[BOOK].origin) != XN_BAD_ARGUMENT) fail("what makes no sense is entered");
    if (xn_enter(NULL, (int64_t *)arrays[BOOK].origin) != XN_BAD_ARGUMENT) fail("NULL is entered");
    if (xn_enter(&e, NULL) != XN_BAD_ARGUMENT) fail("NULL is a book");
    if (!field_untouched(arrays + BOOK)) fail("something was written in spite of a bad argument");
}

/* Exchanges two rows. */
static void exchange(int array, int64_t one, int64_t other, int64_t width) {
    char *data = arrays[array].data, held[8];
    const size_t element = arrays[array].element;
    for (int64_t i = 0; i < width; i++) {
        char *a = data + (size_t)(one * width + i) * element, *b = data + (size_t)(other * width + i) * element;
        memcpy(held, a, element);
        memmove(a, b, element);
        memcpy(b, held, element);
    }
}

static void shuffle(rng *r) {
    rng chance = rng_fork(r);
    for (int64_t i = e.rows - 1; i > 0; i--) {
        const int64_t other = rng_int(&chance, 0, i);
        for (int array = LOSS; array <= RANK; array++) exchange(array, i, other, 1);
        if (e.weight) exchange(WEIGHT, i, other, 1);
        if (e.probability) exchange(PROBABILITY, i, other, e.shape.classes);
    }
}

void fuzz_books(rng *r) {
    draw_shape(r);
    draw_scores(r);
    draw_entries(r);
    memset(draw_line(r, BOOK, sizeof(int64_t), size), 0, (size_t)size * sizeof(int64_t));
    truth = resized(truth, size, sizeof *truth);
    taken = resized(taken, size, sizeof *taken);
    if (rng_chance(r, 15)) {
        check_refusal(r);
        return;
    }
    enter(0, e.rows);
    if (is_wild) {
        take(truth);
    } else {
        memset(truth, 0, (size_t)size * sizeof *truth);
        for (int64_t i = 0; i < e.rows; i++) enter_row(i);
        take(taken);
        compare(truth, taken, "not what was entered");
        items_told += e.rows;
    }
    items_checked += e.rows;
    const int64_t cut = rng_int(r, 0, e.rows);
    shuffle(r);
    enter(cut, e.rows - cut);
    enter(0, cut);
    take(taken);
    compare(truth, taken, "another order, in two parts");
    memset(arrays[BOOK].data, UNTOUCHED, arrays[BOOK].bytes);
    if (!field_untouched(arrays + BOOK)) fail("something beside the book was written");
}

void fuzz_book_counts(int64_t *checked, int64_t *told) {
    *checked = items_checked;
    *told = items_told;
}
