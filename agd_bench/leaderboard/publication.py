"""Publish results as a folder of raw rows, with a README and a figure that follow from them, and the digest of each file."""

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
    """Write results as a leaderboard folder. Names of machines, users and folders are taken out first.

    The folder holds `sweep.json`, `trials.csv`, `curves.csv`, `attempts.csv` and `meta.json` (the raw rows; floats are written so that
    they are read back exactly; trials that took an equal network's results stand in `equals.csv` alone), `claims.toml`,
    `README.md` and one figure, and `manifest.json` (schema version, a summary for lists, and the SHA-256 of each file and of each claim's
    definition). Pages and tables are not stored: `build_site` computes them from these files.

    Args:
        results: whole or partial; partial ones are marked so, and leave out the rows of trials that nothing has happened to.
        folder: a new one, or one that was published before and is to be replaced.
        name: what the leaderboard is called, letters, digits and `._-`; default: as the sweep.
        claims: what is claimed; default: the folder's own claims where somebody wrote some, else `propose_claims` of the sweep.

    Returns:
        The folder.

    Raises:
        RunChangedError: trials executed by code that the run does not declare.
        InputError: a folder that holds something else, a name that cannot be used, or claims about what the results do not hold.
    """
    undeclared = undeclared_code(results)
    if undeclared:
        raise RunChangedError(f"{'; '.join(undeclared[:4])}; merge the run into a new one with --allow-mixed-code, and publish that")
    # Begun trials only: the folder of a large sweep grows with what was trained.
    results = scrub_results(begun_results(results))
    if name is not None:
        try:
            sweep = type(results.sweep).model_validate({**results.sweep.model_dump(), "name": name})
        except ValueError:
            raise InputError(
                f"{name!r} cannot name a leaderboard; use letters, digits and . _ - and begin with a letter or digit"
            ) from None
        results = dataclasses.replace(results, sweep=sweep)
    # Claims that somebody wrote survive publishing again; proposals are made anew.
    claims = claims or written_claims(folder) or propose_claims(results.sweep)
    tables = aggregates(results)
    evaluated = evaluate_claims(results, claims, tables)  # before anything of an earlier publication is taken away
    earlier = _earlier_files(folder)
    # The manifest is moved last, so that `verify` notices an interruption.
    with written_beside(folder, last=MANIFEST) as beside:
        write_rows(results, beside, condensed=True)
        (beside / CLAIMS).write_text(format_claims(claims), encoding="utf-8", newline="\n")
        for file, text in derived_files(results, tables, evaluated).items():
            (beside / file).write_text(text, encoding="utf-8", newline="\n")
        # Before the manifest is written, which cannot hold its own digest.
        files = digests(beside)
        # Files that somebody added, such as notes, are listed too, or `verify` would report them.
        others = {name: digest for name, digest in digests(folder).items() if name not in earlier and not name.startswith(BESIDE)}
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "files": others | files,
            "claims": {claim.id: claim.digest for claim in claims.claims},
            "proposed_claims": claims == propose_claims(results.sweep),
            "summary": dataclasses.asdict(summarise(results, tables, evaluated)),
            # Other versions draw the same numbers with other bytes.
            "matplotlib": matplotlib.__version__,
        }
        (beside / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8", newline="\n")
    for name in earlier - set(files):
        path = (folder / name).resolve()
        if path.is_relative_to(folder.resolve()):  # a manifest from elsewhere must not reach outside its folder
            path.unlink(missing_ok=True)
    return folder


def derived_files(results: Results, tables: dict[str, pd.DataFrame], claims: pd.DataFrame) -> dict[str, str]:
    """The texts of a published folder that follow from its raw rows and claims, by file name.

    Args:
        results: the raw rows.
        tables: `aggregates` of them.
        claims: as they were evaluated.
    """
    return {README: describe_board(results, tables, claims), FIGURE: draw_board(results, tables)}


def written_claims(folder: Path) -> Claims | None:
    """The claims of a published folder that somebody wrote; None if they are those that publishing proposed, or there are none.

    Args:
        folder: a published one, or any other.

    Raises:
        InputError: a file of claims that cannot be used.
    """
    if not (folder / CLAIMS).is_file() or not (folder / MANIFEST).is_file():
        return None
    # What is proposed may differ from version to version, so the manifest says whether these claims once were.
    proposed = _read_manifest(folder).get("proposed_claims")
    return None if proposed else read_claims(folder / CLAIMS)


def _earlier_files(folder: Path) -> set[str]:
    """Files of an earlier publication in the folder.

    Raises:
        InputError: a file, or a folder that holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: a file; give a folder")
    if not folder.is_dir() or all(path.name.startswith(BESIDE) for path in folder.iterdir()):
        return set()
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder}: not empty and no published leaderboard (it has no {MANIFEST}); give a new folder")
    return set(_read_manifest(folder)["files"])


def _read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a published folder, of any version."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        manifest["files"] = {str(name): str(digest) for name, digest in manifest["files"].items()}
        manifest["schema_version"] = int(manifest["schema_version"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder}: {MANIFEST} cannot be read ({type(error).__name__}); give a folder made by `agd-bench publish`"
        ) from None
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """What the manifest states: `files` (digests by path), `claims` (digests by id), `summary`.

    Raises:
        InputError: no manifest, a malformed one, or one of another version.
    """
    manifest = _read_manifest(folder)
    if manifest["schema_version"] != SCHEMA_VERSION:
        raise InputError(
            f"{folder}: published in format {manifest['schema_version']}, but this agd-bench reads format {SCHEMA_VERSION}; "
            "publish it again with `agd-bench publish`, giving the folder as both RUN and --to"
        )
    return manifest
