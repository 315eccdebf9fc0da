"""Images on the device: loaded once, then cropped, flipped and normalised batch by batch without workers.

A split is stored as padded uint8 pixels, (N, H + 2p, W + 2p, C).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from agd_bench import plugins
from agd_bench.datasets._drawing import balanced_order
from agd_bench.errors import InputError, PluginError

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Labels = np.ndarray[Any, np.dtype[np.int64]]
Split = tuple[Pixels, Labels]

LEAST_VALIDATION = 300
"""Smallest number of images to which a share reduces the validation split, if it has that many."""


@dataclass(frozen=True)
class ImageSet:
    """A split on a device.

    Attributes:
        pixels: uint8 (N, H + 2p, W + 2p, C), with p rows and columns of zeros on each side.
        labels: int64 (N,), on the same device.
        mean: mean of each channel, for pixels in [0, 1]; float32 (C,).
        std: standard deviation of each channel, for pixels in [0, 1]; float32 (C,).
        padding: p, the largest shift of a crop, in pixels.
        flip: whether augmentation mirrors every second image left to right.
        cutout: side of the square that augmentation blanks in each image, in pixels; 0: none.
    """

    pixels: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor
    padding: int = 0
    flip: bool = False
    cutout: int = 0


@dataclass(frozen=True)
class Splits:
    """A data set on a device: splits for training, validation and test."""

    train: ImageSet
    val: ImageSet
    test: ImageSet


def resident(
    images: Pixels,
    labels: Labels,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    padding: int,
    device: torch.device | str,
    flip: bool = False,
    cutout: int = 0,
) -> ImageSet:
    """Put a split on a device.

    Args:
        images: uint8 (N, C, H, W).
        labels: class numbers, (N,).
        mean: mean of each channel, for pixels in [0, 1]; (C,).
        std: standard deviation of each channel, above 0; (C,).
        padding: rows and columns of zeros to put on each side, in pixels.
        device: device for the split.
        flip: whether augmentation mirrors images.
        cutout: side of the square that augmentation blanks, in pixels.
    """
    # (N, H, W, C) and padded: crop and flip become an index per pixel, and a batch is one gather of C bytes per pixel.
    rows = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 2, 3, 1))).to(device)
    return ImageSet(
        pixels=functional.pad(rows, (0, 0, padding, padding, padding, padding)).contiguous(),
        labels=torch.from_numpy(labels.astype(np.int64)).to(device),
        mean=torch.tensor(mean, dtype=torch.float32, device=device),
        std=torch.tensor(std, dtype=torch.float32, device=device),
        padding=padding,
        flip=flip,
        cutout=cutout,
    )


def bounds(count: int, batch_size: int) -> list[int]:
    """Start of each batch, and the end. A single remaining image joins the preceding batch."""
    starts = list(range(0, count, batch_size))
    # Batch normalisation cannot train on one image.
    if len(starts) > 1 and count - starts[-1] == 1 and batch_size > 1:
        starts.pop()
    return [*starts, count]


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Number of batches that `batches` makes from `count` images."""
    return len(bounds(count, batch_size)) - 1


@dataclass(frozen=True)
class Drawn:
    """The order of the images and the augmentation of each, that is, everything random about one pass over a split.

    Attributes:
        order: numbers of the images, int64 (N,).
        corner: row and column of each image's window in the padded image, int64 (N, 2).
        mirrored: whether each image is read right to left, bool (N,).
        centre: row and column of each image's blank square in the window, int64 (N, 2); outside the window if there is none.
    """

    order: Tensor
    corner: Tensor
    mirrored: Tensor
    centre: Tensor

    def on(self, device: torch.device) -> Drawn:
        """A copy on a device."""
        return Drawn(*(tensor.to(device, copy=True) for tensor in (self.order, self.corner, self.mirrored, self.centre)))

    def become(self, other: Drawn) -> None:
        """Copy another pass of the same length in place."""
        self.order.copy_(other.order)
        self.corner.copy_(other.corner)
        self.mirrored.copy_(other.mirrored)
        self.centre.copy_(other.centre)

    def part(self, rows: slice | Tensor) -> Drawn:
        """A subset of the images, in their order."""
        return Drawn(self.order[rows], self.corner[rows], self.mirrored[rows], self.centre[rows])

    def batch(self, images: ImageSet) -> tuple[Tensor, Tensor]:
        """All images, normalised, float32 (N, C, H, W) in channels_last memory format, and their labels, int64 (N,)."""
        pixels = _window(images, self.order, self.corner, self.mirrored)
        return _blanked(pixels, self.centre, images.cutout), images.labels[self.order]


