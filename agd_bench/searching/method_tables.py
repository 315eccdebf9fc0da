"""What a campaign shows: regret of each method, places, improvement over the average architecture, and whether rankings change.

Regret is the test accuracy of the table's best architecture minus that of the architecture that a search found, both trained by the
algorithm that is deployed, for the most epochs, as the mean over seeds. The relative improvement over the average architecture separates
the search from the search space and the training.

References:
    A. Yang, P. M. Esperança and F. M. Carlucci, "NAS evaluation is frustratingly hard", ICLR 2020 (relative improvement).
    M. Mogstad, J. P. Romano, A. M. Shaikh and D. Wilhelm, "Inference for ranks with applications to mobility across neighbourhoods and
    academic achievement across countries", Review of Economic Studies, 2024 (places from simultaneous intervals of differences).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from agd_bench.analysis import kendall_tau, ranking_decisions
from agd_bench.analysis.bootstrap import FEWEST_FOR_INTERVAL
from agd_bench.analysis.inference import mean_interval
from agd_bench.searching.campaign import POINTS, Campaign, Outcome, Outcomes, Setting
from agd_bench.tabular import Key
from agd_bench.tabular.benchmark import Floats

FEWEST_RUNS = 100
"""Runs below which a method is not ranked, if others have more."""
SEARCHED = "trained as searched"


def compare_methods(campaign: Campaign, outcomes: Outcomes, deploy: Key | None = None) -> dict[str, pd.DataFrame]:
    """Compare search methods.

    Args:
        campaign: what was run.
        outcomes: what it came to.
        deploy: how the found architectures are trained in the end; its data set is ignored. Default: the table's baseline, longest.

    Returns:
        `methods`: one row per setting, method and deployment (by the algorithm that was searched on, and by `deploy`): `setting`, `method`,
        `deployed`, `runs`, `trainings` (mean of a run), `budget_seconds` (simulated), `accuracy` (test, mean over runs), `regret`,
        `regret_low`, `regret_high` (95 % t interval over runs), `relative_improvement` (over the mean of all architectures, a share of it),
        `place`, `place_low`, `place_high` (simultaneous 95 % interval; NaN: not ranked), `real_seconds`, `reason` (why it failed; it then
        counts as accuracy 0).
        `anytime`: `setting`, `method`, `seconds` (simulated), `regret`, `regret_low`, `regret_high`, deployed by `deploy`; from the first
        time at which all runs know an architecture.
        `agreement` and `decisions`: `kendall_tau` and `ranking_decisions` with settings in the role of algorithms, methods in that of
        architectures and runs in that of seeds; each setting by the regret of its own deployment.
    """
    deploy = deploy or campaign.table.key(dataset=campaign.settings[0].key.dataset)
    ranked = _ranked_runs(campaign, outcomes)
    rows: list[dict[str, Any]] = []
    anytime: list[dict[str, Any]] = []
    trials: list[pd.DataFrame] = []
    for setting in campaign.settings:
        chosen = deploy._replace(dataset=setting.key.dataset)
        own = campaign.table.key(setting.key.algorithm, setting.key.dataset)
        for key in dict.fromkeys((own, chosen)):
            deployed = _test_means(campaign, key)
            found = _trials(campaign, outcomes, setting, deployed, ranked)
            rows += _rows(campaign, outcomes, setting, key, deployed, _places(found))
            trials += [found.assign(algorithm=str(setting.key))] if key == own else []
        anytime += _anytime(campaign, outcomes, setting, _test_means(campaign, chosen))
    agreement = kendall_tau(pd.concat(trials, ignore_index=True), resamples=200)
    reference = str(next((s.key for s in campaign.settings if s.key == deploy), campaign.settings[0].key))
    return {
        "methods": pd.DataFrame(rows),
        "anytime": pd.DataFrame(anytime),
        "agreement": agreement,
        "decisions": ranking_decisions(agreement, reference),
    }


def _test_means(campaign: Campaign, key: Key) -> Floats:
    """Test accuracy of each kept architecture, a mean over seeds; NaN without any."""
    test = campaign.table.cells[key].test_accuracy[campaign.kept]
    known = ~np.isnan(test)
    return np.asarray(np.where(known.any(axis=1), np.where(known, test, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1), np.nan))


def _ranked_runs(campaign: Campaign, outcomes: Outcomes) -> dict[str, int]:
    """The methods that are ranked, each with the runs that all of them have on every setting."""
    counts = {
        method: min((o.runs for s in campaign.settings if not (o := outcomes[method, s.key]).reason), default=campaign.runs)
        for method in campaign.methods
    }
    enough = {method: count for method, count in counts.items() if count >= min(FEWEST_RUNS, campaign.runs)}
    return dict.fromkeys(enough, min(enough.values(), default=0))


def _trials(campaign: Campaign, outcomes: Outcomes, setting: Setting, deployed: Floats, ranked: dict[str, int]) -> pd.DataFrame:
    """Final accuracies as a table of trials: a method is an architecture, a run its seed."""
    parts = []
    for method, runs in ranked.items():
        outcome = outcomes[method, setting.key]
        accuracy = np.zeros(runs) if outcome.reason else _final(outcome, deployed)[:runs]
        rows = {"architecture": method, "seed": range(runs), "test_accuracy": accuracy}
        parts.append(pd.DataFrame(rows).assign(status="failed" if outcome.reason else "done"))
    about = {"search_space": campaign.table.search_space, "dataset": "all", "profile": "all", "purpose": "final", "algorithm": ""}
    return pd.concat(parts, ignore_index=True).assign(**about)


def _final(outcome: Outcome, deployed: Floats) -> Floats:
    return np.asarray(deployed[np.concatenate(outcome.picks)[:, -1]])


def _places(found: pd.DataFrame) -> pd.DataFrame:
    """Places of the methods, by simultaneous t intervals of all differences, paired by run, after Bonferroni.

    The bootstrap of `analysis.standings` has no interval where most runs of two methods end with one and the same architecture.
    """
    wide = found.pivot(index="seed", columns="architecture", values="test_accuracy")
    values, (runs, count) = wide.to_numpy(dtype=np.float64), wide.shape
    differences = values[:, :, None] - values[:, None, :]  # (runs, methods, methods)
    pairs = max(1, count * (count - 1) // 2)
    reach = scipy.stats.t.ppf(1 - 0.025 / pairs, runs - 1) * differences.std(axis=0, ddof=1) / np.sqrt(runs)
    better = (differences.mean(axis=0) - reach > 0).sum(axis=1), (differences.mean(axis=0) + reach < 0).sum(axis=1)
    enough = runs >= FEWEST_FOR_INTERVAL
    places = {
        "place": scipy.stats.rankdata(-values.mean(axis=0).round(9), method="min"),
        "place_low": 1 + better[1] if enough else np.nan,
        "place_high": count - better[0] if enough else np.nan,
    }
    return pd.DataFrame(places, index=wide.columns)


def _rows(
    campaign: Campaign, outcomes: Outcomes, setting: Setting, key: Key, deployed: Floats, places: pd.DataFrame
) -> Iterator[dict[str, Any]]:
    for method in campaign.methods:
        outcome = outcomes[method, setting.key]
        failed = bool(outcome.reason)
        accuracies = np.full(2, np.nan) if failed or not outcome.runs else _final(outcome, deployed)
        regret = np.nanmax(deployed) - accuracies
        low, high = mean_interval(regret)
        placed = {name: places.loc[method, name] if method in places.index else np.nan for name in ("place", "place_low", "place_high")}
        yield {
            "setting": str(setting.key),
            "method": method,
            "deployed": f"{key.algorithm}@{key.epochs}",
            "runs": outcome.runs,
            "trainings": np.nan if failed else float(np.concatenate(outcome.trainings).mean()),
            "budget_seconds": setting.budget_seconds,
            "accuracy": float(accuracies.mean()),
            "regret": float(regret.mean()),
            "regret_low": low,
            "regret_high": high,
            "relative_improvement": float(accuracies.mean() / np.nanmean(deployed) - 1),
            **placed,
            "real_seconds": outcome.real_seconds,
            "reason": outcome.reason,
        }


def _anytime(campaign: Campaign, outcomes: Outcomes, setting: Setting, deployed: Floats) -> Iterator[dict[str, Any]]:
    for method in campaign.methods:
        outcome = outcomes[method, setting.key]
        if outcome.reason or not outcome.runs:
            continue
        picks = np.concatenate(outcome.picks)
        for point in np.flatnonzero((picks >= 0).all(axis=0)).tolist():
            regret = np.nanmax(deployed) - deployed[picks[:, point]]
            low, high = mean_interval(regret)
            seconds = setting.budget_seconds * (point + 1) / POINTS
            yield {
                "setting": str(setting.key),
                "method": method,
                "seconds": seconds,
                "regret": float(regret.mean()),
                "regret_low": low,
                "regret_high": high,
            }
