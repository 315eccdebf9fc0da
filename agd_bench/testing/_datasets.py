"""Checks of a data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from agd_bench.testing._checking import Check, demand, run
from agd_bench.training.data import fault_of


def check_dataset(module: ModuleType, root: Path) -> list[Check]:
    """Check that a data set follows its protocol.

    Args:
        module: the plug-in.
        root: folder of the data sets' files.
    """
    dataset = _Dataset(module, root)
    checks = run({"facts are valid": dataset.facts, "load() returns images as the facts describe them": dataset.load})
    if not all(check.passed for check in checks):
        return checks  # the other checks need valid images
    return checks + run(
        {
            "load() is reproducible": dataset.repeats,
            "every class has training images": dataset.classes,
            "MEAN and STD match the training pixels": dataset.normalisation,
            "splits do not overlap": dataset.disjoint,
        }
    )


class _Dataset:
    """The checks of a data set, which share the arrays that were loaded first."""

    def __init__(self, module: ModuleType, root: Path) -> None:
        self.module, self.root = module, root
        self.arrays: Any = None

    def facts(self) -> None:
        """The facts give the shape of the images, the number of classes, normalisation, augmentation, source and licence. They are read
        without loading the images.
        """
        _check_facts(self.module)

    def load(self) -> None:
        """load(root) returns the splits train, val and test as uint8 images (N, C, H, W) and int64 labels (N,), with the shape that the
        facts state. Tuning uses val, reports use test.
        """
        arrays = self.module.load(self.root)
        for split in ("train", "val", "test"):
            fault = fault_of(arrays, split, self.module)
            demand(not fault, fault)
        self.arrays = arrays

    def repeats(self) -> None:
        """Two calls of load() return identical splits: algorithms are compared on the same images, on every machine."""
        again = self.module.load(self.root)
        for split, pair in self.arrays.items():
            same = all(np.array_equal(one, other) for one, other in zip(pair, again[split], strict=True))
            demand(same, f"the second call of load() returned a different {split!r} split; draw splits with a fixed seed")

    def classes(self) -> None:
        """Each of the NUM_CLASSES labels occurs in the training split."""
        missing = sorted(set(range(self.module.NUM_CLASSES)) - set(self.arrays["train"][1].tolist()))
        demand(not missing, f"no training image has a label in {missing[:5]}; number the classes from 0 to NUM_CLASSES - 1")

    def normalisation(self) -> None:
        """MEAN and STD are within 0.1 of the values for the training pixels in [0, 1]. Initialisations assume inputs of mean 0 and
        variance 1.
        """
        # (N, C, H, W); dividing by a Python number would take float64 and twice the memory.
        pixels = self.arrays["train"][0] / np.float32(255)
        for name, values in (("MEAN", pixels.mean((0, 2, 3))), ("STD", pixels.std((0, 2, 3)))):
            found = ", ".join(f"{value:.4f}" for value in values)
            stated = getattr(self.module, name)
            near = bool((np.abs(values - np.array(stated)) < 0.1).all())
            demand(near, f"{name} is {stated}, but the training pixels in [0, 1] have ({found}); use these values")

    def disjoint(self) -> str:
        """At most 2 % of the images of val and test also occur in an earlier split. Published data sets contain a few duplicates; more
        means that the splits leak.
        """
        contents = {split: [image.tobytes() for image in images] for split, (images, _) in self.arrays.items()}
        seen, remarks = set(contents["train"]), []
        for split in ("val", "test"):
            shared = sum(content in seen for content in contents[split])
            text = f"{shared} of {len(contents[split])} images of {split!r} also occur in an earlier split"
            # 1 / 50 = 2 %.
            demand(shared <= len(contents[split]) / 50, f"{text}; partition the images instead of drawing each split independently")
            remarks += [text] if shared else []
            seen |= set(contents[split])
        return "; ".join(remarks)


def _check_facts(module: ModuleType) -> None:
    def fact(name: str, holds: Callable[[Any], bool], wanted: str) -> None:
        value = getattr(module, name, None)
        demand(value is not None and holds(value), f"{name} is {value!r}; it must be {wanted}")

    def per_channel(values: Any) -> bool:
        return isinstance(values, tuple) and len(values) == module.IN_CHANNELS and all(isinstance(value, float) for value in values)

    def whole(least: int) -> Callable[[Any], bool]:
        return lambda value: type(value) is int and value >= least

    for name, least in (("IN_CHANNELS", 1), ("NUM_CLASSES", 2), ("IMAGE_SIZE", 1), ("CROP_PADDING", 0)):
        fact(name, whole(least), f"an integer of at least {least}")
    fact(
        "MEAN",
        lambda values: per_channel(values) and all(0 <= value <= 1 for value in values),
        "a tuple of floats in [0, 1], one per channel",
    )
    fact(
        "STD",
        lambda values: per_channel(values) and all(0 < value <= 1 for value in values),
        "a tuple of floats in (0, 1], one per channel",
    )
    fact("FLIP", lambda value: isinstance(value, bool), "True or False")
    if hasattr(module, "CUTOUT"):
        fact("CUTOUT", whole(0), "an integer of at least 0")
    for name in ("LICENCE", "SOURCE"):
        fact(name, lambda value: isinstance(value, str) and bool(value), "a string")
