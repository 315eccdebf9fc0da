"""Measurements of a trial's cost: floating-point operations, device memory and joules.

Missing values are None, never 0.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from agd_bench.operations import flops_of_operation, is_known

Reading = TypeVar("Reading")


def reading(measure: Callable[[], Reading]) -> tuple[Reading | None, str]:
    """Result of a measurement, or None and the reason if it fails, because a measurement must not end its trial."""
    try:
        return measure(), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


class Flops(NamedTuple):
    """Floating-point operations per image: 2 per multiply-add of convolutions and matrix products, nothing else.

    Attributes:
        forward: FLOPs of a forward pass in evaluation mode; None: not counted.
        training_forward: FLOPs of a forward pass in training mode; None: not counted.
        training: FLOPs of a training step, forward and backward; None: not counted.
        reason: why a count is missing; empty if none is.
    """

    forward: int | None
    training_forward: int | None
    training: int | None
    reason: str = ""

    def of_epoch(self, images: int, refreshed: int) -> int | None:
        """FLOPs of an epoch of training; None: not counted.

        Args:
            images: number of training images.
            refreshed: number of images that pass through the network in training mode for batch normalisation statistics.
        """
        if self.training is None or self.training_forward is None:
            return None
        return self.training * images + self.training_forward * refreshed


class _Counter(TorchDispatchMode):
    """Adds up the FLOPs of the operations that run while it is active, and records operations with unknown FLOPs."""

    # Without it, torch raises at such an operator instead of letting us record it as unknown.
    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.unknown: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        operation = isinstance(func, torch._ops.OpOverload)
        if operation and not is_known(func):
            # A mode is inactive within its own dispatch; when entered again, it also counts the parts.
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        result = _batch_norm_shapes(args[0]) if _is_slow(func, args) else func(*args, **kwargs)
        flops = flops_of_operation(func, args, result) if operation else None
        if flops is None:
            self.unknown.add(str(func))
        self.flops += flops or 0
        return result


def _is_slow(func: Any, args: tuple[Any, ...]) -> bool:
    """Whether torch would compute in Python, taking half of the time of a count, a result with the shape of its input."""
    return func is torch.ops.aten.native_batch_norm.default and bool(args[0].is_meta)


def _batch_norm_shapes(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Outputs, means and variances of batch normalisation of maps (N, C, ...) on the meta device."""
    return torch.empty_like(maps), maps.new_empty(maps.shape[1]), maps.new_empty(maps.shape[1])


def count_flops(network: nn.Module, images: torch.Tensor) -> Flops:
    """Count the FLOPs of a network, including dead parts, on a copy, so the network is unchanged.

    This never raises: a count that cannot be determined is None, with a reason.

    Args:
        network: maps images (N, C, H, W) to logits.
        images: a training batch, (N, C, H, W), with N > 1 for batch normalisation. Operations only on weights are counted once per batch
            and
    divided among its images.
    """
    reasons = []
    # On meta nothing is computed, and attention is decomposed into products, so all devices give the same count.
    # A network that depends on values cannot run there and is counted on the device of the images.
    for device in dict.fromkeys([torch.device("meta"), images.device]):
        counted, reason = reading(functools.partial(_count, network, images, device))
        if counted is not None:
            return counted
        reasons.append(f"on the {device.type} device: {reason}")
    return Flops(None, None, None, "; ".join(reasons))


def _count(network: nn.Module, images: torch.Tensor, device: torch.device) -> Flops:
    """Like `count_flops`, on one device.

    Raises:
        Exception: any error raised by the network.
    """
    # Random numbers drawn for the count must not affect the training.
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.inference_mode(False), torch.enable_grad():
        copied, images = _copy_on(network, device), images.to(device)
        # With gradients; otherwise torch would run whole transformer layers as one operation without a count.
        with _Counter() as evaluating:
            copied.eval()(images)
        with _Counter() as passing:
            logits = copied.train()(images)
        with _Counter() as returning:
            learned = [parameter for parameter in copied.parameters() if parameter.requires_grad]
            if learned and logits.requires_grad:
                # Any scalar is sufficient, because only shapes matter. Dead parts of the network get no gradient (allow_unused).
                torch.autograd.grad(logits.sum(), learned, allow_unused=True)

    def of_image(*counters: _Counter) -> int | None:
        return None if any(counter.unknown for counter in counters) else sum(counter.flops for counter in counters) // len(images)

    unknown = sorted(evaluating.unknown | passing.unknown | returning.unknown)
    reason = f"not known to have or to lack multiply-adds: {', '.join(unknown)}" if unknown else ""
    return Flops(of_image(evaluating), of_image(passing), of_image(passing, returning), reason)


def _copy_on(network: nn.Module, device: torch.device) -> nn.Module:
    """A copy with parameters, buffers and other tensors on a device; on the meta device they have no values."""
    held = [*network.parameters(), *network.buffers()]
    held += [value for module in network.modules() for value in vars(module).values() if isinstance(value, torch.Tensor)]
    memo: dict[int, Any] = {}
    for tensor in held:
        moved = tensor.detach().to(device, copy=True)
        is_parameter = isinstance(tensor, nn.Parameter)
        # deepcopy uses the entries of its memo, so a tensor shared by modules stays shared in the copy.
        memo[id(tensor)] = nn.Parameter(moved, tensor.requires_grad) if is_parameter else moved.requires_grad_(tensor.requires_grad)
    return copy.deepcopy(network, memo)


def reset_peak_memory(device: torch.device) -> None:
    """Reset the peak of the device memory.

    Raises:
        RuntimeError: torch's memory allocator keeps no statistics.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_bytes(device: torch.device) -> int | None:
    """Peak device memory since the last reset; None on a CPU.

    Raises:
        RuntimeError: torch's memory allocator keeps no statistics.
    """
    return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else None


class EnergyMeter:
    """Energy of a GPU in joules between `start` and `stop`, from the driver's counter.

    Attributes:
        reason: why the energy of an exclusively used GPU is missing; empty if it is not.

    Args:
        device: the device that trains.
        exclusive: whether one trial uses it exclusively; on a shared device, the energy of a trial cannot be separated.
    """

    def __init__(self, device: torch.device, exclusive: bool) -> None:
        self._metered, self._device, self.reason = exclusive and device.type == "cuda", device, ""
        self._start = self._millijoules()

    def _millijoules(self) -> int | None:
        if not self._metered or self.reason:
            return None
        found, self.reason = reading(lambda: _millijoules_of(self._device))
        return found

    def stop(self) -> float | None:
        """Joules since the meter was created; None if unknown."""
        now = self._millijoules()
        return None if now is None or self._start is None else (now - self._start) / 1000.0


def _millijoules_of(device: torch.device) -> int:
    """Energy used by a GPU since its driver was loaded.

    Raises:
        Exception: the package or the driver's library is missing, or the GPU or its partition has no counter.
    """
    import pynvml

    pynvml.nvmlInit()
    # By UUID, because NVML numbers all GPUs of the machine, torch only those in CUDA_VISIBLE_DEVICES.
    handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
    return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
