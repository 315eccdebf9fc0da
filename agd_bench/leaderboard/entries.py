"""Entries of a board: write one, check all, and say what one moves in the ranking."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from agd_bench.analysis.places import standings
from agd_bench.analysis.scores import GROUP
from agd_bench.errors import AgdBenchError, InputError, RunChangedError, UnknownNameError
from agd_bench.leaderboard.anonymisation import scrub_results
from agd_bench.leaderboard.publication import SCHEMA_VERSION, read_manifest, verify_digests
from agd_bench.records import Trial
from agd_bench.records.competition import ENTRIES, ENTRY, Entry, format_record
from agd_bench.report.page import as_plain_markdown, format_table
from agd_bench.store import Results, undeclared_code, write_rows, written_beside
from agd_bench.store.entry_rows import read_entries
from agd_bench.store.manifest import MANIFEST, digests
from agd_bench.store.reader import read_results
from agd_bench.store.row_code import DIGESTS

COMMENT = "What this entry states about itself; `agd-bench verify` compares it with the rows."


def write_entry(results: Results, board: Path, entry: Entry) -> Path:
    """Write an entry's folder. Names of machines, users and folders are taken out of its rows first.

    Args:
        results: of one algorithm, labelled as the entry, on the whole benchmark or its lite part.
        board: the board's folder.
        entry: what the entry states.

    Returns:
        The folder `entries/NAME`.

    Raises:
        InputError: an entry of that name is there already; one with rows of the lite part may be replaced by one with all rows.
        RunChangedError: trials were executed by code that the run does not declare.
    """
    (name,) = (choice.label for choice in results.sweep.algorithms)
    folder = board / ENTRIES / name
    before = read_entries(board).get(name)
    if before is not None and (before.part, entry.part) != ("lite", "whole"):
        raise InputError(f"{folder}: the board has an entry {name} already; submit this one under another name, with --supersedes {name}")
    undeclared = undeclared_code(results)
    if undeclared:
        raise RunChangedError(f"{'; '.join(undeclared[:4])}; train the trials again")
    with written_beside(folder, last=MANIFEST) as beside:
        write_rows(scrub_results(results), beside, condensed=True)
        (beside / ENTRY).write_text(format_record(entry, COMMENT), encoding="utf-8", newline="\n")
        files = digests(beside)
        manifest = {"schema_version": SCHEMA_VERSION, "files": files}
        (beside / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8", newline="\n")
    for left in digests(folder).keys() - files.keys():  # of the lite entry that this one replaces
        (folder / left).unlink()
    return folder


def withdraw_entry(board: Path, name: str, reason: str) -> None:
    """Take an entry out of the ranking. Its rows stay, and the board says why.

    Args:
        board: its folder, which `write_board` then renews.
        name: of the entry.
        reason: in a sentence.

    Raises:
        InputError: no such entry, or no reason.
    """
    entries, folder = read_entries(board), board / ENTRIES / name
    if name not in entries:
        raise UnknownNameError("entry", name, entries)
    if not reason.strip():
        raise InputError("--reason: empty; say in a sentence why the entry is withdrawn")
    changed = entries[name].model_copy(update={"withdrawn": reason.strip()})
    with written_beside(folder, last=MANIFEST) as beside:
        (beside / ENTRY).write_text(format_record(changed, COMMENT), encoding="utf-8", newline="\n")
        # only this file's digest is renewed: withdrawing must not vouch for rows that somebody edited
        manifest = read_manifest(folder)
        manifest["files"] |= digests(beside)
        (beside / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8", newline="\n")


def check_entries(board: Path) -> list[str]:
    """Return what is wrong with the entries of a board, one line each; ranked ones, superseded ones and withdrawn ones alike.

    Checked are: the digests of an entry's files; that its rows can be read; that what it states agrees with them; that each final trial's
    id is the hash of its settings, so that rows of other settings or of another algorithm cannot be passed off as this entry's.

    Args:
        board: its folder.
    """
    lines: list[str] = []
    entries = read_entries(board)
    for name, entry in entries.items():
        folder = board / ENTRIES / name
        try:
            found = [*verify_digests(folder), *_contradictions(entry, read_results(folder, unchanged=False))]
        except AgdBenchError as error:
            found = [f"raw rows: {error}"]
        unknown = [other for other in entry.supersedes if other not in entries]
        found += [f"{ENTRY}: supersedes {other}, which is no entry of this board" for other in unknown]
        lines += [f"{ENTRIES}/{name}/{line}" for line in found]
    without = [path.name for path in sorted((board / ENTRIES).glob("*")) if path.is_dir() and path.name not in entries]
    return lines + [f"{ENTRIES}/{name}: no {ENTRY}" for name in without]


def _contradictions(entry: Entry, results: Results) -> Iterator[str]:
    """Statements of an entry that its rows contradict."""
    plugin = f"algorithms/{results.sweep.algorithms[0].name}"
    digest = json.loads(results.meta.get(DIGESTS, "{}")).get(plugin, "")
    if entry.digest != digest:
        yield f"{ENTRY}: digest is {entry.digest}, but the rows were made by {digest or 'code that is not stated'}"
    devices = json.loads(results.meta.get("devices", "[]"))
    if sorted(entry.hardware) != sorted(devices):
        yield f"{ENTRY}: hardware is {', '.join(entry.hardware) or 'empty'}, but the rows come from {', '.join(devices)}"
    final = results.trials[results.trials["purpose"] == "final"]
    wrong = [row["trial_id"] for row in final.to_dict("records") if trial_of(row, results).id != row["trial_id"]]
    if wrong:
        yield f"trials.csv: the id of trial {wrong[0]} is not the hash of its settings ({len(wrong)} such trials)"


def trial_of(row: Mapping[Any, Any], results: Results) -> Trial:
    """Return the trial that a row of `trials` is the result of.

    Args:
        row: of a final trial.
        results: that it is from.
    """
    spaces = {choice.label: choice for choice in results.sweep.search_spaces}
    choice = next(one for one in results.sweep.algorithms if one.label == row["algorithm"])
    data = next(one for one in results.sweep.datasets if one.label == row["dataset"])
    space = spaces[str(row["search_space"])]
    given = {
        name: row[name] for name in ("architecture", "dataset_share", "profile", "precision", "epochs", "batch_size", "seed", "purpose")
    }
    return Trial.model_validate(
        given
        | {"search_space": space.name, "search_space_label": space.label, "search_space_options": space.options}
        | {"dataset": data.name, "dataset_label": data.label, "augment": data.augment}
        | {"algorithm": choice.name, "algorithm_label": choice.label, "loss": choice.loss}
        | {"hyperparameters": {**choice.hyperparameters, **choice.untuned}, "study": None if pd.isna(row["study"]) else row["study"]}
    )


def describe_moves(before: Results | None, after: Results) -> str:
    """Return how the places of a board moved, as Markdown for a comment on a pull request.

    Args:
        before: the board without the change; None if it had no ranked entry.
        after: with the change.
    """
    new = standings(after.trials, after.sweep.baseline_label)
    old = new.iloc[:0] if before is None else standings(before.trials, before.sweep.baseline_label)
    key = [*GROUP, "algorithm"]
    both = new.merge(old[[*key, "place"]], on=key, how="outer", suffixes=("", "_before")).sort_values([*GROUP, "place"], kind="stable")
    parts = [f"### {as_plain_markdown(after.sweep.name)}"]
    for group, rows in both.groupby(GROUP, sort=False):
        changed = rows[rows["place"].fillna(0) != rows["place_before"].fillna(0)]
        parts.append(f"{as_plain_markdown(' / '.join(map(str, group)))}: {len(changed)} of {len(rows)} places change.")
        lines = [_move(row) for row in changed.to_dict("records")]
        parts += [format_table(["algorithm", "place before", "place now", "accuracy, %", "difference, points"], lines)] if lines else []
    return "\n\n".join(parts) + "\n"


def _move(row: Mapping[Any, Any]) -> list[str]:
    def points(name: str, sign: str = "") -> str:
        return "–" if pd.isna(row[name]) else f"{100 * row[name]:{sign}.1f}"

    places = ["–" if pd.isna(row[name]) else f"{row[name]:.0f}" for name in ("place_before", "place")]
    interval = f" ({points('difference_low', '+')} to {points('difference_high', '+')})" if not pd.isna(row["difference_low"]) else ""
    return [as_plain_markdown(str(row["algorithm"])), *places, points("accuracy"), points("difference", "+") + interval]
