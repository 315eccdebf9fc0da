"""Run the pre-registered test of the skip-connection claim, on real images, with equal weights, data and order.

    OMP_NUM_THREADS=1 AGD_BENCH_DATA=data python tests/performance/skip_connections.py [--dataset fashion_mnist] [--out runs.csv]

Fixed before the first run: the hypothesis and its test (`agd_bench.studies.skip_connections.hypothesis`); the
networks (`resnet_skips`, pre-activation, batch normalisation, ReLU, width 8, one block per stage), as published, with torch's
initialisation; plain gradient descent without momentum, weight decay or augmentation; mini-batches of 32 from the training split; the
paper's rates 0.02, 0.05, 0.1 and 0.2, and 0.5; 80 steps; 12 seeds, from 100 on (smaller ones are for trying out the script). The mean
singular value is that of the blocks' Jacobians on a probe batch of 16 training images with batch statistics, by Lanczos quadrature with
equal random starts in a pair, averaged over the four blocks. The area is over all steps; that over the first fifth is reported as well. A
run has diverged if a loss is not finite; it then counts as slowest.

Two families of cells are corrected separately: the hypothesis (fixed-1 against projection, at every rate and at tuned ones), and the
control (matched-1, which has the mean singular value of fixed-1's shortcuts without the path, against projection). The dose-response is a
third family. Added after the first run: fixed-1 against matched-1, for the effect of the path, with the path itself as the predictor
instead of the remaining difference of singular values, which varies in sign between seeds.

The first line of the output describes the machine; seconds of measuring are reported separately from those of training.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from agd_bench import plugins
from agd_bench.diagnostics import measure
from agd_bench.studies.skip_connections.hypothesis import dose_trend, log_loss_area, skip_test, tuned_rate
from agd_bench.training.data import ImageSet, batches, load_splits
from search_spaces import resnet_skips

DOSES = {"projection": 0.0, "fixed-0.25": 0.25, "fixed-0.5": 0.5, "fixed-1": 1.0, "fixed-2": 2.0}
VARIANTS = (*DOSES, "matched-1")
HYPOTHESIS = [("projection", "fixed-1")]
CONTROLS = [("projection", "matched-1")]
PATH = [("matched-1", "fixed-1")]
EARLY = 0.2
FIRST_SEED = 100


def network_of(variant: str, seed: int, channels: int, classes: int, width: int) -> nn.Module:
    """Return a variant's network with the weights of a seed. The state of torch's random number generator is restored."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return resnet_skips.build(f"{variant}/plain/batch/pre/relu", channels, classes, width=width, blocks=1)


def mean_singular_value(network: nn.Module, probe: Tensor) -> float:
    """Return the mean singular value of the blocks' Jacobians with batch statistics, averaged over blocks."""
    readings = measure(network, probe, parts=["blocks"], modes=["train"], largest_rank=0, probes=1, starts=2, lanczos_steps=12)
    values = [reading.value for reading in readings if reading.quantity == "mean_by_quadrature"]
    return float(np.mean(values))


def losses_of(network: nn.Module, images: ImageSet, rate: float, steps: int, batch: int, seed: int) -> list[float]:
    """Train, and return the cross-entropy of every step, up to the first one that is not finite."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    order = torch.cat([torch.randperm(len(images.labels), generator=generator) for _ in range(1 + steps * batch // len(images.labels))])
    losses = []
    network.train()
    for pixels, labels in batches(images, batch, order[: steps * batch]):
        loss = nn.functional.cross_entropy(network(pixels), labels)
        losses.append(float(loss.detach()))
        if not np.isfinite(losses[-1]):
            break
        optimizer.zero_grad()
        torch.autograd.backward((loss,))
        optimizer.step()
    return losses


def train_all(given: argparse.Namespace) -> tuple[pd.DataFrame, float, float]:
    """Train all runs, and return one row per run and the CPU seconds of training and of measuring."""
    module = plugins.load("datasets", given.dataset)
    images = load_splits(given.dataset, given.data_root, (), 1.0, "cpu").train
    rows, measured, begun = [], 0.0, time.process_time()
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        drawn = torch.randperm(len(images.labels), generator=torch.Generator().manual_seed(seed))[:16]
        probe = next(iter(batches(images, 16, drawn)))[0]
        for variant in VARIANTS:
            start = time.process_time()
            network = network_of(variant, seed, module.IN_CHANNELS, module.NUM_CLASSES, given.width)
            singular = mean_singular_value(network, probe)
            measured += time.process_time() - start
            for rate in given.rates:
                network = network_of(variant, seed, module.IN_CHANNELS, module.NUM_CLASSES, given.width)
                losses = losses_of(network, images, rate, given.steps, given.batch, seed)
                diverged = not np.isfinite(losses[-1])
                row = {"dataset": given.dataset, "learning_rate": f"{rate:g}", "variant": variant, "seed": seed, "diverged": diverged}
                areas = {"area": log_loss_area(losses), "early_area": log_loss_area(losses, EARLY), "last_loss": losses[-1]}
                rows.append(row | {"mean_singular_value": singular} | areas)
        print(f"seed {seed}: {time.process_time() - begun:.0f} CPU seconds", flush=True)
    return pd.DataFrame(rows), time.process_time() - begun - measured, measured


def report(runs: pd.DataFrame) -> None:
    """Print the means and tests of the runs."""
    shown = ["dataset", "learning_rate", "variant"]
    means = runs.groupby(shown, sort=False).agg(
        mean_singular_value=("mean_singular_value", "mean"),
        area=("area", "mean"),
        last_loss=("last_loss", "mean"),
        diverged=("diverged", "sum"),
    )
    print("\nMeans over seeds\n", means.round(3).to_string())
    for name, areas in (("all steps", "area"), (f"the first {EARLY:.0%} of steps", "early_area")):
        table = runs.assign(area=runs[areas])
        tuned = tuned_rate(table)
        both = pd.concat([table, tuned], ignore_index=True)
        if areas == "area":
            print("\nRates chosen on the other seeds\n", tuned.groupby("variant", sort=False)["chosen_rate"].value_counts().to_string())
        print(f"\nThe hypothesis, area of {name}\n", skip_test(both, HYPOTHESIS).round(4).to_string())
        print(f"\nThe control, area of {name}\n", skip_test(both, CONTROLS).round(4).to_string())
        path = both.assign(mean_singular_value=both["variant"].str.startswith("fixed").astype(float))
        print(f"\nThe path beyond the control, area of {name}\n", skip_test(path, PATH).round(4).to_string())
        print(f"\nDose-response, area of {name}\n", dose_trend(both, DOSES).round(4).to_string())


def main() -> None:
    """Train, print the results, and save the runs to `--out` if given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="fashion_mnist")
    parser.add_argument("--data-root", type=Path, default=Path(os.environ.get("AGD_BENCH_DATA", "data")))
    parser.add_argument("--rates", type=float, nargs="+", default=[0.02, 0.05, 0.1, 0.2, 0.5])
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--runs", type=Path, help="analyse these runs, of --out, and train nothing")
    given = parser.parse_args()
    if given.runs:
        report(pd.read_csv(given.runs, dtype={"learning_rate": str}))
        return
    torch.set_num_threads(1)
    print(f"Python {platform.python_version()}, torch {version('torch')}, {platform.machine()}, one thread; {vars(given)}")
    runs, training, measuring = train_all(given)
    if given.out:
        runs.to_csv(given.out, index=False)
    print(f"{len(runs)} runs; CPU seconds: training {training:.0f}, measuring {measuring:.0f}")
    report(runs)


if __name__ == "__main__":
    main()
