"""Check the rank statistics on simulations with a known truth: size and power of the test, coverage of the intervals.

    OMP_NUM_THREADS=1 python tests/performance/rank_simulations.py [--runs 1000] [--worlds 199]
        [--only all|top-decile|moves|regret]

Architectures have true scores, and each algorithm sees a monotone transform of them with independent seed noise. In the scenarios named
'equal', the true rankings are equal, whatever else differs, so the test should reject in 5 % of runs. `rho` is the correlation of the two
algorithms' true scores, which are jointly normal: then the true gap and the tau of the true rankings are known in closed form, and the 95 %
intervals should cover them. The first line gives the Monte Carlo error (`±`, one standard error of a share at 5 %, and at 95 %).

For `all` and `top-decile`, the script prints how often `shift_p` is at most 0.05; how often the interval of the gap lies below 0, and
covers the true gap (in the top decile only if that is 0); how often there is an interval of `corrected_tau`, and how often it then covers
the true tau. For `moves`, it prints the share of runs in which any architecture is beyond noise after Holm's correction, and for `regret`,
how often the interval covers the mean regret over all runs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from agd_bench.analysis.bootstrap import integer_weights
from agd_bench.analysis.rankings.displacement import moves
from agd_bench.analysis.rankings.kendall import compare
from agd_bench.analysis.rankings.regret import reached
from agd_bench.analysis.scores import Floats, seed_splits

DESIGNS = ((12, 2), (12, 4), (36, 3), (100, 3), (200, 2), (200, 4))


@dataclass(frozen=True)
class Scenario:
    """How two algorithms differ.

    Attributes:
        name: name of the scenario.
        noise: standard deviation of seed noise under each algorithm; that of true scores is about 1.
        rho: correlation of the two algorithms' true scores.
        shape: distribution of true scores: `normal`, `two clusters` (a quarter far below) or `skewed`.
        transform: monotone function of the second algorithm's true scores.
        uneven: whether noise falls along the ranking, by a factor e^-0.5 per standard deviation.
    """

    name: str
    noise: tuple[float, float] = (0.5, 0.5)
    rho: float = 1.0
    shape: str = "normal"
    transform: Callable[[Floats], Floats] = np.positive
    uneven: bool = False

    def draw(self, architectures: int, seeds: int, rng: np.random.Generator) -> Floats:
        """Draw the accuracies of one run, (2, n, S)."""
        true = rng.standard_normal(architectures)
        if self.shape == "two clusters":
            true = np.where(rng.random(architectures) < 0.25, 0.5 * true - 4, 0.6 * true)
        elif self.shape == "skewed":
            true = -rng.gamma(1.0, 1.0, architectures)
        other = self.rho * true + np.sqrt(1 - self.rho**2) * rng.standard_normal(architectures)
        level = np.exp(-0.5 * true) if self.uneven else np.ones(architectures)
        means = np.stack([true, self.transform(other)])
        spread = np.array(self.noise)[:, None] * level
        scores = means[:, :, None] + spread[:, :, None] * rng.standard_normal((2, architectures, seeds))
        # Map to [0, 1] monotonically and almost linearly in the middle, so that nothing is clipped.
        return np.asarray(0.5 + np.arctan(scores / 20) / np.pi, dtype=np.float64)

    def gap(self, seeds: int) -> float:
        """Return the true gap for normal scores, with `seeds` seeds per side."""
        reliability = np.sqrt(np.prod([1 / (1 + noise**2 / seeds) for noise in self.noise]))
        return float(2 / np.pi * (np.arcsin(self.rho * reliability) - np.arcsin(reliability)))


SCENARIOS = (
    Scenario("equal"),
    Scenario("equal, noise 4:1", noise=(0.25, 1.0)),
    Scenario("equal, little noise", noise=(0.1, 0.1)),
    Scenario("equal, much noise", noise=(1.5, 1.5)),
    Scenario("equal, shifted, spread x 2", noise=(0.5, 1.0), transform=lambda true: 2 * true - 3),
    Scenario("equal, exponential", transform=lambda true: np.exp(0.7 * true)),
    Scenario("equal, two clusters", shape="two clusters"),
    Scenario("equal, two clusters, noise 5:1", noise=(0.2, 1.0), shape="two clusters"),
    Scenario("equal, skewed, noise 5:1", noise=(0.2, 1.0), shape="skewed"),
    Scenario("equal, uneven noise", uneven=True),
    Scenario("equal, uneven noise, exponential", noise=(0.2, 0.5), uneven=True, transform=lambda true: np.exp(0.7 * true)),
    Scenario("rho 0.9", rho=0.9),
    Scenario("rho 0.9, noise 4:1", rho=0.9, noise=(0.25, 1.0)),
    Scenario("rho 0.6", rho=0.6),
    Scenario("rho 0.6, noise 4:1", rho=0.6, noise=(0.25, 1.0)),
)


def agreement_line(scenario: Scenario, architectures: int, seeds: int, subset: str, runs: int, worlds: int) -> str:
    """Return the size or power of the test and the coverage of both intervals, as text."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(runs):
        values = scenario.draw(architectures, seeds, rng)
        each = compare(values, np.zeros(values.shape, dtype=bool), worlds, rng, subset)
        gap = (each.tau - each.tau_ceiling)[0, 1]
        found.append([gap, *(a[0, 1] for a in (each.gap_low, each.gap_high, each.shift_p, each.corrected_low, each.corrected_high))])
    gap, low, high, p, corrected_low, corrected_high = np.array(found).T
    known = scenario.shape == "normal" and (scenario.rho < 1 or not scenario.uneven)
    truth = scenario.gap(seeds // 2) if scenario.rho < 1 else 0.0
    text = f"p <= 0.05 {np.mean(p <= 0.05):.3f}, gap {gap.mean():+.3f}, interval below 0 {np.mean(high < 0):.3f}"
    if known and (subset == "all" or scenario.rho == 1):
        text += f", covers {truth:+.3f} {np.mean((low <= truth) & (truth <= high)):.3f}"
    if subset == "all" and known:
        held, tau = np.isfinite(corrected_low), 2 / np.pi * np.arcsin(scenario.rho)
        covered = (corrected_low <= tau + 1e-9) & (tau <= corrected_high + 1e-9)
        text += f", corrected given {held.mean():.2f}, covers {tau:.3f} {covered[held].mean() if held.any() else np.nan:.3f}"
    return text


def moves_line(scenario: Scenario, architectures: int, seeds: int, runs: int) -> str:
    """Return how often any architecture is beyond noise, and the share of such architectures, as text."""
    rng = np.random.default_rng(0)
    beyond = []
    for _ in range(runs):
        values = scenario.draw(architectures, seeds, rng)
        beyond.append(moves(values, np.zeros(values.shape, dtype=bool), rng).p_holm <= 0.05)
    return f"any beyond noise {np.mean([each.any() for each in beyond]):.3f}, share of architectures {np.mean(beyond):.4f}"


def regret_line(scenario: Scenario, architectures: int, seeds: int, runs: int, worlds: int) -> str:
    """Return how often the interval of the transfer regret covers its mean, as text."""
    rng = np.random.default_rng(0)
    splits = seed_splits(seeds)
    found = []
    for _ in range(runs):
        values = scenario.draw(architectures, seeds, rng)
        weights = integer_weights(architectures, worlds, rng)
        by = [{choose: each[:, list(choose)].mean(axis=1) for choose, _ in splits} for each in values]
        regret = reached(values[0], by[0], splits, weights) - reached(values[0], by[1], splits, weights)
        found.append([regret[0], *np.quantile(regret[1:], (0.025, 0.975))])
    regret, low, high = np.array(found).T
    truth = regret.mean()
    return f"mean regret {truth:.4f}, interval covers it {np.mean((low <= truth) & (truth <= high)):.3f}"


def lines(only: str, runs: int, worlds: int) -> Iterator[str]:
    """Yield one line per design and scenario."""
    for architectures, seeds in DESIGNS:
        for scenario in SCENARIOS:
            begun = time.perf_counter()
            if only in ("all", "top-decile"):
                if only == "top-decile" and (seeds < 3 or architectures < 36):
                    continue
                text = agreement_line(scenario, architectures, seeds, only, runs, worlds)
            elif only == "moves":
                text = moves_line(scenario, architectures, seeds, runs)
            else:
                text = regret_line(scenario, architectures, seeds, runs, worlds)
            yield f"{architectures:4d} x {seeds}  {scenario.name:34s} {text}  [{time.perf_counter() - begun:.0f} s]"


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--worlds", type=int, default=199)
    parser.add_argument("--only", choices=("all", "top-decile", "moves", "regret"), default="all")
    given = parser.parse_args()
    errors = [np.sqrt(share * (1 - share) / given.runs) for share in (0.05, 0.95)]
    print(
        f"{given.only}: {given.runs} runs a line, {given.worlds} resamples and worlds; ± {errors[0]:.3f} at 5 %, ± {errors[1]:.3f} at 95 %"
    )
    for line in lines(given.only, given.runs, given.worlds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
