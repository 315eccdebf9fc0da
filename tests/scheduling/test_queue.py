"""The scheduling policy: which trials are ready when, in which order, and after a restart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from agd_bench.records import TERMINAL, Plan, Scalars, Study, Trial
from agd_bench.scheduling.queue import Queue
from agd_bench.store import Standing
from agd_bench.tuning import Observation, propose
from tests.scheduling.plans import ADAPTIVE, HashTuner, plan, result_of, uneven


def fresh(planned: Plan) -> dict[str, Standing]:
    """Return the standings before anything was done."""
    return {trial.id: Standing() for trial in planned.all_trials}


def drain(queue: Queue) -> list[Trial]:
    """Take and return every trial that is ready without ending any."""
    taken = []
    while (trial := queue.take()) is not None:
        taken.append(trial)
    return taken


def play(queue: Queue, status: str = "done") -> list[Trial]:
    """Take and end trials one after the other until none is left, and return them."""
    played = []
    while (trial := queue.take()) is not None:
        queue.end(trial, result_of(trial, status=status))
        played.append(trial)
    return played


def test_every_trial_is_taken_once() -> None:
    """No trial is lost or repeated."""
    planned = plan(architectures=3, seeds=2, rounds=4, proxies=2)
    queue = Queue(planned, HashTuner(), fresh(planned))
    played = play(queue)
    assert sorted(trial.id for trial in played) == sorted(trial.id for trial in planned.all_trials)
    assert queue.unfinished == 0


def test_a_round_waits_for_the_one_before_and_finals_for_all() -> None:
    """The rounds of a study run in order; the trials of one round, and the finals, can run concurrently."""
    planned = plan(architectures=1, seeds=2, rounds=2, proxies=3)
    queue = Queue(planned, HashTuner(), fresh(planned))
    for stage in (*planned.studies[0].rounds, planned.studies[0].final):
        tuned = [trial for trial in drain(queue) if trial.algorithm == "tuned"]
        assert [trial.id for trial in tuned] == [trial.id for trial in stage]
        assert len({str(trial.proposal) for trial in tuned}) == 1
        for trial in tuned[:-1]:
            queue.end(trial, result_of(trial))
            assert queue.take() is None
        queue.end(tuned[-1], result_of(tuned[-1]))
    assert queue.take() is None


@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_rounds_whose_proposals_do_not_depend_on_results_are_ready_together(sampler: str) -> None:
    """Their proposals are the same as in sequential rounds, even in a study resumed with some trials done; finals wait for all rounds."""
    planned = plan(architectures=1, seeds=2, rounds=4, proxies=2)
    study = planned.studies[0].model_copy(update={"sampler": sampler})
    planned = planned.model_copy(update={"studies": (study,)})
    told: list[Observation] = []
    ranges = {"rate": {"choices": [0.1, 0.2, 0.3, 0.4]}}
    expected = []
    for _ in study.rounds:
        expected += 2 * [propose(study, ranges, told)]
        told.append(Observation(len(told), expected[-1], 0.5))

    class Tuner(HashTuner):
        def propose(self, study: Study, told: Sequence[Observation]) -> Scalars:
            return propose(study, ranges, told)

    queue = Queue(planned, Tuner(), fresh(planned))
    tuned = [trial for trial in drain(queue) if trial.algorithm == "tuned"]
    assert [trial.id for trial in tuned] == [trial.id for part in study.rounds for trial in part]
    assert [trial.proposal for trial in tuned] == expected
    for trial in tuned[1:]:
        queue.end(trial, result_of(trial))
    again = [trial for trial in drain(Queue(planned, Tuner(), queue.standings)) if trial.algorithm == "tuned"]
    assert again == tuned[:1]
    assert queue.take() is None
    queue.end(tuned[0], result_of(tuned[0]))
    finals = drain(queue)
    assert [trial.id for trial in finals] == [trial.id for trial in study.final]
    best = max(range(4), key=lambda number: sum(result_of(trial).val_accuracy or 0.0 for trial in tuned[2 * number : 2 * number + 2]))
    assert finals[0].proposal == expected[2 * best]


def test_the_best_proposal_is_used_for_the_finals() -> None:
    """Every final uses the values that the tuner chose by the rounds' mean accuracies."""
    planned = plan(architectures=1, seeds=3, rounds=4, proxies=2)
    tuner = HashTuner()
    played = [trial for trial in play(Queue(planned, tuner, fresh(planned))) if trial.algorithm == "tuned"]
    rounds: dict[int, list[Trial]] = {}
    for trial in played:
        if trial.number is not None:
            rounds.setdefault(trial.number, []).append(trial)
    best = max(rounds.values(), key=lambda tried: sum(result_of(trial).val_accuracy or 0.0 for trial in tried))
    assert all(trial.proposal == best[0].proposal for trial in played if trial.purpose == "final")


