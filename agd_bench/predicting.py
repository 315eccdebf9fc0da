"""Learning rates predicted from the paths of architectures, beside those that a search found, of one run."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from agd_bench import plugins
from agd_bench.analysis import GROUP
from agd_bench.errors import InputError, UnknownNameError
from agd_bench.planning import Folders
from agd_bench.records import AlgorithmChoice, SearchSpaceChoice
from agd_bench.store import Results

COLUMNS = ["architecture", "predicted_rate", "searched_rate", "at_grid_end"]


def predicted_rates(
    results: Results, predicted: str = "predicted", searched: str = "grid_searched", folders: Folders | None = None
) -> pd.DataFrame:
    """What the prediction says of each architecture's learning rate, and what its own grid search found.

    Both rates are computed from what was proposed and from the graph, not read off a training, so that architectures stay in whose
    predicted rate is too large to train with.

    Args:
        results: a run with the built-in sweep's two entries of `architecture_aware_sgd`, or of algorithms like it.
        predicted: label of the one whose base rate was found on the shallow network.
        searched: label of the one whose rate was found on each architecture by its own.
        folders: further plug-ins' folders by kind.

    Returns:
        One row per group and architecture that can be trained: `search_space`, `dataset`, `profile`, `architecture`,
        `predicted_rate`, `searched_rate` (NaN where no proposal of the study finished), `at_grid_end` (whether the searched rate comes of
        the largest or smallest base rate that was tried).

    Raises:
        UnknownNameError: no algorithm of that label.
        InputError: an algorithm without a base rate.
    """
    tables = []
    for label in (predicted, searched):
        rows = list(_rates(results, _choice(results, label), folders or {}))
        tables.append(pd.DataFrame(rows, columns=[*GROUP, "architecture", "rate", "at_grid_end"]))
    first, second = tables
    first = first.rename(columns={"rate": "predicted_rate"}).drop(columns="at_grid_end")
    both = first.merge(second.rename(columns={"rate": "searched_rate"}), on=[*GROUP, "architecture"], validate="one_to_one")
    return both[[*GROUP, *COLUMNS]].astype({"predicted_rate": float, "searched_rate": float})


def _choice(results: Results, label: str) -> AlgorithmChoice:
    choices = {choice.label: choice for choice in results.sweep.algorithms}
    if label not in choices:
        raise UnknownNameError("algorithm", label, choices)
    return choices[label]


def _rates(results: Results, choice: AlgorithmChoice, folders: Folders) -> Iterator[dict[str, Any]]:
    """The learning rate of each architecture under one algorithm: its base rate times the factor of its paths."""
    from agd_bench.optim.path_scaling import graph_of, rate_multiplier  # here and not above: torch takes seconds to import

    build = plugins.load("algorithms", choice.name, folders.get("algorithms", ())).build
    parameters = inspect.signature(build).parameters
    if not {"base_rate", "mode", "graph"} <= set(parameters):
        raise InputError(f"algorithm {choice.name!r} scales no base rate; name one such as 'architecture_aware_sgd'")
    spaces: dict[str, SearchSpaceChoice] = {space.label: space for space in results.sweep.search_spaces}
    mode: Any = choice.hyperparameters.get("mode", parameters["mode"].default)
    own = results.trials[results.trials["algorithm"] == choice.label]
    ends = _ends(own)
    final = own[(own["purpose"] == "final") & (own["status"] != "refused")]
    for key, trial in final.drop_duplicates([*GROUP, "architecture"]).set_index([*GROUP, "architecture"], drop=False).iterrows():
        space = spaces[trial["search_space"]]
        module = plugins.load("search_spaces", space.name, folders.get("search_spaces", ()))
        base = _base_rate(trial["hyperparameters"])
        factor = rate_multiplier(graph_of(module, trial["architecture"], space.options), mode)
        place = dict(zip([*GROUP, "architecture"], key, strict=True))  # type: ignore[call-overload]
        yield {**place, "rate": None if base is None else base * factor, "at_grid_end": base in ends}


def _ends(own: pd.DataFrame) -> tuple[float, ...]:
    """The largest and the smallest base rate that were tried."""
    tried = [base for text in own.loc[own["purpose"] == "tuning", "hyperparameters"] if (base := _base_rate(text)) is not None]
    return (min(tried), max(tried)) if tried else ()


def _base_rate(hyperparameters: object) -> float | None:
    value = json.loads(hyperparameters).get("base_rate") if isinstance(hyperparameters, str) else None
    return None if value is None else float(value)
