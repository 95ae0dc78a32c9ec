/* SPDX-License-Identifier: BSD-3-Clause */
/* Every kernel of every instruction set that this CPU runs, on random tiles between guard pages: against
 * the truth, against each other, and row by row.
 *
 *     xent_test_kernels [tiles per kernel, type and class count [seed]] */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binary.h"
#include "scores.h"
#include "specimen.h"

enum {
    MOST_ROWS = 70,
    TILE_ELEMENTS = 20000, /* bounds the time; a tile of the core has 32 KB */
    LANE_BYTES = 64,       /* rows shorter than one virtual vector never go to the rows kernels */
    MOST_SEGMENTS = 4,
    SPARE = MOST_ISAS - 1 /* where the results of a second run go: there is no more than AVX2 and AVX-512 to compare */
};

/* The tables that this CPU runs, best first. */
static const xn_kernel_table *tables[MOST_ISAS];
static const char *names[MOST_ISAS];
static int isas;

static void find_tables(void) {
    static const xn_kernel_table *const all[] = {
#ifdef XN_X86
        &xn_kernels_avx512, &xn_kernels_avx2,
#endif
        &xn_kernels_baseline};
    for (int i = 0; i < (int)(sizeof all / sizeof all[0]); i++) {
        if (strcmp(all[i]->isa, xn_isa_name(i)) != 0)
            fail("table %d is %s, but xn_isa_name says %s", i, all[i]->isa, xn_isa_name(i));
        if (!xn_isa_supported(i)) continue;
        names[isas] = all[i]->isa;
        tables[isas++] = all[i];
    }
    if (isas == 0) fail("this CPU runs no instruction set");
}

typedef struct {
    const char *name;
    size_t offset; /* in the table */
} kernel_id;

static xn_kernel *kernel_of(const xn_kernel_table *table, kernel_id id, xn_dtype dtype) {
    xn_kernel *all[XN_TYPES];
    memcpy(all, (const char *)table + id.offset, sizeof all);
    return all[dtype];
}

/* All ISAs with fused multiply-add have the same bits. */
static void compare_isas(const specimen *s) {
    for (int isa = 1; isa < isas; isa++)
        if (is_fused(names[isa])) specimen_compare(s, 0, isa, names[isa]);
}

/* A row's results depend on that row alone: one row of the tile again, without the others. */
static void check_alone(specimen *s, xn_kernel *kernel) {
    if (s->in_place >= 0) return;
    rng r = rng_of(s->seed);
    const int64_t row = rng_int(&r, 0, s->rows - 1), size = s->dtype == XN_FLOAT32 ? 4 : 8;
    specimen_prepare(s);
    specimen_describe(s, "best, one row alone");
    xn_tile tile = s->tile;
    tile.rows = 1;
    xn_plane *planes[] = {&tile.input, &tile.target, &tile.grad, &tile.hess, &tile.prob, &tile.log_prob};
    for (size_t i = 0; i < sizeof planes / sizeof planes[0]; i++)
        if (planes[i]->data) planes[i]->data = (char *)planes[i]->data + row * planes[i]->row * size;
    tile.weight += row;
    if (tile.label) tile.label += row;
    if (tile.loss) tile.loss += row;
    if (tile.lse) tile.lse += row;
    kernel(&tile);
    specimen_collect(s, SPARE);
    for (int output = 0; output < OUTPUTS; output++) {
        if (!specimen_wants(s, output)) continue;
        const int64_t width = output < PLANES ? s->classes : 1;
        const double *whole = s->result[0][output] + row * width, *alone = s->result[SPARE][output] + row * width;
        for (int64_t c = 0; c < width; c++)
            if (!same_bits(whole[c], alone[c])) {
                fail("row %" PRId64 " alone gives %a, not %a (output %d)", row, alone[c], whole[c], output);
                return;
            }
    }
}

static void run_tile(specimen *s, kernel_id id) {
    specimen_draw(s);
    for (int isa = 0; isa < isas; isa++) {
        specimen_prepare(s);
        specimen_describe(s, names[isa]);
        kernel_of(tables[isa], id, s->dtype)(&s->tile);
        specimen_collect(s, isa);
    }
    specimen_check(s, isas, names);
    compare_isas(s);
    check_alone(s, kernel_of(tables[0], id, s->dtype));
}

