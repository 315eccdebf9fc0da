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
    facts = run({"facts are stated": lambda: _dataset_facts(module)})
    loaded: list[Any] = []
    load = run({"load returns what the facts say": lambda: _loads(module, root, loaded)})
    if not load[0].passed or not facts[0].passed:
        return facts + load
    arrays = loaded[0]
    return (
        facts
        + load
        + run(
            {
                "loading repeats": lambda: _loading_repeats(module, root, arrays),
                "every class is there to train on": lambda: _classes(module, arrays),
                "MEAN and STD are those of the training pixels": lambda: _normalisation(module, arrays),
                "splits have no image in common": lambda: _disjoint(arrays),
            }
        )
    )


def _dataset_facts(module: ModuleType) -> None:
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
    for name in ("LICENCE", "SOURCE"):
        fact(name, lambda value: isinstance(value, str) and bool(value), "text")


def _loads(module: ModuleType, root: Path, loaded: list[Any]) -> None:
    arrays = module.load(root)
    for split in ("train", "val", "test"):
        fault = fault_of(arrays, split, module)
        demand(not fault, fault)
    loaded.append(arrays)


def _loading_repeats(module: ModuleType, root: Path, arrays: Any) -> None:
    again = module.load(root)
    for split, pair in arrays.items():
        same = all(np.array_equal(one, other) for one, other in zip(pair, again[split], strict=True))
        demand(same, f"load gave another {split!r} split the second time; draw splits with a fixed seed")


def _classes(module: ModuleType, arrays: Any) -> None:
    missing = sorted(set(range(module.NUM_CLASSES)) - set(arrays["train"][1].tolist()))
    demand(not missing, f"no training image of the classes {missing[:5]}; number the classes from 0 to NUM_CLASSES - 1")


def _normalisation(module: ModuleType, arrays: Any) -> None:
    pixels = arrays["train"][0] / np.float32(255)
    for name, values in (("MEAN", pixels.mean((0, 2, 3))), ("STD", pixels.std((0, 2, 3)))):
        found = ", ".join(f"{value:.4f}" for value in values)
        near = bool((np.abs(values - np.array(getattr(module, name))) < 0.1).all())
        demand(near, f"{name} is {getattr(module, name)}, but the training pixels in [0, 1] give ({found})")


def _disjoint(arrays: Any) -> str:
    """Published data sets hold a few images twice; more than one in fifty is a split that leaks."""
    contents = {split: [image.tobytes() for image in images] for split, (images, _) in arrays.items()}
    seen, remarks = set(contents["train"]), []
    for split in ("val", "test"):
        shared = sum(content in seen for content in contents[split])
        text = f"{shared} of {len(contents[split])} images of {split!r} are in an earlier split too"
        demand(shared <= len(contents[split]) / 50, f"{text}; split the images, do not draw each split for itself")
        remarks += [text] if shared else []
        seen |= set(contents[split])
    return "; ".join(remarks)
