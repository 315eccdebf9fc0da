"""Gather published accuracies, learning-rate factors and features of a run's architectures from the plug-ins.

They are stored with the raw rows when results are reported or published.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from agd_bench import plugins
from agd_bench.errors import InputError, PluginError, UnknownNameError
from agd_bench.facts import is_number
from agd_bench.planning.planner import Folders
from agd_bench.records import AlgorithmChoice, Profile
from agd_bench.store import Results, columns_of, typed

VARIABLE = "AGD_BENCH_PUBLISHED"
"""Environment variable with the path of published results."""
SIGNAL_DRAWS, SIGNAL_IMAGES = 5, 128
"""Draws of the initial weights, and images per draw, over which the initial signal of a network is averaged."""


def gather_evidence(results: Results, folders: Folders | None = None, published: Path | None = None) -> Results:
    """Add the tables `published` and `rate_factors` to results. Tables that a published folder already has are kept.

    Plug-ins, and with them torch, are only imported if there is something to gather.

    Args:
        results: of a run or a published folder.
        folders: further folders of plug-ins, by kind.
        published: file or folder with published results of the run's search spaces. Default: the path in `AGD_BENCH_PUBLISHED`, if set;
            it may then be without results for this run.

    Raises:
        InputError: `published` does not exist or has no results for this run, or a file is damaged.
        PluginError: a plug-in returned an invalid table.
    """
    place = published or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if place is not None and (published is not None or results.published.empty):
        results = dataclasses.replace(
            results, published=published_accuracies(results, place, folders or {}, required=published is not None)
        )
    # What is stored is kept: a published folder can be analysed without plug-ins, torch or the published benchmark.
    if results.rate_factors.empty:
        results = dataclasses.replace(results, rate_factors=rate_factors(results, folders or {}))
    return dataclasses.replace(results, features=features(results, folders or {})) if results.features.empty else results


def published_accuracies(results: Results, place: Path, folders: Folders, required: bool = True) -> pd.DataFrame:
    """Return the accuracies that the authors of a run's search spaces published for its architectures.

    Args:
        results: of the run.
        place: file or folder with published results.
        folders: further folders of plug-ins, by kind.
        required: whether to raise if there are none.

    Returns:
        The table `published`; see `store.schema`.

    Raises:
        InputError: there are none although `required`, or a file cannot be used.
        PluginError: a plug-in returned an invalid table.
    """
    tables, missing = [], []
    trials = results.trials
    for space in results.sweep.search_spaces:
        read = _published_of(space.name, folders, required)
        if read is None:
            missing.append(f"search space {space.name!r} does not define published()")
            continue
        for dataset in results.sweep.datasets:
            own = trials[(trials["search_space"] == space.label) & (trials["dataset"] == dataset.label)]
            try:
                table = read(dataset.name, place, list(own["architecture"].unique()))
            except (LookupError, FileNotFoundError) as error:
                missing.append(str(error.args[0] if error.args else error))
            except ValueError as error:
                raise InputError(str(error)) from None
            else:
                tables.append(_checked(table, space.name).assign(search_space=space.label, dataset=dataset.label))
    if not tables and required:
        raise InputError(f"--published {place}: no results for this run: {'; '.join(dict.fromkeys(missing))}")
    return typed("published", pd.concat(tables, ignore_index=True)) if tables else results.published


def _published_of(name: str, folders: Folders, required: bool) -> Callable[..., Any] | None:
    """Return a search space's function `published`; None if it has none, or if the plug-in is unknown and not `required`."""
    try:
        module = plugins.load("search_spaces", name, folders.get("search_spaces", ()))
    except UnknownNameError:
        if required:
            raise
        return None
    return getattr(module, "published", None)


def _checked(table: Any, space: str) -> pd.DataFrame:
    wanted = [column.name for column in columns_of("published")][2:]
    if not isinstance(table, pd.DataFrame) or not set(wanted) <= set(table.columns):
        raise PluginError(f"search space {space!r}: published() must return a DataFrame with the columns {', '.join(wanted)}")
    if not table["accuracy"].between(0, 1).all():
        raise PluginError(f"search space {space!r}: published() returned accuracies outside [0, 1]; return fractions, not percentages")
    # A row without `training` is a mean: an epoch and split must have means or single trainings, not both.
    single = table["training"].notna().groupby([table["epochs"], table["split"]])
    if table.duplicated(["architecture", "epochs", "split", "training"]).any() or (single.any() != single.all()).any():
        raise PluginError(
            f"search space {space!r}: published() returned duplicate rows, or means mixed with single trainings; return one row per"
            " training, or one mean per architecture"
        )
    return table[wanted]


