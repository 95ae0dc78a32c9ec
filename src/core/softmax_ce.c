/* SPDX-License-Identifier: BSD-3-Clause */
/* Softmax cross-entropy: chooses the loop order, and splits the classes of wide rows among threads. */
#include <stdlib.h>

#include "core.h"

enum { WIDE_ROWS = 16 }; /* rows are split only where there are fewer than this: each takes a region or two */

/* One wide row: its segments are jobs. The same segments in the same order as in softmax_ce_rows. */
typedef struct {
    const xn_kernel_table *kernels;
    const xn_problem *p;
    xn_tile tile;
    xn_part *parts;
} wide_row;

static xn_tile segment_of(const wide_row *w, int64_t segment) {
    xn_tile tile = w->tile;
    tile.from = segment * XN_SEGMENT;
    tile.to = tile.from + XN_SEGMENT < tile.classes ? tile.from + XN_SEGMENT : tile.classes;
    return tile;
}

static void scan_segment(void *context, int64_t segment, xn_worker *worker) {
    const wide_row *w = context;
    if (xn_worker_stops(worker, XN_SEGMENT)) return;
    xn_tile tile = segment_of(w, segment);
    tile.part = w->parts + segment;
    w->kernels->softmax_ce_scan[w->p->dtype](&tile);
}

static void write_one(const wide_row *w, int64_t segment) {
    xn_tile tile = segment_of(w, segment);
    if (segment > 0) tile.loss = tile.lse = NULL;
    w->kernels->softmax_ce_write[w->p->dtype](&tile);
}

static void write_segment(void *context, int64_t segment, xn_worker *worker) {
    if (!xn_worker_stops(worker, XN_SEGMENT)) write_one(context, segment);
}

static xn_status run_wide_row(wide_row *w, const xn_plan *plan, int64_t row, double grad_scale, double *loss) {
    const xn_problem *p = w->p;
    const int64_t segments = (p->classes + XN_SEGMENT - 1) / XN_SEGMENT;
    const int has_losses = (p->labels.data || p->target.data) && !p->without_loss;
    const xn_span span = xn_span_of(plan, row);
    int64_t label;
    double weight, lse;
    xn_fill_tile(p, plan, span, &w->tile, &label, &weight);
    w->tile.grad_scale = grad_scale;
    w->tile.loss = has_losses ? loss : NULL;
    w->tile.lse = p->lse.data ? &lse : NULL;
    w->tile.part = w->parts;
    const xn_work work = {segments, XN_SEGMENT, p->n_threads, p->interrupted};
    xn_status status = xn_run_jobs(work, scan_segment, w);
    if (status != XN_OK) return status;
    w->kernels->softmax_ce_merge[p->dtype](&w->tile);
    const int planes = p->grad.data || p->hess.data || p->prob.data || p->log_prob.data;
    if (planes) {
        status = xn_run_jobs(work, write_segment, w);
    } else {
        write_one(w, 0);
    }
    if (status == XN_OK && p->loss.data) xn_store_rows(&p->loss, plan, span, loss);
    if (status == XN_OK && p->lse.data) xn_store_rows(&p->lse, plan, span, &lse);
    return status;
}

static xn_status run_wide_rows(xn_problem *p, const xn_kernel_table *k) {
    xn_count count;
    xn_status status = xn_count_rows(p, &count);
    if (status != XN_OK) return status;
    const double divisor = xn_divisor(p->reduction, &count);
    const xn_plan plan = xn_plan_rows(p, 1);
    const int64_t segments = (p->classes + XN_SEGMENT - 1) / XN_SEGMENT, rows = p->outer * p->inner;
    wide_row w = {.kernels = k, .p = p, .parts = calloc((size_t)segments, sizeof(xn_part))};
    double *losses = calloc((size_t)rows, sizeof(double));
    if (!w.parts || !losses) status = XN_NO_MEMORY;
    for (int64_t row = 0; status == XN_OK && row < rows; row++)
        status = run_wide_row(&w, &plan, row, divisor == 0 ? 0 : 1 / divisor, losses + row);
    p->reduced = divisor == 0 || p->without_loss || status != XN_OK ? 0 : xn_sum(losses, rows) / divisor;
    free(losses);
    free(w.parts);
    return status;
}

static int64_t rounds(int64_t jobs, int64_t threads) {
    return (jobs + threads - 1) / threads;
}

/* Whether threads are busier with the segments of one row after the other than with whole rows. The bits are those. */
static int is_wide(const xn_problem *p) {
    const int64_t rows = p->outer * p->inner, segments = (p->classes + XN_SEGMENT - 1) / XN_SEGMENT;
    if (p->classes < 2 * XN_SEGMENT || rows <= 0 || rows >= WIDE_ROWS) return 0;
    const int64_t threads = xn_threads(p->n_threads);
    return segments * rounds(rows, threads) > rows * rounds(segments, threads);
}

xn_status xn_softmax_ce(xn_problem *p) {
    if (!xn_is_problem(p) || p->shape != XN_PLAIN) return XN_BAD_ARGUMENT;
    const xn_kernel_table *k = xn_kernels();
    if (!xn_rows_are_vectors(p)) return xn_run_rows(p, k->softmax_ce_cols[p->dtype]);
    if (is_wide(p)) return run_wide_rows(p, k);
    return xn_run_rows(p, k->softmax_ce_rows[p->dtype]);
}
