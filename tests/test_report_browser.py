# SPDX-License-Identifier: BSD-3-Clause
"""The report in headless Chromium: on a phone, in the dark, on paper, sorted, read aloud, and with hostile names."""

from __future__ import annotations

import re
import struct

import browser
import numpy as np
import pytest

from xent_native import LossAccumulator, report

pytestmark = pytest.mark.skipif(browser.PROGRAM is None, reason="Chromium is not installed")

HOSTILE = "</title></script><script>alert(1)</script><img src=x onerror=alert(1)>"


def accumulator(classes: int, rows: int, groups=None, **options) -> LossAccumulator:
    g = np.random.default_rng(classes)
    y = g.integers(0, classes, rows)
    x = 2 * g.normal(size=(rows, classes))
    x[np.arange(rows), y] += 4
    acc = LossAccumulator(from_logits=True, **options)
    acc.update(y, x, groups=groups, source="predictions.npy")
    return acc


def hostile() -> LossAccumulator:
    acc = LossAccumulator()
    for i in range(2):
        groups = [HOSTILE, "W" * 9000, "c"]
        acc.update([0, 1, 2], np.eye(3)[[1, 2, 0]] + 0.1, groups=groups, source=f"{HOSTILE * 20}{i}")
    return acc


PAGES = {
    "plain": lambda path: report.write_html(
        accumulator(10, 2000), path, title="Ten classes", before=accumulator(10, 500)
    ),
    "groups": lambda path: report.write_html(
        accumulator(30, 2000, [f"a group with a name {i % 30}" for i in range(2000)]), path, title="Groups"
    ),
    "many": lambda path: report.write_html(
        accumulator(500, 3000, classwise=True),
        path,
        title="Many",
        class_names=[f"class number {k}" for k in range(500)],
    ),
    "hostile": lambda path: report.write_html(
        hostile(), path, title=HOSTILE + "M" * 3000, class_names=["W" * 10_000, HOSTILE, ""]
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for name, write in PAGES.items():
        write(folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in PAGES}


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    one = browser.Browser(tmp_path_factory.mktemp("chromium"))
    yield one
    one.close()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [320, 390, 768, 1200])
def test_nothing_scrolls_sideways(chromium, pages, name, width):
    chromium.open(pages[name], width=width)
    assert chromium.run("innerWidth") == width
    assert chromium.run("document.documentElement.scrollWidth") <= width
    beyond = chromium.run("""[...document.querySelectorAll("main, section, h1, .cards, svg.chart")].filter(
        e => e.getBoundingClientRect().right > innerWidth).length""")
    assert beyond == 0


@pytest.mark.parametrize("name", ["plain", "groups"])
def test_tables_fit_on_a_phone(chromium, pages, name):
    chromium.open(pages[name], width=390)
    wide = chromium.run("""[...document.querySelectorAll(".table")].filter(
        t => t.scrollWidth > t.clientWidth).map(t => t.ariaLabel)""")
    assert wide == []


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("name", PAGES)
def test_heads_stand_over_their_columns(chromium, pages, name, width):
    chromium.open(pages[name], width=width)
    askew = chromium.run("""[...document.querySelectorAll("table")].filter(t => t.offsetWidth).flatMap(t => {
        const shown = row => [...row.cells].map(c => c.offsetWidth);
        return [...t.tBodies[0].rows].filter(r => "" + shown(r) !== "" + shown(t.tHead.rows[0]));
    }).length""")
    assert askew == 0


@pytest.mark.parametrize("width", [390, 1200])
def test_letters_in_charts_can_be_read(chromium, pages, width):
    chromium.open(pages["plain"], width=width)
    sizes = chromium.run("""[...document.querySelectorAll("svg.chart text")].map(
        t => parseFloat(getComputedStyle(t).fontSize) * t.ownerSVGElement.getBoundingClientRect().width
             / t.ownerSVGElement.viewBox.baseVal.width)""")
    assert len(sizes) > 50
    assert min(sizes) >= 8


@pytest.mark.parametrize("name", PAGES)
def test_letters_stay_inside_their_chart(chromium, pages, name):
    chromium.open(pages[name], width=1200)
    outside = chromium.run("""[...document.querySelectorAll("svg.chart text")].filter(t => {
        const a = t.getBoundingClientRect(), b = t.ownerSVGElement.getBoundingClientRect();
        return a.left < b.left - 1 || a.right > b.right + 1 || a.top < b.top - 1 || a.bottom > b.bottom + 1;
    }).map(t => t.textContent)""")
    assert outside == []


def luminance(colour: str) -> float:
    """Relative luminance of an rgb() colour (WCAG 2.2)."""
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("scheme", "media"), [("light", ""), ("dark", ""), ("dark", "print")])
def test_colours_have_contrast(chromium, pages, scheme, media):
    """At least 4.5, as WCAG 2.2 asks for text (1.4.3); 3 for lines and dots of charts (1.4.11)."""
    chromium.open(pages["plain"], scheme=scheme, media=media)
    style = "getComputedStyle(document.querySelector({!r})).{}".format
    paper = chromium.run(style("section", "backgroundColor"))
    assert (luminance(paper) < 0.05) == (scheme == "dark" and media != "print")
    for selector, name in (
        ("td", "color"),
        (".hint", "color"),
        ("thead th", "color"),
        (".chart text", "fill"),
    ):
        assert contrast(chromium.run(style(selector, name)), paper) >= 4.5, selector
    for selector, name in (
        (".dot", "fill"),
        (".interval", "stroke"),
        (".guess", "stroke"),
        (".ideal", "stroke"),
    ):
        assert contrast(chromium.run(style(selector, name)), paper) >= 3, selector


