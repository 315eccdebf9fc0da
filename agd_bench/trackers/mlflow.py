"""Write trials as MLflow runs, all in one experiment."""

from __future__ import annotations

import logging
from pathlib import Path

from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from agd_bench.trackers.tracked import TrackedTrial

EXPERIMENT = "agd-bench"
TRIAL, ATTEMPT = "agd_bench.trial_id", "agd_bench.attempt"
"""Tags of a run."""
LONGEST_BATCH = 1000
"""Metrics that MLflow takes in one call."""
# MLflow says there that it makes its tables
logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)


class MLflow:
    """Writes to a tracking server, or to `mlflow.db` in a folder.

    Args:
        target: the folder, or the URI of a server or database.
    """

    def __init__(self, target: str) -> None:
        if "://" not in target:
            folder = Path(target).expanduser().absolute()
            folder.mkdir(parents=True, exist_ok=True)
            target = f"sqlite:///{folder / 'mlflow.db'}"
        self.show = f"mlflow ui --backend-store-uri {target}"
        try:
            self._client = MlflowClient(tracking_uri=target)
            found = self._client.get_experiment_by_name(EXPERIMENT)
            self._experiment: str = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
        except MlflowException as error:
            raise OSError(f"MLflow: {error}") from error

    def write(self, trial: TrackedTrial) -> None:
        """Write one run, which is `RUNNING` until it is complete."""
        try:
            for run in self._client.search_runs([self._experiment], f"tags.`{TRIAL}` = '{trial.id}'"):
                if run.info.status != "RUNNING" and run.data.tags.get(ATTEMPT) == str(trial.attempt):
                    return
                self._client.delete_run(run.info.run_id)
            self._write_run(trial)
        except MlflowException as error:
            raise OSError(f"MLflow: {error}") from error

    def _write_run(self, trial: TrackedTrial) -> None:
        tags = {TRIAL: trial.id, ATTEMPT: str(trial.attempt), "status": trial.status, "reason": trial.reason[:5000]}
        run: Run = self._client.create_run(self._experiment, _milliseconds(trial.started_at), tags, trial.name)
        last = trial.points[-1].epoch if trial.points else 0
        metrics = [
            Metric(name, value, _milliseconds(point.time), point.epoch) for point in trial.points for name, value in point.values.items()
        ]
        metrics += [Metric(f"result/{name}", value, _milliseconds(trial.ended_at), last) for name, value in trial.result.items()]
        params = [Param(name, str(value)) for name, value in trial.settings.items()]
        self._client.log_batch(run.info.run_id, params=params)
        for begin in range(0, len(metrics), LONGEST_BATCH):
            self._client.log_batch(run.info.run_id, metrics=metrics[begin : begin + LONGEST_BATCH])
        ending = "FINISHED" if trial.status in ("done", "pruned") else "FAILED"
        self._client.set_terminated(run.info.run_id, ending, _milliseconds(trial.ended_at))


def _milliseconds(seconds: float) -> int:
    return int(1000 * seconds)
