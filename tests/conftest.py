# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures that several test modules share."""

from __future__ import annotations

import os

# pytest-xdist runs a test on every CPU: threads that wait must not spin. Read when OpenMP is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import profiles  # noqa: F401  settings of hypothesis
import pytest

import xent_native
from xent_native import runtime

ISAS = [name for name, state in runtime.config()["isas"].items() if state == "supported"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `isa` runs once for each instruction set that this machine has."""
    if "isa" in metafunc.fixturenames:
        metafunc.parametrize("isa", ISAS, indirect=True)


@pytest.fixture
def isa(request: pytest.FixtureRequest):
    """The instruction set of this test; the one before comes back afterwards."""
    before = xent_native.isa()
    xent_native.set_isa(request.param)
    yield request.param
    xent_native.set_isa(before)


@pytest.fixture
def each_isa():
    """A function that runs a call with each instruction set and returns {name: result}."""
    before = xent_native.isa()

    def run(call):
        results = {}
        for name in ISAS:
            xent_native.set_isa(name)
            results[name] = call()
        return results

    yield run
    xent_native.set_isa(before)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)


@pytest.fixture
def free_threads():
    """Leaves the process's thread setting as it was before the test."""
    before = runtime._process_threads
    yield
    xent_native.set_num_threads(before or None)
