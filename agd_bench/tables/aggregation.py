"""All tables computed from the raw rows, for reports, publication and verification."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from agd_bench import analysis
from agd_bench.analysis import GROUP, comparison_groups, trained_rows
from agd_bench.analysis.costs.charges import cost_ratio
from agd_bench.analysis.rankings.kernels import in_threads
from agd_bench.analysis.rows import group_rows
from agd_bench.analysis.scores import shared_work
from agd_bench.records import AdaptiveSeeds
from agd_bench.store import Results, planned_counts
from agd_bench.studies import STUDIES

RESAMPLED = 4_000_000
"""Largest total number of architectures drawn over all resamples of an interval."""
FEWEST_RESAMPLES, MOST_RESAMPLES = 200, 1000
Compute = Callable[[pd.DataFrame, Results], pd.DataFrame]
Compare = Callable[..., pd.DataFrame]
"""Function of the trials of two algorithms, the baseline's label and the challenger's label."""
WHOLE: dict[str, Compute] = {
    "accuracy": lambda trials, results: analysis.accuracy_table(trials),
    "standings": lambda trials, results: analysis.standings(trials, results.sweep.baseline_label, resamples=resamples_of(trials)),
    "pairwise_differences": lambda trials, results: analysis.pairwise_differences(trials, resamples=resamples_of(trials)),
    "critical_difference": lambda trials, results: analysis.critical_difference(trials),
    "cost": lambda trials, results: analysis.charged_cost(trials, results.sweep.baseline_label, attempts=results.attempts),
    "cost_by_architecture": lambda trials, results: analysis.charged_cost(trials, results.sweep.baseline_label, True, results.attempts),
    "lanes": lambda trials, results: analysis.seconds_by_lane(trials, results.attempts, results.sweep.baseline_label),
    "anytime_curves": lambda trials, results: analysis.anytime_curves(trials, random_algorithms=random_algorithms(results)),
    "search_bands": lambda trials, results: analysis.search_bands(trials, random_algorithms(results)),
    "scope_bias": lambda trials, results: analysis.scope_bias(trials, results.sweep, resamples=resamples_of(trials)),
    "calibrations": lambda trials, results: analysis.calibrations(
        trials, [choice.label for choice in results.sweep.algorithms if choice.tuning_scope == "sweep"]
    ),
    "ranks": lambda trials, results: analysis.rank_architectures(trials),
    # The shift test always draws 1,000 signs; with fewer, its p-values could not survive a correction.
    "kendall_tau": lambda trials, results: analysis.kendall_tau(trials, resamples=resamples_of(trials), flips=MOST_RESAMPLES),
    "top_k_overlap": lambda trials, results: analysis.top_k_overlap(trials),
    "transfer_regret": lambda trials, results: analysis.transfer_regret(trials, resamples=resamples_of(trials)),
    "variance_components": lambda trials, results: analysis.variance_components(trials),
    "learning_curves": lambda trials, results: analysis.accuracy_by_epoch(trials, results.curves),
    "step_summaries": lambda trials, results: analysis.step_summaries(trials, results.diagnostics),
    "layer_steps": lambda trials, results: analysis.layer_steps(trials, results.diagnostics),
    "order_decisions": lambda trials, results: _order_decisions(trials, results),
    "decreases": lambda trials, results: analysis.decreases(trials, results.diagnostics, results.attempts),
    "budget_agreement": lambda trials, results: analysis.budget_agreement(
        trials, budgets_of(results), resamples=resamples_of(trials), flips=MOST_RESAMPLES
    ),
    "budget_proxies": lambda trials, results: analysis.budget_proxies(
        trials, results.curves, budgets_of(results), results.sweep.baseline_label, resamples=resamples_of(trials)
    ),
}
"""Tables computed from all trials, by name. To add a table, add a line here or below."""
IF_ANY = ("calibrations", "lanes", "decreases", "order_decisions", "budget_agreement", "budget_proxies", "tuners")
"""Tables that are left out if they are empty, because few sweeps produce them."""
OF_PUBLISHED: dict[str, Compute] = {
    "published_agreement": lambda trials, results: analysis.published_agreement(trials, results.published, resamples=resamples_of(trials)),
    "published_top": lambda trials, results: analysis.published_top(trials, results.published, resamples=resamples_of(trials)),
    "published_ranks": lambda trials, results: analysis.published_ranks(trials, results.published),
    "published_regret": lambda trials, results: analysis.published_regret(trials, results.published, resamples=resamples_of(trials)),
}
"""Tables computed if the authors of a search space published accuracies of its architectures."""
BY_CHALLENGER: dict[str, Compare] = {
    "accuracy_difference": lambda trials, baseline, challenger: analysis.accuracy_difference(trials, baseline, challenger),
    "rank_shift": lambda trials, baseline, challenger: analysis.rank_shift(trials, baseline, challenger),
    "kendall_tau_top_decile": lambda trials, baseline, challenger: _between(
        analysis.kendall_tau(trials, resamples=resamples_of(trials), subset="top-decile")
    ),
}
"""Tables computed for each challenger and the baseline from the trials of the two."""
BY_FEATURES: dict[str, Compare] = {
    # Twice as many, because its permutation p-values are corrected (Holm) over all features.
    "interaction_drivers": lambda trials, baseline, challenger, features: analysis.interaction_drivers(
        trials, baseline, challenger, features, resamples=2 * resamples_of(trials)
    ),
    "interaction_explained": lambda trials, baseline, challenger, features: analysis.interaction_explained(
        trials, baseline, challenger, features
    ),
}
"""The same, for tables that also use the features provided by the search spaces' plug-ins."""
BY_TUNED: dict[str, Compare] = {"crossover": analysis.find_crossovers, "cost_views": analysis.cost_views}
"""Tables computed for each pair of a tuned and a self-tuning algorithm from the trials of the two."""
CODED = (*GROUP, "algorithm")
"""Columns with few distinct texts, handled as categories while the tables are computed."""
MOST_CODED = 127
"""Largest number of distinct texts in such a column, for one-byte codes; pandas 3.1 cannot align indices with codes of other widths."""


