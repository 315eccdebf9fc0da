"""NadamW with one setting for everything, chosen by random search over three workloads that no leaderboard uses.

A frozen baseline to beat: AlgoPerf found that a NadamW calibrated across workloads beats learning-rate-free methods at their defaults.
The built-in sweep `calibration` searched; leaderboards/calibration has every proposal. Six proposals are few, and its networks and
trainings are small: the setting is calibrated for trainings of this kind, not for all.
"""

from __future__ import annotations

from agd_bench.algorithms import nadamw_tuned as searched
from agd_bench.algorithms._calibrated import at_setting
from agd_bench.algorithms.nadamw_tuned import loss, prepare

__all__ = ["build", "loss", "prepare"]

RANGES: dict[str, dict[str, object]] = {}
TIER = "self-tuning"
PAPER = "calibration after Kasimbeg et al. 2025, arXiv 2505.24005"
SOURCE = "calibration of agd-bench's own (leaderboards/calibration), after Priya Kasimbeg et al., arXiv 2505.24005"
LICENCE = "MIT"

build = at_setting(searched.build, "nadamw")
