# SPDX-License-Identifier: BSD-3-Clause
"""Makes the pictures of performance.md from the committed results of the bench: `python docs/performance_pictures.py`.

Needs matplotlib. A picture names the run that it shows, in its metadata too, which the tests compare with the results.
"""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "pictures"
RESULTS = Path(__file__).parent.parent / "bench" / "results"
PICTURES = {"peers-loss": "peers", "peers-gradient": "peers", "limits": "limits"}  # of which result each is
ROOFS = {"read": "R: memory, read", "copy": "W: memory, read and written"}


def result(name: str) -> dict[str, Any]:
    """What a run of the bench wrote."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def run_of(name: str) -> str:
    """Which run it was."""
    found = result(name)
    return f"bench/results/{name}.json, {found['date'][:10]}, commit {found['commit']['hash'][:10]}"


def shown_run(picture: str) -> str:
    """The run that a picture shows, by its metadata."""
    text = (FOLDER / f"{picture}.svg").read_text(encoding="utf-8")
    found = re.search(r"<dc:source>([^<]*)</dc:source>", text)
    return found[1] if found else ""


def peers(operation: str, name: str, title: str) -> None:
    """Bytes a second of each library, by the number of classes, under what memory gives."""
    cases = [case for case in result("peers")["cases"] if case["operation"] == operation]
    classes = [case["classes"] for case in cases]
    roof = cases[0]["roof"]
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    axes.plot(
        classes, [case["roofline"][roof]["gb_per_s"] for case in cases], "k:", label=ROOFS[roof], zorder=1
    )
    labels = [entry["peer"] for entry in cases[0]["entries"]]
    for label in labels:
        speeds = {
            case["classes"]: entry["gb_per_s"]
            for case in cases
            for entry in case["entries"]
            if entry["peer"] == label and entry["status"] == "ok"
        }
        style = {"linewidth": 2.5, "zorder": 3} if label.startswith("xent_native") else {"linewidth": 1.2}
        axes.plot(list(speeds), list(speeds.values()), "o-", markersize=4, label=label, **style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(classes, [f"{count:,}" for count in classes], fontsize="small")
    axes.minorticks_off()
    axes.set_yticks([0.1, 1, 10], ["0.1", "1", "10"])
    axes.grid(alpha=0.3)
    axes.set(xlabel="classes", ylabel="GB/s, more is better", title=title)
    figure.legend(loc="outside right upper", fontsize="small", frameon=False)
    save(figure, name)


def limits() -> None:
    """Every figure as a part of its target, by section: 1 and more is a pass."""
    lines = result("limits")["lines"]
    sections = list(dict.fromkeys(line["section"] for line in lines))
    figure, axes = plt.subplots(figsize=(7, 0.42 * len(sections) + 1.4), layout="constrained")
    for place, section in enumerate(sections):
        parts = [
            line["figure"] / line["target"]
            if line["at_least"]
            else line["target"] / max(line["figure"], 1e-9)
            for line in lines
            if line["section"] == section
        ]
        for part in parts:
            good = part >= 1
            axes.plot(
                min(part, 10.0),
                place,
                "o" if good else "v",
                color="tab:blue" if good else "tab:orange",
                alpha=0.7,
            )
    axes.axvline(1, color="k", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(0.2, 12)
    axes.minorticks_off()
    axes.set_xticks([0.25, 0.5, 1, 2, 4, 10], ["1/4", "1/2", "target", "2", "4", "10+"])
    axes.set_yticks(
        range(len(sections)),
        ["\n".join(textwrap.wrap(section, 48)) for section in sections],
        fontsize="small",
    )
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set(xlabel="figure over target: dots pass, triangles are short")
    save(figure, "limits")


def save(figure: Any, name: str) -> None:
    """As SVG that is the same whenever it is made."""
    figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None, "Source": run_of(PICTURES[name])})


if __name__ == "__main__":
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "xent_native"
    import matplotlib.pyplot as plt

    peers("forward", "peers-loss", "Loss, float32 logits, integer labels")
    peers("gradient", "peers-gradient", "Loss and gradient, float32 logits, integer labels")
    limits()
