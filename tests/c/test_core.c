/* SPDX-License-Identifier: BSD-3-Clause */
/* The core through xent.h: every label type, reduction and way to lay out rows, on every instruction set and
 * with 1, 2, 3 and 8 threads, against the truth and bit for bit. All memory stands between guard pages.
 *
 *     xent_test_core [problems per shape [seed]] */
#define _DEFAULT_SOURCE 1
#define _DARWIN_C_SOURCE 1
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "problem.h"

/* Results do not depend on the number of threads. */
static void check_threads(problem *q, int all) {
    static const int threads[] = {3, 2, 8, 0};
    for (int i = 0; i < (all ? 4 : 1); i++) {
        q->p.n_threads = threads[i];
        problem_run(q, SECOND);
        problem_compare(q, FIRST, SECOND);
    }
    q->p.n_threads = 1;
}

static void draw_operation(problem *q, rng *r, int64_t n) {
    q->operation = (operation)rng_int(r, SOFTMAX, OPERATIONS - 1);
    q->p.dtype = (xn_dtype)(n % XN_DTYPES);
}

/* Many small ones, for the combinations of options; then large enough for threads: both loop orders, one row
 * to a run, many, and none, segments of wide rows for the threads, rows in several segments each. */
static const struct {
    int64_t outer, classes, inner;
    int times;
} shapes[] = {
    {1, 1, 1, 4},      {0, 5, 1, 2},      {3, 7, 0, 2},      {37, 10, 1, 300},  {20, 130, 1, 200}, {3, 20, 25, 150},
    {3, 150, 12, 50},  {600, 1, 3, 2},    {5000, 10, 1, 6},  {700, 112, 1, 2},  {300, 113, 1, 2},  {150, 300, 1, 4},
    {40, 1000, 1, 4},  {9, 5000, 1, 2},   {2, 30, 900, 4},   {3, 200, 90, 4},   {1, 1000, 37, 2},  {40, 3, 400, 2},
    {2, 131072, 1, 2}, {1, 140001, 1, 2}, {1, 131073, 2, 1}, {17, 40000, 1, 1},
};

static void check_shapes(int times, rng *r) {
    static problem q;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int n = 0; n < times * shapes[i].times; n++) {
            q.p = (xn_problem){.outer = shapes[i].outer, .classes = shapes[i].classes, .inner = shapes[i].inner};
            draw_operation(&q, r, n);
            q.hostile = n % 4 == 3;
            problem_draw(&q, r);
            problem_run_all(&q, check_threads);
        }
}

/* A bad label of every type: it is found, the first one is named, and nothing is written. */
static void check_bad_labels(int times, rng *r) {
    static problem q;
    for (int n = 0; n < 40 * times; n++) {
        q.p = (xn_problem){.outer = 50 * rng_int(r, 1, 40), .classes = rng_int(r, 2, 120), .inner = rng_int(r, 1, 3)};
        draw_operation(&q, r, n);
        if (q.operation == BINARY) q.p.classes = 1;
        q.force_labels = 1;
        q.forced_type = (xn_int_type)(n % (XN_WHOLE_FLOAT64 + 1));
        problem_draw(&q, r);
        problem_spoil(&q, r);
        int64_t label;
        const int64_t row = problem_first_bad(&q, &label);
        for (int threads = 1; threads <= 8; threads *= 2) {
            q.p.n_threads = threads;
            const xn_status status = problem_call(&q);
            if (status != XN_BAD_LABEL) fail("status %d for a bad label", (int)status);
            if (q.p.bad_row != row || q.p.bad_label != label)
                fail("row %" PRId64 " with %" PRId64 ", not row %" PRId64 " with %" PRId64, q.p.bad_row, q.p.bad_label,
                     row, label);
            if (!problem_is_untouched(&q)) fail("something was written in spite of a bad label");
        }
        q.force_labels = 0;
    }
}

