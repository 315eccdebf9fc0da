"""Running and resuming plans: the contents of the run folder, and the errors if something is missing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from agd_bench.errors import DatasetError, InputError, UnknownNameError
from agd_bench.planning.planner import plan
from agd_bench.records import Sweep, Trial, TrialResult
from agd_bench.scheduling.progress import Snapshot
from agd_bench.scheduling.resources import Resources
from agd_bench.scheduling.runs import fetch_datasets, run_plan
from agd_bench.store import load_results
from tests.plugin_folders import write_plugins
from tests.scheduling import plans


def run_here(folder: Path, planned: Any, run_trial: Any = plans.succeed, **more: Any) -> Path:
    """Run a plan in this process and return its folder."""
    resources, tuner = Resources("in-process"), plans.HashTuner()
    return run_plan(planned, folder / "run", plans.workplace(folder), resources, run_trial=run_trial, tuner=tuner, **more)


def test_a_run_leaves_results_and_a_log(tmp_path: Path) -> None:
    """A run leaves a database and the driver's log, and a second call only reports that everything is done."""
    planned = plans.plan()
    assert run_here(tmp_path, planned) == tmp_path / "run"
    assert (load_results(tmp_path / "run").trials["status"] == "done").all()
    log = (tmp_path / "run" / "logs" / "driver.log").read_text()
    assert log.count(" ended ") == len(planned.all_trials)
    snapshots: list[Snapshot] = []
    run_here(tmp_path, planned, run_trial=plans.miss_data, observer=lambda event, snapshot: snapshots.append(snapshot))
    assert [snapshot.counts for snapshot in snapshots] == [{"done": len(planned.all_trials)}]


def test_trials_get_whole_paths_and_the_sweeps_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials get the sweep's checkpoint interval, and absolute paths because other processes have other working directories."""
    monkeypatch.chdir(tmp_path)
    places = []

    def look(one: Trial, place: Any, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
        places.append(place)
        return plans.result_of(one)

    plans.workplace(tmp_path)
    run_plan(
        plans.plan(rounds=0, checkpoint_seconds=7.0),
        Path("run"),
        plans.workplace(Path()),
        Resources("in-process"),
        run_trial=look,
        tuner=plans.HashTuner(),
    )
    assert {place.checkpoint_seconds for place in places} == {7.0}
    paths = [path for place in places for path in (place.data_root, place.checkpoints, *place.folders["datasets"])]
    assert all(path.is_absolute() for path in paths)
    assert places[0].checkpoints == tmp_path / "run" / "checkpoints"


def test_a_missing_data_set_is_noticed_before_anything_starts(tmp_path: Path) -> None:
    """The data set is loaded before any trial starts, and any exception becomes an error that names the folder."""
    planned = plans.plan(rounds=0)
    place = plans.workplace(tmp_path)
    plugin = tmp_path / "plugins" / "nothing.py"
    other = tmp_path / "other"
    other.mkdir()
    (other / "nothing.py").write_text(plugin.read_text() + "\n\ndef load(root):\n    raise FileNotFoundError('train.bin')\n")
    broken = type(place)(data_root=tmp_path, folders={"datasets": (other,)})
    with pytest.raises(DatasetError, match=r"'nothing' cannot be loaded from .*train.bin"):
        run_plan(planned, tmp_path / "run", broken, Resources("in-process"), run_trial=plans.succeed)
    assert load_results(tmp_path / "run").attempts.empty
    with pytest.raises(UnknownNameError, match="nothing"):
        fetch_datasets(planned, type(place)(data_root=tmp_path))


def test_leftover_checkpoints_of_ended_trials_are_removed(tmp_path: Path) -> None:
    """If a driver was killed between storing a result and removing its checkpoints, the next call removes them."""
    planned = plans.plan()
    run_here(tmp_path, planned)
    left, foreign = (tmp_path / "run" / "checkpoints" / name for name in (planned.trials[0].id, "notes"))
    left.mkdir(parents=True)
    foreign.mkdir()
    run_here(tmp_path, planned)
    assert not left.exists()
    assert foreign.exists()


def test_an_unknown_executor_is_refused() -> None:
    """The error lists the allowed executors."""
    with pytest.raises(InputError, match="allowed are 'ray', 'in-process'"):
        Resources("threads")  # type: ignore[arg-type]


def test_logging_is_as_it_was_afterwards(tmp_path: Path) -> None:
    """A run restores the logging configuration, such as that of a notebook."""
    logger = logging.getLogger("agd_bench.scheduling")
    before = (logger.level, logger.propagate, list(logger.handlers))
    run_here(tmp_path, plans.plan(rounds=0))
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_an_algorithm_that_runs_out_of_memory_is_tried_once_more_and_recorded(tmp_path: Path) -> None:
    """If a plug-in raises torch's out-of-memory error in real training, two attempts are charged, and the failed row says why."""
    from agd_bench.trial import Workplace

    asked = {
        "name": "starving",
        "epochs": 1,
        "batch_size": 32,
        "seeds": 1,
        "search_spaces": [{"name": "tiny", "architectures": 1}],
        "datasets": [{"name": "digits", "share": 0.1}],
        "algorithms": [{"name": "starving"}, {"name": "plain"}],
    }
    folders = write_plugins(tmp_path / "plugins")
    place = Workplace(data_root=tmp_path, folders=folders, device="cpu")  # type: ignore[arg-type]
    run_plan(plan(Sweep.model_validate(asked), folders), tmp_path / "run", place, Resources("in-process"))  # type: ignore[arg-type]
    results = load_results(tmp_path / "run")
    trials = results.trials.set_index("algorithm")
    assert trials["status"].to_dict() == {"starving": "failed", "plain": "done"}
    assert str(trials.loc["starving", "reason"]).startswith("out of memory")
    lost = results.attempts[results.attempts["outcome"] == "out of memory"]
    assert list(lost["reason"]) == ["OutOfMemoryError: planned: CUDA out of memory"] * 2
    assert trials.loc["starving", "charged_seconds"] == lost["seconds"].sum() > 0
