"""What a sweep asks for, what a plan holds and what a trial measured: frozen, validated, JSON in and out.

The plan is data: a trial is a handful of strings and numbers with a hashed id. Names of plug-ins are resolved where
the trial runs; no part of a plug-in is ever pickled.
"""

from agd_bench.records.plan import Plan, Study, StudyRule, Trial
from agd_bench.records.result import CurvePoint, TrialResult
from agd_bench.records.sweep import AdaptiveSeeds, AlgorithmChoice, DatasetChoice, IndexRange, Sampling, SearchSpaceChoice, Sweep
from agd_bench.records.sweep_files import parse_sweep, read_sweep
from agd_bench.records.values import (
    TERMINAL,
    TUNING_SEED,
    Name,
    Precision,
    Profile,
    Record,
    Sampler,
    Scalar,
    Scalars,
    Status,
    canonical_json,
    digest,
)

__all__ = [
    "TERMINAL",
    "TUNING_SEED",
    "AdaptiveSeeds",
    "AlgorithmChoice",
    "CurvePoint",
    "DatasetChoice",
    "IndexRange",
    "Name",
    "Plan",
    "Precision",
    "Profile",
    "Record",
    "Sampler",
    "Sampling",
    "Scalar",
    "Scalars",
    "SearchSpaceChoice",
    "Status",
    "Study",
    "StudyRule",
    "Sweep",
    "Trial",
    "TrialResult",
    "canonical_json",
    "digest",
    "parse_sweep",
    "read_sweep",
]
