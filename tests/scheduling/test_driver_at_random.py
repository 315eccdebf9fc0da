"""A state machine of random events: workers die, drivers die, results arrive twice, and no trial may be lost or repeated."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import ClassVar

import pandas as pd
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agd_bench.scheduling.driver import Run
from agd_bench.scheduling.executors.protocol import Outcome, Task
from agd_bench.store import Store, load_results
from tests.scheduling.plans import HashTuner, plan
from tests.scheduling.scripted import Scripted, drive, good


class Machine(RuleBasedStateMachine):
    """Send and finish trials, lose workers and kill the driver in any order; the store must end up as in an undisturbed run."""

    undisturbed: ClassVar[pd.DataFrame | None] = None

    @initialize()
    def begin(self) -> None:
        """Create an empty run and, the first time, the undisturbed run to compare with."""
        self.holder = tempfile.TemporaryDirectory(prefix="agd-bench-machine-")
        self.folder = Path(self.holder.name)
        self.plan = plan(architectures=2, seeds=1, rounds=2, proxies=2, max_attempts=1000)
        self.finished: dict[str, int] = {}
        self.proposals: dict[str, object] = {}
        if Machine.undisturbed is None:
            with tempfile.TemporaryDirectory() as folder:
                drive(Path(folder), self.plan, Scripted(good))
                Machine.undisturbed = load_results(folder).trials
        self.start_driver()

    def start_driver(self) -> None:
        """Start a driver that does nothing by itself."""
        self.store = Store.open(self.folder, self.plan)
        self.executor = Scripted(good, slots=2)
        self.run = Run(self.plan, self.store, self.executor, HashTuner())

    def teardown(self) -> None:
        """Finish the run and compare it with the undisturbed one."""
        if not hasattr(self, "run"):
            return
        self.run.drive()
        self.store.close()
        trials = load_results(self.folder).trials
        assert Machine.undisturbed is not None
        same = [name for name in trials if name not in ("attempts", "charged_seconds")]
        pd.testing.assert_frame_equal(trials[same], Machine.undisturbed[same], check_exact=True)
        self.holder.cleanup()

    @rule()
    def send(self) -> None:
        """Fill the free slots."""
        self.run._step([])
        for task in self.executor.at_work.values():
            known = self.proposals.setdefault(task.trial.id, task.trial.proposal)
            assert known == task.trial.proposal
            assert task.trial.id not in self.finished

    @precondition(lambda self: self.executor.at_work)
    @rule(which=st.integers(0, 1))
    def finish(self, which: int) -> None:
        """Finish one attempt successfully."""
        task = self.pick(which)
        self.run._step([good(task)])
        self.finished[task.trial.id] = self.finished.get(task.trial.id, 0) + 1

    @precondition(lambda self: self.executor.at_work)
    @rule(which=st.integers(0, 1))
    def crash_worker(self, which: int) -> None:
        """Lose the worker of one attempt."""
        task = self.pick(which)
        self.run._step([Outcome(task.trial.id, task.attempt, "lost", message="its worker died")])

    @precondition(lambda self: self.executor.at_work)
    @rule(which=st.integers(0, 1))
    def report_twice(self, which: int) -> None:
        """Let a worker that was given up report its result anyway."""
        task = self.pick(which)
        self.run._step([Outcome(task.trial.id, task.attempt, "lost", message="its worker died"), good(task)])

    @rule()
    def restart_driver(self) -> None:
        """Restart the driver as if after SIGKILL: nothing was closed, and its lock is stale."""
        self.store._heartbeat.stop()
        with self.store._engine.begin() as connection:
            connection.exec_driver_sql("update driver set pid_started = 'before'")
        self.store._engine.dispose()
        self.start_driver()

    def pick(self, which: int) -> Task:
        """Remove one of the running attempts from the executor and return it."""
        names = list(self.executor.at_work)
        self.executor.where.pop(names[which % len(names)])
        return self.executor.at_work.pop(names[which % len(names)])

    @invariant()
    def nothing_is_lost_done_twice_or_free(self) -> None:
        """Every planned trial has one row, ends at most once, and is charged for exactly what its attempts took."""
        if not hasattr(self, "run"):
            return
        results = load_results(self.folder)
        assert list(results.trials["trial_id"]) == [trial.id for trial in self.plan.all_trials]
        done = results.trials.loc[results.trials["status"] == "done", "trial_id"]
        assert set(done) == set(self.finished)
        assert all(count == 1 for count in self.finished.values())
        taken = results.attempts.groupby("trial_id")["seconds"].sum()
        charged = results.trials.set_index("trial_id")["charged_seconds"]
        assert (charged.loc[taken.index] - taken).abs().max() < 1e-9 or taken.empty
        assert charged.drop(taken.index).eq(0).all()
        running = results.trials.loc[results.trials["status"] == "running", "trial_id"]
        assert set(running) == set(self.executor.at_work)


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
