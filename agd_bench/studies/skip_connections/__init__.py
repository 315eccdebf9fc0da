"""Do skip connections with larger singular values train faster? (MacDonald et al., NeurIPS 2023)."""

from agd_bench.studies.skip_connections.hypothesis import dose_trend, log_loss_area, skip_pairs, skip_test, tuned_rate
from agd_bench.studies.skip_connections.outcomes import dose_outcomes, skip_outcomes, skip_sentence, sweep_skip_runs
from agd_bench.studies.skip_connections.runs import initial_singular_values, network_readings, skip_runs

__all__ = [
    "dose_outcomes",
    "dose_trend",
    "initial_singular_values",
    "log_loss_area",
    "network_readings",
    "skip_outcomes",
    "skip_pairs",
    "skip_runs",
    "skip_sentence",
    "skip_test",
    "sweep_skip_runs",
    "tuned_rate",
]
