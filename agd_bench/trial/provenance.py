"""Provenance of a result: code, versions, device, and training settings, without names of hosts, users or folders."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path

import torch

from agd_bench.identity import engine_identity
from agd_bench.records import Trial
from agd_bench.training.fit import Fit
from agd_bench.trial.workplace import Workplace

PACKAGE = Path(__file__).resolve().parents[1]


@functools.cache
def code_revision() -> str:
    """The git commit of the checkout that the package runs from, with `+changes` if it was edited; empty outside a checkout."""
    if not (PACKAGE.parent / ".git").exists():
        return ""
    try:
        head = subprocess.run(["git", "-C", str(PACKAGE), "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10)
        # Only for the package: edits elsewhere in the checkout do not affect trials.
        changes = subprocess.run(["git", "-C", str(PACKAGE), "status", "--porcelain", "."], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return head.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


@functools.cache
def _processor() -> str:
    try:
        # On Linux, platform.processor() is empty or names only the architecture.
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def device_name(device: torch.device) -> str:
    """The device's name, for example `NVIDIA H200` or the processor's model."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()


def surroundings(device: torch.device) -> dict[str, str]:
    """Code, versions and device."""
    return {
        "agd_bench": importlib.metadata.version("agd-bench"),
        "engine_digest": engine_identity(),
        "code_revision": code_revision(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "" if device.type == "cuda" else "",
        "device": device_name(device),
        "device_type": device.type,
        "threads": str(torch.get_num_threads()),
        "system": f"{platform.system()} {platform.machine()}",
    }


def plugin_code(trial: Trial, workplace: Workplace) -> dict[str, str]:
    """The identities of the code of a trial's plug-ins."""
    digest = workplace.executed_digest
    return {
        "search_space_digest": digest("search_spaces", trial.search_space),
        "dataset_digest": digest("datasets", trial.dataset),
        "algorithm_digest": digest("algorithms", trial.algorithm),
    }


def conditions(trial: Trial, workplace: Workplace, fit: Fit | None) -> dict[str, str]:
    """How a trial trained: arithmetic, sharing of its device, kind of step, and the promise of its algorithm.

    Args:
        trial: what was trained.
        workplace: where.
        fit: its training; None if it ended before.
    """
    algorithm = workplace.load("algorithms", trial.algorithm)
    labels = {
        "precision": trial.precision,
        "memory_format": "channels_last",
        "exclusive": "yes" if workplace.exclusive else "no",
    }
    if workplace.is_shared:
        takes_turns = fit is not None and fit.seeded
        labels["in_flight"] = "one at a time: it draws random numbers in training" if takes_turns else str(workplace.in_flight)
    labels |= _step_labels(fit, workplace.torch_device())
    labels["tier"] = str(getattr(algorithm, "TIER", ""))
    if hasattr(algorithm, "GUARANTEE"):
        labels["descent_guarantee"] = "yes" if algorithm.GUARANTEE else "no"
    return labels


def _step_labels(fit: Fit | None, device: torch.device) -> dict[str, str]:
    """Whether steps were replayed as one graph; on a GPU, why not."""
    capture = None if fit is None else fit.capture
    if capture is not None and capture.replays:
        return {"step": "graph"}
    reason = capture.reason or "fewer steps than warm up" if capture is not None else fit.eager_reason if fit is not None else ""
    return {"step": "eager"} | ({"eager_because": reason} if device.type == "cuda" and reason else {})
