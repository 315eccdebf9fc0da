"""Parts of a plan: each trial is in exactly one part, and parts are balanced."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agd_bench.errors import InputError
from agd_bench.scheduling.partition import Part, part_of
from agd_bench.scheduling.resources import Resources
from agd_bench.scheduling.runs import run_plan
from agd_bench.store import Store, load_results
from tests.scheduling import plans


@settings(deadline=None, max_examples=25)
@given(architectures=st.integers(1, 7), rounds=st.integers(0, 2), of=st.integers(1, 4))
def test_parts_are_the_plan(architectures: int, rounds: int, of: int) -> None:
    """Every trial is in exactly one part, together with all trials of its architecture, in the order of the plan."""
    whole = plans.plan(architectures=architectures, rounds=rounds)
    assert whole.all_trials  # the plan now caches its trials; its parts must not inherit the cache
    parts = [part_of(whole, Part(number, of)) for number in range(1, of + 1)]
    ids = [trial.id for part in parts for trial in part.all_trials]
    assert sorted(ids) == sorted(trial.id for trial in whole.all_trials)
    places = {trial.id: place for place, trial in enumerate(whole.all_trials)}
    for part in parts:
        own = [places[trial.id] for trial in part.all_trials]
        assert own == sorted(own)
    met = [{trial.architecture for trial in part.all_trials} for part in parts]
    assert sum(map(len, met)) == architectures
    assert max(map(len, met)) - min(map(len, met)) <= 1


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2", ""])
def test_what_is_no_part_is_refused(text: str) -> None:
    """The error shows the expected format."""
    with pytest.raises(InputError, match="K/N"):
        Part.parse(text)


def test_adaptive_seeds_cannot_be_divided() -> None:
    """Adaptive seeds depend on all architectures, so the plan cannot be divided."""
    with pytest.raises(InputError, match="adaptive"):
        part_of(plans.plan(adaptive=plans.ADAPTIVE, seeds=4), Part(1, 2))


def test_two_parts_run_after_each_other_are_the_whole_run(tmp_path: Path) -> None:
    """Each part leaves the other trials pending in the same store, and both together complete the run."""
    planned = plans.plan(architectures=3)
    for number in (1, 2):
        run_plan(
            planned,
            tmp_path / "run",
            plans.workplace(tmp_path),
            Resources("in-process"),
            run_trial=plans.succeed,
            tuner=plans.HashTuner(),
            part=Part(number, 2),
        )
        with Store.open(tmp_path / "run", planned) as store:
            standings = store.standings()
        done = {trial_id for trial_id, standing in standings.items() if standing.status == "done"}
        expected = {trial.id for part in range(1, number + 1) for trial in part_of(planned, Part(part, 2)).all_trials}
        assert done == expected
    assert (load_results(tmp_path / "run").trials["status"] == "done").all()