/* The sum of many jobs, which are larger than those of smaller problems. `p` is whole, its gradient not wanted. */
static void check_large_sum(xn_problem *p) {
    double sum = 0;
    p->grad.data = NULL;
    p->reduction = XN_SUM;
    for (int threads = 1; threads <= 4; threads++) {
        p->n_threads = threads;
        if (xn_softmax_ce(p) != XN_OK) fail("refused");
        if (threads == 1) sum = p->reduced;
        if (!same_bits(sum, p->reduced))
            fail("numbers of threads differ: %a with 1, %a with %d", sum, p->reduced, threads);
    }
}

/* Gradients larger than the cache go past it, and there are many tiles: the same bits as in small pieces. */
static void check_large(rng *r) {
    static field input, labels, grad[2];
    const struct {
        xn_dtype dtype;
        int64_t rows, classes, piece;
    } sizes[] = {{XN_FLOAT32, 4300, 1000, 300}, {XN_FLOAT64, 2150, 1001, 150}, {XN_FLOAT32, 140000, 31, 9000}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const int64_t rows = sizes[i].rows, classes = sizes[i].classes, size = (int64_t)dtype_size(sizes[i].dtype);
        const int64_t gap = rng_int(r, 0, 3), shape[3] = {rows, classes, 1}, step[3] = {classes + gap, 1, 0};
        describe("a large gradient: %" PRId64 " rows, %" PRId64 " classes, gap %" PRId64, rows, classes, gap);
        field_place(r, &input, (size_t)size, shape, step);
        field_place(r, &labels, 2, (const int64_t[3]){rows, 1, 1}, (const int64_t[3]){1, 1, 0});
        for (int64_t row = 0; row < rows; row++) {
            const uint16_t label = (uint16_t)rng_int(r, 0, classes - 1);
            memcpy(field_at(&labels, row, 0, 0), &label, sizeof label);
            for (int64_t c = 0; c < classes; c++) field_put(&input, sizes[i].dtype, row, c, 0, 20 * rng_unit(r));
        }
        xn_problem p;
        for (int whole = 0; whole < 2; whole++) {
            field_place(r, grad + whole, (size_t)size, shape, step);
            const int64_t piece = whole ? rows : sizes[i].piece;
            for (int64_t from = 0; from < rows; from += piece) {
                p = (xn_problem){.outer = from + piece < rows ? piece : rows - from, .classes = classes, .inner = 1};
                p.classes_last = 1;
                p.dtype = sizes[i].dtype;
                p.input = (xn_array){field_at(&input, from, 0, 0), step[0], 1, 0};
                p.grad = (xn_array){field_at(grad + whole, from, 0, 0), step[0], 1, 0};
                p.labels = (xn_labels){field_at(&labels, from, 0, 0), XN_UINT16, 1, 0};
                p.n_threads = 2;
                if (xn_softmax_ce(&p) != XN_OK) fail("refused");
            }
        }
        if (memcmp(grad[0].data, grad[1].data, grad[0].bytes) != 0) fail("in one call and in pieces are not the same");
        check_large_sum(&p);
    }
}

/* Rows, or classes, that stand more than 2^32 bytes apart, in memory of which few pages are ever touched. The gradient
 * takes the place of the input. */

enum { FAR_COUNT = 3, FAR_ROWS = 70, FAR_CLASSES = 9000 }; /* so many that each row is a tile */
static const int64_t far = (INT64_C(1) << 31) + 7;

