"""From a sweep to the plan of all its trials: deterministic, without torch or disk."""

from agd_bench.planning.planner import Folders, folders_of, plan, study_rule

__all__ = ["Folders", "folders_of", "plan", "study_rule"]
