# SPDX-License-Identifier: BSD-3-Clause
"""``python -m xent_native``: the same as the command xent-native."""

from .cli import main

raise SystemExit(main())
