"""Write trials as offline runs of Weights & Biases, which `wandb sync` uploads."""

from __future__ import annotations

import shutil
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import wandb
from wandb.proto import wandb_internal_pb2

from agd_bench.store import written_beside
from agd_bench.trackers.tracked import TrackedTrial

PROJECT = "agd-bench"
FLUSH_SECONDS = 60.0
BLOCK, HEADER = 32_768, 7
"""Bytes of a block and of a header in LevelDB's log format, github.com/google/leveldb/blob/main/doc/log_format.md."""
WHOLE, LAST = 1, 4
"""Types of records there that end with this part."""


class WeightsAndBiases:
    """Writes below a folder.

    Args:
        target: the folder.
    """

    def __init__(self, target: str) -> None:
        self._folder = Path(target).expanduser()
        self._folder.mkdir(parents=True, exist_ok=True)
        self.show = f"wandb sync {self._folder}/offline-run-*"

    def write(self, trial: TrackedTrial) -> None:
        """Write one run, which appears when it is complete. Its id has the attempt, as a deleted id cannot be uploaded again."""
        own = f"{trial.id}-{trial.attempt}"
        if any(self._folder.glob(f"offline-run-*-{own}")):
            return
        # The name has the format that `wandb sync` expects.
        begun = time.strftime("%Y%m%d_%H%M%S", time.gmtime(trial.started_at))
        with tempfile.TemporaryDirectory() as temporary, written_beside(self._folder / f"offline-run-{begun}-{own}") as beside:
            _write_run(trial, own, temporary)
            (written,) = (Path(temporary) / "wandb").glob(f"offline-run-*-{own}")
            _await_flush(written / f"run-{own}.wandb")
            shutil.copytree(written, beside, dirs_exist_ok=True)
        for old in self._folder.glob(f"offline-run-*-{trial.id}-*"):
            if not old.name.endswith(own):
                shutil.rmtree(old)


def _write_run(trial: TrackedTrial, own: str, folder: str) -> None:
    quiet = wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True, x_disable_meta=True)
    algorithm, purpose = str(trial.settings["algorithm"]), str(trial.settings["purpose"])
    about = {"id": own, "name": trial.name, "group": algorithm, "job_type": purpose, "config": dict(trial.settings)}
    run = wandb.init(project=PROJECT, dir=folder, mode="offline", settings=quiet, reinit="create_new", **about)
    for point in trial.points:
        run.log(point.values, step=point.epoch)
    run.summary.update({f"result/{name}": value for name, value in trial.result.items()})
    run.summary.update({"status": trial.status, "reason": trial.reason})
    run.finish(exit_code=0 if trial.status in ("done", "pruned") else 1)


def _await_flush(file: Path) -> None:
    """Wait for the last record of a run: `finish` returns while another process still writes.

    Raises:
        OSError: it was not written within `FLUSH_SECONDS`.
    """
    deadline = time.monotonic() + FLUSH_SECONDS
    while not any(record.HasField("exit") for record in read_records(file)):
        if time.monotonic() > deadline:
            raise OSError(f"wandb did not complete {file.name} within {FLUSH_SECONDS:.0f} s")
        time.sleep(0.02)


def read_records(file: Path) -> Iterator[wandb_internal_pb2.Record]:
    """Read the records of a `.wandb` file: W&B's header, then protocol buffers in LevelDB's log format."""
    content, place, record = file.read_bytes(), HEADER, b""
    while place + HEADER <= len(content):
        left = BLOCK - place % BLOCK
        if left < HEADER:  # padding
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        record += content[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if place > len(content):
            return
        if kind in (WHOLE, LAST):
            yield wandb_internal_pb2.Record.FromString(record)
            record = b""
