# SPDX-License-Identifier: BSD-3-Clause
"""What scoring raises and warns of."""

from __future__ import annotations

from .._data_errors import DataError

__all__ = ["SkippedFileWarning", "StateError"]


class StateError(DataError):
    """A state that belongs to other files or options, or is damaged. The message names the file of the state."""


class SkippedFileWarning(UserWarning):
    """A file, or the rest of one, that ``on_error="skip"`` left out. The message says why."""
