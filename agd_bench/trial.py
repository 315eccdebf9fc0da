"""One trial: resolve the names, build, train, measure. It cannot write to the store, so it runs and re-runs without one.

Whatever an architecture or an algorithm does (refuse, diverge, raise) becomes a result. What is wrong with the
installation (a missing data set, a plug-in that does not load, a full disk) is raised, because every other trial would
meet it too. Out of memory is raised as well: whether to try again alone is the scheduler's to say.
"""

from __future__ import annotations

import inspect
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from agd_bench import cost, plugins
from agd_bench.diagnostics import PARTS, Watch, modes_of
from agd_bench.errors import ExecutorError, InputError, OutOfMemory, Pruned, Refused, StoreError, TrialOutcome
from agd_bench.optim import losses, path_scaling
from agd_bench.records import CurvePoint, Trial, TrialResult
from agd_bench.training import checkpoints, loop
from agd_bench.training.concurrency import DEFAULT_GENERATORS, draws, own_surroundings, settle
from agd_bench.training.cuda_graphs import capture_of
from agd_bench.training.data import Splits, batches, load_splits, steps_per_epoch
from agd_bench.training.descent_check import Replay
from agd_bench.training.eval_weights import refreshed_images
from agd_bench.training.profiles import apply_profile

PROBE_IMAGES = 32
"""Images of the batch that networks are measured on."""
ESTIMATES = {"largest_rank": 512, "probes": 8, "starts": 2, "lanczos_steps": 12}
"""How spectra are measured in training: enough for the mean within about 1 %, and not many times the seconds of a step."""
START_ESTIMATES = {"largest_rank": 0, "probes": 1, "starts": 2, "lanczos_steps": 12}
"""How they are at the start alone: for sweeps of hundreds of short trainings, which compare means over blocks and seeds."""


@dataclass(frozen=True)
class Workplace:
    """Where a trial runs: nothing in it changes what the trial computes, but `device` and `threads`.

    Attributes:
        data_root: folder of the data sets.
        folders: further plug-ins' folders by kind.
        device: `"cpu"`, `"cuda"` or `"auto"` (a GPU where there is one).
        checkpoints: folder of the trials' checkpoints; null: none are written.
        checkpoint_seconds: seconds between checkpoints.
        threads: CPU threads of a trial.
        exclusive: whether one trial at a time owns the device, so that its energy can be charged and its seconds compared
            (other programs apart); the executor sets it.
        in_flight: trials that may train in this process at a time, each in its own thread.
    """

    data_root: Path
    folders: Mapping[plugins.Kind, Sequence[Path]] = field(default_factory=dict)
    device: str = "auto"
    checkpoints: Path | None = None
    checkpoint_seconds: float = 60.0
    threads: int = 1
    exclusive: bool = False
    in_flight: int = 1

    def torch_device(self) -> torch.device:
        """The device itself.

        Raises:
            ExecutorError: a GPU is asked for and there is none.
        """
        available = torch.cuda.is_available()
        if self.device == "cuda" and not available:
            raise ExecutorError("device 'cuda' was asked for, but torch sees no GPU here; use device 'cpu' or 'auto'")
        return torch.device("cuda" if available and self.device != "cpu" else "cpu")

    def load(self, kind: plugins.Kind, name: str) -> ModuleType:
        """The plug-in `name`, from its folders or the installed packages."""
        return plugins.load(kind, name, self.folders.get(kind, ()))


