"""Analysis of results: accuracy, charged cost, ranks and their shifts against seed noise. Takes and returns DataFrames."""

from agd_bench.analysis.accuracy import accuracy_difference, accuracy_table
from agd_bench.analysis.adaptive_seeds import next_seeds, order_decisions
from agd_bench.analysis.costs.charges import charged_cost
from agd_bench.analysis.costs.crossover import find_crossovers
from agd_bench.analysis.costs.equal_budgets import cost_views
from agd_bench.analysis.costs.lanes import seconds_by_lane
from agd_bench.analysis.costs.performance_profiles import profile_performance, speed_ups
from agd_bench.analysis.costs.time_to_target import measure_time_to_target, reference_targets
from agd_bench.analysis.costs.tuners import compare_tuners
from agd_bench.analysis.costs.tuning_curves import anytime_curves, search_bands
from agd_bench.analysis.costs.tuning_scopes import calibrations, scope_bias
from agd_bench.analysis.features import architecture_features
from agd_bench.analysis.interactions import interaction_drivers, interaction_explained
from agd_bench.analysis.partial_runs import UNDER_WAY, complete_cases, count_cases
from agd_bench.analysis.places import pairwise_differences, standings
from agd_bench.analysis.posthoc import critical_difference
from agd_bench.analysis.rankings.budgets import budget_agreement, budget_proxies
from agd_bench.analysis.rankings.decision import ranking_decisions
from agd_bench.analysis.rankings.kendall import kendall_tau
from agd_bench.analysis.rankings.power import DesignCost, pilot_reliabilities, power_table, shift_of_gap, sufficient_designs
from agd_bench.analysis.rankings.published import published_agreement, published_ranks, published_regret, published_top
from agd_bench.analysis.rankings.ranks import rank_architectures, rank_shift
from agd_bench.analysis.rankings.regret import transfer_regret
from agd_bench.analysis.rankings.top_k import top_k_overlap
from agd_bench.analysis.scores import GROUP, METRICS, comparison_groups, trained_rows
from agd_bench.analysis.training_curves import accuracy_by_epoch, decreases, layer_steps, step_summaries, total_decreases
from agd_bench.analysis.variance import variance_components

__all__ = [
    "GROUP",
    "METRICS",
    "UNDER_WAY",
    "DesignCost",
    "accuracy_by_epoch",
    "accuracy_difference",
    "accuracy_table",
    "anytime_curves",
    "architecture_features",
    "budget_agreement",
    "budget_proxies",
    "calibrations",
    "charged_cost",
    "compare_tuners",
    "comparison_groups",
    "complete_cases",
    "cost_views",
    "count_cases",
    "critical_difference",
    "decreases",
    "find_crossovers",
    "interaction_drivers",
    "interaction_explained",
    "kendall_tau",
    "layer_steps",
    "measure_time_to_target",
    "next_seeds",
    "order_decisions",
    "pairwise_differences",
    "pilot_reliabilities",
    "power_table",
    "profile_performance",
    "published_agreement",
    "published_ranks",
    "published_regret",
    "published_top",
    "rank_architectures",
    "rank_shift",
    "ranking_decisions",
    "reference_targets",
    "scope_bias",
    "search_bands",
    "seconds_by_lane",
    "shift_of_gap",
    "speed_ups",
    "standings",
    "step_summaries",
    "sufficient_designs",
    "top_k_overlap",
    "total_decreases",
    "trained_rows",
    "transfer_regret",
    "variance_components",
]
