/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads through xent.h: callers that are in a parallel region themselves, teams that grow and shrink, many callers at
 * once, how often a long call asks whether it is interrupted, and the quotas of control groups.
 *
 *     xent_test_threads */
#define _DEFAULT_SOURCE 1
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "core/core.h"
#include "harness.h"

enum { ROWS = 3000, CLASSES = 40, CALLERS = 4 };

static float inputs[ROWS * CLASSES], expected[ROWS * CLASSES];
static double expected_loss;

/* A softmax cross-entropy that is large enough for threads. */
static xn_problem example(float *grad, int threads) {
    static const uint8_t label = 7;
    xn_problem p = {.outer = ROWS, .classes = CLASSES, .inner = 1, .classes_last = 1, .n_threads = threads};
    p.input = (xn_array){inputs, CLASSES, 1, 0};
    p.grad = (xn_array){grad, CLASSES, 1, 0};
    p.labels = (xn_labels){&label, XN_UINT8, 0, 0};
    p.reduction = XN_SUM;
    return p;
}

/* Whether a call has the bits that one thread gives. */
static int is_same(int threads) {
    float *grad = malloc(sizeof expected);
    xn_problem p = example(grad, threads);
    const int ok = xn_softmax_ce(&p) == XN_OK && memcmp(grad, expected, sizeof expected) == 0 &&
                   memcmp(&p.reduced, &expected_loss, sizeof expected_loss) == 0;
    free(grad);
    return ok;
}

static void make_example(void) {
    rng r = rng_of(5);
    for (int i = 0; i < ROWS * CLASSES; i++) inputs[i] = (float)rng_normal(&r);
    xn_problem p = example(expected, 1);
    if (xn_softmax_ce(&p) != XN_OK) fail("the example is refused");
    expected_loss = p.reduced;
}

/* The calling thread's team grows, shrinks and grows: whatever OpenMP keeps of it. */
static void check_sizes(void) {
    static const int sizes[] = {2, 8, 3, 3, 8, 1, 0, 1000000, 5, -1};
    for (int i = 0; i < (int)(sizeof sizes / sizeof sizes[0]); i++) {
        describe("%d threads", sizes[i]);
        if (!is_same(sizes[i])) fail("other bits than with one thread");
    }
}

static void *call_often(void *wrong) {
    for (int i = 0; i < 20; i++) *(int *)wrong += !is_same(i % 5);
    return NULL;
}

static void check_callers(void) {
    pthread_t thread[CALLERS];
    int wrong[CALLERS] = {0};
    describe("%d callers at once", CALLERS);
    for (int i = 0; i < CALLERS; i++)
        if (pthread_create(thread + i, NULL, call_often, wrong + i) != 0) fail("no thread");
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(thread[i], NULL);
        if (wrong[i]) fail("%d calls of caller %d have other bits", wrong[i], i);
    }
}

/* Callers that are in a parallel region, which leaves room for a second level of threads or does not. */
static void check_nested(void) {
#ifdef _OPENMP
    const int before = omp_get_max_active_levels();
    for (int levels = 1; levels <= 3; levels++) {
        int wrong = 0, most = 0;
        omp_set_max_active_levels(levels);
        describe("a caller in a parallel region, %d active levels at most", levels);
#pragma omp parallel num_threads(CALLERS) reduction(+ : wrong) reduction(max : most)
        {
            for (int i = 0; i < 10; i++) wrong += !is_same(i % 4);
            most = xn_threads(3);
        }
        if (wrong) fail("%d calls have other bits", wrong);
        if (most != (levels == 1 || !xn_has_openmp() ? 1 : 3)) fail("xn_threads(3) is %d", most);
    }
    omp_set_max_active_levels(0);
    describe("no active levels at all");
    if (!is_same(4) || xn_threads(4) != 1) fail("other bits, or %d threads", xn_threads(4));
    omp_set_max_active_levels(before);
#endif
}

/* How often a call asks, from the calling thread alone, and that it stops when it is told so. */

static _Thread_local int is_caller;
static int asked, stop_at;

static int ask(void) {
    asked += is_caller ? 1 : -1000000;
    return asked == stop_at;
}

typedef xn_status operation(xn_problem *);