def test_a_round_with_an_unfinished_trial_is_told_without_a_value() -> None:
    """One diverged proxy makes the proposal fail, even if the other one did well."""
    planned = plan(architectures=1, seeds=1, rounds=1, proxies=2)
    queue = Queue(planned, HashTuner(), fresh(planned))
    tuned = [trial for trial in drain(queue) if trial.algorithm == "tuned"]
    queue.end(tuned[0], result_of(tuned[0]))
    queue.end(tuned[1], result_of(tuned[1], status="diverged"))
    assert [trial.id for trial in queue.hopeless] == [trial.id for trial in planned.studies[0].final]


def test_finals_of_a_study_without_a_finished_proposal_are_hopeless() -> None:
    """They cannot be trained, so the queue lists each of them once to be marked as failed."""
    planned = plan(architectures=2, seeds=2)
    queue = Queue(planned, HashTuner(), fresh(planned))
    played = play(queue, status="diverged")
    finals = [trial.id for study in planned.studies for trial in study.final]
    assert [trial.id for trial in queue.hopeless] == finals
    assert not {trial.id for trial in played} & set(finals)
    while queue.hopeless:
        queue.end(trial := queue.hopeless.popleft(), result_of(trial, status="failed"))
    assert queue.unfinished == 0


def test_all_algorithms_get_on() -> None:
    """At each step, the algorithms' shares of started trials differ by no more than the share of one trial."""
    planned = plan(architectures=6, seeds=4, rounds=6)
    queue = Queue(planned, HashTuner(), fresh(planned))
    totals = {label: sum(trial.algorithm_label == label for trial in planned.all_trials) for label in ("free", "tuned")}
    begun = dict.fromkeys(totals, 0)
    while (trial := queue.take()) is not None:
        begun[trial.algorithm_label] += 1
        queue.end(trial, result_of(trial))
        shares = [begun[label] / totals[label] for label in totals]
        assert max(shares) - min(shares) <= max(1 / total for total in totals.values()) + 1e-12


def test_a_trial_that_is_put_back_comes_first() -> None:
    """A lost trial is restarted before others of its algorithm, with the same proposal."""
    planned = plan(rounds=0)
    queue = Queue(planned, HashTuner(), fresh(planned))
    first, second = queue.take(), queue.take()
    assert first is not None
    assert second is not None
    queue.put_back(first)
    assert queue.take() is first


def test_a_trial_ends_once() -> None:
    """Ending a trial twice is a bug in the caller, so it raises an error."""
    planned = plan()
    queue = Queue(planned, HashTuner(), fresh(planned))
    trial = queue.take()
    assert trial is not None
    queue.end(trial, result_of(trial))
    with pytest.raises(ValueError, match="ended twice"):
        queue.end(trial, result_of(trial))


@pytest.mark.parametrize("kept", range(0, 25, 4))
def test_a_restart_proposes_what_an_undisturbed_run_proposes(kept: int) -> None:
    """A queue rebuilt after any number of trials gives the same trials with the same proposals as an undisturbed one."""
    planned = plan(architectures=2, seeds=2, rounds=4, proxies=2)
    whole = Queue(planned, HashTuner(), fresh(planned))
    undisturbed = {trial.id: trial.proposal for trial in play(whole)}
    queue = Queue(planned, HashTuner(), fresh(planned))
    seen = {}
    for _ in range(kept):
        trial = queue.take()
        assert trial is not None
        queue.end(trial, result_of(trial))
        seen[trial.id] = trial.proposal
    again = Queue(planned, HashTuner(), queue.standings)
    assert seen | {trial.id: trial.proposal for trial in play(again)} == undisturbed


def test_a_proposal_that_was_sent_stands() -> None:
    """After a restart, a round keeps the values of its first trial, whatever the tuner would propose now."""
    planned = plan(architectures=1, rounds=2, proxies=2)
    first = planned.studies[0].rounds[0][0]
    standings = fresh(planned) | {first.id: Standing(attempts=1, proposal={"rate": 9.0})}
    tuner = HashTuner()
    tuned = [trial for trial in drain(Queue(planned, tuner, standings)) if trial.algorithm == "tuned"]
    assert [trial.proposal for trial in tuned] == [{"rate": 9.0}] * 2
    assert tuner.proposed == []


