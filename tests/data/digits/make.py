#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes logits.npy and labels.npy beside it: what a real classifier says of scikit-learn's digits.

    python tests/data/digits/make.py [FOLDER]        (needs scikit-learn)

The logits of each image come from a model that has not seen it (five folds), so that loss and accuracy
are those of new data: logits of the images that a model was fitted on would flatter it.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def predict() -> tuple[np.ndarray, np.ndarray]:
    """Out-of-fold logits, float32 of shape (1797, 10), and labels, int64 of shape (1797,)."""
    pixels, labels = load_digits(return_X_y=True)
    # A small tol: the optimum is unique, so that another BLAS or solver version ends up at the same logits.
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-8, max_iter=2000))
    folds = StratifiedKFold(n_splits=5, shuffle=True, random_state=0)
    logits = cross_val_predict(model, pixels, labels, cv=folds, method="decision_function")
    return np.ascontiguousarray(logits, dtype=np.float32), labels.astype(np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make logits.npy and labels.npy.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent, help="where they go")
    folder = parser.parse_args().folder
    logits, labels = predict()
    np.save(folder / "logits.npy", logits, allow_pickle=False)
    np.save(folder / "labels.npy", labels, allow_pickle=False)
    print(f"{folder}: logits {logits.shape} {logits.dtype}, labels {labels.shape} {labels.dtype}")


if __name__ == "__main__":
    main()
