# SPDX-License-Identifier: BSD-3-Clause
"""Reading .npy files that nobody vouches for: every kind of damage is an error that names the file."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from xent_native import scoring
from xent_native._npy import NpyFile

DIGITS = Path(__file__).parent / "data" / "digits"
LOGITS, LABELS = DIGITS / "logits.npy", DIGITS / "labels.npy"


def save(folder: Path, name: str, array: np.ndarray) -> Path:
    path = folder / f"{name}.npy"
    np.save(path, array)
    return path


def test_buffer_is_aligned_and_reused():
    with NpyFile(LOGITS) as file:
        first = file.rows(0, 7)
        assert first.ctypes.data % 64 == 0
        assert np.shares_memory(first, file.rows(7, 7))


def raw_npy(header: bytes, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + data


def header_of(descr: str = "'<f4'", order: str = "False", shape: str = "(3, 2)") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()


DAMAGED = {
    "empty": (b"", "not a .npy file"),
    "only the magic": (b"\x93NUMPY", "not a .npy file"),
    "text": (b"0.1,0.9\n0.5,0.5\n", "not a .npy file"),
    "a zip": (b"PK\x03\x04" + bytes(100), "not a .npy file"),
    "version 3": (raw_npy(header_of(), bytes(24), b"\x03\x00"), "version 1.0 or 2.0; got 3.0"),
    "version 9": (raw_npy(header_of(), bytes(24), b"\x09\x09"), "got 9.9"),
    "header cut": (raw_npy(header_of())[:30], "header makes no sense"),
    "header of junk": (raw_npy(b"{" * 50, bytes(24)), "header makes no sense"),
    "header of code": (raw_npy(b"__import__('os').getcwd()\n", bytes(24)), "header makes no sense"),
    "header nested": (raw_npy(b"[" * 9000 + b"]" * 9000), "header makes no sense"),
    "no shape": (raw_npy(b"{'descr': '<f4', 'fortran_order': False}\n", bytes(24)), "header makes no sense"),
    "bad dtype": (raw_npy(header_of("'<q9'"), bytes(24)), "header makes no sense"),
    "truncated": (
        raw_npy(header_of(), bytes(23)),
        "truncated: .* takes 24 bytes after the header; there are 23",
    ),
    "too long": (raw_npy(header_of(), bytes(25)), "too long"),
    "absurd": (raw_npy(header_of(shape="(1000000000000000, 1000000000000000)")), "no file holds"),
    "beyond 64 bits": (raw_npy(header_of(shape="(99999999999999999999, 2)")), "no file holds"),
    "negative": (raw_npy(header_of(shape="(-3, 2)"), bytes(24)), "must have rows"),
    "scalar": (raw_npy(header_of(shape="()"), bytes(4)), "must have rows"),
    "thousands of digits": (raw_npy(header_of(shape=f"(1{'0' * 4000}, 1{'0' * 4000})")), "no file holds"),
    "negative, of thousands of digits": (raw_npy(header_of(shape=f"(-1{'0' * 4000}, 2)")), "must have rows"),
    "integers with names": (
        raw_npy(header_of("('<i4', [('a', '<i2'), ('b', '<i2')])"), bytes(24)),
        "real numbers",
    ),
    "no rows, but absurd": (raw_npy(header_of(shape=f"(0, {2**62})")), "no file holds"),
    "no rows beyond 64 bits": (raw_npy(header_of(shape=f"(0, 1{'0' * 23})")), "no file holds"),
    "no rows of many classes": (
        raw_npy(header_of(shape="(0, 3000000)")),
        "there are no rows|must be integers",
    ),
    "objects": (raw_npy(header_of("'|O'"), bytes(48)), "Python objects"),
    "structured": (raw_npy(header_of("[('a', '<f4')]"), bytes(24)), "real numbers"),
    "text dtype": (raw_npy(header_of("'<U1'"), bytes(24)), "real numbers"),
    "complex": (raw_npy(header_of("'<c8'"), bytes(48)), "real numbers"),
}


@pytest.mark.parametrize(("data", "words"), DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("which", [0, 1])
def test_damaged_files(tmp_path, data, words, which):
    bad = tmp_path / "bad.npy"
    bad.write_bytes(data)
    files = [save(tmp_path, "x", np.ones((3, 2))), save(tmp_path, "y", np.zeros(3, int))]
    files[which] = bad
    with pytest.raises(scoring.DataError, match=words) as caught:
        scoring.score(*files)
    assert str(bad) in str(caught.value)


def test_pickles_are_not_loaded(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.array([[{"a": 1}]], dtype=object), allow_pickle=True)
    with pytest.raises(scoring.DataError, match="Python objects"):
        scoring.score(path, [0])


def test_missing_files_folders_and_pipes(tmp_path):
    with pytest.raises(FileNotFoundError):
        scoring.score(tmp_path / "none.npy", LABELS)
    with pytest.raises(OSError, match=r"."):
        scoring.score(tmp_path, LABELS)
    if hasattr(os, "mkfifo"):
        pipe = tmp_path / "pipe.npy"
        os.mkfifo(pipe)
        with pytest.raises(scoring.DataError, match="regular file"):
            scoring.score(pipe, LABELS)  # which has no writer, and is not waited for
        keep_open = os.open(pipe, os.O_RDWR)
        os.write(keep_open, bytes(100))
        try:
            with pytest.raises(scoring.DataError, match="regular file"):
                scoring.score(pipe, LABELS)
        finally:
            os.close(keep_open)


@pytest.mark.parametrize("order", ["C", "F"])
def test_file_that_shrinks_while_it_is_read(tmp_path, order):
    path = save(tmp_path, "x", np.ones((100, 3), order=order))
    with NpyFile(path) as file:
        file.rows(0, 50)
        os.truncate(path, path.stat().st_size - (30 * 24 if order == "C" else 30 * 8))
        with pytest.raises(scoring.DataError, match="ended at row 70 while it was read"):
            file.rows(50, 50)


def test_chunk_beyond_memory_is_an_error(tmp_path):
    """A sparse file whose one row has 8 GB, read by a process that may have 4 GB."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "x.npy"
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (1, 2**31)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 2**33)
    code = f"from xent_native._npy import NpyFile; NpyFile({str(path)!r}).rows(0, 1)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32)),
    )
    assert done.returncode == 1
    assert "does not fit into memory" in done.stderr.splitlines()[-1]


@examples(5)
@given(st.data())
def test_no_damage_gets_through(tmp_path_factory, data):
    """Any bytes changed, cut off or put in: a result or a DataError, and nothing else."""
    good = raw_npy(header_of(), np.ones((3, 2), np.float32).tobytes())
    kind = data.draw(st.sampled_from(["change", "cut", "insert"]))
    at = data.draw(st.integers(0, len(good) - 1))
    some = data.draw(st.binary(min_size=1, max_size=4))
    bad = {
        "change": good[:at] + some + good[at + len(some) :],
        "cut": good[:at],
        "insert": good[:at] + some + good[at:],
    }[kind]
    path = tmp_path_factory.getbasetemp() / "fuzzed.npy"
    path.write_bytes(bad)
    with contextlib.suppress(scoring.DataError):
        scoring.score(path, [0, 1, 0], from_logits=True)
