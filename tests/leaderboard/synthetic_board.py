"""A board with simulated entries, for tests of its pages and for measuring how long they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agd_bench.leaderboard.entries import trial_of, write_entry
from agd_bench.leaderboard.publication import write_board
from agd_bench.records.competition import BENCHMARK, Benchmark, Entry, format_record
from agd_bench.records.sweep import AlgorithmChoice
from agd_bench.store import Results
from tests.analysis.synthetic import simulate_results, simulate_trials


def simulate_board(board: Path, labels: Sequence[str] = ("sgd", "agd", "prodigy"), architectures: int = 9, seeds: int = 3) -> Path:
    """Write a board whose entries have successful trainings of cells.

    Args:
        board: the new folder.
        labels: of the entries; the first is the baseline.
        architectures: number of cells.
        seeds: of each training.

    Returns:
        The folder.
    """
    results = simulate_results(simulate_trials(architectures, seeds, labels, interaction=0.02), name=board.name, baseline=labels[0])
    names = tuple(results.trials["architecture"].unique())
    benchmark = Benchmark.model_validate(
        {
            "name": board.name,
            "baseline": labels[0],
            "epochs": 3,
            "batch_size": 32,
            "seeds": tuple(range(seeds)),
            "profiles": ("matrix-only",),
            "precision": "float32",
            "data": {"digits": "0" * 64},
            "lite": {"architectures": {"cells": names[:4]}, "seeds": (0, 1)},
            "search_spaces": [{"name": "cells", "architectures": names}],
            "datasets": [{"name": "digits"}],
        }
    )
    board.mkdir(parents=True)
    (board / BENCHMARK).write_text(format_record(benchmark, "Simulated."), encoding="utf-8")
    for number, label in enumerate(labels):
        entry = Entry(
            benchmark=benchmark.digest, title=f"Entry {label}.", tier=("self-tuning", "learning-rate-free")[number % 2], digest="",
            hardware=("Test CPU",),
        )  # fmt: skip
        write_entry(_rows_of(results, label, benchmark), board, entry)
    return write_board(board)


def _rows_of(results: Results, label: str, benchmark: Benchmark) -> Results:
    """Return the rows of one algorithm, with the ids that its trials have on the benchmark."""
    sweep = benchmark.sweep([AlgorithmChoice(name=label)])
    own = results.trials[results.trials["algorithm"] == label].reset_index(drop=True)
    one = replace(results, sweep=sweep, trials=own)
    ids = {row["trial_id"]: trial_of(row, one).id for row in own.to_dict("records")}
    tables = {}
    for name in ("trials", "curves", "attempts"):
        table = getattr(one, name)
        table = table[table["trial_id"].isin(ids)]
        tables[name] = table.assign(trial_id=table["trial_id"].map(ids).astype("str"))
    tables["trials"] = tables["trials"].assign(position=range(len(own)))
    return replace(one, **tables)
