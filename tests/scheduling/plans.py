"""Plans for scheduling tests, and functions that stand in for training."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agd_bench.errors import DatasetError, DeviceLostError, OutOfMemory
from agd_bench.records import TUNING_SEED, CurvePoint, Plan, Scalars, Study, Sweep, Trial, TrialResult

if TYPE_CHECKING:  # torch and Optuna take seconds to import, in every worker
    from agd_bench.trial import Workplace
    from agd_bench.tuning import Observation

FAKE_DATASET = '''"""Nothing to learn."""
import numpy as np
IN_CHANNELS, NUM_CLASSES, IMAGE_SIZE = 1, 2, 2
def load(root):
    images, labels = np.zeros((2, 1, 2, 2), np.uint8), np.zeros(2, np.int64)
    return {part: (images, labels) for part in ("train", "val", "test")}
'''


def sweep(**changes: object) -> Sweep:
    """Return a sweep of two algorithms, one of them tuned."""
    given: dict[str, object] = {
        "name": "test",
        "epochs": 2,
        "search_spaces": [{"name": "cells"}],
        "datasets": [{"name": "nothing"}],
        "algorithms": [{"name": "free"}, {"name": "tuned", "tuning_trials": 3}],
    }
    return Sweep.model_validate(given | changes)


def trial(architecture: str, seed: int, algorithm: str = "free", **more: object) -> Trial:
    """Return one trial of the sweep."""
    given = {
        "search_space": "cells",
        "search_space_label": "cells",
        "architecture": architecture,
        "dataset": "nothing",
        "algorithm": algorithm,
        "algorithm_label": algorithm,
        "epochs": 2,
        "batch_size": 8,
        "seed": seed,
    }
    return Trial.model_validate(given | more)


def plan(
    architectures: int = 2,
    seeds: int = 2,
    rounds: int = 3,
    proxies: int = 1,
    pruner: str = "none",
    digests: dict[str, str] | None = None,
    adaptive: dict[str, float] | None = None,
    **changes: object,
) -> Plan:
    """Return a plan with a self-tuning algorithm's trials and a study for each architecture.

    With `adaptive`, `seeds` is the maximum number of seeds.
    """
    if adaptive is not None:
        changes |= {"seeds": "adaptive", "adaptive_seeds": {"most": seeds, **adaptive}}
    names = [f"cell-{index}" for index in range(architectures)]
    finals = tuple(trial(name, seed) for seed in range(seeds) for name in names)
    studies = []
    for name in names if rounds else []:
        key = f"study-{name}"
        tried = [f"{name}.{proxy}" if proxy else name for proxy in range(proxies)]
        parts = tuple(
            tuple(trial(proxy, TUNING_SEED + number, "tuned", purpose="tuning", study=key, number=number) for proxy in tried)
            for number in range(rounds)
        )
        final = tuple(trial(name, seed, "tuned", study=key) for seed in range(seeds))
        studies.append(
            Study.model_validate(
                {"key": key, "algorithm": "tuned", "algorithm_label": "tuned", "rounds": parts, "final": final, "pruner": pruner}
            )
        )
    return Plan(sweep=sweep(**changes), trials=finals, studies=tuple(studies), plugin_digests=digests or {"algorithms/free": "0" * 16})


class HashTuner:
    """A tuner that proposes a hash of all observations, and records the calls to it."""

    def __init__(self) -> None:
        self.proposed: list[tuple[str, int, Scalars]] = []
        self.asked_thresholds: list[int] = []

    def propose(self, study: Study, told: Sequence[Observation]) -> Scalars:
        """Return a hash of the observations, in [0, 1)."""
        value = int(hashlib.sha256(repr((study.key, list(told))).encode()).hexdigest()[:8], 16) / 2**32
        self.proposed.append((study.key, len(told), {"rate": value}))
        return {"rate": value}

    def choose(self, told: Sequence[Observation]) -> Scalars | None:
        """Return the values of the best finished proposal, or None if there is none."""
        finished = [row for row in told if row.value is not None]
        return max(finished, key=lambda row: row.value or 0.0).values if finished else None

    def stop_below(self, study: Study, number: int, curves: Sequence[tuple[int, Sequence[CurvePoint]]]) -> dict[int, float]:
        """Return as many thresholds as there are curves."""
        self.asked_thresholds.append(len(curves))
        return {epoch + 1: 0.0 for epoch in range(len(curves))}

    def sampler(self, study: Study) -> str:
        """Return a description of this tuner."""
        return "hash of what was told"


def accuracy_of(one: Trial) -> float:
    """Return a number in [0, 1) that depends only on the trial and its settings."""
    return int(hashlib.sha256(f"{one.id}{one.settings}".encode()).hexdigest()[:8], 16) / 2**32


def curve_of(one: Trial) -> tuple[CurvePoint, ...]:
    """Return a curve that ends at the trial's accuracy."""
    value = accuracy_of(one)
    return tuple(
        CurvePoint(epoch=epoch, train_loss=1.0, train_accuracy=value, val_loss=None, val_accuracy=value, train_seconds=float(epoch))
        for epoch in (1, 2)
    )


