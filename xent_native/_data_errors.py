# SPDX-License-Identifier: BSD-3-Clause
"""What is raised about predictions and labels that cannot be scored."""

__all__ = ["DataError", "DataTypeError", "LabelError"]


class DataError(ValueError):
    """Predictions or labels that cannot be scored. The message names the file, and the row where it can."""


class DataTypeError(DataError, TypeError):
    """Predictions or labels of a dtype that cannot be scored. The message names the file."""


class LabelError(DataError, IndexError):
    """A label that is no class. The message names the file and the row."""
