"""Unions of sweeps: their contents, and sweeps that have none."""

from __future__ import annotations

from typing import Any

import pytest

from agd_bench.errors import SweepError
from agd_bench.planning.planner import plan
from agd_bench.planning.unions import unite_sweeps
from agd_bench.records import Sweep

TWO, OTHER_TWO = ("2x16", "3x16"), ("3x16", "4x16")


def sweep(architectures: object = TWO, names: tuple[str, ...] = ("agd",), **changes: object) -> Sweep:
    """Return a sweep of fully connected networks on digits."""
    given = {
        "name": "first",
        "epochs": 1,
        "seeds": 2,
        "search_spaces": [{"name": "fcn", "architectures": architectures, "options": {"size": 8}}],
        "datasets": [{"name": "digits", "share": 0.1}],
        "algorithms": [{"name": name} for name in names],
    }
    return Sweep.model_validate(given | changes)


def test_every_choice_of_both_is_in_the_union() -> None:
    """The union has all algorithms, architectures, seeds and profiles, and so every trial of either sweep."""
    first, second = sweep(), sweep(OTHER_TWO, ("nadamw", "agd"), name="second", seeds=[1, 5], profiles=["as-published"])
    united = unite_sweeps([first, second])
    assert united.name == "first"
    assert united.search_spaces[0].architectures == ("2x16", "3x16", "4x16")
    assert [choice.label for choice in united.algorithms] == ["agd", "nadamw"]
    assert united.seeds == (0, 1, 5)
    assert united.profiles == ("matrix-only", "as-published")
    ids = {trial.id for trial in plan(united).all_trials}
    assert ids > {trial.id for part in (first, second) for trial in plan(part).all_trials}
    assert len(ids) == 3 * 2 * 3 * 2


def test_one_sample_within_another_stays_a_sample() -> None:
    """The larger sample is kept as requested, in either order, so that a study over it keeps its key."""
    small, large = sweep(3), sweep(5)
    assert unite_sweeps([small, large]).search_spaces == large.search_spaces
    assert unite_sweeps([large, small]).search_spaces == large.search_spaces
    assert unite_sweeps([small, small]) == small


def test_what_is_recorded_is_what_all_recorded() -> None:
    """The union records only the diagnostics that all runs recorded."""
    united = unite_sweeps([sweep(diagnostics=["optimizer", "network"]), sweep(diagnostics=["network"])])
    assert united.diagnostics == ("network",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 2}, "epochs is 1 and 2"),
        ({"batch_size": 8}, "batch_size is 128 and 8"),
        ({"precision": "bfloat16"}, "precision is float32 and bfloat16"),
        ({"datasets": [{"name": "digits", "share": 0.2}]}, "data set 'digits' differs.*share is 0.1 and 0.2"),
        ({"algorithms": [{"name": "agd", "loss": "square"}]}, "algorithm 'agd' differs.*loss is None and square"),
        ({"search_spaces": [{"name": "fcn", "options": {"size": 4}}]}, "search space 'fcn' differs.*options"),
    ],
)
def test_sweeps_without_a_union_say_why(changes: dict[str, Any], message: str) -> None:
    """Different settings, or different meanings of a name, cannot be united; the error says what differs."""
    with pytest.raises(SweepError, match=message):
        unite_sweeps([sweep(), sweep(**changes)])


def test_budgets_unite_like_data_sets() -> None:
    """Sweeps over lists of epochs have a union with the budgets of both; a sweep of one budget has none with another."""
    united = unite_sweeps([sweep(epochs=[1, 2]), sweep(epochs=[1, 4])])
    assert [choice.label for choice in united.datasets] == ["digits@1", "digits@2", "digits@4"]
    assert (united.epochs, united.budgets) == (4, (1, 2, 4))
    with pytest.raises(SweepError, match="epochs is 1 and 4"):
        unite_sweeps([sweep(), sweep(epochs=[1, 4])])
