"""Count a step's calls, waits and bytes, and measure a device's time for a call and a byte."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from agd_bench.training.cuda_graphs import WAITING
from agd_bench.training.fit import Fit

PARTS = ("data", "forward", "backward", "optimizer", "rest")


class Counts(NamedTuple):
    """Counts for a piece of work.

    Attributes:
        calls: operations that reach torch's dispatcher, except views; each at least one kernel on a GPU.
        waits: host synchronisations: operations that synchronise on a GPU, also counted on a CPU.
        bytes: read and written by the calls, as if nothing stayed in a cache.
    """

    calls: int
    waits: int
    bytes: int


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    calls, waits, bytes = 0, 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.is_view or func.namespace == "profiler":
            return result
        touched = [leaf for leaf in tree_leaves((args, kwargs or {}, result)) if isinstance(leaf, Tensor)]
        self.calls += 1
        self.waits += func._opname in WAITING
        self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in touched)
        return result


def count(work: Callable[[], object]) -> Counts:
    """Run `work` once, and count its calls, waits and bytes."""
    with _Counter() as counter:  # type: ignore[no-untyped-call]
        work()
    return Counts(counter.calls, counter.waits, counter.bytes)


def wait_for(device: torch.device) -> None:
    """Wait until the device has finished the work of this thread."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()


def clock_of(device: torch.device) -> Callable[[], float]:
    """Return a clock: CPU seconds of this process on a CPU, which other programs disturb less; wall-clock seconds elsewhere."""
    return time.process_time if device.type == "cpu" else time.perf_counter


def seconds_per_call(device: torch.device, repeats: int = 4000) -> float:
    """Return the seconds of the shortest call, an addition to one number."""
    number = torch.zeros(1, device=device)
    for _ in range(100):
        number.add_(1)
    wait_for(device)
    begun = time.perf_counter()
    for _ in range(repeats):
        number.add_(1)
    wait_for(device)
    return (time.perf_counter() - begun) / repeats


def bytes_per_second(device: torch.device, megabytes: int = 256, repeats: int = 5) -> float:
    """Return the bytes read and written per second by copies too large for a cache."""
    source = torch.zeros(megabytes << 20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    wait_for(device)
    begun = time.perf_counter()
    for _ in range(repeats):
        target.copy_(source)
    wait_for(device)
    return 2 * repeats * source.numel() / (time.perf_counter() - begun)


@contextmanager
def parts_of(fit: Fit, device: torch.device) -> Iterator[dict[str, float]]:
    """Within the `with`, time the parts of the steps of `fit` with hooks, so that the timed steps are the ones that train.

    Yields:
        Seconds of `forward`, `backward` and `optimizer`, summed over the steps; the caller adds the other parts.
    """
    seconds = dict.fromkeys(("forward", "backward", "optimizer"), 0.0)
    last, clock = 0.0, clock_of(device)

    def note(part: str | None) -> None:
        nonlocal last
        wait_for(device)
        now = clock()
        if part is not None:
            seconds[part] += now - last
        last = now

    hooks = [
        fit.network.register_forward_pre_hook(lambda *_: note(None)),
        fit.network.register_forward_hook(lambda *_: note("forward")),
        fit.optimizer.register_step_pre_hook(lambda *_: note("backward")),
        fit.optimizer.register_step_post_hook(lambda *_: note("optimizer")),
    ]
    try:
        yield seconds
    finally:
        for hook in hooks:
            hook.remove()