def draw(images: ImageSet, order: Tensor, generator: torch.Generator | None = None, augment: bool = False) -> Drawn:
    """Draw the crops, flips and blank squares of a pass on the CPU, so a seed gives the same pixels on every device.

    Args:
        images: the split.
        order: int64, numbers of the images in the order of the pass; a permutation for training.
        generator: CPU generator for each image's crop, flip and square.
        augment: whether to crop, flip and blank; otherwise images are unchanged and nothing is drawn.
    """
    if augment and generator is None:
        raise ValueError("augment=True draws crops and flips: give a generator")
    count, reach = len(order), 2 * images.padding + 1
    # Corner (p, p) is the image itself, unshifted.
    corner = torch.full((count, 2), images.padding)
    mirrored = torch.zeros(count, dtype=torch.bool)
    # Far enough outside that no pixel of the square falls into the window.
    centre = torch.full((count, 2), -images.cutout)
    if augment:
        corner = torch.randint(reach, (count, 2), generator=generator)
        mirrored = torch.randint(2, (count,), generator=generator).bool() & images.flip
        if images.cutout:
            sides = (side - 2 * images.padding for side in images.pixels.shape[1:3])
            centre = torch.stack([torch.randint(side, (count,), generator=generator) for side in sides], 1)
    return Drawn(order, corner, mirrored, centre)


