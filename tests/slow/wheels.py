# SPDX-License-Identifier: BSD-3-Clause
"""What a release consists of, as far as one Linux machine can build it: built twice, judged, repaired, tested.

    python tests/slow/wheels.py [--keep FOLDER] [--record]

The source distribution of the last commit is made twice, and has to have the same hash; so has the wheel, built in two
folders from the one's content alone. auditwheel repairs it; abi3audit, check-wheel-contents and twine judge it; it is
tested on every CPython from 3.11 on that is on PATH or that pyenv has. A compiler that knows no OpenMP builds another,
which is tested, too. Needs the extras `test` and `wheels`, gcc or clang, and a package index. Some thirty minutes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import records
from builds import ROOT, arguments, attempt, find, run, tool, workplace

sys.path.insert(0, str(ROOT / "tests"))
import installed

# Bytes of a wheel. 2,000,000 are wanted: AVX2 and AVX-512 kernels that inline less would be small enough, but take up
# to half as long again for two or three classes.
MOST = 2_700_000
VERSIONS = [(3, minor) for minor in range(11, 16)]
# Refuses -fopenmp as a compiler does that lacks it; -fopenmp-simd needs no library, and is known to all.
COMPILER = """#!/bin/sh
for option; do
    case $option in -fopenmp | -fopenmp=*) echo "unknown option $option" >&2; exit 1 ;; esac
done
exec {compiler} "$@"
"""


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def only(folder: Path, pattern: str) -> Path:
    """The one file of a folder that has such a name."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        sys.exit(f"{folder} has {len(found)} of {pattern}")
    return found[0]


def make_sdist(folder: Path) -> Path:
    """From a clone of the last commit: nothing of this work tree that git does not know gets in."""
    run("git", "clone", "-q", ROOT, folder / "clone")
    run(sys.executable, "-m", "build", "--sdist", "--outdir", folder, folder / "clone")
    return only(folder, "*.tar.gz")


