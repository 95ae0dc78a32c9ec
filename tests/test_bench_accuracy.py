# SPDX-License-Identifier: BSD-3-Clause
"""docs/accuracy.md: it says what was measured, keeps the contract, and the sweep of contract A3 can be run."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
from bounds import A1, A2
from hard_rows import KINDS

ROOT = Path(__file__).parents[1]
sys.path.append(
    str(ROOT)
)  # at the end: in front, the sources of xent_native would hide the installed package

from bench.accuracy import cli, family, measure, page, sweep  # noqa: E402

# A3: lifted() is within 1 ulp with a fused multiply-add and 2 without (vmath.h). A logarithm of a quotient has half
# an ulp each from the two parts of the sum, its inverse and a product before the logarithm's own 1 ulp.
EXP_ULPS = {"baseline": 2.0}
LOG_ULPS = {"log, dense": 3.0, "log, labels": 0.501}  # labels: a float64 logarithm, rounded once


@pytest.fixture(scope="module")
def data():
    return cli.committed()


def test_the_page_is_what_its_data_gives(data):
    assert cli.PAGE.read_text() == page.page(data), "python -m bench.accuracy --update"


def test_the_page_has_every_kind_and_instruction_set(data):
    found = {(r["target"], r["dtype"], r["kind"]) for r in data["records"]}
    assert found == {(t, d, k) for t in measure.METRICS for d in measure.DTYPES for k in KINDS}
    for record in data["records"]:
        assert {"xent_native, avx512", "xent_native, avx2", "xent_native, baseline", "torch"} <= set(
            record["errors"]
        )


def test_the_page_keeps_the_contract(data):
    for record in data["records"]:
        promised = (*A1[record["dtype"]], *A2[record["dtype"]])
        for name, errors in record["errors"].items():
            if name.startswith("xent_native"):
                where = f"{record['target']}, {record['dtype']}, {record['kind']}, {name}"
                assert None not in errors, where
                assert all(e <= p for e, p in zip(errors, promised, strict=True)), f"{where}: {errors}"


def test_the_page_has_the_other_losses(data):
    found = [(r["target"], r["dtype"], r["kind"]) for r in data["family"]]
    assert found == [
        (n, d, k) for n, loss in family.LOSSES.items() for d in measure.DTYPES for k in loss.kinds
    ]
    for record in data["family"]:
        assert set(family.LOSSES[record["target"]].peers) <= set(record["errors"])


def test_the_other_losses_keep_their_bounds(data):
    """The bound of each row; small losses of one sign, and gradients against their terms, A1 and A2, too."""
    for record in data["family"]:
        for name, errors in record["errors"].items():
            if name.startswith("xent_native"):
                where = f"{record['target']}, {record['dtype']}, {record['kind']}, {name}: {errors}"
                assert None not in errors, where
                assert errors[-1] <= 1, where
                assert errors[1] <= A1[record["dtype"]][1], where
                assert errors[3] <= A2[record["dtype"]][1], where


def test_measuring_the_other_losses():
    """Errors come out as they were put in, for each loss."""
    import exact
    import numpy as np

    for name, loss in family.LOSSES.items():
        x, y = next(loss.problems("random", "float64"))
        expected = loss.exactly(x, y, "float64")
        i = int(np.argmax(expected.loss))

        def right(x, y, found=expected):
            return found.loss.copy(), found.grad.copy()

        def off(x, y, found=expected, i=i):
            value, grad = right(x, y, found)
            value[i] += 3 * exact.ulp(value[i], "float64")
            grad[i, 0] += 1e-3 * found.grad_terms[i, 0]
            return value, grad

        def infinite(x, y, found=expected, i=i):
            value, grad = right(x, y, found)
            grad[i, 0] = np.inf
            return value, grad

        assert max(family.errors(right, x, y, expected)) <= 1, name
        found = family.errors(off, x, y, expected)
        assert found[0] == pytest.approx(3, abs=0.5), name
        assert found[3] == pytest.approx(1e-3), name
        assert found[4] > 1, name
        assert family.errors(infinite, x, y, expected) == [math.inf] * 5, name


def test_avx2_and_avx512_have_the_same_errors(data):
    for record in data["records"] + data["family"]:
        assert record["errors"]["xent_native, avx2"] == record["errors"]["xent_native, avx512"]


def check_swept(records):
    for record in records:
        name = record["function"]
        allowed = EXP_ULPS.get(record["isa"], 1.0) if name == "exp" else LOG_ULPS[name]
        assert record["ulps"] <= allowed, record
        # exp: 2^-186 is lost (the lift of 2^60 under the smallest normal number); rounding m / ln 2 and the
        # polynomial's own range are a factor of sqrt(2) each.
        assert record["flushed"] <= 2 * 2.0**-186, record


def test_the_sweep_is_complete_and_within_its_bounds(data):
    found = {(r["function"], r["argument"]) for r in data["sweep"]}
    assert found == {
        *(("exp", m) for m in sweep.MAXIMA),
        *(("log, dense", s) for s in sweep.SUMS),
        *(("log, labels", s) for s in sweep.SUMS),
    }
    check_swept(data["sweep"])
    for record in data["sweep"]:
        if record["function"] == "exp" and record["argument"] == "0":
            assert record["count"] == 2**31 - (2**23 - 1) + 1  # -inf to -0, without NaN; and 0


def test_the_sweep_of_today(tmp_path):
    """A part that takes seconds: where most floats are so far from the maximum that they vanish."""
    try:
        program = sweep.build(tmp_path)
    except sweep.MissingTool as error:
        if "missing" in str(error):
            pytest.skip(str(error))
        raise
    records = list(sweep.sweep(program, ("-512",), ("3.3",)))
    check_swept(records)
    assert {r["function"] for r in records} == {"exp", "log, dense", "log, labels"}


def test_measuring_by_hand():
    """Errors come out as they were put in; NaN and inf in the wrong place count as infinite."""
    import exact
    import numpy as np

    x, y, expected = measure.problem("labels", "hopeless", 10, "float32")

    def right(x, y):
        return expected.loss.hi.copy(), expected.grad.hi.copy()

    def off_by_three_ulp(x, y):
        loss, grad = right(x, y)
        loss[3] += 3 * exact.ulp(loss[3], "float32")
        grad[2, 1] += 1e-3
        return loss, grad

    def nan(x, y):
        loss, grad = right(x, y)
        loss[0] = np.nan
        return loss, grad

    def infinite(x, y):
        loss, grad = right(x, y)
        loss[0] = np.inf
        return loss, grad

    assert measure.errors(right, x, y, expected)[0] < 1e-8
    found = measure.errors(off_by_three_ulp, x, y, expected)
    assert found[0] == pytest.approx(3)
    assert found[2] == pytest.approx(1e-3)
    assert measure.errors(nan, x, y, expected)[0] == math.inf
    assert measure.errors(infinite, x, y, expected)[0] == math.inf


def test_differences_name_the_case(data):
    (record, *_) = json.loads(json.dumps(data["records"]))
    assert cli.differences([record], [record]) == []
    changed = json.loads(json.dumps(record))
    changed["errors"]["xent_native, avx2"][0] += 1
    (line,) = cli.differences([record], [changed])
    assert line.startswith(f"{record['target']}, {record['dtype']}, {record['kind']}, xent_native, avx2")
