# SPDX-License-Identifier: BSD-3-Clause
"""Every recorded answer of another library: losses, gradients, Hessians, probabilities.

How far ours may lie from a peer's answer:

* float64: a relative 1e-12, and where the peer cancels, as in log(S) - (x - m) of a confident row or in p - t, a few
  ulp (ROUNDINGS) of what it subtracts: the case's scale.
* float32: the truth is the same numbers in float64, by the functions that the float64 cases have just held to the
  peers. The peer's own error is what it is off from that. It must be of the size that ROUNDINGS in float32 allow
  (else the peer computes something else), and ours must not be larger than it, or than the contract allows.
"""

from __future__ import annotations

import golden
import numpy as np
import pytest
from bounds import A2, DENSE_ULPS, assert_within
from golden_differences import DIFFERENCES, KNOWN, difference, largest

# Sums of up to 33 classes one after the other are 33 half ulps; exp, log, the quotient and products are a few more.
ROUNDINGS = 33
EPS = {"float32": float(np.finfo(np.float32).eps), "float64": float(np.finfo(np.float64).eps)}

CASES = golden.cases()
LIKE_PEERS = [case for case in CASES if difference(case) is None]
NAMED = [(each, [case for case in (*CASES, *KNOWN) if each.applies(case)]) for each in DIFFERENCES]

NARROWED = [
    case
    for case in LIKE_PEERS
    if case.dtype == np.float64 and any(a.dtype == np.float32 for a in case.outputs.values())
]
NARROWED_NUMBERS = {case.number for case in NARROWED}


def scale(case: golden.Case, output: str, truth: np.ndarray) -> np.ndarray:
    """What the peer adds up, at most: the value, and for what cancels the terms.

    From logits, log S and p are of the size of 1 where they cancel; times weights, alpha and the number of rows
    of a sum. From probabilities, gradients are t / p - sum(t) / S.
    """
    weight = max(
        [
            1.0,
            rounded_inputs(case),
            *(
                float(np.max(a, initial=1.0))
                for n, a in case.inputs.items()
                if n in ("weight", "sample_weight")
            ),
        ]
    )
    weight *= max(1.0, float(np.max(case.inputs.get("pos_weight", 1.0))))
    weight *= 1 + float(case.kwargs.get("gamma", 0.0))
    if case.op == "poly_loss_cross_entropy":
        weight *= 1 + 2.0  # Optax's epsilon
    rows = truth.size
    if output == "loss" and truth.ndim == 0:
        rows = max(a.shape[0] for a in case.inputs.values())
        weight *= (
            rows if case.kwargs.get("reduction") == "sum" or case.kwargs.get("normalize") is False else 1
        )
    from_probabilities = case.kwargs.get("from_logits") is False or case.op == "kl_divergence"
    if output == "grad" and from_probabilities:
        p = case.inputs["y_pred"].astype(np.float64)
        if "binary" in case.op:
            weight /= float(min(p[p > 0].min(), (1 - p)[p < 1].min(), 1.0))
        else:
            weight = weight * np.maximum(1.0, 1 / p.sum(case.kwargs.get("axis", -1), keepdims=True))
    return np.abs(truth) + weight


def rounded_inputs(case: golden.Case) -> float:
    """The largest logit if a peer rounds float64 inputs to float32 before it starts: see the test below."""
    if case.number not in NARROWED_NUMBERS or not case.kwargs.get("from_logits"):
        return 1.0
    return float(np.max(np.abs(case.inputs["y_pred"])))


def close_to(case: golden.Case, output: str, actual, expected, dtype: str, message: str) -> None:
    relative = 1e-12 if dtype == "float64" else 0.0
    bound = relative * np.abs(expected) + ROUNDINGS * EPS[dtype] * scale(case, output, np.asarray(expected))
    assert_within(actual, expected, bound, message)


def contract(case: golden.Case, output: str, truth: np.ndarray) -> np.ndarray:
    """What ours may be off in float32: bounds.py, with dense targets; a probability is within 4 ulp."""
    if output == "grad":
        return 4 * A2["float32"][0] * scale(case, output, truth)
    small = 0.01 * 5e-6 * (scale(case, output, truth) - np.abs(truth))  # losses below 0.01
    return (DENSE_ULPS + 2) * EPS["float32"] * np.abs(truth) + small


@pytest.mark.parametrize("case", LIKE_PEERS, ids=lambda case: case.name)
def test_answer(case):
    ours = golden.ours(case)
    truth = golden.ours(case, np.float64)
    for output in case.outputs.keys() & ours.keys():
        peer, exact = case.outputs[output].astype(np.float64), np.asarray(truth[output], np.float64)
        assert ours[output].shape == peer.shape
        assert np.array_equal(np.isfinite(peer), np.isfinite(exact)), output
        if case.outputs[output].dtype == np.float64 and case.dtype == np.float64:
            close_to(case, output, exact, peer, "float64", output)
            continue
        close_to(case, output, peer, exact, "float32", f"the peer's {output}")
        with np.errstate(invalid="ignore"):
            bound = np.maximum(np.abs(peer - exact), contract(case, output, exact))
        assert_within(ours[output], exact, bound, f"our {output}")
    if ours.keys() != case.outputs.keys():  # gradients of PyTorch's losses, which only tensors have
        pytest.importorskip("torch")
        assert ours.keys() == case.outputs.keys()


@pytest.mark.parametrize(("named", "case"), [
    pytest.param(named, case, id=f"{named.name}: {case.name}") for named, cases in NAMED for case in cases
])  # fmt: skip
def test_difference(named, case):
    """The peer follows its formula, ours the exact one."""
    dtype = case.dtype.name
    theirs, exact, ours = named.theirs(case), named.exact(case), golden.ours(case)
    for output in case.outputs:
        close_to(case, output, case.outputs[output], theirs[output], dtype, f"the peer's {output}")
        if dtype == "float64":
            close_to(case, output, ours[output], exact[output], dtype, f"our {output}")
        else:
            assert_within(ours[output], exact[output], contract(case, output, exact[output]), f"our {output}")


@pytest.mark.parametrize(("named", "cases"), NAMED, ids=lambda each: getattr(each, "name", ""))
def test_difference_is_one(named, cases):
    """Some recorded answer is farther from ours than any rounding."""
    gaps = [largest(case.outputs[o], named.exact(case)[o]) for case in cases for o in case.outputs]
    assert max(gaps) > 1e-6


def test_keras_on_numpy_computes_some_float64_in_float32():
    """Its functions turn some of their float64 arguments into float32; xent_native keeps float64."""
    assert NARROWED
    for case in NARROWED:
        assert case.peer == "keras_numpy"
        assert golden.ours(case)["loss"].dtype == np.float64


def test_every_recorded_call_is_held():
    assert len(CASES) == 1404
    assert len(LIKE_PEERS) + sum(len(cases) for _, cases in NAMED) == len(CASES) + len(KNOWN)
    assert {case.op for case in CASES} == set(golden.ADAPTERS)
