"""Simulate adaptive seeds with known true accuracies: how often an order is decided wrongly, and how many seeds are spent.

Run as `python tests/performance/adaptive_seeds.py [SIMULATIONS]`. Each scenario draws the architectures' true accuracies, plays the
rounds with normal (or other) seed noise, and counts a simulation as wrong if the order of any two architectures, under any algorithm, at
any look, was decided against the truth, ties included. Nominal: at most 5 %.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator

import numpy as np
import scipy

from agd_bench.analysis.adaptive_seeds import Bools, Counts, allot, judge
from agd_bench.analysis.scores import Floats, Scores
from agd_bench.records import AdaptiveSeeds

Noise = Callable[[np.random.Generator, tuple[int, int, int]], Floats]


def normal(spread: float = 0.0) -> Noise:
    """Return normal noise with a mean standard deviation of 0.01, times a log-normal factor for each architecture."""

    def draw(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
        scale = 0.01 * np.exp(rng.normal(0, spread, (shape[0], shape[1], 1)))
        return np.asarray(rng.normal(0, 1, shape) * scale, dtype=np.float64)

    return draw


def heavy(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    """Draw Student's t noise with 4 degrees of freedom and standard deviation 0.01."""
    return np.asarray(rng.standard_t(4, shape) * 0.01 / np.sqrt(2), dtype=np.float64)


def lapses(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    """Draw normal noise in which one training in twenty ends 0.05 lower; failed trainings skew noise in this way."""
    return rng.normal(0, 0.01, shape) - 0.05 * (rng.random(shape) < 0.05)


def play(truth: Floats, noise: Noise, rule: AdaptiveSeeds, rng: np.random.Generator) -> tuple[Scores, Counts]:
    """Return the accuracies of a sweep that is played to its end, and the number of seeds of each architecture.

    Args:
        truth: true accuracies, (M, A).
        noise: draws the seed noise.
        rule: rule of the sweep.
        rng: random number generator.
    """
    algorithms, architectures = truth.shape
    values = truth[:, :, None] + noise(rng, (algorithms, architectures, rule.most))
    names = [tuple(f"{kind}-{index}" for index in range(count)) for kind, count in (("m", algorithms), ("a", architectures))]
    group = Scores(("s", "d", "p"), names[0], names[1], tuple(range(rule.most)), values, np.zeros(values.shape, dtype=bool))
    return group, allot(group, np.full(architectures, rule.most), rule)


def verdicts(group: Scores, sizes: Counts, rule: AdaptiveSeeds) -> Iterator[tuple[int, Bools, Bools]]:
    """Yield, for each algorithm, which pairs of architectures (A, A) were decided and which were close."""
    for position in range(len(group.algorithms)):
        for rows, _, decided, close in judge(group, position, sizes, rule):
            assert len(rows) == len(group.architectures)
            yield position, decided, close


def is_wrong(truth: Floats, group: Scores, sizes: Counts, rule: AdaptiveSeeds) -> bool:
    """Return whether any decided order contradicts the truth at the look that decided it."""
    before = np.zeros((len(group.algorithms), *np.shape(np.outer(sizes, sizes))), dtype=bool)
    for look in rule.looks:
        mean = group.values[:, :, :look].mean(axis=2)
        for position, decided, _ in verdicts(group, np.minimum(sizes, look), rule):
            said, true = (np.sign(np.subtract.outer(row, row)) for row in (mean[position], truth[position]))
            if bool((decided & ~before[position] & (said != true)).any()):
                return True
            before[position] = decided
    return False


def simulate(
    architectures: int, algorithms: int, spread: float, noise: Noise, rule: AdaptiveSeeds, count: int, seed: int = 0
) -> list[float]:
    """Return the share of wrong simulations, the mean seeds per architecture, and the shares of decided and of close pairs.

    Args:
        architectures: number of architectures.
        algorithms: number of algorithms.
        spread: standard deviation of the true accuracies; 0 if all are equal.
        noise: draws the seed noise.
        rule: rule of the sweep.
        count: number of simulations.
        seed: seed of the generator.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        truth = 0.8 + spread * rng.normal(0, 1, (algorithms, architectures))
        group, sizes = play(truth, noise, rule, rng)
        pairs = architectures * (architectures - 1) * algorithms
        apart = ~np.eye(architectures, dtype=bool)
        settled = [((decided & apart).sum() / pairs, (close & apart).sum() / pairs) for _, decided, close in verdicts(group, sizes, rule)]
        rows.append([is_wrong(truth, group, sizes, rule), sizes.mean(), *np.sum(settled, axis=0)])
    return [float(value) for value in np.mean(rows, axis=0)]


SCENARIOS: dict[str, tuple[int, int, float, Noise, AdaptiveSeeds]] = {
    "all equal, 12 × 2": (12, 2, 0.0, normal(), AdaptiveSeeds()),
    "all equal, 40 × 4": (40, 4, 0.0, normal(), AdaptiveSeeds()),
    "all equal, 12 × 2, fixed half-width out of reach": (12, 2, 0.0, normal(), AdaptiveSeeds(half_width=1e-4)),
    "spread 0.03, 12 × 2": (12, 2, 0.03, normal(), AdaptiveSeeds()),
    "spread 0.03, 40 × 4": (40, 4, 0.03, normal(), AdaptiveSeeds()),
    "spread 0.03, 40 × 4, first 3, most 20": (40, 4, 0.03, normal(), AdaptiveSeeds(first=3, most=20)),
    "all equal, noise ×/÷ 1.6 by architecture, 40 × 4": (40, 4, 0.0, normal(0.5), AdaptiveSeeds(half_width=1e-4)),
    "all equal, noise ×/÷ 2.7 by architecture, 40 × 4": (40, 4, 0.0, normal(1.0), AdaptiveSeeds(half_width=1e-4)),
    "all equal, t with 4 df, 40 × 4": (40, 4, 0.0, heavy, AdaptiveSeeds(half_width=1e-4)),
    "all equal, 1 in 20 lapses by 0.05, 40 × 4": (40, 4, 0.0, lapses, AdaptiveSeeds(half_width=1e-4)),
}


def main(count: int) -> None:
    """Print the table."""
    print(f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, {count} simulations each\n")
    print("| scenario (architectures × algorithms) | any order wrong | mean seeds | pairs decided | close |\n|---|---|---|---|---|")
    for name, (architectures, algorithms, spread, noise, rule) in SCENARIOS.items():
        wrong, seeds, decided, close = simulate(architectures, algorithms, spread, noise, rule, count)
        margin = 1.96 * np.sqrt(wrong * (1 - wrong) / count)
        print(f"| {name} | {wrong:.4f} ± {margin:.4f} | {seeds:.2f} of {rule.most} | {decided:.3f} | {close:.3f} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