static void compare_far(rng *r, float *memory, int along_classes) {
    static float near[FAR_COUNT * FAR_CLASSES];
    const int64_t rows = along_classes ? FAR_ROWS : FAR_COUNT, classes = along_classes ? FAR_COUNT : FAR_CLASSES;
    const int64_t row = along_classes ? 1 : far, cls = along_classes ? far : 1;
    int8_t label[FAR_ROWS];
    double loss[2][FAR_ROWS];
    describe("%s far apart", along_classes ? "classes" : "rows");
    for (int64_t i = 0; i < rows * classes; i++) {
        near[i] = (float)rng_normal(r);
        memory[i / classes * row + i % classes * cls] = near[i];
        label[i / classes] = (int8_t)rng_int(r, 0, FAR_COUNT - 1);
    }
    for (int is_near = 0; is_near < 2; is_near++) {
        xn_problem p = {.outer = rows, .classes = classes, .inner = 1, .classes_last = 1, .n_threads = 1};
        p.input = is_near ? (xn_array){near, classes, 1, 0} : (xn_array){memory, row, cls, 0};
        p.grad = p.input;
        p.loss = (xn_row_array){loss[is_near], XN_FLOAT64, 1, 0};
        p.labels = (xn_labels){label, XN_INT8, 1, 0};
        if (xn_softmax_ce(&p) != XN_OK) fail("refused");
    }
    if (memcmp(loss[0], loss[1], (size_t)rows * sizeof(double)) != 0) fail("other losses");
    for (int64_t i = 0; i < rows * classes; i++)
        if (near[i] != memory[i / classes * row + i % classes * cls]) fail("another gradient");
}

static void check_far_apart(rng *r) {
    const size_t bytes = (size_t)(far * FAR_COUNT) * sizeof(float);
    float *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        printf("no address space for rows that are far apart\n");
        return;
    }
    for (int along_classes = 0; along_classes < 2; along_classes++) compare_far(r, memory, along_classes);
    munmap(memory, bytes);
}

/* A long call asks, from the calling thread, and stops; a row of stride 0 makes it long without memory. */

static _Thread_local int is_caller;
static int asked, answer;

static int ask(void) {
    asked += is_caller ? 1 : -1000;
    return answer;
}

static void check_interrupted(void) {
    float row[256];
    double loss;
    const int8_t label = 3;
    for (int i = 0; i < 256; i++) row[i] = (float)i * 0.01f;
    is_caller = 1;
    for (int is_prob = 0; is_prob <= 1; is_prob++)
        for (answer = is_prob; answer <= 1; answer++) {
            xn_problem p = {.outer = 300000, .classes = 256, .inner = 1, .classes_last = 1};
            p.input = (xn_array){row, 0, 1, 0};
            p.interrupted = ask;
            p.labels = (xn_labels){&label, XN_INT8, 0, 0};
            p.epsilon = 1e-7;
            p.reduction = XN_MEAN;
            p.n_threads = 2;
            describe("a long call whose interrupted() says %d", answer);
            asked = 0;
            const xn_status status = is_prob ? xn_prob_ce(&p) : xn_softmax_ce(&p);
            if (status != (answer ? XN_INTERRUPTED : XN_OK)) fail("status %d", (int)status);
            if (asked < 1 || (answer && asked > 1)) fail("interrupted() was asked %d times", asked);
        }
    /* A short call has no time to ask. */
    xn_problem p = {.outer = 1, .classes = 256, .inner = 1, .input = {row, 0, 1, 0}, .interrupted = ask};
    p.loss = (xn_row_array){&loss, XN_FLOAT64, 0, 0};
    p.labels = (xn_labels){&label, XN_INT8, 0, 0};
    if (xn_softmax_ce(&p) != XN_OK) fail("a short call is interrupted");
}

static void refuse(xn_problem p, int is_prob, const char *what) {
    describe("%s", what);
    if (xn_softmax_ce(NULL) != XN_BAD_ARGUMENT) fail("NULL is accepted");
    const xn_status status = is_prob ? xn_prob_ce(&p) : xn_softmax_ce(&p);
    if (status != XN_BAD_ARGUMENT) fail("status %d", (int)status);
}

