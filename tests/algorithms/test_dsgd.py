"""The three forms of DSGD in the harness: in trials, and in the conformance kit on networks that they accept."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch
from torch import nn

from agd_bench import testing
from agd_bench.errors import Refused
from agd_bench.records import Profile, Trial
from agd_bench.testing import _algorithms, check_algorithm
from agd_bench.training.profiles import apply_profile
from agd_bench.trial import Workplace, run_trial

GUARANTEED = ("dsgd", "dsgd_cross_entropy")
NAMES = (*GUARANTEED, "dsgd_heuristic")
CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"


def fully_connected(profile: Profile, kind: str = "") -> nn.Module:
    """Return a network for the kit's images that the guaranteed forms accept, whatever kind the kit asks for."""
    torch.manual_seed(0)
    return apply_profile(nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 4)), profile)


@pytest.fixture
def kit_of_fully_connected_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the conformance kit's convolutional network with a fully connected one."""
    monkeypatch.setattr(_algorithms, "kit_network", fully_connected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("kit_of_fully_connected_networks")
def test_the_protocol_is_kept(name: str) -> None:
    """All checks pass: facts, signatures, reproducibility, falling losses in both profiles, and resuming from a checkpoint."""
    checks = check_algorithm(importlib.import_module(f"agd_bench.algorithms.{name}"))
    assert [check for check in checks if not check.passed or check.message] == []


def test_the_heuristic_form_takes_the_kits_own_network() -> None:
    """The heuristic form trains the kit's convolutional network in the matrix-only profile and refuses it with learned scales."""
    checks = check_algorithm(importlib.import_module("agd_bench.algorithms.dsgd_heuristic"))
    assert [check.name for check in checks if not check.passed] == []
    assert [check.message for check in checks if check.message] == ["refuses as-published networks"]


def test_what_is_guaranteed_is_said() -> None:
    """Each module states whether it has a guarantee and for which losses; the heuristic form's source says it has none."""
    modules = [importlib.import_module(f"agd_bench.algorithms.{name}") for name in NAMES]
    assert [module.GUARANTEE for module in modules] == [True, True, False]
    assert [module.LOSSES for module in modules] == [("square",), ("cross-entropy",), ("cross-entropy",)]
    assert "without a guarantee" in modules[2].SOURCE
    assert {module.TIER for module in modules} == {"self-tuning"}


@pytest.mark.parametrize("q", [1, 2, "inf"])
@pytest.mark.parametrize("name", NAMES)
def test_q_is_a_hyperparameter(name: str, q: int | str) -> None:
    """A sweep can set the norm as a number or as text."""
    built = importlib.import_module(f"agd_bench.algorithms.{name}").build(fully_connected("matrix-only"), 10, q=q)
    assert built.param_groups[0]["q"] == float(q)


def trial(name: str, space: str, architecture: str, **options: str | int) -> Trial:
    """Return a short trial on the digits dataset."""
    return Trial.model_validate(
        {
            "purpose": "final",
            "search_space": space,
            "search_space_label": space,
            "search_space_options": options,
            "architecture": architecture,
            "dataset": "digits",
            "algorithm": name,
            "algorithm_label": name,
            "profile": "matrix-only",
            "epochs": 3,
            "batch_size": 64,
            "seed": 0,
        }
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_fully_connected_network_trains(name: str, tmp_path: Path) -> None:
    """Three epochs on the digits in the harness give an accuracy far above chance."""
    result = run_trial(trial(name, "fcn", "2x32", size=8), Workplace(tmp_path, device="cpu"))
    assert (result.status, result.reason) == ("done", "")
    assert result.val_accuracy is not None
    assert result.val_accuracy > 0.5


def test_a_convolution_network_is_refused_with_a_reason(tmp_path: Path) -> None:
    """The guaranteed forms record a refusal that points to the heuristic form, which trains the network."""
    workplace = Workplace(tmp_path, device="cpu")
    for name in GUARANTEED:
        result = run_trial(trial(name, "nas_bench_201", CELL, channels=4, cells=1), workplace)
        assert result.status == "refused"
        assert "dsgd has no guarantee for it" in result.reason
        assert "use dsgd_heuristic" in result.reason
    result = run_trial(trial("dsgd_heuristic", "nas_bench_201", CELL, channels=4, cells=1), workplace)
    assert result.status == "done"
    assert result.curve[-1].train_loss < result.curve[0].train_loss


@pytest.mark.parametrize("name", GUARANTEED)
def test_preparing_refuses_early_and_draws_nothing(name: str) -> None:
    """`prepare` keeps the network as built and draws nothing; a network without a guarantee is refused before training."""
    module = importlib.import_module(f"agd_bench.algorithms.{name}")
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    network = fully_connected("as-published")
    assert module.prepare(network, generator) is network
    assert torch.equal(before, generator.get_state())
    with pytest.raises(Refused, match="layer '1' is ReLU"):
        module.prepare(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), generator)


def test_the_search_space_keeps_its_protocol() -> None:
    """The fully connected search space passes the kit with every activation."""
    from search_spaces import fcn

    assert [check for check in testing.check_search_space(fcn) if not check.passed] == []
