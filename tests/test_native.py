# SPDX-License-Identifier: BSD-3-Clause
"""Builds the C core on its own, runs its C tests, and reads what the compiler made of the kernels.

The build has the core with and without OpenMP. The C tests print the parameters of what fails; ``tests/c`` says how to
run them by hand. tests/slow/sanitizers.py runs them with AddressSanitizer and UBSan.
"""

import importlib.machinery
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
KERNELS = re.findall(
    r"^XN_KERNEL\((\w+)\)", (ROOT / "src/kernels/kernels.def").read_text("utf-8"), re.MULTILINE
)
# Has no loop over classes: it folds the few sums of a row's segments.
COLD = {"softmax_ce_merge"}
HOT = [name for name in KERNELS if name not in COLD]
# Sum the classes of a row in groups of vectors, so that one exp does not wait for another.
GROUPED = {"softmax_ce_rows", "softmax_ce_scan"}
LIBM = (
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log1p",
    "pow",
    "fma",
    "fmax",
    "floor",
    "rint",
    "round",
    "tanh",
    "sqrt",
)
ON_X86_LINUX = sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64")


def find_tool(name):
    """A program of this environment, which need not be on PATH, or of the system."""
    return shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)


def run(*command, **options):
    """Runs a command; if it fails, so does the test, with all that it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        **options,
    )
    if done.returncode:
        line = " ".join(map(str, command))
        pytest.fail(f"{line}\nreturned {done.returncode}:\n{done.stdout}", pytrace=False)
    return done.stdout


def need_compiler():
    choices = [*os.environ.get("CC", "").split()[:1], "cc", "gcc", "clang"]
    compiler = next((name for name in choices if find_tool(name)), None)
    if compiler is None:
        pytest.skip("there is no C compiler (cc, gcc, clang, or CC)")
    return compiler


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """A function that configures and builds the core with options, once for each set of options."""
    need_compiler()
    cmake, ninja = find_tool("cmake"), find_tool("ninja")
    assert cmake, "cmake is missing: install the test extra"
    generator = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"] if ninja else []
    folders = {}

    def build_with(*options):
        if options not in folders:
            folder = tmp_path_factory.mktemp("native")
            common = ["-DXENT_PYTHON=OFF", "-DXENT_C_TESTS=ON", "-DXENT_WERROR=ON"]
            run(cmake, "-S", ROOT, "-B", folder, *generator, *common, *options)
            run(cmake, "--build", folder, "--parallel", "2")
            folders[options] = folder
        return folders[options]

    return build_with


def run_ctest(folder):
    options = ["--no-tests=error", "--verbose", "--parallel", "2", "--timeout", "300"]
    output = run(find_tool("ctest"), "--test-dir", folder, *options)
    assert "100% tests passed" in output
    assert "kernels: 0 failures" in output
    assert "threads: 0 failures" in output
    assert len(re.findall("core: 0 failures", output)) == 2
    assert "callers: 0 failures" in output
    assert "fuzz: 0 failures" in output
    return output


def test_kernels_and_core(build):
    output = run_ctest(build())
    assert "OpenMP off" in output
    for name in KERNELS:
        assert re.search(rf"{name}: [1-9]\d* tiles", output), f"{name} was not tested"


# What the compiler made of the kernels.


def kernel_objects(folder):
    """The object of each instruction set's kernels, by its name."""
    found = {}
    for path in folder.glob("CMakeFiles/xent_kernels_*.dir/**/kernels.c.o"):
        found[re.search(r"xent_kernels_(\w+)\.dir", str(path))[1]] = path
    assert "baseline" in found
    return found


def disassemble(path):
    """The instructions of every function: lists of (address, text)."""
    functions, code = {}, []
    for line in run("objdump", "-d", "--no-show-raw-insn", "-M", "intel", path).splitlines():
        if start := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            code = functions.setdefault(start[1], [])
        elif instruction := re.match(r"\s+([0-9a-f]+):\s+(.*\S)", line):
            code.append((int(instruction[1], 16), instruction[2]))
    return functions


def reachable(functions, root):
    """The functions that a kernel calls, and itself: the compiler may or may not inline its parts."""
    seen, waiting = set(), [root]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        for _, text in functions[name]:
            if call := re.match(r"(?:call|jmp)\s+[0-9a-f]+ <([^+>]+)>", text):
                waiting.append(call[1])
    return seen