def result_of(one: Trial, seconds: float = 1.0, status: str = "done") -> TrialResult:
    """Return what training would have measured."""
    if status != "done":
        return TrialResult.model_validate({"trial_id": one.id, "status": status, "reason": "so it is", "total_seconds": seconds})
    value = accuracy_of(one)
    return TrialResult(
        trial_id=one.id,
        status="done",
        train_loss=0.5,
        train_accuracy=value,
        val_accuracy=value,
        test_accuracy=value,
        train_seconds=seconds / 2,
        total_seconds=seconds,
        flops=2**40,
        parameters=7,
        curve=curve_of(one),
        provenance={"device": "imagined"},
    )


ADAPTIVE = {"first": 2, "half_width": 1e-7}


def uneven(one: Trial, status: str = "done") -> TrialResult:
    """Return a result, for use with `ADAPTIVE`, where three architectures are far apart and two tie, with very little noise."""
    effect = {"cell-0": 0.2, "cell-1": 0.5, "cell-2": 0.8, "cell-3": 0.9, "cell-4": 0.9}[one.architecture]
    result = result_of(one, status=status)
    return result if status != "done" else result.model_copy(update={"val_accuracy": effect + (accuracy_of(one) - 0.5) * 1e-5})


def succeed(one: Trial, workplace: Workplace, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
    """Return a result without training."""
    return result_of(one, 0.001)


def die_first(one: Trial, workplace: Workplace, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
    """Kill the worker in the first attempt at seed 1."""
    if attempt == 1 and one.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return result_of(one, 0.001)


def lose_the_gpu_first(one: Trial, workplace: Workplace, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
    """Lose the GPU in the first attempt at seed 1."""
    if attempt == 1 and one.seed == 1:
        raise DeviceLostError("an illegal memory access was encountered (a test)")
    return result_of(one, 0.001)


def always_die(one: Trial, workplace: Workplace, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
    """Kill the worker in every attempt at seed 1."""
    if one.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return result_of(one, 0.001)


def hang_first(one: Trial, workplace: Workplace, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
    """Hang in the first attempt at seed 1, whatever the deadline, after creating the file `hangs`."""
    if attempt == 1 and one.seed == 1:
        (workplace.data_root / "hangs").touch()
        time.sleep(36_000)
    return result_of(one, 0.001)


def starve_first(one: Trial, workplace: Workplace, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
    """Run out of memory in the first attempt at seed 1."""
    if attempt == 1 and one.seed == 1:
        raise OutOfMemory("CUDA out of memory")
    return result_of(one, 0.001)


def miss_data(one: Trial, workplace: Workplace, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
    """Raise the error of a missing data set."""
    raise DatasetError("the images went away")


def workplace(folder: Path, **more: object) -> Workplace:
    """Return a workplace with a fake data set."""
    from agd_bench.trial import Workplace

    plugins = folder / "plugins"
    plugins.mkdir(exist_ok=True)
    (plugins / "nothing.py").write_text(FAKE_DATASET)
    return Workplace(data_root=folder, folders={"datasets": (plugins,)}, device="cpu", **more)  # type: ignore[arg-type]
