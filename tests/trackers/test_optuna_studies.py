"""Studies in Optuna's format, read back with Optuna."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from agd_bench.errors import InputError
from agd_bench.scheduling.resources import Resources
from agd_bench.scheduling.runs import run_plan
from agd_bench.store import Results, load_results
from agd_bench.trackers.optuna_studies import export_studies
from tests.scheduling import plans

TUNED = '''"""Learns nothing."""
RANGES = {"rate": {"low": 0.0, "high": 1.0}}
TIER, LICENCE = "externally tuned", "MIT"
def prepare(network, generator): ...
def build(network, steps, rate): ...
def loss(outputs, labels): ...
'''


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """A finished run with two studies of three proposals."""
    folder = tmp_path / "run"
    run_plan(plans.plan(), folder, plans.workplace(tmp_path), Resources("in-process"), run_trial=plans.succeed, tuner=plans.HashTuner())
    (tmp_path / "plugins" / "tuned.py").write_text(TUNED)
    return load_results(folder)


def test_optuna_reads_the_studies_of_a_run(results: Results, tmp_path: Path) -> None:
    """Every proposal with its value, curve and times; a second export replaces the first."""
    for _ in range(2):
        file = export_studies(results, tmp_path / "optuna", {"algorithms": (tmp_path / "plugins",)})
    summaries = optuna.get_all_study_summaries(f"sqlite:///{file}")
    tried = results.trials[results.trials["purpose"] == "tuning"].set_index("trial_id")
    assert len(summaries) == tried["study"].nunique() == 2
    for summary in summaries:
        study = optuna.load_study(study_name=summary.study_name, storage=f"sqlite:///{file}")
        assert study.direction == optuna.study.StudyDirection.MAXIMIZE
        assert len(study.trials) == 3
        for one in study.trials:
            row = tried.loc[one.user_attrs["trial_id"][0]]
            assert one.value == row["val_accuracy"]
            assert one.params["rate"] == pytest.approx(float(row["hyperparameters"].partition(":")[2].strip("} ")))
            assert set(one.intermediate_values) == {1, 2}
            assert one.duration is not None


def test_runs_without_studies_and_changed_ranges_are_refused(results: Results, tmp_path: Path) -> None:
    """With a reason, and without leaving half a file."""
    none = load_results(tmp_path / "run")
    none = Results(none.sweep, none.trials[none.trials["purpose"] == "final"], none.curves, none.attempts, none.meta)
    with pytest.raises(InputError, match="no tuning trials"):
        export_studies(none, tmp_path / "optuna")
    (tmp_path / "plugins" / "tuned.py").write_text(TUNED.replace("rate", "other"))
    with pytest.raises(InputError, match="RANGES"):
        export_studies(results, tmp_path / "optuna", {"algorithms": (tmp_path / "plugins",)})
    assert not (tmp_path / "optuna").exists()
