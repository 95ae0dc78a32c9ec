/* SPDX-License-Identifier: BSD-3-Clause */
/* Books: counts and exact sums over rows. Each part of a book has one writer, so that threads share the rows without
 * sharing a sum; sums are integers, so that nothing depends on the order of the rows. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "core.h"

enum {
    PARTS = 4,     /* of a book, each for one thread, beside the calibration of classes */
    FEW_RANKS = 8, /* up to here a visit for each is faster */
    CLASS_JOB = 64 /* classes whose calibration a thread takes at a time; no more than XN_ENTRY_BLOCK */
};

int xn_confidence_key(double confidence) {
    int32_t key = 0;
    xn_kernels()->confidence_keys(&confidence, 1, &key);
    return key;
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
    const xn_kernel_table *k;
} entry_context;

/* At most XN_ENTRY_BLOCK rows whose loss is a number: neighbours in the scores as long as all are, else copies. */
typedef struct {
    int64_t rows;
    const int32_t *label, *best, *rank;
    const double *loss, *confidence, *brier, *weight; /* weight may be NULL */
    int64_t of; /* how many rows of the scores these come from */
    int32_t labels[XN_ENTRY_BLOCK], bests[XN_ENTRY_BLOCK], ranks[XN_ENTRY_BLOCK];
    double losses[XN_ENTRY_BLOCK], confidences[XN_ENTRY_BLOCK], briers[XN_ENTRY_BLOCK], weights[XN_ENTRY_BLOCK];
} block;

static void open_block(const xn_entries *e, int64_t first, block *b) {
    const xn_row_scores *s = e->scores;
    const int64_t rows = e->rows - first < XN_ENTRY_BLOCK ? e->rows - first : XN_ENTRY_BLOCK;
    const int32_t *const label = s->label + first, *const rank = s->rank + first;
    int32_t odd = 0;
    for (int64_t i = 0; i < rows; i++) odd |= label[i] | rank[i];
    b->of = b->rows = rows;
    b->label = label;
    b->rank = rank;
    b->best = s->best + first;
    b->loss = s->loss + first;
    b->confidence = s->confidence + first;
    b->brier = s->brier + first;
    b->weight = e->weight ? e->weight + first : NULL;
    if (odd >= 0) return;
    int64_t n = 0;
    for (int64_t i = 0; i < rows; i++) {
        if ((label[i] | rank[i]) < 0) continue;
        b->labels[n] = label[i];
        b->ranks[n] = rank[i];
        b->bests[n] = b->best[i];
        b->losses[n] = b->loss[i];
        b->confidences[n] = b->confidence[i];
        b->briers[n] = b->brier[i];
        b->weights[n] = b->weight ? b->weight[i] : 1;
        n++;
    }
    b->rows = n;
    b->label = b->labels;
    b->rank = b->ranks;
    b->best = b->bests;
    b->loss = b->losses;
    b->confidence = b->confidences;
    b->brier = b->briers;
    b->weight = b->weight ? b->weights : NULL;
}

/* Values times the weights, if there are any. */
static const double *weighted(const block *rows, const double *value, double *space) {
    if (!rows->weight) return value;
    for (int64_t i = 0; i < rows->rows; i++) space[i] = rows->weight[i] * value[i];
    return space;
}

static inline void add_limbs(int64_t *sum, const xn_limbs *limbs, int64_t i) {
    sum += limbs->place[i];
    sum[0] += limbs->low[i];
    sum[1] += limbs->middle[i];
    sum[2] += limbs->high[i];
}

/* sums[item[i]] += value[i]; an item below 0 has no sum. */
static void add_each(const xn_kernel_table *k, int64_t (*sums)[XN_LIMBS], const int32_t *item, const double *value,
                     int64_t n) {
    xn_limbs limbs;
    k->split(value, n, &limbs);
    if (limbs.any_high) {
        for (int64_t i = 0; i < n; i++)
            if (item[i] >= 0) add_limbs(sums[item[i]], &limbs, i);
        return;
    }
    for (int64_t i = 0; i < n; i++) { /* such as of float32, if these are not spread over three */
        if (item[i] < 0) continue;
        int64_t *const sum = sums[item[i]] + limbs.place[i];
        sum[0] += limbs.low[i];
        sum[1] += limbs.middle[i];
    }
}

