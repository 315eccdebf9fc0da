"""The benchmark: every rung in turn on one architecture, then both ends of the ladder on a sample of the search space."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch

from agd_bench.cores import usable_cores
from agd_bench.trial.provenance import device_name
from search_spaces import nas_bench_201
from tests.performance.engine.processes import Crew, crew
from tests.performance.engine.rungs import BARE, Rung, Size, ladder
from tests.performance.engine.slices import Window
from tests.performance.engine.strata import Sample, forward_flops, stratified, total

CHECKPOINT_SECONDS = 60.0
"""Default number of seconds between checkpoints in a sweep."""
GPU_SECONDS = 420.0
"""Total seconds of all windows on a GPU, so that the whole benchmark takes at most ten minutes."""
WINDOWS_A_TURN = 8 / 3
"""Window lengths per turn: training and a third for evaluation, each in all processes and in one."""
UNDISTURBED = 0.9
"""Minimum share of a core that a single-threaded process gets on an otherwise idle machine."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        rounds: number of alternating rounds over the ladder.
        window_seconds: seconds of training per rung and round; evaluation gets a third of this.
        strata: number of strata of the search space, by FLOPs.
        each: number of architectures drawn from each stratum.
        passes: number of alternating rounds over the two ends of the ladder, for each drawn architecture.
    """

    rounds: int = 5
    window_seconds: float = 3.0
    strata: int = 6
    each: int = 2
    passes: int = 2

    def within_budget(self, rungs: int) -> Effort:
        """Return a copy with windows short enough for the number of rungs to fit into the budget of a GPU."""
        turns = self.rounds * rungs + self.strata * self.each * self.passes * 2
        return replace(self, window_seconds=min(self.window_seconds, GPU_SECONDS / (turns * WINDOWS_A_TURN)))


QUICK = Effort(rounds=3, window_seconds=0.8, strata=3, each=2, passes=1)


@dataclass(frozen=True)
class Benchmark:
    """Results of the benchmark.

    Attributes:
        machine: processor or GPU, cores, versions, and the load at the start.
        size: what was trained.
        effort: how long was measured.
        architecture: the one on which the ladder was measured.
        ladder: one row per rung, medians over the rounds: `rung`; `on_ladder`; `images_per_second` in training and
            `evaluated_per_second`, of the whole machine; `start_seconds` for building a network; `architecture_seconds` of the whole
            machine; `architectures_per_hour`; `ratio` of these to the plain way, with the quartiles `ratio_low` and `ratio_high`;
            `step_ratio` to the previous rung; `best_ratio` of the best rounds; `cpu_seconds` of an architecture in one process (of one
            thread on a CPU) and their `cpu_ratio` to the plain way, which other programs disturb least; `evaluation_share` of those
            seconds and `checkpoint_share` of a training's; `cpu_share`: CPU seconds used, divided by those that the rung's threads could
            have used; `calls`, `waits` (host synchronisations) and `megabytes` (read and written) of a step, `data_calls` for making its
            batch; `step_seconds` in one process (CPU seconds on a CPU); `launch_seconds` and `memory_seconds`: minimum time of these
            calls and bytes, as mere calls and copies.
        parts: seconds of a step by `rung` and `part` (data, forward, backward with the loss, optimizer, rest): CPU seconds of one thread
            on a CPU, else wall-clock seconds with a wait for the device after each part.
        sample: one row for each drawn architecture and end of the ladder: `architecture`, `stratum`, `forward_flops` of an image,
            `rung`, `architecture_seconds` and `cpu_seconds` as above, the best of the passes.
        totals: one row for each end of the ladder: `rung`, `architectures` that have a path, `device_hours` for all of them with the
            95 % interval `low` to `high`; `cpu_hours`, `cpu_low` and `cpu_high`: CPU hours divided by the number of cores, the time on an
            otherwise idle machine if all cores are kept busy (a lower bound for the plain way, which cannot do so).
    """

    machine: dict[str, str]
    size: Size
    effort: Effort
    architecture: str
    ladder: pd.DataFrame
    parts: pd.DataFrame
    sample: pd.DataFrame
    totals: pd.DataFrame

    @property
    def beside_bare(self) -> tuple[float, float]:
        """Images per second relative to the bare loop, for SGD: of the engine's fastest way for one network, and of its last for many.

        If other programs disturbed a CPU, by the CPU seconds of one thread.
        """
        rows = self.ladder.set_index("rung")
        ways = [rung for rung in ladder(torch.device(self.machine["device_type"])) if rung.on_ladder and rung.optimizer == "sgd"]
        one = [rung.name for rung in ways if not rung.per_core and rung.in_flight == 1][-1]
        if self.disturbed:
            seconds = rows["step_seconds"]
            return float(seconds[BARE] / seconds[one]), float(seconds[BARE] / seconds[ways[-1].name])
        speed = rows["images_per_second"]
        return float(speed[one] / speed[BARE]), float(speed[ways[-1].name] / speed[BARE])

    @property
    def disturbed(self) -> bool:
        """Whether other programs used so much of the machine that wall-clock seconds mean little."""
        return self.machine["device_type"] == "cpu" and float(self.ladder["cpu_share"].iloc[-1]) < UNDISTURBED


def measure(size: Size, effort: Effort, device: torch.device, tell: Tell = lambda said: None) -> Benchmark:
    """Measure on this machine.

    Args:
        size: what to train.
        effort: how long to measure.
        device: device to measure.
        tell: called with a message about what is being measured.

    Raises:
        ExecutorError: a process ended or failed.
    """
    machine = _machine(device)
    architectures = [given for given in nas_bench_201.architectures() if nas_bench_201.has_path(given)]
    flops = forward_flops(architectures, size.image_size, size.channels, size.cells)
    sample = stratified(flops, effort.strata, effort.each, np.random.default_rng(0))
    middle = architectures[sample.chosen[len(sample.chosen) // 2]]
    rungs = ladder(device)
    effort = effort.within_budget(len(rungs)) if device.type == "cuda" else effort
    with crew(device.type, any(rung.per_core for rung in rungs)) as workers:
        table, parts = _climb(workers, rungs, size, effort, middle, tell)
        workers.clear()
        ends = [rungs[0], rungs[-1]]
        drawn = _survey(workers, ends, size, effort, [architectures[number] for number in sample.chosen], tell)
    drawn["stratum"] = np.repeat(sample.strata, len(ends))
    drawn["forward_flops"] = np.repeat(flops[list(sample.chosen)], len(ends))
    totals = pd.DataFrame(_total_rows(ends, drawn, sample, flops))
    return Benchmark(machine, size, effort, middle, table, parts, drawn, totals)


def _machine(device: torch.device) -> dict[str, str]:
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    versions = {"python": platform.python_version(), "torch": torch.__version__, "torchvision": version("torchvision")}
    return {"device": device_name(device), "device_type": device.type, "cores": str(usable_cores()), **versions, "load_before": load}


def _rate(windows: list[Window]) -> float:
    """Return the images per second of all processes together."""
    return sum(window.images / window.seconds for window in windows)


def _seconds_of(size: Size, training: float, evaluating: float, start: float) -> tuple[float, float]:
    """Return the seconds of a whole training of one architecture, and of its evaluations, from images per second."""
    evaluation = (size.epochs * size.val_images + size.test_images) / evaluating
    return size.epochs * size.train_images / training + evaluation + start, evaluation


def _climb(
    workers: Crew, rungs: tuple[Rung, ...], size: Size, effort: Effort, architecture: str, tell: Tell
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure every rung in turn on one architecture, and return the tables `ladder` and `parts`."""
    starts: dict[str, float] = {}
    for rung in rungs:
        tell(f"building: {rung.name}")
        starts[rung.name] = _begin(workers, rung, size, architecture)
        if not rung.per_core and any(other.per_core for other in rungs):
            workers.ask(rung, "begin", rung, size, architecture, alone=True)
    rounds = []
    for number in range(effort.rounds):
        for rung in rungs[:: -1 if number % 2 else 1]:
            tell(f"round {number + 1} of {effort.rounds}: {rung.name}")
            seen = _turn(workers, rung, size, effort.window_seconds, starts[rung.name])
            rounds.append({"round": number, "rung": rung.name, **seen})
    measured = pd.DataFrame(rounds)
    middle = measured.drop(columns="round").groupby("rung").median().to_dict("index")
    rows, parts = [], []
    for rung, before in zip(rungs, _before(rungs), strict=True):
        tell(f"counting: {rung.name}")
        found = {str(name): value for name, value in middle[rung.name].items()}
        ratios = _ratios(measured, rung.name, before.name, rungs[0].name)
        rows.append({"rung": rung.name, "on_ladder": rung.on_ladder, **found, **ratios, **_asked(workers, rung)})
        steps = min(200, max(2, round(effort.window_seconds / found["step_seconds"])))
        of_step = workers.ask(rung, "parts", rung.name, steps, alone=True)[0]
        parts += [{"rung": rung.name, "part": part, "seconds": value} for part, value in of_step.items()]
    table = pd.DataFrame(rows).assign(start_seconds=[starts[rung.name] for rung in rungs])
    return table.assign(architectures_per_hour=3600 / table["architecture_seconds"]), pd.DataFrame(parts)


