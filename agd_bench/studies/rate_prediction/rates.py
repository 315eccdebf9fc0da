"""Learning rates that are predicted from graphs, and those that a grid search found.

Reference:
    W. Chen, J. Wu, Z. Wang and B. Hanin, "Principled Architecture-aware Scaling of Hyperparameters", ICLR 2024, section 4.1.
"""

from __future__ import annotations

import itertools
import json

import pandas as pd

from agd_bench.analysis.scores import GROUP
from agd_bench.records import Sweep

PAIR = ["predicted", "searched"]
RATES = ["predicted_rate", "searched_rate"]


def predicted_rates(trials: pd.DataFrame, factors: pd.DataFrame, sweep: Sweep) -> pd.DataFrame:
    """The learning rate that was predicted for each architecture, and the one that its own grid search found.

    Both follow from the base rates that the studies chose and from the graphs.

    Args:
        trials: the table of trials.
        factors: by what an algorithm multiplies a base rate, and the signal, the table `rate_factors` of `store`.
        sweep: what was asked; of the algorithms with factors, those tuned once for the search space predict, those tuned for each
            architecture search.

    Returns:
        One row per group, pair of such algorithms and architecture: `search_space`, `dataset`, `profile`, `predicted`, `searched` (their
        labels), `architecture`, `predicted_rate`, `searched_rate` (above 0; NaN where no study has chosen yet), `at_grid_end` (whether
        the searched one comes of the grid's first or last base rate, so that the true one may lie beyond), and `searched_rate_of_SEED`,
        what the search finds by the tuning trials of that seed alone (NaN where none of them was trained to its end); `signal` (mean
        square of the classifier's input at the start).
    """
    scopes = {choice.label: choice.tuning_scope for choice in sweep.algorithms if choice.label in set(factors["algorithm"])}
    of_scope = {scope: [label for label, one in scopes.items() if one == scope] for scope in ("search-space", "architecture")}
    tables = {label: _rates(trials[trials["algorithm"] == label], factors[factors["algorithm"] == label]) for label in scopes}
    found = []
    for predicted, searched in itertools.product(of_scope["search-space"], of_scope["architecture"]):
        # The paper's rule: one base rate tuned for the space, times the graph's factor.
        first = tables[predicted][[*GROUP, "architecture", "rate"]].rename(columns={"rate": "predicted_rate"})
        second = tables[searched].rename(columns={"rate": "searched_rate"})
        signals = factors[factors["algorithm"] == searched][["search_space", "architecture", "signal"]]
        second = second.merge(signals, on=["search_space", "architecture"], validate="many_to_one")
        both = first.merge(second, on=[*GROUP, "architecture"], validate="one_to_one")
        found.append(both.assign(predicted=predicted, searched=searched))
    columns = [*GROUP, *PAIR, "architecture", *RATES, "at_grid_end", "signal"]
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)
    return table[[*columns, *rates_by_seed(table)]].astype(dict.fromkeys(RATES, float))


def rates_by_seed(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table if str(name).startswith("searched_rate_of_")]


def _rates(own: pd.DataFrame, factors: pd.DataFrame) -> pd.DataFrame:
    """Rates of one algorithm: base rates times factors."""
    # Diverged trials stay: a predicted rate may be too large to train with, and leaving it out would flatter the rule.
    final = own[(own["purpose"] == "final") & (own["status"] != "refused")].drop_duplicates([*GROUP, "architecture"])
    table = final[[*GROUP, "architecture", "study"]].assign(base=final["hyperparameters"].map(_base_rate).astype(float))
    table = table.merge(factors[["search_space", "architecture", "factor"]], on=["search_space", "architecture"], validate="many_to_one")
    tuning = own[own["purpose"] == "tuning"]
    tuning = tuning.assign(base=tuning["hyperparameters"].map(_base_rate).astype(float))
    # The best rate may lie beyond the grid.
    ends = (tuning["base"].min(), tuning["base"].max())
    alone = {f"searched_rate_of_{seed}": table["study"].map(_chosen(rows)) * table["factor"] for seed, rows in tuning.groupby("seed")}
    found = table.assign(rate=table["base"] * table["factor"], at_grid_end=table["base"].isin(ends), **alone)
    return found.drop(columns=["study", "base", "factor"])


def _base_rate(hyperparameters: object) -> float:
    value = json.loads(hyperparameters).get("base_rate") if isinstance(hyperparameters, str) else None
    return float("nan") if value is None else float(value)


def _chosen(rows: pd.DataFrame) -> pd.Series[float]:
    """Of each study, the largest base rate with the smallest training loss; studies without a finished trial are left out."""
    # Of equal losses the largest rate, as the paper chooses.
    done = rows[(rows["status"] == "done") & rows["train_loss"].notna()].sort_values(["train_loss", "base"], ascending=[True, False])
    return done.groupby("study")["base"].first()
