"""D-Adaptation of SGD with one setting for everything, chosen by random search over three workloads that no leaderboard uses.

A second entry beside `dadapt_sgd`, which stands at its authors' defaults; calibrated as the frozen baselines were.
The built-in sweep `calibration` searched; leaderboards/calibration has every proposal. Six proposals are few, and its networks and
trainings are small: the setting is calibrated for trainings of this kind, not for all.
"""

from __future__ import annotations

from agd_bench.algorithms import dadapt_sgd as searched
from agd_bench.algorithms._calibrated import at_setting
from agd_bench.algorithms.dadapt_sgd import diagnostics, loss, prepare

__all__ = ["build", "diagnostics", "loss", "prepare"]

RANGES: dict[str, dict[str, object]] = {}
TIER = "learning-rate-free"
PACKAGES = ("dadaptation",)
EXTRA = "competitors"
PAPER = "Defazio & Mishchenko 2023, arXiv 2301.07733"
SOURCE = "calibration of agd-bench's own (leaderboards/calibration), after Priya Kasimbeg et al., arXiv 2505.24005"
LICENCE = "MIT"

build = at_setting(searched.build, "dadapt_sgd")
