"""CIFAR-10: 32 x 32 colour photographs in ten classes of animals and vehicles.

Standard augmentation, as in He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2: random crops with 4 pixels
of padding, and horizontal flips.

References:
    A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", technical report, University of Toronto, 2009.
"""

from __future__ import annotations

from pathlib import Path

from agd_bench.datasets._drawing import Arrays
from agd_bench.datasets._torchvision import load_splits_of

IN_CHANNELS = 3
NUM_CLASSES = 10
IMAGE_SIZE = 32
# per channel over the training images, with pixels in [0, 1]
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
CROP_PADDING = 4  # pixels on each side; He et al. 2016, section 4.2
FLIP = True
FILES = ("cifar-10-batches-py",)
LICENCE = "none stated; the author asks for a citation"
SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html"


def load(root: Path) -> Arrays:
    """Return the official test split, and the official training split with 5,000 images held out for validation.

    Args:
        root: folder of the files in torchvision's layout; missing files are downloaded into it.

    Returns:
        Images, uint8 (N, 3, 32, 32), and labels, int64 (N,).

    Raises:
        DatasetError: the files are missing and cannot be downloaded.
    """
    # a tenth of the training images
    return load_splits_of("CIFAR10", root, "cifar10", held_out=5_000)