static void check_arguments(void) {
    float x[4] = {0}, out[4] = {0};
    const int32_t label = 0;
    const xn_array input = {x, 4, 1, 0}, output = {out, 4, 1, 0};
    xn_problem good = {.outer = 1, .classes = 4, .inner = 1, .input = input, .labels = {&label, XN_INT32, 1, 0}}, p;
    good.epsilon = 1e-7;
    if (xn_softmax_ce(&good) != XN_OK || xn_prob_ce(&good) != XN_OK) fail("a good problem is refused");
    /* Each spoils one thing of the good problem. */
#define REFUSE(is_prob, change, what) p = good, p.change, refuse(p, is_prob, what)
    REFUSE(0, outer = -1, "outer < 0");
    REFUSE(0, inner = -1, "inner < 0");
    REFUSE(0, classes = 0, "no classes");
    REFUSE(0, dtype = (xn_dtype)XN_DTYPES, "an unknown dtype");
    REFUSE(0, target = input, "labels and dense targets");
    REFUSE(0, input.data = NULL, "no input");
    REFUSE(0, input.data = (char *)x + 2, "a misaligned input");
    REFUSE(0, input.outer = INT64_MIN, "a stride beyond what addresses reach");
    REFUSE(0, outer = INT64_MAX, "a size beyond what addresses reach");
    REFUSE(0, classes = INT64_C(1) << 60, "more classes than addresses reach");
    REFUSE(0, reduction = (xn_reduction)4, "an unknown reduction");
    REFUSE(0, labels.type = (xn_int_type)10, "an unknown type of labels");
    REFUSE(0, shape = XN_FOCAL, "a shape that the operation does not have");
    REFUSE(0, label_smoothing = NAN, "a label smoothing of NaN");
    REFUSE(1, epsilon = 0.5, "an epsilon of 1/2");
    REFUSE(1, epsilon = NAN, "an epsilon of NaN");
    REFUSE(1, grad = ((xn_array){out, 4, 0, 0}), "a gradient with a stride of 0");
    REFUSE(1, loss = ((xn_row_array){out, XN_FLOAT16, 1, 0}), "a loss of a half type");
    REFUSE(1, labels.data = NULL, "probabilities without targets");
    REFUSE(0, hess_scale = -1, "hess_scale < 0");
    REFUSE(0, label_classes = 5, "more labels than classes");
    REFUSE(0, hess_scale = (double)INFINITY, "an infinite hess_scale");
    REFUSE(1, hess = output, "a Hessian from probabilities");
    REFUSE(1, prob = output, "probabilities from probabilities");
    REFUSE(1, log_prob = output, "log-probabilities from probabilities");
    REFUSE(1, lse.data = out, "a log-sum-exp from probabilities");
    good.as_given = 1;
    REFUSE(1, grad = output, "a gradient of probabilities as given");
    good.labels.data = NULL;
    REFUSE(0, grad = output, "a gradient without targets");
    REFUSE(0, hess = output, "a Hessian without targets");
#undef REFUSE
    for (int i = 0; i < 4; i++)
        if (out[i] != 0) fail("something was written in spite of a bad argument");
}

static void check_names(void) {
    static const char *const kernels[] = {
#define XN_KERNEL(name) #name,
#include "kernels.def"
#undef XN_KERNEL
        NULL};
    describe("names");
    for (int i = 0; i == 0 || kernels[i - 1]; i++) {
        const char *name = xn_kernel_name(i);
        if (!name != !kernels[i] || (name && strcmp(name, kernels[i]) != 0))
            fail("kernel %d is named %s", i, name ? name : "nothing");
    }
    if (xn_isa_name(-1) || xn_kernel_name(-1) || xn_isa_supported(-1) || xn_isa_supported(99))
        fail("names out of range");
    if (xn_set_isa("sse9") != XN_UNKNOWN_ISA) fail("an unknown instruction set is accepted");
    for (int i = 0; xn_isa_name(i); i++)
        if (!xn_isa_supported(i) && xn_set_isa(xn_isa_name(i)) != XN_UNSUPPORTED_ISA)
            fail("%s is accepted", xn_isa_name(i));
    for (int status = XN_OK; status <= XN_UNSUPPORTED_ISA; status++)
        if (strcmp(xn_status_text((xn_status)status), "unknown status") == 0) fail("status %d has no text", status);
    if (xn_max_threads() < 1 || (!xn_has_openmp() && xn_max_threads() != 1))
        fail("%d threads at most", xn_max_threads());
}

