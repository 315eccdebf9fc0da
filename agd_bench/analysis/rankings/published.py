"""Compare a run's ranking of the architectures with that of a published benchmark, accounting for the noise of both.

The published trainings of an architecture are treated as seeds of an additional algorithm, and `kendall.compare` computes how well the two
rankings agree, how well they could agree with seed noise alone, and whether they differ by more. With S of our seeds and at least k
published trainings per architecture, s = min(S, k) are compared.

If only means of trainings are published, there is no ceiling, only an upper bound.

Published accuracies may come from a different recipe, split or number of epochs; a difference beyond noise shows that the rankings differ,
but not which of these is the cause.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agd_bench.analysis.bootstrap import FEWEST_FOR_INTERVAL, integer_weights
from agd_bench.analysis.rankings.kendall import LEVELS, compare
from agd_bench.analysis.rankings.kernels import orders, taus
from agd_bench.analysis.rankings.regret import transfer_regret
from agd_bench.analysis.rankings.reliability import one_seed_reliability, spearman_brown, tau_of_correlation
from agd_bench.analysis.scores import DECIMALS, GROUP, Floats, Scores, describe, paired_scores

BUDGET = ["published_epochs", "split"]
_AGREEMENT = [
    "epochs", "architectures", "seeds", "trainings", "tau_of_means", "tau_low", "tau_high", "ceiling_at_most", "seeds_compared",
    "trainings_compared", "kendall_tau", "noise_ceiling", "own_ceiling", "published_ceiling", "gap", "gap_low", "gap_high", "shift_p",
    "shift_p_one_scale", "corrected_tau", "corrected_low", "corrected_high",
]  # fmt: skip
TOP_SHARES = (1.0, 0.5, 0.25, 0.1, 0.05)
FEWEST_AT_TOP = 5
"""Smallest number of architectures for a tau among the best."""
_TOP = ["top_share", "architectures", "tau_of_means", "tau_low", "tau_high", "published_tau"]
_RANKS = ["architecture", "accuracy", "rank", "published_accuracy", "published_rank"]


def published_agreement(
    trials: pd.DataFrame, published: pd.DataFrame, metric: str = "test_accuracy", resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Agreement of every algorithm's ranking with the published one, for each published budget of epochs.

    Args:
        trials: the table of trials.
        published: the table `published` of `store`.
        metric: which accuracy of the trials.
        resamples: bootstrap resamples over architectures; 0: no intervals and no test.
        seed: seed of the resampling.

    Returns:
        One row per group, published budget and algorithm: `search_space`, `dataset`, `profile`, `published_epochs`, `split` (of the
        published accuracies), `algorithm`; `epochs` (of our trainings); `architectures` (with an outcome for every seed, and published);
        `seeds` (ours), `trainings` (smallest number of published trainings of an architecture); `tau_of_means` (Kendall's tau-b between
        means over all of them) with `tau_low`, `tau_high` (95 % percentile bootstrap); `ceiling_at_most` (expected tau if the published
        ranking had no noise and ours differed from it only by its own noise). If individual trainings are published, at equal numbers of
        seeds: `seeds_compared` of ours against `trainings_compared` published ones; `kendall_tau`, `noise_ceiling`, `gap` with its
        interval, `shift_p`, `shift_p_one_scale`, `corrected_tau` (noise-free) with its interval, all as in `kendall_tau`; `own_ceiling` and
        `published_ceiling` (agreement of each ranking with itself). NaN if missing; no rows for budgets and groups that share fewer than
        two architectures.
    """
    rows = []
    for group, budget, table, counts in _budgets(trials, published, metric):
        epochs = int(trials.loc[_in_group(trials, group) & (trials["purpose"] == "final"), "epochs"].max())
        for place, label in enumerate(group.algorithms):
            kept, theirs = _shared(group, place, table)
            if kept.sum() >= 2:
                row = {**describe(group.group), **budget, "algorithm": label, "epochs": epochs, "architectures": int(kept.sum())}
                names = np.array(group.architectures)[kept]
                row |= {"seeds": len(group.seeds), "trainings": int(counts.loc[names].min())}
                row |= _of_means(group.means()[place, kept], group.values[place, kept], theirs, resamples, seed)
                rows.append(row | _at_equal_seeds(group.values[place, kept], group.diverged[place, kept], theirs, resamples, seed))
    return pd.DataFrame(rows, columns=[*GROUP, *BUDGET, "algorithm", *_AGREEMENT])