def aggregates(results: Results) -> dict[str, pd.DataFrame]:
    """Compute the tables of `analysis` for all comparison groups, with algorithms in the sweep's order.

    For an unfinished run, the tables cover its complete cases (`analysis.complete_cases`), except the table of failures.

    Returns:
        Tables by name: those of `WHOLE`; those of `OF_PUBLISHED` if there are published accuracies; those of `STUDIES` that have rows;
        those of `BY_CHALLENGER` and `BY_FEATURES` with the columns `baseline` and `challenger` after the group's columns; `crossover` and
        `cost_views` of every tuned against every self-tuning algorithm; `reference_targets` (the quartiles set by the baseline), and
        `performance_profiles` and `speed_ups` of the times to reach them, with the unit in the column `time`; `progress` for an unfinished
        run.
    """
    begun, complete = compared_trials(results)
    trials = trained_rows(complete)  # results of equal networks count once
    rows = {str(label): places for label, places in trials.groupby("algorithm", sort=False).indices.items()}

    def of(*labels: str) -> pd.DataFrame:
        # Keep the order of the plan; otherwise the architectures would appear in a different order.
        return trials.iloc[np.sort(np.concatenate([rows[label] for label in labels]))]

    baseline = results.sweep.baseline_label
    with shared_work():
        tables = {name: compute(trials, results) for name, compute in WHOLE.items()}
        if len(results.published):
            tables |= {name: compute(trials, results) for name, compute in OF_PUBLISHED.items()}
        tables["standings"] = with_costs(tables, results.sweep.baseline_label)
        tables["tuners"] = analysis.compare_tuners(trials, tables["standings"], _tuners(results), results.sweep.baseline_label)
        tables["ranking_decisions"] = analysis.ranking_decisions(tables["kendall_tau"], results.sweep.baseline_label)
        for study in STUDIES:
            tables |= {name: table for name, table in study.tables(trials, results).items() if len(table)}
        # From all trials that have started, not only complete cases, so failures are visible at once.
        tables["failures"] = failures(trained_rows(begun))
        times = _times(trials, results)
    if (~begun["status"].isin(analysis.UNDER_WAY)).sum() < planned_counts(results)["planned"].sum():
        tables["progress"] = progress(results, begun, complete)
    pairs = [(baseline, label) for label in challengers(results) if {baseline, label} <= rows.keys()]
    stated = _stated_features(results)
    compared = BY_CHALLENGER | {name: functools.partial(compare, features=stated) for name, compare in BY_FEATURES.items()}
    tables |= _by_pair({name: _naming(compare) for name, compare in compared.items()}, pairs, of)
    tuned = [label for label in rows if (of(label)["purpose"] == "tuning").any()]
    # A crossover is between a tuned and a self-tuning algorithm.
    paired = [(ours, theirs) for ours in tuned for theirs in rows if theirs not in tuned]
    searching = random_algorithms(results)
    tables |= _by_pair({name: functools.partial(compute, random_algorithms=searching) for name, compute in BY_TUNED.items()}, paired, of)
    return {name: decoded(table) for name, table in (tables | times).items() if len(table) or name not in IF_ANY}


