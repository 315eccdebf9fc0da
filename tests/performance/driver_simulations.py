"""Check the intervals and tests of variance components and of drivers on simulated runs with a known truth.

    python -m tests.performance.driver_simulations [RUNS]

Prints (1) the coverage of 95 % intervals of components and shares; (2) how often any feature is called a driver if both algorithms rank
alike except for noise of unequal strength, and if one operation drives the shift; (3) the planner's power and the share of simulated
runs with a `shift_p` of at most 0.05. 300 runs take about four minutes on one core.
"""

from __future__ import annotations

import platform
import sys

import numpy as np
import pandas as pd
import scipy.stats

from agd_bench.analysis import interaction_drivers, interaction_explained, kendall_tau, power_table, shift_of_gap, variance_components
from agd_bench.analysis.rankings.power import Shift, simulate
from agd_bench.analysis.scores import Floats
from tests.analysis.tables import as_trials
from tests.analysis.test_interactions import driven

COMPONENTS = ["architecture", "interaction", "seed", "seed_interaction"]


def draw(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Floats:
    """Draw numbers of mean 0 and variance 1, normal or skewed (gamma of shape 4)."""
    return rng.standard_normal(shape) if kind == "normal" else (rng.gamma(4, 1, shape) - 4) / 2


def coverage(runs: int) -> pd.DataFrame:
    """Return interval coverage by component: of variances and of shares on accuracies, and of shares on normal scores."""
    rng, rows = np.random.default_rng(0), []
    truth = np.array([1.0, 0.3, 0.05, 0.4])
    for algorithms, count, seeds, kind in ((2, 12, 3, "normal"), (4, 36, 3, "normal"), (2, 100, 2, "normal"), (4, 36, 3, "skewed")):
        hits = np.zeros((3, 4))
        for _ in range(runs):
            shapes = ((1, count, 1), (algorithms, count, 1), (1, count, seeds), (algorithms, count, seeds))
            effects = [variance**0.5 * draw(rng, shape, kind) for variance, shape in zip(truth, shapes, strict=True)]
            table = variance_components(as_trials(0.5 + 0.02 * sum(effects, start=np.zeros(1))), draws=1000)
            accuracy, ranked = (
                table[table["scale"] == scale].set_index("component").loc[COMPONENTS] for scale in ("accuracy", "rank-normal")
            )
            hits[0] += (accuracy["low"] <= truth * 0.02**2) & (truth * 0.02**2 <= accuracy["high"])
            for place, part in ((1, accuracy), (2, ranked)):
                hits[place] += (part["share_low"] <= truth / truth.sum()) & (truth / truth.sum() <= part["share_high"])
        for what, shares in zip(("variance", "share", "share of ranks"), hits / runs, strict=True):
            row = {"algorithms": algorithms, "architectures": count, "seeds": seeds, "effects": kind, "interval of": what}
            rows.append(row | dict(zip(COMPONENTS, shares, strict=True)))
    return pd.DataFrame(rows)


def drivers(runs: int) -> pd.DataFrame:
    """Return how often any feature, and the true driver, is called a driver, and the share that the features explain."""
    rng, rows = np.random.default_rng(1), []
    for count, effect, reliabilities in ((24, 0.0, (0.9, 0.5)), (36, 0.0, (0.6, 0.6)), (100, 0.0, (0.9, 0.5)), (36, 0.5, (0.8, 0.6))):
        called, driver, share = 0, 0, []
        for _ in range(runs):
            trials = driven(rng, count, effect, reliabilities)
            table = interaction_drivers(trials, "sgd", "agd", resamples=499).set_index("feature")
            called += int((table["p_holm"] < 0.05).any())
            driver += int((table["p_holm"] < 0.05).to_dict().get("words: a", False))
            share.append(interaction_explained(trials, "sgd", "agd")["share_explained"].iloc[0])
        row = {"architectures": count, "effect": effect, "reliabilities": reliabilities, "any called": called / runs}
        rows.append(row | {"driver called": driver / runs, "median share explained": np.nanmedian(share)})
    return pd.DataFrame(rows)


def planned(runs: int) -> pd.DataFrame:
    """Return the planned power, and the share of runs in which the report's test detects the shift."""
    rng, rows = np.random.default_rng(2), []
    designs = (
        (12, 2, -0.25, (0.8, 0.8)),
        (24, 3, -0.15, (0.8, 0.6)),
        (20, 4, -0.12, (0.8, 0.6)),
        (60, 2, -0.1, (0.8, 0.8)),
        (24, 3, 0.0, (0.9, 0.5)),
    )
    for count, seeds, gap, reliabilities in designs:
        shift = shift_of_gap(gap, reliabilities, max(1, seeds // 2)) if gap else Shift(1.0, reliabilities)
        scores = simulate(shift, count, seeds, runs, rng)
        tables = [as_trials(scipy.stats.norm.cdf(run)).assign(search_space=str(number)) for number, run in enumerate(scores)]
        agreement = kendall_tau(pd.concat(tables), resamples=199)
        found = (agreement.loc[agreement["algorithm"] != agreement["other"], "shift_p"] <= 0.05).mean()
        power = power_table(shift, [count], [seeds])["power"].iloc[0]
        rows.append({"architectures": count, "seeds": seeds, "gap": gap, "reliabilities": reliabilities, "planned": power, "report": found})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    print(f"{runs} runs each; numpy {np.__version__}, pandas {pd.__version__}, Python {platform.python_version()}, {platform.machine()}")
    for name, table in (("Coverage", coverage(runs)), ("Drivers", drivers(runs)), ("Power", planned(runs))):
        print(f"\n{name}\n{table.round(3).to_string(index=False)}", flush=True)
