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
from agd_bench.leaderboard.summary import FIGURE, describe_board, draw_board, summarise
from agd_bench.store import Results, begun_results, undeclared_code, write_rows, written_beside
from agd_bench.store.files import BESIDE
from agd_bench.store.manifest import MANIFEST, digests
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
    undeclared = undeclared_code(results)
    if undeclared:
        raise RunChangedError(f"{'; '.join(undeclared[:4])}; merge the run into a new one with --allow-mixed-code and publish that run")
    # Only trials that have started: the folder of a large sweep grows with the trained trials.
    results = scrub_results(begun_results(results))
    if name is not None:
        try:
            sweep = type(results.sweep).model_validate({**results.sweep.model_dump(), "name": name})
        except ValueError:
            raise InputError(
                f"{name!r} is not a valid name for a leaderboard; use letters, digits and . _ - and start with a letter or digit"
            ) from None
        results = dataclasses.replace(results, sweep=sweep)
    # Claims written by hand are kept when publishing again; proposals are generated anew.
    claims = claims or written_claims(folder) or propose_claims(results.sweep)
    tables = aggregates(results)
    evaluated = evaluate_claims(results, claims, tables)  # before files of an earlier publication are removed
    earlier = _earlier_files(folder)
    # The manifest is moved last, so `verify` notices an interruption.
    with written_beside(folder, last=MANIFEST) as beside:
        write_rows(results, beside, condensed=True)
        (beside / CLAIMS).write_text(format_claims(claims), encoding="utf-8", newline="\n")
        for file, text in derived_files(results, tables, evaluated).items():
            (beside / file).write_text(text, encoding="utf-8", newline="\n")
        # Before the manifest is written, because it cannot contain its own digest.
        files = digests(beside)
        # Files added by hand, such as notes, are listed too; otherwise `verify` would report them.
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


def derived_files(results: Results, tables: dict[str, pd.DataFrame], claims: pd.DataFrame) -> dict[str, str]:
    """The files of a published folder derived from its raw rows and claims, by file name."""
    return {README: describe_board(results, tables, claims), FIGURE: draw_board(results, tables)}


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
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder} is not empty and not a published leaderboard (it has no {MANIFEST}); choose a new folder")
    return set(_read_manifest(folder)["files"])


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
