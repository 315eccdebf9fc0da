"""What is lost when an architecture is chosen by one algorithm's ranking and trained by another."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agd_bench.analysis.pairing import GROUP, Floats, Scores, describe, scores, seed_splits


def transfer_regret(trials: pd.DataFrame, metric: str = "test_accuracy") -> pd.DataFrame:
    """Accuracy lost when the best architecture under one ranking is trained by another algorithm instead of that one's own best.

    With two seeds or more, both architectures are chosen on one half of the seeds and scored on the other, averaged over the
    splits: a choice is not flattered by the noise that it was made from, so the regret can be slightly negative. With one seed
    they are chosen and scored on the same trials, and the regret is biased upwards. A diverged trial scores 0.

    Args:
        trials: the table of trials.
        metric: which accuracy.

    Returns:
        One row per group and ordered pair of algorithms: `search_space`, `dataset`, `profile`; `chosen_by` (whose ranking picks the
        architecture), `trained_by` (who trains it); `architectures`, `seeds`; `own_best_accuracy` (what `trained_by` reaches with its own
        choice), `transfer_regret` (own_best_accuracy − accuracy with the other's choice; a share in [-1, 1]); `disjoint` (whether chosen
        and scored on disjoint seeds). Pairs without a shared architecture are left out.

    >>> rows = [(g, a, v) for g, accuracies in (("agd", (0.5, 0.6)), ("sgd", (0.9, 0.7))) for a, v in zip("xy", accuracies)]
    >>> trials = pd.DataFrame(rows, columns=["algorithm", "architecture", "test_accuracy"]).assign(
    ...     search_space="s", dataset="d", profile="p", purpose="final", status="done", seed=0)
    >>> transfer_regret(trials)[["chosen_by", "trained_by", "transfer_regret"]].round(6).values.tolist()
    [['agd', 'sgd', 0.2], ['sgd', 'agd', 0.1]]
    """
    rows = [row for group in scores(trials, metric) for row in _rows(group)]
    columns = ["chosen_by", "trained_by", "architectures", "seeds", "own_best_accuracy", "transfer_regret", "disjoint"]
    return pd.DataFrame(rows, columns=[*GROUP, *columns])


def _rows(group: Scores) -> list[dict[str, object]]:
    every = tuple(range(len(group.seeds)))
    splits = seed_splits(len(every)) or [(every, every)]
    complete = group.complete()
    found = []
    for chooser in range(len(group.algorithms)):
        for trainer in range(len(group.algorithms)):
            kept = complete[chooser] & complete[trainer]
            if chooser == trainer or not kept.any():
                continue
            outcomes = [_outcome(group, chooser, trainer, kept, choose, score) for choose, score in splits]
            own, transferred = np.mean(outcomes, axis=0)
            row: dict[str, object] = {**describe(group.group), "chosen_by": group.algorithms[chooser]}
            row |= {"trained_by": group.algorithms[trainer], "architectures": int(kept.sum()), "seeds": len(every)}
            found.append(row | {"own_best_accuracy": own, "transfer_regret": own - transferred, "disjoint": len(every) > 1})
    return found


def _outcome(
    group: Scores, chooser: int, trainer: int, kept: NDArray[np.bool_], choose: tuple[int, ...], score: tuple[int, ...]
) -> tuple[float, float]:
    """Accuracy of the trainer with its own choice and with the chooser's; tied best architectures are averaged."""
    means = group.means(choose)[:, kept]
    reached: Floats = group.values[trainer][kept][:, list(score)].mean(axis=1)
    own = reached[means[trainer] == means[trainer].max()].mean()
    other = reached[means[chooser] == means[chooser].max()].mean()
    return float(own), float(other)
