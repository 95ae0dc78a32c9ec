# SPDX-License-Identifier: BSD-3-Clause
"""What is built and published, as files say it: wheels, workflows, versions, forms. tests/slow/wheels.py builds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
import release

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
if not GITHUB.exists():  # a source distribution
    pytest.skip("the workflows are not part of a source distribution", allow_module_level=True)

PYTHONS = ("cp311", "cp314t", "cp315t")
WHEELS = {
    "linux": [f"{kind}linux_{cpu}" for kind in ("many", "musl") for cpu in ("x86_64", "aarch64")],
    "macos": ["macosx_arm64", "macosx_x86_64"],
    "windows": ["win_amd64"],
}


def tool(name: str) -> str:
    """A program of the extra `wheels`, or of the system; the test is skipped without it."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing: pip install -e '.[wheels]'")
    return found


def run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def parsed(path: Path) -> dict:
    return pytest.importorskip("yaml").safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("platform", WHEELS)
def test_wheels_that_a_release_has(platform, monkeypatch):
    """cibuildwheel reads pyproject.toml, and would build these and no others."""
    for name in [name for name in os.environ if name.startswith("CIBW_")]:
        monkeypatch.delenv(name)
    listed = run(tool("cibuildwheel"), "--print-build-identifiers", "--platform", platform).split()
    assert sorted(listed) == sorted(f"{python}-{wheel}" for python in PYTHONS for wheel in WHEELS[platform])


def test_wheels_are_tested_with_what_the_runner_needs():
    import installed

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["cibuildwheel"]
    assert settings["test-requires"] == list(installed.REQUIRED)
    assert settings["test-command"] == "python {project}/tests/installed.py --openmp"
    missing = [name for name in installed.MODULES if not (ROOT / "tests" / f"test_{name}.py").exists()]
    assert not missing


def test_the_source_tree_is_no_installed_package():
    """Where an editable install is what runs the tests, the runner must not take it for a wheel."""
    import xent_native

    if not Path(xent_native.__file__).is_relative_to(ROOT / "xent_native"):
        pytest.skip("this is no editable install")
    command = [sys.executable, str(ROOT / "tests" / "installed.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    assert "is the source tree" in done.stderr


# The workflows.


def test_the_workflows_are_there():
    assert [path.stem for path in WORKFLOWS] == ["checks", "docs", "release", "wheels"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned(path):
    """By the hash of a commit, which nobody can move, and with the version that it is."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if (used := re.match(r"[\s-]*uses:\s*(.*)", line)) and not used[1].startswith("./"):
            assert re.fullmatch(r"[\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used[1]), line


def test_an_action_has_one_version():
    pins: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for name, version in re.findall(r"uses: ([^\s@]+)@(.*)", path.read_text(encoding="utf-8")):
            pins.setdefault(name, set()).add(version)
    assert "actions/checkout" in pins
    assert not {name: versions for name, versions in pins.items() if len(versions) > 1}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_jobs_say_what_they_prove(path):
    text = path.read_text(encoding="utf-8")
    jobs = parsed(path)["jobs"]
    for name, job in jobs.items():
        assert job.get("name"), f"{name} has no name"
        heading = re.search(rf"((?:^  # .*\n)+)  {name}:\n", text, re.MULTILINE)
        assert heading, f"no comment above {name}"
        assert heading[1].startswith("  # Proves: "), name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_may_do_little(path):
    """They read the repository; what a job may do beyond that, it lists, and no secret is stored."""
    workflow = parsed(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in path.read_text(encoding="utf-8")
    for name, job in workflow["jobs"].items():
        assert set(job.get("permissions", {})) <= {"pages", "id-token"}, name
        if "uses" not in job:
            assert job["timeout-minutes"] <= 360, name


def test_only_publishing_jobs_can_prove_who_they_are():
    allowed = {
        (path.stem, name)
        for path in WORKFLOWS
        for name, job in parsed(path)["jobs"].items()
        if "id-token" in job.get("permissions", {})
    }
    assert allowed == {("docs", "publish"), ("release", "publish")}


def test_workflows_run_what_there_is():
    """Scripts that a workflow calls exist, and so do the extras that it installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    scripts = set(re.findall(r"run: (?:bash|python) (\S+/\S+)", text))
    assert {".ci/run", ".ci/nightly", "tests/release.py", "tests/slow/wheels.py"} <= scripts
    assert not {name for name in scripts if not (ROOT / name).exists()}
    for extras in re.findall(r"'\.\[([\w,]+)\]'", text):
        assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_workflows_are_valid():
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.dependabot", GITHUB / "dependabot.yml")


def test_workflows_have_no_known_weakness():
    run(tool("zizmor"), "--offline", "--quiet", "--min-severity=medium", GITHUB)


# Forms, and the version.


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_forms_are_valid(path):
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.github-issue-forms", path)


def test_forms_ask_for_what_a_report_needs():
    assert [path.stem for path in FORMS] == ["bug", "feature", "performance"]
    for name in ("bug", "performance"):
        fields = {part.get("id"): part for part in parsed(GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml")["body"]}
        assert fields["info"]["attributes"]["label"] == "Output of `python -m xent_native info`"
        assert fields["info"]["validations"]["required"]
    config = GITHUB / "ISSUE_TEMPLATE" / "config.yml"
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.github-issue-config", config)


def test_one_version_everywhere():
    found = release.versions()
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["pyproject.toml"])
    assert len(set(found.values())) == 1, found


def test_the_citation_has_what_its_format_demands():
    citation = parsed(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors", "version"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [a["name"] for a in project["authors"]]


def test_a_tag_that_is_no_release(monkeypatch):
    version = release.versions()["pyproject.toml"]
    monkeypatch.setattr(release, "unreleased", lambda changelog: "")
    assert not release.wrong(f"v{version}")
    assert len(release.wrong(version)) == len(release.PLACES)
    monkeypatch.setattr(release, "unreleased", lambda changelog: "* something")
    assert release.wrong(f"v{version}") == ["CHANGELOG.md has changes under [Unreleased]"]


def test_changes_that_are_not_released():
    assert release.unreleased("# A\n\n## [Unreleased]\n\n### Added\n\n* x\n\n## [1.0.0]\n\n* y\n").endswith(
        "* x"
    )
    assert release.unreleased("# A\n\n## [Unreleased]\n\n## [1.0.0]\n\n* y\n") == ""
