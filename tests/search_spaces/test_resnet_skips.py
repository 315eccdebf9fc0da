"""Residual networks with different skips: the paper's fixed path, interchangeable weights, and the published size."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from search_spaces import preact_resnet
from search_spaces import resnet_skips as space
from tests.search_spaces.measuring import logits_of, size_of

PUBLISHED = "projection/plain/batch/pre/relu"
SMALL = {"width": 4, "blocks": 1}


def filled(shape: tuple[int, ...], step: float, start: float) -> Tensor:
    """Return the sines of start, start + step, … in the given shape."""
    return torch.sin(torch.arange(int(np.prod(shape)), dtype=torch.float64) * step + start).reshape(shape)


def test_the_fixed_path_gives_the_known_sums() -> None:
    """From two to five channels, the fixed path gives doubled averages with two zero channels before them and one after."""
    shortcut = space.Shortcut(2, 5, 2, dose=1.0).double()
    nn.init.zeros_(shortcut.projection.weight)
    images = filled((1, 2, 4, 4), 0.37, 0.1)
    sums = shortcut(images).sum((0, 2, 3)).tolist()
    assert sums == pytest.approx([0, 0, 0.12932389178692993, 0.28911917611996496, 0], abs=1e-12)
    rows = [torch.autograd.grad(output, images, retain_graph=True)[0].flatten() for output in shortcut(images.requires_grad_()).flatten()]
    singular = torch.linalg.svdvals(torch.stack(rows))
    torch.testing.assert_close(singular, torch.tensor([1.0] * 8 + [0.0] * 12, dtype=torch.float64))


@pytest.mark.parametrize("dose", [0.25, 0.5, 2.0])
def test_the_dose_scales_the_fixed_path(dose: float) -> None:
    """The fixed path is proportional to the dose, and the projection does not depend on it."""
    images = torch.randn(2, 4, 6, 6)
    whole, part = space.Shortcut(4, 8, 2, dose=1.0), space.Shortcut(4, 8, 2, dose=dose)
    part.load_state_dict(whole.state_dict())
    projected = whole.projection(images)
    torch.testing.assert_close(part(images) - projected, dose * (whole(images) - projected))


def test_the_published_network() -> None:
    """The size equals that of PreAct-ResNet-18, and the fixed path adds no parameters or multiply-adds."""
    assert size_of(space.build, PUBLISHED) == size_of(preact_resnet.build, "basic-2-2-2-2-w64")
    assert size_of(space.build, PUBLISHED)[0] == 11_171_146
    assert size_of(space.build, "fixed-1/plain/batch/pre/relu") == size_of(space.build, PUBLISHED)


def test_the_published_network_computes_what_preact_resnet_does() -> None:
    """With weights copied from ours to PreAct-ResNet, block by block, the logits are the same."""
    ours = space.build(PUBLISHED, 3, 10, **SMALL)
    other = preact_resnet.build("basic-1-1-1-1-w4", 3, 10)
    with torch.no_grad():
        for mine, block in zip(ours.children(), other.children(), strict=True):
            if isinstance(mine, space.Block):
                assert isinstance(block, preact_resnet.Block)
                block.get_submodule("residual.0").load_state_dict(mine.conv1.state_dict())
                block.get_submodule("residual.3").load_state_dict(mine.conv2.state_dict())
                if mine.shortcut is not None:
                    assert block.shortcut is not None
                    block.shortcut.load_state_dict(mine.shortcut.projection.state_dict())
            else:
                block.load_state_dict(mine.state_dict())
    torch.testing.assert_close(logits_of(ours), logits_of(other))


def test_weights_are_interchangeable() -> None:
    """With the same seed, networks that differ in dose, branch and activation have the same weights but different logits."""
    variants = [
        "/".join((skip, branch, "batch", "pre", act)) for skip, branch, act in itertools.product(space.SKIPS[2:7], *space.WORDS[1::3])
    ]
    states, logits = [], []
    for variant in variants:
        torch.manual_seed(3)
        network = space.build(variant, 3, 10, **SMALL)
        states.append(network.state_dict())
        logits.append(tuple(logits_of(network).flatten().tolist()))
    first = states[0]
    for state in states[1:]:
        assert state.keys() == first.keys()
        assert all(torch.equal(state[name], first[name]) for name in first if name.endswith("weight"))
    assert len(set(logits)) == len(variants) == 20


def test_what_each_skip_adds() -> None:
    """With zero kernels in the branches, `none` passes nothing, `identity` only within a stage, and the other skips everywhere."""
    images = torch.randn(2, 3, 8, 8)
    passed: dict[str, list[bool]] = {}
    for skip in ("none", "identity", "projection", "fixed-1"):
        torch.manual_seed(0)
        network = space.build(f"{skip}/plain/none/pre/relu", 3, 10, **SMALL)
        blocks = [module for module in network.modules() if isinstance(module, space.Block)]
        for block in blocks:
            nn.init.zeros_(block.conv2.weight)
        maps = network.get_submodule("0")(images)
        passed[skip] = []
        for block in blocks:
            result = block(maps)
            passed[skip].append(bool(result.any()))
            maps = torch.randn(result.shape)
    every = [True] * 4
    assert passed == {"none": [False] * 4, "identity": [True, False, False, False], "projection": every, "fixed-1": every}


def test_delta_adds_the_identity() -> None:
    """A zero convolution returns its input if it keeps the shape, and zeros otherwise."""
    images = torch.randn(2, 4, 6, 6)
    for channels, stride in ((4, 1), (8, 2)):
        convolution = space.Convolution(4, channels, 3, stride, "none", "delta")
        nn.init.zeros_(convolution.weight)
        expected = images if stride == 1 else torch.zeros(2, 8, 3, 3)
        torch.testing.assert_close(convolution(images), expected)


def test_normalised_weights_ignore_their_size() -> None:
    """Scaling the kernels by ten does not change the output; each normalised kernel has norm sqrt(2)."""
    convolution = space.Convolution(4, 6, 3, 1, "weight", "plain")
    images = torch.randn(2, 4, 6, 6)
    before = convolution(images)
    with torch.no_grad():
        convolution.weight *= 10
    torch.testing.assert_close(convolution(images), before)
    noise = torch.randn(64, 4, 16, 16)
    ratio = float(convolution(noise).detach()[..., 1:-1, 1:-1].square().mean() / noise.square().mean())
    assert ratio == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("channels", [4, 7])
def test_the_control_has_the_singular_values_without_the_path(channels: int) -> None:
    """On 2 x 2 pixels, the scaled projection has the same mean singular value as the shortcut with the fixed path."""
    fixed = space.Shortcut(channels, 2 * channels, 2, dose=1.0).double()
    scaled = space.Shortcut(channels, 2 * channels, 2).double()
    scaled.load_state_dict(fixed.state_dict())
    with torch.no_grad():
        scaled.projection.weight *= space.matching_factor(fixed.float())
    fixed.double()
    pixels = torch.eye(4 * channels, dtype=torch.float64).reshape(-1, channels, 2, 2)
    means = [torch.linalg.svdvals(shortcut(pixels).flatten(1)).mean().item() for shortcut in (fixed, scaled)]
    assert means[0] == pytest.approx(means[1], rel=1e-6)
    assert means[0] > 1.2 * torch.linalg.svdvals(fixed.projection(pixels).flatten(1)).mean().item()


def test_the_control_scales_the_projections_alone() -> None:
    """The control only rescales the three projections by one factor each; it is rejected with weight normalisation."""
    states = []
    for skip in ("projection", "matched-1"):
        torch.manual_seed(5)
        states.append(space.build(f"{skip}/plain/batch/pre/relu", 3, 10, **SMALL).state_dict())
    changed = [name for name in states[0] if not torch.equal(states[0][name], states[1][name])]
    assert changed == [f"{block}.shortcut.projection.weight" for block in (2, 3, 4)]
    for name in changed:
        ratio = states[1][name] / states[0][name]
        assert float(ratio.min()) == pytest.approx(float(ratio.max()), rel=1e-4)
        assert float(ratio.min()) > 1.2
    assert "use projection" in space.defect("matched-1/plain/weight/pre/relu")
    assert not space.defect("matched-1/plain/batch/pre/relu")


def test_every_architecture_is_listed_once_and_differs() -> None:
    """There are 312 names, and with the same seed no two architectures with the same activation compute the same."""
    listed = list(space.architectures())
    assert len(set(listed)) == len(listed) == 312
    logits = set()
    for architecture in listed[::2]:
        torch.manual_seed(0)
        logits.add(tuple(logits_of(space.build(architecture, 3, 4, **SMALL), count=3).detach().flatten().tolist()))
    assert len(logits) == 156


@pytest.mark.parametrize("wrong", ["", "none", "fixed-3/plain/batch/pre/relu", f"{PUBLISHED}/x", "projection/plain/batch/pre"])
def test_malformed_architectures_are_refused(wrong: str) -> None:
    """The message lists the allowed words for each position."""
    with pytest.raises(ValueError, match=r"\(none\|identity\|projection"):
        space.build(wrong, 3, 10)


@pytest.mark.parametrize("options", [{"width": 6}, {"width": 0}, {"blocks": 0}, {"blocks": 1.0}])
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    """The message names the option and the allowed values."""
    with pytest.raises(ValueError, match="whole number from"):
        space.build(PUBLISHED, 3, 10, **options)


@pytest.mark.parametrize("size", [1, 8, 9])
def test_small_and_odd_images_work(size: int) -> None:
    """Images of one, eight or nine pixels can be halved three times."""
    assert space.build("fixed-1/delta/group/post/gelu", 1, 7, **SMALL)(torch.randn(2, 1, size, size)).shape == (2, 7)


@pytest.mark.parametrize(("skip", "dose"), [("none", 0), ("identity", 0), ("projection", 0), ("fixed-0.25", 0.25), ("fixed-2", 2)])
def test_features(skip: str, dose: float) -> None:
    """The only feature is the dose of the fixed path."""
    assert space.features(f"{skip}/plain/batch/pre/relu") == {"dose": dose}
