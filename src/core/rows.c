/* SPDX-License-Identifier: BSD-3-Clause */
/* From a problem to tiles of rows, and their losses back to the caller. */
#include <math.h>
#include <stdlib.h>

#include "core.h"

enum {
    JOB_ELEMENTS = 16384, /* the least that a thread takes at a time, */
    JOBS = 64, /* and about how many jobs there are before they get larger, */
    MOST_ELEMENTS = 262144, /* up to this: a kernel fetches ahead, which is lost where another thread goes on */
    MOST_JOBS = 32768, /* bounds the memory for their sums: 256 KB */
    SCRATCH_BYTES = 5 << 18, /* for exponentials of long rows, of all threads together */
    SCRATCH_MARGIN = 4096,   /* elements of a row's scratch beside its own: the last block may be incomplete */
    STREAM_BYTES = 1 << 23   /* gradients of this size and more go past the cache */
};

int xn_element_size(xn_dtype dtype) {
    static const int size[XN_DTYPES] = {
        [XN_FLOAT32] = 4, [XN_FLOAT64] = 8, [XN_FLOAT16] = 2, [XN_BFLOAT16] = 2, [XN_FLOAT64_TO_FLOAT32] = 8};
    return size[dtype];
}

int xn_written_size(xn_dtype dtype) {
    return dtype == XN_FLOAT64_TO_FLOAT32 ? 4 : xn_element_size(dtype);
}

xn_dtype xn_real(xn_dtype dtype) {
    return dtype == XN_FLOAT64 || dtype == XN_FLOAT64_TO_FLOAT32 ? XN_FLOAT64 : XN_FLOAT32;
}

int xn_rows_are_vectors(const xn_problem *p) {
    return p->classes_last && p->classes > XN_FEW_CLASSES;
}

/* Elements that a thread takes at a time. */
static int64_t job_elements(const xn_problem *p) {
    const int64_t share = p->outer * p->inner / JOBS * p->classes;
    return share < JOB_ELEMENTS ? JOB_ELEMENTS : share > MOST_ELEMENTS ? MOST_ELEMENTS : share;
}

/* Rows that a kernel is given at once: half a job or less, so that few are ends, where nothing overlaps; for the
 * kernels that pack them, a multiple of what they pack. Half types are cut like float32, whose sums they have. */
int64_t xn_tile_rows(const xn_problem *p) {
    const int64_t rows = job_elements(p) / 2 / p->classes;
    const int64_t least = xn_rows_are_vectors(p) ? 1 : XN_COL_TILE;
    return rows < least ? least : rows > XN_ROW_TILE ? XN_ROW_TILE : rows / least * least;
}

xn_plan xn_plan_rows(const xn_problem *p, int64_t rows_per_tile) {
    xn_plan plan = {.along_outer = p->inner == 1};
    plan.runs = plan.along_outer ? 1 : p->outer;
    plan.run_rows = plan.along_outer ? p->outer : p->inner;
    plan.tile_rows = rows_per_tile;
    plan.tiles_per_run = (plan.run_rows + rows_per_tile - 1) / rows_per_tile;
    const int64_t tiles = plan.runs * plan.tiles_per_run;
    const int64_t elements = (plan.run_rows < rows_per_tile ? plan.run_rows : rows_per_tile) * p->classes;
    const int64_t wanted = job_elements(p);
    plan.tiles_per_job = elements < wanted && elements > 0 ? wanted / elements : 1;
    if (plan.tiles_per_job * MOST_JOBS < tiles) plan.tiles_per_job = (tiles + MOST_JOBS - 1) / MOST_JOBS;
    plan.jobs = (tiles + plan.tiles_per_job - 1) / plan.tiles_per_job;
    plan.elements_per_job = elements * plan.tiles_per_job;
    return plan;
}

xn_span xn_span_of(const xn_plan *plan, int64_t tile) {
    const int64_t run = tile / plan->tiles_per_run, first = tile % plan->tiles_per_run * plan->tile_rows;
    const int64_t left = plan->run_rows - first;
    const int64_t rows = left < plan->tile_rows ? left : plan->tile_rows;
    return plan->along_outer ? (xn_span){first, 0, rows} : (xn_span){run, first, rows};
}

int64_t xn_row_offset(xn_span span, int64_t outer_stride, int64_t inner_stride) {
    return span.outer * outer_stride + span.inner * inner_stride;
}

int64_t xn_row_step(const xn_plan *plan, int64_t outer_stride, int64_t inner_stride) {
    return plan->along_outer ? outer_stride : inner_stride;
}

