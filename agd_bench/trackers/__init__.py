"""Experiment trackers: write the trials of a run for TensorBoard, MLflow, Weights & Biases and Optuna's dashboard.

Each tracker is one module with a class of one method, `write`. Results stay in the store; trackers hold copies.
"""

from agd_bench.trackers.opening import TRACKERS, open_tracker
from agd_bench.trackers.stream import TrackerStream, write_all
from agd_bench.trackers.tracked import TrackedTrial, Tracker

__all__ = ["TRACKERS", "TrackedTrial", "Tracker", "TrackerStream", "open_tracker", "write_all"]
