"""Verify a published folder: its digests, the consistency of its raw rows, and every number computed from them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import pandas as pd

from agd_bench.claims import Claims, evaluate_claims, read_claims
from agd_bench.claims.definitions import FILE as CLAIMS
from agd_bench.errors import AgdBenchError, StoreDamagedError
from agd_bench.leaderboard.audits import check_audits
from agd_bench.leaderboard.contradictions import find_contradictions
from agd_bench.leaderboard.design import missing_parts
from agd_bench.leaderboard.entries import check_entries
from agd_bench.leaderboard.publication import additions_of, derived_files, read_manifest, verify_digests
from agd_bench.leaderboard.summary import FIGURE, summarise
from agd_bench.store import Results, undeclared_code
from agd_bench.store.entry_rows import is_board
from agd_bench.store.manifest import MANIFEST
from agd_bench.store.reader import faults_of, read_results
from agd_bench.tables import aggregates


@dataclass(frozen=True)
class Recomputed:
    """A published folder recomputed from its raw rows.

    Attributes:
        differences: one line for each difference from the published files.
        results: the raw rows.
        tables: `aggregates` of the raw rows.
        claims: the evaluated claims.
    """

    differences: list[str]
    results: Results
    tables: dict[str, pd.DataFrame]
    claims: pd.DataFrame


def verify_folder(folder: Path) -> list[str]:
    """Recompute a published leaderboard from its raw rows.

    Checks the digest of every file; the rows, as `load_results` does; that no part of the sweep's design is missing (`missing_parts`);
    that the rows do not contradict each other (`find_contradictions`); that no trial was executed by code that the run does not declare;
    the entries of a board (`check_entries`) and audits (`check_audits`); that the claims have the published digests; and the text of
    `README.md`, including every claim's state, and the figure. Digests show integrity, not honesty; only training again, as
    `agd-bench audit` does, shows that.

    Returns:
        One line per difference; empty if everything agrees.

    Raises:
        InputError: not a published folder, or one of another schema version.
    """
    differences = verify_digests(folder)
    try:
        return differences + recompute(folder).differences
    except AgdBenchError as error:
        return [*differences, f"raw rows: {error}"]


def recompute(folder: Path) -> Recomputed:
    """Recompute a published folder from its raw rows and claims, and compare.

    Args:
        folder: written by `publish_results`; the digests of its files are not checked.

    Raises:
        AgdBenchError: raw rows or claims cannot be read.
    """
    # Read edited rows too, so their consequences are reported in addition to their digests.
    results = read_results(folder, unchanged=False)
    additions = additions_of(folder)
    # Impossible values would make every number below meaningless.
    if faults := faults_of(results):
        raise StoreDamagedError("; ".join(faults))
    differences, tables = check_rows(results), aggregates(results)
    if is_board(folder):
        differences += check_entries(folder)
    if additions.lite is not None:
        differences += [f"lite part: {line}" for line in check_rows(additions.lite)]
    differences += check_audits(folder, results)
    claims = read_claims(folder / CLAIMS) if (folder / CLAIMS).is_file() else Claims()
    manifest = read_manifest(folder)
    differences += compare_claims(manifest.get("claims", {}), claims)
    evaluated = evaluate_claims(results, claims, tables)
    for name, text in derived_files(results, tables, evaluated, additions).items():
        if name == FIGURE and manifest.get("matplotlib") != matplotlib.__version__:
            continue  # another version draws the same numbers differently; the digest is still checked
        path = folder / name
        # a damaged file may be no UTF-8
        if path.is_file() and path.read_text(encoding="utf-8", errors="replace") != text:
            differences.append(f"{name}: does not follow from the raw rows")
    if manifest.get("summary") != dataclasses.asdict(summarise(results, tables, evaluated)):
        differences.append(f"{MANIFEST}: the summary does not follow from the raw rows")
    return Recomputed(differences, results, tables, evaluated)


def compare_claims(stated: dict[str, str], claims: Claims) -> list[str]:
    """List claims that were edited, added or removed since their digests were published, one line each.

    Args:
        stated: the published digests, by id.
        claims: as the file defines them now.
    """
    found = {claim.id: claim.digest for claim in claims.claims}
    lines = []
    for name in sorted({*stated, *found}):
        if name not in found:
            lines.append(f"{CLAIMS}: claim {name} was published but is not in the file")
        elif name not in stated:
            lines.append(f"{CLAIMS}: claim {name} is in the file but was not published")
        elif stated[name] != found[name]:
            lines.append(
                f"{CLAIMS}: the definition of claim {name} was edited (digest {found[name][:12]}…, published {stated[name][:12]}…)"
            )
    return lines


def check_rows(results: Results) -> list[str]:
    """List missing parts of the design, contradictions and undeclared code, one line each."""
    undeclared = [f"attempts.csv: {line}" for line in undeclared_code(results)]
    return [*undeclared, *missing_parts(results), *find_contradictions(results)]
