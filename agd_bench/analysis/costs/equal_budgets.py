"""Compare two algorithms at equal runs, at equal total compute, and tuned without limit.

- `equal runs`: what if good hyperparameters were free? Each algorithm is charged one final training per architecture; its tuning is not
  counted.
- `equal total compute`: what if the baseline may spend no more than the challenger? The budget of an architecture is the challenger's total
  charge for one result (its share of tuning, and one final training). The baseline trains as many proposals of its study as fit, at least
  one, and keeps the network with the best validation accuracy; the accuracy for that many proposals is estimated from its study (see
  `tuning_curves`). With a self-tuning challenger this is one proposal, that is, the baseline before any tuning. A baseline without tuning
  trains once, whatever the budget.
- `tuned without limit`: what if compute did not matter? All proposals of the study, followed by one final training with its choice.

Final accuracies are means over seeds completed by both algorithms; a diverged seed counts as 0. Costs are per architecture for one result,
including lost attempts.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import numpy as np
import pandas as pd

from agd_bench.analysis.costs.charges import charged_cost
from agd_bench.analysis.costs.tuning_curves import Searches, searches
from agd_bench.analysis.inference import mean_interval
from agd_bench.analysis.scores import GROUP, Floats, Scores, describe, paired_scores
from agd_bench.errors import InputError

VIEWS = ("equal runs", "equal total compute", "tuned without limit")
_COSTS = ["flops", "seconds", "trainings"]
COLUMNS = [
    *(f"{side}_{name}" for side in ("baseline", "challenger") for name in ("accuracy", "low", "high", *_COSTS)),
    *("difference", "difference_low", "difference_high", "architectures", "seeds", "note"),
]


def cost_views(
    trials: pd.DataFrame,
    baseline: str,
    challenger: str,
    metric: str = "test_accuracy",
    random_algorithms: Collection[str] = (),
    budget: Literal["flops", "seconds"] = "flops",
) -> pd.DataFrame:
    """Accuracy and charged cost of two algorithms in the three views of this module.

    Args:
        trials: the table of trials.
        baseline: label of the algorithm to compare with, usually the tuned one.
        challenger: label of the other; its cost is the budget of the second view.
        metric: which accuracy is compared; the validation accuracy chooses.
        random_algorithms: labels of the algorithms whose sampler is random.
        budget: quantity held equal in the second view: `flops`, or `seconds`, which are meaningful only on exclusive devices.

    Returns:
        Three rows per group: `search_space`, `dataset`, `profile`, `baseline`, `challenger`, `view`; for each side `_accuracy` (mean over
        architectures, in [0, 1]) with `_low`, `_high` (95 % t interval over architectures), `_flops`, `_seconds` (charged per
        architecture for one result), `_trainings` (how many trainings that is); `difference` (challenger − baseline; positive: the
        challenger is better) with `difference_low`, `difference_high` (95 % t interval, paired by architecture); `architectures` and
        `seeds` (used); `note` (why numbers are missing; else empty). By search-space scope the second view compares on the proxies of each
        study, and a study is one observation. NaN where missing; intervals for fewer than two architectures too.

    Raises:
        UnknownNameError: a label that a group does not hold.
        InputError: an unknown budget.
    """
    if budget not in ("flops", "seconds"):
        raise InputError(f"budget = {budget!r}: unknown budget; allowed are 'flops' and 'seconds'")
    costs = costs_of_one_result(trials)
    found = {search.group: search for search in searches(trials, baseline, metric, random_algorithms) if search.studies}
    rows: list[dict[str, Any]] = []
    for group in paired_scores(trials, metric, every_seed=True):
        means, seeds = _paired(group, baseline, challenger)
        spent = [costs.reindex([(*group.group, label, name) for name in group.architectures]) for label in (baseline, challenger)]
        kept = ~np.isnan(means[0])
        names: dict[str, Any] = {**describe(group.group), "baseline": baseline, "challenger": challenger}
        finals = [table[["final_flops", "final_seconds", "final_trainings"]].to_numpy()[kept] for table in spent]
        alls = [table[["flops", "seconds", "trainings"]].to_numpy()[kept] for table in spent]
        rows.append({**names, "view": VIEWS[0], **_row(means[:, kept], finals, seeds)})
        search = found.get(group.group)
        if search is None:
            note = f"{baseline} is not tuned: it trains once, whatever the budget"
            middle = _row(means[:, kept], [finals[0], alls[1]], seeds) | {"note": note}
        else:
            middle = _limited(search, group, means[1], spent[1], budget, seeds)
        rows.append({**names, "view": VIEWS[1], **middle})
        rows.append({**names, "view": VIEWS[2], **_row(means[:, kept], alls, seeds)})
    return pd.DataFrame(rows, columns=[*GROUP, "baseline", "challenger", "view", *COLUMNS])


def _paired(group: Scores, baseline: str, challenger: str) -> tuple[Floats, int]:
    """Mean accuracies over the seeds with an outcome under both, (2, A), NaN if there are none, and the number of seeds."""
    pair = group.values[[group.position(baseline), group.position(challenger)]]
    # A seed completed by only one side would shift that side's mean.
    both = ~np.isnan(pair).any(axis=0)
    counts = both.sum(axis=1)
    sums = np.where(both, pair, 0.0).sum(axis=2)
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0), int(both.any(axis=0).sum())


def costs_of_one_result(trials: pd.DataFrame) -> pd.DataFrame:
    """Charges per group, algorithm and architecture for one final training, and for it with the architecture's share of tuning."""
    keys = [*GROUP, "algorithm", "architecture"]
    cost = charged_cost(trials, by_architecture=True).set_index(keys)
    begun = trials[(trials["purpose"] == "final") & (trials["attempts"] > 0)]
    runs = begun.groupby(keys).size().reindex(cost.index)
    table = pd.DataFrame({"final_flops": (cost["flops"] - cost["tuning_flops"]) / runs, "final_seconds": cost["train_seconds"] / runs})
    # Per result, not per seed, so more seeds do not make an algorithm look more expensive.
    table["final_trainings"] = 1.0
    table["flops"] = table["final_flops"] + cost["tuning_flops"]
    table["seconds"] = table["final_seconds"] + cost["tuning_seconds"]
    table["trainings"] = 1.0 + _tuning_trainings(trials, keys).reindex(cost.index).fillna(0.0)
    return table