def test_the_pruner_sees_the_curves_of_earlier_rounds() -> None:
    """Thresholds come from the study's finished tuning trials, before and after a restart; finals have none."""
    planned = plan(architectures=1, seeds=1, rounds=3, pruner="median")
    tuner = HashTuner()
    played = {trial.id: trial for trial in play(Queue(planned, tuner, fresh(planned)))}
    assert tuner.asked_thresholds == [0, 1, 2]
    rounds, final = planned.studies[0].rounds, planned.studies[0].final
    assert [len(played[part[0].id].stop_below) for part in (*rounds, final)] == [0, 1, 2, 0]
    done = played[rounds[0][0].id]
    standing = Standing("done", 1, proposal=done.proposal, val_accuracy=result_of(done).val_accuracy)
    again = HashTuner()
    drain(Queue(planned, again, fresh(planned) | {done.id: standing}, {done.id: result_of(done).curve}))
    assert again.asked_thresholds == [1]


def end_next(queue: Queue, status: str = "done") -> Trial | None:
    """Settle unneeded and hopeless trials, then end the next trial and return it, or None if nothing is left."""
    for waiting, end in ((queue.unneeded, "unneeded"), (queue.hopeless, "failed")):
        while waiting:
            queue.end(one := waiting.popleft(), result_of(one, status=end))
    taken = queue.take()
    if taken is not None:
        queue.end(taken, uneven(taken, status if taken.purpose == "tuning" else "done"))
    return taken


def seeds_by_architecture(queue: Queue, planned: Plan, algorithm: str) -> dict[str, int]:
    """Return how many final trials of each architecture were done."""
    finals = [one for one in planned.all_trials if one.purpose == "final" and one.algorithm == algorithm]
    return dict(Counter(one.architecture for one in finals if queue.standings[one.id].status == "done"))


def test_adaptive_seeds_go_where_the_order_is_open() -> None:
    """All algorithms get the same seeds, architectures that are far apart only the first ones; unneeded trials are listed once."""
    planned = plan(architectures=5, seeds=6, rounds=2, adaptive=ADAPTIVE)
    queue = Queue(planned, HashTuner(), fresh(planned))
    while end_next(queue):
        pass
    assert queue.unfinished == 0
    seeds = seeds_by_architecture(queue, planned, "free")
    assert seeds == seeds_by_architecture(queue, planned, "tuned")
    assert [seeds[f"cell-{index}"] for index in range(3)] == [2, 2, 2]
    assert seeds["cell-3"] == seeds["cell-4"] > 2
    assert Counter(standing.status for standing in queue.standings.values())["unneeded"] == 2 * (5 * 6 - sum(seeds.values()))


def test_no_seed_is_sent_before_its_round() -> None:
    """The third seed waits until every algorithm's first two have ended on every architecture."""
    planned = plan(architectures=5, seeds=6, rounds=2, adaptive=ADAPTIVE)
    queue = Queue(planned, HashTuner(), fresh(planned))
    while (taken := end_next(queue)) is not None:
        if taken.purpose == "final" and taken.seed >= 2:
            early = [one for one in planned.all_trials if one.purpose == "final" and one.seed < taken.seed]
            assert all(queue.standings[one.id].status in TERMINAL for one in early)


@pytest.mark.parametrize("killed", range(0, 42, 3))
def test_adaptive_seeds_go_on_identically_after_a_kill(killed: int) -> None:
    """A queue rebuilt from the rows after any number of trials, with unneeded ones not yet settled, does the same trials."""
    planned = plan(architectures=5, seeds=6, rounds=2, adaptive=ADAPTIVE)
    whole, queue = Queue(planned, HashTuner(), fresh(planned)), Queue(planned, HashTuner(), fresh(planned))
    while end_next(whole):
        pass
    for _ in range(killed):
        end_next(queue)
    again = Queue(planned, HashTuner(), queue.standings)
    while end_next(again):
        pass
    assert again.standings == whole.standings


def test_a_hopeless_study_does_not_stop_adaptive_seeds() -> None:
    """The finals of a hopeless study fail round by round, the other algorithm alone decides on the seeds, and everything ends."""
    planned = plan(architectures=5, seeds=6, rounds=2, adaptive=ADAPTIVE)
    queue = Queue(planned, HashTuner(), fresh(planned))
    while end_next(queue, status="diverged") or queue.hopeless or queue.unneeded:
        pass
    assert queue.unfinished == 0
    assert seeds_by_architecture(queue, planned, "tuned") == {}
    assert seeds_by_architecture(queue, planned, "free")["cell-4"] > 2
