# SPDX-License-Identifier: BSD-3-Clause
"""The report: its figures, its structure, hostile names, and that nothing in it comes from elsewhere."""

from __future__ import annotations

import io
import itertools
import math
import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from xent_native import LossAccumulator, report
from xent_native.report import _figures, _numbers

DIGITS = Path(__file__).parent / "data" / "digits"
HOSTILE = "</title></style></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x00\u202e\ud800"
VOID = {"meta", "br"}


def digits(**options) -> LossAccumulator:
    """Of the real predictions that the README scores."""
    acc = LossAccumulator(from_logits=True, **options)
    acc.update(np.load(DIGITS / "labels.npy"), np.load(DIGITS / "logits.npy"), source="logits.npy")
    return acc


def random(classes: int, rows: int = 400, weights: bool = False, **options) -> LossAccumulator:
    g = np.random.default_rng(classes)
    x, y = 2 * g.normal(size=(rows, classes)), g.integers(0, classes, rows)
    groups = options.pop("groups", None)
    acc = LossAccumulator(from_logits=True, **options)
    acc.update(y, x, g.random(rows) if weights else None, groups=groups)
    return acc


def page(result, title="A title", **options) -> str:
    stream = io.StringIO()
    report.write_html(result, stream, title=title, **options)
    return stream.getvalue()


