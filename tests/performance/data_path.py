"""Compare the data path with a data loader: images per CPU-second on CIFAR-shaped data, both with crops and flips.

Run as `python tests/performance/data_path.py`; on a GPU with `--device cuda`, which measures wall-clock seconds instead.
The loader is torch's, without workers: Pillow images, RandomCrop, RandomHorizontalFlip, ToTensor, Normalize. Both
sides alternate in one process, and the ratio is the median over rounds. Target: at least 8.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL
import PIL.Image
import torch
import torchvision
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from agd_bench.training.data import batches, resident

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
BATCH = 256


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """Returns images one by one through Pillow, as torchvision's datasets do."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images.transpose(0, 2, 3, 1).copy(), labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        return self.transform(PIL.Image.fromarray(self.images[number])), int(self.labels[number])


def seconds(run: Callable[[], Iterator[tuple[torch.Tensor, torch.Tensor]]], device: str) -> float:
    """Return the CPU seconds of a pass on a CPU, or its wall-clock seconds on a GPU."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    begun = clock()
    for _images, _labels in run():
        pass
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - begun


def processor(device: str) -> str:
    """Return the name of the GPU, or of the CPU as Linux reports it."""
    if device != "cpu":
        return torch.cuda.get_device_name()
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores seen" if names else platform.processor() or platform.machine()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--images", type=int, default=50_000, help="resident images; the loader sees the first tenth of them")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (given.images, 3, 32, 32), dtype=np.uint8)
    labels = rng.integers(0, 10, given.images)
    split = resident(images, labels, MEAN, STD, 4, given.device, flip=True)
    few = given.images // 10
    loader = DataLoader(Pictures(images[:few], labels[:few]), BATCH, shuffle=True, num_workers=0)
    generator = torch.Generator().manual_seed(0)

    def loaded() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for pixels, numbers in loader:
            yield pixels.to(given.device), numbers.to(given.device)

    def ours(augment: bool) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return batches(split, BATCH, torch.randperm(given.images, generator=generator), generator, augment)

    sides = {
        "DataLoader, Pillow": (loaded, few),
        "resident, augmented": (lambda: ours(True), given.images),
        "resident, plain": (lambda: ours(False), given.images),
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(given.rounds + 1):
        for name in list(sides)[:: 1 if number % 2 else -1]:
            run, count = sides[name]
            rate = count / seconds(run, given.device)
            if number:  # the first round warms up
                rates[name].append(rate)
    versions = (
        f"Python {platform.python_version()}, torch {torch.__version__}, torchvision {torchvision.__version__}, Pillow {PIL.__version__}"
    )
    print(f"{processor(given.device)}, 1 thread; {versions}")
    print(f"{given.images} images, batch {BATCH}, n = {given.rounds} rounds, alternating")
    unit = "images per CPU-second" if given.device == "cpu" else "images per second"
    for name, found in rates.items():
        ratios = [rate / base for rate, base in zip(found, rates["DataLoader, Pillow"], strict=True)]
        span = f"{min(ratios):.1f} to {max(ratios):.1f}"
        print(f"{name:22} {statistics.median(found):12,.0f} {unit}; {statistics.median(ratios):6.2f} x the loader ({span})")


if __name__ == "__main__":
    main()
