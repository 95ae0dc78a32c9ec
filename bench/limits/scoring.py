# SPDX-License-Identifier: BSD-3-Clause
"""Files of predictions that are scored from the page cache, beside plain reads of the same files in the same rounds.

What is read is all that is scored: predictions and labels. Files are made in a temporary folder, one kind after the
other, and deleted.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..timing import Contestant, quartiles, ratios, run_rounds
from . import targets
from .line import Line, line_of
from .memory import run_probe
from .session import Session

SECTION = "Scoring files from the page cache, float32, from logits: {}"
SPEED = SECTION.format("speed, of that of reading")
CHUNK = 8 << 20  # bytes that are read at a time, as score does
PAGE = 4096
BLOCK = 1 << 21  # logits that are drawn; files repeat them
SPARE = 1.5  # of the room that files take, so that a run does not fill the disk


@dataclass(frozen=True)
class Files:
    """Predictions and labels in files, and what their score must say."""

    predictions: Path
    labels: Path | None
    rows: int
    classes: int
    mean_loss: float

    @property
    def paths(self) -> list[Path]:
        """All files."""
        return [path for path in (self.predictions, self.labels) if path is not None]

    @property
    def what(self) -> str:
        """For a line: kind and shape."""
        return f"{self.predictions.suffix}, ({self.rows:,}, {self.classes:,})"


def scoring(session: Session) -> Iterator[Line]:
    """Files of predictions, beside plain reads of the same files; the peak of memory."""
    import xent_native

    xent_native.set_isa(session.isas[0])
    for part, kind in ((_wide, "npy"), (_narrow, "npy"), (_parquet, "parquet")):
        with tempfile.TemporaryDirectory(prefix="bench-scoring-") as folder:
            yield from part(session, Path(folder), _missing(session, folder, kind))


def _missing(session: Session, folder: str, kind: str) -> str:
    """Why there can be no files, or nothing."""
    if kind == "parquet" and importlib.util.find_spec("pyarrow") is None:
        return "pyarrow is not installed"
    free = shutil.disk_usage(folder).free / 1e6
    if free < SPARE * session.file_megabytes:
        return f"{folder} has {free:,.0f} MB left: set TMPDIR, or a smaller --file-mb"
    return ""


# What is measured


def _wide(session: Session, folder: Path, missing: str) -> Iterator[Line]:
    """Many classes: the kernel beside the read; and the memory of it."""
    classes = targets.SCORING_WIDE
    lines: dict[str, tuple[float, dict[str, Any]]] = {
        "calibration and top-5": (targets.SCORING_READ, {}),
        "calibration, no top-k": (targets.SCORING_READ, {"top_k": ()}),
        "top-5 and calibration of each class": (targets.SCORING_CLASSWISE, {"classwise": True}),
    }
    memory = SECTION.format("most memory of a process")
    if missing:
        for what, (goal, _) in lines.items():
            yield line_of(SPEED, f".npy, C = {classes:,}: {what}", "times", goal, (), remark=missing)
        yield Line(
            memory, f".npy, C = {classes:,}", "MB", targets.SCORING_MEMORY, None, False, remark=missing
        )
        return
    session.say(f"scoring: making files of {classes} classes")
    files = write_npy(folder, session.file_megabytes, classes)
    calls = [scored(files, session.threads, **options) for _, options in lines.values()]
    found = beside(session, files, plain_read(files), calls)
    for (what, (goal, _)), (samples, remark) in zip(lines.items(), found, strict=True):
        yield line_of(SPEED, f"{files.what}: {what}", "times", goal, samples, remark=remark)
    yield peak(files, session, memory)


def _narrow(session: Session, folder: Path, missing: str) -> Iterator[Line]:
    """Few classes: what each row costs shows."""
    section = SECTION.format("time, over that of reading")
    classes, goal = targets.SCORING_NARROW, targets.SCORING_TIME
    lines: dict[str, dict[str, Any]] = {
        "calibration and top-5": {},
        "calibration, no top-k": {"top_k": ()},
    }
    if missing:
        for what in lines:
            yield line_of(section, f".npy, C = {classes}: {what}", "times", goal, (), at_least=False,
                          remark=missing)  # fmt: skip
        return
    session.say(f"scoring: making files of {classes} classes")
    files = write_npy(folder, session.file_megabytes, classes)
    found = beside(
        session, files, plain_read(files), [scored(files, session.threads, **each) for each in lines.values()]
    )
    for what, (samples, remark) in zip(lines, found, strict=True):
        times = [1 / each for each in samples]
        yield line_of(section, f"{files.what}: {what}", "times", goal, times, at_least=False, remark=remark)


def _parquet(session: Session, folder: Path, missing: str) -> Iterator[Line]:
    """A column of lists beside pyarrow's two ways to read it in batches."""
    goal, classes = targets.SCORING_PARQUET, targets.SCORING_WIDE
    names = ("ParquetFile.iter_batches", "dataset.to_batches")
    if missing:
        for name in names:
            yield line_of(
                SPEED, f".parquet, C = {classes:,}: beside {name}", "times", goal, (), remark=missing
            )
        return
    session.say("scoring: making a Parquet file")
    files = write_parquet(folder, session.file_megabytes, classes)
    for name, read in zip(names, arrow_reads(files), strict=True):
        ((samples, remark),) = beside(session, files, read, [scored(files, session.threads)])
        yield line_of(SPEED, f"{files.what}: beside {name}", "times", goal, samples, remark=remark)