def _begin(workers: Crew, rung: Rung, size: Size, architecture: str) -> float:
    """Build the rung's slices, one per process at the same time, and return the seconds per network."""
    begun = workers.ask(rung, "begin", rung, size, architecture)
    return float(np.mean(begun)) / len(begun)


def _turn(workers: Crew, rung: Rung, size: Size, window_seconds: float, start_seconds: float) -> dict[str, float]:
    """Measure a rung once, and return columns of `Benchmark.ladder`."""
    trained = workers.ask(rung, "train", rung.name, window_seconds)
    evaluated = workers.ask(rung, "evaluate", rung.name, window_seconds / 3)
    single = workers.ask(rung, "train", rung.name, window_seconds, True, alone=True)[0]
    checked = workers.ask(rung, "evaluate", rung.name, window_seconds / 3, True, alone=True)[0]
    seconds, _ = _seconds_of(size, _rate(trained), _rate(evaluated), start_seconds)
    # The processes of a per_core rung share the cores, and thus the time for building.
    own_start = start_seconds * (usable_cores() if rung.per_core else 1)
    cpu_seconds, evaluation = _seconds_of(size, single.images / single.cpu_seconds, checked.images / checked.cpu_seconds, own_start)
    threads = 1 if rung.per_core else usable_cores()
    by_cpu = workers.device_type == "cpu"
    return {
        "images_per_second": _rate(trained),
        "evaluated_per_second": _rate(evaluated),
        "architecture_seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "evaluation_share": evaluation / cpu_seconds,
        "cpu_share": sum(window.cpu_seconds for window in trained) / sum(threads * window.seconds for window in trained),
        "step_seconds": size.batch_size * (single.cpu_seconds if by_cpu else single.seconds) / single.images,
    }