enum { MOST = 150 };

/* A row of logits, with options. */
static xn_problem draw_row_problem(rng *r, int64_t classes, double spread, double *x, double *weights,
                                   const int64_t *label, double *weight) {
    xn_problem p = {.outer = 1, .classes = classes, .inner = 1, .classes_last = 1, .dtype = XN_FLOAT64};
    for (int64_t c = 0; c < classes; c++) {
        x[c] = spread * rng_unit(r);
        weights[c] = 2 * rng_unit(r);
    }
    *weight = 2 * rng_unit(r) - 1;
    p.input = (xn_array){x, 0, 1, 0};
    p.labels = (xn_labels){label, XN_INT64, 0, 0};
    p.sample_weight = (xn_row_array){weight, XN_FLOAT64, 0, 0};
    p.class_weight = rng_chance(r, 50) ? weights : NULL;
    p.label_smoothing = rng_chance(r, 50) ? 0.3 * rng_unit(r) : 0;
    p.shape = rng_chance(r, 50) ? XN_FOCAL : XN_PLAIN;
    p.coefficient = 2;
    p.alpha = 1;
    p.hess_scale = (double)rng_int(r, 0, 2);
    p.n_threads = 1;
    return p;
}

/* A Hessian against -U w p_i p_j, where U w follows from the diagonal, which other tests hold against the truth. A p is
 * within 2e-13 of itself; the product has two of them, U w three and the diagonal, which has two. What is 1 - p of a
 * large p is not known here. */
static void compare_hessian(const double *x, int64_t n, const double *diagonal, const double *hess) {
    const long double bound = 8 * 2e-13L;
    long double p[MOST], sum = 0, max = -INFINITY;
    for (int64_t c = 0; c < n; c++) max = x[c] > max ? (long double)x[c] : max;
    for (int64_t c = 0; c < n; c++) sum += p[c] = expl((long double)x[c] - max);
    for (int64_t c = 0; c < n; c++) p[c] /= sum;
    for (int64_t i = 0; i < n; i++) {
        if (!same_bits(hess[i * n + i], diagonal[i])) fail("another diagonal at %" PRId64, i);
        for (int64_t j = 0; j < n; j++) {
            if (!same_bits(hess[i * n + j], hess[j * n + i])) fail("it is not symmetric");
            if (i == j || p[i] > 0.9L) continue;
            const long double value = -(long double)diagonal[i] / p[i] / (1 - p[i]) * p[i] * p[j];
            if (!(fabsl((long double)hess[i * n + j] - value) <= bound * fabsl(value)))
                fail("%" PRId64 ", %" PRId64 " is %g, not %Lg", i, j, hess[i * n + j], value);
        }
    }
}

static void check_full_hessian(int times, rng *r) {
    static double x[MOST], weights[MOST], prob[MOST], grad[MOST], diagonal[MOST], hess[MOST * MOST];
    for (int n = 0; n < 200 * times; n++) {
        const int64_t classes = rng_int(r, 1, n % 10 ? 12 : MOST), label = rng_int(r, 0, classes - 1);
        double weight;
        xn_problem p = draw_row_problem(r, classes, n % 7 ? 10 : 100, x, weights, &label, &weight), q = p;
        q.hess = (xn_array){diagonal, 0, 1, 0};
        p.grad = (xn_array){grad, 0, 1, 0};
        p.prob = (xn_array){prob, 0, 1, 0};
        describe("the Hessian of a row: %" PRId64 " classes, shape %d, smoothing %g", classes, (int)p.shape,
                 p.label_smoothing);
        const xn_status status = p.shape == XN_PLAIN ? xn_softmax_ce(&q) : xn_shaped_ce(&q);
        if (status != XN_OK || xn_softmax_hessian(&p, hess) != XN_OK) fail("it is refused");
        if (is_long_double_whole()) compare_hessian(x, classes, diagonal, hess);
        p.prob.data = NULL;
        if (xn_softmax_hessian(&p, hess) != XN_BAD_ARGUMENT) fail("a problem without prob is not refused");
        p.prob.data = prob;
        p.outer = 2;
        if (xn_softmax_hessian(&p, hess) != XN_BAD_ARGUMENT) fail("two rows are not refused");
    }
}

