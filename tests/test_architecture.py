# SPDX-License-Identifier: BSD-3-Clause
"""The two invariants of src/README.md: arrows only go down, and each fact has one home."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from xent_native import runtime

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
PACKAGE = ROOT / "xent_native"
CORE_FILES = sorted((SOURCE / "core").glob("*.[ch]"))
KERNEL_FILES = sorted(p for p in (SOURCE / "kernels").iterdir() if p.suffix in (".c", ".h", ".def"))
C_FILES = [SOURCE / "xent.h", *CORE_FILES, *KERNEL_FILES]
MODULES = sorted(PACKAGE.rglob("*.py"))

# A module or a subpackage may import, when it is loaded, only those of lower layers.
LAYERS = {
    "_copy": 0,
    "_core": 0,
    "_foreign": 0,
    "_hints": 0,
    "_typing": 0,
    "_options": 1,
    "_problem": 2,
    "runtime": 2,
    "functional": 3,
    "activations": 3,
    "losses": 4,
}

# Modules that are made of host libraries: they import them, and none but such modules import them when loaded.
HOSTS = {
    "torch/_tensors.py": {"torch"},
    "sklearn/_linear.py": {"scipy", "threadpoolctl"},
    "sklearn/_losses.py": {"sklearn"},
    "sklearn/_metrics.py": {"sklearn"},
    "sklearn/_objective.py": {"scipy"},
    "sklearn/_patch.py": {"sklearn"},
    "sklearn/_softmax_regression.py": {"sklearn"},
}


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', path.read_text(encoding="utf-8"), re.MULTILINE)


def imports_at_load(path: Path) -> list[str]:
    """What a module imports outside of functions and type checking; relative names begin with a dot."""
    found = []
    waiting = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found += [module] if node.module else [module + alias.name for alias in node.names]
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
            waiting += [
                s
                for child in ast.iter_child_nodes(node)
                if isinstance(child, ast.ExceptHandler)
                for s in child.body
            ]
    return found


def test_the_tests_see_the_source():
    assert CORE_FILES
    assert KERNEL_FILES
    assert MODULES


@pytest.mark.parametrize("path", C_FILES, ids=lambda p: p.name)
def test_no_c_file_includes_python(path):
    assert not [name for name in includes(path) if "python" in name.lower() or name.startswith("numpy/")]


@pytest.mark.parametrize("path", KERNEL_FILES, ids=lambda p: p.name)
def test_kernels_never_include_core(path):
    for name in includes(path):
        assert not {"core", "core.h"} & set(name.split("/")), f"{path.name} includes {name}"
        assert "xent.h" not in name, f"{path.name} includes {name}"
        assert ".." not in name, f"{path.name} includes {name}"
        assert name in {p.name for p in KERNEL_FILES} | {
            "math.h",
            "stddef.h",
            "stdint.h",
            "string.h",
            "stdlib.h",
        } or (name.endswith(("intrin.h", "neon.h"))), f"{path.name} includes {name}"


@pytest.mark.parametrize("path", KERNEL_FILES, ids=lambda p: p.name)
def test_kernels_use_no_threads_and_no_memory(path):
    text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert "omp parallel" not in text
    assert not re.search(r"\b(malloc|calloc|realloc|free|printf|exit|abort)\s*\(", text)


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda p: p.name)
def test_core_reaches_kernels_through_their_table(path):
    """Of the kernels' files, core sees the border and the list."""
    for name in includes(path):
        if "kernels/" in name:
            assert name.endswith(("kernels/kernels.h", "kernels/kernels.def")), f"{path.name} includes {name}"


def test_one_parallel_region():
    with_region = [p.name for p in C_FILES if "omp parallel" in p.read_text(encoding="utf-8")]
    assert with_region == ["tiles.c"]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_load_nothing_but_numpy(path):
    """Hosts and optional dependencies are imported inside of functions, or in a module of their own."""
    hosts = HOSTS.get(path.relative_to(PACKAGE).as_posix(), set())
    for name in imports_at_load(path):
        top = name.split(".")[0]
        assert hosts or Path(name.replace(".", "/")).name not in {Path(module).stem for module in HOSTS}
        assert not top or top in hosts or top in sys.stdlib_module_names or top == "numpy", (
            f"{path.name} imports {name}"
        )


def layer_files(name: str) -> list[Path]:
    """The files of a module or a subpackage."""
    return sorted((PACKAGE / name).glob("*.py")) or [PACKAGE / f"{name}.py"]


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "_core"])
def test_modules_import_downwards(name):
    for path in layer_files(name):
        inside = "." if path.parent == PACKAGE else ".."  # of a subpackage, files may import each other
        for imported in imports_at_load(path):
            if imported.startswith(inside):
                target = imported.lstrip(".").split(".")[0]
                assert LAYERS.get(target, 9) < LAYERS[name], f"{path.name} imports {target}"


def listed_kernels() -> list[str]:
    text = re.sub(
        r"/\*.*?\*/", "", (SOURCE / "kernels" / "kernels.def").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    return re.findall(r"XN_KERNEL\((\w+)\)", text)


def test_every_listed_kernel_exists():
    """Once in the sources, for each compute type, and in the table of the module that is loaded."""
    names = listed_kernels()
    assert names
    assert len(set(names)) == len(names)
    assert runtime.config()["kernels"] == names
    text = "\n".join(p.read_text(encoding="utf-8") for p in KERNEL_FILES if p.suffix != ".def")
    for name in names:
        found = re.findall(rf"^static void XN_T\({name}\)\(const xn_tile \*\w+\) {{", text, re.MULTILINE)
        assert len(found) == 1, f"{name} is defined {len(found)} times"


def test_every_kernel_is_called():
    core = "\n".join(p.read_text(encoding="utf-8") for p in CORE_FILES)
    for name in listed_kernels():
        assert re.search(rf"->{name}\b", core), f"core never calls {name}"


def project_files():
    for folder in ("src", "xent_native", "tests", "bench", "docs"):
        for path in sorted((ROOT / folder).rglob("*")):
            if (
                path.suffix in (".c", ".h", ".def", ".py", ".pyx", ".pxi", ".pxd", ".pyi", ".md", ".toml")
                and path.is_file()
            ):
                yield path
    yield from sorted(p for p in ROOT.iterdir() if p.suffix in (".txt", ".toml", ".md"))


def test_no_file_is_long():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in project_files()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 1000
    }
    assert not long


def test_every_source_file_says_its_licence():
    missing = [
        str(path.relative_to(ROOT))
        for path in project_files()
        if path.suffix in (".c", ".h", ".py", ".pyx", ".pxi", ".pxd")
        and "SPDX-License-Identifier: BSD-3-Clause" not in path.read_text(encoding="utf-8")[:200]
    ]
    assert not missing


def test_no_flags_that_change_floating_point_for_everybody():
    """-ffast-math and its parts, linked in, switch off subnormals for the whole process."""
    text = re.sub(r"#.*", "", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"))
    for flag in ("-ffast-math", "-Ofast", "-funsafe-math-optimizations", "-march=native"):
        assert flag not in text
    assert "-ffp-contract=off" in text
