"""Layer-wise DoG with its average with one setting for everything, chosen by random search over three workloads that no leaderboard uses.

A second entry beside `ldog`, which stands at its authors' defaults; calibrated as the frozen baselines were.
The built-in sweep `calibration` searched; leaderboards/calibration has every proposal. Six proposals are few, and its networks and
trainings are small: the setting is calibrated for trainings of this kind, not for all.
"""

from __future__ import annotations

from agd_bench.algorithms import ldog as searched
from agd_bench.algorithms._calibrated import at_setting
from agd_bench.algorithms.ldog import diagnostics, loss, prepare

__all__ = ["build", "diagnostics", "loss", "prepare"]

RANGES: dict[str, dict[str, object]] = {}
TIER = "learning-rate-free"
PACKAGES = ("dog",)
EXTRA = "competitors"
PAPER = "Ivgi, Hinder & Carmon 2023, arXiv 2302.12022"
SOURCE = "calibration of agd-bench's own (leaderboards/calibration), after Priya Kasimbeg et al., arXiv 2505.24005"
LICENCE = "MIT"

build = at_setting(searched.build, "ldog")
