/* SPDX-License-Identifier: BSD-3-Clause */
/* Binary cross-entropy and sigmoid: chooses the loop order, and splits long rows, whose elements are independent. */
#include <math.h>
#include <stdlib.h>

#include "core.h"

static xn_kernel *kernel_for(const xn_problem *p) {
    const xn_kernel_table *k = xn_kernels();
    return xn_rows_are_vectors(p) ? k->binary_ce_rows[p->dtype] : k->binary_ce_cols[p->dtype];
}

/* A problem of rows that are longer than a segment. Jobs are segments of tiles, and leave the losses of the segments,
 * which are added in order: the bits are the same for any number of rows and threads. */
typedef struct {
    const xn_problem *p;
    xn_kernel *kernel;
    xn_plan plan;
    int64_t segments;
    double grad_scale;
    double *sums; /* [rows][segments] */
} long_rows;

static void skip_classes(xn_plane *plane, int64_t classes, int size) {
    if (plane->data) plane->data = (char *)plane->data + plane->cls * classes * size;
}

static int64_t first_row(const xn_problem *p, xn_span span) {
    return span.outer * p->inner + span.inner;
}

static void run_segment(void *context, int64_t job, xn_worker *worker) {
    const long_rows *l = context;
    const xn_problem *p = l->p;
    const int64_t segment = job % l->segments, from = segment * XN_SEGMENT;
    const xn_span span = xn_span_of(&l->plan, job / l->segments);
    const int size = xn_element_size(p->dtype), written = xn_written_size(p->dtype);
    const int real_size = xn_element_size(xn_real(p->dtype));
    double weight[XN_ROW_TILE], loss[XN_ROW_TILE];
    if (xn_worker_stops(worker, XN_SEGMENT)) return;
    xn_tile tile;
    xn_fill_tile(p, &l->plan, span, &tile, NULL, weight);
    tile.stops = xn_worker_stops;
    tile.worker = worker;
    tile.grad_scale = l->grad_scale;
    tile.loss = p->target.data && !p->without_loss ? loss : NULL;
    tile.classes = p->classes - from < XN_SEGMENT ? p->classes - from : XN_SEGMENT;
    skip_classes(&tile.input, from, size);
    skip_classes(&tile.target, from, size);
    skip_classes(&tile.grad, from, written);
    skip_classes(&tile.hess, from, written);
    skip_classes(&tile.prob, from, written);
    skip_classes(&tile.each, from, real_size);
    if (tile.pos_weight) tile.pos_weight = (const char *)tile.pos_weight + from * real_size;
    l->kernel(&tile);
    if (!tile.loss) return;
    for (int64_t i = 0; i < span.rows; i++) l->sums[(first_row(p, span) + i) * l->segments + segment] = loss[i];
}

static xn_status run_long_rows(xn_problem *p) {
    xn_count count;
    xn_status status = xn_count_rows(p, &count);
    if (status != XN_OK) return status;
    const double divisor = xn_divisor(p->reduction, &count);
    const int64_t segments = (p->classes + XN_SEGMENT - 1) / XN_SEGMENT, rows = p->outer * p->inner;
    long_rows l = {p,
                   kernel_for(p),
                   xn_plan_rows(p, xn_rows_are_vectors(p) ? 1 : XN_ROW_TILE),
                   segments,
                   divisor == 0 ? 0 : 1 / divisor,
                   NULL};
    l.sums = calloc((size_t)(rows * segments + rows), sizeof(double));
    if (!l.sums) return XN_NO_MEMORY;
    const int64_t tiles = l.plan.runs * l.plan.tiles_per_run;
    const int64_t tile_rows = l.plan.run_rows < l.plan.tile_rows ? l.plan.run_rows : l.plan.tile_rows;
    const xn_work work = {tiles * segments, tile_rows * XN_SEGMENT, p->n_threads, p->interrupted};
    status = xn_run_jobs(work, run_segment, &l);
    double *losses = l.sums + rows * segments;
    for (int64_t row = 0; status == XN_OK && row < rows; row++) losses[row] = xn_sum(l.sums + row * segments, segments);
    for (int64_t tile = 0; status == XN_OK && p->loss.data && tile < tiles; tile++) {
        const xn_span span = xn_span_of(&l.plan, tile);
        xn_store_rows(&p->loss, &l.plan, span, losses + first_row(p, span));
    }
    p->reduced = divisor == 0 || p->without_loss || status != XN_OK ? 0 : xn_sum(losses, rows) / divisor;
    free(l.sums);
    return status;
}

/* An array as one long row. */
static int as_one_row(xn_array *a, const xn_problem *p) {
    if (!a->data) return 1;
    const int64_t shape[3] = {p->outer, p->classes, p->inner}, strides[3] = {a->outer, a->cls, a->inner};
    int64_t size, stride;
    if (!xn_collapse(3, shape, strides, &size, &stride)) return 0;
    *a = (xn_array){a->data, 0, stride, 0};
    return 1;
}

/* Where nothing belongs to a row but its share in the result, all rows are one: rows of one class, the usual ones,
 * would spend more time on their losses in double than on the losses themselves. */
static void join_rows(xn_problem *p) {
    const int64_t rows = p->outer * p->inner;
    if (p->labels.data || p->sample_weight.data || p->loss.data || p->binary.pos_weight || rows == 0) return;
    if (p->target.data && p->reduction == XN_NONE) return;
    xn_problem q = *p;
    if (!as_one_row(&q.input, p) || !as_one_row(&q.target, p) || !as_one_row(&q.grad, p) || !as_one_row(&q.hess, p) ||
        !as_one_row(&q.prob, p) || !as_one_row(&q.binary.each, p))
        return;
    if (q.binary.share == 0) q.binary.share = 1 / (double)p->classes;
    if (p->reduction == XN_MEAN || p->reduction == XN_WEIGHTED_MEAN) q.binary.share /= (double)rows;
    q.reduction = XN_SUM;
    q.outer = q.inner = 1;
    q.classes = rows * p->classes;
    q.classes_last = 1;
    *p = q;
}

static xn_status run(xn_problem *p) {
    return p->classes > XN_SEGMENT ? run_long_rows(p) : xn_run_rows(p, kernel_for(p));
}

/* What only this operation takes, and what it does not have. */
static int is_binary(const xn_problem *p) {
    const xn_binary *b = &p->binary;
    if (p->shape != XN_PLAIN || p->class_weight || p->log_prob.data || p->lse.data) return 0;
    if (p->labels.data && p->classes != 1) return 0;
    const int has_targets = p->target.data || p->labels.data;
    if (p->prob.data ? has_targets || b->each.data : !has_targets) return 0;
    if (p->hess.data && (b->from_probabilities || b->focal)) return 0;
    if (b->from_probabilities && !xn_is_clip(p)) return 0;
    if (b->focal && (b->pos_weight || !xn_is_focal(p))) return 0;
    return isfinite(b->share) && b->share >= 0;
}

xn_status xn_binary_ce(xn_problem *p) {
    if (!xn_is_problem(p) || !is_binary(p)) return XN_BAD_ARGUMENT;
    xn_problem q = *p;
    q.label_classes = p->labels.data ? 2 : 0;
    join_rows(&q);
    const xn_status status = run(&q);
    p->reduced = q.reduced;
    p->bad_row = q.bad_row;
    p->bad_label = q.bad_label;
    return status;
}
