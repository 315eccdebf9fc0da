"""Re-evaluating a step's loss after the step uses the same loss function and does not affect the training."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from agd_bench import plugins
from agd_bench.optim.losses import cross_entropy
from agd_bench.records import CurvePoint, Trial, TrialResult
from agd_bench.training.descent_check import Replay
from agd_bench.training.fit import Fit
from agd_bench.trial import Workplace, run_trial
from tests.plugin_folders import write_plugins

STEPS = 8
"""Steps per epoch of the trials in this file: 125 images in batches of 16."""


def network() -> nn.Sequential:
    """Return a network with dropout and running statistics, which would make a naive second pass differ from the first."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 3))


def batch() -> tuple[Tensor, Tensor]:
    """Return 16 images of shape (1, 6, 6) in three classes."""
    return torch.randn(16, 1, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 3


def steps(made: nn.Module, rate: float, replayed: list[tuple[Tensor, Tensor]] | None) -> Tensor:
    """Take three gradient steps, collecting replayed losses if a list is given, and return the next random number."""
    fit = Fit(made, torch.optim.SGD(made.parameters(), lr=rate), None, cross_entropy)
    if replayed is not None:
        fit.replay = Replay(made, cross_entropy, lambda before, after: replayed.append((before, after)))
    torch.manual_seed(1)
    for _ in range(3):
        fit.step(*batch())
    return torch.rand(1)


def test_where_nothing_moved_the_loss_is_the_same_to_the_last_bit() -> None:
    """With a zero learning rate, the replayed loss is bitwise equal: the dropout mask and batch statistics are the same."""
    replayed: list[tuple[Tensor, Tensor]] = []
    steps(network(), 0.0, replayed)
    assert len(replayed) == 3
    assert all(torch.equal(before, after) for before, after in replayed)
    assert not any(value.requires_grad for pair in replayed for value in pair)
    assert len({float(before) for before, _ in replayed}) == 3, "each step has its own dropout"


def test_a_comparison_that_fails_does_not_end_the_training() -> None:
    """After a failed comparison no more are made, and the reason is recorded."""
    fit, asked = Fit(made := network(), torch.optim.SGD(made.parameters(), lr=0.1), None, cross_entropy), []

    def compare(before: Tensor, after: Tensor) -> None:
        asked.append(1)
        raise RuntimeError("cannot compare")

    fit.replay = Replay(made, cross_entropy, compare)
    for _ in range(3):
        fit.step(*batch())
    assert (fit.steps, fit.replay.reason, asked) == (3, "RuntimeError: cannot compare", [1])


def test_the_loss_after_is_that_of_the_weights_after() -> None:
    """The loss after a step is that of the updated weights on the same batch."""
    made, replayed = network(), cast("list[tuple[Tensor, Tensor]]", [])
    made[3] = nn.Identity()
    steps(made, 0.5, replayed)
    images, labels = batch()
    logits = functional_call(made, {}, (images,))
    assert torch.equal(replayed[-1][1], cross_entropy(logits, labels).detach())
    assert float(replayed[0][1]) < float(replayed[0][0])


def test_training_does_not_notice() -> None:
    """Replaying does not change weights, running statistics or torch's generator."""
    plain, replayed = network(), network()
    assert torch.equal(steps(plain, 0.1, None), steps(replayed, 0.1, []))
    for one, other in zip(plain.state_dict().values(), replayed.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def run(tmp_path: Path, algorithm: str, **changes: Any) -> TrialResult:
    """Run a short trial on digits."""
    folders = cast("dict[plugins.Kind, tuple[Path, ...]]", write_plugins(tmp_path / "plugins"))
    asked = {
        "search_space": "fcn",
        "search_space_label": "fcn",
        "search_space_options": {"size": 8},
        "architecture": "3x32",
        "dataset": "digits",
        "dataset_share": 0.1,
        "algorithm": algorithm,
        "algorithm_label": algorithm,
        "epochs": 2,
        "batch_size": 16,
        "seed": 0,
        "diagnostics": ("optimizer",),
    }
    return run_trial(Trial.model_validate({**asked, **changes}), Workplace(tmp_path, folders=folders, device="cpu"))


def numbers(point: CurvePoint) -> dict[str, float]:
    """Return the optimizer's diagnostics of an epoch, except those of single layers."""
    return {name: value for name, value in point.diagnostics.items() if "/" not in name}


@pytest.mark.parametrize("algorithm", ["dsgd", "dsgd_cross_entropy"])
def test_a_guaranteed_algorithm_keeps_every_promise(tmp_path: Path, algorithm: str) -> None:
    """In a full trial every step is compared, none falls short of its promise, and each updates one layer."""
    result = run(tmp_path, algorithm)
    assert result.provenance["descent_guarantee"] == "yes"
    for point in result.curve:
        said = numbers(point)
        assert (said["compared_steps"], said["shortfalls"]) == (STEPS, 0)
        assert said["compared_decrease"] >= said["compared_promise"] > 0
        assert said["compared_promise"] == pytest.approx(said["promised_decrease"])
        assert said["compared_seconds"] > 0
        assert sum(value for name, value in point.diagnostics.items() if name.startswith("updates/")) == STEPS


def test_a_trial_measures_the_same_whether_steps_are_replayed_or_not(tmp_path: Path) -> None:
    """Losses and accuracies are bitwise equal with and without replays, on a network with dropout and normalisation."""
    told, silent = (
        run(tmp_path / str(number), "dsgd_heuristic", search_space="tiny", search_space_options={}, architecture="small", diagnostics=asked)
        for number, asked in enumerate((("optimizer",), ()))
    )
    assert [numbers(point)["compared_steps"] for point in told.curve] == [STEPS, STEPS]
    assert not any(point.diagnostics for point in silent.curve)
    left_out = {"train_seconds", "diagnostics"}
    assert [point.model_dump(exclude=left_out) for point in told.curve] == [point.model_dump(exclude=left_out) for point in silent.curve]


def test_its_seconds_are_not_those_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replay time counts towards the trial's total seconds, but not its training seconds."""
    slow = 0.05
    recall = Replay._recall

    def slowly(self: Replay, device: torch.device) -> None:
        time.sleep(slow)
        recall(self, device)

    monkeypatch.setattr(Replay, "_recall", slowly)
    result = run(tmp_path, "dsgd", epochs=1)
    assert result.train_seconds is not None
    assert result.curve[0].diagnostics["compared_seconds"] >= slow * STEPS
    assert result.train_seconds < slow * STEPS
    assert result.total_seconds > slow * STEPS


def test_in_bfloat16_nothing_is_compared(tmp_path: Path) -> None:
    """In bfloat16 the loss is too coarse to compare, but promised decreases are still recorded."""
    said = numbers(run(tmp_path, "dsgd", precision="bfloat16", epochs=1).curve[0])
    assert said["promised_decrease"] > 0
    assert said["compared_steps"] == 0
    assert "compared_seconds" not in said


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, and torch sees none here")
def test_on_a_gpu_the_seconds_are_those_of_its_stream() -> None:
    """On a GPU, replays are timed on the stream; with a zero learning rate the loss is bitwise equal."""
    made, replayed = network().cuda(), cast("list[tuple[Tensor, Tensor]]", [])
    fit = Fit(made, torch.optim.SGD(made.parameters(), lr=0.0), None, cross_entropy)
    fit.replay = Replay(made, cross_entropy, lambda before, after: replayed.append((before, after)))
    images, labels = batch()
    for _ in range(3):
        fit.step(images.cuda(), labels.cuda())
    assert all(torch.equal(before, after) for before, after in replayed)
    assert 0 < fit.seconds_aside() < 60
