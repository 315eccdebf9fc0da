"""Digits: 8 x 8 handwritten digits from scikit-learn. No download is needed, and a network trains in seconds.

References:
    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agd_bench.datasets._drawing import Arrays, hold_out

IN_CHANNELS = 1
NUM_CLASSES = 10
IMAGE_SIZE = 8
# with pixels in [0, 1]
MEAN = (0.3050,)
STD = (0.3756,)
CROP_PADDING = 0
FLIP = False
LICENCE = "CC BY 4.0"
SOURCE = "UCI Machine Learning Repository, Optical Recognition of Handwritten Digits (its test set, as scikit-learn carries it)"


def load(root: Path) -> Arrays:
    """Return fixed splits of the 1,797 digits: 1,257 for training, 180 for validation and 360 for testing.

    Returns:
        Images, uint8 (N, 1, 8, 8), with the source's 0..16 scaled to 0..255, and labels, int64 (N,).
    """
    from sklearn.datasets import load_digits  # takes a second to import

    source = load_digits()
    # the source counts 0 to 16 set pixels in blocks of 4 x 4
    images = np.round(source.images * (255 / 16)).astype(np.uint8)[:, None]
    # no official split: scikit-learn has the UCI test set only
    rest, test = hold_out(images, source.target.astype(np.int64), 360, "digits test")
    train, val = hold_out(*rest, 180, "digits")
    return {"train": train, "val": val, "test": test}
