"""Our numbers beside the paper's: mean over trainings, how many, and an interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from agd_bench.reproductions.experiments import Reproduction, Value
from agd_bench.reproductions.published_tables import listed_rows
from agd_bench.reproductions.quantities import NOTHING, Measurements
from agd_bench.store import Results

COLUMNS = [
    "what", "published", "statement", "source", "ours", "low", "high", "n", "difference", "inside", "outcome", "architecture", "algorithm",
    "control", "measure", "run",
]  # fmt: skip


def measured(experiment: Reproduction, scale: str, results: Mapping[str, Results]) -> pd.DataFrame:
    """The paper's numbers with ours.

    Args:
        experiment: what was run.
        scale: at which it was run.
        results: by the name of the run; what is missing or has not ended has no number of ours.

    Returns:
        One row per number of the paper, in its order: `what`, `published` (accuracy as a share; NaN: the paper gives none), `statement`
        (what it says in words instead), `source`; `ours` (NaN: nothing ended), `low`, `high` (95 % interval; NaN where there is none), `n`,
        `difference` (ours − published), `inside` (whether the paper's number lies in the interval; null where either is missing),
        `outcome` (of the registered test, with its corrected p; empty: there is none), `architecture` (trained; empty: several),
        `algorithm`, `control` (what a difference is taken from; empty: the number is none), `measure`, `run`.

        By measure, `ours` with its interval and `n` is: of an accuracy the mean over the final trials that ended, a diverged one as 0, its
        t interval over trainings, of one network from different seeds or of different networks, and the trainings; of an `accuracy_gain`
        the mean of paired differences, its t interval over architectures, and these; of a `prediction_r` Pearson's correlation, Fisher's
        interval, and the architectures; of what a skip changes the median over pairs, an interval of order statistics, and the pairs.

        An experiment that is held against published tables has then what `listed_rows` says of them.

    Raises:
        InputError: an algorithm or an architecture that the run does not hold, or no published table at hand.
    """
    made = {name: Measurements(held) for name, held in results.items()}
    rows = [_row(value, experiment.run_of(value), made) for value in experiment.values_at(scale)] + listed_rows(experiment, results)
    blank = {"statement": "", "source": "", "outcome": "", "architecture": "", "control": "", "inside": None}
    return pd.DataFrame([blank | row for row in rows], columns=COLUMNS).astype({"inside": "boolean"})


def _row(value: Value, run: str, made: Mapping[str, Measurements]) -> dict[str, Any]:
    found = made[run].of(value) if run in made else NOTHING
    published = math.nan if value.published is None else value.published
    # Else `inside` would be False where it is unknown.
    comparable = math.isfinite(found.low) and math.isfinite(published)
    return {
        "what": value.what,
        "published": published,
        "statement": value.statement,
        "source": value.source,
        **found._asdict(),
        "difference": found.ours - published,
        "inside": found.low <= published <= found.high if comparable else None,
        "architecture": value.architecture or "",
        "algorithm": value.algorithm,
        "control": value.control or "",
        "measure": value.measure,
        "run": run,
    }
