"""Infrastructure faults are not results: a bad node is set aside, a bad trial fails, and neither affects the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from agd_bench.errors import DatasetError, EnvironmentFault, ExecutorError, is_environmental
from agd_bench.records import Trial, TrialResult
from agd_bench.scheduling.executors.in_process import InProcessExecutor
from agd_bench.scheduling.executors.protocol import Outcome, Task
from agd_bench.scheduling.executors.worker import perform
from agd_bench.scheduling.health import MOST_IN_A_ROW, Health
from agd_bench.store import load_results
from tests.scheduling.plans import plan, result_of, trial, workplace
from tests.scheduling.scripted import Scripted, drive, good


class AcceleratorError(RuntimeError):
    """An error with the same class name as torch's own."""


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("train.bin"),
        PermissionError("checkpoints"),
        ModuleNotFoundError("No module named 'timm'"),
        AcceleratorError("CUDA error: uncorrectable ECC error encountered"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    ],
)
def test_faults_of_files_accelerators_and_packages_are_known(tmp_path: Path, error: Exception) -> None:
    """File, accelerator and import errors are environment faults wherever they are raised; other errors are the trial's own."""

    def fail(one: Trial, place: object, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
        raise error

    task = Task(trial("cell", 0), 1, 60.0)
    outcome = perform(task, workplace(tmp_path), fail)
    assert (outcome.kind, type(outcome.error)) == ("fault", EnvironmentFault)
    assert not is_environmental(RuntimeError("shapes do not fit"))
    assert not is_environmental(KeyError("CUDA error"))


def fault(task: Task, error: ExecutorError | DatasetError | None = None) -> Outcome:
    """Return the outcome of an attempt that its node could not execute."""
    return Outcome(task.trial.id, task.attempt, "fault", message="OSError: no such file", error=error or EnvironmentFault("no such file"))


def test_a_bad_node_is_set_aside_and_costs_no_result(tmp_path: Path) -> None:
    """A node on which every trial fails at once is set aside after a few of them, and all trials finish on the other nodes."""
    planned = plan(architectures=6, rounds=2)
    nodes: dict[str, list[str]] = {}

    def answer(task: Task) -> Outcome:
        node = executor.node_of(worker_of[task.trial.id, task.attempt])
        nodes.setdefault(node, []).append(task.trial.id)
        return fault(task) if node == "node-1" else good(task)

    worker_of: dict[tuple[str, int], str] = {}
    executor = Scripted(answer, slots=6, nodes=3)
    submit = executor.submit

    def noted(worker: str, task: Task) -> None:
        worker_of[task.trial.id, task.attempt] = worker
        submit(worker, task)

    executor.submit = noted  # type: ignore[method-assign]
    events = drive(tmp_path, planned, executor)
    trials = load_results(tmp_path).trials
    assert (trials["status"] == "done").all()
    assert executor.nodes == ["node-0", "node-2"]
    assert len(nodes["node-1"]) <= MOST_IN_A_ROW + 2
    assert len(set(nodes["node-1"])) == len(nodes["node-1"])
    assert [event.kind for event in events].count("set aside") == 1
    lost = load_results(tmp_path).attempts.query("outcome == 'lost'")
    assert not lost["reason"].str.contains("node-1").any()


@pytest.mark.parametrize("nodes", [1, 3])
def test_what_fails_wherever_it_runs_is_the_trials_own(tmp_path: Path, nodes: int) -> None:
    """Trials that raise a file error everywhere fail after two nodes (or twice on the only node), and no node is set aside for it."""
    planned = plan(architectures=6, rounds=2)
    executor = Scripted(lambda task: fault(task) if task.trial.algorithm == "free" else good(task), slots=3, nodes=nodes)
    drive(tmp_path, planned, executor)
    trials = load_results(tmp_path).trials
    assert set(trials.loc[trials["algorithm"] == "tuned", "status"]) == {"done"}
    bad = trials[trials["algorithm"] == "free"]
    assert set(bad["status"]) == {"failed"}
    assert set(bad["reason"]) == {"OSError: no such file"}
    assert bad["attempts"].between(2, 5).all()
    assert len(executor.nodes) == nodes


def test_a_run_ends_when_no_node_is_left(tmp_path: Path) -> None:
    """If no node works, the run stops with the last error, and no trial is marked as failed."""
    with pytest.raises(ExecutorError, match="no such file"):
        drive(tmp_path, plan(architectures=6, rounds=2), Scripted(fault, slots=6, nodes=2))
    trials = load_results(tmp_path).trials
    assert set(trials["status"]) == {"pending"}


def test_what_is_missing_on_one_node_of_several_stops_nothing(tmp_path: Path) -> None:
    """A data set missing on one of several nodes is that node's fault; missing on the only node, it stops the run at once."""
    planned = plan(architectures=6, rounds=2)
    missing = DatasetError("the images are not here")

    def answer(task: Task) -> Outcome:
        return fault(task, missing) if executor.where.get(task.trial.id, "").startswith("node-1") else good(task)

    executor = Scripted(answer, slots=4, nodes=2)
    drive(tmp_path, planned, executor)
    assert (load_results(tmp_path).trials["status"] == "done").all()
    assert executor.nodes == ["node-0"]
    with pytest.raises(DatasetError, match="not here"):
        drive(tmp_path / "alone", planned, Scripted(lambda task: fault(task, missing)))


def test_a_lost_trial_goes_to_another_node(tmp_path: Path) -> None:
    """A lost trial is retried on another node, because a dying node could lose it again on its other workers."""
    planned = plan(architectures=4, rounds=0, max_attempts=2)

    def answer(task: Task) -> Outcome:
        if executor.where[task.trial.id].startswith("node-1"):
            return Outcome(task.trial.id, task.attempt, "lost", message="its node died")
        return good(task)

    executor = Scripted(answer, slots=8, nodes=2)
    drive(tmp_path, planned, executor)
    assert (load_results(tmp_path).trials["status"] == "done").all()


def test_in_process_a_fault_is_tried_twice(tmp_path: Path) -> None:
    """A file that appears by the second attempt costs only one attempt; one that stays missing fails only its own trial."""
    planned = plan(architectures=2, seeds=2, rounds=0)
    flaky, broken = planned.trials[1].id, planned.trials[3].id

    def train(one: Trial, place: object, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
        if one.id == broken or (one.id == flaky and attempt == 1):
            raise FileNotFoundError("train.bin")
        return result_of(one)

    drive(tmp_path, planned, InProcessExecutor(workplace(tmp_path), train))
    trials = load_results(tmp_path).trials.set_index("trial_id")
    assert trials["status"].to_dict() == {one.id: "failed" if one.id == broken else "done" for one in planned.trials}
    assert (trials.loc[flaky, "attempts"], trials.loc[broken, "attempts"]) == (2, 2)
    assert "train.bin" in str(trials.loc[broken, "reason"])


def test_nodes_that_went_bad_are_told_from_bad_plug_ins() -> None:
    """A failure counts against a node only if that kind of trial has worked somewhere or has failed nowhere else."""
    good_kind, bad_kind = [trial(f"cell-{number}", 0) for number in range(5)], [trial(f"cell-{number}", 0, "bad") for number in range(5)]
    health = Health(good_kind + bad_kind)
    health.note_result(good_kind[0], "other")
    assert [health.note_failure(one, "other") for one in bad_kind[:2]] == [False, False]
    assert [health.note_failure(one, "node") for one in bad_kind[2:]] == [False] * 3
    assert [health.note_failure(one, "node") for one in good_kind[1:4]] == [False, False, True]