/* The calls of a user that may take seconds: with how often they go over the elements of a long row. */
static const struct {
    const char *name;
    operation *call;
    int visits, dense, planes;
    xn_shape shape;
    xn_binary binary;
} kinds[] = {
    {"softmax_ce", xn_softmax_ce, 1, 0, 0, XN_PLAIN, {0}},
    {"softmax_ce, gradient", xn_softmax_ce, 2, 0, 1, XN_PLAIN, {0}},
    {"softmax_ce, dense, gradient", xn_softmax_ce, 2, 1, 1, XN_PLAIN, {0}},
    {"prob_ce", xn_prob_ce, 1, 0, 0, XN_PLAIN, {0}},
    {"prob_ce, dense, gradient", xn_prob_ce, 3, 1, 1, XN_PLAIN, {0}},
    {"shaped_ce", xn_shaped_ce, 2, 0, 0, XN_FOCAL, {0}},
    {"shaped_ce, dense, gradient", xn_shaped_ce, 3, 1, 1, XN_POLY1, {0}},
    {"shaped_prob, gradient", xn_shaped_prob, 3, 0, 1, XN_FOCAL, {0}},
    {"shaped_prob, KL, dense", xn_shaped_prob, 1, 1, 0, XN_KL, {0}},
    {"binary_ce, gradient", xn_binary_ce, 1, 1, 1, XN_PLAIN, {.from_probabilities = 0}},
    {"binary_ce, focal", xn_binary_ce, 1, 1, 0, XN_PLAIN, {.from_probabilities = 1, .focal = 1}},
};

/* Long rows, a strip of them, rows, and short ones. The input is one element, with strides of 0. */
static const struct {
    int64_t outer, classes, inner;
    int is_long; /* else a row is visited again while it is in the cache, which counts once */
} sizes[] = {
    {1, 1 << 21, 1, 1}, {3, 1 << 20, 1, 1}, {1, 1 << 15, 64, 1}, {1 << 14, 128, 1, 0}, {1 << 18, 8, 1, 0},
};

/* Elements that may pass without a question: what the caller does before it asks, and a piece of a job. */
static const int64_t MOST_UNASKED = (1 << 17) + (1 << 17);

/* Runs a kind and returns its status. Nobody looks at what the gradient holds. */
static xn_status run_kind(int kind, int size, int threads, xn_dtype dtype) {
    static uint64_t element, target;
    static double plane[3 << 20];
    static const uint8_t label = 0;
    xn_problem p = {.outer = sizes[size].outer, .classes = sizes[size].classes, .inner = sizes[size].inner};
    p.classes_last = p.inner == 1;
    p.dtype = dtype;
    p.n_threads = threads;
    p.interrupted = ask;
    p.epsilon = 1e-7;
    p.alpha = 1;
    p.coefficient = 1.5;
    p.shape = kinds[kind].shape;
    p.binary = kinds[kind].binary;
    p.reduction = XN_MEAN;
    p.input.data = &element;
    if (kinds[kind].dense) p.target.data = &target;
    if (!kinds[kind].dense) p.labels = (xn_labels){&label, XN_UINT8, 0, 0};
    if (kinds[kind].planes) p.grad = (xn_array){plane, p.classes * p.inner, p.inner, 1};
    asked = 0;
    return kinds[kind].call(&p);
}

/* On one thread, where the caller does everything. */
static void check_asks(int kind, int size, xn_dtype dtype) {
    const int64_t elements = sizes[size].outer * sizes[size].classes * sizes[size].inner;
    const int64_t least = (sizes[size].is_long ? kinds[kind].visits : 1) * elements / MOST_UNASKED;
    describe("%s of %" PRId64 " x %" PRId64 " x %" PRId64 ", dtype %d", kinds[kind].name, sizes[size].outer,
             sizes[size].classes, sizes[size].inner, (int)dtype);
    stop_at = -1;
    xn_status status = run_kind(kind, size, 1, dtype);
    const int all = asked;
    if (status != XN_OK) fail("status %d", (int)status);
    if (all < least) fail("asked %d times, not %" PRId64, all, least);
    const int stops[] = {1, all / 2, all - 1};
    for (int i = 0; i < 3; i++) {
        stop_at = stops[i];
        status = run_kind(kind, size, 1, dtype);
        if (status != XN_INTERRUPTED) fail("status %d when told to stop", (int)status);
        if (asked != stop_at) fail("asked %d times, and told to stop at %d", asked, stop_at);
    }
}

/* With other threads: only the caller asks, and all of them stop. */
static void check_team_asks(int kind, int size) {
    if (kinds[kind].planes) return;
    describe("%s on two threads, size %d", kinds[kind].name, size);
    stop_at = 1;
    const xn_status status = run_kind(kind, size, 2, XN_FLOAT32);
    if (asked < 0) fail("asked from another thread");
    if (status != (asked ? XN_INTERRUPTED : XN_OK)) fail("status %d, asked %d times", (int)status, asked);
}

/* One of two long jobs goes on until it is stopped, when the caller has nothing left to do: it asks all the same. */

static atomic_int begun;

static void lopsided(void *context, int64_t job, xn_worker *worker) {
    (void)context, (void)job;
    const int mine = xn_worker_thread(worker) == 0;
    if (!mine) atomic_store(&begun, 1);
    for (int i = 0; i < 20000; i++) { /* at most: a wrong library shall not hang */
        if (mine ? atomic_load(&begun) : xn_worker_stops(worker, 1)) return;
        usleep(1000);
    }
}

