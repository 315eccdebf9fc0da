"""Tune a study's trials with Ray Tune, whose schedulers (ASHA, PBT, BOHB) and searchers then run on the same trainings as our tuners.

A sweep asks for it with `sampler = "ray-tune"`. Each of Tune's trials is one proposal of one study: it trains the study's network epoch by
epoch, and writes what it measured to a folder. `import_tuned` turns the folder into rows of the run, all cost included, and `run` then
trains the final trials with the best values. A proposal that Tune stopped early is `pruned`. With population-based training, a row's values
are its last ones, and a training that takes over another's weights with other values starts with a fresh optimizer at the same place of its
schedule.

References:
    Li et al.: A system for massively parallel hyperparameter tuning. MLSys 2020 (ASHA).
    Jaderberg et al.: Population based training of neural networks. arXiv 1711.09846, 2017.
"""

from __future__ import annotations

import json
import os
import time
import uuid
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from agd_bench.errors import InputError, SweepError, TrialOutcome
from agd_bench.planning.planner import Folders, folders_of, plan
from agd_bench.plugins import load, ranges_of
from agd_bench.records import TERMINAL, CurvePoint, Plan, Scalars, Study, Sweep, Trial, TrialResult
from agd_bench.scheduling.executors.ray_cluster import ENVIRONMENT
from agd_bench.store import Store
from agd_bench.training import loop
from agd_bench.training.concurrency import own_surroundings
from agd_bench.trial import Workplace
from agd_bench.trial.attempt import Attempt
from agd_bench.trial.measurements import Measurements

# Ray reads them when it is imported.
for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)
from ray import tune  # noqa: E402

SAMPLER = "ray-tune"
STOPPED = "stopped by Ray Tune before its last epoch"


def studies_of(sweep: Sweep, folders: Folders | None = None) -> tuple[Study, ...]:
    """Return the studies of a sweep that Ray Tune is to run.

    Args:
        sweep: with an algorithm whose sampler is `ray-tune`.
        folders: further folders of plug-ins, by kind.

    Raises:
        SweepError: there is none, or one with several trials per proposal.
    """
    found = tuple(study for study in plan(sweep, folders).studies if study.sampler == SAMPLER)
    if not found:
        raise SweepError(f'{sweep.name}: no algorithm has sampler = "{SAMPLER}"; set it for those that Ray Tune is to tune')
    shared = [study.algorithm_label for study in found if any(len(trials) > 1 for trials in study.rounds)]
    if shared:
        raise SweepError(
            f'{shared[0]}: Ray Tune runs one training per proposal; use tuning_scope = "architecture", or "search-space" with 1 proxy'
        )
    return found


def search_space_of(study: Study, folders: Folders | None = None) -> dict[str, Any]:
    """Return the RANGES of a study's algorithm as Tune's `param_space`.

    Args:
        study: of `studies_of`.
        folders: further folders of plug-ins, by kind.
    """
    ranges = ranges_of(load("algorithms", study.algorithm, tuple((folders or {}).get("algorithms", ()))))
    return {name: _domain(given) for name, given in ranges.items()}


def _domain(given: Mapping[str, Any]) -> Any:
    if "choices" in given:
        return tune.choice(list(given["choices"]))
    low, high, log = given["low"], given["high"], given.get("log", False)
    if isinstance(low, int) and isinstance(high, int):
        # Tune leaves the upper end out.
        return tune.lograndint(low, high + 1) if log else tune.randint(low, high + 1)
    return tune.loguniform(low, high) if log else tune.uniform(low, high)


