# SPDX-License-Identifier: BSD-3-Clause
"""How good predictions are: loss, accuracy and calibration over arrays or over files bigger than memory.

:func:`score` judges predictions, :func:`fit_temperature` calibrates them, :func:`merge` folds the states that runs on
several machines have written.
"""

from .._data_errors import DataError, DataTypeError, LabelError
from ..accumulate import (
    Calibration,
    CalibrationBin,
    ClassScore,
    LossAccumulator,
    LossHistogram,
    Score,
    WorstRow,
)
from ._errors import SkippedFileWarning, StateError
from ._resume import merge
from ._scorer import score
from ._temperature import TemperatureFit, fit_temperature

__all__ = [
    "Calibration",
    "CalibrationBin",
    "ClassScore",
    "DataError",
    "DataTypeError",
    "LabelError",
    "LossAccumulator",
    "LossHistogram",
    "Score",
    "SkippedFileWarning",
    "StateError",
    "TemperatureFit",
    "WorstRow",
    "fit_temperature",
    "merge",
    "score",
]
