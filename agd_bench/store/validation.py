"""Validate results on reading: ids, names, ranges, references and sums."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agd_bench.records import TERMINAL, Precision, Profile, Sweep
from agd_bench.records.values import LossName, Purpose
from agd_bench.store.schema import LOST, OUT_OF_MEMORY, SORTING, Column, Table, columns_of

WORDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("trials", "status"): (*TERMINAL, "running", "pending"),
    ("trials", "purpose"): get_args(Purpose),
    ("trials", "profile"): get_args(Profile),
    ("trials", "precision"): get_args(Precision),
    ("trials", "loss"): get_args(LossName),
    ("attempts", "outcome"): (*TERMINAL, LOST, OUT_OF_MEMORY, "running"),
}
"""Allowed values of columns with a fixed set of values."""
# 5e-324: the smallest positive float64, so a share is more than 0
LEAST = {"epoch": 1, "epochs": 1, "attempt": 1, "batch_size": 1, "trainings": 1, "dataset_share": 5e-324}
"""Smallest value of columns that cannot be 0."""
# far beyond any count, within int64, and exact as the float64 in which values are compared
LARGEST_COUNT = 2**62
# statuses that only training leads to; failed and refused trials may have cost nothing
TRAINED = ("done", "diverged", "pruned")
# sums in another order differ in the last digits
RELATIVE_TOLERANCE = 1e-9
"""Tolerance of a sum of charged seconds."""

Mask = NDArray[np.bool_]
Tables = Mapping[Table, pd.DataFrame]


def find_faults(sweep: Sweep, tables: Tables, meta: Mapping[str, str]) -> list[str]:
    """Find values that cannot be true, one line per kind of fault.

    Args:
        sweep: the sweep.
        tables: tables by name, with the columns and types of `columns_of`.
        meta: as `Results.meta`.

    Returns:
        Lines such as `trials: test_accuracy of trial 0a…9f is 1.7, allowed is 0 to 1`; empty if there are no faults.
    """
    faults = [*_meta_faults(meta), *(fault for table, frame in tables.items() for fault in _value_faults(table, frame))]
    faults += [fault for table, frame in tables.items() for fault in _repeated(table, frame)]
    faults += _name_faults(sweep, tables)
    # Sums and curves are compared by trial, which requires valid ids.
    return faults or [*_reference_faults(tables), *_attempt_faults(tables), *_curve_faults(tables)]


def _line(table: str, frame: pd.DataFrame, wrong: Mask, what: str) -> Iterator[str]:
    """One line about the first faulty row, with its values filled into `what`, and the number of other faulty rows."""
    if wrong.any():
        row = {str(name): value for name, value in frame.iloc[int(wrong.argmax())].items()}
        more = int(wrong.sum()) - 1
        who = f" (trial {row['trial_id']})" if "trial_id" in row else ""
        yield f"{table}: {' '.join(what.format_map(row).split())}{who}{f', and {more} more rows' if more else ''}"


def _range(column: Column) -> tuple[float, float]:
    """Smallest and largest allowed value of a numeric column."""
    if column.unit == "share":
        return LEAST.get(column.name, 0), 1
    if column.type == "integer":
        return LEAST.get(column.name, 0), LARGEST_COUNT
    largest = float(np.finfo(np.float64).max)
    signed = column.unit not in ("seconds", "joules", "operations", "bytes")
    return -largest if signed else 0, largest


def _value_faults(table: Table, frame: pd.DataFrame) -> Iterator[str]:
    """Numbers out of range, unknown words, and texts that are not valid JSON."""
    for column in columns_of(table):
        name, values = column.name, frame[column.name]
        needed = values.notna() | (not column.nullable)
        if column.type != "text":
            low, high = _range(column)
            numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
            # NaN fails both comparisons; whether it is allowed depends on `needed` alone
            wrong = ~((numbers >= low) & (numbers <= high)) & needed.to_numpy()
            allowed = f"{low:g} to {high:g}" if high <= 1 else f"{low:g} or more" if low >= 0 else "finite numbers"
        elif (table, name) in WORDS:
            wrong, allowed = (~values.isin(WORDS[table, name]) & needed).to_numpy(), ", ".join(WORDS[table, name])
        elif name in ("hyperparameters", "provenance"):
            # parse each text once, because many rows share one provenance
            odd = [text for text in values.dropna().unique() if not _is_settings(text)]
            wrong, allowed = values.isin(odd).to_numpy(), "a JSON object of settings"
        elif name in ("trial_id", "representative"):
            wrong, allowed = (~values.fillna("").str.fullmatch("[0-9a-f]{16}") & needed).to_numpy(), "sixteen hexadecimal digits"
        else:
            continue
        yield from _line(table, frame, wrong.astype(bool), f"{name} is {{{name}}}, allowed is {allowed}")


def _is_settings(text: str) -> bool:
    """Whether a text is a JSON object of numbers, strings and booleans."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(read, dict) and all(isinstance(value, str | int | float | bool) for value in read.values())


