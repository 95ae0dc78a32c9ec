# SPDX-License-Identifier: BSD-3-Clause
"""What SECURITY.md promises: no code from data, no side effects, no harm from what outsiders control.

Files have their own module, test_npy.py; bad arrays have test_errors.py and test_inputs.py.
"""

from __future__ import annotations

import ast
import ctypes
import json
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

import xent_native as xn
from xent_native import losses

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "xent_native").rglob("*.py"))
# Whatever runs code or a program that is given as data.
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "system",
    "popen",
    "Popen",
    "import_module",
    "query",
}
FORBIDDEN_MODULES = {
    "pickle",
    "marshal",
    "shelve",
    "subprocess",
    "socket",
    "urllib",
    "http",
    "ctypes",
    "mmap",
}


def calls_and_imports(tree: ast.AST):
    """The names of all that is called, and of all modules that are imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            yield "call", name
        elif isinstance(node, ast.Import):
            yield from (("import", alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield "import", str(node.module).partition(".")[0]


def findings(text: str) -> list[tuple[str, str]]:
    return [
        (kind, name)
        for kind, name in calls_and_imports(ast.parse(text))
        if name in (FORBIDDEN_CALLS if kind == "call" else FORBIDDEN_MODULES)
    ]


def test_the_search_finds_what_it_looks_for():
    assert findings("import os, pickle.x\nos.system('a')\nfrom subprocess import run\neval('1')") == [
        ("import", "pickle"),
        ("import", "subprocess"),
        ("call", "system"),
        ("call", "eval"),
    ]


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(ROOT)) for path in SOURCES])
def test_the_package_has_nothing_that_runs_data(path):
    text = path.read_text("utf-8")
    assert findings(text) == []
    assert "allow_pickle=True" not in text


EVERYTHING = """
    import json, sys
    import numpy as np
    events = []
    def hook(event, arguments):
        if "xent_native._core" not in sys.modules:  # an editable install may build it first
            return
        if event == "open":
            mode, flags = arguments[1], arguments[2]
            writes = mode is not None and set(mode) & set("wax+") or not mode and flags & 3
            if not writes:
                return
        if event.startswith(("socket.", "subprocess.", "os.", "ctypes.", "urllib.", "pickle.", "open", "marshal.dump")):
            events.append((event, repr(arguments)[:200]))
    sys.dont_write_bytecode = True
    sys.addaudithook(hook)
    import xent_native as xn
    import xent_native.torch
    from xent_native import losses, scoring
    x, y = np.ones((3000, 20)), np.zeros(3000, int)
    t = np.eye(20)[y]
    names = [name for name in xn.__all__ if "crossentropy" in name or "divergence" in name]
    assert len(names) > 14, names
    for name in names:
        getattr(xn, name)(y if name.startswith("sparse") else t, x / 20)
    for name in ("softmax", "log_softmax", "logsumexp", "sigmoid"):
        getattr(xn, name)(x)
    losses.deserialize(losses.serialize(xn.CategoricalCrossentropy()))(t, x)
    scoring.score(sys.argv[1], sys.argv[2], from_logits=True)
    xn.show_config()
    allowed = ("os.listdir", "os.scandir")  # Python's own search for modules
    print(json.dumps([event for event in events if event[0] not in allowed]))
"""


def test_no_network_no_programs_no_files_written():
    """Python's own audit events, of the import and of a call of everything."""
    data = ROOT / "tests/data/digits"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(EVERYTHING), data / "logits.npy", data / "labels.npy"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


