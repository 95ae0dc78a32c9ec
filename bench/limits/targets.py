# SPDX-License-Identifier: BSD-3-Clause
"""What is to be reached, and on which arrays: all numbers of the limits, and nothing else.

Fractions of R (bytes read) and W (bytes read + written) allow for what a kernel has to do beside moving bytes:
few classes need a logarithm and a label for every few elements, many need only exponentials, which two cores
compute faster than memory delivers.
"""

# float32, integer labels, from logits, mean: fraction of R for the loss, of W for loss and gradient.
TABLE = {
    "forward": {10: 0.42, 30: 0.55, 100: 0.60, 1000: 0.80, 32768: 0.90, 131072: 0.90},
    "gradient": {10: 0.35, 30: 0.45, 100: 0.60, 1000: 0.70, 32768: 0.80, 131072: 0.80},
}

AVX2 = 0.55  # speed of AVX2, of that of AVX-512, in every row of the table

PEERS = {"forward": 1.8, "gradient": 4.0}  # times as fast as the fastest peer, in every row of the table

FLOAT64 = 0.70  # of R and of W
FLOAT64_CLASSES = (1000, 32768)

HALF = 1.4  # elements a second, of those of float32; half the bytes would allow 2
HALF_CLASSES = (1000, 32768)

# Other inputs, loss only, fraction of R; R counts logits or probabilities, and dense targets.
INPUTS = {"dense-forward": 0.75, "prob-forward": 0.75, "prob-dense-forward": 0.75}
INPUT_CLASSES = (100, 1000, 32768)

# Categorical focal loss from logits, dense targets, gamma 2: fraction of R, which counts both arrays. The project
# states no figure; these are proposed. Its floor is not memory but arithmetic: where plain cross-entropy visits a
# class once, this one needs log S before it can form any 1 - p, so it visits it twice, and lanes over rows (100
# classes) take the exponential twice, too. That is about twice the work of dense-forward, which reaches 0.8 to 0.95.
FOCAL = {"focal-forward": {100: 0.25, 1000: 0.45, 32768: 0.45}}

# Binary loss from logits: fraction of R, which counts logits and targets, and of W. The first is the project's; the
# gradient's is of our own: one more division for an element, and half as many bytes again. So is that of the focal
# loss: its power multiplies the error of a probability by gamma, so float32 is computed in float64, in half as many
# lanes and with longer polynomials.
BINARY = {"binary-forward": 0.45, "binary-gradient": 0.35, "binary-focal-forward": 0.12}
BINARY_CLASSES = (1, 10, 1000)

LAYOUTS = {"axis1-forward": 0.5, "wide-forward": 0.8}  # fraction of R

SMALL_SHAPE = (32, 10)
SMALL_FUNCTION, SMALL_CLASS, SMALL_GRADIENT = 2.5, 4.0, 4.0  # microseconds of a call
SMALL_PEERS = 3.0  # times as fast as the fastest peer

IMPORT = 60.0  # milliseconds, beside those of NumPy

# Where the code opens a parallel region, of the size from which that pays: not below it, and not far above.
REGION_LEAST, REGION_MOST = 1.0, 4.0

THREADS = 1.75  # speed of two threads, of that of one, in cache
THREADS_CLASSES = (10, 30, 100)
# MB of logits for each thread: with their gradient as much as its own L2 cache holds. In the L3 cache, which threads
# share, a gradient waits for the cache. Two threads get twice the rows: else they had two caches for the rows of one.
THREADS_MEGABYTES = 0.5

MEMORY = 2.0  # MB allocated by a call beside its result
MEMORY_CLASSES = (10, 1000, 131072)

# Gradient and Hessian as scikit-learn's boosting asks for them, times as fast as its own loss: (rows, classes).
SKLEARN, SKLEARN_TIMES = ((100_000, 2), (100_000, 3), (100_000, 10), (20_000, 100)), 5.0
SKLEARN_QUICK = ((64, 2), (64, 10))

# Forward and backward of PyTorch's tensors, times as fast as PyTorch's own loss.
TRAINING, TRAINING_TIMES = ((4096, 1000), (512, 32768)), 4.0
TRAINING_QUICK = ((64, 10), (4, 300))

# Objectives of boosters, times as fast as NumPy's: rows and classes of an iteration, and rows of what loops over them.
BOOSTING, BOOSTING_QUICK, BOOSTING_TIMES = (200_000, 10, 2_000), (200, 3, 20), 5.0

# scikit-learn's log_loss: times as fast, and the part of its extra memory.
LOG_LOSS_SHAPE, LOG_LOSS_TIMES, LOG_LOSS_MEMORY = (100_000, 100), 20.0, 0.1
LOG_LOSS_QUICK = (2000, 10)
# SoftmaxRegression, times as fast as LogisticRegression, both with their defaults: data sets that ship with
# scikit-learn, and random data of (samples, features, classes).
FITS = {"iris": 1.0, "wine": 1.0, "breast_cancer": 1.0, "digits": 1.0}
FITS_QUICK = {"iris": 1.0}
RANDOM_FITS = {(20_000, 500, 10): 1.0, (200_000, 20, 100): 3.0}
RANDOM_FITS_QUICK = {(300, 20, 10): 1.0, (300, 5, 40): 3.0}

# Files that are scored from the page cache, predictions and labels. Speed, of that of reading them in chunks of 8 MB;
# with the calibration of each class, which looks at every probability once more, there is a target of our own.
SCORING_WIDE, SCORING_READ, SCORING_CLASSWISE = 1000, 0.8, 0.4
SCORING_NARROW, SCORING_TIME = 10, 2.0  # time, over that of reading
SCORING_PARQUET = 0.7  # speed, of that of pyarrow's own reading
SCORING_MEMORY = 300.0  # MB, the most that a process has of which nothing else is asked
