# SPDX-License-Identifier: BSD-3-Clause
"""What is promised, line by line, and the tests that hold it: docs/reliability.md is made of this.

A test is named as pytest has it, a script of tests/slow by its file. A module without a function stands for all of its
tests.
"""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    """One promise."""

    says: str
    tests: tuple[str, ...]


EDGES = "test_edge_cases.py::"
TABLES = "test_table_sources.py::"
CONTRACT: dict[str, list[Line]] = {
    "Edge cases": [
        Line(
            "A label outside of [0, C) that is not ignored: IndexError with the first such row and its value; "
            "nothing is written; the same in every function that takes labels",
            (
                f"{EDGES}test_label_out_of_range",
                "test_labels.py",
                "test_big.py::test_a_bad_label_beyond_two_to_the_31",
            ),
        ),
        Line(
            "float or bool labels, objects, complex numbers, masks, sparse matrices, None: TypeError that names the "
            "argument",
            (
                f"{EDGES}test_no_numbers",
                f"{EDGES}test_labels_that_are_no_integers",
                "test_errors.py::test_no_numbers",
            ),
        ),
        Line(
            "Shapes that do not fit, no classes, a bad axis, an unknown reduction: ValueError with both shapes",
            (
                f"{EDGES}test_shapes_axes_and_reductions",
                "test_errors.py::test_shapes_of_targets",
                "test_errors.py::test_shapes_of_labels",
                "test_errors.py::test_shapes_of_weights",
                "test_errors.py::test_axis",
            ),
        ),
        Line(
            "No rows: an empty array, 0.0 as sum and mean; a mean of NaN in xent_native.torch",
            (f"{EDGES}test_no_rows",),
        ),
        Line(
            "Every row ignored, or weights that sum to 0: a mean of 0.0; of NaN in xent_native.torch",
            (f"{EDGES}test_nothing_counts", f"{EDGES}test_weights_of_classes_sum_to_nothing_in_torch"),
        ),
        Line(
            "A logit of -inf at another class: contributes nothing, its gradient is exactly 0; and a target of 0 there "
            "counts as 0",
            (f"{EDGES}test_minus_infinity_at_another_class", f"{EDGES}test_a_weight_of_0_at_minus_infinity"),
        ),
        Line(
            "A logit of -inf at the target: a loss of inf, a finite gradient; of binary losses, an infinite logit on "
            "either side",
            (
                f"{EDGES}test_minus_infinity_at_the_target",
                f"{EDGES}test_an_infinite_logit_that_is_right",
                f"{EDGES}test_an_infinite_logit_that_is_wrong",
            ),
        ),
        Line(
            "NaN or inf, or a row of -inf alone: NaN in that row, its neighbours have the bits that they had",
            (
                f"{EDGES}test_a_bad_row_is_nan_and_alone",
                f"{EDGES}test_a_row_without_a_sum_is_nan_and_alone",
                f"{EDGES}test_nan_stays_in_its_element",
                "test_extreme_values.py",
            ),
        ),
        Line(
            "Logits of 3e38: exact where the type can hold it, else inf; no NaN",
            (
                f"{EDGES}test_huge_logits",
                f"{EDGES}test_huge_logits_of_activations",
                f"{EDGES}test_huge_logits_of_binary_losses",
            ),
        ),
        Line(
            "One class: loss 0 and gradient 0 from logits",
            (f"{EDGES}test_one_class", f"{EDGES}test_one_class_from_probabilities"),
        ),
        Line(
            "A buffer of the wrong shape or dtype, read-only or overlapping: ValueError before anything is written",
            (f"{EDGES}test_buffers_that_do_not_fit", f"{EDGES}test_overlapping_buffers", "test_buffers.py"),
        ),
        Line(
            "More than 2^31 elements, rows or classes; strides beyond 2^32 bytes",
            ("test_big.py", "slow/big.py"),
        ),
    ],
    "Input": [
        Line(
            "Predictions, targets, labels, weights and buffers in any layout, alignment and byte order, "
            "read-only, mapped, repeated, empty, and of other libraries give what plain arrays give",
            ("test_inputs.py", "test_compatibility.py", "test_any_call.py::test_any_call"),
        ),
        Line("Inputs are never written", ("test_untouched.py::test_inputs_are_never_modified",)),
        Line(
            "After any error every buffer is as it was",
            (
                "test_untouched.py::test_buffers_are_untouched_by_every_error",
                "test_untouched.py::test_predictions_in_place_are_untouched_by_every_error",
                "test_any_call.py::test_any_call",
            ),
        ),
        Line(
            "Objects that raise, lie or change: a documented exception, never SystemError, an abort or a crash",
            ("test_hostile.py", "test_errors.py"),
        ),
        Line("The compiled module checks every buffer by itself", ("test_core.py",)),
        Line(
            "Any bits in any layout, with options that make sense or not: a result that depends on the values "
            "alone, or a documented exception",
            ("test_any_call.py::test_any_call", "slow/properties.py", "slow/fuzz.py"),
        ),
    ],
    "Threads and processes": [
        Line(
            "Sums and rows have the same bits for any number of threads (D1, D2)",
            ("test_determinism.py", "test_determinism_ways.py"),
        ),
        Line(
            "Thread pools, joblib, nested regions, threadpoolctl, OpenMP's variables, settings from several threads",
            (
                "test_threads.py::test_calls_from_many_threads",
                "test_threads.py::test_callers_with_teams_of_their_own",
                "test_threads.py::test_set_num_threads_from_several_threads",
                "test_threads.py::test_joblib",
                "test_threads.py::test_threadpool_limits_act_on_the_calling_thread_alone",
                "test_threads.py::test_environments_of_openmp",
                "slow/tsan.py",
            ),
        ),
        Line(
            "Threads that the system refuses, little memory for them, quotas of control groups: fewer threads, "
            "the same bits",
            (
                "test_threads.py::test_refused_threads",
                "test_threads.py::test_threads_after_a_refusal",
                "test_threads.py::test_memory_for_few_threads",
                "test_threads.py::test_a_quota_of_this_machine",
                "test_threads.py::test_a_group_that_may_have_few_threads",
            ),
        ),
        Line(
            "Absurd numbers of threads are clamped; 0 and what is no integer is a ValueError",
            (f"{EDGES}test_numbers_of_threads", "test_runtime.py::test_absurd_counts_are_clamped"),
        ),
        Line(
            "A forked, spawned or served child computes: os.fork, multiprocessing, pools, a child of a child",
            ("test_fork.py",),
        ),
        Line(
            "Ctrl-C in a long call is raised soon, and the next call works",
            ("test_interrupt.py", "slow/interrupt.py"),
        ),
        Line(
            "At the interpreter's end, with daemon threads in a call: no crash, no hang",
            (
                "test_fork.py::test_at_exit_and_in_destructors",
                "test_fork.py::test_the_interpreter_ends_while_daemon_threads_compute",
            ),
        ),
    ],
    "Files of predictions": [
        Line(
            ".npy files that are damaged, hostile, of pickles, beyond memory, that shrink or grow: an error that names "
            "the file, no crash",
            ("test_npy.py", f"{TABLES}test_npy_that_grows_while_it_is_read"),
        ),
        Line(
            ".npz, Parquet, Arrow and CSV files with any bytes changed, cut short or away: a result, or an error that "
            "names the file",
            (
                f"{TABLES}test_no_damage_gets_through",
                f"{TABLES}test_truncated_files",
                f"{TABLES}test_missing_files",
                f"{TABLES}test_checksums_of_npz",
                f"{TABLES}test_npz_that_is_none",
                "test_dask_tables.py::test_damaged_files",
            ),
        ),
        Line(
            "Files that change while they are read",
            (
                f"{TABLES}test_files_that_change_while_they_are_read",
                f"{TABLES}test_large_arrow_file_that_shrinks_while_it_is_read",
            ),
        ),
        Line(
            "Nulls, ragged lists, wrong types, missing columns, labels and weights that are none, lines of CSV that "
            "are broken, no rows: an error that names file, row and column",
            (
                f"{TABLES}test_tables_that_cannot_be_scored",
                f"{TABLES}test_files_of_a_folder_that_differ",
                f"{TABLES}test_rows_that_do_not_match",
                f"{TABLES}test_label_errors_name_the_file_and_row_of_the_label",
                f"{TABLES}test_bad_lines",
                f"{TABLES}test_no_rows",
                "test_dask_tables.py::test_errors_name_file_and_row",
            ),
        ),
        Line(
            "Rows and files that are skipped are counted, and change nothing else",
            (
                f"{TABLES}test_skipped_rows_change_nothing_else",
                f"{TABLES}test_skipped_files",
                "test_resume.py::test_skipped_lines_of_csv_are_counted_once",
            ),
        ),
        Line(
            "A run that is killed, interrupted or stopped by an error goes on from its state, with the same bits",
            (
                "test_resume.py::test_goes_on_where_it_stopped",
                "test_resume.py::test_every_format_goes_on",
                "test_resume.py::test_a_run_that_is_killed",
                "test_resume.py::test_ctrl_c_leaves_a_state_that_goes_on",
                "test_resume.py::test_an_error_loses_nothing",
                "test_resume.py::test_states_are_replaced_as_a_whole",
            ),
        ),
        Line(
            "States that are damaged, of other files or options, or that hold rows twice: an error that says so",
            (
                "test_resume.py::test_damaged_states",
                "test_resume.py::test_other_options_are_refused",
                "test_resume.py::test_other_files_are_refused",
                "test_resume.py::test_rows_do_not_count_twice",
                "test_resume.py::test_states_that_cannot_be_merged",
            ),
        ),
        Line(
            "Chunks, threads, formats, partitions of Dask, merged states and workers that are killed change no bit",
            (
                "test_scoring.py::test_chunks_do_not_change_a_bit",
                "test_scoring.py::test_chunks_do_not_change_a_bit_of_wide_rows",
                "test_scoring.py::test_threads_do_not_change_a_bit",
                "test_temperature.py::test_chunks_threads_and_formats_change_no_bit",
                "test_resume.py::test_merged_states_are_one_run",
                "test_dask.py::test_any_partitioning_gives_the_same_bits",
                "test_dask.py::test_a_killed_worker_changes_nothing",
                "test_dask_tables.py::test_parquet_has_the_bits_of_one_machine",
                "test_dask_tables.py::test_dataframes_have_the_bits_of_one_machine",
            ),
        ),
        Line(
            "Memory stays below 300 MB for files of any size",
            (f"{TABLES}test_memory_does_not_grow_with_the_file",),
        ),
        Line(
            "Names from files and columns are text in reports, never markup",
            ("test_report.py::test_names_from_data_are_text",),
        ),
    ],
    "Memory and undefined behaviour": [
        Line(
            "The core and the Cython module are clean under AddressSanitizer and UBSan",
            ("slow/sanitizers.py",),
        ),
        Line("The core has no data races: ThreadSanitizer with Archer", ("slow/tsan.py",)),
        Line(
            "The core reads nothing that was not written, and leaks nothing: valgrind", ("slow/valgrind.py",)
        ),
        Line("Rows between guard pages, outputs between margins", ("test_native.py::test_kernels_and_core",)),
        Line("These tools find what they are for: planted bugs", ("slow/planted.py",)),
    ],
    "CPUs and builds": [
        Line("AVX2, AVX-512 and NEON give the same bits (D3)", ("test_determinism.py", "slow/neon.py")),
        Line("CPUs without AVX, and without AVX-512, get kernels that they run", ("slow/cpus.py",)),
        Line(
            "One exported symbol, versioned symbols of libm and libc alone, nothing that runs at load",
            (
                "test_native.py::test_module_exports_its_init_function_alone",
                "test_native.py::test_module_needs_versioned_symbols_alone",
                "test_native.py::test_module_runs_nothing_when_it_is_loaded",
                "test_native.py::test_nothing_runs_before_main",
            ),
        ),
        Line(
            "A build without OpenMP",
            ("test_native.py::test_package_without_openmp", "test_native.py::test_kernels_and_core"),
        ),
        Line("Subnormal numbers survive the import and every call", ("test_subnormals.py",)),
    ],
    "Security": [
        Line(
            "Nothing that runs data; no network, no programs, no files written",
            (
                "test_security.py::test_the_package_has_nothing_that_runs_data",
                "test_security.py::test_no_network_no_programs_no_files_written",
            ),
        ),
        Line(
            "A configuration makes losses alone",
            ("test_security.py::test_a_configuration_makes_losses_alone",),
        ),
        Line(
            "Any text in environment variables",
            (
                "test_security.py::test_any_text_as_number_of_threads",
                "test_security.py::test_any_text_as_instruction_set",
            ),
        ),
        Line(
            "Labels that another thread changes during a call: C stays inside of the row",
            ("test_security.py::test_labels_that_change_during_the_call",),
        ),
    ],
}

# The records of tests/slow/results, in the order of the page.
RECORDS = {
    "sanitizers": "AddressSanitizer and UBSan",
    "tsan": "ThreadSanitizer with Archer, C tests",
    "valgrind": "valgrind, C tests",
    "planted": "planted bugs",
    **{
        f"fuzz-{target}": f"libFuzzer, {target}"
        for target in (
            *("softmax", "prob", "shaped", "shaped_prob", "binary"),
            *("long_rows", "labels", "arguments", "interface", "score", "books"),
        )
    },
    "properties": "hypothesis, Python interface",
    "cpus": "emulated x86-64 CPUs",
    "neon": "arm64, emulated",
    "big": "more than 2^31 elements",
    "interrupt": "Ctrl-C",
}
