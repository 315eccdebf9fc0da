"""Ray Tune on a study's trials, with its results imported as rows of the run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agd_bench.api import run
from agd_bench.errors import SweepError
from agd_bench.records import Sweep

pytestmark = pytest.mark.timeout(1500)
PROPOSALS = 4
# In a process of its own: Ray leaves its daemons to the interpreter's exit.
SCRIPT = """
import sys
from pathlib import Path

from agd_bench.datasets import data_root
from agd_bench.errors import InputError
from agd_bench.records import Sweep
from agd_bench.scheduling.executors.ray_cluster import connect
from agd_bench.scheduling.ray_tune import StudyTrainable, import_tuned, search_space_of, studies_of
from agd_bench.trial import Workplace
from ray import tune
from ray.tune.schedulers import ASHAScheduler

place = Path(sys.argv[1])
sweep = Sweep.model_validate_json((place / "sweep.json").read_text())
(study,) = studies_of(sweep)
folder = place / "tune" / study.key
try:
    import_tuned(sweep, place / "run", {study.key: folder})
except InputError as error:
    assert "proposal 0 of sgd_tuned has no result" in str(error)
connect("local")
trainable = tune.with_parameters(StudyTrainable, study=study, workplace=Workplace(data_root=data_root(), device="cpu"), folder=folder)
scheduler = ASHAScheduler(grace_period=1, reduction_factor=2, max_t=4)
config = tune.TuneConfig(metric="val_accuracy", mode="max", num_samples=len(study.rounds), scheduler=scheduler)
runs = tune.RunConfig(storage_path=str(place / "ray"), verbose=0)
tune.Tuner(trainable, param_space=search_space_of(study), tune_config=config, run_config=runs).fit()
print(import_tuned(sweep, place / "run", {study.key: folder}), import_tuned(sweep, place / "run", {study.key: folder}))
"""


def sweep(**changes: object) -> Sweep:
    """Return a sweep in which Ray Tune tunes SGD on one network."""
    algorithm = {"name": "sgd_tuned", "sampler": "ray-tune", "tuning_trials": PROPOSALS, **changes}
    return Sweep.model_validate(
        {
            "name": "tuned",
            "search_spaces": [{"name": "fcn", "architectures": ["2x32"], "options": {"size": 8}}],
            "datasets": [{"name": "digits", "share": 0.1}],
            "algorithms": [algorithm],
            "epochs": 4,
            "seeds": 1,
        }
    )


def test_asha_runs_on_the_trials_of_a_study_and_its_results_are_rows(tmp_path: Path) -> None:
    """ASHA stops some proposals; every epoch is charged, and the run goes on with the best values."""
    (tmp_path / "sweep.json").write_text(sweep().model_dump_json())
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split()[-2:] == [str(PROPOSALS), "0"]
    results = run(sweep(), tmp_path / "run", executor="in-process", device="cpu")
    tuning = results.trials[results.trials["purpose"] == "tuning"]
    final = results.trials[results.trials["purpose"] == "final"]
    assert set(tuning["status"]) <= {"done", "pruned"}
    assert "done" in set(tuning["status"])
    epochs = results.curves.groupby("trial_id").size().reindex(tuning["trial_id"]).to_numpy()
    assert ((epochs == 4) == (tuning["status"] == "done").to_numpy()).all()
    each = final["flops"].iloc[0] // 4
    assert (tuning["flops"].to_numpy() == epochs * each).all()
    assert (tuning["charged_seconds"] > 0).all()
    assert list(final["status"]) == ["done"]
    chosen = tuning[tuning["hyperparameters"] == final["hyperparameters"].iloc[0]]
    assert chosen["val_accuracy"].max() == tuning.loc[tuning["status"] == "done", "val_accuracy"].max()


def test_a_run_without_the_imported_trials_says_what_to_do(tmp_path: Path) -> None:
    """The proposals are Ray Tune's, so the driver cannot make them."""
    with pytest.raises(SweepError, match="run it there and import"):
        run(sweep(), tmp_path / "run", executor="in-process", device="cpu")