def batches(
    images: ImageSet,
    batch_size: int,
    order: Tensor,
    generator: torch.Generator | None = None,
    augment: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield normalised batches with every image once.

    Args:
        images: the split.
        batch_size: images per batch. The last batch may be shorter; a single remaining image joins the preceding batch.
        order: as for `draw`.
        generator: as for `draw`.
        augment: as for `draw`.

    Yields:
        Images, float32 (N, C, H, W) in channels_last memory format, and their labels, int64 (N,).
    """
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size} is out of range; give at least 1")
    # For the whole pass at once, because a transfer per batch would make the host wait for the device.
    drawn = draw(images, order, generator, augment).on(images.labels.device)
    for start, end in itertools.pairwise(bounds(len(order), batch_size)):
        yield drawn.part(slice(start, end)).batch(images)


def _window(images: ImageSet, chosen: Tensor, corner: Tensor, mirrored: Tensor) -> Tensor:
    """One window of each chosen image, as one gather of C bytes per pixel.

    Args:
        images: the split.
        chosen: numbers of the images, (N,).
        corner: row and column of each window in the padded image, (N, 2).
        mirrored: whether to read a window right to left, (N,).
    """
    _, rows, columns, channels = images.pixels.shape
    height, width = rows - 2 * images.padding, columns - 2 * images.padding
    across = torch.arange(width, device=chosen.device)
    # Columns (B, W) and rows (B, H) of each window in the padded image.
    across = torch.where(mirrored[:, None], across.flip(0), across) + corner[:, 1:]
    down = corner[:, :1] + torch.arange(height, device=chosen.device)
    # (B, H, W), into the pixels as a matrix (N * rows * columns, C).
    index = ((chosen[:, None] * rows + down) * columns)[:, :, None] + across[:, None, :]
    pixels = images.pixels.view(-1, channels).index_select(0, index.view(-1))
    # Scale and shift are repeated along a row of pixels, because an innermost dimension of 3 would prevent vectorisation.
    scale = (1 / (255 * images.std)).repeat(width)
    shift = (-images.mean / images.std).repeat(width)
    values = pixels.view(len(chosen), height, width * channels).float().mul_(scale).add_(shift)
    # No copy: (N, H, W, C) in memory is (N, C, H, W) in channels_last.
    return values.view(len(chosen), height, width, channels).permute(0, 3, 1, 2)


def _blanked(pixels: Tensor, centre: Tensor, side: int) -> Tensor:
    """Set a square of each normalised image to the mean colour, which is 0; squares are clipped at the border.

    Args:
        pixels: float32 (N, C, H, W), modified in place.
        centre: row and column of the squares' centres, (N, 2).
        side: side of the squares in pixels; 0: none.

    References:
        Terrance DeVries, Graham W. Taylor: Improved Regularization of Convolutional Neural Networks with Cutout. arXiv 1708.04552, 2017.
    """
    if not side:
        return pixels
    down, across = (
        torch.arange(length, device=pixels.device) - centre[:, place, None] + side // 2 for place, length in enumerate(pixels.shape[2:])
    )
    inside = ((down >= 0) & (down < side))[:, :, None] & ((across >= 0) & (across < side))[:, None, :]
    return pixels.masked_fill_(inside[:, None], 0.0)


def load_splits(name: str, root: Path, folders: tuple[Path, ...], share: float, device: torch.device | str) -> Splits:
    """The data set `name` on a device; the last two used stay there, so a worker loads each of its data sets once.

    The share of the training and validation splits is drawn in proportion from all classes. Validation keeps at least `LEAST_VALIDATION`
    images, or all it has. The test split is not reduced.

    Args:
        name: the plug-in's name.
        root: folder of the data sets' files.
        folders: folders of further plug-ins.
        share: share of the training and validation splits, in (0, 1].
        device: device for the images.

    Raises:
        UnknownNameError: no such plug-in.
        PluginError: its arrays violate the protocol.
        DatasetError: its files are missing.
        InputError: the share leaves less than two images.
    """
    return _load_splits(name, Path(root), tuple(folders), float(share), torch.device(device))


@lru_cache(maxsize=2)
def _load_splits(name: str, root: Path, folders: tuple[Path, ...], share: float, device: torch.device) -> Splits:
    module = plugins.load("datasets", name, folders)
    mean, std = _normalisation(module, name)
    arrays = module.load(root)
    for split in ("train", "val", "test"):
        fault = fault_of(arrays, split, module)
        if fault:
            raise PluginError(f"data set {name!r}: {fault}")
    padding, flip, cutout = int(getattr(module, "CROP_PADDING", 0)), bool(getattr(module, "FLIP", False)), int(getattr(module, "CUTOUT", 0))

    def put(split: Split, padding: int = 0, flip: bool = False, cutout: int = 0) -> ImageSet:
        images, labels = split
        return resident(images, labels, mean, std, padding, device, flip, cutout)

    return Splits(
        train=put(_share_of(arrays["train"], name, share), padding, flip, cutout),
        # With too few images, selection would be random. Images of val and test are not augmented.
        val=put(_share_of(arrays["val"], name, share, LEAST_VALIDATION)),
        test=put(arrays["test"]),
    )


def _share_of(split: Split, name: str, share: float, least: int = 0) -> Split:
    """The share of a split in the split's order, with at least `least` images if it has that many."""
    images, labels = split
    count = max(round(share * len(labels)), min(least, len(labels))) if 0 < share <= 1 else 0
    if count < 2:
        raise InputError(f"data set {name!r}: a share of {share:g} leaves {count} of {len(labels)} images; give a larger one, up to 1")
    # A prefix of a fixed order for each name, so a smaller share is a subset of a larger one in every run.
    kept = np.sort(balanced_order(labels, name)[:count])
    return images[kept], labels[kept]


def _normalisation(module: ModuleType, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    mean, std = tuple(getattr(module, "MEAN", ())), tuple(getattr(module, "STD", ()))
    if len(mean) != module.IN_CHANNELS or len(std) != module.IN_CHANNELS or min(std, default=0.0) <= 0:
        raise PluginError(
            f"data set {name!r}: MEAN {mean} and STD {std} must give one number for each of IN_CHANNELS = {module.IN_CHANNELS} channels, "
            "of pixels in [0, 1], STD above 0"
        )
    return mean, std


def fault_of(arrays: Any, split: str, module: ModuleType) -> str:
    """The fault of a split of a data set; empty if there is none.

    Args:
        arrays: result of its `load`.
        split: train, val or test.
        module: the data set's plug-in, whose facts the arrays must match.
    """
    if not isinstance(arrays, dict) or split not in arrays:
        return f"load() returns no {split!r} split; return a dict with train, val and test, each (images, labels)"
    images, labels = arrays[split]
    shape = (module.IN_CHANNELS, module.IMAGE_SIZE, module.IMAGE_SIZE)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != shape:
        return f"images of {split!r} are {images.dtype} {images.shape}; uint8 (N, {', '.join(map(str, shape))}) follows from its facts"
    if labels.dtype != np.int64 or labels.shape != (len(images),) or not len(labels):
        return f"labels of {split!r} are {labels.dtype} {labels.shape}; int64 ({len(images)},) belongs to its images, at least one"
    lowest, highest, classes = labels.min(), labels.max(), module.NUM_CLASSES
    if lowest < 0 or highest >= classes:
        return f"labels of {split!r} lie in {lowest}..{highest}; NUM_CLASSES = {classes} allows 0..{classes - 1}"
    return ""