/* xn_collapse against its definition: element i of the dimensions in C order is at i * stride. */
static void check_collapse(int times, rng *r) {
    for (int n = 0; n < 20000 * times; n++) {
        int64_t shape[4], strides[4], size = -1, stride = -1, first = 0, count = 1, step = 1;
        const int dims = (int)rng_int(r, 0, 4);
        for (int i = dims - 1; i >= 0; i--) { /* mostly what C order has, times a factor */
            if (i == dims - 1) step = rng_int(r, -2, 3);
            shape[i] = rng_int(r, rng_chance(r, 10) ? 0 : 1, 4);
            strides[i] = rng_chance(r, 75) ? step : rng_int(r, -9, 9);
            step *= shape[i];
            count *= shape[i];
        }
        int possible = 1;
        for (int64_t at = 0; at < count; at++) {
            int64_t offset = 0, rest = at;
            for (int i = dims - 1; i >= 0; i--) {
                offset += rest % shape[i] * strides[i];
                rest /= shape[i];
            }
            if (at == 1) first = offset;
            possible &= offset == at * first;
        }
        describe("xn_collapse of %d dimensions: shape %" PRId64 " %" PRId64 ", strides %" PRId64 " %" PRId64, dims,
                 dims > 0 ? shape[0] : 0, dims > 1 ? shape[1] : 0, dims > 0 ? strides[0] : 0,
                 dims > 1 ? strides[1] : 0);
        if (xn_collapse(dims, shape, strides, &size, &stride) != possible) fail("should be %d", possible);
        if (possible && size != count) fail("size %" PRId64 ", not %" PRId64, size, count);
        if (possible && count > 1 && stride != first) fail("stride %" PRId64 ", not %" PRId64, stride, first);
    }
}

/* Probabilities as they are, in every layout, beside loops that are written down from xent.h. */

enum { GIVEN_ROWS = 200, GIVEN_CLASSES = 260 };

typedef struct {
    double loss, size; /* the sum, and what is added up */
    xn_seen seen;
} given;

static given expect_given(const xn_problem *p, const field *x, const field *u, const int16_t *label,
                          const double *weight) {
    given g = {0, 0, {INFINITY, -INFINITY, 0}};
    for (int64_t row = 0; row < p->outer; row++) {
        double sum = 0, loss = 0;
        for (int64_t c = 0; c < p->classes; c++) {
            const double q = field_get(x, p->dtype, row, c, 0), target = u ? field_get(u, p->dtype, row, c, 0) : 0;
            const double log_q = log(fmin(fmax(q, p->epsilon), 1 - p->epsilon));
            sum += q;
            g.seen.least = fmin(g.seen.least, q);
            g.seen.most = fmax(g.seen.most, q);
            loss -= u ? target * log_q : c == label[row] ? log_q : 0;
        }
        g.seen.off = isfinite(sum) ? fmax(g.seen.off, fabs(sum - 1)) : INFINITY;
        if (weight[row] != 0) g.loss += weight[row] * loss, g.size += fabs(weight[row] * loss);
    }
    return g;
}

/* The logarithm errs by 4 ulp, the terms of a row by half an ulp for each addition; sums of rows are in float64. */
static void compare_given(const xn_problem *p, const given *g) {
    const double ulp = p->target.data && p->dtype != XN_FLOAT64 ? 0x1p-23 : 0x1p-52;
    const double bound = (8 + (double)p->classes / 2) * ulp * g->size + (double)p->outer * 0x1p-52 * g->size;
    if (!(fabs(p->reduced - g->loss) <= bound) && isfinite(g->seen.off)) fail("%a, not %a", p->reduced, g->loss);
    if (p->seen.least != g->seen.least || p->seen.most != g->seen.most)
        fail("from %a to %a, not %a to %a", p->seen.least, p->seen.most, g->seen.least, g->seen.most);
    const double off = (double)p->classes * 0x1p-52;
    if (p->seen.off != g->seen.off && !(fabs(p->seen.off - g->seen.off) <= off))
        fail("off by %a, not %a", p->seen.off, g->seen.off);
}