def published_ranks(trials: pd.DataFrame, published: pd.DataFrame, metric: str = "test_accuracy") -> pd.DataFrame:
    """Ranks of the architectures under every algorithm and each published budget, among the common architectures.

    Args:
        trials: the table of trials.
        published: as in `published_agreement`.
        metric: which accuracy of the trials.

    Returns:
        One row per group, budget, algorithm and architecture: the columns of `published_agreement` up to `algorithm`; `architecture`;
        `accuracy` (mean over our seeds; 0 where one diverged), `rank` (1 = best, ties share their mean), `published_accuracy` (mean
        over the published trainings), `published_rank`.
    """
    tables = []
    for group, budget, table, _ in _budgets(trials, published, metric):
        for place, label in enumerate(group.algorithms):
            kept, theirs = _shared(group, place, table)
            found = {"accuracy": group.means()[place, kept], "published_accuracy": _mean(theirs)}
            columns = {"architecture": np.array(group.architectures)[kept], **found}
            ranked = pd.DataFrame({**describe(group.group), **budget, "algorithm": label, **columns})
            ranked["rank"], ranked["published_rank"] = (ranked[name].rank(ascending=False) for name in found)
            tables.append(ranked[[*GROUP, *BUDGET, "algorithm", *_RANKS]])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*GROUP, *BUDGET, "algorithm", *_RANKS])


