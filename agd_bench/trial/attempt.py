"""One execution of a trial, which ends with a result, or with an error that affects more than the trial."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from agd_bench import cost
from agd_bench.errors import EnvironmentFault, ExecutorError, InputError, OutOfMemory, Pruned, StoreError, TrialOutcome, is_environmental
from agd_bench.records import CurvePoint, Trial, TrialResult
from agd_bench.training import checkpoints, loop
from agd_bench.training.concurrency import draws, own_surroundings, settle
from agd_bench.training.cuda_graphs import capture_steps
from agd_bench.training.data import Splits, load_splits, steps_per_epoch
from agd_bench.training.device_faults import describe, is_lost, is_out_of_memory, loss_noticed
from agd_bench.training.fit import Fit
from agd_bench.training.turns import DEFAULT_GENERATORS, OwnGenerators, own_seconds
from agd_bench.trial.build import make_fit, make_watch
from agd_bench.trial.measurements import Measurements, charge_of
from agd_bench.trial.workplace import Workplace


def ending(work: Callable[[], None], device: torch.device) -> tuple[str, str]:
    """Do the work of a trial and return its status and reason: `done` and an empty reason if it succeeds.

    Raises:
        OutOfMemory: the device ran out of memory.
        InputError: a plug-in or a data set cannot be loaded.
        ExecutorError: the requested device does not exist or is lost.
        EnvironmentFault: files, the accelerator or a package failed; the fault may not occur on another node.
    """
    try:
        work()
        return "done", ""
    except TrialOutcome as outcome:
        return outcome.status, str(outcome)
    except (InputError, StoreError, ExecutorError):
        # Every other trial here would encounter them too.
        raise
    except Exception as error:
        out_of_memory, description = is_out_of_memory(error), describe(error)
        if not out_of_memory:
            if is_lost(device):
                # Converted to a DeviceLostError by `loss_noticed` around the whole attempt.
                raise
            description = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}{_where(error)}"
            if not is_environmental(error):
                # A defect of the network or of a plug-in, which would also occur on another node.
                return "failed", description
    # Lack of memory is not a result: the scheduler decides whether to repeat the trial alone.
    # raised here, after the original error is released: its traceback would keep the network in memory during the next attempt
    raise OutOfMemory(description) if out_of_memory else EnvironmentFault(description)


def _where(error: Exception) -> str:
    """The innermost frame as ` (file:line)`, without folders of this machine."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


log = logging.getLogger(__name__)


