# SPDX-License-Identifier: BSD-3-Clause
"""Entry point of ``python -m bench``."""

import sys
from pathlib import Path

# Python puts this folder first, where the sources of xent_native, which have no compiled module, would hide
# the installed package: it goes last.
root = str(Path(__file__).parents[1])
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(root)] + [root]

from bench.cli import main  # noqa: E402

sys.exit(main())