static void check_waiting(void) {
    describe("a caller that waits for a long job of another thread");
    if (xn_threads(2) < 2) return;
    stop_at = 1;
    asked = 0;
    atomic_store(&begun, 0);
    const xn_work all = {2, 1 << 24, 2, ask};
    const xn_status status = xn_run_jobs(all, lopsided, NULL);
    if (!atomic_load(&begun) || status != XN_INTERRUPTED || asked != 1)
        fail("status %d, asked %d times", (int)status, asked);
}

static void check_interrupted(void) {
    is_caller = 1;
    for (int kind = 0; kind < (int)(sizeof kinds / sizeof kinds[0]); kind++)
        for (int size = 0; size < (int)(sizeof sizes / sizeof sizes[0]); size++) {
            check_asks(kind, size, kind % 2 ? XN_FLOAT32 : XN_FLOAT16);
            check_team_asks(kind, size);
        }
    check_waiting();
    stop_at = 1;
    describe("labels of many rows");
    static const int8_t labels[1] = {1};
    xn_problem p = {.outer = 1 << 24, .classes = 2, .inner = 1, .classes_last = 1, .n_threads = 1, .interrupted = ask};
    p.input.data = inputs;
    p.labels = (xn_labels){labels, XN_INT8, 0, 0};
    float *loss = malloc(((size_t)1 << 24) * sizeof *loss);
    loss[0] = -7;
    p.loss = (xn_row_array){loss, XN_FLOAT32, 1, 0};
    asked = 0;
    if (xn_softmax_ce(&p) != XN_INTERRUPTED || asked != 1 || loss[0] != -7)
        fail("not stopped while the labels are checked");
    free(loss);
}

/* Quotas: each case is a tree of files, and the CPUs that they allow. */

#define V2_MOUNT "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup rw,nsdelegate\n"
#define V1_MOUNT "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
#define MOUNTS "/proc/self/mountinfo"
#define GROUPS "/proc/self/cgroup"
#define CPU "/sys/fs/cgroup/cpu,cpuacct"

static const struct {
    const char *name;
    int cpus;
    const char *files[12]; /* a path and what the file holds, in turn */
} trees[] = {
    {"nothing", 0, {NULL}},
    {"no mounts", 0, {GROUPS, "0::/\n"}},
    {"version 2", 3, {MOUNTS, V2_MOUNT, GROUPS, "0::/a/b\n", "/sys/fs/cgroup/a/b/cpu.max", "250000 100000\n"}},
    {"no limit", 0, {MOUNTS, V2_MOUNT, GROUPS, "0::/a\n", "/sys/fs/cgroup/a/cpu.max", "max 100000\n"}},
    {"a group above has less",
     2,
     {MOUNTS, V2_MOUNT, GROUPS, "0::/a/b/c\n", "/sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n",
      "/sys/fs/cgroup/a/b/cpu.max", "max 100000\n", "/sys/fs/cgroup/a/cpu.max", "200000 100000\n"}},
    {"of the namespace's root", 1, {MOUNTS, V2_MOUNT, GROUPS, "0::/\n", "/sys/fs/cgroup/cpu.max", "50000 100000\n"}},
    {"another process's group is not ours",
     0,
     {MOUNTS, V2_MOUNT, GROUPS, "0::/ab\n", "/sys/fs/cgroup/a/cpu.max", "100000 100000\n"}},
    {"version 1",
     2,
     {MOUNTS, V1_MOUNT, GROUPS, "4:memory:/x\n3:cpu,cpuacct:/docker/1\n", CPU "/docker/1/cpu.cfs_quota_us", "150000\n",
      CPU "/docker/1/cpu.cfs_period_us", "100000\n"}},
    {"version 1, no limit",
     0,
     {MOUNTS, V1_MOUNT, GROUPS, "3:cpu,cpuacct:/\n", CPU "/cpu.cfs_quota_us", "-1\n", CPU "/cpu.cfs_period_us",
      "100000\n"}},
    {"a container without a namespace: its group is what is mounted",
     4,
     {MOUNTS, "9 8 0:1 /docker/1 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", GROUPS, "3:cpu:/docker/1\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"}},
    {"a group below the one that is mounted",
     2,
     {MOUNTS, "9 8 0:1 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup rw\n", GROUPS, "0::/docker/1/in\n",
      "/sys/fs/cgroup/in/cpu.max", "150000 100000\n", "/sys/fs/cgroup/cpu.max", "900000 100000\n"}},
    {"a group whose name begins like the mounted one",
     5,
     {MOUNTS, "9 8 0:1 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup rw\n", GROUPS, "0::/docker/12\n",
      "/sys/fs/cgroup2/cpu.max", "100000 100000\n", "/sys/fs/cgroup/cpu.max", "500000 100000\n"}},
    {"outside of the namespace",
     6,
     {MOUNTS, V2_MOUNT, GROUPS, "0::/../other\n", "/sys/fs/cgroup/cpu.max", "600000 100000\n", "/sys/fs/other/cpu.max",
      "100000 100000\n"}},
    {"another mount point, with a blank",
     2,
     {MOUNTS, "9 8 0:1 / /mnt/c\\040g rw - cgroup2 none rw\n", GROUPS, "0::/a\n", "/mnt/c g/a/cpu.max",
      "200000 100000\n"}},
    {"both versions: the smaller one holds",
     2,
     {MOUNTS, V1_MOUNT "38 31 0:9 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", GROUPS,
      "1:cpu,cpuacct:/a\n0::/b\n", CPU "/a/cpu.cfs_quota_us", "700000\n", CPU "/a/cpu.cfs_period_us", "100000\n",
      "/sys/fs/cgroup/unified/b/cpu.max", "200000 100000\n"}},
    {"cpuset and cpuacct are not cpu",
     0,
     {MOUNTS, "9 8 0:1 / /sys/fs/cgroup/x rw - cgroup cgroup rw,cpuset,cpuacct\n", GROUPS, "3:cpuset,cpuacct:/\n",
      "/sys/fs/cgroup/x/cpu.cfs_quota_us", "100000\n", "/sys/fs/cgroup/x/cpu.cfs_period_us", "100000\n"}},
    {"nonsense in the files",
     0,
     {MOUNTS, "\n - \nx - cgroup2\n1 2 3 - cgroup2 a b\n" V2_MOUNT, GROUPS, "\n:\n0:\nx\n0::/a\n",
      "/sys/fs/cgroup/a/cpu.max", "-5 0\n", "/sys/fs/cgroup/cpu.max", "99999999999999999999999 x\n"}},
    {"huge numbers",
     1 << 20,
     {MOUNTS, V2_MOUNT, GROUPS, "0::/\n", "/sys/fs/cgroup/cpu.max", "9223372036854775807 1\n"}},
    {"a file that does not end in a newline", 1, {MOUNTS, V2_MOUNT, GROUPS, "0::/", "/sys/fs/cgroup/cpu.max", "1 1"}},
};