def make_wheel(sdist: Path, folder: Path, *settings: str, **environment: str) -> tuple[Path, str]:
    """A wheel of a source distribution's content alone, and what the build said."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    tree = only(folder, "xent_native-*")
    environment = {"CMAKE_BUILD_PARALLEL_LEVEL": "2", **environment}
    command = (sys.executable, "-m", "build", "--wheel", "-v", *settings, "--outdir", folder / "dist", tree)
    returned, output = attempt(*command, env=environment)
    if returned:
        sys.exit(f"the wheel does not build:\n{output}")
    return only(folder / "dist", "*.whl"), output


def pythons() -> dict[str, Path]:
    """The CPythons of this machine, by version."""
    found = {}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for major, minor in VERSIONS:
        name = f"{major}.{minor}"
        # Before others those of pyenv: its programs on PATH answer for the versions alone that are switched on.
        choices = [*sorted(pyenv.glob(f"{name}.*/bin/python")), find(f"python{name}")]
        for choice in filter(None, choices):
            code = "import sys; print('%d.%d' % sys.version_info[:2])"
            if attempt(choice, "-c", code) == (0, f"{name}\n"):
                found[name] = Path(choice)
                break
    return found


def test_wheel(wheel: Path, python: Path, folder: Path, *options: str) -> tuple[int, str]:
    """How many instruction sets pass the tests in an environment that has the wheel and little else; what it says."""
    if python == Path(sys.executable):
        venv.create(folder, with_pip=True)
    else:
        run(python, "-m", "venv", folder)
    inside = folder / "bin" / "python"
    run(inside, "-m", "pip", "install", "-q", "--only-binary=:all:", wheel, *installed.REQUIRED)
    returned, output = attempt(inside, ROOT / "tests" / "installed.py", *options)
    print(f"{wheel.name} on {python}:\n{output}", flush=True)
    if returned:
        sys.exit("the tests of the wheel failed")
    return output.count(" passed"), output


def judge(wheel: Path, *contents: str) -> None:
    """Everything that looks at a wheel without running it; `contents` are options of check-wheel-contents."""
    run(tool("abi3audit"), "--strict", wheel)
    run(tool("check-wheel-contents"), *contents, wheel)
    run(tool("twine"), "check", "--strict", wheel)
    with zipfile.ZipFile(wheel) as archive:
        sources = [
            name for name in archive.namelist() if name.endswith((".c", ".h", ".pyx", ".pxi", ".pxd", ".o"))
        ]
    if sources:
        sys.exit(f"{wheel.name} has sources: {', '.join(sources)}")
    if wheel.stat().st_size > MOST:
        sys.exit(f"{wheel.name} has {wheel.stat().st_size:,} bytes, more than {MOST:,}")


def repaired(wheel: Path, folder: Path) -> Path:
    """With the libraries in it that not every Linux has, and the tag of those that it runs on."""
    path = os.pathsep.join([str(Path(tool("patchelf")).parent), os.environ["PATH"]])
    print(run(tool("auditwheel"), "repair", "-w", folder, wheel, env={"PATH": path}), flush=True)
    return only(folder, "*.whl")


def check_no_openmp(sdist: Path, folder: Path) -> int:
    """A compiler without OpenMP: a warning, and a package with one thread that passes the tests."""
    folder.mkdir()
    compiler = folder / "cc"
    compiler.write_text(COMPILER.format(compiler=tool("gcc", "clang")))
    compiler.chmod(0o755)
    # Not optimised, for time: the bits are the same.
    wheel, output = make_wheel(sdist, folder / "build", "-Ccmake.build-type=Debug", CC=str(compiler))
    if "This compiler has no OpenMP" not in output:
        sys.exit(f"the build does not say that OpenMP is missing:\n{output}")
    passed, said = test_wheel(wheel, Path(sys.executable), folder / "venv")
    if "openmp       False" not in said:
        sys.exit("a build without OpenMP says that it has it")
    return passed


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument(
        "--keep", type=Path, help="folder for the source distribution and the wheel as repaired"
    )
    options = parser.parse_args()
    date = run("git", "-C", ROOT, "log", "-1", "--format=%ct").strip()
    os.environ["SOURCE_DATE_EPOCH"] = date
    os.environ.pop("XENT_NATIVE_ISA", None)
    with workplace(options.build) as place:
        sdists = [make_sdist(place / name) for name in ("sdist-1", "sdist-2")]
        if digest(sdists[0]) != digest(sdists[1]):
            sys.exit("two source distributions of one commit differ")
        run(tool("twine"), "check", "--strict", sdists[0])
        print(f"{sdists[0].name}: {digest(sdists[0])}, twice", flush=True)
        first, _ = make_wheel(sdists[0], place / "first")
        # A cache of compiled objects would give the same by itself.
        second, _ = make_wheel(sdists[0], place / "a-second-folder", CCACHE_DISABLE="1")
        if digest(first) != digest(second):
            sys.exit(f"two builds differ: {first}, {second}")
        print(f"{first.name}: {first.stat().st_size:,} bytes, {digest(first)}, twice", flush=True)
        judge(first)
        wheel = repaired(first, place / "repaired")
        # auditwheel puts libgomp into xent_native.libs: a second folder (W009) without modules (W010), on purpose.
        judge(wheel, "--ignore=W009,W010")
        print(f"{wheel.name}: {wheel.stat().st_size:,} bytes", flush=True)
        here = pythons()
        counts = {
            f"instruction sets tested on CPython {version}": test_wheel(
                wheel, python, place / f"venv-{version}", "--openmp"
            )[0]
            for version, python in here.items()
        }
        counts["instruction sets tested without OpenMP"] = check_no_openmp(sdists[0], place / "serial")
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            for path in (sdists[0], wheel):
                shutil.copy(path, options.keep)
        print(f"wheels: {', '.join(here)} and no OpenMP passed")
        if options.record:
            sizes = {
                "bytes of the wheel": first.stat().st_size,
                "bytes as repaired": wheel.stat().st_size,
            }
            found = {"wheel": wheel.name, **sizes, "builds with the same hash": 2, **counts}
            records.save("wheels", "python tests/slow/wheels.py --record", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
