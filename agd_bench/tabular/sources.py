"""Make a tabular benchmark from a run, from a published leaderboard, or from what a search space's authors published."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from agd_bench import plugins
from agd_bench.datasets import data_root
from agd_bench.errors import InputError
from agd_bench.store import Results, load_results
from agd_bench.store.database import is_url
from agd_bench.tabular.benchmark import ARRAYS, Cells, Floats, Key, Table

PUBLISHED = "published"
"""Label of the training algorithm of published accuracies."""
PUBLISHED_SETS = ("cifar10", "cifar100", "imagenet16_120")
OUTCOMES = ("done", "diverged")


def table(
    source: Results | Path | str,
    *,
    search_space: str | None = None,
    profile: str | None = None,
    published: Path | str | None = None,
) -> Table:
    """Make a tabular benchmark.

    Args:
        source: results, a run folder, a published folder or a store's URL; or the name of a search space that has `published` and
            `published_costs`, such as `nas_bench_201`.
        search_space: label of the search space, if the results have several.
        profile: the profile, if the results have several.
        published: file or folder of published results. Default: `AGD_BENCH_PUBLISHED`, else the folder `nas` in `AGD_BENCH_DATA`.

    Raises:
        InputError: nothing is there, or it has several search spaces or profiles and none is named.
    """
    if isinstance(source, Results):
        return table_of_results(source, search_space, profile)
    known = plugins.find("search_spaces")
    if not is_url(source) and not Path(source).exists() and str(source) in known:
        return table_of_published(str(source), published)
    return table_of_results(load_results(source), search_space, profile)


def table_of_results(results: Results, search_space: str | None = None, profile: str | None = None) -> Table:
    """Make a tabular benchmark of a run's final trials. Arguments and errors are those of `table`.

    Budgets are the epochs of the sweep, and if it has one budget only, the epochs of its learning curves, marked as `truncated`; their
    seconds are the training's in proportion.
    """
    # A table has budgets of its own: `digits@4` and `digits@16` are one data set.
    trials = results.trials.assign(
        dataset=results.trials["dataset"].map({choice.label: choice.name for choice in results.sweep.datasets}).astype("str")
    )
    for column, given in (("search_space", search_space), ("profile", profile)):
        there = list(trials[column].unique())
        if given is None and len(there) > 1:
            raise InputError(f"{results.sweep.name} has several values of {column}; name one of {', '.join(there)}")
        trials = trials[trials[column] == (given or there[0])]
    final = _with_costs(trials[(trials["purpose"] == "final") & trials["status"].isin(OUTCOMES)], trials)
    if final.empty:
        raise InputError(f"{results.sweep.name}: no final trial has ended; run the sweep first, or give another search space or profile")
    grid = _Grid(final)
    tuning = trials[trials["purpose"] == "tuning"].groupby("study")["charged_seconds"].sum()
    cells = {_key(names): grid.cells(rows, tuning) for names, rows in final.groupby(["dataset", "algorithm", "epochs"])}
    if final["epochs"].nunique() == 1:
        cells |= _truncated(grid, final, results.curves, tuning)
    parameters = final.groupby(["dataset", "architecture"])["parameters"].first()
    space = next(choice.name for choice in results.sweep.search_spaces if choice.label == final["search_space"].iloc[0])
    return Table(
        name=results.sweep.name,
        search_space=space,
        architectures=grid.architectures,
        seeds=grid.seeds,
        cells=cells,
        baseline=results.sweep.baseline_label or "",
        parameters={str(name): _floats(parameters[name].reindex(list(grid.architectures))) for name in final["dataset"].unique()},
        scores={},
    )


def _key(names: Any) -> Key:
    dataset, algorithm, epochs = names
    return Key(str(dataset), str(algorithm), int(epochs))


def _with_costs(final: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The final trials; those that took the results of an equal network cost what its training did."""
    own = trials.set_index("trial_id")
    taken = final["representative"].notna()
    if not taken.any():
        return final
    final = final.copy()
    for column in ("charged_seconds", "flops"):
        final.loc[taken, column] = own.loc[final.loc[taken, "representative"], column].to_numpy()
    return final


class _Grid:
    """Architectures and seeds of a table; arranges rows of trials in arrays (N, S)."""

    def __init__(self, final: pd.DataFrame) -> None:
        # In the order of the plan, of which every prefix is a fair sample.
        self.architectures = tuple(str(name) for name in final["architecture"].unique())
        self.seeds = tuple(sorted(int(seed) for seed in final["seed"].unique()))
        # Numbered over all budgets: each has studies of its own, except truncated ones, which share that of the whole training.
        self.studies = sorted(final["study"].dropna().unique())

    def cells(self, rows: pd.DataFrame, tuning: pd.Series[float], truncated: bool = False) -> Cells:
        """Arrange the trials of one data set, algorithm and budget."""
        lost = (rows["status"] == "diverged").to_numpy()
        accuracies = {name: np.where(lost, 0.0, _floats(rows[name])) for name in ("val_accuracy", "test_accuracy")}
        rows = rows.assign(seconds=rows["charged_seconds"], **accuracies)
        arrays: dict[str, Any] = {name: self._array(rows, name) for name in ARRAYS}
        study = rows.groupby("architecture")["study"].first().reindex(list(self.architectures))
        numbers = study.map({key: number for number, key in enumerate(self.studies)}).fillna(-1).to_numpy(dtype=np.int64)
        seconds = _floats(tuning.reindex(self.studies).fillna(0.0))
        return Cells(**arrays, studies=numbers, study_seconds=seconds, truncated=truncated)

    def _array(self, rows: pd.DataFrame, column: str) -> Floats:
        wide = rows.assign(value=_floats(rows[column])).pivot(index="architecture", columns="seed", values="value")
        return wide.reindex(index=list(self.architectures), columns=list(self.seeds)).to_numpy(dtype=np.float64)


