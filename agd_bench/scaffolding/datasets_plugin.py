"""TEMPLATE_NAME: noisy stripes in four directions. (Say in this line what your images show.)

References:
    The author of this file, TEMPLATE_YEAR. (Cite the paper or web page that your images come from.)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

IN_CHANNELS = 1
NUM_CLASSES = 4
IMAGE_SIZE = 12
MEAN = (0.5,)  # of the training pixels in [0, 1], one per channel
STD = (0.27,)
CROP_PADDING = 0  # padding of random crops, in pixels; 0: no random crops
FLIP = False  # random horizontal flips; False if a flip can change the class
CUTOUT = 0  # side of the square that cutout blanks, in pixels; 0: no cutout
LICENCE = "CC0"
SOURCE = "drawn by this file"

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]


def load(root: Path) -> Arrays:
    """Return three disjoint splits, the same at every call.

    Args:
        root: folder of all data sets (AGD_BENCH_DATA); put files into `root / "TEMPLATE_NAME"`.

    Returns:
        Images, uint8 (N, IN_CHANNELS, IMAGE_SIZE, IMAGE_SIZE), and labels, int64 (N,), of `train`, `val` (for tuning) and `test` (for
        reports).
    """
    rng = np.random.default_rng(0)
    labels = rng.integers(NUM_CLASSES, size=1600)
    rows, columns = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE]
    directions = np.stack([rows, columns, rows + columns, rows - columns])
    shifts = rng.integers(6, size=len(labels))
    stripes = (directions[labels] + shifts[:, None, None]) // 3 % 2  # (N, H, W), 0 or 1
    noise = rng.integers(0, 176, stripes.shape)
    images = (80 * stripes + noise).astype(np.uint8)[:, None]
    parts = {"train": slice(0, 1000), "val": slice(1000, 1300), "test": slice(1300, 1600)}
    return {name: (images[part], labels[part].astype(np.int64)) for name, part in parts.items()}
