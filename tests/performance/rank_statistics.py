"""Compare the rank statistics with scipy's tau at field size, in time and values.

    OMP_NUM_THREADS=1 python tests/performance/rank_statistics.py [--architectures 15625] [--algorithms 10] [--seeds 3] [--resamples 1000]

Simulated accuracies, rounded to 1e-4: all pairs of algorithms with their noise ceilings, each with `--resamples` bootstrap resamples.
The script times the first call in this process (which loads or compiles kernels), taus and ceilings without and with intervals and
test, and the whole table of `kendall_tau`. scipy's time is that of `--scipy` resamples of one tau, with the same weights as repeated rows,
times the number of taus in the table (pairs and ceilings, over the splits of the seeds). The script also prints the largest difference from
scipy's values, and the bootstrap's standard error with that from the theory of U-statistics, which needs no resampling. The first line of
the output describes the machine.

References:
    W. Hoeffding, A class of statistics with asymptotically normal distribution, Annals of Mathematical Statistics, 1948.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import TypeVar

import numpy as np
import pandas as pd
import scipy.stats

from agd_bench.analysis import kendall_tau
from agd_bench.analysis.bootstrap import integer_weights
from agd_bench.analysis.rankings.kendall import compare
from agd_bench.analysis.rankings.kernels import orders, taus
from agd_bench.analysis.rankings.seed_splits import splits_for
from agd_bench.analysis.scores import Floats

Result = TypeVar("Result")


def simulate(algorithms: int, architectures: int, seeds: int, rng: np.random.Generator) -> Floats:
    """Return accuracies (M, n, S): a common quality, an interaction per algorithm, and seed noise, as large as in NAS-Bench-201."""
    quality = 0.85 - 0.03 * rng.gamma(1.5, 1.0, architectures)
    own = rng.normal(0, 0.01, (algorithms, architectures, 1))
    values = quality[None, :, None] + own + rng.normal(0, 0.005, (algorithms, architectures, seeds))
    return np.asarray(values.clip(0, 1).round(4), dtype=np.float64)


def timed(work: Callable[[], Result]) -> tuple[Result, float, float]:
    """Return the result of `work` and its wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def projected_error(first: Floats, second: Floats) -> float:
    """Return the first-order standard error of tau-b from each architecture's concordance, with fixed ties in the normaliser."""
    rows = np.column_stack([first, second])
    concordance = np.zeros(len(rows))
    for start in range(0, len(rows), 500):
        part = rows[start : start + 500, None] - rows[None]
        concordance[start : start + 500] = (np.sign(part[..., 0]) * np.sign(part[..., 1])).sum(axis=1)
    untied = [np.sqrt(len(rows) * (len(rows) - 1) - sum(c * (c - 1) for c in np.unique(x, return_counts=True)[1])) for x in rows.T]
    each = concordance / (untied[0] * untied[1] / (len(rows) - 1))
    return float(2 * each.std(ddof=1) / np.sqrt(len(rows)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("architectures", 15625), ("algorithms", 10), ("seeds", 3), ("resamples", 1000), ("scipy", 10)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "numba", "pandas"))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")
    rng = np.random.default_rng(0)
    values = simulate(given.algorithms, given.architectures, given.seeds, rng)
    diverged = np.zeros(values.shape, dtype=bool)

    _, wall, _ = timed(lambda: compare(values[:, :20], diverged[:, :20], 10, np.random.default_rng(0)))
    print(f"first call: {wall:.2f} s")
    for resamples in (0, given.resamples):
        _, wall, cpu = timed(lambda resamples=resamples: compare(values, diverged, resamples, np.random.default_rng(0)))  # type: ignore[misc]
        print(f"taus and ceilings{', intervals and test' if resamples else ''}, {resamples} resamples: {wall:.1f} s wall, {cpu:.1f} s CPU")

    labels = [f"algorithm-{index}" for index in range(given.algorithms)]
    index = pd.MultiIndex.from_product([labels, [f"a{row}" for row in range(given.architectures)], range(given.seeds)])
    trials = index.to_frame(index=False, name=["algorithm", "architecture", "seed"]).assign(test_accuracy=values.ravel())
    trials = trials.assign(search_space="s", dataset="d", profile="p", purpose="final", status="done")
    for subset in ("all", "top-decile"):
        _, wall, cpu = timed(lambda subset=subset: kendall_tau(trials, resamples=given.resamples, subset=subset))  # type: ignore[misc]
        print(f"kendall_tau({subset}), {len(trials):,} rows: {wall:.1f} s wall, {cpu:.1f} s CPU")

    weights = integer_weights(given.architectures, given.scipy, np.random.default_rng(1))
    pair = values[:2, :, 0]
    ours = taus(orders(pair), np.array([[0, 1]]), weights)[0]
    chosen = [np.repeat(np.arange(given.architectures), row) for row in weights]
    theirs, wall, _ = timed(lambda: np.array([scipy.stats.kendalltau(pair[0][rows], pair[1][rows]).statistic for rows in chosen]))
    count = given.algorithms * given.algorithms * len(splits_for(given.seeds, "all")) * given.resamples
    print(
        f"scipy: {1e3 * wall / len(weights):.2f} ms a tau over {len(weights)} resamples, {wall / len(weights) * count:.0f} s for {count:,}"
    )
    print(f"largest difference: {np.abs(ours - theirs).max():.1e}")

    drawn = taus(orders(pair), np.array([[0, 1]]), integer_weights(given.architectures, 1000, np.random.default_rng(2)))[0, 1:]
    print(f"standard error: bootstrap {drawn.std(ddof=1):.6f} (1,000 resamples), U-statistic {projected_error(*pair):.6f}")


if __name__ == "__main__":
    main()
