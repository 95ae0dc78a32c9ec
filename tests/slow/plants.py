# SPDX-License-Identifier: BSD-3-Clause
"""Bugs to plant, one of every kind that the tests are there to find: planted.py patches them in."""

from __future__ import annotations

from dataclasses import dataclass

# Who has to find a bug: planted.py says how each is built and run.
C_TESTS, ADDRESSES, THREADS, MEMORY, FUZZER, PYTEST = (
    "C tests",
    "ASan and UBSan",
    "TSan and Archer",
    "valgrind",
    "libFuzzer",
    "pytest",
)


@dataclass(frozen=True)
class Plant:
    """A bug: texts of source files are replaced, and a test has to fail with a message that shows why."""

    kind: str
    finder: str
    test: str  # a C test, a fuzzer, or arguments of pytest
    message: str  # a regular expression
    changes: tuple[tuple[str, str, str], ...]  # file or pattern, text that is there once, its replacement


def plant(kind: str, finder: str, test: str, message: str, *changes: tuple[str, str, str]) -> Plant:
    return Plant(kind, finder, test, message, changes)


LABELS, ROWS, REDUCE, STATUS, TILES = (
    f"src/core/{name}.c" for name in ("labels", "rows", "reduce", "status", "tiles")
)
LANES, SOFTMAX, STORAGE = (f"src/kernels/{name}.h" for name in ("lanes", "softmax_ce", "storage"))
CORE, KERNELS, CALLERS = "xent_test_core", "xent_test_kernels", "xent_test_callers"
GUARD_PAGE = "against a guard page"

