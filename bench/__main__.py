# SPDX-License-Identifier: BSD-3-Clause
"""Entry point of ``python -m bench``."""

import sys

from bench.cli import main

sys.exit(main())