COLUMN = "[...document.querySelectorAll('table.sortable tbody tr')].map(r => r.cells[{}].textContent)".format


def test_a_click_sorts(chromium, pages):
    chromium.open(pages["plain"])
    loss = chromium.run(COLUMN(2))
    assert loss == sorted(loss, key=lambda text: -float(text.split()[0]))
    heads = "document.querySelectorAll('table.sortable th button')"
    for order, descending in (("descending", True), ("ascending", False)):
        chromium.run(f"{heads}[1].click()")
        rows = [int(text.replace(",", "")) for text in chromium.run(COLUMN(1))]
        assert rows == sorted(rows, reverse=descending)
        assert chromium.run(f"{heads}[1].parentNode.ariaSort") == order
    chromium.run(f"{heads}[0].click()")
    assert chromium.run(COLUMN(0)) == [str(k) for k in range(9, -1, -1)]
    assert chromium.run("document.querySelectorAll('[aria-sort]').length") == 1


def test_without_scripts_the_tables_stand(chromium, pages):
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(pages["plain"])
        document = chromium.call("DOM.getDocument")["root"]["nodeId"]

        def found(selector):
            return len(chromium.call("DOM.querySelectorAll", nodeId=document, selector=selector)["nodeIds"])

        assert found("table.sortable tbody tr") == 10
        assert found("button") == 0
    finally:
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_refused_fetched_or_opened(chromium, pages, name):
    """The policy lets the page's own style and script in, and nothing of what names hold."""
    chromium.open(pages[name])
    assert chromium.run("document.querySelectorAll('th button').length") > 0
    assert chromium.run("getComputedStyle(document.querySelector('section')).borderRadius") == "10px"
    kinds = [event.get("method") for event in chromium.events]
    assert "Page.javascriptDialogOpening" not in kinds
    assert "Log.entryAdded" not in kinds
    assert "Runtime.exceptionThrown" not in kinds
    asked = [
        e["params"]["request"]["url"] for e in chromium.events if e["method"] == "Network.requestWillBeSent"
    ]
    assert asked == [pages[name].as_uri()]
    assert chromium.run("document.querySelectorAll('img').length + document.scripts.length") == 1


def test_the_policy_refuses_scripts_of_others(chromium, pages, tmp_path):
    """Were an escape forgotten, this would hold: a script in the page that is not its own does not run."""
    text = pages["plain"].read_text(encoding="utf-8")
    broken = tmp_path / "broken.html"
    broken.write_text(
        text.replace("</h1>", "</h1><script>document.title = 'taken'</script>", 1), encoding="utf-8"
    )
    chromium.open(broken)
    assert chromium.run("document.title") == "Ten classes"
    assert "Content Security Policy" in str(chromium.events)


def test_it_prints_on_few_pages(chromium, pages):
    chromium.open(pages["plain"], scheme="dark")
    pdf = chromium.pdf()
    assert pdf.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 4


def test_charts_and_tables_have_names_for_screen_readers(chromium, pages):
    chromium.open(pages["plain"])
    nodes = chromium.call("Accessibility.getFullAXTree")["nodes"]
    names = {}
    for node in nodes:
        names.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    images = names.get("image", names.get("img", []))
    assert len(images) == 3
    assert all(len(one) > 40 for one in images)
    assert {"Classes", "Worst rows", "Most frequent mistakes"} <= set(names["table"])


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "light"), (1200, "dark")])
def test_a_screenshot_shows_more_than_a_background(chromium, pages, width, scheme):
    """Tests see whether there is a picture; whether it is good, people saw."""
    chromium.open(pages["plain"], width=width, scheme=scheme)
    picture = chromium.screenshot()
    assert picture.startswith(b"\x89PNG")
    assert struct.unpack(">I", picture[16:20]) == (width,)
    assert len(picture) > 50_000
