# SPDX-License-Identifier: BSD-3-Clause
"""The examples in the docstrings of all modules."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import xent_native

# Libraries without which the examples of a subpackage cannot run.
NEEDED = {"xent_native.sklearn": ("sklearn", "scipy"), "xent_native.dask": ("dask",)}

MODULES = ["xent_native"] + [
    module.name
    for module in pkgutil.walk_packages(xent_native.__path__, "xent_native.")
    if not module.name.endswith("__main__")  # runs when it is imported
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    for package, libraries in NEEDED.items():
        for library in libraries if name.startswith(package) else ():
            pytest.importorskip(library)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch",):  # a host: its own module cannot be loaded without it
            raise
        pytest.skip(f"{error.name} is not installed")
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name", xent_native.__all__)
def test_public_functions_have_an_example(name):
    thing = getattr(xent_native, name)
    assert thing.__doc__, f"{name} has no docstring"
    if callable(thing):
        assert ">>>" in thing.__doc__, f"{name} has no example"