def _ratios(measured: pd.DataFrame, rung: str, before: str, plain: str) -> dict[str, float]:
    """Return speed ratios of a rung, computed round by round."""
    seconds, cpu = (measured.pivot(index="round", columns="rung", values=name) for name in ("architecture_seconds", "cpu_seconds"))
    ratios = seconds[plain] / seconds[rung]
    return {
        "ratio": ratios.median(),
        "ratio_low": ratios.quantile(0.25),
        "ratio_high": ratios.quantile(0.75),
        "best_ratio": seconds[plain].min() / seconds[rung].min(),
        "cpu_ratio": (cpu[plain] / cpu[rung]).median(),
        "step_ratio": (seconds[before] / seconds[rung]).median(),
    }


def _asked(workers: Crew, rung: Rung) -> dict[str, float]:
    """Return a step's demands on the device, their minimum time, and the share of checkpoints in a trial's time."""
    making, stepping = workers.ask(rung, "counts", rung.name, alone=True)[0]
    per_call, per_second = workers.ask(rung, "floors", alone=True)[0]
    return {
        "calls": stepping.calls,
        "waits": stepping.waits,
        "data_calls": making.calls,
        "megabytes": stepping.bytes / 1e6,
        "launch_seconds": stepping.calls * per_call,
        "memory_seconds": stepping.bytes / per_second,
        "checkpoint_share": workers.ask(rung, "checkpoint_seconds", rung.name, alone=True)[0] / CHECKPOINT_SECONDS,
    }


def _before(rungs: tuple[Rung, ...]) -> Iterator[Rung]:
    """Yield, for each rung, the one that it builds on; the first rung for itself and for those off the ladder."""
    yield rungs[0]
    last = rungs[0]
    for rung, following in pairwise(rungs):
        last = rung if rung.on_ladder else last
        yield last if following.on_ladder else rungs[0]


def _survey(workers: Crew, ends: list[Rung], size: Size, effort: Effort, chosen: list[str], tell: Tell) -> pd.DataFrame:
    """Measure both ends of the ladder on each architecture: one row per architecture and rung, the best of the passes."""
    rows: list[dict[str, Any]] = []
    for number, architecture in enumerate(chosen, start=1):
        tell(f"architecture {number} of {len(chosen)}")
        starts = {rung.name: _begin(workers, rung, size, architecture) for rung in ends}
        for rung in ends:
            if not rung.per_core:
                workers.ask(rung, "begin", rung, size, architecture, alone=True)
        for turn in range(effort.passes):
            for rung in ends[:: -1 if turn % 2 else 1]:
                seen = _turn(workers, rung, size, effort.window_seconds, starts[rung.name])
                kept = {name: seen[name] for name in ("architecture_seconds", "cpu_seconds")}
                rows.append({"architecture": architecture, "rung": rung.name, **kept})
    return pd.DataFrame(rows).groupby(["architecture", "rung"], sort=False).min().reset_index()


def _total_rows(rungs: list[Rung], drawn: pd.DataFrame, sample: Sample, flops: Any) -> Iterator[dict[str, Any]]:
    for rung in rungs:
        own = drawn[drawn["rung"] == rung.name]
        wall, cpu = (total(sample, own[name].to_numpy(dtype=float), flops) for name in ("architecture_seconds", "cpu_seconds"))
        yield {
            "rung": rung.name,
            "architectures": len(flops),
            **{name: value / 3600 for name, value in zip(("device_hours", "low", "high"), wall, strict=True)},
            **{name: value / 3600 / usable_cores() for name, value in zip(("cpu_hours", "cpu_low", "cpu_high"), cpu, strict=True)},
        }