def compared_trials(results: Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the trials that have started, in the sweep's order, and the complete cases among them. Names are categories."""
    begun = _coded(in_sweep_order(results))
    return begun, analysis.complete_cases(begun)


def _stated_features(results: Results) -> pd.DataFrame | None:
    """One row per search space and architecture, one column per feature; None if no plug-in provides features."""
    if results.features.empty:
        return None
    return results.features.pivot(index=["search_space", "architecture"], columns="feature", values="value")


def with_costs(tables: Mapping[str, pd.DataFrame], baseline: str) -> pd.DataFrame:
    """The standings with `cost_ratio`: charged FLOPs as a multiple of the baseline's on the same architectures, NaN if unknown."""
    ratios = []
    for group, rows in comparison_groups(tables["standings"]):
        own = {name: group_rows(tables[name], group) for name in ("ranks", "cost_by_architecture")}
        ratios += [cost_ratio(own, baseline, str(label)).ratio for label in rows["algorithm"]]
    return tables["standings"].assign(cost_ratio=np.array(ratios, dtype=np.float64))


def _order_decisions(trials: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Decisions of adaptive sweeps; empty if every architecture gets every seed."""
    rule = results.sweep.adaptive_seeds
    return analysis.order_decisions(trials.iloc[:0] if rule is None else trials, rule or AdaptiveSeeds())


def _by_pair(computed: Mapping[str, Compare], pairs: list[tuple[str, str]], of: Callable[..., pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Tables of pairs of algorithms, pair by pair."""

    def compute(pair: tuple[str, str]) -> dict[str, pd.DataFrame]:
        trials = of(*pair)
        with shared_work():
            # Shared only within one pair, and freed before the next pair.
            return {name: compare(trials, *pair) for name, compare in computed.items()}

    # pandas sets and resets warning filters, which is not safe in threads; restore the previous state here.
    with warnings.catch_warnings():
        # Threads are effective because numpy and the compiled kernels release the GIL.
        found = in_threads(lambda place: compute(pairs[place]), len(pairs)) if pairs else []
    return {name: _stack([tables[name] for tables in found]) for name in computed}


def _coded(trials: pd.DataFrame) -> pd.DataFrame:
    """Convert names that occur in thousands of rows to categories."""
    # Grouping a million texts takes far longer. Categories are in text order, so sorting by category is sorting by text.
    return trials.astype({column: "category" for column in CODED if trials[column].nunique() <= MOST_CODED})


def decoded(table: pd.DataFrame) -> pd.DataFrame:
    """Convert categories back to text; in tables merged with text they have become objects."""
    merged = [name for name in CODED if name in table and len(table)]
    coded = [name for name in table if isinstance(table[name].dtype, pd.CategoricalDtype)]
    return table.astype(dict.fromkeys([*merged, *coded], "str"))


def resamples_of(trials: pd.DataFrame) -> int:
    """Number of resamples for intervals: 1,000, and fewer for large comparisons, which have narrow intervals."""
    # 256 for 15,625 architectures bounds the time of a report of a million rows; with 256, coverage varies between 93 and 97 % by chance.
    return int(np.clip(RESAMPLED // max(1, trials["architecture"].nunique()), FEWEST_RESAMPLES, MOST_RESAMPLES))


def _tuners(results: Results) -> dict[str, dict[str, object]]:
    """Settings of the tuned algorithms by label."""
    names = ("sampler", "pruner", "tuning_scope", "tuning_trials")
    tuned = [choice for choice in results.sweep.algorithms if choice.tuning_trials]
    return {choice.label: {"algorithm_name": choice.name} | {name: getattr(choice, name) for name in names} for choice in tuned}


def budgets_of(results: Results) -> dict[str, tuple[str, int]]:
    """Name and epochs of each data set that a sweep trains on for several budgets, by label."""
    return {choice.label: (choice.name, choice.epochs) for choice in results.sweep.datasets if choice.epochs is not None}


def random_algorithms(results: Results) -> tuple[str, ...]:
    """Labels of the algorithms with independent proposals whose cost does not depend on their order."""
    return tuple(choice.label for choice in results.sweep.algorithms if choice.sampler == "random" and choice.pruner == "none")


def _naming(compare: Compare) -> Compare:
    """The same computation, with the labels of the pair after the group's columns."""

    def compare_and_name(trials: pd.DataFrame, *pair: str) -> pd.DataFrame:
        table = compare(trials, *pair)
        for place, (column, label) in enumerate(zip(("baseline", "challenger"), pair, strict=True), len(GROUP)):
            table.insert(place, column, label)
        return table

    return compare_and_name


def _between(agreement: pd.DataFrame) -> pd.DataFrame:
    """Drop the agreement of algorithms with themselves, which is already in the pair's noise ceiling."""
    return agreement[agreement["algorithm"] != agreement["other"]].reset_index(drop=True)


def _stack(found: list[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate tables; without any, return an empty table with only the group's columns."""
    filled = [table for table in found if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else found[0] if found else pd.DataFrame(columns=GROUP)


def _times(trials: pd.DataFrame, results: Results) -> dict[str, pd.DataFrame]:
    """Time to reach the baseline's accuracies, in FLOPs if every trial has them, otherwise in seconds."""
    baseline = results.sweep.baseline_label
    if baseline not in set(trials["algorithm"]):
        return {}
    targets = analysis.reference_targets(trials, baseline)
    if targets.empty:
        return {"reference_targets": targets}
    times = analysis.measure_time_to_target(trials, results.curves, targets)
    # One unit for all, because a profile cannot compare FLOPs with seconds.
    time = "seconds" if times["flops"].isna().any() else "flops"
    return {
        "reference_targets": targets,
        "performance_profiles": analysis.profile_performance(times, time, resamples=resamples_of(trials)).assign(time=time),
        "speed_ups": analysis.speed_ups(times, baseline, time, resamples=resamples_of(trials)).assign(time=time),
    }


def progress(results: Results, begun: pd.DataFrame, compared: pd.DataFrame) -> pd.DataFrame:
    """Progress of every comparison group of an unfinished run, and the part that can be compared.

    Args:
        results: the raw rows.
        begun: their table of trials that have started.
        compared: the complete cases of that table.

    Returns:
        One row per group: `search_space`, `dataset`, `profile`; `planned` and `ended` (numbers of trials), `compared` (ended trials that
        are in the tables), `algorithms` and `ahead` (algorithms with an ended final trial), `architectures` (trained by all of the latter
        from at least one seed), `cases` (pairs of architecture and seed that they have trained) and `named` (these architectures and those
        that reuse their results).
    """
    planned = planned_counts(results).groupby(GROUP, sort=False)["planned"].sum()

    def ended(trials: pd.DataFrame) -> pd.Series[int]:
        return trials[~trials["status"].isin(analysis.UNDER_WAY)].groupby(GROUP, sort=False, observed=True).size()

    # A group without a complete case keeps its rows, which then cover fewer algorithms than have started.
    groups = list(comparison_groups(compared))
    counts = [{**analysis.count_cases(trained_rows(rows)), "named": analysis.count_cases(rows)["architectures"]} for _, rows in groups]
    cases = pd.DataFrame(counts, index=pd.MultiIndex.from_tuples([group for group, _ in groups], names=GROUP))
    table = pd.DataFrame({"planned": planned, "ended": ended(begun), "compared": ended(compared)})
    return table.join(cases).fillna(0).astype("int64").loc[planned.index].reset_index()


def in_sweep_order(results: Results) -> pd.DataFrame:
    """Sort the trials by algorithm in the sweep's order; within an algorithm, in plan order."""
    trials = results.trials
    places = {choice.label: place for place, choice in enumerate(results.sweep.algorithms)}
    # Sort by key with a stable sort, so ties keep the order of the plan.
    order = trials["algorithm"].map(places).fillna(len(places)).argsort(kind="stable")
    groups = {key: place for place, (key, _) in enumerate(comparison_groups(trials))}
    ordered = trials.iloc[order]
    keys = pd.Series([groups[key] for key in ordered[GROUP].itertuples(index=False, name=None)], index=ordered.index, dtype="int64")
    return ordered.iloc[keys.argsort(kind="stable")].reset_index(drop=True)


def challengers(results: Results) -> list[str]:
    """Labels of all algorithms except the baseline, in the sweep's order."""
    return [choice.label for choice in results.sweep.algorithms if choice.label != results.sweep.baseline_label]


def failures(trials: pd.DataFrame) -> pd.DataFrame:
    """Unsuccessful trials, grouped by reason.

    Returns:
        One row per group, algorithm, purpose, status and reason: `search_space`, `dataset`, `profile`, `algorithm`, `purpose`,
        `status`, `reason`; `trials` (how many), `architectures` (how many different), `example` (the architecture of the first),
        `charged_seconds` (their sum).
    """
    ended = trials[trials["status"].isin(["diverged", "failed", "refused", "pruned"])]
    keys = [*GROUP, "algorithm", "purpose", "status", "reason"]
    grouped = ended.assign(reason=ended["reason"].fillna("")).groupby(keys, sort=False)
    table = grouped.agg(
        trials=("architecture", "size"),
        architectures=("architecture", "nunique"),
        example=("architecture", "first"),
        charged_seconds=("charged_seconds", "sum"),
    )
    return table.reset_index()