static xn_plane plane_of(const xn_array *a, int64_t size, const xn_plan *plan, xn_span span) {
    if (!a->data) return (xn_plane){0};
    char *data = a->data;
    data += xn_row_offset(span, a->outer, a->inner) * size;
    return (xn_plane){data, xn_row_step(plan, a->outer, a->inner), a->cls};
}

static xn_binary_kind binary_kind(const xn_problem *p) {
    if (!p->target.data && !p->labels.data) return XN_SIGMOID;
    if (p->binary.focal) return p->binary.from_probabilities ? XN_FOCAL_PROBABILITIES : XN_FOCAL_LOGITS;
    return p->binary.from_probabilities ? XN_PROBABILITIES : XN_LOGITS;
}

/* With one target a row, its class weight is a factor of the row like any other; but rows that count nothing stay so,
 * even where it is infinite or NaN. */
static void apply_class_weight(const xn_problem *p, int64_t rows, const int64_t *label, double *weight) {
    for (int64_t i = 0; i < rows; i++) {
        const double factor = xn_real(p->dtype) == XN_FLOAT64 ? ((const double *)p->class_weight)[label[i]]
                                                              : (double)((const float *)p->class_weight)[label[i]];
        weight[i] = weight[i] == 0 ? 0 : weight[i] * factor;
    }
}

void xn_fill_tile(const xn_problem *p, const xn_plan *plan, xn_span span, xn_tile *tile, int64_t *label,
                  double *weight) {
    const int64_t size = xn_element_size(p->dtype), written = xn_written_size(p->dtype);
    *tile = (xn_tile){
        .rows = span.rows,
        .classes = p->classes,
        .input = plane_of(&p->input, size, plan, span),
        .target = plane_of(&p->target, size, plan, span),
        .weight = weight,
        .class_weight = p->class_weight,
        .keep = 1 - p->label_smoothing,
        .spread = p->label_smoothing / (double)p->classes,
        .grad_scale = 1,
        .epsilon = p->epsilon,
        .kind = binary_kind(p),
        .smoothing = p->label_smoothing,
        .share = p->binary.share == 0 ? 1 / (double)p->classes : p->binary.share,
        .pos_weight = p->binary.pos_weight,
        .balanced = p->binary.balanced,
        .each = plane_of(&p->binary.each, xn_element_size(xn_real(p->dtype)), plan, span),
        .shape = (int)p->shape,
        .coefficient = p->coefficient,
        .alpha = p->alpha,
        .hess_scale = p->hess_scale == 0 ? 1 : p->hess_scale,
        .streams = p->grad.data != p->input.data && p->outer * p->inner >= STREAM_BYTES / written / p->classes,
        .grad = plane_of(&p->grad, written, plan, span),
        .hess = plane_of(&p->hess, written, plan, span),
        .prob = plane_of(&p->prob, written, plan, span),
        .log_prob = plane_of(&p->log_prob, written, plan, span),
    };
    xn_read_weights(p, plan, span, weight);
    if (!p->labels.data || p->label_classes > 0) return;
    xn_read_labels(p, plan, span, label, weight);
    tile->label = label;
    if (p->class_weight && tile->spread == 0) {
        apply_class_weight(p, span.rows, label, weight);
        tile->class_weight = NULL;
    }
}

typedef struct {
    xn_problem *p;
    xn_kernel *kernel;
    xn_plan plan;
    double grad_scale;
    double *sums;  /* [jobs] */
    xn_sight *sights; /* [jobs], or NULL */
    char *scratch; /* [threads][scratch_bytes], or NULL */
    int64_t scratch_bytes;
    int n_threads;
} rows_context;

/* Long rows are visited twice for their gradient, or for a shape; in a scratch they leave their exponentials. It is
 * bounded for all threads together, and does without where there is no memory: only the time depends on it. */
static void find_scratch(rows_context *c) {
    const xn_problem *p = c->p;
    const int64_t whole = (p->classes + SCRATCH_MARGIN) * xn_element_size(xn_real(p->dtype));
    const int twice = p->grad.data || p->shape != XN_PLAIN;
    if (!twice || !xn_rows_are_vectors(p) || whole <= XN_KEPT_BYTES) return;
    const int threads = xn_threads(p->n_threads); /* asks the system: not for small calls */
    const int64_t share = SCRATCH_BYTES / threads / 64 * 64;
    if (share <= 2 * XN_KEPT_BYTES) return;
    c->n_threads = threads; /* and no more, should there be more CPUs a moment later */
    c->scratch_bytes = whole < share ? (whole + 63) / 64 * 64 : share;
    c->scratch = malloc((size_t)(threads * c->scratch_bytes));
}

