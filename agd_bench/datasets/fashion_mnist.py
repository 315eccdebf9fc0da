"""Fashion-MNIST: 28 x 28 greyscale images of clothing in ten classes.

Augmentation as in the baseline of Zhong et al., "Random Erasing Data Augmentation", AAAI 2020: random crops with 4 pixels of padding, and
horizontal flips.

References:
    H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms",
    arXiv 1708.07747, 2017.
"""

from __future__ import annotations

from pathlib import Path

from agd_bench.datasets._drawing import Arrays
from agd_bench.datasets._torchvision import load_splits_of

IN_CHANNELS = 1
NUM_CLASSES = 10
IMAGE_SIZE = 28
# per channel over the training images, with pixels in [0, 1]
MEAN = (0.2860,)
STD = (0.3530,)
CROP_PADDING = 4  # pixels on each side; Zhong et al. 2020
FLIP = True
FILES = ("FashionMNIST/raw",)
LICENCE = "MIT"
SOURCE = "https://github.com/zalandoresearch/fashion-mnist"


def load(root: Path) -> Arrays:
    """Return the official test split, and the official training split with 6,000 images held out for validation.

    Args:
        root: folder of the files in torchvision's layout; missing files are downloaded into it.

    Returns:
        Images, uint8 (N, 1, 28, 28), and labels, int64 (N,).

    Raises:
        DatasetError: the files are missing and cannot be downloaded.
    """
    # a tenth of the training images
    return load_splits_of("FashionMNIST", root, "fashion_mnist", held_out=6_000)