static void write_file(const char *root, const char *path, const char *text) {
    char full[1024];
    const int length = snprintf(full, sizeof full, "%s%s", root, path);
    for (int i = (int)strlen(root) + 1; i < length; i++) {
        if (full[i] != '/') continue;
        full[i] = 0;
        mkdir(full, 0700);
        full[i] = '/';
    }
    FILE *file = fopen(full, "w");
    if (!file) {
        fail("cannot write %s", full);
        return;
    }
    fputs(text, file);
    fclose(file);
}

/* Lines longer than any buffer, before and in place of those that count. */
static void check_long_lines(const char *root) {
    char *text = malloc(200000);
    memset(text, 'x', 100000);
    strcpy(text + 100000, " - cgroup2 cgroup rw\n" V2_MOUNT);
    write_file(root, MOUNTS, text);
    memset(text, '/', 100000);
    memcpy(text, "0::", 3);
    strcpy(text + 100000, "\n0::/a\n");
    write_file(root, GROUPS, text);
    write_file(root, "/sys/fs/cgroup/a/cpu.max", "200000 100000\n");
    describe("long lines");
    if (xn_read_quota(root) != 2) fail("%d CPUs", xn_read_quota(root));
    memset(text, 'r', 190000);
    text[190000] = 0;
    if (xn_read_quota(text) != 0) fail("a root that is too long is read");
    free(text);
}

static void check_quota(void) {
#ifdef __linux__
    char folder[] = "/tmp/xent_quota_XXXXXX", root[64], command[96];
    if (!mkdtemp(folder)) {
        fail("no temporary folder");
        return;
    }
    for (int i = 0; i < (int)(sizeof trees / sizeof trees[0]); i++) {
        describe("quota: %s", trees[i].name);
        snprintf(root, sizeof root, "%s/%d", folder, i);
        mkdir(root, 0700);
        for (int k = 0; trees[i].files[k]; k += 2) write_file(root, trees[i].files[k], trees[i].files[k + 1]);
        const int cpus = xn_read_quota(root);
        if (cpus != trees[i].cpus) fail("%d CPUs, not %d", cpus, trees[i].cpus);
    }
    snprintf(root, sizeof root, "%s/long", folder);
    mkdir(root, 0700);
    check_long_lines(root);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0) fail("%s", command);
#endif
}

int main(void) {
    xn_init();
    install_crash_handler();
    make_example();
    check_sizes();
    check_callers();
    check_nested();
    check_interrupted();
    check_quota();
    return finish_tests("threads");
}
