"""Audits of published trials: which trials are drawn, what counts as a rerun of the same result, and whether a record is sound.

The band is the largest difference of two trainings that seed noise alone explains: a two-sided 95 % prediction limit with Bonferroni's
correction for the number of reruns, t(1 − 0.025 / n) · √2 · s, where s is the standard deviation over seeds of the audited algorithm,
pooled over its architectures. A rerun with the same seed differs by rounding only, so the band is wide rather than narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError
from scipy import stats

from agd_bench.errors import InputError, UnknownNameError
from agd_bench.leaderboard.contradictions import find_contradictions
from agd_bench.records.audit import Audit, Outcome, Verdict
from agd_bench.store import Results

FOLDER = "audits"
ULPS = 4
"""Units in the last place by which losses and accuracies may differ to count as equal: one rounding of a mean over batches or images."""
FEWEST_FOR_A_BAND = 5
"""Degrees of freedom under which the seed noise is unknown."""
GROUP = ["search_space", "dataset", "profile"]


def auditable(results: Results, algorithm: str) -> pd.DataFrame:
    """Return the trials of an algorithm that an audit can draw: final ones that were trained themselves, by id.

    Raises:
        UnknownNameError: no such algorithm.
    """
    if algorithm not in _labels(results):
        raise UnknownNameError("algorithm", algorithm, _labels(results))
    trials = results.trials
    own = trials[(trials["algorithm"] == algorithm) & (trials["purpose"] == "final") & trials["representative"].isna()]
    return own[own["status"].isin(["done", "diverged"])].sort_values("trial_id", ignore_index=True)


def draw_trials(results: Results, algorithm: str, share: float, seed: int) -> list[str]:
    """Return the ids of a random sample of an algorithm's trials, the same on every machine.

    Args:
        results: of a published folder.
        algorithm: its label.
        share: of the trials, in (0, 1]; at least one is drawn.
        seed: of the draw.

    Raises:
        InputError: the algorithm has no trial that was trained to an end.
    """
    trials = auditable(results, algorithm)
    if trials.empty:
        raise InputError(f"{algorithm}: no final trial was trained to an end, so there is nothing to train again")
    count = max(1, math.ceil(share * len(trials) - 1e-9))  # 0.1 * 30 is slightly more than 3
    places = np.random.default_rng(seed).permutation(len(trials))[:count]
    return [str(name) for name in trials["trial_id"].iloc[np.sort(places)]]


def noise_bands(results: Results, algorithm: str, count: int) -> dict[tuple[str, str, str], float]:
    """Return the largest difference of test accuracy that seed noise explains, by search space, data set and profile.

    Args:
        results: of a published folder.
        algorithm: its label.
        count: number of reruns.

    Returns:
        Shares in [0, 1]; NaN where too few architectures have several seeds.
    """
    trials = auditable(results, algorithm)
    done = trials[trials["status"] == "done"]
    bands = {}
    for group, rows in trials.groupby(GROUP, sort=False):
        own = done[done.index.isin(rows.index)].groupby("architecture")["test_accuracy"]
        freedom = int((own.size() - 1).sum())
        variance = float((own.var() * (own.size() - 1)).sum()) / max(freedom, 1)
        limit = float(stats.t.ppf(1 - 0.025 / count, max(freedom, 1))) * math.sqrt(2 * variance)
        bands[tuple(map(str, group))] = limit if freedom >= FEWEST_FOR_A_BAND else math.nan
    return bands  # type: ignore[return-value]


def judge(published: Outcome, found: Outcome, band: float) -> Verdict:
    """Return whether a rerun is equal to a published trial up to `ULPS`, inside the band, or outside.

    Args:
        published: what the row says.
        found: what the rerun ended with.
        band: see `noise_bands`; with 0, only equal accuracies are inside.
    """
    if published.status != found.status:
        return "outside"
    pairs = [(getattr(published, name), getattr(found, name)) for name in ("train_loss", "val_accuracy", "test_accuracy")]
    if all(_alike(ours, theirs) for ours, theirs in pairs):
        return "equal"
    if published.test_accuracy is None or found.test_accuracy is None:
        # diverged in both: there is no accuracy to compare
        return "inside" if published.test_accuracy == found.test_accuracy else "outside"
    return "inside" if abs(published.test_accuracy - found.test_accuracy) <= band else "outside"


def _alike(ours: float | None, theirs: float | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return abs(ours - theirs) <= ULPS * math.ulp(max(abs(ours), abs(theirs)))


def rows_by_id(results: Results) -> dict[str, dict[str, Any]]:
    """Return the rows of `trials` by trial id."""
    return {str(row["trial_id"]): {str(name): value for name, value in row.items()} for row in results.trials.to_dict("records")}


def outcome_of(row: Mapping[str, Any]) -> Outcome:
    """Return what a row of `trials` says of a training's end."""
    numbers = {name: None if pd.isna(row[name]) else float(row[name]) for name in ("train_loss", "val_accuracy", "test_accuracy")}
    return Outcome.model_validate({"status": row["status"], **numbers})


