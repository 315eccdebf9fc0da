"""Results in, answers out: accuracy, charged cost, ranks and their shifts against seed noise. DataFrames in, DataFrames out."""

from agd_bench.analysis.accuracy import accuracy_difference, accuracy_table
from agd_bench.analysis.agreement import kendall_tau
from agd_bench.analysis.allocating import next_seeds, order_decisions
from agd_bench.analysis.budgeting import cost_views
from agd_bench.analysis.calibrating import calibrations
from agd_bench.analysis.charging import charged_cost
from agd_bench.analysis.citing import published_agreement, published_ranks, published_regret, published_sentence, published_top
from agd_bench.analysis.completing import UNDER_WAY, complete_cases, count_cases
from agd_bench.analysis.contrasting import critical_difference
from agd_bench.analysis.crossing import crossover, crossover_sentence
from agd_bench.analysis.decomposing import variance_components
from agd_bench.analysis.descending import decreases, total_decreases
from agd_bench.analysis.dosing import dose_outcomes, skip_outcomes, sweep_skip_runs
from agd_bench.analysis.explaining import interaction_drivers, interaction_explained
from agd_bench.analysis.featuring import architecture_features
from agd_bench.analysis.laning import seconds_by_lane
from agd_bench.analysis.overlapping import top_k_overlap
from agd_bench.analysis.pairing import GROUP, METRICS, comparison_groups, trained_rows
from agd_bench.analysis.powering import DesignCost, pilot_reliabilities, power_table, shift_of_gap, sufficient_designs
from agd_bench.analysis.predicting import predicted_rates, prediction_correlation, prediction_sentence
from agd_bench.analysis.profiling import performance_profiles, speed_ups
from agd_bench.analysis.progressing import accuracy_by_epoch
from agd_bench.analysis.ranking import rank_shift, ranks
from agd_bench.analysis.reaching import reference_targets, time_to_target
from agd_bench.analysis.replicating import noise_ceilings
from agd_bench.analysis.scoping import scope_bias
from agd_bench.analysis.searching import anytime_curves, search_bands
from agd_bench.analysis.skipping import dose_trend, log_loss_area, skip_pairs, skip_test, tuned_rate
from agd_bench.analysis.stepping import layer_steps, step_summaries
from agd_bench.analysis.summarising import aggregate_scores, probability_of_improvement
from agd_bench.analysis.transfer import transfer_regret
from agd_bench.analysis.watching import initial_singular_values, network_readings, skip_runs
from agd_bench.analysis.wording import Finding, finding

__all__ = [
    "GROUP",
    "METRICS",
    "UNDER_WAY",
    "DesignCost",
    "Finding",
    "accuracy_by_epoch",
    "accuracy_difference",
    "accuracy_table",
    "aggregate_scores",
    "anytime_curves",
    "architecture_features",
    "calibrations",
    "charged_cost",
    "comparison_groups",
    "complete_cases",
    "cost_views",
    "count_cases",
    "critical_difference",
    "crossover",
    "crossover_sentence",
    "decreases",
    "dose_outcomes",
    "dose_trend",
    "finding",
    "initial_singular_values",
    "interaction_drivers",
    "interaction_explained",
    "kendall_tau",
    "layer_steps",
    "log_loss_area",
    "network_readings",
    "next_seeds",
    "noise_ceilings",
    "order_decisions",
    "performance_profiles",
    "pilot_reliabilities",
    "power_table",
    "predicted_rates",
    "prediction_correlation",
    "prediction_sentence",
    "probability_of_improvement",
    "published_agreement",
    "published_ranks",
    "published_regret",
    "published_sentence",
    "published_top",
    "rank_shift",
    "ranks",
    "reference_targets",
    "scope_bias",
    "search_bands",
    "seconds_by_lane",
    "shift_of_gap",
    "skip_outcomes",
    "skip_pairs",
    "skip_runs",
    "skip_test",
    "speed_ups",
    "step_summaries",
    "sufficient_designs",
    "sweep_skip_runs",
    "time_to_target",
    "top_k_overlap",
    "total_decreases",
    "trained_rows",
    "transfer_regret",
    "tuned_rate",
    "variance_components",
]