/* The item of each row that is a hit, -1 of others. */
static const int32_t *if_hit(const block *rows, const int32_t *item, int32_t *space) {
    for (int64_t i = 0; i < rows->rows; i++) space[i] = rows->rank[i] == 0 ? item[i] : -1;
    return space;
}

/* Rows whose loss is no number: those that count all the same, and those that do not. */
static void enter_nans(const entry_context *c, int64_t first, int64_t rows, xn_entered *seen) {
    const int32_t *const label = c->e->scores->label + first, *const rank = c->e->scores->rank + first;
    for (int64_t i = 0; i < rows; i++) {
        if (label[i] < 0) seen->ignored++;
        if (label[i] < 0 || rank[i] >= 0) continue;
        seen->nans++;
        c->b.support[label[i]]++;
        c->b.nans[label[i]]++;
        if (c->e->weight) add_each(c->k, c->b.weight, label + i, c->e->weight + first + i, 1);
    }
}

static void enter_classes(const entry_context *c, const block *rows) {
    double space[XN_ENTRY_BLOCK];
    int32_t items[XN_ENTRY_BLOCK];
    const book *const b = &c->b;
    const double *const product = weighted(rows, rows->loss, space);
    const int32_t *const label = rows->label, *const rank = rows->rank;
    int64_t *const support = b->support, *const hits = b->hits;
    const int64_t n = rows->rows;
    for (int64_t i = 0; i < n; i++) {
        support[label[i]]++;
        hits[label[i]] += rank[i] == 0; /* whether a row is a hit no branch can foresee */
        if (product[i] == INFINITY) b->infinite[label[i]]++;
    }
    add_each(c->k, b->loss, rows->label, product, rows->rows);
    if (!rows->weight) return;
    add_each(c->k, b->weight, rows->label, rows->weight, rows->rows);
    add_each(c->k, b->hit_weight, if_hit(rows, rows->label, items), rows->weight, rows->rows);
}

static void enter_totals(const entry_context *c, const block *rows) {
    double products[XN_ENTRY_BLOCK], space[XN_ENTRY_BLOCK];
    const book *const b = &c->b;
    const int64_t n = rows->rows;
    const double *const product = weighted(rows, rows->loss, products);
    int64_t lost = 0;
    for (int64_t i = 0; i < n; i++) {
        const double weight = rows->weight ? rows->weight[i] : 1;
        space[i] = product[i] * product[i];
        lost += !(space[i] < INFINITY) | !(weight * weight < INFINITY) | !(weight * product[i] < INFINITY);
    }
    *b->lost += lost;
    c->k->add_all(space, n, b->loss_square[0]);
    c->k->add_all(weighted(rows, rows->brier, space), n, b->brier[0]);
    if (!rows->weight) return;
    c->k->add_all(weighted(rows, product, space), n, b->weight_loss[0]);
    c->k->add_all(weighted(rows, rows->weight, space), n, b->weight_square[0]);
}

