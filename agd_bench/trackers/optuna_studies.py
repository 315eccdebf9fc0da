"""Write the tuning studies of a run as an Optuna storage, for Optuna's dashboard and analyses."""

from __future__ import annotations

import json
import statistics
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
import pandas as pd

from agd_bench import tuning
from agd_bench.errors import InputError
from agd_bench.planning import Folders, study_rule
from agd_bench.plugins import load, ranges_of
from agd_bench.records.values import Metric
from agd_bench.store import Results, written_beside

FILE = "optuna.sqlite3"
ABOUT = ("search_space", "dataset", "profile", "algorithm")


def export_studies(results: Results, folder: Path, folders: Folders | None = None) -> Path:
    """Write each study with its proposals, their values and curves.

    Args:
        results: of a run or a published folder.
        folder: of the file, which is replaced; created if missing.
        folders: folders with the algorithms' plug-ins, whose RANGES become distributions.

    Returns:
        The file; show it with `optuna-dashboard sqlite:///FILE`.

    Raises:
        InputError: there is no study, or its values are outside today's RANGES.
    """
    tried = results.trials[(results.trials["purpose"] == "tuning") & results.trials["hyperparameters"].notna()]
    if tried.empty:
        raise InputError(
            f"{results.sweep.name}: no tuning trials; only tuned algorithms have studies (`--to tensorboard` shows all trials)"
        )
    curves = dict(iter(results.curves.groupby("trial_id", sort=False)))
    spans = results.attempts.groupby("trial_id").agg(begun=("started_at", "min"), ended=("ended_at", "max"))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with written_beside(folder) as beside:
        storage = optuna.storages.RDBStorage(f"sqlite:///{beside / FILE}")
        try:
            for key, rows in tried.groupby("study", sort=False):
                _add_study(storage, str(key), rows, curves, spans, folders or {})
        finally:
            storage.engine.dispose()
    return folder / FILE


def _add_study(
    storage: optuna.storages.RDBStorage,
    key: str,
    rows: pd.DataFrame,
    curves: dict[Any, pd.DataFrame],
    spans: pd.DataFrame,
    folders: Folders,
) -> None:
    first = rows.iloc[0]
    algorithm = load("algorithms", first["algorithm_name"], folders.get("algorithms", ()))
    space, metric = tuning.distributions(ranges_of(algorithm)), study_rule(algorithm).metric
    architectures = list(dict.fromkeys(rows["architecture"]))
    where = architectures[0] if len(architectures) == 1 else f"{len(architectures)} architectures"
    study = optuna.create_study(
        storage=storage,
        study_name=f"{first['algorithm']} on {first['search_space']}, {first['dataset']}: {where} ({key[:8]})",
        direction="minimize" if metric == "train_loss" else "maximize",
    )
    for name in ABOUT:
        study.set_user_attr(name, first[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([metric])
    for _, tries in rows.groupby("number"):
        study.add_trial(_proposal(tries, metric, space, curves, spans))


def _proposal(
    tries: pd.DataFrame,
    metric: Metric,
    space: dict[str, optuna.distributions.BaseDistribution],
    curves: dict[Any, pd.DataFrame],
    spans: pd.DataFrame,
) -> optuna.trial.FrozenTrial:
    """The trials of one proposal as a trial of Optuna."""
    statuses = set(tries["status"])
    values = json.loads(tries.iloc[0]["hyperparameters"])
    measured = tries[metric].dropna()
    # A mean over some of the networks would not be comparable, as in the run itself.
    value = statistics.fmean(measured) if statuses == {"done"} and len(measured) == len(tries) else None
    try:
        made = optuna.trial.create_trial(
            state=_state(value, statuses),
            value=value,
            params={name: values[name] for name in space},
            distributions=space,
            intermediate_values=_means([curves[key] for key in tries["trial_id"] if key in curves], metric),
            user_attrs={name: list(tries[name]) for name in ("trial_id", "architecture", "seed", "status", "reason")},
        )
    except (KeyError, ValueError) as error:
        raise InputError(f"{tries.iloc[0]['algorithm']}: its RANGES do not contain the values that were tried ({error})") from None
    known = spans.loc[spans.index.isin(tries["trial_id"])]
    if len(known):
        made.datetime_start = _local(known["begun"].min())
        made.datetime_complete = _local(known["ended"].max()) if made.state.is_finished() else None
    return made


def _state(value: float | None, statuses: set[str]) -> optuna.trial.TrialState:
    if value is not None:
        return optuna.trial.TrialState.COMPLETE
    if statuses & {"running", "pending"}:
        return optuna.trial.TrialState.RUNNING
    # As TPE is told in the run: below every finished trial, but not ignored.
    return optuna.trial.TrialState.PRUNED if statuses & {"pruned", "diverged"} else optuna.trial.TrialState.FAIL


def _means(curves: Sequence[pd.DataFrame], metric: Metric) -> dict[int, float]:
    """The metric by epoch, as a mean over the curves that reach it."""
    if not curves:
        return {}
    means = pd.concat(curves).groupby("epoch")[metric].mean().dropna()
    return {int(epoch): float(value) for epoch, value in means.items()}  # type: ignore[call-overload]


def _local(seconds: float) -> datetime:
    """Optuna's storages hold local times without a zone."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().replace(tzinfo=None)
