/* SPDX-License-Identifier: BSD-3-Clause */
/* Scoring: losses, and what else is said of a row, while its tile is in the cache. */
#include <math.h>
#include <stddef.h>

#include "core.h"

typedef struct {
    xn_problem *p;
    xn_kernel *loss, *score;
    xn_plan plan;
    int from_logits;
    const xn_row_scores *to;
} score_context;

static void score_tile(const score_context *c, xn_span span, xn_worker *worker) {
    int64_t label[XN_ROW_TILE];
    double weight[XN_ROW_TILE];
    const xn_row_scores *to = c->to;
    const int64_t first = span.outer;
    xn_tile tile;
    xn_fill_tile(c->p, &c->plan, span, &tile, label, weight);
    const xn_scores scores = {c->from_logits, to->confidence + first, to->brier + first, to->best + first,
                              to->rank + first};
    tile.score = &scores;
    tile.stops = xn_worker_stops;
    tile.worker = worker;
    tile.loss = to->loss + first;
    c->loss(&tile);
    if (c->score) c->score(&tile);
    const int is_single = xn_real(c->p->dtype) == XN_FLOAT32;
    for (int64_t i = 0; i < span.rows; i++) {
        if (is_single) tile.loss[i] = (double)(float)tile.loss[i];
        to->label[first + i] = weight[i] == 0 ? -1 : (int32_t)label[i];
        if (weight[i] == 0 || (isnan(tile.loss[i]) && scores.rank[i] != XN_NEGATIVE)) scores.rank[i] = -1;
    }
}

static void score_job(void *context, int64_t job, xn_worker *worker) {
    const score_context *c = context;
    const int64_t tiles = c->plan.runs * c->plan.tiles_per_run, first = job * c->plan.tiles_per_job;
    for (int64_t tile = first; tile < tiles && tile < first + c->plan.tiles_per_job; tile++) {
        const xn_span span = xn_span_of(&c->plan, tile);
        if (xn_worker_stops(worker, span.rows * c->p->classes)) return;
        score_tile(c, span, worker);
    }
}

static int can_be_scored(const xn_problem *p, const xn_row_scores *to) {
    if (!xn_is_problem(p) || !xn_is_loss_alone(p) || p->shape != XN_PLAIN || !p->labels.data) return 0;
    if (p->inner != 1 || !p->classes_last || p->classes > INT32_MAX) return 0;
    if (p->sample_weight.data || p->class_weight || p->label_smoothing != 0 || p->loss.data || p->as_given) return 0;
    if (p->grad.data || p->hess.data || p->without_loss || p->label_classes != 0) return 0;
    return to && xn_is_there(to->loss, 8) && xn_is_there(to->confidence, 8) && xn_is_there(to->brier, 8) &&
           xn_is_there(to->label, 4) && xn_is_there(to->best, 4) && xn_is_there(to->rank, 4);
}

xn_status xn_score(xn_problem *p, int from_logits, const xn_row_scores *to) {
    if (!can_be_scored(p, to) || (!from_logits && !xn_is_clip(p))) return XN_BAD_ARGUMENT;
    const xn_kernel_table *k = xn_kernels();
    const int rows = xn_rows_are_vectors(p);
    xn_kernel *const *loss = from_logits ? rows ? k->softmax_ce_rows : k->softmax_ce_cols
                             : rows      ? k->prob_ce_rows
                                         : k->prob_ce_cols;
    xn_kernel *const *score = rows ? k->score_rows : k->score_cols;
    const int together = from_logits && rows; /* softmax_ce_rows does both */
    xn_count count;
    const xn_status labels = xn_count_rows(p, &count);
    if (labels != XN_OK) return labels;
    score_context c = {
        p, loss[p->dtype], together ? NULL : score[p->dtype], xn_plan_rows(p, xn_tile_rows(p)), from_logits, to};
    const xn_work work = {c.plan.jobs, 2 * c.plan.elements_per_job, p->n_threads, p->interrupted};
    return xn_run_jobs(work, score_job, &c);
}
