"""A board, leaderboard or run as data frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from agd_bench.errors import UnknownNameError
from agd_bench.records import Sweep
from agd_bench.store import Results, load_results
from agd_bench.store.database import is_url
from agd_bench.tables.ranking import rank_algorithms

FOLDER = Path("leaderboards")
"""Where leaderboards are found by name: in a clone of the repository."""


@dataclass(frozen=True, repr=False)
class Board:
    """Data frames of a board, a leaderboard or a run. `agd_bench.store.Results` describes the columns of trials, curves and attempts.

    Attributes:
        results: the raw rows and the sweep.
    """

    results: Results

    @property
    def sweep(self) -> Sweep:
        """What was trained."""
        return self.results.sweep

    @property
    def trials(self) -> pd.DataFrame:
        """One row per planned trial: its settings, outcome, accuracies and charged cost."""
        return self.results.trials

    @property
    def curves(self) -> pd.DataFrame:
        """One row per trial and epoch."""
        return self.results.curves

    @property
    def attempts(self) -> pd.DataFrame:
        """One row per execution of a trial, with its versions and device."""
        return self.results.attempts

    @cached_property
    def ranking(self) -> pd.DataFrame:
        """The algorithms by result: see `agd_bench.tables.ranking.tabulate_ranking`. Computed from the trials on first use, in seconds."""
        return rank_algorithms(self.results)

    def __repr__(self) -> str:
        trials = self.trials
        spaces = ", ".join(choice.label for choice in self.sweep.search_spaces)
        architectures = len(trials[["search_space", "architecture"]].drop_duplicates())
        return (
            f"Board({self.sweep.name}: {trials['algorithm'].nunique()} algorithms, {architectures} architectures of {spaces}, "
            f"{len(trials)} trials)"
        )


def load_board(name: str | Path) -> Board:
    """Load a board, a published leaderboard or a run as data frames. Needs no torch.

    Args:
        name: a folder, the name of a folder in `leaderboards/`, or the URL of a run's database.

    Raises:
        UnknownNameError: no such folder.
        InputError: the folder has no results.
        StoreDamagedError: files that changed since they were published, or rows that cannot be true.
    """
    return Board(load_results(name if is_url(name) else locate_board(name)))


def locate_board(name: str | Path) -> Path:
    """Return the folder of a leaderboard that is given by its path or by its name in `leaderboards/`.

    Raises:
        UnknownNameError: no such folder.
    """
    for folder in (Path(name).expanduser(), FOLDER / name):
        if folder.exists():
            return folder
    known = [path.parent.name for path in FOLDER.glob("*/manifest.json")]
    raise UnknownNameError("leaderboard", str(name), known, advice="Give a folder, or run this in a clone that has leaderboards/.")