def build_network(trial: Trial, workplace: Workplace, device: torch.device | None = None) -> nn.Module:
    """The trial's network as its algorithm prepares it, on the CPU: profile applied, initialised from the seed.

    Sets torch's global seed: call it where that is yours to set, as `run_trial` does inside a fork of the generators.

    Args:
        trial: what to build.
        workplace: where plug-ins are.
        device: where an algorithm that asks for one may compute the weights; default: the CPU.

    Raises:
        Refused: an architecture with a defect, or one that the algorithm cannot train.
        TrialOutcome: a plug-in gave something else than a network.
    """
    space = workplace.load("search_spaces", trial.search_space)
    dataset = workplace.load("datasets", trial.dataset)
    algorithm = workplace.load("algorithms", trial.algorithm)
    defect = space.defect(trial.architecture) if hasattr(space, "defect") else ""
    if defect:
        raise Refused(defect)
    torch.manual_seed(trial.seed)
    made = space.build(trial.architecture, dataset.IN_CHANNELS, dataset.NUM_CLASSES, **trial.search_space_options)
    network = apply_profile(_as_network(made, "build", "search space", trial.search_space), trial.profile)
    generator = torch.Generator().manual_seed(trial.seed)
    place = {"device": device} if "device" in inspect.signature(algorithm.prepare).parameters else {}
    prepared = algorithm.prepare(network, generator, **_graph_for(algorithm.prepare, trial, space), **place)
    return _as_network(prepared, "prepare", "algorithm", trial.algorithm)


def _as_network(made: object, function: str, kind: str, name: str) -> nn.Module:
    """What a function of a plug-in returned, if it is a network.

    Raises:
        TrialOutcome: it is none.
    """
    if not isinstance(made, nn.Module):
        raise TrialOutcome(
            f"{function}() of the {kind} {name!r} returned {type(made).__name__}, not a torch.nn.Module; does it lack a return?"
        )
    return made


def _graph_for(function: Callable[..., Any], trial: Trial, space: ModuleType) -> dict[str, path_scaling.Graph]:
    """The keyword `graph` for a function of an algorithm that takes one; none for the others.

    Raises:
        Refused: the search space tells no paths.
    """
    if "graph" not in inspect.signature(function).parameters:
        return {}
    return {"graph": path_scaling.graph_of(space, trial.architecture, trial.search_space_options)}


def make_fit(trial: Trial, workplace: Workplace, steps: int, device: torch.device) -> loop.Fit:
    """The network on the device with its optimizer, schedule and loss.

    Args:
        trial: what to build.
        workplace: where plug-ins are.
        steps: optimizer steps of the whole training, which the schedule spans.
        device: where to train.

    Raises:
        Refused: as `build_network`, or by the optimizer.
    """
    algorithm = workplace.load("algorithms", trial.algorithm)
    network = build_network(trial, workplace, device).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    graph = _graph_for(algorithm.build, trial, workplace.load("search_spaces", trial.search_space))
    built = algorithm.build(network, steps, **graph, **trial.settings)
    optimizer, scheduler = built if isinstance(built, tuple) else (built, None)
    loss = losses.by_name(trial.loss) if trial.loss else algorithm.loss
    tell = getattr(algorithm, "diagnostics", None)
    fit = loop.Fit(network, optimizer, scheduler, loss, trial.precision, diagnosed="optimizer" in trial.diagnostics, tell=tell)
    # In bfloat16 a loss is not known to the size of what one step changes.
    if fit.diagnosed and trial.precision == "float32" and hasattr(optimizer, "compare"):
        fit.replay = Replay(network, loss, optimizer.compare)
    return fit


_COUNTED: dict[tuple[object, ...], cost.Flops] = {}
_MOST_COUNTED = 20_000


def flops_of(trial: Trial, workplace: Workplace, network: nn.Module, device: torch.device) -> cost.Flops:
    """What an image costs, counted once in a process for each architecture as its algorithm prepares it, whatever the seed.

    Args:
        trial: what is trained.
        workplace: where plug-ins are.
        network: the trial's.
        device: where the network is.
    """
    plugged = (workplace.load("search_spaces", trial.search_space), workplace.load("algorithms", trial.algorithm))
    options = tuple(sorted(trial.search_space_options.items()))
    key = (*plugged, workplace.load("datasets", trial.dataset), options, trial.architecture, trial.profile, trial.batch_size)
    counted = _COUNTED.get(key)
    if counted is None:
        if len(_COUNTED) >= _MOST_COUNTED:
            _COUNTED.clear()
        counted = _COUNTED[key] = cost.count_flops(network, blank_batch(trial, workplace, device))
    return counted