class Page(HTMLParser):
    """Elements with their attributes and text; fails where one is not closed, or not in its order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), tag
        self.words.setdefault(tag, []).append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        for tag in set(self._open):
            self.words[tag][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


CASES = {
    "digits": lambda: page(digits(classwise=True), before=digits(bins=7)),
    "two classes": lambda: page(random(2)),
    "one class": lambda: page(random(1)),
    "weights and groups": lambda: page(random(5, weights=True, groups=["a", "b"] * 200)),
    "thousands of classes": lambda: page(random(3000)),
    "sixty classes": lambda: page(random(60, bins=100)),
    "hostile": lambda: page(hostile(), HOSTILE, class_names=[HOSTILE, "", "x" * 10_000]),
    "nothing": lambda: page(LossAccumulator()),
    "one row": lambda: page(random(4, rows=1)),
    "nothing but NaN": lambda: page(nothing_but_nan()),
    "infinite and without loss": lambda: page(extremes()),
}


def hostile() -> LossAccumulator:
    acc = LossAccumulator()
    acc.update([0, 1, 2], np.eye(3)[[1, 2, 0]] + 0.1, groups=[HOSTILE, "b", "c"], source=HOSTILE)
    acc.update([0], [[0.1, 0.2, 0.7]], source="another")
    return acc


def nothing_but_nan() -> LossAccumulator:
    acc = LossAccumulator(from_logits=True)
    acc.update([0, 1], np.full((2, 3), np.nan), groups=["a", "b"])
    return acc


def extremes() -> LossAccumulator:
    acc = LossAccumulator(from_logits=True)
    acc.update([0, 1, 2], [[-np.inf, 0, 0], [0, 1e6, 0], [0, 2000, 0]])
    acc.skip(1)
    return acc


@pytest.mark.parametrize("case", CASES)
class TestEveryPage:
    def test_elements_are_closed_in_their_order(self, case):
        assert Page(CASES[case]()).all("html") == [{"lang": "en"}]

    def test_it_can_be_read_aloud(self, case):
        """Charts have a text, tables heads and a caption, and headings leave no level out."""
        found = Page(CASES[case]())
        for svg in found.all("svg"):
            assert svg.get("aria-hidden") == "true" or (svg["role"] == "img" and len(svg["aria-label"]) > 20)
        assert len(found.all("caption")) == len(found.all("table"))
        assert all(one.get("scope") in ("row", "col") for one in found.all("th"))
        assert len(found.all("h1")) == 1
        levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
        assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
        assert all(one["aria-label"] for one in found.all("div") if one.get("role") == "region")

    def test_nothing_comes_from_elsewhere(self, case):
        found = Page(CASES[case]())
        (policy,) = [one["content"] for one in found.all("meta") if "http-equiv" in one]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        tags = {tag for tag, _ in found.elements}
        assert not tags & {"img", "link", "iframe", "object", "form", "a", "image", "use"}
        assert (len(found.all("script")), len(found.all("style"))) == (1, 1)
        for tag, attributes in found.elements:
            assert not {"src", "href", "style"} & set(attributes), tag
            assert not [one for one in attributes if one.startswith("on")], tag

    def test_coordinates_are_numbers(self, case):
        for tag, attributes in Page(CASES[case]()).elements:
            for name in {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height"} & set(attributes):
                assert math.isfinite(float(attributes[name])), (tag, attributes)
                assert name not in ("width", "height") or float(attributes[name]) >= 0, (tag, attributes)

    def test_the_same_bytes_every_time(self, case):
        assert CASES[case]() == CASES[case]()


def test_names_from_data_are_text():
    text = page(hostile(), HOSTILE, class_names=[HOSTILE, "b", "c"])
    assert "<script>alert" not in text
    assert "<img" not in text
    for control in ("\x00", "\u202e", "\ud800"):
        assert control not in text
    found = Page(text)
    shown = HOSTILE.replace("\x00", r"\x00").replace("\u202e", r"\u202e").replace("\ud800", r"\ud800")
    assert found.words["title"][0] == shown
    assert found.words["h1"] == [shown]
    assert found.words["bdi"].count(shown) >= 4  # heading, class, group, source
    text.encode()


def test_figures_of_the_digits():
    acc = digits(classwise=True)
    score = acc.result()
    text = page(acc)
    low, high = score.interval
    for figure in (
        "1,797 rows of 10 classes",
        f"{score.mean_loss:.4f}",
        f"95 %: {low:.4f} \u2013 {high:.4f}",
        f"{100 * score.accuracy:.2f}\u00a0%",
        f"{score.perplexity:.3f}",
        f"expected {100 * score.calibration.expected_error:.2f}\u00a0%",
        f"classwise {100 * score.calibration.classwise_error:.2f}\u00a0%",
        f"{score.worst[0].loss:.3f}",
        "All of them are in <bdi>logits.npy</bdi>",
    ):
        assert figure in text, figure
    wrong = sum(w for i, row in enumerate(score.confusion) for j, w in enumerate(row) if i != j)
    assert f"{wrong:.0f} of 1,797 wrong" in text
    assert page(score) == text


def test_before_and_after_stand_side_by_side():
    after = digits()
    before = LossAccumulator(from_logits=True)
    before.update(np.load(DIGITS / "labels.npy"), 3 * np.load(DIGITS / "logits.npy"))
    found = page(after, before=before)
    change = after.result().mean_loss - before.result().mean_loss
    assert "Before and after calibration" in found
    assert _numbers.number(change, 4) in found
    assert 'class="before"' in found
    assert "Before and after" not in page(after)


def test_classes_with_the_most_loss_come_first_and_the_rest_is_counted():
    acc = random(3000, rows=5000)
    score = acc.result()
    found = page(acc)
    assert "The 200 classes with the most loss; 2,800 others are not shown." in found
    order = [int(k) for k in re.findall(r'<th scope="row" data-v="(\d+)"', found)]
    total = [c.mean_loss * c.weight if c.support else 0.0 for c in score.per_class]
    assert order == sorted(range(3000), key=lambda k: (-total[k], k))[:200]
    assert len(found) < 200_000


def test_intervals_from_counts_are_left_out_with_weights():
    assert "95 % intervals. Below" in page(random(5))
    assert "95 % intervals. Below" not in page(random(5, weights=True))
    ones = LossAccumulator(from_logits=True)
    ones.update([0, 1], [[1.0, 0.0], [0.0, 1.0]], [1.0, 1.0])
    assert _figures.unweighted(ones.result())


def test_wilson_agrees_with_its_definition():
    """Its ends are where the normal test is at its 5 % bound: |p - x| = z sqrt(x (1 - x) / n)."""
    for share, rows in ((0.5, 10), (0.99, 1797), (0.1, 3)):
        for end in _figures.wilson(share, rows):
            assert abs(share - end) == pytest.approx(
                _figures.Z * math.sqrt(end * (1 - end) / rows), rel=1e-12
            )
    assert _figures.wilson(1.0, 5)[1] == 1.0
    assert all(map(math.isnan, _figures.wilson(math.nan, 0)))


@pytest.mark.parametrize("most", [1, 5, 44, 1000])
def test_bars_hold_all_weight(most):
    histogram = random(7, rows=3000, weights=True).result().histogram
    bars = _figures.loss_bars(histogram, most)
    assert len(bars.shares) <= most
    assert len(bars.edges) == len(bars.shares) + 1
    assert list(bars.edges) == sorted(set(bars.edges))
    assert math.fsum((*bars.shares, bars.zero, bars.above)) == pytest.approx(1, rel=1e-12)
    assert set(bars.edges) <= set(histogram.edges)


def test_what_a_reader_must_know_first():
    acc = digits()
    acc.update([0, 1], np.full((2, 10), np.nan), source="nan.npy")
    acc.skip(3)
    found = Page(page(acc))
    notes = [
        text
        for (tag, at), text in zip([e for e in found.elements if e[0] == "p"], found.words["p"], strict=True)
        if at.get("role") == "note"
    ]
    assert len(notes) == 2
    assert notes[0].startswith("2 rows of 1,799 have no loss")
    assert notes[1] == "3 rows could not be scored and were left out."


class TestWriting:
    def test_a_file_appears_whole_or_not_at_all(self, tmp_path, monkeypatch):
        path = tmp_path / "report.html"
        report.write_html(random(3), path, title="one")
        first = path.read_bytes()
        assert first.startswith(b"<!DOCTYPE html>")

        def full(*args):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space"):
            report.write_html(random(3), str(path), title="two")
        assert path.read_bytes() == first
        assert os.listdir(tmp_path) == ["report.html"]

    @pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
    def test_it_has_the_modes_of_any_other_file(self, tmp_path):
        report.write_html(random(3), tmp_path / "report.html", title="one")
        (tmp_path / "other").touch()
        assert (tmp_path / "report.html").stat().st_mode == (tmp_path / "other").stat().st_mode

    def test_a_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            report.write_html(random(3), tmp_path / "no" / "report.html", title="one")

    @pytest.mark.parametrize(
        ("result", "options", "error", "text"),
        [
            (3, {}, TypeError, "result must be a Score or a LossAccumulator; got int"),
            (random(3), {"before": "x"}, TypeError, "must be a Score or a LossAccumulator; got str"),
            (random(3), {"class_names": ["a"]}, ValueError, "one name for each of 3 classes; got 1"),
            (random(3), {"class_names": "abc"}, TypeError, "class_names must be a sequence"),
            (random(3), {"class_names": 3}, TypeError, "class_names must be a sequence"),
        ],
    )
    def test_bad_arguments(self, result, options, error, text):
        with pytest.raises(error, match=text):
            report.write_html(result, io.StringIO(), title="x", **options)

    def test_a_mapping_names_some_classes(self):
        found = Page(page(random(3), class_names={1: "one"}))
        assert {"0", "one", "2"} <= set(found.words["bdi"])


PLOTS = {
    "plot_reliability": {}, "plot_losses": {}, "plot_confusion": {"class_names": ["$\\frac{", "b", "c"]},
    "plot_classes": {"most": 2}, "plot_groups": {},
}  # fmt: skip


class TestPlots:
    @pytest.fixture(autouse=True)
    def backend(self):
        matplotlib = pytest.importorskip("matplotlib")
        matplotlib.use("agg")
        yield
        sys.modules["matplotlib.pyplot"].close("all")

    @pytest.mark.parametrize("name", PLOTS)
    def test_they_draw_into_given_axes_or_new_ones(self, name):
        from matplotlib import pyplot

        acc = random(3, groups=["a", "$b"] * 200)
        ax = pyplot.figure().add_subplot()
        assert getattr(report, name)(acc, ax, **PLOTS[name]) is ax
        new = getattr(report, name)(acc.result(), **PLOTS[name])
        assert new is not ax
        assert new.get_title()
        new.figure.savefig(io.BytesIO())

    def test_reliability_shows_what_the_bins_hold(self):
        acc = random(3)
        bins = [b for b in acc.result().calibration.equal_width if b.rows]
        line = report.plot_reliability(acc).get_lines()[-1]
        assert line.get_xydata().tolist() == [[b.confidence, b.accuracy] for b in bins]
        masses = [b for b in acc.result().calibration.equal_mass if b.rows]
        assert len(
            report.plot_reliability(acc, equal_mass=True, before=acc).get_lines()[-1].get_xdata()
        ) == len(masses)

    def test_classes_are_shares_of_all_loss(self):
        score = random(3).result()
        bars = [patch.get_width() for patch in report.plot_classes(score).patches]
        total = [c.mean_loss * c.weight for c in score.per_class]
        assert bars == pytest.approx(sorted((t / sum(total) for t in total), reverse=True))

    @pytest.mark.parametrize("name", PLOTS)
    def test_without_matplotlib_the_error_names_the_extra(self, name, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(ModuleNotFoundError, match=r"xent-native\[plot\]"):
            getattr(report, name)(random(3, groups=["a", "b"] * 200), **PLOTS[name])

    def test_what_is_not_there_is_said(self):
        with pytest.raises(ValueError, match="no confusion matrix: 3 classes are more than max_confusion"):
            report.plot_confusion(random(3, max_confusion=2))
        with pytest.raises(ValueError, match="no groups"):
            report.plot_groups(random(3))
