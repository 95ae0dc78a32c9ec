/* SPDX-License-Identifier: BSD-3-Clause */
/* Books: counts and exact sums over rows. Each part of a book has one writer, so that threads share the rows without
 * sharing a sum; sums are integers, so that nothing depends on the order of the rows. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "core.h"

enum {
    EXPONENT = 0x7FF,
    KEY_SIDE = 960,    /* keys of confidences below 1/2: 30 octaves of 32 */
    KEY_SHIFT = 47,    /* bits of a double below the key's */
    LOSS_SHIFT = 46,
    CLASS_JOB = 64     /* classes whose calibration a thread takes at a time */
};

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* sum += value, which is not negative; what is not finite is left out. */
static inline void add_exactly(int64_t *sum, double value) {
    const uint64_t bits = bits_of(value), exponent = bits >> 52 & EXPONENT;
    if (exponent == EXPONENT) return;
    const uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
    const uint64_t whole = exponent ? fraction | (uint64_t)1 << 52 : fraction, place = exponent ? exponent - 1 : 0;
    const unsigned shift = place & 31;
    const uint64_t low = whole << shift, high = shift ? whole >> (64 - shift) : 0; /* 84 bits in all */
    sum += place >> 5;
    sum[0] += (int64_t)(low & 0xFFFFFFFF);
    sum[1] += (int64_t)(low >> 32);
    sum[2] += (int64_t)high;
}

/* Without branches: whether a confidence is above 1/2 none can foresee. */
int xn_confidence_key(double confidence) {
    const int64_t lowest = (int64_t)(bits_of(0x1p-31) >> KEY_SHIFT), low = -(int64_t)(confidence < 0.5);
    const double other = 1 - confidence; /* exact where it is used */
    const int64_t bits = (int64_t)((bits_of(confidence) & (uint64_t)low) | ((bits_of(other) - 1) & (uint64_t)~low));
    int64_t key = (bits >> KEY_SHIFT) - lowest; /* of 0, less 1, too: the bits are those of a negative number */
    key = key < 0 ? 0 : key;
    return (int)((key & low) | ((2 * KEY_SIDE - 1 - key) & ~low));
}

static inline int64_t loss_key(double loss) {
    const int64_t lowest = (int64_t)(bits_of(0x1p-40) >> LOSS_SHIFT);
    const int64_t key = (int64_t)(bits_of(loss) >> LOSS_SHIFT) - lowest + 1;
    return key < 0 ? 0 : key >= XN_LOSS_KEYS ? XN_LOSS_KEYS - 1 : key;
}

enum {
#define COUNT(name, items) SECTION_##name,
#define SUM(name, items) SECTION_##name,
    XN_BOOK(COUNT, SUM)
#undef COUNT
#undef SUM
        SECTIONS
};

const char *xn_book_section(const xn_book_shape *shape, int section, int64_t *items, int *is_sum) {
    const int64_t classes = shape->classes, cells = shape->cells, ranks = shape->ranks;
    const int64_t confusion = shape->has_confusion ? classes * classes : 0, class_cells = classes * shape->class_bins;
    const int64_t w = shape->weighted != 0, w_one = w, w_classes = w * classes, w_cells = w * cells;
    const int64_t w_ranks = w * (ranks + 1), w_losses = w * XN_LOSS_KEYS, w_confusion = w * confusion;
    const int64_t w_class_cells = w * class_cells;
    switch (section) {
#define COUNT(name, number) \
    case SECTION_##name:    \
        *items = number;    \
        *is_sum = 0;        \
        return #name;
#define SUM(name, number) \
    case SECTION_##name:  \
        *items = number;  \
        *is_sum = 1;      \
        return #name;
        XN_BOOK(COUNT, SUM)
#undef COUNT
#undef SUM
    }
    return NULL;
}

/* A book's sections. */
typedef struct {
#define COUNT(name, items) int64_t *name;
#define SUM(name, items) int64_t (*name)[XN_LIMBS];
    XN_BOOK(COUNT, SUM)
#undef COUNT
#undef SUM
} book;

