"""Publish results as a folder of raw rows with a derived README and figure and the digest of each file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd

from agd_bench.claims import Claims, evaluate_claims, format_claims, propose_claims, read_claims
from agd_bench.claims.definitions import FILE as CLAIMS
from agd_bench.errors import InputError, RunChangedError
from agd_bench.leaderboard.anonymisation import scrub_results
from agd_bench.leaderboard.audits import FOLDER as AUDITS
from agd_bench.leaderboard.audits import read_audits
from agd_bench.leaderboard.data_card import TYPES, describe_tables
from agd_bench.leaderboard.summary import FIGURE, Additions, describe_board, draw_board, summarise
from agd_bench.store import Results, begun_results, undeclared_code, write_rows, written_beside
from agd_bench.store.entry_rows import ABOUT_BENCHMARK, ABOUT_ENTRIES, is_board, ranked_entries, read_entries
from agd_bench.store.files import BESIDE
from agd_bench.store.manifest import MANIFEST, digests
from agd_bench.store.reader import read_board, read_results
from agd_bench.tables import aggregates

SCHEMA_VERSION = 2
README = "README.md"


def publish_results(results: Results, folder: Path, name: str | None = None, claims: Claims | None = None) -> Path:
    """Write results as a leaderboard folder, after removing names of machines, users and folders.

    The folder holds `sweep.json`, `trials.csv`, `curves.csv`, `attempts.csv` and `meta.json` (the raw rows; floats round-trip exactly;
    trials that reuse an equal network's results are only in `equals.csv`), `claims.toml`, `README.md`, one figure, and `manifest.json`
    (schema version, a summary for lists, and the SHA-256 of each file and each claim definition). Pages and tables are not stored:
    `build_site` computes them from these files.

    Args:
        results: complete or partial; partial results are marked, and rows of trials that have not started are left out.
        folder: a new folder, or a published one to replace.
        name: name of the leaderboard, letters, digits and `._-`; default: the sweep's name.
        claims: default: the folder's own claims if they were written by hand, otherwise `propose_claims` of the sweep.

    Returns:
        The folder.

    Raises:
        RunChangedError: trials were executed by code that the run does not declare.
        InputError: the folder holds something else, the name is invalid, or a claim is about something missing from the results.
    """
    if is_board(folder):
        raise InputError(f"{folder}: a board, whose rows are its entries'; add an entry with `agd-bench submit RUN --to {folder}`")
    undeclared = undeclared_code(results)
    if undeclared:
        raise RunChangedError(f"{'; '.join(undeclared[:4])}; merge the run into a new one with --allow-mixed-code and publish that run")
    # Only trials that have started: the folder of a large sweep grows with the trained trials.
    results = scrub_results(begun_results(results))
    # A board that is published as a plain folder has no entries there.
    meta = {key: value for key, value in results.meta.items() if key not in (ABOUT_BENCHMARK, ABOUT_ENTRIES)}
    results = dataclasses.replace(results, meta=meta)
    if name is not None:
        try:
            sweep = type(results.sweep).model_validate({**results.sweep.model_dump(), "name": name})
        except ValueError:
            raise InputError(
                f"{name!r} is not a valid name for a leaderboard; use letters, digits and . _ - and start with a letter or digit"
            ) from None
        results = dataclasses.replace(results, sweep=sweep)
    # Claims written by hand are kept when publishing again; proposals are generated anew.
    return _write(results, folder, claims or written_claims(folder) or propose_claims(results.sweep), with_rows=True)


def write_board(board: Path, claims: Claims | None = None) -> Path:
    """Write what follows from the entries of a board: its README, figure, claims and manifest.

    Args:
        board: a folder with a benchmark and at least one ranked entry.
        claims: what is claimed; default: as for `publish_results`.

    Raises:
        InputError: no benchmark, no entry, or claims that the results do not support.
        StoreDamagedError: an entry that cannot be read.
    """
    # an entry was added or edited, so the board's manifest is out of date; each entry has its own
    results = read_results(board, unchanged=False)
    return _write(results, board, claims or written_claims(board) or propose_claims(results.sweep), with_rows=False)


def _write(results: Results, folder: Path, claims: Claims, with_rows: bool) -> Path:
    tables = aggregates(results)
    evaluated = evaluate_claims(results, claims, tables)  # before files of an earlier publication are removed
    earlier = _earlier_files(folder) if with_rows else set()
    # The manifest is moved last, so `verify` notices an interruption.
    with written_beside(folder, last=MANIFEST) as beside:
        if with_rows:
            write_rows(results, beside, condensed=True)
        (beside / CLAIMS).write_text(format_claims(claims), encoding="utf-8", newline="\n")
        for file, text in derived_files(results, tables, evaluated, additions_of(folder)).items():
            (beside / file).write_text(text, encoding="utf-8", newline="\n")
        # Before the manifest is written, because it cannot contain its own digest.
        files = digests(beside)
        # Files added by hand, such as notes, and the entries of a board are listed too; otherwise `verify` would report them.
        others = {name: digest for name, digest in digests(folder).items() if name not in earlier and not name.startswith(BESIDE)}
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "files": others | files,
            "claims": {claim.id: claim.digest for claim in claims.claims},
            "proposed_claims": claims == propose_claims(results.sweep),
            "summary": dataclasses.asdict(summarise(results, tables, evaluated)),
            # Other versions draw the same numbers with different bytes.
            "matplotlib": matplotlib.__version__,
        }
        (beside / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8", newline="\n")
    for name in earlier - set(files):
        path = (folder / name).resolve()
        if path.is_relative_to(folder.resolve()):  # a manifest of unknown origin must not reach outside its folder
            path.unlink(missing_ok=True)
    return folder


def additions_of(folder: Path) -> Additions:
    """What a published folder has in addition to its rows.

    Raises:
        InputError: an audit that cannot be read.
        StoreDamagedError: an entry that cannot be read.
    """
    entries = read_entries(folder)
    has_more = ranked_entries(entries, "lite") != ranked_entries(entries, "whole")
    return Additions(read_board(folder, "lite", unchanged=False) if has_more else None, tuple(read_audits(folder).values()))


def derived_files(results: Results, tables: dict[str, pd.DataFrame], claims: pd.DataFrame, additions: Additions) -> dict[str, str]:
    """The files of a published folder derived from its raw rows and claims, by file name."""
    return {
        README: describe_board(results, tables, claims, additions),
        FIGURE: draw_board(results, tables),
        TYPES: describe_tables(results),
    }


def written_claims(folder: Path) -> Claims | None:
    """The hand-written claims of a published folder; None if it has only proposed claims or none.

    Args:
        folder: a published folder, or any other.

    Raises:
        InputError: the claims file is invalid.
    """
    if not (folder / CLAIMS).is_file() or not (folder / MANIFEST).is_file():
        return None
    # Proposals may differ between versions, so the manifest records whether these claims were proposed.
    proposed = _read_manifest(folder).get("proposed_claims")
    return None if proposed else read_claims(folder / CLAIMS)


def _earlier_files(folder: Path) -> set[str]:
    """Files of an earlier publication in the folder.

    Raises:
        InputError: the path is a file, or the folder holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; choose a folder")
    if not folder.is_dir() or all(path.name.startswith(BESIDE) for path in folder.iterdir()):
        return set()
    # The manifest is moved last: one that is still in a temporary folder is of a writer that was killed while it filled an empty folder.
    homes = [folder, *(path.parent for path in folder.glob(f"{BESIDE}*/*/{MANIFEST}"))]
    home = next((home for home in homes if (home / MANIFEST).is_file()), None)
    if home is None:
        raise InputError(f"{folder} is not empty and not a published leaderboard (it has no {MANIFEST}); choose a new folder")
    # audits are other people's work: publishing the rows again keeps them
    return {name for name in _read_manifest(home)["files"] if not name.startswith(f"{AUDITS}/")}


def _read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a published folder, of any version."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        manifest["files"] = {str(name): str(digest) for name, digest in manifest["files"].items()}
        manifest["schema_version"] = int(manifest["schema_version"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{folder}: {MANIFEST} cannot be read ({type(error).__name__}); choose a folder written by `agd-bench publish`"
        ) from None
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest: `files` (digests by path), `claims` (digests by id), `summary`.

    Raises:
        InputError: the manifest is missing, malformed or of another version.
    """
    manifest = _read_manifest(folder)
    if manifest["schema_version"] != SCHEMA_VERSION:
        raise InputError(
            f"{folder} was published in format {manifest['schema_version']}, but this agd-bench reads format {SCHEMA_VERSION}; "
            "publish it again with `agd-bench publish` and pass the folder as both RUN and --to"
        )
    return manifest


def verify_digests(folder: Path) -> list[str]:
    """List files that differ from the manifest, one line each.

    Args:
        folder: a published folder.

    Raises:
        InputError: the manifest is missing or cannot be read.
    """
    stated, found = read_manifest(folder)["files"], digests(folder)
    lines = []
    for name in sorted({*stated, *found}):
        if name not in found:
            lines.append(f"{name}: in {MANIFEST} but not in the folder")
        elif name not in stated:
            lines.append(f"{name}: in the folder but not in {MANIFEST}")
        elif stated[name] != found[name]:
            lines.append(f"{name}: changed since publication (SHA-256 {found[name][:12]}…, manifest {stated[name][:12]}…)")
    return lines
