# SPDX-License-Identifier: BSD-3-Clause
"""Measures errors, of xent_native and of other libraries, and writes docs/accuracy.md."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# The exact reference and the hard rows are those of the tests.
sys.path.append(str(ROOT / "tests"))
