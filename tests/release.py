# SPDX-License-Identifier: BSD-3-Clause
"""What a release needs to agree on: the version, wherever it is written. The release workflow asks for it.

python tests/release.py v0.1.0
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Where the version stands: the first match of each. The changelog may have changes above, which are not released yet.
PLACES = {
    "pyproject.toml": r'^version = "(.+)"$',
    "xent_native/__init__.py": r'^__version__ = "(.+)"$',
    "CITATION.cff": r"^version: (.+)$",
    "CHANGELOG.md": r"^## \[(\d.*)\]",
}


def versions() -> dict[str, str]:
    """The version that each file names."""
    found = {}
    for name, pattern in PLACES.items():
        match = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        found[name] = match[1] if match else "none"
    return found


def unreleased(changelog: str) -> str:
    """What a changelog has under its heading of changes that are not released."""
    return changelog.partition("## [Unreleased]\n")[2].partition("\n## [")[0].strip()


def wrong(tag: str) -> list[str]:
    """What keeps this tag from being a release."""
    found = [
        f"{name} has the version {version}, the tag is {tag}"
        for name, version in versions().items()
        if tag != f"v{version}"
    ]
    if unreleased((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")):
        found.append("CHANGELOG.md has changes under [Unreleased]")
    return found


def main() -> int:
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} TAG")
    found = wrong(sys.argv[1])
    print("\n".join(found) or f"{sys.argv[1]} is the version everywhere")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
