# SPDX-License-Identifier: BSD-3-Clause
"""What `import xent_native` loads: the losses alone, and the rest when it is asked for.

`python -m bench --limits --parts import` says how long it takes; here are no times.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import xent_native as xn

# Everything that a loss needs.
FUNCTIONS = ["_binary", "_call", "binary", "categorical", "divergence", "focal", "poly1", "sparse"]
CLASSES = ["_names", "base", "binary", "categorical", "divergence", "focal", "poly1"]
LOADED = {
    "_copy", "_core", "_foreign", "_hints", "_options", "_problem", "_typing",
    "activations", "functional", "losses", "runtime",
    *(f"functional.{name}" for name in FUNCTIONS), *(f"losses.{name}" for name in CLASSES),
}  # fmt: skip
LATER = ["LossAccumulator", "boosting", "dask", "report", "scoring", "sklearn", "torch"]
OPTIONAL = [
    "catboost", "dask", "distributed", "jax", "lightgbm", "matplotlib", "ml_dtypes", "pandas", "polars", "pyarrow",
    "scipy", "sklearn", "threadpoolctl", "torch", "xgboost",
]  # fmt: skip


def answer(code: str):
    """What a new process makes of an expression, after an import of what an editable install needs by itself."""
    script = f"import importlib.util, json, subprocess, sys, numpy; loaded = set(sys.modules); {code}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def new_modules(code: str) -> set[str]:
    return set(answer(f"{code}; print(json.dumps(sorted(set(sys.modules) - loaded)))"))


def test_the_losses_alone_are_loaded():
    found = new_modules("import xent_native")
    ours = {name.removeprefix("xent_native.") for name in found if name.startswith("xent_native.")}
    assert ours == LOADED
    # Cython's own; an editable install has a finder beside the package.
    others = {
        name for name in found if not name.startswith(("xent_native", "cython", "_cython", "_editable"))
    }
    assert others == set()


def test_no_optional_package_is_loaded_with_any_part():
    found = new_modules(f"import xent_native; [getattr(xent_native, name) for name in {LATER}]")
    assert "xent_native.scoring" in found
    assert {name.split(".")[0] for name in found} & set(OPTIONAL) == set()


def test_what_is_loaded_later_is_listed_from_the_start():
    listed, loaded = answer(
        "import xent_native; print(json.dumps([dir(xent_native), sorted(vars(xent_native))]))"
    )
    assert set(xn.__all__) <= set(listed)
    assert not set(LATER) & set(loaded)


def test_any_way_to_import_it_gives_the_same():
    froms = "; ".join(f"from xent_native import {name}" for name in LATER)
    code = f"{froms}; import xent_native; star = {{}}; exec('from xent_native import *', star)"
    same = f"[name for name in {LATER} if globals()[name] is getattr(xent_native, name) is star[name]]"
    assert answer(f"{code}; print(json.dumps({same}))") == LATER


def test_the_source_folder_says_what_it_is(tmp_path):
    """Python started in a clone finds the sources first, whatever is installed."""
    package = Path(xn.__file__).parent
    shutil.copytree(package, tmp_path / "xent_native", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    code = (
        "import sys; sys.meta_path[:] = [f for f in sys.meta_path if isinstance(f, type)]; import xent_native"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: No module named 'xent_native._core'")
    assert "holds the sources, without the compiled module. If the package is installed" in last
    assert last.endswith("start Python in another folder; else install it: pip install -e .")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'xent_native' has no attribute 'crossentropy'"):
        xn.crossentropy  # noqa: B018
    assert not hasattr(xn, "_summary_of_nothing")


@pytest.mark.parametrize(("name", "home"), sorted(xn._ELSEWHERE.items()))
def test_a_name_that_is_elsewhere_is_shown_the_way(name, home):
    with pytest.raises(AttributeError, match=f"no attribute '{name}': it is in xent_native.{home}$"):
        getattr(xn, name)
    assert name in getattr(xn, home).__all__