/* Class counts around the lanes, the groups and the blocks. */
static int64_t class_count(int index) {
    static const int64_t more[] = {127, 128, 129, 255, 256, 257, 511, 512, 513, 1000, 2047, 2048, 2049, 5000};
    if (index < MOST_ROWS) return index + 1;
    index -= MOST_ROWS;
    return index < (int)(sizeof more / sizeof more[0]) ? more[index] : 0;
}

typedef struct {
    int tiles;
    uint64_t seed;
    int64_t done;
} session;

static specimen shared; /* its memory serves all tiles */

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Tiles of one shape; for XN_SHAPE_FOCAL to `last`, of one of these. */
static void drive_shapes(session *at, kernel_id id, int is_prob, int is_rows, int first, int last) {
    rng r = rng_of(at->seed);
    for (int dtype = XN_FLOAT32; dtype <= XN_FLOAT64; dtype++)
        for (int index = 0; class_count(index); index++)
            for (int i = 0; i < at->tiles; i++) {
                const int64_t classes = class_count(index), size = dtype == XN_FLOAT32 ? 4 : 8;
                const int64_t most = MOST_ROWS;
                if (is_rows && classes * size < LANE_BYTES) continue;
                shared.kernel = id.name;
                shared.is_prob = is_prob;
                shared.shape = first == last ? first : (int)rng_int(&r, first, last);
                shared.dtype = (xn_dtype)dtype;
                shared.classes = classes;
                shared.rows = rng_int(&r, 1, least(most, TILE_ELEMENTS / classes + 1));
                shared.outputs = (unsigned)rng_int(&r, 1, (1 << OUTPUTS) - 1);
                shared.seed = rng_next(&r);
                run_tile(&shared, id);
                at->done++;
            }
}

static void drive_tiles(session *at, kernel_id id, int is_prob, int is_rows) {
    drive_shapes(at, id, is_prob, is_rows, XN_SHAPE_PLAIN, XN_SHAPE_PLAIN);
}

static void drive_softmax_ce_rows(session *at, kernel_id id) {
    drive_tiles(at, id, 0, 1);
}

static void drive_softmax_ce_cols(session *at, kernel_id id) {
    drive_tiles(at, id, 0, 0);
}

static void drive_prob_ce_rows(session *at, kernel_id id) {
    drive_tiles(at, id, 1, 1);
}

static void drive_prob_ce_cols(session *at, kernel_id id) {
    drive_tiles(at, id, 1, 0);
}

static void drive_binary(session *at, kernel_id id, int is_rows) {
    rng r = rng_of(at->seed);
    for (int dtype = XN_FLOAT32; dtype <= XN_FLOAT64; dtype++) {
        kernel_set k = {id.name, names, isas, {NULL}};
        for (int isa = 0; isa < isas; isa++) k.kernel[isa] = kernel_of(tables[isa], id, (xn_dtype)dtype);
        for (int index = 0; class_count(index); index++)
            for (int i = 0; i < at->tiles; i++) {
                const int64_t classes = class_count(index), most = rng_chance(&r, 20) ? XN_ROW_TILE : MOST_ROWS;
                if (is_rows && classes <= XN_FEW_CLASSES) continue;
                run_binary_tile(&k, (xn_dtype)dtype, rng_int(&r, 1, least(most, TILE_ELEMENTS / classes + 1)), classes,
                                rng_next(&r));
                at->done++;
            }
    }
}

static void drive_binary_ce_rows(session *at, kernel_id id) {
    drive_binary(at, id, 1);
}

static void drive_binary_ce_cols(session *at, kernel_id id) {
    drive_binary(at, id, 0);
}

static void drive_scores(session *at, kernel_id id, int is_rows) {
    rng r = rng_of(at->seed);
    for (int dtype = XN_FLOAT32; dtype < XN_DTYPES; dtype++) {
        kernel_set k = {id.name, names, isas, {NULL}};
        for (int isa = 0; isa < isas; isa++) k.kernel[isa] = kernel_of(tables[isa], id, (xn_dtype)dtype);
        for (int index = 0; class_count(index); index++)
            for (int i = 0; i < at->tiles; i++) {
                const int64_t classes = class_count(index);
                if (is_rows ? classes < 16 : classes > XN_FEW_CLASSES) continue;
                run_score_tile(&k, (xn_dtype)dtype, rng_int(&r, 1, least(MOST_ROWS, TILE_ELEMENTS / classes + 1)),
                               classes, rng_next(&r));
                at->done++;
            }
    }
}