def run_trial(trial: Trial, workplace: Workplace, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
    """Run one attempt at a trial, from its newest intact checkpoint if there is one.

    Args:
        trial: the trial, with the tuner's proposal if its study has one.
        workplace: data, plug-ins, device and checkpoints.
        attempt: from 1; names this attempt's checkpoints.
        seconds_left: seconds until its deadline; None: no deadline.

    Returns:
        The result, with a reason for every status except `done`.

    Raises:
        OutOfMemory: the device ran out of memory.
        InputError: a plug-in or a data set cannot be loaded.
        ExecutorError: the requested device does not exist or is lost.
    """
    stop_at = None if seconds_left is None else own_seconds() + seconds_left
    measured = Measurements(trial, workplace, workplace.torch_device())
    with loss_noticed(measured.device), own_surroundings(workplace.threads, measured.device):
        status, reason = ending(Attempt(measured, attempt, stop_at).run, measured.device)
        return measured.result(status, reason)


class Attempt:
    """Trains a trial from its newest intact checkpoint to its evaluation on the test split."""

    def __init__(self, measured: Measurements, number: int, stop_at: float | None) -> None:
        """Initialise without building anything yet.

        Args:
            measured: receives the measurements.
            number: from 1; names its checkpoints.
            stop_at: `own_seconds()` of its deadline; None: no deadline.
        """
        self._trial, self._workplace, self._device = measured.trial, measured.workplace, measured.device
        self._measured, self._number, self._stop_at = measured, number, stop_at
        self._saved = time.monotonic()

    def run(self) -> None:
        """Train to the end; trials of this process that draw random numbers take turns, epoch by epoch.

        Raises:
            TrialOutcome: any other ending.
        """
        # Building seeds and uses torch's global generators, which other threads use too.
        with DEFAULT_GENERATORS:
            fit, splits = self.begin()
            if self._workplace.in_flight > 1:
                # Trainings that never draw need no lock and run concurrently.
                fit.seeded = draws(fit, splits.train)
                fit.turn = OwnGenerators(self._device) if fit.seeded else fit.turn
            # The data set is shared with other threads, which read it from their own streams.
            settle(self._device)
        self._train(fit, splits)
        with fit.turn:
            self._measured.test_accuracy = loop.evaluate(fit, splits.test).accuracy

    def begin(self) -> tuple[Fit, Splits]:
        """Load the data, build the training and restore its newest intact checkpoint."""
        trial, measured = self._trial, self._measured
        splits = self._load_splits()
        measured.restart()  # a data set is loaded once for many trials and charged to none of them
        images = len(splits.train.labels)
        per_epoch = steps_per_epoch(images, trial.batch_size)
        fit = measured.fit = make_fit(trial, self._workplace, trial.epochs * per_epoch, self._device)
        fit.stop_at, fit.cancelled = self._stop_at, self._workplace.cancelled
        measured.flops, measured.flops_per_epoch = charge_of(trial, self._workplace, fit, images, self._device)
        # After counting FLOPs, because its copy of the network is not memory of the training.
        cost.reading(partial(cost.reset_peak_memory, self._device))
        self._resume(fit)
        fit.steps = measured.resumed_epoch * per_epoch
        fit.watch = make_watch(trial, fit, splits.train)
        # After the watch, because a watched training is not captured.
        capture_steps(fit, self._device)
        return fit, splits

    def _load_splits(self) -> Splits:
        trial, folders = self._trial, tuple(self._workplace.folders.get("datasets", ()))
        return load_splits(trial.dataset, self._workplace.data_root, folders, trial.dataset_share, self._device)

    @property
    def _folder(self) -> Path | None:
        """Folder of the trial's checkpoints, if it has any."""
        return None if self._workplace.checkpoints is None else self._workplace.checkpoints / self._trial.id

    def _resume(self, fit: Fit) -> None:
        state = checkpoints.load(self._folder, self._device) if self._folder is not None else None
        if state is not None:
            fit.load_state_dict(state)
            self._measured.curve = [CurvePoint.model_validate(point) for point in state["curve"]]
            self._measured.resumed_epoch = len(self._measured.curve)

    def _train(self, fit: Fit, splits: Splits) -> None:
        """The remaining epochs."""
        trial, measured = self._trial, self._measured
        for point in loop.epochs_of(
            fit,
            splits.train,
            splits.val,
            first=len(measured.curve) + 1,
            last=trial.epochs,
            batch_size=trial.batch_size,
            seed=trial.seed,
            augment=trial.augment,
            train_seconds=measured.train_seconds,
        ):
            measured.curve.append(point)
            # After the last epoch there is nothing left to save, because the result replaces the checkpoint.
            if point.epoch < trial.epochs:
                self._prune(point.epoch)
                self._save_if_due(fit, point.epoch)

    def _prune(self, epoch: int) -> None:
        """Stop a tuning trial whose best accuracy is below the pruner's threshold.

        Raises:
            Pruned: its best accuracy is below the threshold.
        """
        best, threshold = max(point.val_accuracy for point in self._measured.curve), self._trial.stop_below.get(epoch)
        if threshold is not None and best < threshold:
            raise Pruned(
                f"best validation accuracy {best:.4f} after epoch {epoch} is below {threshold:.4f}, the threshold from earlier trials"
            )

    def _save_if_due(self, fit: Fit, epoch: int) -> None:
        if self._folder is not None and time.monotonic() - self._saved >= self._workplace.checkpoint_seconds:
            curve = [point.model_dump() for point in self._measured.curve]
            # With the curve, so the result of a resumed trial has all epochs.
            try:
                checkpoints.save(self._folder, self._number, epoch, {**fit.state_dict(), "curve": curve})
            except StoreError as error:
                # Costs the checkpoint alone: an attempt that is repeated starts from an older one.
                log.warning("%s; the training goes on without it", error)
            # Also after a failure, which would otherwise be met again after every epoch.
            self._saved = time.monotonic()
