"""Split images reproducibly: random draws depend on the data set's name only, so all trials use the same images."""

from __future__ import annotations

from typing import Any

import numpy as np

from agd_bench.records import digest

Images = np.ndarray[Any, np.dtype[np.uint8]]
Labels = np.ndarray[Any, np.dtype[np.int64]]
Arrays = dict[str, tuple[Images, Labels]]
"""The splits train, val and test: images, uint8 (N, C, H, W), and labels, int64 (N,)."""


def balanced_order(labels: Labels, key: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return a random order in which every prefix has the classes in their overall proportions, up to rounding.

    Each class is shuffled, and its k-th of n images is placed at (k + u) / n, with one random u in [0, 1) per class.

    Args:
        labels: class numbers, (N,).
        key: seed; equal keys give equal orders.

    Returns:
        Indices of the images in this order, (N,), a permutation.
    """
    rng = np.random.default_rng(int(digest(["balanced order", key]), 16))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        # one offset u per class, or classes of equal size would always follow in the order of their numbers
        place[rng.permutation(members)] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.argsort(place, kind="stable").astype(np.int64)  # stable: ties alike on every platform


def hold_out(images: Images, labels: Labels, count: int, key: str) -> tuple[tuple[Images, Labels], tuple[Images, Labels]]:
    """Hold out images, stratified by class. Both parts keep the order of the source.

    Args:
        images: (N, C, H, W).
        labels: (N,).
        count: number of images to hold out, below N.
        key: seed.

    Returns:
        The remaining part and the held-out part.
    """
    order = balanced_order(labels, f"hold out {key}")
    held, kept = np.sort(order[:count]), np.sort(order[count:])
    return (images[kept], labels[kept]), (images[held], labels[held])