HOSTILE = [
    {"class_name": "os.system", "config": {"command": "true"}},
    {"class_name": "__class__"},
    {"class_name": "SparseCategoricalCrossentropy", "config": {"__class__": "x"}},
    {"class_name": "SparseCategoricalCrossentropy", "config": [1, 2]},
    {"class_name": "SparseCategoricalCrossentropy", "config": "os"},
    {"class_name": "SparseCategoricalCrossentropy", "config": 7},
    {"class_name": "SparseCategoricalCrossentropy", "config": {"self": 1}},
    {"class_name": "SparseCategoricalCrossentropy", "config": {"from_logits": True, "axis": 10**400}},
    {"class_name": "CategoricalCrossentropy", "config": {"label_smoothing": "__import__('os')"}},
    {"class_name": "CategoricalCrossentropy", "config": {"class_weight": {"__len__": 1}}},
    {"class_name": "CategoricalCrossentropy", "config": {"class_weight": [[[]]]}},
    {"class_name": "CategoricalCrossentropy", "config": {"reduction": {"sum": 1}}},
    {"class_name": "CategoricalCrossentropy", "config": {"dtype": "os"}},
    {"class_name": ["CategoricalCrossentropy"], "config": {}},
    {"class_name": "function", "config": "serialize"},
    {"class_name": "function", "config": "numpy.load"},
    {"class_name": "function", "config": ["softmax"]},
    {
        "class_name": "CategoricalCrossentropy",
        "module": "os",
        "registered_name": "system",
        "config": {"x": 1},
    },
    {},
    [],
    7,
    "os.system",
    "__builtins__",
    "get",
    "deserialize",
]


@pytest.mark.parametrize("description", HOSTILE, ids=lambda value: json.dumps(value)[:60])
@pytest.mark.parametrize("function", [losses.get, losses.deserialize])
def test_a_configuration_makes_losses_alone(function, description):
    """Most are refused at once; what depends on the array (a class, an axis) is refused when it is known."""
    assert json.loads(json.dumps(description)) == description  # it could come from a file

    def make_and_call():
        loss = function(description)
        assert type(loss) in (losses.SparseCategoricalCrossentropy, losses.CategoricalCrossentropy)
        loss([0] if type(loss) is losses.SparseCategoricalCrossentropy else [[1.0, 0.0]], [[0.5, 0.5]])

    with pytest.raises((ValueError, TypeError), match=r"\w"):
        make_and_call()


@pytest.mark.parametrize(
    "count", ["9" * 5000, "-" + "9" * 30, "0x10", "1e3", "nan", "2; true", "\uff12\uff10", "\u0663", "1_0"]
)
def test_any_text_as_number_of_threads(count, monkeypatch):
    """A number that Python reads as one is clamped, anything else refused in words."""
    monkeypatch.setenv("XENT_NATIVE_NUM_THREADS", count)
    before = xn.runtime._process_threads
    try:
        wanted = int(count)
    except ValueError:
        wanted = 0
    try:
        if wanted < 1:
            with pytest.raises(
                ValueError, match="XENT_NATIVE_NUM_THREADS must be an integer of at least 1; got"
            ):
                xn.runtime.read_environment()
            assert xn.runtime._process_threads == before
        else:
            xn.runtime.read_environment()
            assert xn.runtime._process_threads == wanted
    finally:
        xn.runtime._process_threads = before


@pytest.mark.parametrize("name", ["../avx2", "avx2\udcff", "a" * 100_000, "%s%n", " "])
def test_any_text_as_instruction_set(name, monkeypatch):
    monkeypatch.setattr("os.environ", {"XENT_NATIVE_ISA": name})
    before = xn.isa()
    with pytest.raises(ValueError, match="XENT_NATIVE_ISA: instruction set must be one of"):
        xn.runtime.read_environment()
    assert xn.isa() == before


@pytest.mark.parametrize("classes", [5, 300])
def test_labels_that_change_during_the_call(classes, rng):
    """They were checked, and then another thread writes what is far out of range: C stays inside the row.

    Results are then of no use; that there is one, or an IndexError, is all that can be asked. AddressSanitizer sees
    the rest.
    """
    x = rng.standard_normal((60_000 // classes, classes)).astype(np.float32)
    labels = np.zeros(len(x), np.int64)
    huge = np.full(len(x), 2**62)
    huge[::2] = -(2**62)
    stop = threading.Event()

    def spoil():
        while not stop.is_set():
            ctypes.memmove(labels.ctypes.data, huge.ctypes.data, labels.nbytes)  # without the GIL's say
            ctypes.memset(labels.ctypes.data, 0, labels.nbytes)

    thread = threading.Thread(target=spoil)
    thread.start()
    seen = set()
    try:
        for _ in range(300):
            try:
                xn.sparse_categorical_crossentropy_value_and_grad(labels, x, True, n_threads=2)
                seen.add("result")
            except IndexError:
                seen.add("IndexError")
    finally:
        stop.set()
        thread.join()
    assert seen <= {"result", "IndexError"}