static void drive_score_rows(session *at, kernel_id id) {
    drive_scores(at, id, 1);
    drive_scores(at, (kernel_id){"softmax_ce_rows", offsetof(xn_kernel_table, softmax_ce_rows)}, 1);
}

static void drive_score_cols(session *at, kernel_id id) {
    drive_scores(at, id, 0);
}

static void drive_shaped_ce_rows(session *at, kernel_id id) {
    drive_shapes(at, id, 0, 1, XN_SHAPE_FOCAL, XN_SHAPE_POLY1);
}

static void drive_shaped_ce_cols(session *at, kernel_id id) {
    drive_shapes(at, id, 0, 0, XN_SHAPE_FOCAL, XN_SHAPE_POLY1);
}

static void drive_shaped_prob_rows(session *at, kernel_id id) {
    drive_shapes(at, id, 1, 1, XN_SHAPE_FOCAL, XN_SHAPE_KL);
}

static void drive_shaped_prob_cols(session *at, kernel_id id) {
    drive_shapes(at, id, 1, 0, XN_SHAPE_FOCAL, XN_SHAPE_KL);
}

/* Wide rows: scan, merge and write belong together. */

static arena part_memory;

static int64_t segments_of(const specimen *s) {
    return (s->classes + XN_SEGMENT - 1) / XN_SEGMENT;
}

static void scan(specimen *s, const xn_kernel_table *k, xn_part *parts) {
    for (int64_t i = 0; i < segments_of(s); i++) {
        s->tile.part = parts + i;
        s->tile.from = i * XN_SEGMENT;
        s->tile.to = s->tile.from + XN_SEGMENT < s->classes ? s->tile.from + XN_SEGMENT : s->classes;
        k->softmax_ce_scan[s->dtype](&s->tile);
    }
    s->tile.part = parts;
}

static void write(specimen *s, const xn_kernel_table *k) {
    for (int64_t i = 0; i < segments_of(s); i++) {
        xn_tile tile = s->tile;
        tile.from = i * XN_SEGMENT;
        tile.to = tile.from + XN_SEGMENT < s->classes ? tile.from + XN_SEGMENT : s->classes;
        if (i > 0) tile.loss = tile.lse = NULL;
        k->softmax_ce_write[s->dtype](&tile);
    }
}

static void check_sum(const char *what, double got, long double want, long double size, const specimen *s) {
    /* Sums of C terms, each term and each of the up to 16 additions in the type rounded: see truth.c. */
    const long double unit = s->dtype == XN_FLOAT32 ? 0x1p-24L : 0x1p-53L;
    const long double bound = size * (24 * unit + (long double)s->classes * 0x1p-52L);
    if (!(fabsl((long double)got - want) <= bound)) fail("%s is %.17g, not %.20Lg", what, got, want);
}

/* A part against its definition in kernels.h. What `rest` is relative to is the kernels' own business: it is
 * checked through what becomes of it. Rows without a finite maximum have no meaningful sums. */
static void check_part(const specimen *s, const xn_part *part, int64_t from, int64_t to) {
    long double max = (long double)-INFINITY, mass = 0, dot = 0, size = 0;
    int64_t ties = 0;
    if (!is_long_double_whole()) return;
    for (int64_t c = from; c < to; c++) {
        if (isnan(s->x[c]) || (isinf(s->x[c]) && s->x[c] > 0)) return;
        ties = s->x[c] > max ? 1 : ties + (s->x[c] == max);
        max = s->x[c] > max ? s->x[c] : max;
    }
    if (isinf(max)) return;
    for (int64_t c = from; c < to; c++) {
        mass += s->u[c];
        if (s->u[c] == 0) continue;
        dot += s->u[c] * (max - s->x[c]);
        size += s->u[c] * (1 + fabsl(max - s->x[c]));
    }
    if ((long double)part->max != max) fail("max is %.17g, not %.17Lg", part->max, max);
    if (part->ties != (double)ties) fail("ties is %.17g, not %" PRId64, part->ties, ties);
    const int dense = s->kind == DENSE || s->smoothed;
    if (!dense || specimen_weight(s, 0) == 0 || fabsl(max) > 1e30L) return;
    check_sum("mass", part->mass, mass, mass, s);
    if (!isinf(dot)) check_sum("dot", part->dot, dot, size, s);
}

