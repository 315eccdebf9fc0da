"""Read a board as one run: the union of the rows of its entries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from agd_bench.errors import InputError, StoreDamagedError
from agd_bench.records import canonical_json
from agd_bench.records.competition import BENCHMARK, ENTRIES, ENTRY, Benchmark, Entry, Part, read_record
from agd_bench.store.results import Results, stack
from agd_bench.store.row_code import state_code, united_code
from agd_bench.store.schema import EVIDENCE, SORTING, TABLES, Table

# keys of the meta data of a board that is read as a run
ABOUT_BENCHMARK, ABOUT_ENTRIES = "benchmark", "entries"


def is_board(location: Path | str) -> bool:
    """Return whether a location is a board: a folder with a benchmark."""
    return "://" not in str(location) and (Path(location) / BENCHMARK).is_file()


def read_benchmark(board: Path) -> Benchmark:
    """Return the benchmark of a board.

    Raises:
        InputError: the folder has none, or it cannot be read.
    """
    if not is_board(board):
        raise InputError(f"{board}: no {BENCHMARK}; give the folder of a board, or make one with `agd-bench freeze SWEEP --to {board}`")
    return read_record(Benchmark, board / BENCHMARK)


def read_entries(board: Path) -> dict[str, Entry]:
    """Return all entries of a board by name, whether or not they are ranked.

    Raises:
        InputError: one cannot be read.
    """
    return {path.parent.name: read_record(Entry, path) for path in sorted(board.glob(f"{ENTRIES}/*/{ENTRY}"))}


def ranked_entries(entries: Mapping[str, Entry], part: Part) -> list[str]:
    """Return the names of the entries that are ranked: neither withdrawn nor superseded, and with rows of the part.

    Args:
        entries: all entries of a board.
        part: `whole` leaves out entries that have rows of the lite part only.
    """
    # a withdrawn entry no longer replaces what it superseded
    replaced = {name for entry in entries.values() if not entry.withdrawn for name in entry.supersedes}
    return [
        name
        for name, entry in entries.items()
        if not entry.withdrawn and name not in replaced and (part == "lite" or entry.part == "whole")
    ]


def unite_entries(benchmark: Benchmark, entries: Mapping[str, Entry], rows: Mapping[str, Results], part: Part) -> Results:
    """Return the rows of ranked entries as those of one run.

    Args:
        benchmark: of the board.
        entries: all entries, for the meta data.
        rows: of each ranked entry; at least one.
        part: which part of the benchmark; of entries with rows of the whole, those outside the lite part are left out.

    Raises:
        StoreDamagedError: rows that do not belong to the benchmark.
    """
    order = benchmark.in_order(rows)
    for name in order:
        _check_belongs(name, benchmark, entries[name], rows[name])
    parts = {name: state_code(rows[name]) for name in order}
    if part == "lite":
        parts = {name: _only_lite(one, benchmark) for name, one in parts.items()}
    sweep = benchmark.sweep([one.sweep.algorithms[0] for one in parts.values()], part)
    tables: dict[Table, pd.DataFrame] = {table: stack(*(getattr(one, table) for one in parts.values())) for table in (*TABLES, *EVIDENCE)}
    # as one plan would have it: by place in the entries' equal plans, then by entry
    counts = {name: number for number, name in enumerate(order)}
    trials = tables["trials"].assign(entry=tables["trials"]["algorithm"].map(counts)).sort_values(["position", "entry"], kind="stable")
    tables["trials"] = trials.assign(position=range(len(trials))).drop(columns="entry").reset_index(drop=True)
    # workers are numbered within an entry: "1" of two entries is not one machine
    owners = tables["trials"].set_index("trial_id")["algorithm"]
    tables["attempts"] = tables["attempts"].assign(
        node=(tables["attempts"]["trial_id"].map(owners) + "/" + tables["attempts"]["node"]).astype("str")
    )
    for table in (*TABLES[1:], *EVIDENCE):
        # what plug-ins say about an architecture is the same in every entry
        unique = tables[table].drop_duplicates(SORTING[table]) if table in EVIDENCE else tables[table]
        tables[table] = unique.sort_values(SORTING[table], ignore_index=True)
    about = {name: entry.model_dump(mode="json") | {"ranked": name in rows} for name, entry in entries.items()}
    stated = {"name": benchmark.name, "version": benchmark.version, "digest": benchmark.digest, "part": part}
    meta = _united_meta([one.meta for one in parts.values()]) | {
        ABOUT_BENCHMARK: canonical_json(stated),
        ABOUT_ENTRIES: canonical_json(about),
    }
    return replace(next(iter(parts.values())), sweep=sweep, meta=meta, **tables)


def _check_belongs(name: str, benchmark: Benchmark, entry: Entry, rows: Results) -> None:
    if entry.benchmark != benchmark.digest:
        raise StoreDamagedError(
            f"entry {name}: its rows belong to benchmark {entry.benchmark[:12]}…, but {BENCHMARK} is {benchmark.digest[:12]}…; a changed "
            "benchmark is a new version in a folder of its own"
        )
    # a description may be reworded: it is not part of the benchmark's digest
    asked = benchmark.sweep(rows.sweep.algorithms, entry.part).model_copy(update={"description": rows.sweep.description})
    if [choice.label for choice in rows.sweep.algorithms] != [name] or rows.sweep != asked:
        raise StoreDamagedError(
            f"entry {name}: its sweep.json is not the {entry.part} benchmark with the algorithm {name}; submit it again"
        )


def _only_lite(rows: Results, benchmark: Benchmark) -> Results:
    """Return the rows of the lite part: its final trials, and the tuning trials that they depend on."""
    trials = rows.trials
    listed = {(space, architecture) for space, names in benchmark.lite.architectures.items() for architecture in names}
    inside = pd.Series(
        [pair in listed for pair in zip(trials["search_space"], trials["architecture"], strict=True)], trials.index, dtype=bool
    )
    final = (trials["purpose"] == "final") & trials["seed"].isin(benchmark.lite.seeds) & inside
    kept = trials.loc[final | ((trials["purpose"] == "tuning") & trials["study"].isin(trials.loc[final, "study"])), "trial_id"]
    tables = {name: getattr(rows, name) for name in TABLES}
    return replace(rows, **{name: frame[frame["trial_id"].isin(kept)].reset_index(drop=True) for name, frame in tables.items()})


def _united_meta(metas: list[dict[str, str]]) -> dict[str, str]:
    """Return what the entries' runs say of themselves: everything of the newest one, with the devices and the code of all."""
    oldest_first = sorted(metas, key=lambda meta: meta.get("created_at", ""))
    devices = sorted({device for meta in metas for device in json.loads(meta.get("devices", "[]"))})
    newest = {key: value for key, value in oldest_first[-1].items() if key not in ("plan_digest", "earlier_digests", "first_digests")}
    return newest | {"devices": json.dumps(devices)} | united_code(oldest_first)
