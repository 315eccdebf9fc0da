"""A step's loss evaluated again after the step: it is the same loss, and nothing of the training notices."""

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
"""Of an epoch of the trials here: 125 images in batches of 16."""


def network() -> nn.Sequential:
    """What makes a second pass differ from the first one if nothing is done about it: dropout, and running statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 3))


def batch() -> tuple[Tensor, Tensor]:
    """Sixteen images (1, 6, 6) of three classes."""
    return torch.randn(16, 1, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 3


def steps(made: nn.Module, rate: float, replayed: list[tuple[Tensor, Tensor]] | None) -> Tensor:
    """Three steps of gradient descent, replayed where a list is given; the next number of torch's generator."""
    fit = Fit(made, torch.optim.SGD(made.parameters(), lr=rate), None, cross_entropy)
    if replayed is not None:
        fit.replay = Replay(made, cross_entropy, lambda before, after: replayed.append((before, after)))
    torch.manual_seed(1)
    for _ in range(3):
        fit.step(*batch())
    return torch.rand(1)


def test_where_nothing_moved_the_loss_is_the_same_to_the_last_bit() -> None:
    """Dropout draws what it drew, and normalisation is by the batch; the loss before has no graph any more."""
    replayed: list[tuple[Tensor, Tensor]] = []
    steps(network(), 0.0, replayed)
    assert len(replayed) == 3
    assert all(torch.equal(before, after) for before, after in replayed)
    assert not any(value.requires_grad for pair in replayed for value in pair)
    assert len({float(before) for before, _ in replayed}) == 3, "each step has its own dropout"


def test_a_comparison_that_fails_does_not_end_the_training() -> None:
    """It is not tried again, and says why."""
    fit, asked = Fit(made := network(), torch.optim.SGD(made.parameters(), lr=0.1), None, cross_entropy), []

    def compare(before: Tensor, after: Tensor) -> None:
        asked.append(1)
        raise RuntimeError("cannot compare")

    fit.replay = Replay(made, cross_entropy, compare)
    for _ in range(3):
        fit.step(*batch())
    assert (fit.steps, fit.replay.reason, asked) == (3, "RuntimeError: cannot compare", [1])


def test_the_loss_after_is_that_of_the_weights_after() -> None:
    """A large step changes the loss of its batch; the value is what a pass with the same mask gives."""
    made, replayed = network(), cast("list[tuple[Tensor, Tensor]]", [])
    made[3] = nn.Identity()
    steps(made, 0.5, replayed)
    images, labels = batch()
    logits = functional_call(made, {}, (images,))
    assert torch.equal(replayed[-1][1], cross_entropy(logits, labels).detach())
    assert float(replayed[0][1]) < float(replayed[0][0])


def test_training_does_not_notice() -> None:
    """Weights, running statistics and torch's generator are what they are without it."""
    plain, replayed = network(), network()
    assert torch.equal(steps(plain, 0.1, None), steps(replayed, 0.1, []))
    for one, other in zip(plain.state_dict().values(), replayed.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def run(tmp_path: Path, algorithm: str, **changes: Any) -> TrialResult:
    """A short trial on digits."""
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
    """What the optimizer said of an epoch, without what it said of single layers."""
    return {name: value for name, value in point.diagnostics.items() if "/" not in name}


@pytest.mark.parametrize("algorithm", ["dsgd", "dsgd_cross_entropy"])
def test_a_guaranteed_algorithm_keeps_every_promise(tmp_path: Path, algorithm: str) -> None:
    """Through the harness, every step is compared, none falls short, and one layer moved in each."""
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
    """On a network with dropout and normalisation: losses and accuracies of every epoch, bit for bit."""
    told, silent = (
        run(tmp_path / str(number), "dsgd_heuristic", search_space="tiny", search_space_options={}, architecture="small", diagnostics=asked)
        for number, asked in enumerate((("optimizer",), ()))
    )
    assert [numbers(point)["compared_steps"] for point in told.curve] == [STEPS, STEPS]
    assert not any(point.diagnostics for point in silent.curve)
    left_out = {"train_seconds", "diagnostics"}
    assert [point.model_dump(exclude=left_out) for point in told.curve] == [point.model_dump(exclude=left_out) for point in silent.curve]


def test_its_seconds_are_not_those_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow replay is charged to the trial as a whole alone."""
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
    """A loss is not known there to the size of a step's change; promises are recorded still."""
    said = numbers(run(tmp_path, "dsgd", precision="bfloat16", epochs=1).curve[0])
    assert said["promised_decrease"] > 0
    assert said["compared_steps"] == 0
    assert "compared_seconds" not in said


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, and torch sees none here")
def test_on_a_gpu_the_seconds_are_those_of_its_stream() -> None:
    """Two events a step; the loss repeats to the last bit where nothing moved."""
    made, replayed = network().cuda(), cast("list[tuple[Tensor, Tensor]]", [])
    fit = Fit(made, torch.optim.SGD(made.parameters(), lr=0.0), None, cross_entropy)
    fit.replay = Replay(made, cross_entropy, lambda before, after: replayed.append((before, after)))
    images, labels = batch()
    for _ in range(3):
        fit.step(images.cuda(), labels.cuda())
    assert all(torch.equal(before, after) for before, after in replayed)
    assert 0 < fit.seconds_aside() < 60