static void check_as_given(int times, rng *r) {
    static field x, u;
    const char *best = xn_isa();
    static const double odd[] = {NAN, INFINITY, -0.25, 1.5, 0, 1};
    for (int n = 0; n < 300 * times; n++) {
        const int64_t rows = rng_int(r, 1, GIVEN_ROWS), classes = rng_int(r, 1, GIVEN_CLASSES);
        const int dense = rng_chance(r, 40), by_columns = rng_chance(r, 30);
        xn_problem p = {.outer = rows, .classes = classes, .inner = 1, .classes_last = 1, .as_given = 1};
        p.dtype = (xn_dtype)rng_int(r, 0, XN_DTYPES - 1);
        p.epsilon = p.dtype == XN_FLOAT64 ? 0x1p-52 : 0x1p-10;
        p.reduction = XN_SUM;
        const int64_t size[3] = {rows, classes, 1};
        const int64_t step[3] = {by_columns ? 1 : classes, by_columns ? rows : 1, 0};
        field_place(r, &x, dtype_size(p.dtype), size, step);
        field_place(r, &u, dtype_size(p.dtype), size, step);
        int16_t label[GIVEN_ROWS];
        double weight[GIVEN_ROWS];
        for (int64_t row = 0; row < rows; row++) {
            label[row] = (int16_t)rng_int(r, 0, classes - 1);
            weight[row] = rng_chance(r, 20) ? 0 : rng_unit(r);
            for (int64_t c = 0; c < classes; c++) {
                field_put(&x, p.dtype, row, c, 0, 2 * rng_unit(r) / (double)classes);
                field_put(&u, p.dtype, row, c, 0, rng_chance(r, 50) ? 0 : rng_unit(r));
            }
        }
        if (rng_chance(r, 50))
            field_put(&x, p.dtype, rng_int(r, 0, rows - 1), rng_int(r, 0, classes - 1), 0, odd[rng_int(r, 0, 5)]);
        p.input = (xn_array){field_at(&x, 0, 0, 0), step[0], step[1], 0};
        if (dense) p.target = (xn_array){field_at(&u, 0, 0, 0), step[0], step[1], 0};
        if (!dense) p.labels = (xn_labels){label, XN_INT16, 1, 0};
        p.sample_weight = (xn_row_array){weight, XN_FLOAT64, 1, 0};
        const given right = expect_given(&p, &x, dense ? &u : NULL, label, weight);
        for (int isa = 0; xn_isa_name(isa); isa++) {
            if (xn_set_isa(xn_isa_name(isa)) != XN_OK) continue;
            p.n_threads = 1 + isa;
            describe("probabilities as given: %" PRId64 " x %" PRId64 ", dtype %d, dense %d, by columns %d, %s", rows,
                     classes, (int)p.dtype, dense, by_columns, xn_isa_name(isa));
            if (xn_prob_ce(&p) != XN_OK) fail("refused");
            compare_given(&p, &right);
        }
        xn_set_isa(best);
    }
}

int main(int argc, char **argv) {
    const int times = argc > 1 ? atoi(argv[1]) : 1;
    rng r = rng_of(argc > 2 ? strtoull(argv[2], NULL, 0) : 20240501);
    printf("seed %" PRIu64 ", OpenMP %s, best instruction set %s\n", r.state, xn_has_openmp() ? "on" : "off", xn_isa());
    install_crash_handler();
    check_names();
    check_arguments();
    check_collapse(times, &r);
    check_as_given(times, &r);
    check_interrupted();
    check_large(&r);
    check_far_apart(&r);
    check_full_hessian(times, &r);
    check_bad_labels(times, &r);
    check_shapes(times, &r);
    return finish_tests("core");
}
