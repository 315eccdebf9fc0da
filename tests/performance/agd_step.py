"""Compare the time of an AGD step with torch's fused SGD step and with AGD tap by tap, on weights alone, and count its calls.

    OMP_NUM_THREADS=1 python tests/performance/agd_step.py [--rounds 41] [--device cpu] [--layout channels-last]

All optimizers step the same shapes in one process, in alternating order, on one thread. On a CPU, process CPU time is compared, which
other processes disturb less than wall time; on other devices, wall time, after waiting for the device. The script prints medians and
quartiles over rounds of the ratio AGD / fused SGD, the median of AGD / AGD tap by tap, and calls per step: operations that reach torch's
dispatcher, without views and the profiler's marks, each at least one kernel on a GPU. Convolution kernels have the harness's memory layout
(channels last) unless another one is given. The first line of the output describes the machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from agd_bench.optim.agd import AGD
from tests.performance.engine.plain import PlainAGD

Shapes = list[tuple[int, ...]]


def nas_bench_201() -> Shapes:
    """Return shapes of a typical cell of NAS-Bench-201, C = 16, N = 5: four 3x3 and one 1x1 convolution in each of 15 cells; 83 tensors."""
    shapes: Shapes = [(16, 3, 3, 3)]
    for width in (16, 32, 64):
        if width > 16:
            shapes += [(width, width // 2, 3, 3), (width, width, 3, 3), (width, width // 2, 1, 1)]
        shapes += 5 * [*(4 * [(width, width, 3, 3)]), (width, width, 1, 1)]
    return [*shapes, (10, 64)]


def mlp() -> Shapes:
    """Return shapes of ten linear layers of width 256 for images of 3,072 values; 10 tensors."""
    return [(256, 3072), *(8 * [(256, 256)]), (10, 256)]


def resnet_18() -> Shapes:
    """Return shapes of the pre-activation ResNet-18 for small images; 21 tensors."""
    shapes: Shapes = [(64, 3, 3, 3), *(4 * [(64, 64, 3, 3)])]
    for width in (128, 256, 512):
        shapes += [(width, width // 2, 3, 3), (width, width // 2, 1, 1), *(3 * [(width, width, 3, 3)])]
    return [*shapes, (10, 512)]


class Calls(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations inside the `with`, except views and marks for the profiler."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count and run one operation."""
        self.count += not (func.is_view or func.namespace == "profiler")
        return func(*args, **(kwargs or {}))


def parameters(shapes: Shapes, device: str, layout: str) -> list[Tensor]:
    """Return weights of these shapes with gradients, both drawn from one seed, with kernels in the given layout."""
    generator = torch.Generator().manual_seed(0)

    def draw(shape: tuple[int, ...]) -> Tensor:
        drawn = torch.randn(shape, generator=generator).to(device)
        return drawn.contiguous(memory_format=torch.channels_last) if layout == "channels-last" and len(shape) == 4 else drawn

    weights = [draw(shape).requires_grad_() for shape in shapes]
    for weight in weights:
        weight.grad = draw(tuple(weight.shape))
    return weights


def seconds(step: Callable[[], object], repeats: int, device: str) -> float:
    """Return the mean time of a step over `repeats` steps."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    wait: Callable[[], object] = (lambda: None) if device == "cpu" else torch.cuda.synchronize
    wait()
    start = clock()
    for _ in range(repeats):
        step()
    wait()
    return (clock() - start) / repeats


def compare(shapes: Shapes, rounds: int, device: str, layout: str) -> tuple[list[list[float]], list[int]]:
    """Return the step times by round, in seconds, and the calls per step, for AGD, SGD, and AGD tap by tap."""
    agd = AGD(parameters(shapes, device, layout))
    sgd = torch.optim.SGD(parameters(shapes, device, layout), lr=1e-3, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)
    plain = PlainAGD(parameters(shapes, device, layout))
    counts = []
    for optimizer in (agd, sgd, plain):
        optimizer.step()
        with Calls() as calls:  # type: ignore[no-untyped-call]
            optimizer.step()
        counts.append(calls.count)
    # One measurement lasts about 20 ms, far above the clock's resolution.
    repeats = max(1, round(0.02 / seconds(sgd.step, 5, device)))
    times: dict[Any, list[float]] = {agd: [], sgd: [], plain: []}
    for index in range(rounds):
        for optimizer in (agd, sgd, plain)[:: 1 if index % 2 else -1]:
            times[optimizer].append(seconds(optimizer.step, max(1, repeats // 10) if optimizer is plain else repeats, device))
    return list(times.values()), counts


def processor(device: str) -> str:
    """Return the name of the GPU or CPU."""
    if device != "cpu":
        return torch.cuda.get_device_name()
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    """Measure all three sets of weights and print one row each."""
    parser = argparse.ArgumentParser(description="AGD step beside torch's fused SGD step")
    parser.add_argument("--rounds", type=int, default=41, help="alternating rounds per set of weights")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--layout", default="channels-last", choices=("channels-last", "contiguous"), help="of convolution kernels")
    options = parser.parse_args()
    torch.set_num_threads(1)
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    print(f"{processor(options.device)}, {os.cpu_count()} cores, 1 thread; {versions}; kernels {options.layout}")
    print("weights        tensors  Mparams   AGD ms   SGD ms  ratio     quartiles  / tap by tap    n  calls AGD/SGD/tap by tap")
    for name, shapes in (("nas_bench_201", nas_bench_201()), ("mlp 10x256", mlp()), ("resnet_18", resnet_18())):
        (agd, sgd, plain), calls = compare(shapes, options.rounds, options.device, options.layout)
        ratios = [a / s for a, s in zip(agd, sgd, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        size = sum(torch.Size(shape).numel() for shape in shapes) / 1e6
        print(
            f"{name:14} {len(shapes):7} {size:8.2f} {1e3 * statistics.median(agd):8.3f} {1e3 * statistics.median(sgd):8.3f} "
            f"{middle:6.2f} {f'{low:.2f} to {high:.2f}':>13} "
            f"{statistics.median(a / p for a, p in zip(agd, plain, strict=True)):13.3f} {len(ratios):4} {' / '.join(map(str, calls)):>24}"
        )


if __name__ == "__main__":
    main()
