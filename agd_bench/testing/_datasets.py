"""What a data set must keep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from agd_bench.testing._checking import Check, demand, run
from agd_bench.training.data import fault_of


def check_dataset(module: ModuleType, root: Path) -> list[Check]:
    """Whether a data set keeps its protocol.

    Args:
        module: the plug-in.
        root: folder of the data sets' files.
    """
    dataset = _Dataset(module, root)
    checks = run({"facts are stated": dataset.facts, "load returns what the facts say": dataset.load})
    if not all(check.passed for check in checks):
        return checks
    return checks + run(
        {
            "loading repeats": dataset.repeats,
            "every class is there to train on": dataset.classes,
            "MEAN and STD are those of the training pixels": dataset.normalisation,
            "splits have no image in common": dataset.disjoint,
        }
    )


class _Dataset:
    """The checks of a data set, which share what was loaded first."""

    def __init__(self, module: ModuleType, root: Path) -> None:
        self.module, self.root = module, root
        self.arrays: Any = None

    def facts(self) -> None:
        """The capitals say what networks must take and give, how images are normalised and augmented, and who allows their use;
        they are read without loading anything.
        """
        _check_facts(self.module)

    def load(self) -> None:
        """load(root) returns train, val and test as uint8 images (N, C, H, W) with int64 labels (N,), of the size that the capitals
        state; validation chooses and test reports, so both must be there.
        """
        arrays = self.module.load(self.root)
        for split in ("train", "val", "test"):
            fault = fault_of(arrays, split, self.module)
            demand(not fault, fault)
        self.arrays = arrays

    def repeats(self) -> None:
        """Two calls of load give the same splits, bit by bit: algorithms are compared on equal images, on every machine."""
        again = self.module.load(self.root)
        for split, pair in self.arrays.items():
            same = all(np.array_equal(one, other) for one, other in zip(pair, again[split], strict=True))
            demand(same, f"load gave another {split!r} split the second time; draw splits with a fixed seed")

    def classes(self) -> None:
        """Each of the NUM_CLASSES labels is in the training split: nobody can learn a class without an example."""
        missing = sorted(set(range(self.module.NUM_CLASSES)) - set(self.arrays["train"][1].tolist()))
        demand(not missing, f"no training image of the classes {missing[:5]}; number the classes from 0 to NUM_CLASSES - 1")

    def normalisation(self) -> None:
        """MEAN and STD lie within 0.1 of those of the training pixels in [0, 1]: networks are initialised for inputs of about unit
        size.
        """
        pixels = self.arrays["train"][0] / np.float32(255)
        for name, values in (("MEAN", pixels.mean((0, 2, 3))), ("STD", pixels.std((0, 2, 3)))):
            found = ", ".join(f"{value:.4f}" for value in values)
            stated = getattr(self.module, name)
            near = bool((np.abs(values - np.array(stated)) < 0.1).all())
            demand(near, f"{name} is {stated}, but the training pixels in [0, 1] give ({found}); state those")

    def disjoint(self) -> str:
        """At most one image in fifty of val and test is in an earlier split: published data sets hold a few images twice, more is a
        split that leaks.
        """
        contents = {split: [image.tobytes() for image in images] for split, (images, _) in self.arrays.items()}
        seen, remarks = set(contents["train"]), []
        for split in ("val", "test"):
            shared = sum(content in seen for content in contents[split])
            text = f"{shared} of {len(contents[split])} images of {split!r} are in an earlier split too"
            demand(shared <= len(contents[split]) / 50, f"{text}; split the images, do not draw each split for itself")
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
        fact(name, whole(least), f"a whole number from {least}")
    fact(
        "MEAN",
        lambda values: per_channel(values) and all(0 <= value <= 1 for value in values),
        "a tuple of floats in [0, 1], one a channel",
    )
    fact(
        "STD", lambda values: per_channel(values) and all(0 < value <= 1 for value in values), "a tuple of floats in (0, 1], one a channel"
    )
    fact("FLIP", lambda value: isinstance(value, bool), "True or False")
    if hasattr(module, "CUTOUT"):
        fact("CUTOUT", whole(0), "a whole number from 0")
    for name in ("LICENCE", "SOURCE"):
        fact(name, lambda value: isinstance(value, str) and bool(value), "text")
