"""Open a tracker by name, and say what to install for it."""

from __future__ import annotations

import importlib
import importlib.util
from typing import NamedTuple

from agd_bench.errors import InputError, UnknownNameError
from agd_bench.trackers.tracked import Tracker


class Kind(NamedTuple):
    """A tracker.

    Attributes:
        writer: name of its class, in the module of its name.
        package: Python package that it writes with; the extra has the tracker's name.
    """

    writer: str
    package: str


TRACKERS: dict[str, Kind] = {
    "tensorboard": Kind("TensorBoard", "tensorboardX"),
    "mlflow": Kind("MLflow", "mlflow"),
    "wandb": Kind("WeightsAndBiases", "wandb"),
}


def open_tracker(name: str, target: str) -> Tracker:
    """Open a tracker.

    Args:
        name: one of `TRACKERS`.
        target: folder, or for MLflow also a URI; created if missing.

    Raises:
        UnknownNameError: no tracker has this name.
        InputError: its package is not installed, or the target cannot be written.
    """
    if name not in TRACKERS:
        raise UnknownNameError("tracker", name, TRACKERS)
    kind = TRACKERS[name]
    if importlib.util.find_spec(kind.package) is None:
        raise InputError(f"{name} needs the package {kind.package}, which is not installed; run: pip install 'agd-bench[{name}]'")
    try:
        tracker: Tracker = getattr(importlib.import_module(f"agd_bench.trackers.{name}"), kind.writer)(target)
    except OSError as error:
        raise InputError(f"{name}:{target}: cannot be written: {error.strerror or error}") from None
    return tracker