def _meta_faults(meta: Mapping[str, str]) -> Iterator[str]:
    shapes: dict[str, Callable[[Any], bool]] = {
        **dict.fromkeys(("plugin_digests", "first_digests", "versions"), _is_texts),
        "earlier_digests": lambda read: isinstance(read, dict) and all(_is_texts(value) for value in read.values()),
        "devices": lambda read: isinstance(read, list) and all(isinstance(value, str) for value in read),
        "planned_trials": lambda read: isinstance(read, list) and all(_is_count_of_trials(row) for row in read),
    }
    for key, is_sound in shapes.items():
        try:
            sound = key not in meta or is_sound(json.loads(meta[key]))
        except (ValueError, RecursionError):
            sound = False
        if not sound:
            yield f"meta: {key} is {meta[key][:60]!r}, which is not a valid value"


def _is_texts(read: Any) -> bool:
    """Whether a value maps names to strings."""
    return isinstance(read, dict) and all(isinstance(value, str) for value in read.values())


def _is_count_of_trials(row: Any) -> bool:
    """Whether a value consists of the five names of `planned_counts` and a number of trials."""
    return (
        # `type` rather than `isinstance`, because True is an int too
        isinstance(row, list) and len(row) == 6 and all(isinstance(name, str) for name in row[:5]) and type(row[5]) is int and row[5] >= 0
    )


def _repeated(table: Table, frame: pd.DataFrame) -> Iterator[str]:
    """Duplicate rows by the key of their table."""
    # these tables have no primary key; their sorting columns identify a row
    key = [column.name for column in columns_of(table) if column.key] or SORTING[table]
    # two trials at one position would have no defined order
    for names in (key, ["position"]) if table == "trials" else (key,):
        yield from _line(table, frame, frame.duplicated(names).to_numpy(), ", ".join(f"{name} {{{name}}}" for name in names) + " twice")


def _name_faults(sweep: Sweep, tables: Tables) -> Iterator[str]:
    """Rows that are not in the sweep."""
    asked: dict[str, set[str]] = {
        "search_space": {choice.label for choice in sweep.search_spaces},
        "dataset": {choice.label for choice in sweep.datasets},
        "algorithm": {choice.label for choice in sweep.algorithms},
        "profile": set(sweep.profiles),
    }
    for table in ("trials", "published", "rate_factors"):
        frame = tables[table]
        for name, known in asked.items():
            if name in frame:
                yield from _line(table, frame, (~frame[name].isin(known)).to_numpy(), f"{name} {{{name}}} is not in the sweep")


def _reference_faults(tables: Tables) -> Iterator[str]:
    """Rows about trials that do not exist."""
    trials = tables["trials"]
    known = pd.Index(trials["trial_id"])
    for table in ("curves", "attempts", "diagnostics"):
        # get_indexer is ten times as fast as isin, which converts a million texts one by one
        yield from _line(table, tables[table], known.get_indexer(tables[table]["trial_id"]) < 0, "there is no such trial")
    lacking = _took_results(trials) & (known.get_indexer(trials["representative"]) < 0)
    yield from _line("trials", trials, lacking, "representative {representative} has no row")


def _took_results(trials: pd.DataFrame) -> Mask:
    return np.asarray(trials["representative"].notna() & (trials["status"] != "pending"), dtype=bool)


def _attempt_faults(tables: Tables) -> Iterator[str]:
    """Attempts that contradict the number or the charged seconds of their trial."""
    trials, attempts = tables["trials"], tables["attempts"]
    of_trial = pd.Index(trials["trial_id"]).get_indexer(attempts["trial_id"])
    # -1: no such trial, which _reference_faults reports
    own = of_trial >= 0
    counts = np.bincount(of_trial[own], minlength=len(trials))
    seconds = np.bincount(of_trial[own], weights=attempts["seconds"].fillna(0.0).to_numpy()[own], minlength=len(trials))
    charged = trials["charged_seconds"].to_numpy()
    miscounted = counts != trials["attempts"].to_numpy()
    yield from _line("trials", trials, miscounted, "attempts is {attempts}, but the table attempts has a different number of rows for it")
    # the absolute tolerance of a microsecond covers sums near 0
    unlike = ~np.isclose(charged, seconds, rtol=RELATIVE_TOLERANCE, atol=1e-6)
    yield from _line("trials", trials, unlike, "charged_seconds is {charged_seconds}, but its attempts have a different sum")
    free = trials["status"].isin(TRAINED).to_numpy() & ~_took_results(trials) & (charged <= 0)
    yield from _line("trials", trials, free, "charged_seconds is {charged_seconds}, but it was trained")
    timeless = ((attempts["outcome"] == "running") != attempts["seconds"].isna()).to_numpy()
    yield from _line("attempts", attempts, timeless, "seconds is {seconds}, but the outcome is {outcome}")


def _curve_faults(tables: Tables) -> Iterator[str]:
    """Curve points of epochs beyond those of their trial."""
    trials, curves = tables["trials"], tables["curves"]
    if len(trials):
        of_trial = pd.Index(trials["trial_id"]).get_indexer(curves["trial_id"])
        # unmatched curves index trial -1, the last one; the mask discards that comparison
        beyond = (of_trial >= 0) & (curves["epoch"].to_numpy() > trials["epochs"].to_numpy()[of_trial])
        yield from _line("curves", curves, beyond, "epoch {epoch} is beyond the epochs of its trial")
