"""Estimate the cost of a plan on this machine from a few timed steps, before anything starts.

For each algorithm of each comparison, a light and a heavy architecture of the plan are built and timed for a few steps; evaluation and
building are timed with the same networks.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from agd_bench import cost
from agd_bench.errors import AgdBenchError, Diverged, Refused, TrialOutcome
from agd_bench.plugins import ranges_of
from agd_bench.records import Plan, Scalar, Sweep, Trial
from agd_bench.scheduling.kinds import Comparison, comparison_of
from agd_bench.training import loop
from agd_bench.training.concurrency import own_surroundings
from agd_bench.training.cuda_graphs import capture_steps
from agd_bench.training.data import Splits, batches, draw, load_splits, steps_per_epoch
from agd_bench.training.eval_weights import refreshed_images
from agd_bench.training.fit import Fit
from agd_bench.trial import Workplace, blank_batch, make_fit

TIMED_STEPS = 14
# The first steps also load kernels and warm up the allocator.
WARM_UP_STEPS = 2
COUNTED_ARCHITECTURES = 24
"""Number of architectures from which the FLOPs of a larger plan are estimated."""


@dataclass(frozen=True)
class _Work:
    """FLOPs of one image, and number of images per epoch used for batch normalisation statistics."""

    flops: cost.Flops
    refreshed: int

    @property
    def training(self) -> float:
        """FLOPs of one image in training; NaN: not counted."""
        return math.nan if self.flops.training is None else self.flops.training

    def of_epoch(self, images: int) -> float:
        """NaN: not counted."""
        counted = self.flops.of_epoch(images, self.refreshed)
        return math.nan if counted is None else counted


@dataclass(frozen=True)
class _Timing:
    flops: float
    step_seconds: float
    eval_seconds: float
    build_seconds: float


def _work(trial: Trial, workplace: Workplace, images: int) -> _Work | None:
    """None for an architecture that the algorithm refuses, in `prepare` or in `build`."""
    # FLOPs do not depend on the device.
    cpu = torch.device("cpu")
    try:
        fit = make_fit(trial, workplace, 1, cpu)
    except Refused:
        return None
    flops = cost.count_flops(fit.network, blank_batch(trial, workplace, cpu))
    return _Work(flops, refreshed_images(fit.network, fit.optimizer, images, trial.batch_size))


def _time(trial: Trial, workplace: Workplace, splits: Splits, flops: float) -> _Timing:
    device = workplace.torch_device()
    begun = time.perf_counter()
    fit = make_fit(trial, workplace, TIMED_STEPS, device)
    cost.count_flops(fit.network, blank_batch(trial, workplace, device))  # as a worker's first trial of each network does
    built = time.perf_counter() - begun
    capture_steps(fit, device)
    seconds = _step_seconds(fit, trial, splits)
    begun = time.perf_counter()
    with contextlib.suppress(Diverged):  # only its seconds matter, whatever the learning rate
        loop.evaluate(fit, splits.val)
    return _Timing(flops, seconds, time.perf_counter() - begun, built)


def _step_seconds(fit: Fit, trial: Trial, splits: Splits) -> float:
    """Mean seconds of a step including its batch, without the first ones; if captured, of a second pass, because the first one captures."""
    generator = torch.Generator().manual_seed(0)
    # Repeated, because a small data set may have fewer images than the steps need.
    order = torch.arange(len(splits.train.labels)).repeat(TIMED_STEPS)[: TIMED_STEPS * trial.batch_size]
    seconds = []
    if fit.capture is not None:
        # The first pass captures graphs; only the second one is as fast as training.
        for _ in range(2):
            begun = time.perf_counter()
            loss, _correct = fit.capture.train_epoch(splits.train, trial.batch_size, draw(splits.train, order, generator, trial.augment))
            # Wait for the device, because the pass only queues its kernels.
            float(loss)
            seconds.append((time.perf_counter() - begun) / steps_per_epoch(len(order), trial.batch_size))
        return seconds[-1]
    begun = time.perf_counter()
    for pixels, labels in batches(splits.train, trial.batch_size, order, generator=generator, augment=trial.augment):
        fit.step(pixels, labels)
        if labels.is_cuda:
            # The step returns when its kernels are queued, before they have run.
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)  # the time includes making the batch
        begun = time.perf_counter()
    return statistics.fmean(seconds[WARM_UP_STEPS:])


def _spread(trials: list[Trial], count: int) -> list[Trial]:
    """At most `count` trials of different architectures, spread evenly over the list."""
    distinct = list({trial.architecture: trial for trial in trials}.values())
    chosen = np.linspace(0, len(distinct) - 1, min(count, len(distinct))).astype(int)
    return [distinct[index] for index in chosen]


def _estimate_cell(trials: list[Trial], workplace: Workplace) -> tuple[float, float]:
    """Seconds and FLOPs of training all `trials`, which differ only in architecture, seed and purpose."""
    device = workplace.torch_device()
    first = trials[0]
    splits = load_splits(first.dataset, workplace.data_root, tuple(workplace.folders.get("datasets", ())), first.dataset_share, device)
    images = len(splits.train.labels)
    counted = [(trial, _work(trial, workplace, images)) for trial in _spread(trials, COUNTED_ARCHITECTURES)]
    sound = sorted(((trial, work) for trial, work in counted if work is not None), key=lambda pair: pair[1].flops.training or 0)
    if not sound:
        return 0.0, 0.0
    ends = [sound[0], sound[-1]] if len(sound) > 1 else sound
    light, heavy = (lambda timings: (timings[0], timings[-1]))([_time(trial, workplace, splits, work.training) for trial, work in ends])
    step_seconds = _mean_step_seconds(light, heavy, statistics.fmean(work.training for _, work in sound))
    # Refused architectures cost nothing; their share in the sample is assumed for the plan.
    share = len(sound) / len(counted)
    steps = first.epochs * steps_per_epoch(images, first.batch_size)
    # Images that refresh statistics pass forward like evaluated ones; test images pass once, at the end.
    passed = first.epochs * (len(splits.val.labels) + statistics.fmean(work.refreshed for _, work in sound)) + len(splits.test.labels)
    seconds = steps * step_seconds
    seconds += passed / len(splits.val.labels) * statistics.fmean([light.eval_seconds, heavy.eval_seconds])
    seconds += statistics.fmean([light.build_seconds, heavy.build_seconds])
    flops = first.epochs * statistics.fmean(work.of_epoch(images) for _, work in sound)
    return share * len(trials) * seconds, share * len(trials) * flops


def _mean_step_seconds(light: _Timing, heavy: _Timing, mean_flops: float) -> float:
    """Interpolate seconds for networks with `mean_flops` per image between a light and a heavy one."""
    if math.isnan(mean_flops):
        return statistics.fmean([light.step_seconds, heavy.step_seconds])
    # Linear in FLOPs through two points; not decreasing, because a heavy network may be timed faster by chance.
    slope = max(0.0, (heavy.step_seconds - light.step_seconds) / max(1, heavy.flops - light.flops))
    return light.step_seconds + slope * (mean_flops - light.flops)


def _estimate_cells(trials: list[Trial], workplace: Workplace) -> tuple[float, float]:
    """Like `_estimate_cell` for trials with different epochs, because an algorithm may tune with shorter trainings."""
    by_epochs: dict[int, list[Trial]] = {}
    for trial in trials:
        by_epochs.setdefault(trial.epochs, []).append(trial)
    seconds, flops = zip(*(_estimate_cell(part, workplace) for part in by_epochs.values()), strict=True)
    return sum(seconds), sum(flops)


def _with_placeholder(trial: Trial, workplace: Workplace) -> Trial:
    """A tuned trial has no proposal before its study starts; use the low end of each range, which costs the same."""
    algorithm = workplace.load("algorithms", trial.algorithm)
    ranges = algorithm.RANGES if trial.study is None else ranges_of(algorithm)
    # The smallest choice, not the first, because the largest rate of a grid may diverge within a step.
    low = {name: _lowest(given["choices"]) if "choices" in given else given["low"] for name, given in ranges.items()}
    return trial.model_copy(update={"proposal": low}) if low else trial


def _lowest(choices: Sequence[Scalar]) -> Scalar:
    """The smallest number, or the first value if they are not numbers."""
    numbers = [choice for choice in choices if isinstance(choice, int | float)]
    return min(numbers) if len(numbers) == len(choices) else choices[0]


def _is_certain(trial: Trial, sweep: Sweep) -> bool:
    """Whether a trial will be trained regardless of the results of others."""
    return sweep.adaptive_seeds is None or trial.purpose == "tuning" or trial.seed < sweep.adaptive_seeds.first


def estimate_plan(plan: Plan, workplace: Workplace, slots: int, done: Iterable[str] = ()) -> pd.DataFrame:
    """Estimate the remaining trials of a plan and their cost on this machine.

    Args:
        plan: all trials.
        workplace: where the trials would run.
        slots: number of concurrent trials.
        done: ids of trials that do not need to be trained.

    Returns:
        One row per comparison and algorithm: `search_space`, `dataset`, `profile`, `algorithm`, `studies`,
        `tuning_trials`, `final_trials`, `flops` (training, forward and backward, 2 per multiply-add; NaN: not counted),
        `device_seconds` (trials in sequence), `wall_seconds` (on the slots), `least_share` (share of trials, FLOPs and seconds needed in
        any case, in [0, 1]; with adaptive seeds the rest may not be needed, otherwise 1) and `problem` (error of the plug-in if there is no
        estimate; otherwise empty).
    """
    finished, studies = set(done), {study.key for study in plan.studies}
    cells: dict[tuple[Comparison, str], list[Trial]] = {}
    for trial in plan.all_trials:
        # Represented trials reuse the results of another trial and cost nothing.
        if trial.id not in finished and trial.representative is None:
            cells.setdefault((comparison_of(trial), trial.algorithm_label), []).append(trial)
    # An estimate must neither resume from checkpoints of the run nor write its own.
    local = replace(workplace, checkpoints=None)
    rows = []
    with own_surroundings(workplace.threads):
        for ((space, dataset, profile), algorithm), trials in cells.items():
            problem = ""
            try:
                seconds, flops = _estimate_cells([_with_placeholder(trial, local) for trial in trials], local)
            except Exception as error:  # from a plug-in: its trials will fail, which a plan should report instead of raising
                if isinstance(error, AgdBenchError) and not isinstance(error, TrialOutcome):
                    raise
                seconds, flops, problem = math.nan, math.nan, f"{type(error).__name__}: {error}"
            rows.append(
                {
                    "search_space": space,
                    "dataset": dataset,
                    "profile": profile,
                    "algorithm": algorithm,
                    "studies": len(studies & {trial.study for trial in trials}),
                    "tuning_trials": sum(trial.purpose == "tuning" for trial in trials),
                    "final_trials": sum(trial.purpose == "final" for trial in trials),
                    "flops": flops,
                    "device_seconds": seconds,
                    "wall_seconds": seconds / max(1, slots),
                    "least_share": sum(_is_certain(trial, plan.sweep) for trial in trials) / len(trials),
                    "problem": problem,
                }
            )
    columns = ["search_space", "dataset", "profile", "algorithm", "studies", "tuning_trials", "final_trials"]
    return pd.DataFrame(rows, columns=[*columns, "flops", "device_seconds", "wall_seconds", "least_share", "problem"])
