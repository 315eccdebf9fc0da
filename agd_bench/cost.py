"""What a trial is charged: floating-point operations, device memory, joules, and on what it ran.

Missing is null, never 0: a CPU has no device memory of its own to report, and energy is only charged where one trial
owns the device.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

FLOPS_CONVENTION = "2 per multiply-add of convolutions and matrix products; normalisation, activations and pooling are not counted"


class Flops(NamedTuple):
    """Floating-point operations of one image: of a forward pass, and of a training step (forward and backward)."""

    forward: int
    training: int


def count_flops(network: nn.Module, example: torch.Tensor) -> Flops:
    """Count by torch's dispatcher, on the network as it is; dead parts cost what torch really spends on them.

    Args:
        network: maps images (N, C, H, W) to logits.
        example: one image, (1, C, H, W), on the network's device.
    """
    was_training = network.training
    network.eval()  # a single image has no batch statistics; the operations counted are the same
    try:
        with FlopCounterMode(display=False) as forward, torch.no_grad():
            network(example)
        with FlopCounterMode(display=False) as training:
            logits = network(example)
            if logits.requires_grad:
                torch.autograd.grad(logits.sum(), [p for p in network.parameters() if p.requires_grad], allow_unused=True)
    finally:
        network.train(was_training)
    return Flops(forward.get_total_flops(), training.get_total_flops())


def reset_peak_memory(device: torch.device) -> None:
    """Start counting the largest device memory in use anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_bytes(device: torch.device) -> int | None:
    """The largest device memory in use since the last reset; null on a CPU."""
    return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else None


class EnergyMeter:
    """Joules of a GPU between `start` and `stop`, by the driver's own counter; null where it cannot be known.

    Args:
        device: the device that trains.
        exclusive: whether one trial owns it; on a shared device nobody's energy can be told apart.
    """

    def __init__(self, device: torch.device, exclusive: bool) -> None:
        self._handle: Any = None
        if exclusive and device.type == "cuda":
            try:
                import pynvml

                pynvml.nvmlInit()
                self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
            except Exception:  # the package or the driver's library is missing: the reading is optional and stays null
                self._handle = None
        self._start = self._millijoules()

    def _millijoules(self) -> int | None:
        if self._handle is None:
            return None
        import pynvml

        return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))

    def stop(self) -> float | None:
        """Joules since the meter was made."""
        now = self._millijoules()
        return None if now is None or self._start is None else (now - self._start) / 1000.0


@functools.cache
def code_digest() -> str:
    """SHA-256 of the package's Python sources, sixteen hexadecimal digits: the same from a checkout and from a wheel."""
    folder = Path(__file__).parent
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:16]


@functools.cache
def code_revision() -> str:
    """The git commit of the checkout that the package runs from, with `+changes` if it was edited; empty outside one."""
    folder = Path(__file__).resolve().parent
    if not (folder.parent / ".git").exists():
        return ""
    try:
        head = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10)
        changes = subprocess.run(["git", "-C", str(folder), "status", "--porcelain", "."], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return head.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def device_name(device: torch.device) -> str:
    """What the device calls itself, for example `NVIDIA H200` or the processor's model."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()


def provenance(device: torch.device) -> dict[str, str]:
    """Versions and device behind a result; no names of hosts, users or folders."""
    return {
        "agd_bench": importlib.metadata.version("agd-bench"),
        "code_digest": code_digest(),
        "code_revision": code_revision(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "" if device.type == "cuda" else "",
        "device": device_name(device),
        "device_type": device.type,
        "threads": str(torch.get_num_threads()),
        "system": f"{platform.system()} {platform.machine()}",
    }