def published_regret(trials: pd.DataFrame, published: pd.DataFrame, metric: str = "test_accuracy", resamples: int = 1000) -> pd.DataFrame:
    """Accuracy lost when an architecture is chosen by a published ranking instead of the trainer's own.

    Args:
        trials: the table of trials.
        published: as in `published_agreement`.
        metric: which accuracy of the trials.
        resamples: bootstrap resamples.

    Returns:
        The rows of `transfer_regret` that choose by the published ranking, for each budget: the group's columns, `published_epochs`,
        `split`, and those of `transfer_regret`.
    """
    tables = []
    for group, budget, table, _ in _budgets(trials, published, metric):
        listed = pd.Series(_mean(table.to_numpy()), index=table.index).dropna()
        rows = transfer_regret(trials[_in_group(trials, group)], metric, listed, resamples)
        rows = rows[rows["chosen_by"] == "published"].assign(**budget)
        tables.append(rows)
    columns = [*GROUP, *BUDGET, *transfer_regret(trials.iloc[:0]).columns[len(GROUP) :]]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def published_top(
    trials: pd.DataFrame, published: pd.DataFrame, metric: str = "test_accuracy", resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Agreement with the published ranking among its best architectures, and agreement of its own trainings there.

    Args:
        trials: the table of trials.
        published: as in `published_agreement`.
        metric: which accuracy of the trials.
        resamples: bootstrap resamples over architectures; 0: no intervals.
        seed: seed of the resampling.

    Returns:
        One row per group, budget, algorithm and share of `TOP_SHARES` with at least `FEWEST_AT_TOP` architectures: the columns of
        `published_agreement` up to `algorithm`; `top_share` (of the architectures, the best by published mean accuracy, in (0, 1]);
        `architectures`; `tau_of_means` with `tau_low`, `tau_high`; `published_tau` (mean Kendall's tau between two single published
        trainings of them; NaN where only means are published).

    References:
        W. Chen, J. Wu, Z. Wang and B. Hanin, "Principled Architecture-aware Scaling of Hyperparameters", ICLR 2024 (its figure of tau
        among the top K per cent, and its control by the benchmark's own seeds).
    """
    rows = []
    for group, budget, table, _ in _budgets(trials, published, metric):
        for place, label in enumerate(group.algorithms):
            kept, theirs = _shared(group, place, table)
            means, order = group.means()[place, kept], np.argsort(-_mean(theirs), kind="stable")
            for share in TOP_SHARES:
                best = order[: round(share * len(order))]
                if len(best) >= FEWEST_AT_TOP:
                    tau = _tau_of_means(means[best], theirs[best], resamples, seed)
                    # The best differ less, so every ranking agrees less there, even with itself; interpret the two columns together.
                    row = {**describe(group.group), **budget, "algorithm": label, "top_share": share, "architectures": len(best)}
                    rows.append({**row, **tau, "published_tau": _own_tau(theirs[best])})
    return pd.DataFrame(rows, columns=[*GROUP, *BUDGET, "algorithm", *_TOP])


def _own_tau(theirs: Floats) -> float:
    """Mean tau between two individual published trainings available for every architecture."""
    # (k, n) for the smallest number k of trainings, because every ranking must contain every architecture.
    single = _first_trainings(theirs, int((~np.isnan(theirs)).sum(axis=1).min())).T
    pairs = np.array(list(itertools.combinations(range(len(single)), 2)))
    return float(taus(orders(single), pairs, np.ones((1, single.shape[1]), dtype=np.int32)).mean()) if len(pairs) else float("nan")


def _first_trainings(theirs: Floats, count: int) -> Floats:
    """The first `count` published trainings of each architecture, (n, count)."""
    # Stable, so trainings stay in order and NaN moves to the end.
    present = np.argsort(np.isnan(theirs), axis=1, kind="stable")[:, :count]
    return np.asarray(np.take_along_axis(theirs, present, axis=1), dtype=np.float64)


def _budgets(
    trials: pd.DataFrame, published: pd.DataFrame, metric: str
) -> Iterator[tuple[Scores, dict[str, Any], pd.DataFrame, pd.Series[int]]]:
    """Yield each group with each of its published budgets.

    Yields:
        The group; the budget; accuracies by architecture (rows) and training (columns, NaN where missing); how many trainings are behind
        each architecture's.
    """
    if published.empty:
        return
    for group in paired_scores(trials, metric):
        space, dataset, _ = group.group
        own = published[(published["search_space"] == space) & (published["dataset"] == dataset)]
        for key, rows in own.groupby(["epochs", "split"]):
            # A mean over trainings has no number, and `pivot` would drop a missing value, so use 0 for a single column.
            table = rows.assign(training=rows["training"].fillna(0)).pivot(index="architecture", columns="training", values="accuracy")
            yield group, dict(zip(BUDGET, key, strict=True)), table, rows.groupby("architecture")["trainings"].sum()


def _in_group(trials: pd.DataFrame, group: Scores) -> NDArray[np.bool_]:
    return (trials[GROUP] == list(group.group)).all(axis=1).to_numpy()


def _shared(group: Scores, place: int, table: pd.DataFrame) -> tuple[NDArray[np.bool_], Floats]:
    """Whether each architecture has an outcome for every seed and is published, (A,), and the published trainings, (n, most)."""
    theirs = table.reindex(list(group.architectures)).to_numpy(dtype=np.float64)
    kept = group.complete()[place] & ~np.isnan(theirs).all(axis=1)
    return kept, theirs[kept]


def _mean(theirs: Floats) -> Floats:
    """Mean over the published trainings, (n,)."""
    return np.asarray(np.nanmean(theirs, axis=1).round(DECIMALS), dtype=np.float64)


def _of_means(means: Floats, values: Floats, theirs: Floats, resamples: int, seed: int) -> dict[str, object]:
    # The published noise is unknown if only means are given; without noise, sqrt(R R') is sqrt(R), an upper bound.
    reliability = spearman_brown(np.clip(one_seed_reliability(values)[0], 0, 1), values.shape[1])
    bound = {"ceiling_at_most": float(tau_of_correlation(np.sqrt(reliability)))}
    return _tau_of_means(means, theirs, resamples, seed) | bound


def _tau_of_means(means: Floats, theirs: Floats, resamples: int, seed: int) -> dict[str, object]:
    draws = resamples if len(means) >= FEWEST_FOR_INTERVAL else 0
    weights = integer_weights(len(means), draws, np.random.default_rng(seed))
    tau = taus(orders(np.array([means, _mean(theirs)])), np.array([[0, 1]]), weights)[0]
    # tau[0] contains every architecture once; a resample with all tied has no tau.
    low, high = np.nanquantile(tau[1:], LEVELS) if draws and np.isfinite(tau[1:]).any() else (np.nan, np.nan)
    return {"tau_of_means": tau[0], "tau_low": low, "tau_high": high}


def _at_equal_seeds(values: Floats, diverged: NDArray[np.bool_], theirs: Floats, resamples: int, seed: int) -> dict[str, object]:
    """The comparison with a ceiling; empty without two seeds on both sides."""
    fewest = int((~np.isnan(theirs)).sum(axis=1).min())
    common = min(values.shape[1], fewest)
    if common < 2:
        return {}
    # Both sides need the same number of seeds; ours are averaged in s blocks, so fewer than s seeds are unused.
    block = values.shape[1] // common
    shape = (len(values), common, block)
    # One diverged seed makes its whole block diverged, as for a mean over all seeds.
    lost = diverged[:, : common * block].reshape(shape).any(axis=2)
    ours = np.where(lost, 0.0, values[:, : common * block].reshape(shape).mean(axis=2))
    both = np.array([ours, _first_trainings(theirs, common)])
    found = compare(both, np.array([lost, np.zeros_like(lost)]), resamples, np.random.default_rng(seed))
    own, published = (found.of(side, side)["noise_ceiling"] for side in (0, 1))
    row = found.of(0, 1)
    wanted = {name: row[name] for name in _AGREEMENT if name in row and name != "seeds_compared"}
    counts = {"seeds_compared": block * found.seeds_compared, "trainings_compared": found.seeds_compared}
    return {**counts, **wanted, "own_ceiling": own, "published_ceiling": published}
