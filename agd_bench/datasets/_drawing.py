"""Which images go where: draws that follow from a data set's name alone, so that every trial meets the same ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from agd_bench.records import digest

Images = np.ndarray[Any, np.dtype[np.uint8]]
Labels = np.ndarray[Any, np.dtype[np.int64]]
Arrays = dict[str, tuple[Images, Labels]]
"""The splits train, val and test: images, uint8 (N, C, H, W), and labels, int64 (N,)."""


def balanced_order(labels: Labels, key: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A random order every beginning of which holds the classes in their shares, as near as whole images allow.

    Each class is shuffled, and its k-th image of n is placed at (k + u) / n with one random u in [0, 1) for the class.

    Args:
        labels: class numbers, (N,).
        key: what the draw is seeded by; equal keys give equal orders.

    Returns:
        Numbers of the images in that order, (N,): a permutation.
    """
    rng = np.random.default_rng(int(digest(["balanced order", key]), 16))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        place[rng.permutation(members)] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.argsort(place, kind="stable").astype(np.int64)


def hold_out(images: Images, labels: Labels, count: int, key: str) -> tuple[tuple[Images, Labels], tuple[Images, Labels]]:
    """Split off `count` images, the classes in their shares; both parts keep the order of the source.

    Args:
        images: (N, C, H, W).
        labels: (N,).
        count: how many to hold out, under N.
        key: what the draw is seeded by.

    Returns:
        What remains, and what is held out.
    """
    order = balanced_order(labels, f"hold out {key}")
    held, kept = np.sort(order[:count]), np.sort(order[count:])
    return (images[kept], labels[kept]), (images[held], labels[held])
