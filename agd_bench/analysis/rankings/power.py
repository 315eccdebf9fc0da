"""Power analysis before a run: how many architectures and seeds are needed to detect that an algorithm changes the ranking.

Rankings are simulated from a latent model. Architectures have a true score under each algorithm, jointly normal with correlation rho. Each
seed adds independent normal noise such that one seed's scores have the algorithm's `reliability`, the share of their variance due to the
architectures. Tau at h = floor(S / 2) seeds is then 2 / pi arcsin(rho R_h), and the noise ceiling 2 / pi arcsin(R_h), where R_h is the
geometric mean of both algorithms' reliabilities at h seeds. The power of a design is the share of simulated runs in which
`shifts_detected` detects the shift, as the report's test would.

A gap is specified together with the number of seeds at which a report would show it.

References:
    X. Dong and Y. Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search, ICLR 2020 (its published
    accuracies: after 200 epochs on CIFAR-10, tau between the validation rankings of two seeds is 0.915 over all 8,169
    architectures with three seeds, and 0.59 in their top decile).
    W. H. Kruskal, Ordinal measures of association, Journal of the American Statistical Association, 1958 (Greiner's relation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from agd_bench.analysis.bootstrap import FEWEST_FOR_INTERVAL
from agd_bench.analysis.inference import ALPHA
from agd_bench.analysis.rankings.reliability import correlation_of_tau, one_seed_reliability, spearman_brown, tau_of_correlation
from agd_bench.analysis.scores import Floats, paired_scores, seed_splits
from agd_bench.errors import InputError

DEFAULT_RELIABILITY = 0.80
"""Of one seed, where no pilot run tells: that of NAS-Bench-201's best tenth (tau 0.59 between seeds), the harder of both published."""
ESTIMATED_NOISE = 200
"""What not knowing the noise costs the report's test: n (S − 1) degrees of freedom at which it calls what a test at half its level would,
the noise known. In 14 simulated designs of 12 to 200 architectures and 2 to 4 seeds (1,500 runs each) the share of the level was 0.04 at 12
degrees of freedom, 0.08 at 24, 0.13 to 0.39 at 32 to 48, 0.36 to 0.68 at 80 to 100 and 0.9 at 180 to 400; less with less reliability."""
MOST_ARCHITECTURES = 400
"""Largest simulated number of architectures; the planner makes no statement beyond it."""
ARCHITECTURES = (8, 12, 18, 27, 40, 60, 90, 135, 200)
SEEDS = (2, 3, 4, 6, 8)
SIMULATIONS = 1000
_CHUNK = 4_000_000
"""Comparisons of two architectures held at a time."""
_COLUMNS = ["architectures", "seeds", "seeds_compared", "expected_gap", "power", "power_error", "trials"]


@dataclass(frozen=True)
class Shift:
    """A change of ranking between two algorithms, and the noise in which it must be detected.

    Attributes:
        correlation: correlation of the two algorithms' noise-free normal scores.
        reliabilities: reliability of one seed for each algorithm, in (0, 1].
    """

    correlation: float
    reliabilities: tuple[float, float]

    def reliability(self, seeds: float) -> float:
        """Geometric mean of both algorithms' reliabilities at the given number of seeds."""
        return float(np.sqrt(np.prod(spearman_brown(np.array(self.reliabilities), seeds))))

    def gap(self, seeds: float) -> float:
        """Expected tau − noise ceiling with the given number of seeds on each side (infinity: noise-free rankings)."""
        if np.isinf(seeds):
            return float(tau_of_correlation(self.correlation)) - 1
        reliability = self.reliability(seeds)
        # Noise also attenuates the gap: 0.2 between noise-free rankings becomes 0.04 if a single seed's ceiling is 0.54.
        return float(tau_of_correlation(self.correlation * reliability) - tau_of_correlation(reliability))


