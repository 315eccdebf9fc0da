"""Estimates made before a run: trial counts are exact, and FLOPs match what the trials are charged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from agd_bench.planning.planner import Folders, plan
from agd_bench.records import Sweep
from agd_bench.scheduling import estimate as estimate_module
from agd_bench.scheduling.estimate import estimate_plan
from agd_bench.training.cuda_graphs import Capture
from agd_bench.trial import Workplace, run_trial
from tests.training.recording import TapeRecorder

SWEEP = Sweep.model_validate(
    {
        "name": "small",
        "epochs": 2,
        "batch_size": 32,
        "seeds": 2,
        "search_spaces": [{"name": "nas_bench_201", "architectures": 3, "options": {"channels": 4, "cells": 1}}],
        "datasets": [{"name": "digits", "share": 0.1}],
        "algorithms": [{"name": "agd"}, {"name": "sgd_tuned", "tuning_trials": 2}],
    }
)


def test_counts_and_flops_are_what_the_trials_are_charged(tmp_path: Path) -> None:
    """For a small plan every architecture is counted, so the FLOPs are exact; seconds are divided among the slots."""
    made, workplace = plan(SWEEP), Workplace(data_root=tmp_path, device="cpu")
    table = estimate_plan(made, workplace, slots=2).set_index("algorithm")
    assert list(table["tuning_trials"]) == [0, 6]
    assert list(table["final_trials"]) == [6, 6]
    charged = sum(run_trial(trial, workplace).flops or 0 for trial in made.trials)
    assert table.loc["agd", "flops"] == pytest.approx(charged, rel=1e-9)
    assert (table["wall_seconds"] * 2 == table["device_seconds"]).all()
    assert (table["device_seconds"] > 0).all()
    assert (table["least_share"] == 1).all()


def test_captured_steps_are_timed_as_they_are_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a GPU would replay captured steps, the timed pass contains no eager steps."""
    replays = []

    class Counted(Capture):
        def train_epoch(self, *given: Any) -> Any:
            before = self.replays
            told = super().train_epoch(*given)
            replays.append(self.replays - before)
            return told

    monkeypatch.setattr(estimate_module, "capture_steps", lambda fit, device: setattr(fit, "capture", Counted(fit, TapeRecorder())))
    table = estimate_plan(plan(SWEEP), Workplace(data_root=tmp_path, device="cpu"), slots=1)
    assert (table["device_seconds"] > 0).all()
    assert set(replays[1::2]) == {estimate_module.TIMED_STEPS}
    assert max(replays[::2]) < estimate_module.TIMED_STEPS


def test_refreshing_statistics_is_counted(tmp_path: Path) -> None:
    """An averaging optimizer recomputes batch-norm statistics before each evaluation, and the estimate includes that cost."""
    asked = Sweep.model_validate({**SWEEP.model_dump(), "algorithms": [{"name": "schedule_free_sgd"}]})
    made, workplace = plan(asked), Workplace(data_root=tmp_path, device="cpu")
    table = estimate_plan(made, workplace, slots=1)
    charged = sum(run_trial(trial, workplace).flops or 0 for trial in made.trials)
    assert table["flops"].sum() == pytest.approx(charged, rel=1e-9)


WILD = '''
"""A rate that diverges in one step. Source: these tests."""
import torch

RANGES = {ranges}


def prepare(network, generator):
    return network


def build(network, steps, rate):
    return torch.optim.SGD(network.parameters(), lr=rate)


def loss(logits, labels):
    return torch.nn.functional.cross_entropy(logits, labels)
'''


@pytest.mark.parametrize("choices", [[1e30, 1e-3], [1e30]])
def test_a_rate_that_diverges_ends_no_plan(tmp_path: Path, choices: list[float]) -> None:
    """The smallest rate of a grid is timed; if even that one diverges, its seconds are used anyway."""
    (tmp_path / "wild.py").write_text(WILD.replace("{ranges}", repr({"rate": {"choices": choices}})))
    folders: Folders = {"algorithms": (tmp_path,)}
    asked = {**SWEEP.model_dump(), "algorithms": [{"name": "wild", "tuning_trials": len(choices), "sampler": "grid"}]}
    made = plan(Sweep.model_validate(asked), folders)
    (row,) = estimate_plan(made, Workplace(data_root=tmp_path, device="cpu", folders=folders), 1).to_dict("records")
    assert row["problem"] == ""
    assert row["device_seconds"] > 0


def test_a_plug_in_without_a_network_is_a_problem_and_no_end(tmp_path: Path) -> None:
    """The problem given for the row is the error that its trials will report."""
    text = WILD.replace("{ranges}", "{}").replace("steps, rate", "steps, rate=0.1").replace("return network", "pass")
    (tmp_path / "wild.py").write_text(text)
    folders: Folders = {"algorithms": (tmp_path,)}
    made = plan(Sweep.model_validate({**SWEEP.model_dump(), "algorithms": [{"name": "wild"}]}), folders)
    (row,) = estimate_plan(made, Workplace(data_root=tmp_path, device="cpu", folders=folders), 1).to_dict("records")
    assert "prepare() of the algorithm 'wild' returned NoneType" in row["problem"]


def test_what_is_done_is_left_out(tmp_path: Path) -> None:
    """Finished trials are left out, so the table of a finished run is empty."""
    made, workplace = plan(SWEEP), Workplace(data_root=tmp_path, device="cpu")
    assert estimate_plan(made, workplace, 1, done=[trial.id for trial in made.all_trials]).empty
    some = estimate_plan(made, workplace, 1, done=[trial.id for trial in made.trials])
    assert list(some["algorithm"]) == ["sgd_tuned"]


def test_adaptive_seeds_give_a_range(tmp_path: Path) -> None:
    """Tuning and the first seeds are always trained, further seeds only if needed; `least_share` is the part that is certain."""
    asked = Sweep.model_validate({**SWEEP.model_dump(), "seeds": "adaptive", "adaptive_seeds": {"most": 6}})
    made, workplace = plan(asked), Workplace(data_root=tmp_path, device="cpu")
    table = estimate_plan(made, workplace, 1).set_index("algorithm")
    assert list(table["final_trials"]) == [18, 18]
    assert table["least_share"].to_dict() == {"agd": 6 / 18, "sgd_tuned": (6 + 6) / (18 + 6)}
    begun = estimate_plan(made, workplace, 1, done=[trial.id for trial in made.all_trials if trial.seed < 2])
    assert begun.set_index("algorithm")["least_share"].to_dict() == {"agd": 0.0, "sgd_tuned": 6 / 18}


def test_estimating_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    """Estimating does not change torch's global random state."""
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    estimate_plan(plan(SWEEP), Workplace(data_root=tmp_path, device="cpu"), 1)
    assert torch.equal(torch.rand(2), expected)


def test_what_the_optimizer_refuses_costs_nothing(tmp_path: Path) -> None:
    """If an algorithm cannot build an optimizer for a network, its trials will be refused; the row costs nothing and has no problem."""
    asked = {**SWEEP.model_dump(), "algorithms": [{"name": "dsgd_heuristic"}], "profiles": ["as-published", "matrix-only"]}
    table = estimate_plan(plan(Sweep.model_validate(asked)), Workplace(data_root=tmp_path, device="cpu"), 1).set_index("profile")
    assert table["device_seconds"].gt(0).to_dict() == {"as-published": False, "matrix-only": True}
    assert not any(table["problem"])