def read_audits(folder: Path) -> dict[str, Audit]:
    """Return the audits of a published folder by file name.

    Raises:
        InputError: one cannot be read.
    """
    found = {}
    for path in sorted((folder / FOLDER).glob("*.json")):
        try:
            found[path.name] = Audit.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, OSError, ValueError) as error:
            raise InputError(f"{path}: not an audit record ({' '.join(str(error).split())[:200]}); see `agd-bench audit --help`") from None
    return found


def check_audits(folder: Path, results: Results) -> list[str]:
    """Return what is wrong with the audits of a published folder, one line each.

    Checked are: that the trials are those that the seed draws, so that none was left out; that published values are those of the rows;
    that bands and verdicts follow from them. Whether the reruns happened as stated, only another audit shows.

    Args:
        folder: published.
        results: its raw rows.
    """
    return [f"{FOLDER}/{name}: {line}" for name, audit in read_audits(folder).items() for line in _faults(audit, results)]


def _faults(audit: Audit, results: Results) -> list[str]:
    try:
        drawn = draw_trials(results, audit.algorithm, audit.share, audit.seed)
    except InputError as error:
        # a superseded or withdrawn entry is not among the ranked rows any more
        return [] if isinstance(error, UnknownNameError) else [str(error)]
    if [one.trial_id for one in audit.reruns] != drawn:
        return [f"its trials are not the {len(drawn)} that share {audit.share:g} and seed {audit.seed} draw"]
    rows = rows_by_id(results)
    bands = noise_bands(results, audit.algorithm, len(drawn))
    lines = []
    for one in audit.reruns:
        row = rows[one.trial_id]
        band = band_of(row, bands)
        if one.published != outcome_of(row):
            lines.append(f"trial {one.trial_id}: its published values are not those of the row")
        elif not math.isclose(one.band, band, rel_tol=1e-9, abs_tol=1e-12):
            lines.append(f"trial {one.trial_id}: its band is {one.band:.4g}, but the seed noise of the rows gives {band:.4g}")
        elif one.verdict != judge(one.published, one.found, one.band):
            lines.append(f"trial {one.trial_id}: its verdict is {one.verdict}, which is not what its values give")
    return lines


def band_of(row: Mapping[str, Any], bands: Mapping[tuple[str, str, str], float]) -> float:
    """Return the band of a trial; 0 where the seed noise is unknown, so that only equal accuracies count."""
    band = bands[(str(row["search_space"]), str(row["dataset"]), str(row["profile"]))]
    return 0.0 if math.isnan(band) else band


def badges(results: Results, audits: Sequence[Audit]) -> dict[str, str]:
    """Return in words, for each algorithm, what audits found in its rows; without an audit, whether its rows contradict each other.

    Args:
        results: of a published folder.
        audits: of the folder.
    """
    return {label: _badge(results, label, [audit for audit in audits if audit.algorithm == label]) for label in _labels(results)}


def _badge(results: Results, algorithm: str, audits: Sequence[Audit]) -> str:
    # a trial that two audits drew counts once
    ran = {one.trial_id for audit in audits for one in audit.reruns}
    outside = {one.trial_id for audit in audits for one in audit.reruns if one.verdict == "outside"}
    if outside:
        return f"rerun: {len(outside)} outside"
    if ran:
        return f"rerun: {len(ran)} of {len(auditable(results, algorithm))} inside the band"
    tables = {name: getattr(results, name) for name in ("trials", "curves")}
    own = tables["trials"].loc[tables["trials"]["algorithm"] == algorithm, "trial_id"]
    parts = {name: table[table["trial_id"].isin(own)] for name, table in tables.items()}
    return "inconsistent" if find_contradictions(replace(results, **parts)) else "consistent"


def _labels(results: Results) -> list[str]:
    return [choice.label for choice in results.sweep.algorithms]
