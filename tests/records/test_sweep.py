"""Types in sweeps are strict: numbers must be numbers, and settings must have the type of their defaults."""

from __future__ import annotations

import pytest

import agd_bench
from agd_bench.errors import InputError
from agd_bench.records import parse_sweep

SWEEP = """
name = "x"
epochs = 1
seeds = 2
[[search_spaces]]
name = "nas_bench_201"
architectures = 2
options = { channels = 4, cells = 1 }
[[datasets]]
name = "digits"
share = 0.5
[[algorithms]]
name = "agd"
hyperparameters = { gain = 1.0 }
"""


@pytest.mark.parametrize(
    "change",
    [
        "epochs=true",
        "epochs=1.5",
        'epochs="3"',
        "batch_size=inf",
        "seeds=true",
        "seeds=[true]",
        "seeds=1" + "0" * 30,
        "deadline_seconds=true",
        "datasets.digits.share=true",
        "datasets.digits.augment=1",
        "search_spaces.nas_bench_201.architectures=true",
        "search_spaces.nas_bench_201.options.channels=many",
        "search_spaces.nas_bench_201.options.channels=true",
        "search_spaces.nas_bench_201.options.channels=4.0",
        "search_spaces.nas_bench_201.options.channels=nan",
        "algorithms.agd.hyperparameters.gain=fast",
        "algorithms.agd.hyperparameters.gain=true",
        "algorithms.agd.hyperparameters.gain=inf",
    ],
)
def test_a_value_of_another_kind_is_refused_before_anything_runs(change: str) -> None:
    """The error is a single line that names the key."""
    with pytest.raises(InputError, match=change.partition("=")[0].rpartition(".")[2]) as caught:
        agd_bench.plan(parse_sweep(SWEEP, "sweep.toml", [change]))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("change", ["datasets.digits.share=1", "algorithms.agd.hyperparameters.gain=1"])
def test_a_whole_number_serves_as_a_real_one(change: str) -> None:
    """TOML distinguishes 1 from 1.0, but a share or a rate may be either."""
    assert len(agd_bench.plan(parse_sweep(SWEEP, "sweep.toml", [change])).all_trials) == 4


def test_a_list_of_epochs_is_one_data_set_per_budget() -> None:
    """Each entry of a data set is written out per budget, ascending; the stored sweep reads back to an equal one."""
    sweep = parse_sweep(SWEEP, "sweep.toml", ["epochs=[8, 2]"])
    assert [(choice.label, choice.epochs, choice.share) for choice in sweep.datasets] == [("digits@2", 2, 0.5), ("digits@8", 8, 0.5)]
    assert (sweep.epochs, sweep.budgets, sweep.epochs_on("digits@2")) == (8, (2, 8), 2)
    assert parse_sweep(sweep.model_dump_json(), "sweep.json") == sweep


def test_a_sweep_of_one_budget_is_stored_as_before_budgets_existed() -> None:
    """Digests of published benchmarks cover the text of their data sets."""
    sweep = parse_sweep(SWEEP, "sweep.toml")
    assert sweep.model_dump()["datasets"] == ({"name": "digits", "share": 0.5, "augment": True},)
    assert (sweep.budgets, sweep.epochs_on("digits")) == ((1,), 1)


@pytest.mark.parametrize(
    "changes", [["epochs=[]"], ["epochs=[2, 2]"], ["epochs=[0, 2]"], ["epochs=[2, true]"], ["epochs=[2, 4]", "datasets.digits.epochs=2"]]
)
def test_budgets_are_distinct_whole_numbers_stated_once(changes: list[str]) -> None:
    """The error names the key."""
    with pytest.raises(InputError, match="epochs"):
        parse_sweep(SWEEP, "sweep.toml", changes)