def _truncated(grid: _Grid, final: pd.DataFrame, curves: pd.DataFrame, tuning: pd.Series[float]) -> dict[Key, Cells]:
    """Cells of the epochs before the last one, from learning curves. Test accuracy is measured at the end only."""
    own = final.drop(columns=["val_accuracy", "val_loss"]).merge(curves[["trial_id", "epoch", "val_accuracy", "val_loss"]], on="trial_id")
    own = own[own["epoch"] < own["epochs"]]
    for column in ("charged_seconds", "flops"):
        own[column] = _floats(own[column]) * own["epoch"] / own["epochs"]
    own["test_accuracy"] = np.nan
    # A training that diverges later was still fine here.
    own["status"] = "done"
    groups = own.groupby(["dataset", "algorithm", "epoch"])
    return {_key(names): grid.cells(rows, tuning, truncated=True) for names, rows in groups}


def _floats(values: Any) -> Floats:
    return pd.to_numeric(pd.Series(values)).to_numpy(dtype=np.float64, na_value=np.nan)


def table_of_published(search_space: str, path: Path | str | None = None) -> Table:
    """Make a tabular benchmark of the accuracies and costs that a search space's authors published.

    Args:
        search_space: name of a search space with `published` and `published_costs`.
        path: see `table`.

    Raises:
        InputError: the search space has no such functions, or no file is at hand.
    """
    module = plugins.load("search_spaces", search_space)
    if not hasattr(module, "published") or not hasattr(module, "published_costs"):
        raise InputError(f"search space {search_space!r} has no published table with costs; give a run or a published folder")
    place = path or _data_folder()
    cells: dict[Key, Cells] = {}
    parameters: dict[str, Floats] = {}
    scores: dict[str, Mapping[str, Floats]] = {}
    architectures: tuple[str, ...] = ()
    seeds = 1
    try:
        for dataset in PUBLISHED_SETS:
            costs = module.published_costs(dataset, place).set_index("architecture")
            architectures = architectures or tuple(costs.index)
            costs = costs.reindex(list(architectures))
            found = _published_cells(module, dataset, place, costs)
            cells |= found
            parameters[dataset] = _floats(costs["parameters"])
            scores[dataset] = _published_scores(module, dataset, place, architectures)
    except (LookupError, FileNotFoundError, ValueError) as error:
        raise InputError(str(error.args[0] if error.args else error)) from None
    seeds = max(each.val_accuracy.shape[1] for each in cells.values())
    widened = {key: _widened(each, seeds) for key, each in cells.items()}
    return Table(search_space, search_space, architectures, tuple(range(seeds)), widened, PUBLISHED, parameters, scores)


def _data_folder() -> Path | None:
    """Return the folder of published tables among the data sets' files; None: the search space reads `AGD_BENCH_PUBLISHED` itself."""
    folder = data_root() / "nas"
    return folder if folder.is_dir() and not os.environ.get("AGD_BENCH_PUBLISHED") else None


def _published_cells(module: ModuleType, dataset: str, place: Any, costs: pd.DataFrame) -> dict[Key, Cells]:
    """Cells by budget: single trainings if they are published, else one column of means. Test accuracies are means of all trainings."""
    rows = module.published(dataset, place)
    found = {}
    for budget, own in rows.groupby("epochs"):
        epochs = int(budget)
        seen, test = (own[own["split"] == split].assign(training=own["training"].fillna(0)) for split in ("validation", "test"))
        wide = seen.pivot(index="architecture", columns="training", values="accuracy").reindex(costs.index).to_numpy(dtype=np.float64)
        blank = np.where(np.isnan(wide), np.nan, 0.0)
        each: dict[str, Any] = {
            "val_accuracy": wide,
            "test_accuracy": blank + _column(test.groupby("architecture")["accuracy"].mean().reindex(costs.index)),
            "val_loss": np.full_like(wide, np.nan),
            "seconds": blank + epochs * _column(costs["seconds_per_epoch"]),
            "flops": blank + epochs * _column(costs["flops_per_epoch"]),
        }
        untuned = np.full(len(wide), -1, dtype=np.int64)
        means = bool((seen["trainings"] > 1).any())
        found[Key(dataset, PUBLISHED, epochs)] = Cells(**each, studies=untuned, study_seconds=np.zeros(0), means=means)
    return found


def _column(values: pd.Series[float]) -> Floats:
    return _floats(values)[:, None]


def _published_scores(module: ModuleType, dataset: str, place: Any, architectures: tuple[str, ...]) -> dict[str, Floats]:
    if not hasattr(module, "published_scores"):
        return {}
    stored = module.published_scores(dataset, place).set_index("architecture").reindex(list(architectures))
    return {str(name): _floats(stored[name]) for name in stored.columns}


def _widened(cells: Cells, seeds: int) -> Cells:
    """Cells with columns of missing trainings, so that all have equally many."""
    pads = ((0, 0), (0, seeds - cells.val_accuracy.shape[1]))
    arrays: dict[str, Any] = {name: np.pad(getattr(cells, name), pads, constant_values=np.nan) for name in ARRAYS}
    return replace(cells, **arrays)
