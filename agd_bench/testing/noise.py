"""Random 16 x 16 images in two classes: a data set for short trials that only test whether training runs.

References:
    This package, 2026.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agd_bench.datasets._drawing import Arrays

IN_CHANNELS = 3
NUM_CLASSES = 2
IMAGE_SIZE = 16
MEAN = (0.5, 0.5, 0.5)
# 1 / √12 = 0.289, the standard deviation of uniform values in [0, 1].
STD = (0.29, 0.29, 0.29)
CROP_PADDING = 0
FLIP = False
LICENCE = "none needed"
SOURCE = "drawn by numpy"


def load(root: Path) -> Arrays:
    """Return 64 training, 16 validation and 16 test images.

    Returns:
        Images, uint8 (N, 3, 16, 16), and labels, int64 (N,).
    """
    rng = np.random.default_rng(0)
    sizes = {"train": 64, "val": 16, "test": 16}
    return {
        split: (rng.integers(0, 256, (count, IN_CHANNELS, IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8), np.arange(count) % NUM_CLASSES)
        for split, count in sizes.items()
    }