def blank_batch(trial: Trial, workplace: Workplace, device: torch.device) -> torch.Tensor:
    """A batch of the trial's data set, (N, C, H, W), of one zero that takes no memory."""
    dataset = workplace.load("datasets", trial.dataset)
    return torch.zeros((), device=device).expand(trial.batch_size, dataset.IN_CHANNELS, dataset.IMAGE_SIZE, dataset.IMAGE_SIZE)


def _state(fit: loop.Fit, curve: list[CurvePoint]) -> dict[str, Any]:
    scheduler: LRScheduler | None = fit.scheduler
    return {
        "network": fit.network.state_dict(),
        "optimizer": fit.optimizer.state_dict(),
        "scheduler": scheduler.state_dict() if scheduler is not None else {},
        "curve": [point.model_dump() for point in curve],
    }


def _restore(fit: loop.Fit, state: dict[str, Any]) -> list[CurvePoint]:
    fit.network.load_state_dict(state["network"])
    fit.optimizer.load_state_dict(state["optimizer"])
    if fit.scheduler is not None:
        fit.scheduler.load_state_dict(state["scheduler"])
    return [CurvePoint.model_validate(point) for point in state["curve"]]


class Attempt:
    """One execution of a trial, which gathers what it measures so that an early end keeps what there is."""

    fit: loop.Fit
    splits: Splits

    def __init__(self, trial: Trial, workplace: Workplace, attempt: int, seconds_left: float | None) -> None:
        self.trial, self.workplace, self.attempt = trial, workplace, attempt
        self.begun = time.perf_counter()
        self.stop_at = None if seconds_left is None else time.monotonic() + seconds_left
        self.device = workplace.torch_device()
        self.curve: list[CurvePoint] = []
        self.measured: dict[str, Any] = {}
        self.flops: cost.Flops | None = None
        self.epoch_flops: int | None = None
        self._eager_reason = ""
        self._saved = time.monotonic()

    @property
    def folder(self) -> Path | None:
        return None if self.workplace.checkpoints is None else self.workplace.checkpoints / self.trial.id

    def run(self) -> None:
        """Train to the end; beside others in this process, unless it draws from generators that are theirs too.

        Raises:
            TrialOutcome: however else it ended.
        """
        with DEFAULT_GENERATORS:
            self.begin()
            if self.workplace.in_flight > 1:
                self.fit.seeded = draws(self.fit, self.splits.train)
            settle(self.device)
        with DEFAULT_GENERATORS if self.fit.seeded and self.workplace.in_flight > 1 else nullcontext():
            self.train()
            self.finish()

    def begin(self) -> None:
        """Load the data, build the network and go on from the newest sound checkpoint."""
        trial = self.trial
        splits = load_splits(trial.dataset, self.workplace.data_root, self._dataset_folders(), trial.dataset_share, self.device)
        images = len(splits.train.labels)
        fit = make_fit(trial, self.workplace, trial.epochs * steps_per_epoch(images, trial.batch_size), self.device)
        fit.stop_at = self.stop_at
        self.measured["parameters"] = sum(p.numel() for p in fit.network.parameters() if p.requires_grad)
        self.flops = flops_of(trial, self.workplace, fit.network, self.device)
        self.measured["forward_flops"] = self.flops.forward
        self.epoch_flops = self.flops.of_epoch(images, refreshed_images(fit.network, fit.optimizer, images, trial.batch_size))
        cost.reading(partial(cost.reset_peak_memory, self.device))
        self._resume(fit)
        if trial.purpose == "final" and {"network", "network-start"} & set(trial.diagnostics):
            self._watch(fit, splits)
        fit.capture, self._eager_reason = capture_of(fit, self.device)
        self.fit, self.splits = fit, splits

    def finish(self) -> None:
        """Evaluate on the test split."""
        self.measured["test_accuracy"] = loop.evaluate(self.fit, self.splits.test).accuracy

    def _dataset_folders(self) -> tuple[Path, ...]:
        return tuple(self.workplace.folders.get("datasets", ()))

    def _resume(self, fit: loop.Fit) -> None:
        state = checkpoints.load(self.folder, self.device) if self.folder is not None else None
        if state is not None:
            self.curve = _restore(fit, state)
            self.measured["resumed_epoch"] = len(self.curve)

    def _watch(self, fit: loop.Fit, splits: Splits) -> None:
        """Measure the network on the first training images, unaugmented and the same for every trial of a data set."""
        images = len(splits.train.labels)
        per_epoch = steps_per_epoch(images, self.trial.batch_size)
        fit.steps = len(self.curve) * per_epoch
        probe, labels = next(iter(batches(splits.train, PROBE_IMAGES, torch.arange(min(PROBE_IMAGES, images)))))
        throughout = "network" in self.trial.diagnostics
        if throughout:
            fit.watch = Watch(fit.network, probe, labels, fit.loss, self.trial.epochs * per_epoch, parts=PARTS, **ESTIMATES)
        else:
            modes = modes_of(fit.network)[:1]  # with batch statistics, where there are any: as it trains
            fit.watch = Watch(fit.network, probe, labels, fit.loss, 0, parts=PARTS[:1], modes=modes, **START_ESTIMATES)

    @property
    def train_seconds(self) -> float:
        """Of the epochs so far."""
        return self.curve[-1].train_seconds if self.curve else 0.0

    def train(self) -> None:
        """Train the epochs that are left."""
        trial = self.trial
        for point in loop.epochs_of(
            self.fit,
            self.splits.train,
            self.splits.val,
            first=len(self.curve) + 1,
            last=trial.epochs,
            batch_size=trial.batch_size,
            seed=trial.seed,
            augment=trial.augment,
            train_seconds=self.train_seconds,
        ):
            self.take(point)

    def take(self, point: CurvePoint) -> None:
        """Note what an epoch came to, and write a checkpoint if one is due.

        Raises:
            Pruned: its accuracy is under the median of earlier trials.
        """
        self.curve.append(point)
        best = max(earlier.val_accuracy for earlier in self.curve)
        threshold = self.trial.stop_below.get(point.epoch)
        if threshold is not None and best < threshold and point.epoch < self.trial.epochs:
            raise Pruned(f"best validation accuracy {best:.4f} after epoch {point.epoch} is under the median {threshold:.4f}")
        due = time.monotonic() - self._saved >= self.workplace.checkpoint_seconds
        if self.folder is not None and due and point.epoch < self.trial.epochs:
            checkpoints.save(self.folder, self.attempt, point.epoch, _state(self.fit, self.curve))
            self._saved = time.monotonic()

    def _labels(self) -> dict[str, str]:
        """What belongs beside every number: the arithmetic, and the algorithm's tier and whether it guarantees descent."""
        algorithm = self.workplace.load("algorithms", self.trial.algorithm)
        arithmetic = {"precision": self.trial.precision, "memory_format": "channels_last"}
        arithmetic["exclusive"] = "yes" if self.workplace.exclusive else "no"
        if self._in_company:
            alone = hasattr(self, "fit") and self.fit.seeded
            arithmetic["in_flight"] = "one at a time: it draws random numbers in training" if alone else str(self.workplace.in_flight)
        labels = arithmetic | self._step_labels() | {"tier": str(getattr(algorithm, "TIER", ""))}
        return labels | {"descent_guarantee": "yes" if algorithm.GUARANTEE else "no"} if hasattr(algorithm, "GUARANTEE") else labels

    @property
    def _in_company(self) -> bool:
        """Whether other trials may have trained in this process meanwhile, whose memory cannot be told from its own."""
        return self.workplace.in_flight > 1 and not self.workplace.exclusive

    def _step_labels(self) -> dict[str, str]:
        """Whether steps were replayed as one graph; on a GPU, why not."""
        capture = self.fit.capture if hasattr(self, "fit") else None
        if capture is not None and capture.replays:
            return {"step": "graph"}
        reason = self._eager_reason if capture is None else capture.reason or "fewer steps than warm up"
        return {"step": "eager"} | ({"eager_because": reason} if self.device.type == "cuda" and reason else {})

    def result(self, status: str, reason: str, meter: cost.EnergyMeter) -> TrialResult:
        """What was measured until the trial ended.

        Args:
            status: how it ended.
            reason: why, if not well.
            meter: of its energy, still running.
        """
        joules = meter.stop()
        peak, no_peak = (None, "") if self._in_company else cost.reading(partial(cost.peak_memory_bytes, self.device))
        provenance, no_provenance = cost.reading(partial(cost.provenance, self.device))
        fit = getattr(self, "fit", None)
        missing = {
            "flops_not_counted": self.flops.reason if self.flops else "",
            "energy_not_measured": meter.reason,
            "memory_not_measured": no_peak,
            "network_not_measured": fit.watch.reason if fit and fit.watch else "",
            "steps_not_compared": fit.replay.reason if fit and fit.replay else "",
            "provenance_not_read": no_provenance,
        }
        last = self.curve[-1] if self.curve else None
        ended = (
            {
                "train_loss": last.train_loss,
                "train_accuracy": last.train_accuracy,
                "val_loss": last.val_loss,
                "val_accuracy": last.val_accuracy,
                "train_seconds": last.train_seconds,
            }
            if last
            else {}
        )
        return TrialResult.model_validate(
            {
                "trial_id": self.trial.id,
                "status": status,
                "reason": reason,
                **ended,
                **self.measured,
                "total_seconds": time.perf_counter() - self.begun,
                "flops": None if self.epoch_flops is None else self.epoch_flops * len(self.curve),
                "peak_memory_bytes": peak,
                "energy_joules": joules,
                "curve": tuple(self.curve),
                "provenance": (provenance or {}) | self._labels() | {name: why for name, why in missing.items() if why},
            }
        )


