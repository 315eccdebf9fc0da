"""CIFAR-10: photographs of ten kinds of animals and vehicles, 32 x 32, in colour.

Crops with 4 pixels of padding and mirror images: the standard augmentation, as in He et al., "Deep Residual Learning for Image
Recognition", CVPR 2016, section 4.2.

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
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
CROP_PADDING = 4
FLIP = True
FILES = ("cifar-10-batches-py",)
LICENCE = "none stated; the author asks for a citation"
SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html"


def load(root: Path) -> Arrays:
    """The official test images, and the official training images less 5,000 of them, which validate.

    Args:
        root: folder of the files in torchvision's layout; missing ones are fetched into it.

    Returns:
        Images, uint8 (N, 3, 32, 32), and labels, int64 (N,).

    Raises:
        DatasetError: the files are missing and cannot be fetched.
    """
    return load_splits_of("CIFAR10", root, "cifar10", held_out=5_000)
