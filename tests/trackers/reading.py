"""Read back what trackers wrote, with the packages that show it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Points = dict[str, list[tuple[int, float]]]
"""Epochs and validation accuracies by trial id."""


def read_tensorboard(folder: Path) -> Points:
    """As TensorBoard loads it: one run per folder with event files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: Points = {}
    for place in {file.parent for file in folder.rglob("*tfevents*")}:
        loaded = EventAccumulator(str(place))
        loaded.Reload()
        (file,) = place.iterdir()
        # TensorBoard holds single precision.
        found[file.name.split(".")[3]] = [(one.step, round(one.value, 6)) for one in loaded.Scalars("val_accuracy")]
    return found


def read_mlflow(folder: Path) -> Points:
    """All runs of the experiment that are not deleted."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("agd-bench")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len({run.data.tags["agd_bench.trial_id"] for run in runs}) == len(runs)
    assert "RUNNING" not in {run.info.status for run in runs}
    return {
        run.data.tags["agd_bench.trial_id"]: [
            (point.step, round(point.value, 6)) for point in client.get_metric_history(run.info.run_id, "val_accuracy")
        ]
        for run in runs
    }


def read_wandb(folder: Path) -> Points:
    """What `wandb sync` would upload: the history records of each run's file."""
    from agd_bench.trackers.wandb import read_records

    found: Points = {}
    for file in folder.glob("offline-run-*/run-*.wandb"):
        points = found.setdefault(file.stem.removeprefix("run-").partition("-")[0], [])
        assert points == []
        for record in read_records(file):
            values = {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
            if "val_accuracy" in values:
                points.append((int(values["_step"]), round(float(values["val_accuracy"]), 6)))
    return found


READERS: dict[str, Callable[[Path], Points]] = {"tensorboard": read_tensorboard, "mlflow": read_mlflow, "wandb": read_wandb}
