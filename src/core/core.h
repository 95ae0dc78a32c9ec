/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of core know of each other. */
#ifndef XN_CORE_H
#define XN_CORE_H

#include <stdint.h>

#include "../kernels/kernels.h"
#include "../xent.h"

/* dispatch.c */
const xn_kernel_table *xn_kernels(void);

/* cpu.c: the best level that this CPU and its operating system run. */
enum { XN_LEVEL_BASELINE, XN_LEVEL_AVX2, XN_LEVEL_AVX512 };
int xn_cpu_level(void);

/* quota.c: CPUs that the control groups allow, rounded up; 0: no limit known. `root` stands before the absolute paths
 * that it reads: "", but for tests. */
int xn_read_quota(const char *root);

/* threads.c, for the parallel region: how many of `wanted` threads, up to xn_threads(...), the region can have.
 * Thread 0 says in the region how many it has. */
int xn_open_team(int wanted);
void xn_team_is_open(int size);

/* tiles.c: runs job(context, 0 .. jobs - 1, worker), each once, in any order, on any thread. Threads count from 0 and
 * are fewer than xn_threads(work.n_threads) + 1. */
typedef struct xn_worker xn_worker;
typedef void xn_job(void *context, int64_t job, xn_worker *worker);
typedef struct {
    int64_t jobs;
    int64_t elements_per_job;
    int n_threads;
    int (*interrupted)(void);
} xn_work;
xn_status xn_run_jobs(xn_work all, xn_job *job, void *context);
int xn_worker_thread(const xn_worker *worker);
/* Whether a job shall leave at once: asked before each piece of it, with the elements that the piece has. A piece has
 * at most a few hundred thousand: see ASK_ELEMENTS. */
int xn_worker_stops(xn_worker *worker, int64_t elements);

/* rows.c: the rows of a problem, in runs whose addresses are equally spaced, cut into tiles, and tiles
 * into jobs. What is cut where depends on the problem alone: that makes sums independent of threads. */
typedef struct {
    int64_t runs, run_rows;
    int along_outer; /* a run goes along outer (inner is 1); else along inner, one run for each outer */
    int64_t tile_rows, tiles_per_run, tiles_per_job, jobs, elements_per_job;
} xn_plan;
xn_plan xn_plan_rows(const xn_problem *p, int64_t rows_per_tile);
int64_t xn_tile_rows(const xn_problem *p); /* that a kernel is given at once */

/* Some rows of a run: where they start and how many. */
typedef struct {
    int64_t outer, inner, rows;
} xn_span;
xn_span xn_span_of(const xn_plan *plan, int64_t tile);

/* An array of rows as a pointer to the first of a span, and a step. */
int64_t xn_row_offset(xn_span span, int64_t outer_stride, int64_t inner_stride);
int64_t xn_row_step(const xn_plan *plan, int64_t outer_stride, int64_t inner_stride);

xn_status xn_run_rows(xn_problem *p, xn_kernel *kernel);
/* Whether lanes go over the classes of a row. Strides play no part: a batch of one row has no say in them. */
int xn_rows_are_vectors(const xn_problem *p);
int xn_element_size(xn_dtype dtype); /* of the input and the target */
int xn_written_size(xn_dtype dtype); /* of outputs with classes */
xn_dtype xn_real(xn_dtype dtype);    /* that a problem is computed in: XN_FLOAT64 or XN_FLOAT32 */

/* check.c: whether a problem is what all operations ask for, labels aside; and parts of what some ask for besides:
 * targets and no outputs but loss and derivatives, an epsilon to clip by, the options of focal losses. */
int xn_is_problem(const xn_problem *p);
int xn_is_there(const void *data, int size); /* and has the alignment of a type of that size */
int xn_is_loss_alone(const xn_problem *p);
int xn_is_clip(const xn_problem *p);
int xn_is_focal(const xn_problem *p);

/* What a tile needs besides the kernel: pointers, labels, weights. label and weight hold span.rows. */
void xn_fill_tile(const xn_problem *p, const xn_plan *plan, xn_span span, xn_tile *tile, int64_t *label,
                  double *weight);

/* labels.c: checks every label, and counts. */
typedef struct {
    int64_t rows;  /* that are not ignored */
    double weight; /* sum of their sample weights */
} xn_count;
xn_status xn_count_rows(xn_problem *p, xn_count *count);
void xn_read_labels(const xn_problem *p, const xn_plan *plan, xn_span span, int64_t *label, double *weight);
int64_t xn_label_classes(const xn_problem *p); /* labels are below */

/* Labels 0 and 1 as targets of the problem's dtype. Rows that are ignored get weight 0. `label` is room for span.rows.
 */
typedef union {
    double f64[XN_ROW_TILE];
    float f32[XN_ROW_TILE];
    uint16_t half[XN_ROW_TILE];
} xn_hard_targets;
void xn_read_hard_targets(const xn_problem *p, const xn_plan *plan, xn_span span, int64_t *label, double *weight,
                          xn_hard_targets *hard);
void xn_read_weights(const xn_problem *p, const xn_plan *plan, xn_span span, double *weight);

/* reduce.c */
double xn_divisor(xn_reduction reduction, const xn_count *count);
double xn_sum(const double *values, int64_t n);
double xn_tile_sum(const double *values, int64_t n);
void xn_store_rows(const xn_row_array *array, const xn_plan *plan, xn_span span, const double *value);

#endif
