# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark from its command line: options, the JSON that it writes, and the tables made from that.

Nothing here depends on how long anything takes. Runs that import the peers happen in a process of their own:
their threads, warnings and settings must not reach the other tests.
"""

import ast
import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xent_native  # noqa: F401  (first used here: an editable install rebuilds, which capsys would not let it)

ROOT = Path(__file__).parents[1]
# At the end: in front, the sources of xent_native would hide the installed package.
sys.path.append(str(ROOT))

from bench import cases, cli, crossover, report, result  # noqa: E402
from bench.limits.parts import PARTS  # noqa: E402
from bench.peers import PEERS  # noqa: E402

MODULES = {"torch": "torch", "optax": "optax", "sklearn": "sklearn", "numba": "numba", "scipy": "scipy"}
# torch.compile would take a minute to start its compilers; the rest of its code is that of torch.
INSTALLED = ["numpy", *(peer for peer, module in MODULES.items() if importlib.util.find_spec(module))]


def bench(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The default table on small arrays, with the peers that are installed: (output, JSON, path)."""
    path = tmp_path_factory.mktemp("bench") / "deep" / "result.json"
    done = bench("--quick", "--classes", "10,100", "--peers", ",".join(INSTALLED), "--json", str(path))
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(path.read_text()), path


# The command


def test_help_explains_itself():
    done = bench("--help")
    assert done.returncode == 0
    assert "examples:" in done.stdout
    for option in (
        "--small",
        "--crossover",
        "--peers",
        "--classes",
        "--quick",
        "--limits",
        "--update-docs",
        "--threads",
    ):
        assert option in done.stdout


