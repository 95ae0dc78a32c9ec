# SPDX-License-Identifier: BSD-3-Clause
"""Types: what mypy makes of users' calls, stubs beside the compiled module, overloads beside what they stand for."""

from __future__ import annotations

import importlib.resources
import inspect
import os
import runpy
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest

import xent_native as xn
from xent_native import _core, functional
from xent_native import torch as xt

ROOT = Path(__file__).resolve().parents[1]
CALLS = ROOT / "tests" / "typed_calls.py"
CLASSES = [
    kind
    for name in xn.__all__
    if inspect.isclass(kind := getattr(xn, name)) and issubclass(kind, xn.losses.Loss)
]
FUNCTIONS = [getattr(functional, name) for name in functional.__all__ if not name.endswith("grad_and_hess")]
OVERLOADED = [
    *FUNCTIONS,
    *(kind.__init__ for kind in CLASSES),
    xt.cross_entropy,
    xt.binary_cross_entropy_with_logits,
]


def type_checker(*arguments: object, cache: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("mypy", reason="mypy comes with the extra lint")
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT), "MYPY_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("mypy")


def test_the_package_says_that_it_has_types():
    package = importlib.resources.files("xent_native")
    assert (package / "py.typed").is_file()
    assert (package / "_core.pyi").is_file()


def test_mypy_knows_the_types_of_calls(cache):
    done = type_checker("mypy", "--strict", CALLS, cache=cache)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_would_find_another_type(cache, tmp_path):
    """What the test above rests on: were the functions untyped, mypy would accept anything."""
    wrong = tmp_path / "wrong_calls.py"
    text = CALLS.read_text(encoding="utf-8")
    lines = [
        line for line in text.splitlines() if line.startswith("assert_type(") and line.endswith(", float)")
    ]
    assert lines
    head = text[: text.index("# Functions:")]
    wrong.write_text(
        head + "\n".join(line.replace(", float)", ", Losses)") for line in lines), encoding="utf-8"
    )
    done = type_checker("mypy", "--strict", wrong, cache=cache)
    assert done.stdout.count("[assert-type]") == len(lines), done.stdout + done.stderr


def test_mypy_refuses_a_reduction_that_is_no_text(cache, tmp_path):
    wrong = tmp_path / "wrong_option.py"
    wrong.write_text(
        "import xent_native as xn\nxn.binary_crossentropy([0.0], [0.0], reduction=1)\n", encoding="utf-8"
    )
    assert "[call-overload]" in type_checker("mypy", "--strict", wrong, cache=cache).stdout


def test_the_stub_is_that_of_the_compiled_module(cache):
    done = type_checker(
        "mypy.stubtest", "xent_native._core", "--mypy-config-file", ROOT / "pyproject.toml", cache=cache
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_stub_has_every_function():
    """Without mypy: the names alone."""
    stub = (ROOT / "xent_native" / "_core.pyi").read_text(encoding="utf-8")
    functions = [
        name for name, value in vars(_core).items() if type(value).__name__.startswith("cython_function")
    ]
    assert len(functions) > 20
    assert [name for name in functions if f"\ndef {name}(" not in stub] == []


def test_values_are_of_the_types_that_mypy_knows(monkeypatch):
    checked = []

    def check(value, expected):
        assert is_of(value, expected), f"{value!r} is no {expected}"
        checked.append(value)
        return value

    monkeypatch.setattr(typing, "assert_type", check)
    runpy.run_path(str(CALLS))
    assert len(checked) > 60


def is_of(value: object, expected: object) -> bool:
    """isinstance() for the types in typed_calls.py, with the items of tuples and the dtype of arrays."""
    kind, items = typing.get_origin(expected) or expected, typing.get_args(expected)
    if kind is tuple:
        return len(value) == len(items) and all(map(is_of, value, items))
    if kind is np.ndarray and items:
        return isinstance(value, np.ndarray) and value.dtype == typing.get_args(items[1])[0]
    if items:
        return any(is_of(value, item) for item in items)
    return type(value) is kind


def test_values_of_another_type_are_found():
    assert not is_of(np.zeros(2), float)
    assert not is_of(np.float64(0), float)
    assert not is_of((0.0, 0.0), tuple[float, np.ndarray])
    assert not is_of(np.zeros(2), np.ndarray[tuple[int], np.dtype[np.float32]])
    assert is_of(np.zeros(2), float | np.ndarray)


@pytest.mark.parametrize("function", OVERLOADED, ids=lambda f: f.__qualname__.replace(".__init__", ""))
def test_overloads_have_the_parameters_of_what_they_stand_for(function):
    """Names, order and defaults: mypy compares only types."""
    overloads = typing.get_overloads(function)
    assert len(overloads) >= 3
    expected = inspect.signature(function).parameters
    for overload in overloads:
        found = inspect.signature(overload).parameters
        if function.__name__ == "__init__" or function in OVERLOADED[-2:]:
            assert list(found) == list(expected)
        else:
            assert [n for n in found if n != "reduction"] == [n for n in expected if n != "reduction"]
        for name, parameter in found.items():
            if parameter.default is not inspect.Parameter.empty:
                assert parameter.default == expected[name].default, f"{name} of {overload}"