static book open_book(const xn_book_shape *shape, int64_t *data) {
    book b;
    int64_t *start[SECTIONS] = {0};
    for (int i = 0; i < SECTIONS; i++) {
        int64_t items = 0;
        int is_sum = 0;
        (void)xn_book_section(shape, i, &items, &is_sum);
        start[i] = data;
        data += is_sum ? items * XN_LIMBS : items;
    }
#define COUNT(name, items) b.name = start[SECTION_##name];
#define SUM(name, items) b.name = (int64_t (*)[XN_LIMBS])start[SECTION_##name];
    XN_BOOK(COUNT, SUM)
#undef COUNT
#undef SUM
    return b;
}

typedef struct {
    const xn_entries *e;
    book b;
} entry_context;

/* Which rows a part of a book takes: those that count, and of these those whose loss is a number. */
#define EACH_ROW(rows, label, i)         \
    for (int64_t i = 0; i < (rows); i++) \
        if ((label)[i] >= 0)
#define EACH_NUMBER(rows, label, rank, i) \
    for (int64_t i = 0; i < (rows); i++)  \
        if (((label)[i] | (rank)[i]) >= 0)

static void enter_classes(const xn_entries *e, const book *b) {
    const int32_t *const label = e->scores->label, *const rank = e->scores->rank;
    const double *const loss = e->scores->loss, *const weight = e->weight;
    int64_t *const support = b->support, *const hits = b->hits;
    int64_t (*const losses)[XN_LIMBS] = b->loss;
    EACH_ROW(e->rows, label, i) {
        const int32_t cls = label[i];
        const double product = weight ? weight[i] * loss[i] : loss[i];
        support[cls]++;
        if (weight) add_exactly(b->weight[cls], weight[i]);
        if (rank[i] < 0) {
            b->nans[cls]++;
            continue;
        }
        if (product == INFINITY) b->infinite[cls]++;
        hits[cls] += rank[i] == 0; /* whether a row is a hit no branch can foresee */
        add_exactly(losses[cls], product);
        if (weight) add_exactly(b->hit_weight[cls], rank[i] == 0 ? weight[i] : 0);
    }
}

static void enter_totals(const xn_entries *e, const book *b) {
    const int32_t *const label = e->scores->label, *const rank = e->scores->rank;
    const double *const losses = e->scores->loss, *const brier = e->scores->brier, *const weights = e->weight;
    int64_t *const squares = b->loss_square[0], *const briers = b->brier[0];
    EACH_NUMBER(e->rows, label, rank, i) {
        const double weight = weights ? weights[i] : 1, product = weight * losses[i], square = product * product;
        if (!(square < INFINITY && weight * weight < INFINITY && weight * product < INFINITY)) ++*b->lost;
        add_exactly(squares, square);
        add_exactly(briers, weight * brier[i]);
        if (!weights) continue;
        add_exactly(b->weight_square[0], weight * weight);
        add_exactly(b->weight_loss[0], weight * product);
    }
}

static void enter_cells(const xn_entries *e, const book *b) {
    const int32_t *const label = e->scores->label, *const rank = e->scores->rank, *const start = e->start;
    const double *const confidences = e->scores->confidence, *const cut = e->cut, *const weight = e->weight;
    int64_t *const rows = b->cell_rows, *const hits = b->cell_hits;
    int64_t (*const sums)[XN_LIMBS] = b->cell_confidence;
    EACH_NUMBER(e->rows, label, rank, i) {
        const double confidence = confidences[i];
        if (!(confidence >= 0 && confidence <= 1)) continue;
        const int key = xn_confidence_key(confidence), hit = rank[i] == 0;
        const int64_t cell = start[key] + (confidence >= cut[key]);
        rows[cell]++;
        hits[cell] += hit;
        add_exactly(sums[cell], weight ? weight[i] * confidence : confidence);
        if (!weight) continue;
        add_exactly(b->cell_weight[cell], weight[i]);
        add_exactly(b->cell_hit_weight[cell], hit ? weight[i] : 0);
    }
}