def test_list_names_everything_and_imports_no_peer():
    done = bench("--list")
    assert done.returncode == 0
    for name in [*cases.OPERATIONS, *cases.LAYOUTS, *PEERS, *PARTS]:
        assert f"\n  {name} " in done.stdout
    peers = ["torch", "jax", "numba", "sklearn", "scipy"]
    code = f"import sys, bench.cli; print([name for name in {peers} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ops", "forwards"], "'forwards' is none of forward, gradient"),
        (["--limits", "--parts", "tables"], "'tables' is none of table, float64"),
        (["--peers", "numpie"], "'numpie' is none of"),
        (["--classes", "10,x"], "got '10,x'"),
        (["--classes", "0"], "at least 1; got 0"),
        (["--repeats", "0"], "must be positive"),
        (["--threads", "100000"], "--threads must lie in"),
        (["--isa", "mmx", "--quick"], "got 'mmx'"),
        (["--show", "no-such-file.json"], "no-such-file.json"),
    ],
)
def test_bad_arguments_are_named(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


# A run


def test_json_has_everything(run):
    _, found, path = run
    assert found == result.read(path)
    assert found["schema"] == result.SCHEMA
    assert found["command"].startswith("python -m bench --quick")
    assert found["quick"] is True
    assert found["mode"] == "cases"
    assert {"cpu", "cpus", "caches", "kernel", "python"} <= found["machine"].keys()
    assert {"threads", "isa", "repeats", "megabytes"} <= found["settings"].keys()
    assert found["versions"]["numpy"] == np.__version__
    assert found["others"] is None or 0 <= found["others"] <= 1
    assert found["roofline"]["kind"]
    assert [case["name"] for case in found["cases"]] == [
        f"{operation} float32 {rows}x{classes}"
        for operation in ("forward", "gradient")
        for rows, classes in ((1311, 10), (132, 100))
    ]
    for name in ("read", "copy"):
        assert len(found["roofline"][name]["samples"]) == 4 * 3
    for case in found["cases"]:
        both = case["operation"] == "gradient"
        assert case["bytes_read"] == math.prod(case["shape"]) * 4
        assert case["bytes_written"] == (case["bytes_read"] if both else 0)
        names = ["xent_native", "xent_native-new-array"] if both else ["xent_native"]
        order = [name for name in PEERS if name in names or name in INSTALLED]
        assert [entry["peer"] for entry in case["entries"]] == order
        for entry in case["entries"]:
            assert entry["status"] == "ok", entry
            assert len(entry["samples"]) == 3
            assert entry["median"] == sorted(entry["samples"])[1]
            speed = (case["bytes_read"] + case["bytes_written"]) / entry["median"] / 1e9
            assert entry["gb_per_s"] == pytest.approx(speed)
            roof = case["roofline"][case["roof"]]
            moved = (case["bytes_read"] + case["bytes_written"]) / roof["bytes"]
            fractions = [moved * r / t for r, t in zip(roof["samples"], entry["samples"], strict=True)]
            assert entry["fraction"] == pytest.approx(np.median(fractions))
        peers = {entry["peer"]: entry["median"] for entry in case["entries"] if not entry["ours"]}
        assert case["fastest_peer"] == min(peers, key=peers.get)
        samples = {entry["peer"]: np.array(entry["samples"]) for entry in case["entries"]}
        times = np.median(samples[case["fastest_peer"]] / samples["xent_native"])
        assert case["times_fastest_peer"] == pytest.approx(times)


def test_table_shows_the_figures_and_that_they_mean_nothing(run):
    output, _, path = run
    assert "QUICK RUN" in output
    for name in INSTALLED:
        assert name in output
    # An editable install may say on stdout that it rebuilds.
    assert output[output.index("python -m bench") :] == bench("--show", str(path)).stdout
    markdown = bench("--show", str(path), "--markdown", "--details").stdout
    assert "| classes |" in markdown
    assert "quartile" in markdown


def test_cells_are_the_figures_of_the_json(run):
    found = json.loads(json.dumps(run[1]))
    case = found["cases"][0]
    case["entries"][0].update(gb_per_s=3.456, fraction=0.789)
    case["entries"][1].update(gb_per_s=12.34)
    case["roofline"]["read"]["gb_per_s"] = 45.67
    case["times_fastest_peer"] = 2.25
    table = report.tables(found)[0]
    names = [entry["peer"] for entry in case["entries"]]
    assert table.head == ["classes", "R", *names, "of R", "x peer"]
    assert table.rows[0][:4] == ["10", "45.7", "3.46", "12.3"]
    assert table.rows[0][-2:] == ["0.79", "2.2"]


def test_other_operations_and_layouts_run(tmp_path):
    names = [name for name in [*cases.OPERATIONS, *cases.LAYOUTS] if name not in ("forward", "gradient")]
    path = tmp_path / "result.json"
    done = bench(
        "--quick", "--ops", ",".join(names), "--classes", "7", "--peers", "numpy", "--json", str(path)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(path.read_text())
    for case in found["cases"]:
        statuses = [entry["status"] for entry in case["entries"]]
        known = not any(
            loss in case["operation"] for loss in ("focal", "binary")
        )  # NumPy has no such function
        assert statuses == ["ok"] * (len(statuses) - 1) + ["ok" if known else "unsupported"], case[
            "operation"
        ]
    assert len(found["cases"]) == len(cases.OPERATIONS) - 2 + 1 + 1 + 2 + 2


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_other_dtypes_run(dtype, tmp_path):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    path = tmp_path / "result.json"
    done = bench(
        "--quick",
        "--dtype",
        dtype,
        "--classes",
        "7",
        "--peers",
        "numpy",
        "--threads",
        "1",
        "--json",
        str(path),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(path.read_text())
    assert found["settings"]["threads"] == found["roofline"]["threads"] == found["machine"]["cpus"] == 1
    assert {entry["status"] for case in found["cases"] for entry in case["entries"]} == {"ok"}


def test_small_calls(tmp_path):
    path = tmp_path / "result.json"
    done = bench("--small", "--quick", "--peers", "numpy", "--json", str(path))
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    assert found["roofline"] is None
    assert [case["shape"] for case in found["cases"]] == 2 * [list(shape) for shape in cases.SMALL_SHAPES]
    for case in found["cases"]:
        assert [entry["peer"] for entry in case["entries"]] == ["xent_native", "xent_native-class", "numpy"]
        assert all(entry["calls_per_sample"] >= 1 for entry in case["entries"])
    assert "forward 32x10" in done.stdout


def test_crossover(tmp_path):
    path = tmp_path / "result.json"
    done = bench("--crossover", "--quick", "--json", str(path))
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    assert found["serial_below"] == crossover.serial_below()
    assert [curve["classes"] for curve in found["curves"]] == list(crossover.CLASSES)
    assert "code splits" in done.stdout


# The library and its benchmark


def test_the_library_never_imports_the_benchmark():
    sources = list((ROOT / "xent_native").glob("*.py"))
    assert sources
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "bench" for name in names), path
