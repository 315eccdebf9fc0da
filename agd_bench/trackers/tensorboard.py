"""Write trials as TensorBoard event files: one folder per trial, with its curve and, for the HParams tab, its settings and result."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from agd_bench.trackers.tracked import TrackedTrial


class TensorBoard:
    """Writes below a folder.

    Args:
        target: the folder.
    """

    def __init__(self, target: str) -> None:
        self._folder = Path(target).expanduser()
        self._folder.mkdir(parents=True, exist_ok=True)
        self.show = f"tensorboard --logdir {self._folder}"

    def write(self, trial: TrackedTrial) -> None:
        """Write one event file, which appears when it is complete."""
        folder = self._folder / trial.name
        file = folder / f"events.out.tfevents.{trial.id}.{trial.attempt}"
        if file.exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as name:
            _write_events(trial, name)
            (written,) = Path(name).iterdir()
            # TensorBoard reads whatever has `tfevents` in its name, also half a file.
            part = shutil.copyfile(written, folder / f"{trial.id}.part")
        os.replace(part, file)
        for old in folder.glob(f"events.out.tfevents.{trial.id}.*"):
            if old != file:
                old.unlink()


def _write_events(trial: TrackedTrial, folder: str) -> None:
    settings = {name: value if isinstance(value, bool | int | float | str) else str(value) for name, value in trial.settings.items()}
    # Without the summary of an experiment, of which TensorBoard reads only the first, it gathers columns from all trials.
    _, start, end = hparams(settings | {"status": trial.status}, {})
    with SummaryWriter(logdir=folder) as writer:
        writer.file_writer.add_summary(start, None, trial.started_at)
        for point in trial.points:
            for name, value in point.values.items():
                writer.add_scalar(name, value, point.epoch, point.time)
        last = trial.points[-1].epoch if trial.points else 0
        for name, value in trial.result.items():
            writer.add_scalar(f"result/{name}", value, last, trial.ended_at)
        if trial.reason:
            writer.add_text("reason", trial.reason, last, trial.ended_at)
        writer.file_writer.add_summary(end, None, trial.ended_at)
