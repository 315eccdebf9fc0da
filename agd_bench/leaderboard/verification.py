"""Verify a published folder: its digests, the consistency of its raw rows, and every number computed from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agd_bench.analysis import GROUP
from agd_bench.claims import Claims, evaluate_claims, read_claims
from agd_bench.claims.definitions import FILE as CLAIMS
from agd_bench.errors import AgdBenchError, StoreDamagedError
from agd_bench.leaderboard.contradictions import find_contradictions
from agd_bench.leaderboard.design import missing_parts
from agd_bench.leaderboard.publication import read_manifest, stated_claims, summary
from agd_bench.store import Results, undeclared_code
from agd_bench.store.manifest import MANIFEST, digests
from agd_bench.store.reader import faults_of, read_results
from agd_bench.tables import aggregates

RELATIVE_TOLERANCE = 1e-9
"""Sums in another order may differ in the last digits; anything more is a difference."""


@dataclass(frozen=True)
class Recomputed:
    """A published folder as it follows from its raw rows.

    Attributes:
        differences: one line for each thing that is published otherwise.
        results: the raw rows.
        tables: `aggregates` of them.
        claims: evaluated.
    """

    differences: list[str]
    results: Results
    tables: dict[str, pd.DataFrame]
    claims: pd.DataFrame


def verify_folder(folder: Path) -> list[str]:
    """Recompute a published leaderboard from its raw rows.

    Checked are: the digest of every file; what `load_results` checks of the rows; that no part of the sweep's design is missing
    (`missing_parts`); that the rows do not contradict each other (`find_contradictions`); that no trial was executed by code that the run
    does not declare; every table in `data/`; that the claims are those whose digests were published, and every claim's state; the finding
    in `README.md`. Digests show integrity, not honesty: only running the sweep again shows that.

    Args:
        folder: as `publish_results` wrote it.

    Returns:
        One line per difference; empty: all agrees.

    Raises:
        InputError: no published folder, or one of another schema version.
    """
    differences = verify_digests(folder)
    try:
        return differences + recompute(folder).differences
    except AgdBenchError as error:
        return [*differences, f"raw rows: {error}"]


def recompute(folder: Path) -> Recomputed:
    """What follows from a published folder's raw rows and claims, and how what is published differs from it.

    Args:
        folder: as `publish_results` wrote it; the digests of its files are not looked at.

    Raises:
        AgdBenchError: raw rows or claims that cannot be read.
    """
    results = read_results(folder, unchanged=False)
    if faults := faults_of(results):
        raise StoreDamagedError("; ".join(faults))
    differences, tables = check_rows(results), aggregates(results)
    claims = read_claims(folder / CLAIMS) if (folder / CLAIMS).is_file() else Claims()
    differences += compare_claims(stated_claims(folder), claims)
    evaluated = evaluate_claims(results, claims, tables)
    claimed = bool(claims.claims) or (folder / "data" / "claims.csv").exists()
    for name, table in {**tables, **({"claims": evaluated} if claimed else {})}.items():
        differences += _compare_table(folder / "data" / f"{name}.csv", table)
    readme = folder / "README.md"
    if readme.is_file() and readme.read_text(encoding="utf-8") != summary(results, tables, evaluated):
        differences.append("README.md: not the text that follows from the raw rows")
    return Recomputed(differences, results, tables, evaluated)


def compare_claims(stated: dict[str, str], claims: Claims) -> list[str]:
    """Claims that were edited, added or withdrawn since their digests were published, one line each.

    Args:
        stated: the published digests, by id.
        claims: as the file defines them now.
    """
    found = {claim.id: claim.digest for claim in claims.claims}
    lines = []
    for name in sorted({*stated, *found}):
        if name not in found:
            lines.append(f"{CLAIMS}: claim {name} was published, but is not in the file")
        elif name not in stated:
            lines.append(f"{CLAIMS}: claim {name} is in the file, but was not published")
        elif stated[name] != found[name]:
            lines.append(
                f"{CLAIMS}: the definition of claim {name} was edited (digest {found[name][:12]}…, published {stated[name][:12]}…)"
            )
    return lines


def verify_digests(folder: Path) -> list[str]:
    """Files that are not those of the manifest, one line each.

    Args:
        folder: a published one.

    Raises:
        InputError: no manifest that can be read.
    """
    stated, found = read_manifest(folder), digests(folder)
    lines = []
    for name in sorted({*stated, *found}):
        if name not in found:
            lines.append(f"{name}: in {MANIFEST}, but not in the folder")
        elif name not in stated:
            lines.append(f"{name}: in the folder, but not in {MANIFEST}")
        elif stated[name] != found[name]:
            lines.append(f"{name}: changed since it was published (SHA-256 {found[name][:12]}…, stated {stated[name][:12]}…)")
    return lines


def check_rows(results: Results) -> list[str]:
    """What of the design is missing in possible rows, and what they contradict, one line each.

    Args:
        results: as they were loaded.
    """
    undeclared = [f"attempts.csv: {line}" for line in undeclared_code(results)]
    return [*undeclared, *missing_parts(results), *find_contradictions(results)]


def _compare_table(path: Path, recomputed: pd.DataFrame) -> list[str]:
    """Differences between a published table and the recomputed one; at most one line per column."""
    where = f"data/{path.name}"
    try:
        published = pd.read_csv(path, keep_default_na=False, dtype="str")
    except (OSError, ValueError) as error:
        return [f"{where}: cannot be read ({type(error).__name__})"]
    if list(published.columns) != list(recomputed.columns):
        return [f"{where}: other columns than agd-bench computes"]
    if len(published) != len(recomputed):
        return [f"{where}: {len(published)} rows, {len(recomputed)} follow from the raw rows"]
    lines = []
    for column in recomputed.columns:
        differs = _differs(published[column], recomputed[column])
        if differs.any():
            row = int(np.flatnonzero(differs)[0])
            key = ", ".join(str(value) for value in recomputed.iloc[row][GROUP if GROUP[0] in recomputed else ["id"]])
            given, found = published[column].iloc[row], recomputed[column].iloc[row]
            lines.append(f"{where}: {column} differs in {int(differs.sum())} rows, first ({key}): published {given}, recomputed {found}")
    return lines


def _differs(published: pd.Series[str], recomputed: pd.Series[float]) -> NDArray[np.bool_]:
    if pd.api.types.is_numeric_dtype(recomputed) and not pd.api.types.is_bool_dtype(recomputed):
        given = pd.to_numeric(published.replace("", "nan"), errors="coerce").to_numpy(dtype=float)
        found = recomputed.to_numpy(dtype=float, na_value=np.nan)
        missing = published.eq("").to_numpy()  # text that is no number differs, even where nothing was computed
        differs = ~np.isclose(given, found, rtol=RELATIVE_TOLERANCE, atol=1e-12, equal_nan=True) | (np.isnan(found) & ~missing)
        return np.asarray(differs, dtype=bool)
    texts = recomputed.astype(object).where(recomputed.notna(), "").astype(str)
    return np.asarray(published.to_numpy(dtype=object) != texts.to_numpy(dtype=object), dtype=bool)