static void check_scanned(const specimen *s, const xn_part *parts) {
    for (int64_t i = 0; i < segments_of(s); i++) {
        const int64_t to = (i + 1) * XN_SEGMENT;
        check_part(s, parts + i, i * XN_SEGMENT, to < s->classes ? to : s->classes);
    }
}

static void check_merged(const specimen *s, const xn_part *part) {
    const int64_t label = specimen_label(s, 0);
    check_part(s, part, 0, s->classes);
    if (label >= 0 && !same_bits(part->at_label, (double)s->x[label])) fail("at_label is %.17g", part->at_label);
}

typedef enum { SCAN, MERGE, WRITE } stage;

static void run_wide(specimen *s, stage last) {
    xn_part *parts = NULL;
    const size_t bytes = (size_t)segments_of(s) * sizeof *parts;
    specimen_draw(s);
    for (int isa = 0; isa < isas; isa++) {
        specimen_prepare(s);
        specimen_describe(s, names[isa]);
        parts = (xn_part *)arena_place(&part_memory, bytes, s->seed & 1 ? AT_START : AT_END, 0);
        scan(s, tables[isa], parts);
        if (last == SCAN) check_scanned(s, parts);
        if (last == SCAN) continue;
        tables[isa]->softmax_ce_merge[s->dtype](&s->tile);
        if (last == MERGE) check_merged(s, parts);
        if (last == MERGE) continue;
        write(s, tables[isa]);
        specimen_collect(s, isa);
    }
    if (last != WRITE) return;
    specimen_check(s, isas, names);
    compare_isas(s);
    /* The same row in one piece: the same bits. */
    specimen_prepare(s);
    specimen_describe(s, names[0]);
    tables[0]->softmax_ce_rows[s->dtype](&s->tile);
    specimen_collect(s, SPARE);
    specimen_compare(s, 0, SPARE, "in segments and in one piece");
}

static void drive_wide(session *at, kernel_id id, stage last) {
    rng r = rng_of(at->seed);
    for (int dtype = XN_FLOAT32; dtype <= XN_FLOAT64; dtype++)
        for (int64_t around = 0; around <= (MOST_SEGMENTS - 1) * (int64_t)XN_SEGMENT; around += XN_SEGMENT)
            for (int64_t distance = -2; distance <= 2; distance++) {
                shared.kernel = id.name;
                shared.is_prob = 0;
                shared.shape = XN_SHAPE_PLAIN;
                shared.dtype = (xn_dtype)dtype;
                shared.rows = 1;
                shared.classes = around + (distance == -2  ? -rng_int(&r, 2, 40)
                                           : distance == 2 ? rng_int(&r, 2, 3000)
                                                           : distance);
                if (shared.classes < LANE_BYTES / 4) continue;
                for (int i = 0; i < (at->tiles + 3) / 4; i++) {
                    shared.outputs = (unsigned)rng_int(&r, 1, (1 << OUTPUTS) - 1);
                    shared.seed = rng_next(&r);
                    run_wide(&shared, last);
                    at->done++;
                }
            }
}

static void drive_softmax_ce_scan(session *at, kernel_id id) {
    drive_wide(at, id, SCAN);
}

static void drive_softmax_ce_merge(session *at, kernel_id id) {
    drive_wide(at, id, MERGE);
}

static void drive_softmax_ce_write(session *at, kernel_id id) {
    drive_wide(at, id, WRITE);
}

int main(int argc, char **argv) {
    /* A kernel without a drive_ function of its name does not compile. */
    static const struct {
        kernel_id id;
        void (*drive)(session *at, kernel_id id);
    } kernels[] = {
#define XN_KERNEL(name) {{#name, offsetof(xn_kernel_table, name)}, drive_##name},
#include "kernels.def"
#undef XN_KERNEL
    };
    session at = {argc > 1 ? atoi(argv[1]) : 8, argc > 2 ? strtoull(argv[2], NULL, 0) : 20240501, 0};
    install_crash_handler();
    find_tables();
    printf("seed %" PRIu64 ", instruction sets:", at.seed);
    for (int isa = 0; isa < isas; isa++) printf(" %s", names[isa]);
    printf("\n");
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        at.done = 0;
        kernels[i].drive(&at, kernels[i].id);
        printf("%s: %" PRId64 " tiles\n", kernels[i].id.name, at.done);
    }
    print_worst();
    return finish_tests("kernels");
}
