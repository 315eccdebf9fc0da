"""What each tuner costs and reaches: tuned algorithms by charged cost, compared with the baseline, such as a fixed recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd

from agd_bench.analysis.scores import GROUP

Reach = Literal["reaches", "misses", "cannot tell"]
MARGIN = 0.02
"""Test accuracy, a share, that a tuner may lose against the baseline and still reach it; that of the proposed claims."""
SETTINGS = ["algorithm_name", "sampler", "pruner", "tuning_scope", "tuning_trials"]
_RESULTS = ["accuracy", "difference", "difference_low", "difference_high", "reach", "cost_ratio", "stopped"]


def compare_tuners(trials: pd.DataFrame, standings: pd.DataFrame, tuners: Mapping[str, Mapping[str, Any]], baseline: str) -> pd.DataFrame:
    """Tuned algorithms, the cheapest first.

    Args:
        trials: the table of trials.
        standings: `analysis.standings` of them, with `cost_ratio`.
        tuners: the `SETTINGS` of each tuned algorithm, by label.
        baseline: label of the baseline.

    Returns:
        One row per group and tuned algorithm, by cost: `search_space`, `dataset`, `profile`, `algorithm`; the `SETTINGS`; `accuracy`,
        `difference` (to the baseline), `difference_low`, `difference_high`, `cost_ratio` as in `standings`; `reach` (`reaches`: the
        interval of the difference lies above −`MARGIN`; `misses`: below 0; else `cannot tell`); `stopped` (share of the ended tuning
        trials that the pruner stopped). The baseline, if tuned, has no difference.

    >>> shared = {"search_space": "s", "dataset": "d", "profile": "p"}
    >>> table = pd.DataFrame([{**shared, "algorithm": name, "accuracy": 0.9, "difference": 0.0, "difference_low": low,
    ...     "difference_high": 0.01, "cost_ratio": cost} for name, low, cost in (("tpe", -0.01, 8.0), ("random", -0.1, 4.0))])
    >>> trials = pd.DataFrame({**shared, "algorithm": "tpe", "purpose": "tuning", "status": ["done", "pruned"]})
    >>> settings = dict.fromkeys(SETTINGS, "x")
    >>> found = compare_tuners(trials, table, {"tpe": settings, "random": settings}, "sgd")
    >>> found[["algorithm", "reach", "stopped"]].values.tolist()
    [['random', 'cannot tell', nan], ['tpe', 'reaches', 0.5]]
    """
    own = standings[standings["algorithm"].isin(list(tuners))]
    ended = trials[(trials["purpose"] == "tuning") & ~trials["status"].isin(["pending", "running"])].astype(dict.fromkeys(GROUP, "str"))
    stopped = ended.assign(stopped=ended["status"] == "pruned").groupby([*GROUP, ended["algorithm"].astype(str)])["stopped"].mean()
    rows = [
        {**{name: row[name] for name in [*GROUP, "algorithm"]}, **tuners[row["algorithm"]], "reach": reach(row, baseline)}
        | {name: row[name] for name in _RESULTS if name in row}
        | {"stopped": stopped.get((*(str(row[name]) for name in GROUP), row["algorithm"]), float("nan"))}
        for row in own.to_dict("records")
    ]
    table = pd.DataFrame(rows, columns=[*GROUP, "algorithm", *SETTINGS, *_RESULTS])
    order = table.groupby(GROUP, sort=False).ngroup()
    return table.assign(order=order).sort_values(["order", "cost_ratio"], kind="stable").drop(columns="order").reset_index(drop=True)


def reach(row: Mapping[Any, Any], baseline: str) -> Reach | None:
    """Whether a tuned algorithm reaches the accuracy of the baseline; None for the baseline itself."""
    if row["algorithm"] == baseline:
        return None
    return "reaches" if row["difference_low"] >= -MARGIN else "misses" if row["difference_high"] < 0 else "cannot tell"