static void enter_cells(const entry_context *c, const block *rows) {
    double space[XN_ENTRY_BLOCK];
    int32_t cell[XN_ENTRY_BLOCK], items[XN_ENTRY_BLOCK];
    const xn_entries *const e = c->e;
    const book *const b = &c->b;
    const int32_t *const start = e->start, *const rank = rows->rank;
    const double *const cut = e->cut, *const confidences = rows->confidence;
    int64_t *const counts = b->cell_rows, *const hits = b->cell_hits;
    const int64_t n = rows->rows;
    c->k->confidence_keys(confidences, n, cell);
    for (int64_t i = 0; i < n; i++) {
        const double confidence = confidences[i];
        const int32_t at = start[cell[i]] + (confidence >= cut[cell[i]]);
        cell[i] = confidence >= 0 && confidence <= 1 ? at : -1;
    }
    for (int64_t i = 0; i < n; i++) {
        if (cell[i] < 0) continue;
        counts[cell[i]]++;
        hits[cell[i]] += rank[i] == 0;
    }
    add_each(c->k, b->cell_confidence, cell, weighted(rows, rows->confidence, space), rows->rows);
    if (!rows->weight) return;
    add_each(c->k, b->cell_weight, cell, rows->weight, rows->rows);
    add_each(c->k, b->cell_hit_weight, if_hit(rows, cell, items), rows->weight, rows->rows);
}

static void enter_counts(const entry_context *c, const block *rows) {
    int32_t key[XN_ENTRY_BLOCK], place[XN_ENTRY_BLOCK];
    const book *const b = &c->b;
    const int64_t classes = c->e->shape.classes, most = c->e->shape.ranks, n = rows->rows;
    c->k->loss_keys(rows->loss, n, XN_LOSS_KEYS, key);
    const int32_t *const rank = rows->rank, *const label = rows->label, *const best = rows->best;
    int64_t *const losses = b->losses, *const ranks = b->ranks, *const confusion = b->confusion;
    for (int64_t i = 0; i < n; i++) place[i] = rank[i] < most ? rank[i] : (int32_t)most;
    if (most <= FEW_RANKS) { /* many rows have one rank: to count them one by one waits for each before */
        for (int32_t k = 0; k <= most; k++) {
            int32_t found = 0;
            for (int64_t i = 0; i < n; i++) found += place[i] == k;
            ranks[k] += found;
        }
    } else {
        for (int64_t i = 0; i < n; i++) ranks[place[i]]++;
    }
    for (int64_t i = 0; i < n; i++) losses[key[i]]++;
    if (rows->weight) {
        add_each(c->k, b->losses_weight, key, rows->weight, n);
        add_each(c->k, b->rank_weight, place, rows->weight, n);
    }
    if (!c->e->shape.has_confusion) return;
    for (int64_t i = 0; i < n; i++) confusion[label[i] * classes + best[i]]++;
    for (int64_t i = 0; rows->weight && i < n; i++)
        add_each(c->k, b->confusion_weight + label[i] * classes + best[i], (int32_t[1]){0}, rows->weight + i, 1);
}

/* Calibration of some classes: every probability of theirs, in rows whose loss is a number. */
static void enter_class_cells(const entry_context *c, int64_t from) {
    double value[XN_ENTRY_BLOCK];
    int32_t cell[XN_ENTRY_BLOCK];
    const xn_entries *const e = c->e;
    const book *const b = &c->b;
    const int32_t *const label = e->scores->label, *const rank = e->scores->rank;
    const double *const weight = e->weight;
    const int64_t classes = e->shape.classes, bins = e->shape.class_bins;
    const int64_t n = classes - from < CLASS_JOB ? classes - from : CLASS_JOB;
    for (int64_t i = 0; i < e->rows; i++) {
        if ((label[i] | rank[i]) < 0) continue;
        const int64_t at = i * classes + from;
        for (int64_t k = 0; k < n; k++) {
            const double p = e->probability_is_double ? ((const double *)e->probability)[at + k]
                                                      : (double)((const float *)e->probability)[at + k];
            const int is_one = p >= 0 && p <= 1, bin = is_one ? (int)(p * (double)bins) : 0;
            cell[k] = is_one ? (int32_t)((k * bins) + (bin < bins ? bin : bins - 1)) : -1;
            value[k] = is_one ? (weight ? weight[i] * p : p) : 0;
        }
        for (int64_t k = 0; k < n; k++) {
            if (cell[k] < 0) continue;
            const int64_t item = from * bins + cell[k];
            b->class_rows[item]++;
            b->class_hits[item] += label[i] == from + k;
        }
        add_each(c->k, b->class_confidence + from * bins, cell, value, n);
        if (!weight) continue;
        for (int64_t k = 0; k < n; k++) {
            value[k] = weight[i];
            if (cell[k] >= 0 && label[i] == from + k)
                add_each(c->k, b->class_hit_weight + from * bins, cell + k, weight + i, 1);
        }
        add_each(c->k, b->class_weight + from * bins, cell, value, n);
    }
}

