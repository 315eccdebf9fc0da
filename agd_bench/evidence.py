"""What the plug-ins say of a run's architectures beside their trainings: published accuracies, factors of learning rates, and features.

It is gathered before results are reported or published and goes with the raw rows, so that everything is computed again from a published
folder alone, by `analysis`, without the plug-ins, torch, or the published table.
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
"""Environment variable with the published results' place, where none is given."""
SIGNAL_DRAWS, SIGNAL_IMAGES = 5, 128
"""Draws of the initial weights, and images of each, that the size of a network's signal at the start is the mean over."""


def gather_evidence(results: Results, folders: Folders | None = None, published: Path | None = None) -> Results:
    """The results with what the plug-ins say of their architectures; what results from a published folder hold already is kept.

    Plug-ins, and with them torch, are only imported where there is something to gather.

    Args:
        results: of a run or a published folder.
        folders: further plug-ins' folders by kind.
        published: file or folder with published results of the run's search spaces; default: what `AGD_BENCH_PUBLISHED` names, if that
            is set and holds any.

    Raises:
        InputError: no published results there, or none of the run's search spaces and data sets, where a place was given; a damaged file.
        PluginError: a table that is none.
    """
    place = published or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if place is not None and (published is not None or results.published.empty):
        results = dataclasses.replace(
            results, published=published_accuracies(results, place, folders or {}, required=published is not None)
        )
    if results.rate_factors.empty:
        results = dataclasses.replace(results, rate_factors=rate_factors(results, folders or {}))
    return dataclasses.replace(results, features=features(results, folders or {})) if results.features.empty else results


def published_accuracies(results: Results, place: Path, folders: Folders, required: bool = True) -> pd.DataFrame:
    """What the authors of a run's search spaces published of its architectures.

    Args:
        results: the run.
        place: file or folder with published results.
        folders: further plug-ins' folders by kind.
        required: whether it is an error that nothing is there.

    Returns:
        The table `published` of `store`.

    Raises:
        InputError: nothing there, where it is required, or a file that cannot be used.
        PluginError: a table that is none.
    """
    tables, missing = [], []
    trials = results.trials
    for space in results.sweep.search_spaces:
        told_by = _published_of(space.name, folders, required)
        if told_by is None:
            missing.append(f"search space {space.name!r} has no function `published`")
            continue
        for dataset in results.sweep.datasets:
            own = trials[(trials["search_space"] == space.label) & (trials["dataset"] == dataset.name)]
            try:
                told = told_by(dataset.name, place, list(own["architecture"].unique()))
            except (LookupError, FileNotFoundError) as error:
                missing.append(str(error.args[0] if error.args else error))
            except ValueError as error:
                raise InputError(str(error)) from None
            else:
                tables.append(_checked(told, space.name).assign(search_space=space.label, dataset=dataset.name))
    if not tables and required:
        raise InputError(f"--published {place}: nothing for this run: {'; '.join(dict.fromkeys(missing))}")
    return typed("published", pd.concat(tables, ignore_index=True)) if tables else results.published


def _published_of(name: str, folders: Folders, required: bool) -> Callable[..., Any] | None:
    """A search space's function `published`; none where it has none, or where the plug-in is not at hand and nobody asked for it."""
    try:
        module = plugins.load("search_spaces", name, folders.get("search_spaces", ()))
    except UnknownNameError:
        if required:
            raise
        return None
    return getattr(module, "published", None)


def _checked(told: Any, space: str) -> pd.DataFrame:
    wanted = [column.name for column in columns_of("published")][2:]
    if not isinstance(told, pd.DataFrame) or not set(wanted) <= set(told.columns):
        raise PluginError(f"search space {space!r}: published() gave no table with the columns {', '.join(wanted)}")
    if not told["accuracy"].between(0, 1).all():
        raise PluginError(f"search space {space!r}: published() gave accuracies outside [0, 1]; they are shares, not per cent")
    single = told["training"].notna().groupby([told["epochs"], told["split"]])
    if told.duplicated(["architecture", "epochs", "split", "training"]).any() or (single.any() != single.all()).any():
        raise PluginError(f"search space {space!r}: published() gave a training twice, or means beside single trainings; give either, once")
    return told[wanted]


def features(results: Results, folders: Folders) -> pd.DataFrame:
    """What the optional function `features` of a run's search spaces states of the architectures that were trained.

    A plug-in whose source defines no such function is not imported. One that is not installed here, or misses a package, adds no rows.

    Args:
        results: the run.
        folders: further plug-ins' folders by kind.

    Returns:
        The table `features` of `store`.

    Raises:
        PluginError: a plug-in that does not load, or whose `features` raises or returns anything but finite numbers by name.
    """
    trained = results.trials[results.trials["status"] != "refused"]
    rows: list[tuple[str, str, str, float]] = []
    for space in results.sweep.search_spaces:
        source = plugins.find("search_spaces", folders.get("search_spaces", ())).get(space.name)
        if source is None or "features" not in plugins.names_defined(source.path) or plugins.lacks(source):
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
    """By what each algorithm that scales a base rate to the paths of an architecture multiplies it, and the signal that it starts with.

    Only of algorithms whose rate is predicted under one label and searched under another: tuned by a grid once for the search space, and
    for each architecture.

    Args:
        results: the run.
        folders: further plug-ins' folders by kind.

    Returns:
        The table `rate_factors` of `store`, without the architectures that cannot be trained.
    """
    rows = [row for choice in _predicting(results) for row in _factors(results, choice, folders)]
    return typed("rate_factors", pd.DataFrame(rows, columns=[column.name for column in columns_of("rate_factors")]))


def _predicting(results: Results) -> list[AlgorithmChoice]:
    """The entries of plug-ins that are searched by a grid in both scopes."""
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
            told = _told_by_graph(module, architecture, space.options, mode, algorithm, dataset, sweep.profiles[0])
            yield {"search_space": space.label, "algorithm": choice.label, "architecture": architecture, **told}


def _told_by_graph(
    space: ModuleType, architecture: str, options: dict[str, Any], mode: Any, algorithm: ModuleType, dataset: ModuleType, profile: Profile
) -> dict[str, float]:
    """The factor, and the size of the signal: mean over draws of the weights, on images of noise of the first data set's size."""
    import torch  # here and not above: it takes seconds to import

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