def shift_of_gap(gap: float, reliabilities: tuple[float, float], seeds_compared: int | None = None) -> Shift:
    """The shift that appears as a gap of the given size.

    Args:
        gap: tau − noise ceiling, below 0.
        reliabilities: reliability of one seed for each algorithm, in (0, 1].
        seeds_compared: seeds on each side at which the gap appears; default: infinity, a gap of noise-free rankings.

    Raises:
        InputError: the gap is not negative or would require a tau below −1, or a reliability is out of range.

    >>> shift = shift_of_gap(-0.2, (0.8, 0.8), seeds_compared=1)
    >>> round(shift.gap(1), 3), round(shift.gap(4), 3), round(1 + shift.gap(float("inf")), 3)
    (-0.2, -0.307, 0.511)
    """
    if not all(0 < value <= 1 for value in reliabilities):
        raise InputError(f"reliabilities {reliabilities}: must be in (0, 1]; at 0 a ranking is pure noise and no shift can be detected")
    reliability = Shift(1.0, reliabilities).reliability(seeds_compared) if seeds_compared else 1.0
    ceiling = float(tau_of_correlation(reliability))
    # Invert the attenuation. Below −1, no shift of true rankings is large enough to give this gap.
    correlation = float(correlation_of_tau(ceiling + gap)) / reliability
    if gap >= 0 or ceiling + gap < -1 or correlation < -1:
        lowest = float(tau_of_correlation(-reliability)) - ceiling
        raise InputError(f"a gap of {gap:g}: must be tau − noise ceiling, below 0 and not below {lowest:.2f} at this reliability")
    return Shift(correlation, reliabilities)


def simulate(shift: Shift, architectures: int, seeds: int, count: int, rng: np.random.Generator) -> Floats:
    """Simulate scores of `count` runs, (count, 2, architectures, seeds)."""
    first, second = rng.standard_normal((2, count, architectures))
    # (count, 2, A): both with variance 1, so `share` is the reliability.
    true = np.stack([first, shift.correlation * first + np.sqrt(1 - shift.correlation**2) * second], axis=1)
    share = np.array(shift.reliabilities)[:, None, None]
    return np.asarray(np.sqrt(share) * true[..., None] + np.sqrt(1 - share) * rng.standard_normal((count, 2, architectures, seeds)))


