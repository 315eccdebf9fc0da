"""Regret of choosing an architecture by the ranking of another algorithm or a published benchmark."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agd_bench.analysis.bootstrap import FEWEST_FOR_INTERVAL, integer_weights
from agd_bench.analysis.rankings.kendall import LEVELS
from agd_bench.analysis.scores import GROUP, Floats, Scores, Split, describe, paired_scores, seed_splits
from agd_bench.errors import InputError

PUBLISHED = "published"
"""Value of `chosen_by` for the published benchmark's ranking."""
CANDIDATES = 64
"""Number of best architectures among which a resample's choice is searched; it contains none of them with probability e^-64."""

_COLUMNS = [
    "chosen_by",
    "trained_by",
    "architectures",
    "seeds",
    "own_best_accuracy",
    "transfer_regret",
    "regret_low",
    "regret_high",
    "disjoint",
]


def transfer_regret(
    trials: pd.DataFrame, metric: str = "test_accuracy", published: pd.Series[float] | None = None, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Accuracy lost if an algorithm trains the best architecture of another ranking instead of its own best.

    With two or more seeds, both architectures are chosen on one half of the seeds and scored on the other, averaged over the splits; the
    regret can be slightly negative. With one seed, it is biased upwards. A diverged trial scores 0.

    The interval is a percentile bootstrap over architectures, each with all its seeds, for the regret among other architectures of the same
    kind. In simulations, intervals cover the expected regret in 82 % (12 architectures) to 97 % (200) of cases, less if rankings are nearly
    equal.

    Args:
        trials: the table of trials.
        metric: which accuracy.
        published: accuracies (in any unit, only the order matters) by architecture from a published benchmark, as an additional ranking
            with independent seeds. Architectures that it does not list are left out of its rows. It is applied to every group.
        resamples: bootstrap resamples; 0: no interval.
        seed: seed of the resampling.

    Returns:
        One row per group and ordered pair of algorithms: `search_space`, `dataset`, `profile`; `chosen_by` (the algorithm that chooses the
        architecture, or `published`), `trained_by` (the algorithm that trains it); `architectures`, `seeds`; `own_best_accuracy` (what
        `trained_by` reaches with its own choice), `transfer_regret` (own_best_accuracy − accuracy with the other's choice; a share in [-1,
        1]) with `regret_low`, `regret_high` (95 % interval; NaN with one seed or fewer than 8 architectures); `disjoint` (whether chosen
        and scored on disjoint seeds). Pairs without a shared architecture are left out.

    Raises:
        InputError: the published ranking contains duplicates or values that are not numbers.

    >>> rows = [(g, a, v) for g, accuracies in (("agd", (0.5, 0.6)), ("sgd", (0.9, 0.7))) for a, v in zip("xy", accuracies)]
    >>> trials = pd.DataFrame(rows, columns=["algorithm", "architecture", "test_accuracy"]).assign(
    ...     search_space="s", dataset="d", profile="p", purpose="final", status="done", seed=0)
    >>> transfer_regret(trials)[["chosen_by", "trained_by", "transfer_regret"]].round(6).values.tolist()
    [['agd', 'sgd', 0.2], ['sgd', 'agd', 0.1]]
    """
    listed = _checked(published)
    rows = [row for group in paired_scores(trials, metric) for row in _rows(group, listed, resamples, seed)]
    return pd.DataFrame(rows, columns=[*GROUP, *_COLUMNS])


def _checked(published: pd.Series[float] | None) -> pd.Series[float] | None:
    if published is None:
        return None
    if not published.index.is_unique:
        twice = published.index[published.index.duplicated()][0]
        raise InputError(f"published: {twice!r} is listed twice; pass one accuracy for each architecture")
    if not pd.api.types.is_numeric_dtype(published):
        raise InputError(f"published: values of type {published.dtype}; accuracies must be numbers")
    # Architectures that are not listed or have no number are left out of the rows.
    return published[np.isfinite(published.to_numpy(dtype=np.float64, na_value=np.nan))]


def _rows(group: Scores, published: pd.Series[float] | None, resamples: int, seed: int) -> Iterator[dict[str, object]]:
    complete = group.complete()
    disjoint = len(group.seeds) > 1
    # Disjoint halves, so a choice is not favoured by the noise it was based on. A single seed is used for both.
    splits = seed_splits(len(group.seeds)) or [(tuple(range(len(group.seeds))),) * 2]
    means = {choose: group.means(choose) for choose, _ in splits}
    labels: list[str] = [*group.algorithms]
    if published is not None:
        listed = np.asarray(published.reindex(list(group.architectures)), dtype=np.float64)
        # The published ranking has no seeds here, so the same values choose in every split.
        means = {choose: np.vstack([each, listed]) for choose, each in means.items()}
        complete = np.vstack([complete, ~np.isnan(listed)])
        labels.append(PUBLISHED)

    @functools.cache
    def weights(count: int) -> NDArray[np.int32]:
        # The same seed in every call, so own and transferred choices share their resamples and the regret is paired.
        return integer_weights(count, resamples if disjoint and count >= FEWEST_FOR_INTERVAL else 0, np.random.default_rng(seed))

    # Most pairs share the same architectures, so choices and accuracies of an algorithm are computed once for all pairs.
    @functools.cache
    def choices(chooser: int, kept: bytes) -> list[Choices]:
        held = np.frombuffer(kept, dtype=np.bool_)
        return [Choices.by(means[choose][chooser, held], weights(int(held.sum()))) for choose, _ in splits]

    @functools.cache
    def accuracies(trainer: int, kept: bytes) -> list[Floats]:
        values = group.values[trainer][np.frombuffer(kept, dtype=np.bool_)]
        return [values[:, list(score)].mean(axis=1) for _, score in splits]

    for chooser, trainer in np.ndindex(len(labels), len(group.algorithms)):
        kept = complete[chooser] & complete[trainer]
        if chooser == trainer or not kept.any():
            continue
        same = kept.tobytes()
        own, transferred = (_mean_reached(choices(who, same), accuracies(trainer, same)) for who in (trainer, chooser))
        regret = own - transferred
        # regret[0] is the estimate. A resample contains about 63 % of the architectures, so it chooses among fewer.
        low, high = np.quantile(regret[1:], LEVELS) if len(regret) > 1 else (np.nan, np.nan)
        found: dict[str, object] = {**describe(group.group), "chosen_by": labels[chooser], "trained_by": labels[trainer]}
        found |= {"architectures": int(kept.sum()), "seeds": len(group.seeds), "own_best_accuracy": own[0], "transfer_regret": regret[0]}
        yield found | {"regret_low": low, "regret_high": high, "disjoint": disjoint}


def reached(values: Floats, ranking: dict[tuple[int, ...], Floats], splits: list[Split], weights: NDArray[np.int32]) -> Floats:
    """Accuracy of the architecture that a ranking puts first, scored on the other half of the seeds; mean over the splits.

    Args:
        values: accuracies of the algorithm that trains it, (n, S).
        ranking: values to rank by, (n,), for each half of the seeds that may choose.
        splits: seeds that choose, and seeds that score.
        weights: how often each resample holds each architecture, (R, n).

    Returns:
        (R,).
    """
    choices = [Choices.by(ranking[choose], weights) for choose, _ in splits]
    return _mean_reached(choices, [values[:, list(score)].mean(axis=1) for _, score in splits])


def _mean_reached(choices: list[Choices], accuracies: list[Floats]) -> Floats:
    """Mean accuracy of the choices over the splits, (R,)."""
    chosen = [each.scored(reached) for each, reached in zip(choices, accuracies, strict=True)]
    return np.asarray(np.mean(chosen, axis=0), dtype=np.float64)


@dataclass(frozen=True)
class Choices:
    """The architecture chosen in each resample.

    Attributes:
        candidates: positions of the best architectures, (C,).
        shares: weight of each candidate, (R, C); tied best ones are averaged, and rows sum to 1.
    """

    candidates: NDArray[np.intp]
    shares: Floats

    @classmethod
    def by(cls, ranking: Floats, weights: NDArray[np.int32]) -> Choices:
        """Choices by the highest value of a ranking, (n,), in resamples (R, n)."""
        order = np.argsort(-ranking, kind="stable")
        # Only the best can be chosen: (R, 64) instead of (R, n), which is 15,625 wide on NAS-Bench-201.
        last = ranking[order[min(CANDIDATES, len(order)) - 1]]
        candidates = order[ranking[order] >= last]  # including all that are tied with the last one
        held = weights[:, candidates]
        # 0 = best; ties share a level, so none of them wins by its position.
        level = np.unique(-ranking[candidates], return_inverse=True)[1]
        best = np.where(held > 0, level, len(level)).min(axis=1, keepdims=True)
        # Copies count: an architecture drawn twice has twice the share among tied ones.
        chosen = np.where(level == best, held, 0)
        return cls(candidates, np.asarray(chosen / np.maximum(chosen.sum(axis=1, keepdims=True), 1), dtype=np.float64))

    def scored(self, reached: Floats) -> Floats:
        """Accuracy of each resample's choice, (R,), from the accuracy of every architecture, (n,)."""
        return np.asarray(self.shares @ reached[self.candidates], dtype=np.float64)
