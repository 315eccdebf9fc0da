"""Publish results as a folder that holds its raw rows, everything computed from them, and the digest of each file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd

from agd_bench.claims import Claims, evaluate_claims, format_claims, propose_claims, read_claims
from agd_bench.claims.definitions import FILE as CLAIMS
from agd_bench.errors import InputError, RunChangedError, SweepError
from agd_bench.leaderboard.anonymisation import scrub_results
from agd_bench.records import parse_sweep
from agd_bench.report import build_report, count_states, finding_sentences
from agd_bench.store import Results, begun_results, undeclared_code, write_rows, written_beside
from agd_bench.store.files import BESIDE
from agd_bench.store.manifest import MANIFEST, digests
from agd_bench.tables import aggregates

SCHEMA_VERSION = 1
EVIDENCE_FILES = {
    "published": "what the authors of the search space published of its architectures",
    "rate_factors": "by what a base learning rate is multiplied for each architecture",
    "features": "numbers that the search space's plug-in states of each architecture, such as its depth",
}
EQUALS_LINE = "| `equals.csv` | trials that were not trained: each has the results of an equal network's trial |\n"


def publish_results(results: Results, folder: Path, name: str | None = None, claims: Claims | None = None) -> Path:
    """Write results as a leaderboard folder. Names of machines, users and folders are taken out first.

    The folder holds `sweep.json`, `trials.csv`, `curves.csv`, `attempts.csv` and `meta.json` (the raw rows; floats are written so that
    they are read back exactly; trials that took an equal network's results stand in `equals.csv` alone), `claims.toml`,
    `index.html`, `figures/` and `data/` (the report), `README.md` (a summary) and `manifest.json` (schema version, the SHA-256 of
    each file and of each claim's definition).

    Args:
        results: whole or partial; partial ones are marked so, and leave out the rows of trials that nothing has happened to, so that the
            folder of a large sweep grows with what was trained.
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
    results = scrub_results(begun_results(results))
    if name is not None:
        try:
            sweep = type(results.sweep).model_validate({**results.sweep.model_dump(), "name": name})
        except ValueError:
            raise InputError(
                f"{name!r} cannot name a leaderboard; use letters, digits and . _ - and begin with a letter or digit"
            ) from None
        results = dataclasses.replace(results, sweep=sweep)
    claims = claims or written_claims(folder) or propose_claims(results.sweep)
    tables = aggregates(results)
    evaluated = evaluate_claims(results, claims, tables)  # before anything of an earlier publication is taken away
    earlier = _earlier_files(folder)
    with written_beside(folder, last=MANIFEST) as beside:
        write_rows(results, beside, condensed=True)
        (beside / CLAIMS).write_text(format_claims(claims), encoding="utf-8", newline="\n")
        build_report(results, beside, tables, evaluated)
        (beside / "README.md").write_text(summary(results, tables, evaluated), encoding="utf-8", newline="\n")
        stated = {claim.id: claim.digest for claim in claims.claims}
        files = digests(beside)
        others = {name: digest for name, digest in digests(folder).items() if name not in earlier and not name.startswith(BESIDE)}
        manifest = {"schema_version": SCHEMA_VERSION, "files": others | files, "claims": stated}
        (beside / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8", newline="\n")
    for name in earlier - set(files):
        path = (folder / name).resolve()
        if path.is_relative_to(folder.resolve()):  # a manifest from elsewhere must not reach outside its folder
            path.unlink(missing_ok=True)
    return folder


def written_claims(folder: Path) -> Claims | None:
    """The claims of a published folder that somebody wrote; none where there are none but those that publishing proposed.

    Args:
        folder: a published one, or any other.

    Raises:
        InputError: a file of claims that cannot be used.
    """
    if not (folder / CLAIMS).is_file() or not (folder / MANIFEST).is_file():
        return None
    claims = read_claims(folder / CLAIMS)
    try:
        sweep = parse_sweep((folder / "sweep.json").read_text(encoding="utf-8"), "sweep.json")
    except (OSError, ValueError, SweepError):
        return claims
    return None if claims == propose_claims(sweep) else claims


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
    return set(read_manifest(folder))


def read_manifest(folder: Path) -> dict[str, str]:
    """The digests that the manifest states, by path.

    Raises:
        InputError: no manifest, a malformed one, or one of another version.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        version, files = manifest["schema_version"], manifest["files"]
        stated = {str(name): str(digest) for name, digest in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder}: {MANIFEST} cannot be read ({type(error).__name__}); give a folder made by `agd-bench publish`"
        ) from None
    if version != SCHEMA_VERSION:
        raise InputError(f"{folder}: published with schema {version}, this agd-bench reads {SCHEMA_VERSION}; use the version that wrote it")
    return stated


def stated_claims(folder: Path) -> dict[str, str]:
    """The digests of claims that the manifest states, by id; empty for a folder that makes none.

    Args:
        folder: a published one, whose manifest can be read.
    """
    stated = json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("claims", {})
    return {str(name): str(text) for name, text in stated.items()} if isinstance(stated, dict) else {}


def summary(results: Results, tables: dict[str, pd.DataFrame], claims: pd.DataFrame) -> str:
    """The folder's README: the finding in words, the claims with their states, and where everything is.

    Args:
        results: the raw rows.
        tables: `aggregates` of them.
        claims: as they were evaluated.
    """
    sweep = results.sweep
    said = "\n".join(f"- {as_plain_markdown(sentence)}" for sentence in finding_sentences(results, tables))
    rows = claims[["state", "sentence", "digest"]].itertuples(index=False, name=None)
    claimed = "\n".join(f"- {state}: {as_plain_markdown(sentence)} (`{digest[:16]}`)" for state, sentence, digest in rows)
    evidence = "".join(f"| `{table}.csv` | {text} |\n" for table, text in EVIDENCE_FILES.items() if len(getattr(results, table)))
    taken = results.trials["representative"].notna() & (results.trials["status"] != "pending")
    evidence += EQUALS_LINE if taken.any() else ""
    about = f"{as_plain_markdown(sweep.description)}\n\n" if sweep.description else ""
    return f"""# {sweep.name}

{about}## The finding

{said}

## The claims

{count_states(claims)}

{claimed}

## What is here

| file | content |
|---|---|
| `index.html` | the report: figures, tables, failures, provenance |
| `trials.csv`, `curves.csv`, `attempts.csv` | the raw rows, one per trial, per epoch, per execution |
{evidence}| `sweep.json` | what was asked; `agd-bench run sweep.json` runs it again |
| `meta.json` | versions, devices, digests of the plug-ins |
| `claims.toml` | the claims, each with its query, test and threshold; `agd-bench claims` with this folder evaluates them again |
| `data/`, `figures/` | everything computed from the raw rows |
| `manifest.json` | SHA-256 of each file and of each claim's definition |

`agd-bench verify` followed by this folder recomputes every number from the raw rows.
"""


def as_plain_markdown(text: str) -> str:
    """Text that Markdown shows as it is, in one line: submitted results must not bring markup."""
    line = " ".join(text.split())
    return "".join(f"&#{ord(letter)};" if letter in "<>&|[]`*!" else letter for letter in line)