def gaps(values: Floats) -> Floats:
    """Tau minus noise ceiling in each of many runs, as in `kendall.kendall_tau`.

    Args:
        values: scores without ties, (N, 2, A, S), for at least two architectures and two seeds.

    Returns:
        (N,).

    >>> ladder = np.arange(10.0)[:, None] + np.zeros((1, 2, 10, 4))
    >>> gaps(np.concatenate([ladder, ladder * np.array([1.0, -1.0])[:, None, None]])).tolist()
    [0.0, -2.0]
    """
    runs, _, count, seeds = values.shape
    step = max(1, _CHUNK // (count**2 * 2 * seeds))
    return np.concatenate([_gaps(values[start : start + step]) for start in range(0, runs, step)])


def _gaps(values: Floats) -> Floats:
    splits = seed_splits(values.shape[3])
    once = splits[: len(splits) // 2]  # the second half mirrors the first
    orders = {half: [_order(values[:, which][..., half].mean(axis=-1)) for which in (0, 1)] for split in once for half in split}
    taus = np.zeros((len(values), 2, 2))
    for first, second in once:
        for a, b in np.ndindex(2, 2):
            taus[:, a, b] += _taus(orders[first][a], orders[second][b], values.shape[2]) / len(once)
    taus = (taus + np.swapaxes(taus, 1, 2)) / 2
    return np.asarray(taus[:, 0, 1] - pair_ceiling(taus)[:, 0, 1], dtype=np.float64)


def pair_ceiling(tau: Floats) -> Floats:
    """Tau between two algorithms with equal true rankings, from their agreements with themselves, for equally noisy architectures.

    Args:
        tau: agreements, (M, M); the diagonal holds each algorithm's own ceiling. A negative one counts as 0.

    Returns:
        (M, M): for equal ceilings, that value.

    >>> pair_ceiling(np.array([[0.6, 0.1], [0.1, 0.6]])).round(6).tolist()
    [[0.6, 0.6], [0.6, 0.6]]
    """
    # Invert Greiner's relation: for correlations, equal true rankings give the geometric mean.
    rho = np.sin(np.pi / 2 * np.clip(np.diagonal(tau, axis1=-2, axis2=-1), 0, 1))
    both = np.sqrt(rho[..., :, None] * rho[..., None, :])
    return np.asarray(2 / np.pi * np.arcsin(np.minimum(both, 1.0)), dtype=np.float64)


def _order(ranked: Floats) -> NDArray[np.uint8]:
    """Order of all pairs of architectures as bits: (N, A) to (N, A, A / 8 rounded up)."""
    # Both directions of each pair are stored, so xor and a bit count suffice for tau; scores have no ties.
    return np.packbits(ranked[:, :, None] > ranked[:, None, :], axis=-1)


def _taus(first: NDArray[np.uint8], second: NDArray[np.uint8], count: int) -> Floats:
    """Tau of each run, (N,): a pair ordered differently by two rankings differs in both bits."""
    discordant = np.bitwise_count(first ^ second).sum(axis=(1, 2), dtype=np.int64) / 2
    return np.asarray(1 - discordant / (count * (count - 1) / 4), dtype=np.float64)


def shifts_detected(shift: Shift, architectures: int, seeds: int, level: float, simulations: int, rng: np.random.Generator) -> int:
    """Number of simulated runs in which a report would detect the shift.

    As in the test behind `shift_p` of `kendall_tau`, a gap is detected if it is below a quantile of gaps simulated with the same noise and
    equal rankings.
    """
    if seeds < 2 or architectures < FEWEST_FOR_INTERVAL:
        return 0  # the report has no test in this case
    unshifted = Shift(1.0, shift.reliabilities)
    # A low quantile needs many runs; for large designs, runs are slow but gaps vary little.
    unshifted_runs = simulations * int(np.clip(480 // architectures, 2, 8))
    called = _known_noise_level(architectures, seeds, level)
    critical = np.quantile(gaps(simulate(unshifted, architectures, seeds, unshifted_runs, rng)), called)
    return int((gaps(simulate(shift, architectures, seeds, simulations, rng)) <= critical).sum())


def _known_noise_level(architectures: int, seeds: int, level: float) -> float:
    """Level at which a test that knows the noise calls as much as the report's, which must estimate it from the run itself."""
    freedom = architectures * (seeds - 1)
    return level * freedom / (freedom + ESTIMATED_NOISE)


@dataclass(frozen=True)
class DesignCost:
    """Cost of a design with A architectures and S seeds, in any unit: fixed + A (architecture + S trial).

    Attributes:
        fixed: cost independent of the design, for example tuning on a few proxies.
        architecture: cost per architecture: its tuning trials for all algorithms.
        trial: cost per seed and architecture: one final trial of every algorithm.
    """

    fixed: float
    architecture: float
    trial: float

    def of(self, architectures: int, seeds: int) -> float:
        """The cost of that design."""
        return self.fixed + architectures * (self.architecture + seeds * self.trial)


def power_table(
    shift: Shift,
    architectures: Sequence[int] = ARCHITECTURES,
    seeds: Sequence[int] = SEEDS,
    level: float = ALPHA,
    simulations: int = SIMULATIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Power of every design with the given numbers of architectures and seeds.

    Args:
        shift: the shift to detect; see `shift_of_gap`.
        architectures: numbers of architectures; above 400, the power at 400 is returned as a lower bound.
        seeds: numbers of final seeds of every architecture and algorithm.
        level: of the one-sided test; divide it by the number of comparisons if the report corrects for them.
        simulations: simulated runs of each design.
        seed: of the simulation.

    Returns:
        One row per design: `architectures`, `seeds`; `seeds_compared` (floor(S / 2) on each side); `expected_gap` (as a report would
        show it on average; NaN with one seed); `power` (share of runs in which the shift is called, in [0, 1]) with its Monte-Carlo
        `power_error` (standard error); `trials` (architectures × seeds, of one algorithm).

    Raises:
        InputError: numbers below 1, or a level outside (0, 1).

    >>> table = power_table(shift_of_gap(-0.3, (0.8, 0.8), seeds_compared=1), architectures=[12, 60], seeds=[2])
    >>> table[["architectures", "seeds", "expected_gap", "power"]].round(1).values.tolist()
    [[12.0, 2.0, -0.3, 0.5], [60.0, 2.0, -0.3, 1.0]]
    """
    if min(architectures, default=1) < 1 or min(seeds, default=1) < 1 or simulations < 1:
        raise InputError("architectures, seeds and simulations must be at least 1")
    if not 0 < level < 1:
        raise InputError(f"level {level:g}: give a probability in (0, 1), for example {ALPHA:g}")
    rows = [_design(shift, count, number, level, simulations, seed) for number in seeds for count in architectures]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _design(shift: Shift, architectures: int, seeds: int, level: float, simulations: int, seed: int) -> dict[str, object]:
    simulated, half = min(architectures, MOST_ARCHITECTURES), seeds // 2
    # Seeded by the design, so its power does not depend on the other designs in the table.
    called = shifts_detected(shift, simulated, seeds, level, simulations, np.random.default_rng([seed, simulated, seeds]))
    near = (called + 2) / (simulations + 4)  # so no error is 0 (Agresti and Coull)
    row: dict[str, object] = {"architectures": architectures, "seeds": seeds, "seeds_compared": half}
    row |= {"expected_gap": shift.gap(half) if half else float("nan"), "power": called / simulations}
    return row | {"power_error": float(np.sqrt(near * (1 - near) / (simulations + 4))), "trials": architectures * seeds}


def sufficient_designs(
    shift: Shift,
    power: float = 0.8,
    seeds: Sequence[int] = SEEDS,
    cost: DesignCost | None = None,
    level: float = ALPHA,
    simulations: int = SIMULATIONS,
) -> pd.DataFrame:
    """For each number of seeds, the smallest number of architectures with the requested power, cheapest design first.

    Args:
        shift: the shift to detect.
        power: requested power, in (0, 1).
        seeds: numbers of seeds to try.
        cost: cost of a design; default: designs are ordered by `trials`.
        level: of the one-sided test.
        simulations: simulated runs of each design tried.

    Returns:
        Rows as of `power_table` and their `cost` (NaN without one), each with at least the wanted power (as estimated); none for a
        number of seeds with which 400 architectures do not suffice.

    Raises:
        InputError: a power outside (0, 1).
    """
    if not 0 < power < 1:
        raise InputError(f"power {power:g}: give a probability in (0, 1), for example 0.8")
    found = [_fewest(shift, power, number, level, simulations) for number in seeds]
    table = pd.DataFrame([row for row in found if row], columns=_COLUMNS)
    table["cost"] = [cost.of(*design) if cost else np.nan for design in zip(table["architectures"], table["seeds"], strict=True)]
    return table.sort_values("cost" if cost else "trials", kind="stable", ignore_index=True)


def _fewest(shift: Shift, power: float, seeds: int, level: float, simulations: int) -> dict[str, object] | None:
    tried: dict[int, dict[str, Any]] = {}

    def suffices(architectures: int) -> bool:
        if architectures not in tried:
            tried[architectures] = _design(shift, architectures, seeds, level, simulations, seed=0)
        return bool(tried[architectures]["power"] >= power)

    guess = _approximate(shift, power, seeds, level, np.random.default_rng([0, seeds]))
    # Far from sufficient even if the approximation is off by a factor of two; saves the slowest simulations.
    if guess > 2 * MOST_ARCHITECTURES:
        return None
    low = high = int(np.clip(guess, FEWEST_FOR_INTERVAL, MOST_ARCHITECTURES))
    while not suffices(high):
        if high == MOST_ARCHITECTURES:
            return None
        # + 1, so small numbers grow.
        low, high = high, min(MOST_ARCHITECTURES, high * 6 // 5 + 1)
    while low > FEWEST_FOR_INTERVAL and suffices(low):
        low, high = max(FEWEST_FOR_INTERVAL, low * 5 // 6), low
    while high - low > max(1, high // 40):  # below 2.5 %, the Monte Carlo error dominates
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return tried[low if suffices(low) else high]


def _approximate(shift: Shift, power: float, seeds: int, level: float, rng: np.random.Generator) -> float:
    """Number of architectures for the requested power, possibly infinite, for normal gaps with variance ~ 1 / architectures."""
    # Enough architectures for gaps to be nearly normal; the variance is extrapolated from there.
    count, runs = 40, 500
    if seeds < 2:
        return float("inf")
    null, shifted = (gaps(simulate(each, count, seeds, runs, rng)) for each in (Shift(1.0, shift.reliabilities), shift))
    width = scipy.stats.norm.isf(_known_noise_level(count, seeds, level)) * null.std() + scipy.stats.norm.ppf(power) * shifted.std()
    distance = null.mean() - shifted.mean()
    return float(count * (max(width, 0.0) / distance) ** 2) if distance > 0 else float("inf")


def pilot_reliabilities(trials: pd.DataFrame, metric: str = "test_accuracy") -> dict[str, float]:
    """Reliability of one seed for every algorithm of a pilot run, averaged over its comparison groups.

    Args:
        trials: the pilot's table of trials, with at least two seeds.
        metric: which accuracy.

    Returns:
        Reliability in (0, 1] by label.

    Raises:
        InputError: the pilot gives no reliability, or the ranking of an algorithm is pure seed noise.
    """
    found: dict[str, list[float]] = {}
    for group in paired_scores(trials, metric):
        for label, values in zip(group.algorithms, group.values, strict=True):
            estimate = one_seed_reliability(values)[0]
            if np.isfinite(estimate):
                found.setdefault(label, []).append(estimate)
    # Keep negative estimates in the mean, because dropping them would bias it upwards.
    mean = {label: float(np.mean(estimates)) for label, estimates in found.items()}
    if not mean:
        raise InputError("the pilot run gives no reliability; it needs at least two finished seeds on three architectures")
    noise = [label for label, value in mean.items() if value <= 0]
    if noise:
        raise InputError(
            f"the pilot's ranking by {', '.join(noise)} is pure seed noise, so no design can be determined; use a larger pilot"
        )
    return mean
