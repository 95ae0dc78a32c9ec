# SPDX-License-Identifier: BSD-3-Clause
"""Entry point of ``python -m bench.accuracy``."""

import sys
from pathlib import Path

# As in bench/__main__.py: the sources of xent_native must not hide the installed package.
root = str(Path(__file__).parents[2])
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(root)] + [root]

from bench.accuracy.cli import main  # noqa: E402

sys.exit(main())
