"""Trials in a pack measure what they measure alone, however each of them ends, and share what they cost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from agd_bench import packing
from agd_bench.packing import Member, run_replicas
from agd_bench.records import TrialResult
from agd_bench.training import checkpoints, replicas
from agd_bench.trial import Workplace, run_trial
from tests.short_trials import trial


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    """A CPU with a folder for checkpoints."""
    return Workplace(data_root=tmp_path, device="cpu", checkpoints=tmp_path / "checkpoints", checkpoint_seconds=1e9, exclusive=True)


def assert_alike(found: TrialResult, expected: TrialResult) -> None:
    """All that a trial measures but seconds, to rounding."""
    assert (found.trial_id, found.status, len(found.curve)) == (expected.trial_id, expected.status, len(expected.curve))
    assert (found.flops, found.parameters) == (expected.flops, expected.parameters)
    for one, two in zip(found.curve, expected.curve, strict=True):
        assert (one.train_loss, one.val_loss, one.learning_rate) == pytest.approx(
            (two.train_loss, two.val_loss, two.learning_rate), rel=1e-3
        )
        assert (one.train_accuracy, one.val_accuracy) == pytest.approx((two.train_accuracy, two.val_accuracy), abs=0.011)
    if expected.test_accuracy is not None:
        assert found.test_accuracy == pytest.approx(expected.test_accuracy, abs=0.011)


@pytest.mark.parametrize("algorithm", ["agd", "sgd"])
def test_seeds_in_a_pack_measure_what_they_measure_alone(workplace: Workplace, algorithm: str) -> None:
    """Three seeds; their seconds add up to what the pack took, and it says that it was shared."""
    trials = [trial(algorithm=algorithm, seed=seed) for seed in range(3)]
    begun = time.perf_counter()
    together = run_replicas([Member(one) for one in trials], workplace, least_gain=0)
    taken = time.perf_counter() - begun
    for found, one in zip(together, trials, strict=True):
        assert_alike(found, run_trial(one, workplace))
        assert found.provenance["replicas"] == "3"
        assert found.provenance["exclusive"] == "no"
        assert 0 < found.train_seconds < found.total_seconds
    assert 0.5 * taken < sum(found.total_seconds for found in together) <= taken


def test_hyperparameters_may_differ(workplace: Workplace) -> None:
    """Tuning runs with gains of their own."""
    trials = [trial(hyperparameters={"gain": gain}, seed=seed) for seed, gain in enumerate((0.5, 2.0))]
    for found, one in zip(run_replicas([Member(one) for one in trials], workplace, least_gain=0), trials, strict=True):
        assert_alike(found, run_trial(one, workplace))


def test_each_may_end_in_its_own_way(workplace: Workplace) -> None:
    """One diverges, one is pruned after the first epoch, one is refused; the fourth measures what it measures alone."""
    trials = [
        trial(seed=1, hyperparameters={"gain": 1e30}),
        trial(seed=2, stop_below={1: 1.1}),
        trial(seed=3, hyperparameters={"gain": -1.0}),
        trial(seed=4),
    ]
    found = run_replicas([Member(one) for one in trials], workplace, least_gain=0)
    assert [result.status for result in found] == ["diverged", "pruned", "refused", "done"]
    for result, one in zip(found, trials, strict=True):
        assert_alike(result, run_trial(one, workplace))


def test_what_does_not_pay_or_cannot_be_packed_runs_one_after_the_other(workplace: Workplace) -> None:
    """To the last bit as alone, with the device to itself."""
    for trials, gain in (
        ([trial(seed=seed) for seed in range(2)], 1e9),
        ([trial(seed=seed, search_space="plain_chain", search_space_options={}, architecture="c8-c8") for seed in range(2)], 0.0),
    ):
        for found, one in zip(run_replicas([Member(one) for one in trials], workplace, least_gain=gain), trials, strict=True):
            expected = run_trial(one, workplace)
            assert found.status == expected.status
            assert [point.train_loss for point in found.curve] == [point.train_loss for point in expected.curve]
            assert (found.test_accuracy, found.provenance) == (expected.test_accuracy, expected.provenance)


def test_a_killed_pack_goes_on_from_its_checkpoints(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each replica leaves a checkpoint of its own, from which it goes on, in a pack or alone."""
    often = Workplace(workplace.data_root, device="cpu", checkpoints=workplace.checkpoints, checkpoint_seconds=0.0)
    trials = [trial(seed=seed) for seed in range(2)]
    undisturbed = [run_trial(one, Workplace(workplace.data_root, device="cpu")) for one in trials]
    saved, save = [], checkpoints.save

    def save_and_die(*given: Any) -> None:
        save(*given)
        saved.append(given)
        if len(saved) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        run_replicas([Member(one) for one in trials], often, least_gain=0)
    monkeypatch.undo()
    again = [run_replicas([Member(one, attempt=2) for one in trials], often, least_gain=0)[0], run_trial(trials[1], often, attempt=2)]
    for found, expected in zip(again, undisturbed, strict=True):
        assert found.resumed_epoch == 2
        assert_alike(found, expected)


def test_a_fault_of_one_does_not_fail_the_others(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that raises ends the pack; each trial then runs by itself, and pays for both."""

    def broken(self: replicas.Pack, given: object) -> None:
        raise ZeroDivisionError("one of them")

    monkeypatch.setattr(replicas.Pack, "step", broken)
    trials = [trial(seed=seed) for seed in range(2)]
    for found, one in zip(run_replicas([Member(one) for one in trials], workplace, least_gain=0), trials, strict=True):
        expected = run_trial(one, workplace)
        assert (found.status, found.test_accuracy, found.provenance["replicas"]) == ("done", expected.test_accuracy, "1")


def test_only_kin_can_be_packed(workplace: Workplace) -> None:
    """Equal but for seed, hyperparameters and purpose; everything else keeps trials apart."""
    assert trial().kin == trial(seed=9, hyperparameters={"gain": 2.0}, purpose="tuning", number=3, proposal={"a": 1}).kin
    for change in (
        {"architecture": "3x64"},
        {"precision": "bfloat16"},
        {"epochs": 4},
        {"dataset_share": 0.2},
        {"profile": "as-published"},
        {"search_space_options": {"size": 4}},
    ):
        assert trial().kin != trial(**change).kin
    with pytest.raises(ValueError, match="seeds and hyperparameters alone"):
        run_replicas([Member(trial()), Member(trial(epochs=4))], workplace)
    assert packing.run_replicas([], workplace) == []