def features(results: Results, folders: Folders) -> pd.DataFrame:
    """Return the features of the trained architectures, from the optional `features` of their search spaces.

    Search spaces that do not define `features`, are unknown, or miss a package add no rows; they are not imported.

    Args:
        results: of the run.
        folders: further folders of plug-ins, by kind.

    Returns:
        The table `features`; see `store.schema`.

    Raises:
        PluginError: a plug-in cannot be loaded, or `features` raises or does not return a dict of finite numbers.
    """
    trained = results.trials[results.trials["status"] != "refused"]
    rows: list[tuple[str, str, str, float]] = []
    for space in results.sweep.search_spaces:
        source = plugins.find("search_spaces", folders.get("search_spaces", ())).get(space.name)
        # Read from the source: an import takes seconds, and fails where a package is missing.
        if source is None or "features" not in plugins.names_defined(source.path) or plugins.missing_packages(source):
            continue
        module = plugins.load_source(source)
        for architecture in trained.loc[trained["search_space"] == space.label, "architecture"].unique():
            stated = _stated_features(module, space.name, architecture)
            rows += [(space.label, architecture, str(name), float(value)) for name, value in stated.items()]
    return typed("features", pd.DataFrame(rows, columns=[column.name for column in columns_of("features")]))


def _stated_features(module: ModuleType, space: str, architecture: str) -> dict[str, float]:
    what = f"search space {space!r}: features({architecture!r})"
    try:
        stated = module.features(architecture)
    except Exception as error:
        raise PluginError(f"{what} raised {type(error).__name__}: {error}") from error
    if not isinstance(stated, dict) or not all(is_number(value) for value in stated.values()):
        raise PluginError(f"{what} returned {stated!r}; return a dict of finite numbers by name")
    return stated


def rate_factors(results: Results, folders: Folders) -> pd.DataFrame:
    """Return the factor by which an algorithm scales its base learning rate to each architecture, and the initial signal.

    Only algorithms with both a predicted and a searched rate are included: one entry of the sweep is tuned by a grid once per search
    space, another one per architecture.

    Args:
        results: of the run.
        folders: further folders of plug-ins, by kind.

    Returns:
        The table `rate_factors`, without refused architectures; see `store.schema`.
    """
    rows = [row for choice in _predicting(results) for row in _factors(results, choice, folders)]
    return typed("rate_factors", pd.DataFrame(rows, columns=[column.name for column in columns_of("rate_factors")]))


def _predicting(results: Results) -> list[AlgorithmChoice]:
    """Return the entries of algorithms that are tuned by a grid in both scopes."""
    gridded = [choice for choice in results.sweep.algorithms if choice.sampler == "grid" and choice.tuning_trials]
    scopes = {name: {choice.tuning_scope for choice in gridded if choice.name == name} for name in {choice.name for choice in gridded}}
    return [choice for choice in gridded if len(scopes[choice.name]) == 2]


def _factors(results: Results, choice: AlgorithmChoice, folders: Folders) -> Iterator[dict[str, object]]:
    algorithm = plugins.load("algorithms", choice.name, folders.get("algorithms", ()))
    parameters = inspect.signature(algorithm.build).parameters
    if not {"base_rate", "mode", "graph"} <= set(parameters):
        return
    mode: Any = choice.hyperparameters.get("mode", parameters["mode"].default)
    sweep = results.sweep
    dataset = plugins.load("datasets", sweep.datasets[0].name, folders.get("datasets", ()))
    for space in sweep.search_spaces:
        module = plugins.load("search_spaces", space.name, folders.get("search_spaces", ()))
        own = results.trials[(results.trials["search_space"] == space.label) & (results.trials["algorithm"] == choice.label)]
        for architecture in own.loc[(own["purpose"] == "final") & (own["status"] != "refused"), "architecture"].unique():
            factors = _factor_and_signal(module, architecture, space.options, mode, algorithm, dataset, sweep.profiles[0])
            yield {"search_space": space.label, "algorithm": choice.label, "architecture": architecture, **factors}


def _factor_and_signal(
    space: ModuleType, architecture: str, options: dict[str, Any], mode: Any, algorithm: ModuleType, dataset: ModuleType, profile: Profile
) -> dict[str, float]:
    """Return the factor, and the mean signal over draws of the weights, on noise of the first data set's image size."""
    import torch  # takes seconds to import

    from agd_bench.optim.path_scaling import graph_of, rate_multiplier, readout_signal
    from agd_bench.training.profiles import apply_profile

    graph, signals = graph_of(space, architecture, options), []
    with torch.random.fork_rng():
        for seed in range(SIGNAL_DRAWS):
            torch.manual_seed(seed)
            images = torch.randn(SIGNAL_IMAGES, dataset.IN_CHANNELS, dataset.IMAGE_SIZE, dataset.IMAGE_SIZE)
            network = apply_profile(space.build(architecture, dataset.IN_CHANNELS, dataset.NUM_CLASSES, **options), profile)
            algorithm.prepare(network, torch.Generator().manual_seed(seed), graph=graph)
            signals.append(readout_signal(network, graph.network, images))
    return {"factor": rate_multiplier(graph, mode), "signal": sum(signals) / len(signals)}
