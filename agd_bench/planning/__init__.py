"""Plan the trials of a sweep. Plans are deterministic."""

from agd_bench.planning.planner import Folders, folders_of, plan, study_rule

__all__ = ["Folders", "folders_of", "plan", "study_rule"]
