"""Measurements of an attempt so far, which are kept if it ends early; FLOPs are counted once per process."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn

from agd_bench import cost
from agd_bench.records import CurvePoint, Trial, TrialResult
from agd_bench.training.eval_weights import refreshed_images
from agd_bench.training.fit import Fit
from agd_bench.training.turns import own_seconds
from agd_bench.trial import provenance
from agd_bench.trial.workplace import Workplace

_COUNTED: dict[tuple[object, ...], cost.Flops] = {}
_MOST_COUNTED = 20_000


def flops_of(trial: Trial, workplace: Workplace, network: nn.Module, device: torch.device) -> cost.Flops:
    """FLOPs per image, counted once per process for each architecture as prepared by its algorithm, regardless of the seed."""
    plugged = (workplace.load("search_spaces", trial.search_space), workplace.load("algorithms", trial.algorithm))
    options = tuple(sorted(trial.search_space_options.items()))
    # Modules, not names, because folders may hold different code under one name. Batch size, because a batch shares operations on weights.
    key = (*plugged, workplace.load("datasets", trial.dataset), options, trial.architecture, trial.profile, trial.batch_size)
    counted = _COUNTED.get(key)
    if counted is None:
        if len(_COUNTED) >= _MOST_COUNTED:  # limits the memory of a worker that runs for days
            _COUNTED.clear()
        counted = _COUNTED[key] = cost.count_flops(network, blank_batch(trial, workplace, device))
    return counted


def charge_of(trial: Trial, workplace: Workplace, fit: Fit, images: int, device: torch.device) -> tuple[cost.Flops, int | None]:
    """FLOPs of an image and of an epoch of the trial; None: not counted.

    Args:
        trial: what is trained.
        workplace: where plug-ins are.
        fit: the trial's network and optimizer.
        images: of the training split.
        device: where the network is.
    """
    flops = flops_of(trial, workplace, fit.network, device)
    return flops, flops.of_epoch(images, refreshed_images(fit.network, fit.optimizer, images, trial.batch_size))


def blank_batch(trial: Trial, workplace: Workplace, device: torch.device) -> torch.Tensor:
    """A batch shaped like the trial's data set, (N, C, H, W), expanded from one zero without using memory."""
    dataset = workplace.load("datasets", trial.dataset)
    return torch.zeros((), device=device).expand(trial.batch_size, dataset.IN_CHANNELS, dataset.IMAGE_SIZE, dataset.IMAGE_SIZE)


@dataclass
class Measurements:
    """Measurements, filled in while an attempt runs.

    Attributes:
        trial: what is trained.
        workplace: where.
        device: the device.
        fit: the training, once built.
        flops: per image; None before they are counted.
        flops_per_epoch: FLOPs of training per epoch; None: not counted.
        resumed_epoch: epochs taken over from a checkpoint.
        test_accuracy: None before the end.
        curve: one point per epoch so far.
    """

    trial: Trial
    workplace: Workplace
    device: torch.device
    fit: Fit | None = None
    flops: cost.Flops | None = None
    flops_per_epoch: int | None = None
    resumed_epoch: int = 0
    test_accuracy: float | None = None
    curve: list[CurvePoint] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Start counting seconds and energy now."""
        self._begun = own_seconds()
        self._meter = cost.EnergyMeter(self.device, self.workplace.exclusive)

    @property
    def train_seconds(self) -> float:
        """FLOPs of the epochs so far."""
        return self.curve[-1].train_seconds if self.curve else 0.0

    def result(self, status: str, reason: str) -> TrialResult:
        """The result of the attempt.

        Args:
            status: how it ended.
            reason: why, for every status except `done`.
        """
        network = None if self.fit is None else self.fit.network
        # memory of trials in the same process cannot be separated
        peak, no_peak = (None, "") if self.workplace.is_shared else cost.reading(partial(cost.peak_memory_bytes, self.device))
        joules = self._meter.stop()
        return TrialResult.model_validate(
            {
                "trial_id": self.trial.id,
                "status": status,
                "reason": reason,
                **self._last_epoch(),
                "test_accuracy": self.test_accuracy,
                "total_seconds": own_seconds() - self._begun,
                # Includes epochs from a checkpoint, which an earlier attempt trained for this trial.
                "flops": None if self.flops_per_epoch is None else self.flops_per_epoch * len(self.curve),
                "forward_flops": None if self.flops is None else self.flops.forward,
                "parameters": None if network is None else sum(p.numel() for p in network.parameters() if p.requires_grad),
                "peak_memory_bytes": peak,
                "energy_joules": joules,
                "resumed_epoch": self.resumed_epoch,
                "curve": tuple(self.curve),
                "provenance": self._provenance(no_peak),
            }
        )

    def _provenance(self, no_peak: str) -> dict[str, str]:
        """Provenance of the result, with a reason for each missing measurement.

        Args:
            no_peak: why the peak memory could not be read.
        """
        behind, no_provenance = cost.reading(partial(provenance.surroundings, self.device))
        missing = {
            "flops_not_counted": self.flops.reason if self.flops else "",
            "energy_not_measured": self._meter.reason,
            "memory_not_measured": no_peak,
            "network_not_measured": self.fit.watch.reason if self.fit and self.fit.watch else "",
            "steps_not_compared": self.fit.replay.reason if self.fit and self.fit.replay else "",
            "provenance_not_read": no_provenance,
        }
        reasons = {name: reason for name, reason in missing.items() if reason}
        code = provenance.plugin_code(self.trial, self.workplace)
        return (behind or {}) | code | provenance.conditions(self.trial, self.workplace, self.fit) | reasons

    def _last_epoch(self) -> dict[str, float | None]:
        """The columns of the result from the last epoch."""
        if not self.curve:
            return {}
        last = self.curve[-1]
        columns = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "train_seconds")
        return {column: getattr(last, column) for column in columns}