static void enter_counts(const xn_entries *e, const book *b) {
    const int32_t *const label = e->scores->label, *const rank = e->scores->rank, *const best = e->scores->best;
    const double *const loss = e->scores->loss, *const weight = e->weight;
    int64_t *const losses = b->losses, *const ranks = b->ranks;
    int64_t *const confusion = e->shape.has_confusion ? b->confusion : NULL;
    const int64_t classes = e->shape.classes, most = e->shape.ranks;
    EACH_NUMBER(e->rows, label, rank, i) {
        const int64_t key = loss_key(loss[i]), pair = label[i] * classes + best[i];
        const int64_t place = rank[i] < most ? rank[i] : most;
        losses[key]++;
        ranks[place]++;
        if (confusion) confusion[pair]++;
        if (!weight) continue;
        add_exactly(b->losses_weight[key], weight[i]);
        add_exactly(b->rank_weight[place], weight[i]);
        if (confusion) add_exactly(b->confusion_weight[pair], weight[i]);
    }
}

/* Calibration of some classes: every probability of theirs. */
static void enter_class_cells(const xn_entries *e, const book *b, int64_t from) {
    const int64_t classes = e->shape.classes, bins = e->shape.class_bins;
    const int64_t to = classes - from < CLASS_JOB ? classes : from + CLASS_JOB;
    EACH_NUMBER(e->rows, e->scores->label, e->scores->rank, i) {
        const double weight = e->weight ? e->weight[i] : 1;
        for (int64_t k = from; k < to; k++) {
            const double p = e->probability_is_double ? ((const double *)e->probability)[i * classes + k]
                                                      : (double)((const float *)e->probability)[i * classes + k];
            if (!(p >= 0 && p <= 1)) continue;
            int64_t bin = (int64_t)(p * (double)bins);
            bin = bin < bins ? bin : bins - 1;
            const int64_t cell = k * bins + bin;
            b->class_rows[cell]++;
            b->class_hits[cell] += e->scores->label[i] == k;
            add_exactly(b->class_confidence[cell], weight * p);
            if (!e->weight) continue;
            add_exactly(b->class_weight[cell], e->weight[i]);
            if (e->scores->label[i] == k) add_exactly(b->class_hit_weight[cell], e->weight[i]);
        }
    }
}

static void enter_part(void *context, int64_t job, xn_worker *worker) {
    const entry_context *c = context;
    (void)worker;
    switch (job) {
        case 0: enter_classes(c->e, &c->b); break;
        case 1: enter_totals(c->e, &c->b); break;
        case 2: enter_cells(c->e, &c->b); break;
        case 3: enter_counts(c->e, &c->b); break;
        default: enter_class_cells(c->e, &c->b, (job - 4) * CLASS_JOB);
    }
}

/* Whether every index that the rows lead to is in the book. */
static int fits(const xn_entries *e) {
    const xn_book_shape *s = &e->shape;
    if (s->classes < 1 || s->classes > INT32_MAX || s->cells < 1 || s->ranks < 0 || s->class_bins < 0) return 0;
    if (!s->weighted != !e->weight || (s->class_bins > 0 && !e->probability)) return 0;
    for (int key = 0; key < XN_CONFIDENCE_KEYS; key++)
        if (e->start[key] < 0 || e->start[key] + 1 >= s->cells) return 0;
    int wrong = 0;
    for (int64_t i = 0; i < e->rows; i++) {
        const int counts = e->scores->label[i] >= 0 && e->scores->rank[i] >= 0;
        wrong |= e->scores->label[i] >= s->classes;
        wrong |= counts && (uint32_t)e->scores->best[i] >= (uint32_t)s->classes;
        if (e->weight) wrong |= !(e->weight[i] > 0 && e->weight[i] < INFINITY);
    }
    return !wrong;
}

xn_status xn_enter(const xn_entries *e, int64_t *data) {
    if (!fits(e)) return XN_BAD_ARGUMENT;
    entry_context c = {e, open_book(&e->shape, data)};
    const int64_t class_jobs = e->shape.class_bins > 0 ? (e->shape.classes + CLASS_JOB - 1) / CLASS_JOB : 0;
    const xn_work work = {4 + class_jobs, 4 * e->rows, e->n_threads, NULL}; /* all or nothing: it is never stopped */
    return xn_run_jobs(work, enter_part, &c);
}
