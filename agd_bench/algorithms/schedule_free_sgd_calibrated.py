"""Schedule-free SGD with one setting for everything, chosen by random search over three workloads that no leaderboard uses.

A second entry beside `schedule_free_sgd`, which stands at its authors' defaults; calibrated as the frozen baselines were.
The built-in sweep `calibration` searched; leaderboards/calibration has every proposal. Six proposals are few, and its networks and
trainings are small: the setting is calibrated for trainings of this kind, not for all.
"""

from __future__ import annotations

from agd_bench.algorithms import schedule_free_sgd as searched
from agd_bench.algorithms._calibrated import at_setting
from agd_bench.algorithms.schedule_free_sgd import diagnostics, loss, prepare

__all__ = ["build", "diagnostics", "loss", "prepare"]

RANGES: dict[str, dict[str, object]] = {}
TIER = "learning-rate-free"
PACKAGES = ("schedulefree",)
EXTRA = "competitors"
PAPER = "Defazio et al. 2024, arXiv 2405.15682"
SOURCE = "calibration of agd-bench's own (leaderboards/calibration), after Priya Kasimbeg et al., arXiv 2505.24005"
LICENCE = "MIT; package schedulefree: Apache-2.0"

build = at_setting(searched.build, "schedule_free_sgd")
