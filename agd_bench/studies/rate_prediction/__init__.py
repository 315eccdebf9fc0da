"""Do learning rates predicted from the graph agree with searched ones? (Chen et al., ICLR 2024)."""

from agd_bench.studies.rate_prediction.analysis import predicted_rates, prediction_correlation, prediction_sentence

__all__ = ["predicted_rates", "prediction_correlation", "prediction_sentence"]