def _tuning_trainings(trials: pd.DataFrame, keys: list[str]) -> pd.Series[float]:
    """Tuning trainings by architecture, with those of a study divided equally among the architectures that use its choice."""
    place = [*GROUP, "algorithm", "study"]
    begun = trials[(trials["purpose"] == "tuning") & (trials["attempts"] > 0)]
    sizes = begun.groupby(place).size().rename("tried").reset_index()
    final = trials.loc[(trials["purpose"] == "final") & trials["study"].notna(), [*keys, "study"]].drop_duplicates()
    users = final.assign(users=final.groupby(place)["architecture"].transform("size")).merge(sizes, on=place, how="inner")
    return (users["tried"] / users["users"]).groupby([users[key] for key in keys]).sum()


def _row(means: Floats, costs: list[Floats], seeds: int) -> dict[str, Any]:
    """One view, from `means` (2, A) and the costs of each side (A, 3)."""
    if not means.shape[1]:
        empty: dict[str, Any] = dict.fromkeys(COLUMNS, np.nan)
        return empty | {"architectures": 0, "seeds": 0, "note": "no architecture with an outcome under both algorithms"}
    row: dict[str, Any] = {"note": ""}
    for side, values, cost in zip(("baseline", "challenger"), means, costs, strict=True):
        low, high = mean_interval(values)
        row |= {f"{side}_accuracy": values.mean(), f"{side}_low": low, f"{side}_high": high}
        row |= {f"{side}_{name}": value for name, value in zip(_COSTS, cost.mean(axis=0), strict=True)}
    low, high = mean_interval(means[1] - means[0])
    row |= {"difference": (means[1] - means[0]).mean(), "difference_low": low, "difference_high": high}
    return row | {"architectures": means.shape[1], "seeds": seeds}


def _limited(search: Searches, group: Scores, challenger: Floats, spent: pd.DataFrame, budget: str, seeds: int) -> dict[str, Any]:
    """The second view, with studies stopped when the challenger's charge is spent."""
    place = {name: position for position, name in enumerate(group.architectures)}
    owner = np.repeat(np.arange(len(search.studies)), [len(members) for members in search.architectures])
    member = np.array([place.get(name, -1) for members in search.architectures for name in members], dtype=np.int64)
    sizes = np.bincount(owner)
    charges = spent[["flops", "seconds", "trainings"]].to_numpy()[member]
    # A study is one observation, so average the accuracies and budgets of its proxies, (U,) and (U, 3).
    budgets = np.stack([np.bincount(owner, weights=column) / sizes for column in charges.T], axis=1)
    accuracy = np.bincount(owner, weights=challenger[member]) / sizes
    price = search.charged(budget)
    limit = budgets[:, _COSTS.index(budget)]
    accuracy[owner[member < 0]] = np.nan  # a proxy without final trials cannot be compared
    kept = ~np.isnan(accuracy) & ~np.isnan(limit) & ~np.isnan(price).any(axis=1)
    if not kept.any():
        row = _row(np.empty((2, 0)), [], 0)
        return row if np.isnan(accuracy).all() else row | {"note": f"{budget} of trials that were trained are missing: no budget is known"}
    # A proposal slightly more expensive than the budget due to timing noise still fits.
    # clip(1): at least one proposal is needed for a result, even if it costs more than the budget.
    fits = (price <= 1.01 * limit[:, None]).sum(axis=1).clip(1)
    reached = np.take_along_axis(search.best_so_far(), fits[:, None] - 1, axis=1)[:, 0]
    own = np.stack([np.take_along_axis(search.charged(unit), fits[:, None] - 1, axis=1)[:, 0] for unit in _COSTS], axis=1)
    row = _row(np.stack([reached, accuracy])[:, kept], [own[kept], budgets[kept]], seeds)
    row["architectures"] = len(np.unique(member[kept[owner]]))
    return row
