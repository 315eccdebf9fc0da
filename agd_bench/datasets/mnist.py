"""MNIST: 28 x 28 greyscale images of handwritten digits. No augmentation, since flips would change the classes.

References:
    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document recognition",
    Proceedings of the IEEE 86 (11), 1998.
"""

from __future__ import annotations

from pathlib import Path

from agd_bench.datasets._drawing import Arrays
from agd_bench.datasets._torchvision import load_splits_of

IN_CHANNELS = 1
NUM_CLASSES = 10
IMAGE_SIZE = 28
# per channel over the training images, with pixels in [0, 1]
MEAN = (0.1307,)
STD = (0.3081,)
CROP_PADDING = 0
FLIP = False  # a mirrored 2 or 5 is not a digit
FILES = ("MNIST/raw",)
LICENCE = "CC BY-SA 3.0"
SOURCE = "http://yann.lecun.com/exdb/mnist"


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
    return load_splits_of("MNIST", root, "mnist", held_out=6_000)
