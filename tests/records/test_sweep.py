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
