# SPDX-License-Identifier: BSD-3-Clause
"""Entry point of ``python -m bench.accuracy``."""

import sys

from bench.accuracy.cli import main

sys.exit(main())