static const xn_sight NOTHING_SEEN = {INFINITY, -INFINITY, 0};

/* Extremes, whatever the order of the jobs. */
static xn_seen all_seen(const xn_sight *sights, int64_t jobs) {
    xn_sight all = NOTHING_SEEN;
    for (int64_t i = 0; i < jobs; i++) {
        if (sights[i].least < all.least) all.least = sights[i].least;
        if (sights[i].most > all.most) all.most = sights[i].most;
        if (sights[i].off > all.off) all.off = sights[i].off;
    }
    return (xn_seen){all.least, all.most, all.off};
}

static double run_tile(const rows_context *c, xn_span span, int64_t job, xn_worker *worker) {
    int64_t label[XN_ROW_TILE];
    double weight[XN_ROW_TILE], loss[XN_ROW_TILE], lse[XN_ROW_TILE];
    const int has_losses = (c->p->labels.data || c->p->target.data) && !c->p->without_loss;
    xn_tile tile;
    xn_hard_targets hard;
    xn_fill_tile(c->p, &c->plan, span, &tile, label, weight);
    if (c->p->label_classes > 0) {
        xn_read_hard_targets(c->p, &c->plan, span, label, weight, &hard);
        tile.target = (xn_plane){&hard, 1, 1};
    }
    tile.grad_scale = c->grad_scale;
    if (c->scratch) {
        tile.scratch = c->scratch + xn_worker_thread(worker) * c->scratch_bytes;
        tile.scratch_bytes = c->scratch_bytes;
    }
    tile.sight = c->sights ? c->sights + job : NULL;
    tile.stops = xn_worker_stops;
    tile.worker = worker;
    tile.loss = has_losses ? loss : NULL;
    tile.lse = c->p->lse.data ? lse : NULL;
    c->kernel(&tile);
    if (c->p->loss.data) xn_store_rows(&c->p->loss, &c->plan, span, loss);
    if (c->p->lse.data) xn_store_rows(&c->p->lse, &c->plan, span, lse);
    return has_losses ? xn_tile_sum(loss, span.rows) : 0;
}

static void run_job(void *context, int64_t job, xn_worker *worker) {
    const rows_context *c = context;
    const int64_t tiles = c->plan.runs * c->plan.tiles_per_run, first = job * c->plan.tiles_per_job;
    double sum = 0;
    if (c->sights) c->sights[job] = NOTHING_SEEN;
    for (int64_t tile = first; tile < tiles && tile < first + c->plan.tiles_per_job; tile++) {
        const xn_span span = xn_span_of(&c->plan, tile);
        if (xn_worker_stops(worker, span.rows * c->p->classes)) return;
        sum += run_tile(c, span, job, worker);
    }
    c->sums[job] = sum;
}

xn_status xn_run_rows(xn_problem *p, xn_kernel *kernel) {
    xn_count count;
    const xn_status labels = xn_count_rows(p, &count);
    if (labels != XN_OK) return labels;
    const double divisor = xn_divisor(p->reduction, &count);
    const double scale = divisor == 0 ? 0 : 1 / divisor;
    double few[8], *many = NULL;
    rows_context c = {p, kernel, xn_plan_rows(p, xn_tile_rows(p)), scale, few, NULL, NULL, 0, p->n_threads};
    if (c.plan.jobs > (int64_t)(sizeof few / sizeof few[0])) {
        c.sums = many = malloc((size_t)c.plan.jobs * sizeof(double));
        if (!many) return XN_NO_MEMORY;
    }
    if (p->as_given) {
        c.sights = malloc((size_t)(c.plan.jobs + 1) * sizeof(xn_sight));
        if (!c.sights) return free(many), XN_NO_MEMORY;
    }
    find_scratch(&c);
    const xn_work work = {c.plan.jobs, c.plan.elements_per_job, c.n_threads, p->interrupted};
    const xn_status status = xn_run_jobs(work, run_job, &c);
    const double sum = status == XN_OK ? xn_sum(c.sums, c.plan.jobs) : 0;
    p->reduced = divisor == 0 || p->without_loss ? 0 : sum / divisor;
    if (c.sights) p->seen = all_seen(c.sights, c.plan.jobs);
    free(c.sights);
    free(c.scratch);
    free(many);
    return status;
}
