# SPDX-License-Identifier: BSD-3-Clause
"""The command line of the benchmark: does what the options say, and prints."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections.abc import Sequence

from . import UsageError, cases, compare, documents, options, report, result, runs
from .limits.parts import PARTS
from .peers import PEERS, Peer, Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status is 0 unless xent_native has no figure, or a check or a comparison fails."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return _run(options.parse(arguments), shlex.join(["python", "-m", "bench", *arguments]))
    except (UsageError, FileNotFoundError) as error:
        options.parser().error(str(error))


def _run(chosen: argparse.Namespace, command: str) -> int:
    if chosen.list:
        print(_listing())
        return 0
    if chosen.show:
        print(report.render(result.read(chosen.show), chosen.markdown, chosen.details))
        return 0
    if chosen.compare:
        return _compare(chosen)
    if chosen.update_docs is not None:
        documents.update(chosen.documents, chosen.update_docs or documents.RESULTS)
        return 0
    if chosen.check_docs is not None:
        return _check_docs(chosen)
    measured = runs.run(chosen, command, _say)
    _say("")
    if chosen.json:
        result.write(measured, chosen.json)
    print(report.render(measured, chosen.markdown, chosen.details))
    return 0 if result.ours_has_figures(measured) else 1


def _compare(chosen: argparse.Namespace) -> int:
    if not 0 <= chosen.least < math.inf:
        raise UsageError(f"--least must be a percentage of at least 0; got {chosen.least}")
    old, new = (result.read(path) for path in chosen.compare)
    found = compare.compare(old, new, chosen.least / 100, chosen.anyway)
    print(compare.render(found, chosen.details, chosen.markdown))
    return 1 if found.of("slower") else 0


def _check_docs(chosen: argparse.Namespace) -> int:
    results = chosen.check_docs or documents.RESULTS
    outdated = documents.outdated(chosen.documents, results)
    for document in outdated:
        files = " ".join(map(str, chosen.check_docs))
        print(
            f"{document} has other tables: run python -m bench --update-docs {files}".rstrip(),
            file=sys.stderr,
        )
    return 1 if outdated else 0


def _listing() -> str:
    operations = {
        operation.name: operation.summary for operation in cases.OPERATIONS.values()
    } | cases.LAYOUTS
    lines = ["operations (--ops):", *(f"  {name:<22}{summary}" for name, summary in operations.items())]
    lines += ["", "competitors (--peers):"]
    for name, kind in PEERS.items():
        peer: Peer = kind(Settings())
        version = peer.versions()[peer.package]
        state = f"{peer.package} {version}" if version else f"{peer.package} is not installed"
        lines.append(f"  {name:<24}{peer.summary} ({state})")
    lines += ["", "parts of --limits (--parts):"]
    lines += [f"  {name:<22}{(part.__doc__ or '').splitlines()[0]}" for name, part in PARTS.items()]
    return "\n".join(lines)


def _say(text: str) -> None:
    """What is going on, for a person who waits: on one line of a terminal, else on none."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()