PLANTS = (
    # What is computed, and what is written.
    plant(
        "half-written output on a bad label",
        C_TESTS,
        CORE,
        "something was written in spite of a bad label",
        (
            ROWS,
            "if (labels != XN_OK) return labels;",
            "if (labels != XN_OK && p->grad.data) *(char *)p->grad.data = 0;\n    if (labels != XN_OK) return labels;",
        ),
    ),
    plant(
        "label one beyond the last class accepted",
        C_TESTS,
        CORE,
        "for a bad label",
        (LABELS, "((uint64_t)label[i] >= classes);", "((uint64_t)label[i] > classes);"),
    ),
    plant(
        "sums that depend on the number of threads",
        C_TESTS,
        CORE,
        "numbers of threads differ",
        (ROWS, "p->outer * p->inner / JOBS *", "p->outer * p->inner / (JOBS << p->n_threads) *"),
        (REDUCE, "return isfinite(plain) ? sum + error : plain;", "return error == 1 ? sum : plain;"),
    ),
    plant(
        "offset of 32 bits",
        C_TESTS,
        CORE,
        "far apart",
        (
            ROWS,
            "return span.outer * outer_stride + span.inner * inner_stride;",
            "return (int)(span.outer * outer_stride + span.inner * inner_stride);",
        ),
    ),
    plant(
        "signals that are never looked at",
        C_TESTS,
        CORE,
        r"interrupted\(\)",
        (TILES, "if (c->work->interrupted())", "if (0)"),
    ),
    plant(
        "NaN dropped by a maximum",
        C_TESTS,
        KERNELS,
        "not nan|is .*, not -?nan",
        (
            SOFTMAX,
            "const real value = i < skip ? -INFINITY : logit[i];",
            "const real value = i < skip || logit[i] != logit[i] ? -INFINITY : logit[i];",
        ),
    ),
    plant(
        "0 times -inf in a dot product",
        C_TESTS,
        KERNELS,
        "nan, not",
        (SOFTMAX, "(double)(target == 0 ? 0 : half)", "(double)half"),
    ),
    plant(
        "wrong digit in a coefficient of exp",
        C_TESTS,
        KERNELS,
        r"bound .*e-",
        ("src/kernels/vmath.h", "0x1.120b6ep-7f", "0x1.1a0b6ep-7f"),
    ),
    plant(
        "bits of one instruction set differ",
        C_TESTS,
        KERNELS,
        "avx2: .* differ at element",
        (
            LANES,
            "    return (four[0] + four[2]) + (four[1] + four[3]);",
            "#ifdef __AVX512F__\n    return (four[0] + four[1]) + (four[2] + four[3]);\n#endif\n"
            "    return (four[0] + four[2]) + (four[1] + four[3]);",
        ),
    ),
    # Memory.
    plant(
        "read of one vector past a row's end",
        C_TESTS,
        KERNELS,
        GUARD_PAGE,
        (
            LANES,
            "if (j < n) XN_T(raise_lanes)(most, x + n - XN_LANES, (ireal)(XN_LANES - (n - j)));",
            "if (j < n) XN_T(raise_lanes)(most, x + j, 0);",
        ),
    ),
    plant(
        "write past a row's end",
        C_TESTS,
        KERNELS,
        f"stray|outside|{GUARD_PAGE}",
        (
            STORAGE,
            "memcpy(to, from, (size_t)n * sizeof *to);",
            "memcpy(to, from, (size_t)(n + 1) * sizeof *to);",
        ),
    ),
    plant(
        "write past an array on the stack",
        ADDRESSES,
        CORE,
        "AddressSanitizer: (dynamic-)?stack-buffer-overflow",
        (LABELS, "weight[i] = 1;", "weight[i + 1] = 1;"),
    ),
    plant(
        "write past an allocated array",
        ADDRESSES,
        CORE,
        "AddressSanitizer: heap-buffer-overflow",
        (
            ROWS,
            "malloc((size_t)c.plan.jobs * sizeof(double))",
            "malloc((size_t)(c.plan.jobs - 1) * sizeof(double))",
        ),
    ),
    plant(
        "use after free",
        ADDRESSES,
        CALLERS,
        "AddressSanitizer: heap-use-after-free",
        (
            "src/core/softmax_ce.c",
            "p->reduced = divisor == 0 || p->without_loss || status != XN_OK ? 0 : xn_sum(losses, rows) / divisor;\n"
            "    free(losses);",
            "free(losses);\n"
            "    p->reduced = divisor == 0 || p->without_loss || status != XN_OK ? 0 : xn_sum(losses, rows) / divisor;",
        ),
    ),
    plant(
        "labels read past their end",
        ADDRESSES,
        CORE,
        f"AddressSanitizer|{GUARD_PAGE}",
        (
            LABELS,
            "for (int64_t i = 0; i < rows; i++) label[i] = (int64_t)from[i];        \\",
            "for (int64_t i = 0; i <= rows; i++) label[i] = (int64_t)from[i];        \\",
        ),
    ),
    plant(
        "leak",
        ADDRESSES,
        CORE,
        "LeakSanitizer: detected memory leaks",
        (ROWS, "    free(c.scratch);\n    free(many);", "    free(c.scratch);"),
    ),
    plant(
        "leak",
        MEMORY,
        CALLERS,
        "definitely lost",
        (ROWS, "    free(c.scratch);\n    free(many);", "    free(many);"),
    ),
    plant(
        "use of memory that was never set",
        MEMORY,
        CALLERS,
        "depends on uninitialised value|Use of uninitialised value",
        (LABELS, "    memset(c.results, 0, (size_t)c.plan.jobs * sizeof(checked));\n", ""),
    ),
    plant(
        "result that was never set",
        MEMORY,
        CALLERS,
        "uninitialised",
        (ROWS, "    c->sums[job] = sum;", "    if (job > 0) c->sums[job] = sum;"),
    ),
    # Undefined behaviour.
    plant(
        "overflow of a signed integer",
        ADDRESSES,
        CORE,
        "runtime error: signed integer overflow",
        (LABELS, "(int64_t)((uint64_t)last - (uint64_t)label)", "(last - label)"),
    ),
    plant(
        "shift by the width of a type",
        ADDRESSES,
        CORE,
        "runtime error: shift exponent 64",
        (LABELS, "(uint64_t)label)) >> 63);", "(uint64_t)label)) >> (last < 0 ? 63 : 64));"),
    ),
    plant(
        "misaligned access",
        ADDRESSES,
        CORE,
        "runtime error: .* misaligned address",
        (
            REDUCE,
            "double *to = (double *)array->data + offset;",
            "double *to = (double *)((char *)array->data + 4);",
        ),
    ),
    plant(
        "index out of bounds",
        ADDRESSES,
        CORE,
        "runtime error: (index 4 out of bounds|load of address .* with insufficient space)",
        (REDUCE, "for (int lane = 0; lane < 4; lane++)", "for (int lane = 0; lane <= 4; lane++)"),
    ),
    # Threads.
    plant(
        "sum that all threads write",
        THREADS,
        CALLERS,
        "WARNING: ThreadSanitizer: data race",
        (ROWS, "    c->sums[job] = sum;", "    c->sums[0] += sum;"),
    ),
    plant(
        "scratch that all threads share",
        THREADS,
        CALLERS,
        "WARNING: ThreadSanitizer: data race",
        (
            ROWS,
            "        tile.scratch_bytes = c->scratch_bytes;",
            "        tile.scratch = c->scratch;\n        tile.scratch_bytes = c->scratch_bytes;",
        ),
    ),
    plant(
        "variable of the process that is not atomic",
        THREADS,
        CALLERS,
        "WARNING: ThreadSanitizer: data race",
        (
            "src/core/dispatch.c",
            "static _Atomic(const xn_kernel_table *) chosen;",
            "static const xn_kernel_table *chosen;\n#undef atomic_load_explicit\n#undef atomic_store_explicit\n"
            "#undef atomic_compare_exchange_strong\n#define atomic_load_explicit(at, order) (*(at))\n"
            "#define atomic_store_explicit(at, value, order) (*(at) = (value))\n"
            "#define atomic_compare_exchange_strong(at, old, value) ((void)(old), *(at) = (value))",
        ),
    ),
    # The CPU and the process.
    plant(
        "kernels that the CPU does not have",
        MEMORY,
        CALLERS,
        "[Uu]nrecognised instruction|SIGILL|unhandled instruction",
        ("src/core/cpu.c", "if (v4) return", "if (v3) return"),
    ),
    plant(
        "lost guard of forked children",
        C_TESTS,
        CALLERS,
        "ended by signal 14",
        ("src/core/*.c", "    forked = 1;\n", ""),
    ),
    plant(
        "one more exported symbol",
        PYTEST,
        "tests/test_native.py -k test_module",
        "FAILED .*exports_its_init_function_alone",
        (
            STATUS,
            "const char *xn_status_text(",
            '__attribute__((visibility("default"))) const char *xn_status_text(',
        ),
    ),
    plant(
        "symbol of libm without a version",
        PYTEST,
        "tests/test_native.py -k test_module",
        "FAILED .*needs_versioned_symbols_alone",
        ("CMakeLists.txt", "    target_link_libraries(${name} PUBLIC m)\n", "    # m\n"),
        (
            REDUCE,
            "return isfinite(plain) ? sum + error : plain;",
            "return isfinite(plain) ? sum + expm1(error) : plain;",
        ),
    ),
    plant(
        "function that runs when the module is loaded",
        PYTEST,
        "tests/test_native.py -k test_module",
        "FAILED .*runs_nothing_when_it_is_loaded",
        (
            STATUS,
            "const char *xn_status_text(",
            "__attribute__((constructor)) static void early(void) {\n}\n\nconst char *xn_status_text(",
        ),
    ),
    plant(
        "subnormals switched off by a linker flag",
        PYTEST,
        "tests/test_subnormals.py",
        "FAILED .*test_subnormals",
        (
            "CMakeLists.txt",
            "  target_link_libraries(_core PRIVATE xent_core)",
            "  target_link_libraries(_core PRIVATE xent_core -ffast-math)",
        ),
    ),
    plant(
        "overlap that is not refused",
        PYTEST,
        "tests/test_buffers.py -k overlap",
        "FAILED .*overlap",
        ("xent_native/_problem.py", "        if overlap:\n", "        if overlap is None:\n"),
    ),
    plant(
        "a gradient that is wrong for probabilities below 1e-30 alone",
        FUZZER,
        "xent_fuzz_prob",
        "FAIL: .* grad of row",
        (
            "src/kernels/prob_ce.h",
            "u != 0 ? u / p : 0;",
            "u != 0 ? u / (p < (real)1e-30 ? (real)1e-30 : p) : 0;",
        ),
    ),
    plant(
        "uint16 labels beyond 32,767 taken for negative ones",
        FUZZER,
        "xent_fuzz_labels",
        "FAIL: ",
        (LABELS, "case XN_UINT16: DO(uint16_t)", "case XN_UINT16: DO(int16_t)"),
    ),
    plant(
        "a negative probability beside NaN that is not told",
        FUZZER,
        "xent_fuzz_score",
        "FAIL: row .*: rank -1, not -2",
        ("src/core/score.c", " && scores.rank[i] != XN_NEGATIVE", ""),
    ),
    plant(
        "a book that takes weights of 0",
        FUZZER,
        "xent_fuzz_books",
        "FAIL: what makes no sense is entered",
        ("src/core/tally.c", "!(e->weight[i] > 0 &&", "!(e->weight[i] >= 0 &&"),
    ),
)