class StudyTrainable(tune.Trainable):
    """One proposal of a study as a Trainable: a step is an epoch, and reports `val_accuracy` and `train_loss`.

    Use it as `tune.with_parameters(StudyTrainable, study=study, workplace=workplace, folder=folder)`, with a folder of the study's own that
    all of Tune's workers share.
    """

    # Tune passes what with_parameters was given.
    def setup(self, config: dict[str, Any], study: Study, workplace: Workplace, folder: Path) -> None:  # type: ignore[override]
        """Claim a proposal's number and build its training.

        Raises:
            SweepError: Tune asks for more proposals than the study has.
        """
        number = _claim(Path(folder), len(study.rounds), self.trial_id)
        self._life = Path(folder) / str(number) / f"{uuid.uuid4().hex}.json"
        self._trial = study.rounds[number][0].model_copy(update={"proposal": dict(config)})
        self._measured = Measurements(self._trial, workplace, workplace.torch_device())
        self._own_epochs, self._ended = 0, ""
        with own_surroundings(workplace.threads, self._measured.device):
            self._fit, self._splits = Attempt(self._measured, 1, None).begin()
        self._continue()

    def _continue(self) -> None:
        self._epochs = loop.epochs_of(
            self._fit, self._splits.train, self._splits.val, first=len(self._measured.curve) + 1, last=self._trial.epochs,
            batch_size=self._trial.batch_size, seed=self._trial.seed, augment=self._trial.augment,
            train_seconds=self._measured.train_seconds,
        )  # fmt: skip

    def step(self) -> dict[str, Any]:
        """Train an epoch; after the last one, measure the test accuracy too."""
        with own_surroundings(self._measured.workplace.threads, self._measured.device):
            try:
                point = next(self._epochs)
                self._measured.curve.append(point)
                self._own_epochs += 1
                if point.epoch == self._trial.epochs:
                    self._measured.test_accuracy = loop.evaluate(self._fit, self._splits.test).accuracy
            except TrialOutcome as outcome:
                self._write(outcome.status, str(outcome))
                # Worse than any training, so that no scheduler promotes it.
                return {"val_accuracy": 0.0, "train_loss": float("inf"), tune.result.DONE: True}
        done = point.epoch == self._trial.epochs
        self._write("done" if done else "pruned", "" if done else STOPPED)
        return {"val_accuracy": point.val_accuracy, "train_loss": point.train_loss, tune.result.DONE: done}

    def _write(self, status: str, reason: str) -> None:
        """Write down what this life of the trial has measured so far, so that a crash loses no cost."""
        result = self._measured.result(status, reason).model_dump(mode="json")
        said = {"settings": self._trial.proposal, "own_epochs": self._own_epochs, "ended_at": time.time(), "result": result}
        beside = self._life.with_suffix(".part")
        beside.write_text(json.dumps(said), encoding="utf-8", newline="\n")
        beside.replace(self._life)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save network, optimizer, schedule and curve."""
        curve = [point.model_dump() for point in self._measured.curve]
        state = {**self._fit.state_dict(), "curve": curve, "settings": self._trial.proposal, "steps": self._fit.steps}
        torch.save(state, Path(checkpoint_dir) / "state.pt")

    def load_checkpoint(self, checkpoint_dir: str) -> None:  # type: ignore[override]
        """Continue from a checkpoint, of this trial or of one with other values."""
        state = torch.load(Path(checkpoint_dir) / "state.pt", map_location=self._measured.device, weights_only=True)
        if state["settings"] == self._trial.proposal:
            self._fit.load_state_dict(state)
        else:
            self._fit.network.load_state_dict(state["network"])
            self._move_schedule(state["steps"])
        self._fit.steps = state["steps"]
        self._measured.curve = [CurvePoint.model_validate(point) for point in state["curve"]]
        self._continue()

    def _move_schedule(self, steps: int) -> None:
        """Move a fresh schedule on, as the optimizer's state belongs to other values."""
        if self._fit.scheduler is not None:
            with warnings.catch_warnings():
                # torch expects a step of the optimizer first.
                warnings.simplefilter("ignore", UserWarning)
                for _ in range(steps):
                    self._fit.scheduler.step()


def _claim(folder: Path, most: int, tune_trial: str) -> int:
    """Return the number of a Tune trial's proposal: the one that it has, or the first free one."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(most):
        place = folder / f"{number}.claimed"
        try:
            # Atomic, also between hosts that share the folder.
            with place.open("x", encoding="utf-8", newline="\n") as file:
                file.write(tune_trial)
            (folder / str(number)).mkdir()
        except FileExistsError:
            if place.read_text(encoding="utf-8") != tune_trial:
                continue
        return number
    raise SweepError(f"Ray Tune asks for more than the {most} proposals of the study; set tuning_trials in the sweep to Tune's num_samples")


def import_tuned(sweep: Sweep, out: Path | str, tuned: Mapping[str, Path], folders: Folders | None = None) -> int:
    """Write what Ray Tune trained into a run. `agd_bench.run` then trains the final trials.

    Args:
        sweep: that the studies are from.
        out: the run's folder or database.
        tuned: folder of each study, by its key.
        folders: further folders of plug-ins, by kind.

    Returns:
        Number of tuning trials written; those that the run has already are left out.

    Raises:
        InputError: a study has fewer proposals than the sweep asks for.
        RunChangedError: the run is of another sweep.
    """
    made: Plan = plan(sweep, folders_of(sweep, folders))
    studies = {study.key: study for study in made.studies if study.key in tuned}
    found = [each for key, study in studies.items() for each in _proposals(study, Path(tuned[key]))]
    written = 0
    with Store.open(out, made) as store:
        standings = store.standings()
        for trial, result, seconds in found:
            if standings[trial.id].status in TERMINAL:
                continue
            attempt = standings[trial.id].attempts + 1
            with store.together():
                store.start(trial, attempt, "Ray Tune", deadline_seconds=0.0)
                store.finish(result, attempt, seconds)
            written += 1
    return written


def _proposals(study: Study, folder: Path) -> Sequence[tuple[Trial, TrialResult, float]]:
    """Return the trials of a study with their values and results, and the seconds of all their lives."""
    rows = []
    for number, trials in enumerate(study.rounds):
        lives = [json.loads(path.read_text(encoding="utf-8")) for path in (folder / str(number)).glob("*.json")]
        if not lives:
            raise InputError(
                f"{folder}: proposal {number} of {study.algorithm_label} has no result, but the sweep asks for {len(study.rounds)}; let "
                "Ray Tune make as many, or lower tuning_trials"
            )
        last = max(lives, key=lambda life: (len(life["result"]["curve"]), life["ended_at"]))
        result = TrialResult.model_validate(last["result"])
        values: Scalars = last["settings"]
        per_epoch = result.flops // len(result.curve) if result.flops and result.curve else None
        # Epochs taken over from another trial's checkpoint are charged to that one.
        flops = None if per_epoch is None else per_epoch * sum(life["own_epochs"] for life in lives)
        seconds = sum(float(life["result"]["total_seconds"]) for life in lives)
        trial = trials[0].model_copy(update={"proposal": values})
        provenance = {**result.provenance, "sampler": "Ray Tune"}
        measured = {"trial_id": trial.id, "flops": flops, "total_seconds": seconds, "provenance": provenance}
        rows.append((trial, result.model_copy(update=measured), seconds))
    return rows
