"""What a plan would cost on this machine, from a few timed steps, before anything starts.

For each algorithm of each comparison, a light and a heavy architecture of the plan are built and timed for a few
steps; seconds of evaluating and of building are timed on the same networks.
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
# The first steps also load kernels and fill the allocator.
WARM_UP_STEPS = 2
COUNTED_ARCHITECTURES = 24
"""FLOPs of a larger plan are estimated from so many of its architectures."""


@dataclass(frozen=True)
class _Work:
    """FLOPs of one image, and images that pass through in each epoch for statistics of batch normalisation."""

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
    """None for an architecture that the algorithm refuses, be it when it prepares or when it builds its optimizer."""
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
    with contextlib.suppress(Diverged):  # its seconds are what is asked, whatever rate it was timed at
        loop.evaluate(fit, splits.val)
    return _Timing(flops, seconds, time.perf_counter() - begun, built)


def _step_seconds(fit: Fit, trial: Trial, splits: Splits) -> float:
    """Of a step with its batch: the mean of all but the first ones; of a captured one, of a second pass, as the first captures."""
    generator = torch.Generator().manual_seed(0)
    # Repeated, as a small data set may have fewer images than the steps take.
    order = torch.arange(len(splits.train.labels)).repeat(TIMED_STEPS)[: TIMED_STEPS * trial.batch_size]
    seconds = []
    if fit.capture is not None:
        # The first pass captures graphs; only the second is as fast as training.
        for _ in range(2):
            begun = time.perf_counter()
            loss, _correct = fit.capture.train_epoch(splits.train, trial.batch_size, draw(splits.train, order, generator, trial.augment))
            # Waits for the device: the pass itself only queues its kernels.
            float(loss)
            seconds.append((time.perf_counter() - begun) / steps_per_epoch(len(order), trial.batch_size))
        return seconds[-1]
    begun = time.perf_counter()
    for pixels, labels in batches(splits.train, trial.batch_size, order, generator=generator, augment=trial.augment):
        fit.step(pixels, labels)
        if labels.is_cuda:
            # The step returns once its kernels are queued, before they have run.
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)  # a step's batch is made within its time
        begun = time.perf_counter()
    return statistics.fmean(seconds[WARM_UP_STEPS:])


def _spread(trials: list[Trial], count: int) -> list[Trial]:
    """At most `count` trials of different architectures, evenly spread over the list."""
    distinct = list({trial.architecture: trial for trial in trials}.values())
    chosen = np.linspace(0, len(distinct) - 1, min(count, len(distinct))).astype(int)
    return [distinct[index] for index in chosen]


def _estimate_cell(trials: list[Trial], workplace: Workplace) -> tuple[float, float]:
    """Seconds and FLOPs of the training of all `trials`, which share all but architecture, seed and purpose."""
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
    # Refused architectures cost nothing; their share of the sample is taken for that of the plan.
    share = len(sound) / len(counted)
    steps = first.epochs * steps_per_epoch(images, first.batch_size)
    # An image that refreshes statistics passes forward, as one that is evaluated does; test images pass once, at the end.
    passed = first.epochs * (len(splits.val.labels) + statistics.fmean(work.refreshed for _, work in sound)) + len(splits.test.labels)
    seconds = steps * step_seconds
    seconds += passed / len(splits.val.labels) * statistics.fmean([light.eval_seconds, heavy.eval_seconds])
    seconds += statistics.fmean([light.build_seconds, heavy.build_seconds])
    flops = first.epochs * statistics.fmean(work.of_epoch(images) for _, work in sound)
    return share * len(trials) * seconds, share * len(trials) * flops


def _mean_step_seconds(light: _Timing, heavy: _Timing, mean_flops: float) -> float:
    """Of networks with `mean_flops` an image, between a light and a heavy one."""
    if math.isnan(mean_flops):
        return statistics.fmean([light.step_seconds, heavy.step_seconds])
    # Linear in FLOPs, which two points fix; never falling, as a heavy network may be timed faster by chance.
    slope = max(0.0, (heavy.step_seconds - light.step_seconds) / max(1, heavy.flops - light.flops))
    return light.step_seconds + slope * (mean_flops - light.flops)


def _estimate_cells(trials: list[Trial], workplace: Workplace) -> tuple[float, float]:
    """As `_estimate_cell`, of trials whose epochs differ: an algorithm may tune with shorter trainings."""
    by_epochs: dict[int, list[Trial]] = {}
    for trial in trials:
        by_epochs.setdefault(trial.epochs, []).append(trial)
    seconds, flops = zip(*(_estimate_cell(part, workplace) for part in by_epochs.values()), strict=True)
    return sum(seconds), sum(flops)


def _with_placeholder(trial: Trial, workplace: Workplace) -> Trial:
    """A tuned trial has no proposal before its study asks: take the low end of each range, which costs the same."""
    algorithm = workplace.load("algorithms", trial.algorithm)
    ranges = algorithm.RANGES if trial.study is None else ranges_of(algorithm)
    # The smallest choice, not the first: the largest rate of a grid may diverge within a step.
    low = {name: _lowest(given["choices"]) if "choices" in given else given["low"] for name, given in ranges.items()}
    return trial.model_copy(update={"proposal": low}) if low else trial


def _lowest(choices: Sequence[Scalar]) -> Scalar:
    """The smallest of numbers, else the first."""
    numbers = [choice for choice in choices if isinstance(choice, int | float)]
    return min(numbers) if len(numbers) == len(choices) else choices[0]


def _is_certain(trial: Trial, sweep: Sweep) -> bool:
    """Whether a trial will be trained whatever the others measure."""
    return sweep.adaptive_seeds is None or trial.purpose == "tuning" or trial.seed < sweep.adaptive_seeds.first


def estimate_plan(plan: Plan, workplace: Workplace, slots: int, done: Iterable[str] = ()) -> pd.DataFrame:
    """What is still to be trained and what that takes here.

    Args:
        plan: all trials.
        workplace: where they would run.
        slots: trials that run at a time.
        done: ids of trials that need not be trained any more.

    Returns:
        One row per comparison and algorithm: `search_space`, `dataset`, `profile`, `algorithm`, `studies`,
        `tuning_trials`, `final_trials`, `flops` (training, forward and backward, 2 per multiply-add; NaN: not counted),
        `device_seconds` (trials one after the other), `wall_seconds` (on the slots), `least_share` (of the trials, FLOPs and seconds,
        what is spent in any case, in [0, 1]: with adaptive seeds the rest may turn out not to be needed; else 1) and
        `problem` (why there is no estimate: the plug-in raised; else empty).
    """
    finished, studies = set(done), {study.key for study in plan.studies}
    cells: dict[tuple[Comparison, str], list[Trial]] = {}
    for trial in plan.all_trials:
        # Represented trials take the results of another one and cost nothing.
        if trial.id not in finished and trial.representative is None:
            cells.setdefault((comparison_of(trial), trial.algorithm_label), []).append(trial)
    # An estimate must neither go on from checkpoints of the run nor leave its own.
    local = replace(workplace, checkpoints=None)
    rows = []
    with own_surroundings(workplace.threads):
        for ((space, dataset, profile), algorithm), trials in cells.items():
            problem = ""
            try:
                seconds, flops = _estimate_cells([_with_placeholder(trial, local) for trial in trials], local)
            except Exception as error:  # a plug-in's: its trials will end as failed, which a plan should say and not die of
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