def beside(
    session: Session, files: Files, plain: Callable[[], Any], calls: Sequence[Callable[[], str]]
) -> list[tuple[list[float], str]]:
    """For each call, the time of `plain` over its own, round by round, and how fast `plain` was in GB/s of the files.

    A call with a wrong result has no times, and what is wrong with it.
    """
    session.say("scoring: measuring")
    wrong = [call() for call in calls]
    plain()  # now all of it is in the page cache, if it fits
    contestants = [Contestant(plain), *map(Contestant, calls)]
    plan = replace(session.plan, repeats=min(session.plan.repeats, 7))
    for contestant in contestants:
        contestant.plan(plan, batched=False)
    rounds = max(contestant.repeats for contestant in contestants)
    run_rounds(contestants, rounds, plan.pause)
    read, *others = (contestant.samples for contestant in contestants)
    speed = sum(path.stat().st_size for path in files.paths) / quartiles(read)[1] / 1e9
    return [
        ([], remark) if remark else (ratios(read, ours, rounds), f"read at {speed:.1f} GB/s")
        for ours, remark in zip(others, wrong, strict=True)
    ]


def scored(files: Files, threads: int, **options: Any) -> Callable[[], str]:
    """A call that scores the files and says what is wrong with the result, if anything."""
    from xent_native import scoring

    if files.labels is None:
        options |= {"columns": "p", "label_column": "y"}

    def call() -> str:
        result = scoring.score(
            files.predictions, files.labels, from_logits=True, n_threads=threads, **options
        )
        if result.rows != files.rows:
            return f"scored {result.rows} of {files.rows} rows"
        # Losses are float32, within 2 ulp; the mean of the textbook's is far nearer than that.
        off = abs(result.mean_loss / files.mean_loss - 1)
        return "" if off <= 2**-22 else f"the mean loss is off by {off:.1e}"

    return call


def peak(files: Files, session: Session, section: str) -> Line:
    """The most memory that a process has which imports the package and scores."""
    found, remark = run_probe("score", session.threads, files.predictions, files.labels)
    if found is not None and found["rows"] != files.rows:
        found, remark = None, f"scored {found['rows']} of {files.rows} rows"
    figure = None if found is None else found["peak"] / 1e6
    return Line(section, files.what, "MB", targets.SCORING_MEMORY, figure, at_least=False, remark=remark)


# Files, and plain reads of them


def plain_read(files: Files) -> Callable[[], int]:
    """Reads both files in chunks into one buffer; returns the bytes.

    The buffer lies half a page off the pages of the cache. Large arrays of NumPy lie 16 bytes off: there a CPU that
    takes the stores of a copy for those of the page that it loads may need more than twice the time.
    """
    space = np.empty(CHUNK + PAGE, np.uint8)
    skip = (PAGE // 2 - space.ctypes.data) % PAGE
    buffer = memoryview(space[skip : skip + CHUNK])

    def read() -> int:
        total = 0
        for path in files.paths:
            with path.open("rb", buffering=0) as file:
                while count := file.readinto(buffer):
                    total += count
        return total

    return read


def arrow_reads(files: Files) -> list[Callable[[], int]]:
    """pyarrow's own reads of the columns, in batches of about 8 MB; they return the rows."""
    import pyarrow.dataset
    import pyarrow.parquet

    step = max(1, CHUNK // (4 * files.classes))

    def iter_batches() -> int:
        with pyarrow.parquet.ParquetFile(files.predictions) as file:
            return sum(len(batch) for batch in file.iter_batches(step, columns=["p", "y"]))

    def to_batches() -> int:
        source = pyarrow.dataset.dataset(files.predictions)
        return sum(len(batch) for batch in source.to_batches(columns=["p", "y"], batch_size=step))

    return [iter_batches, to_batches]


def block_of(megabytes: float, classes: int) -> tuple[np.ndarray, np.ndarray, int, float]:
    """Logits, labels, how often a file of that size repeats them, and the mean loss by the textbook."""
    rng = np.random.default_rng(0)
    all_rows = max(1, round(megabytes * 1e6 / (4 * classes)))
    rows = min(all_rows, BLOCK // classes)
    x = (3 * rng.standard_normal((rows, classes), np.float32)).astype(np.float32)
    y = rng.integers(0, classes, rows)
    wide = x.astype(np.float64)
    losses = np.log(np.exp(wide).sum(axis=1)) - wide[np.arange(rows), y]
    return x, y, max(1, round(all_rows / rows)), float(losses.mean())


def write_npy(folder: Path, megabytes: float, classes: int) -> Files:
    """Predictions and labels in files of their own."""
    x, y, times, mean = block_of(megabytes, classes)
    files = Files(folder / "logits.npy", folder / "labels.npy", times * len(x), classes, mean)
    for path, block in ((files.predictions, x), (files.labels, y)):
        assert path is not None
        header = {
            "descr": block.dtype.str,
            "fortran_order": False,
            "shape": (files.rows, *block.shape[1:]),
        }
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for _ in range(times):
                file.write(block.data)
            file.flush()
            os.fsync(file.fileno())  # what is still to be written would take time from the rounds
    return files


def write_parquet(folder: Path, megabytes: float, classes: int) -> Files:
    """One file with a column of lists and one of labels, as pyarrow writes them, a block a row group."""
    import pyarrow as pa
    import pyarrow.parquet

    x, y, times, mean = block_of(megabytes, classes)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), classes)
    table = pa.table({"p": lists, "y": y})
    path = folder / "logits.parquet"
    with path.open("wb") as file:
        with pyarrow.parquet.ParquetWriter(file, table.schema, use_dictionary=False) as writer:
            for _ in range(times):
                writer.write_table(table)
        file.flush()
        os.fsync(file.fileno())
    return Files(path, None, times * len(x), classes, mean)