def innermost_loops(code):
    """The bodies of a function's innermost loops: from the target of a backward jump to the jump.

    Only conditional jumps close a loop: unlikely branches stand at the end of a function, and go back
    into the middle of it with a plain `jmp`.
    """
    if not code:
        return
    loops, first = set(), code[0][0]
    for address, text in code:
        jump = re.match(r"j(?!mp)\w+\s+([0-9a-f]+) <", text)
        if jump and first <= int(jump[1], 16) <= address:
            loops.add((int(jump[1], 16), address))
    for start, end in loops:
        if not any(start <= s and e <= end and (s, e) != (start, end) for s, e in loops):
            yield [text for address, text in code if start <= address <= end]


def count_fma(functions, kernel, kind, register):
    """Multiply-adds of one float type in each innermost loop: (packed in full registers, scalar) pairs."""
    packed = re.compile(rf"vfn?m(?:add|sub)\d+p{kind}\s.*{register}")
    scalar = re.compile(rf"vfn?m(?:add|sub)\d+s{kind}\s")
    for name in reachable(functions, kernel):
        for body in innermost_loops(functions[name]):
            yield tuple(sum(bool(pattern.match(text)) for text in body) for pattern in (packed, scalar))


@pytest.mark.skipif(not ON_X86_LINUX, reason="reads x86-64 machine code")
@pytest.mark.skipif(not find_tool("objdump"), reason="objdump is missing")
@pytest.mark.parametrize(("level", "register"), [("avx2", "ymm"), ("avx512", "zmm")])
def test_hot_loops_are_vectorised(build, level, register):
    """Every hot kernel evaluates exp or log in full vectors.

    The polynomial of exp or log, with its argument reduction, is a run of multiply-adds: 9 for exp in
    float32, 14 in float64, for log 8 and 9. Three criteria, which depend on little else that a compiler
    may do:

    * Some innermost loop holds at least 8 (float32) or 12 (float64; 9 from probabilities, which need log
      alone) packed multiply-adds on the widest registers. That loop is an exp or log; dot products and
      gradients have one to four in a vector.
    * Where the kernel works on groups of vectors, twice as many: the group's loop is unrolled.
    * No innermost loop of a float32 kernel holds 8 scalar ones: that would be an exp or log which fell back
      to scalar code. (float64 kernels rightly have scalar exponentials: one for each block whose maximum is
      larger than that of the row so far.)
    """
    functions = disassemble(kernel_objects(build())[level])
    problems = []
    for kernel in HOT:
        for suffix, kind, polynomial in (("f32", "s", 8), ("f64", "d", 9 if "prob" in kernel else 12)):
            name = f"{kernel}_{suffix}"
            assert name in functions
            loops = list(count_fma(functions, name, kind, register))
            packed, scalar = (max((loop[i] for loop in loops), default=0) for i in (0, 1))
            if packed < polynomial * (2 if kernel in GROUPED else 1):
                problems.append(f"{name}: at most {packed} packed multiply-adds on {register} in a loop")
            if suffix == "f32" and scalar >= polynomial:
                problems.append(f"{name}: a loop with {scalar} scalar multiply-adds")
    assert not problems, "\n".join(problems)


def symbols(path, *options):
    """Names and kinds of nm's listing."""
    listing = run("nm", "--portability", *options, path)
    return {tuple(line.split()[:2]) for line in listing.splitlines() if len(line.split()) >= 2}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads ELF symbols")
@pytest.mark.skipif(not find_tool("nm"), reason="nm is missing")
def test_kernels_need_nothing_and_export_their_table(build):
    """No libm: its bits differ between machines. Compilers may call these functions of their own accord."""
    for isa, path in kernel_objects(build()).items():
        found = symbols(path)
        undefined = {name for name, kind in found if kind in "Uw"}
        exported = {name for name, kind in found if kind.isupper() and kind not in "Uw"}
        assert undefined <= {"memcpy", "memset", "memmove", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
        assert exported == {f"xn_kernels_{isa}"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads ELF sections")
@pytest.mark.skipif(not find_tool("objdump"), reason="objdump is missing")
def test_nothing_runs_before_main(build):
    """No static constructors, in the kernels or in the core, and no data that kernels could change."""
    objects = [path for path in build().glob("CMakeFiles/xent_*.dir/src/**/*.o")]
    assert len(objects) > 3
    for path in objects:
        headers = run("objdump", "-h", path)
        assert not re.search(r"\.(init_array|ctors|preinit_array)", headers), path
        if path.name == "kernels.c.o":
            sections = dict(re.findall(r"^\s*\d+ (\.\w+)\s+([0-9a-f]{8})", headers, re.MULTILINE))
            assert int(sections.get(".data", "0"), 16) == 0
            assert int(sections.get(".bss", "0"), 16) == 0


# The extension module, as it is installed.


@pytest.fixture
def module():
    if not (sys.platform.startswith("linux") and find_tool("nm") and find_tool("objdump")):
        pytest.skip("needs Linux, nm and objdump")
    path = importlib.util.find_spec("xent_native._core").origin
    assert path.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))
    return path