def _is_out_of_memory(error: Exception) -> bool:
    """Torch raises a type of its own on a GPU, and a plain RuntimeError from the CPU's allocator."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def _where(error: Exception) -> str:
    """The innermost frame, as `file:line`, without a folder of this machine."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


def ending(work: Callable[[], None]) -> tuple[str, str]:
    """Do some of a trial's work; the status and the reason with which it ends, `done` and none if it goes well.

    Raises:
        OutOfMemory: the device's memory did not suffice.
        InputError: a plug-in or a data set cannot be loaded.
        StorageFullError: no space for a checkpoint.
        ExecutorError: the device asked for does not exist.
    """
    try:
        work()
    except TrialOutcome as outcome:
        return outcome.status, str(outcome)
    except (InputError, StoreError, ExecutorError):
        raise
    except Exception as error:
        if _is_out_of_memory(error):
            raise OutOfMemory(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'out of memory'}") from None
        return "failed", f"{type(error).__name__}: {' '.join(str(error).split())[:500]}{_where(error)}"
    return "done", ""


def run_trial(trial: Trial, workplace: Workplace, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
    """Run one attempt at a trial, from its newest sound checkpoint if there is one.

    Args:
        trial: with the tuner's proposal, if its study has one.
        workplace: data, plug-ins, device and checkpoints.
        attempt: from 1; names this attempt's checkpoints.
        seconds_left: until its deadline; null: none.

    Returns:
        What it measured, with a status and a reason for every end but a good one.

    Raises:
        OutOfMemory: the device's memory did not suffice.
        InputError: a plug-in or a data set cannot be loaded.
        StorageFullError: no space for a checkpoint.
        ExecutorError: the device asked for does not exist.
    """
    execution = Attempt(trial, workplace, attempt, seconds_left)
    meter = cost.EnergyMeter(execution.device, workplace.exclusive)
    with own_surroundings(workplace.threads, execution.device):
        status, reason = ending(execution.run)
        return execution.result(status, reason, meter)
