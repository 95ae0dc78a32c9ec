# SPDX-License-Identifier: BSD-3-Clause
"""Code in a Python process of its own, with a time-out that only catches a process that hangs."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

SECONDS = 120

# What a process needs to compare a call that is large enough for threads with the same on one thread: `same()`.
LARGE = """
import hashlib, os, signal, sys, threading, time
import numpy as np, xent_native as xn
x = np.random.default_rng(0).standard_normal((20000, 20))
y = np.arange(20000) % 20
def digest(n_threads):
    loss, grad = xn.sparse_categorical_crossentropy_value_and_grad(y, x, True, reduction="mean", n_threads=n_threads)
    found = hashlib.sha256(grad)  # without copies: where memory is short, threads have taken the most of it
    found.update(np.float64(loss).tobytes())
    return found.hexdigest()
def same(n_threads=4):
    return digest(n_threads) == digest(None) == digest(1)
"""


def python(*code: str, **environment: str) -> subprocess.CompletedProcess:
    """Another process, without settings of ours or OpenMP's but those that are given, and that threads do not spin."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("XENT_", "OMP_"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(map(textwrap.dedent, code))],
        env={**clean, "OMP_WAIT_POLICY": "passive", **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def last_line(*code: str, **environment: str) -> str:
    """The last line that a process prints, which must end well; what stands before may be another library's."""
    done = python(*code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]