def needed(path):
    """The undefined symbols of a shared library. Weak ones need not be found."""
    names = {name for name, kind in symbols(path, "--dynamic", "--undefined-only") if kind == "U"}
    if any(name.startswith(("__asan", "__ubsan", "__tsan")) for name in names):
        pytest.skip("this module was built with sanitizers, which add symbols and initialisers")
    return names


def test_module_exports_its_init_function_alone(module):
    names = {name for name, _ in symbols(module, "--dynamic", "--defined-only")}
    assert names == {"PyInit__core"}


def test_module_needs_versioned_symbols_alone(module):
    """What is bound without a version may be taken from any library that was loaded earlier: libm's log from a
    replacement, say. Python's own names have none. And of libm nothing is needed: the bits would be the machine's."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("only glibc's symbols have versions")
    names = {name for name in needed(module) if not name.startswith(("Py", "_Py"))}
    unversioned = {name for name in names if "@" not in name}
    assert not unversioned
    assert {"memcpy", "malloc"} <= {name.split("@")[0] for name in names}
    assert not {name + end for name in LIBM for end in ("", "f", "l")} & {
        name.split("@")[0] for name in names
    }


def start_functions(path):
    """How many bytes of pointers to functions a library has that run when it is loaded."""
    headers = run("objdump", "-h", path)
    assert not re.search(r"\.(ctors|preinit_array)", headers)
    return sum(int(size, 16) for size in re.findall(r"\.init_array\s+([0-9a-f]{8})", headers))


def test_module_runs_nothing_when_it_is_loaded(module, tmp_path):
    """It has the start functions of an empty library alone: what would change the rounding of the process, such as
    -ffast-math at the link, comes as one."""
    needed(module)
    compiler = need_compiler()
    source, library = tmp_path / "empty.c", tmp_path / "empty.so"
    cpu = '__builtin_cpu_init(); return __builtin_cpu_supports("avx2");' if ON_X86_LINUX else "return 0;"
    source.write_text(f"int has_avx2(void) {{ {cpu} }}\n")
    run(compiler, "-shared", "-fPIC", "-o", library, source)
    assert 0 < start_functions(module) <= start_functions(library)


# The Python package, built without OpenMP.

EXAMPLES = """
import numpy as np
import xent_native as xn

assert not xn._core.has_openmp()
assert xn.get_num_threads() == 1
dense = xn.CategoricalCrossentropy()
sparse = xn.SparseCategoricalCrossentropy()
y = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
p = [[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5]]
assert round(dense([[0, 1, 0]], [[0.1, 0.8, 0.1]]), 5) == 0.22314
assert round(dense(y, p), 5) == round(sparse([0, 1, 2], p), 5) == 0.34055
x = [[2, 5, 1], [7, 1, 0.5]]
loss, grad = xn.sparse_categorical_crossentropy_value_and_grad([1, 0], x, from_logits=True, reduction="mean")
assert round(loss, 7) == 0.0349291
assert np.allclose(grad.sum(axis=1), 0)
many = np.random.default_rng(0).normal(size=(5000, 100))
want = np.log(np.exp(many).sum(axis=1))
for n_threads in (1, 3):
    with xn.threads(n_threads):
        assert np.allclose(xn.logsumexp(many), want)
print("examples hold in", xn.__file__)
"""


def test_package_without_openmp(tmp_path):
    """A wheel is built from a copy of the tree, offline, and used where there is only NumPy beside it."""
    need_compiler()
    for module in ("pip", "scikit_build_core", "Cython", "cython_cmake"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is needed to build offline")
    tree, site = tmp_path / "tree", tmp_path / "site"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns("build", ".*", "__pycache__", "*.so", "bench"))
    scripts = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check"]
    # Not optimised, for time: the bits are the same.
    settings = ["-C", "cmake.define.XENT_OPENMP=OFF", "-C", "cmake.build-type=Debug"]
    run(
        *(sys.executable, "-m", "pip", "wheel", *options, *settings, "-w", tmp_path, tree),
        env={**os.environ, "PATH": scripts, "CMAKE_BUILD_PARALLEL_LEVEL": "2"},
    )
    (wheel,) = tmp_path.glob("xent_native-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(site)
    assert not [name for name in names if name.endswith((".pyx", ".pxi", ".pxd", ".c", ".h"))]
    # -S and an explicit path: an editable install of the package must not come first.
    paths = [str(site), str(Path(np.__file__).parents[1])]
    script = f"import sys; sys.path[:0] = {paths!r}\n{EXAMPLES}"
    assert str(site) in run(sys.executable, "-S", "-c", script, cwd=tmp_path)