static void enter_part(void *context, int64_t job, xn_worker *worker) {
    static void (*const parts[])(const entry_context *, const block *) = {enter_classes, enter_totals, enter_cells,
                                                                          enter_counts};
    const entry_context *c = context;
    (void)worker;
    if (job >= PARTS) {
        enter_class_cells(c, (job - PARTS) * CLASS_JOB);
        return;
    }
    block rows;
    xn_entered seen = {0, 0, -INFINITY};
    for (int64_t first = 0; first < c->e->rows; first += rows.of) {
        open_block(c->e, first, &rows);
        if (job == 0 && rows.rows < rows.of) enter_nans(c, first, rows.of, &seen);
        parts[job](c, &rows);
        for (int64_t i = 0; job == 0 && i < rows.rows; i++)
            seen.most = rows.loss[i] > seen.most ? rows.loss[i] : seen.most;
    }
    if (job == 0 && c->e->entered) *c->e->entered = seen;
}

static int is_there(const xn_entries *e, const int64_t *data) {
    const xn_row_scores *s = e ? e->scores : NULL;
    return s && e->rows >= 0 && xn_is_there(data, 8) && xn_is_there(s->loss, 8) && xn_is_there(s->confidence, 8) &&
           xn_is_there(s->brier, 8) && xn_is_there(s->label, 4) && xn_is_there(s->best, 4) && xn_is_there(s->rank, 4) &&
           xn_is_there(e->start, 4) && xn_is_there(e->cut, 8) && (!e->weight || xn_is_there(e->weight, 8)) &&
           (!e->probability || xn_is_there(e->probability, e->probability_is_double ? 8 : 4));
}

/* Whether every index that the rows lead to is in the book. */
static int fits(const xn_entries *e) {
    const xn_book_shape *s = &e->shape;
    if (s->classes < 1 || s->classes > INT32_MAX || s->cells < 1 || s->ranks < 0 || s->class_bins < 0) return 0;
    if (!s->weighted != !e->weight || (s->class_bins > 0 && !e->probability)) return 0;
    for (int key = 0; key < XN_CONFIDENCE_KEYS; key++)
        if (e->start[key] < 0 || e->start[key] + 1 >= s->cells) return 0;
    const int32_t *const label = e->scores->label, *const rank = e->scores->rank, *const best = e->scores->best;
    const int32_t classes = (int32_t)s->classes;
    int wrong = 0;
    for (int64_t i = 0; i < e->rows; i++) {
        const int counts = (label[i] | rank[i]) >= 0;
        wrong |= (label[i] >= classes) | (counts & ((best[i] < 0) | (best[i] >= classes)));
    }
    for (int64_t i = 0; e->weight && i < e->rows; i++) wrong |= !(e->weight[i] > 0 && e->weight[i] < INFINITY);
    return !wrong;
}

xn_status xn_enter(const xn_entries *e, int64_t *data) {
    if (!is_there(e, data) || !fits(e)) return XN_BAD_ARGUMENT;
    entry_context c = {e, open_book(&e->shape, data), xn_kernels()};
    const int64_t class_jobs = e->shape.class_bins > 0 ? (e->shape.classes + CLASS_JOB - 1) / CLASS_JOB : 0;
    const xn_work work = {PARTS + class_jobs, 4 * e->rows, e->n_threads,
                          NULL}; /* all or nothing: it is never stopped */
    return xn_run_jobs(work, enter_part, &c);
}
