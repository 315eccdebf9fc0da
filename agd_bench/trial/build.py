"""Build a network in training from a trial."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import nn

from agd_bench.diagnostics import PARTS, Watch, modes_of
from agd_bench.errors import Refused, TrialOutcome
from agd_bench.optim import losses, path_scaling
from agd_bench.records import Trial
from agd_bench.training.data import ImageSet, batches, steps_per_epoch
from agd_bench.training.descent_check import Replay
from agd_bench.training.fit import Fit
from agd_bench.training.profiles import apply_profile
from agd_bench.trial.workplace import Workplace

PROBE_IMAGES = 32
"""Number of images in the batch on which networks are measured."""
ESTIMATES = {"largest_rank": 512, "probes": 8, "starts": 2, "lanczos_steps": 12}
"""Settings for spectra during training: accurate to about 1 % for the mean, at a few times the duration of a step."""
START_ESTIMATES = {"largest_rank": 0, "probes": 1, "starts": 2, "lanczos_steps": 12}
"""Settings for spectra only at the start, for sweeps of hundreds of short trainings that compare means over blocks and seeds."""


def build_network(trial: Trial, workplace: Workplace, device: torch.device | None = None) -> nn.Module:
    """The trial's network as prepared by its algorithm on the CPU, with the profile applied and initialised from the seed.

    Sets torch's global seed, so call it only where that is allowed, as `run_trial` does inside a fork of the generators.

    Args:
        trial: what to build.
        workplace: where its plug-ins are.
        device: device on which an algorithm may compute the initial weights; default: the CPU.

    Raises:
        Refused: the architecture has a defect, or the algorithm cannot train it.
        TrialOutcome: a plug-in returned something other than a network.
    """
    space = workplace.load("search_spaces", trial.search_space)
    dataset = workplace.load("datasets", trial.dataset)
    algorithm = workplace.load("algorithms", trial.algorithm)
    defect = space.defect(trial.architecture) if hasattr(space, "defect") else ""
    if defect:
        raise Refused(defect)
    # Layers are initialised from the global generator.
    torch.manual_seed(trial.seed)
    built = space.build(trial.architecture, dataset.IN_CHANNELS, dataset.NUM_CLASSES, **trial.search_space_options)
    network = apply_profile(_as_network(built, "build", "search space", trial.search_space), trial.profile)
    # A separate generator, so draws in `build` do not affect the algorithm's initial weights.
    generator = torch.Generator().manual_seed(trial.seed)
    place = {"device": device} if "device" in inspect.signature(algorithm.prepare).parameters else {}
    prepared = algorithm.prepare(network, generator, **_graph_for(algorithm.prepare, trial, space), **place)
    return _as_network(prepared, "prepare", "algorithm", trial.algorithm)


def _as_network(made: object, function: str, kind: str, name: str) -> nn.Module:
    """Return the result of a plug-in's function if it is a network.

    Raises:
        TrialOutcome: it is not a network.
    """
    if not isinstance(made, nn.Module):
        raise TrialOutcome(
            f"{function}() of the {kind} {name!r} returned {type(made).__name__}, not a torch.nn.Module; is a return statement missing?"
        )
    return made


def _graph_for(function: Callable[..., Any], trial: Trial, space: ModuleType) -> dict[str, path_scaling.Graph]:
    """The keyword argument `graph` for a function of an algorithm that takes one.

    Raises:
        Refused: the search space does not define graph().
    """
    if "graph" not in inspect.signature(function).parameters:
        return {}
    return {"graph": path_scaling.graph_of(space, trial.architecture, trial.search_space_options)}


def make_fit(trial: Trial, workplace: Workplace, steps: int, device: torch.device) -> Fit:
    """Build the network on the device with its optimizer, schedule and loss.

    Args:
        trial: what to build.
        workplace: where its plug-ins are.
        steps: optimizer steps of the whole training, for the schedule.
        device: where to train.

    Raises:
        Refused: as for `build_network`, or by the optimizer.
    """
    algorithm = workplace.load("algorithms", trial.algorithm)
    # The memory format of the batches; otherwise convolutions would reorder each of them.
    network = build_network(trial, workplace, device).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    graph = _graph_for(algorithm.build, trial, workplace.load("search_spaces", trial.search_space))
    built = algorithm.build(network, steps, **graph, **trial.settings)
    optimizer, scheduler = built if isinstance(built, tuple) else (built, None)
    loss = losses.by_name(trial.loss) if trial.loss else algorithm.loss
    tell = getattr(algorithm, "diagnostics", None)
    fit = Fit(network, optimizer, scheduler, loss, trial.precision, diagnosed="optimizer" in trial.diagnostics, tell=tell)
    # bfloat16 rounds a loss more coarsely than one step changes it
    if fit.diagnosed and trial.precision == "float32" and hasattr(optimizer, "compare"):
        fit.replay = Replay(network, loss, optimizer.compare)
    return fit


def make_watch(trial: Trial, fit: Fit, train: ImageSet) -> Watch | None:
    """The measurement of the network requested by the trial's diagnostics; None if there is none, or for a tuning trial.

    Args:
        trial: the trial.
        fit: the training.
        train: the training split. Its first images without augmentation are the probe batch, the same for all trials of a data set.
    """
    if trial.purpose != "final" or not {"network", "network-start"} & set(trial.diagnostics):
        return None
    images = len(train.labels)
    probe, labels = next(iter(batches(train, PROBE_IMAGES, torch.arange(min(PROBE_IMAGES, images)))))
    if "network" in trial.diagnostics:
        last = trial.epochs * steps_per_epoch(images, trial.batch_size)
        return Watch(fit.network, probe, labels, fit.loss, last, parts=PARTS, **ESTIMATES)
    modes = modes_of(fit.network)[:1]  # as in training: with batch statistics, if it has any
    return Watch(fit.network, probe, labels, fit.loss, 0, parts=PARTS[:1], modes=modes, **START_ESTIMATES)
