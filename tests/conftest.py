# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import zlib

# pytest-xdist runs a test on every CPU: threads that wait must not spin. Read when OpenMP is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import profiles  # noqa: F401  settings of hypothesis
import pytest

import xent_native
from xent_native import runtime

ISAS = [name for name, state in runtime.config()["isas"].items() if state == "supported"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", type=float, default=1.0, help="of the cases of each test; at least one runs")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves a share of the cases of each test: the same ones in every run, whatever order their parameters are in."""
    share = config.getoption("--share")
    if share >= 1:
        return
    place = {item: zlib.crc32(item.nodeid.encode()) / 2**32 for item in items}
    first: dict[str, float] = {}
    for item in items:
        test = item.nodeid.partition("[")[0]
        first[test] = min(first.get(test, 1.0), place[item])
    kept = {item for item in items if place[item] <= max(share, first[item.nodeid.partition("[")[0]])}
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


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
