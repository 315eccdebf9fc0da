"""The cost of a trial, compared with values worked out by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, get_args

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn.utils import parametrizations

from agd_bench import cost, plugins
from agd_bench.records import Profile
from agd_bench.training.profiles import apply_profile

CPU = torch.device("cpu")
PROFILES: tuple[Profile, ...] = get_args(Profile)


def test_flops_of_a_known_network() -> None:
    """A multiply-add costs two FLOPs; the backward pass computes weight and input gradients, except for the first layer's input."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
    convolution, linear = 2 * 3 * 8 * 9 * 36, 2 * 8 * 36 * 10
    flops = cost.count_flops(network, torch.zeros(2, 3, 8, 8))
    assert flops.forward == convolution + linear
    assert flops.training == 2 * convolution + 3 * linear


def test_counting_leaves_the_network_as_it_was() -> None:
    """Counting does not change modes, running statistics, gradients or the random state."""
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(2 * 4, 3)).train()
    network[1].eval()  # frozen by its author
    before = {name: value.clone() for name, value in network.state_dict().items()}
    generator = torch.get_rng_state()
    cost.count_flops(network, torch.ones(2, 1, 4, 4))
    assert torch.equal(torch.get_rng_state(), generator)
    assert [module.training for module in network.modules()] == [True, True, False, True, True, True]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_dead_branch_is_charged_forward_only() -> None:
    """A convolution with an unused result is computed in the forward pass, but there is no backward pass through it."""

    class Dead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dead = nn.Conv2d(1, 4, 3, bias=False)
            self.head = nn.Linear(16, 2, bias=False)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.dead(images)
            logits: torch.Tensor = self.head(images.flatten(1))
            return logits

    flops = cost.count_flops(Dead(), torch.zeros(1, 1, 4, 4))
    dead, head = 2 * 4 * 9 * 4, 2 * 16 * 2
    assert flops.forward == dead + head
    assert flops.training == dead + 2 * head


Layer = Callable[[nn.Module, torch.Tensor, torch.Tensor], tuple[int, int]]


def _convolution(layer: nn.Module, given: torch.Tensor, made: torch.Tensor) -> tuple[int, int]:
    assert isinstance(layer, nn.Conv2d)
    rows, columns = layer.kernel_size
    return made.shape[2] * made.shape[3] * layer.out_channels * (layer.in_channels // layer.groups) * rows * columns, 0


def _linear(layer: nn.Module, given: torch.Tensor, made: torch.Tensor) -> tuple[int, int]:
    assert isinstance(layer, nn.Linear)
    return given.shape[1:-1].numel() * layer.in_features * layer.out_features, 0


def _own_attention(layer: nn.Module, given: torch.Tensor, made: torch.Tensor) -> tuple[int, int]:
    _, tokens, width = given.shape
    return 0, 2 * tokens * tokens * width


def _torch_attention(layer: nn.Module, given: torch.Tensor, made: torch.Tensor) -> tuple[int, int]:
    _, tokens, width = given.shape
    return 4 * tokens * width * width, 2 * tokens * tokens * width


def _window_attention(layer: nn.Module, given: torch.Tensor, made: torch.Tensor) -> tuple[int, int]:
    _, rows, columns, width = given.shape
    side = int(layer.window_size[0])  # type: ignore[index]
    tokens = math.ceil(rows / side) * math.ceil(columns / side) * side**2
    return 4 * tokens * width * width, 2 * tokens * side**2 * width


ATTENTION: dict[str, Layer] = {
    "Attention": _own_attention,
    "MultiheadAttention": _torch_attention,
    "ShiftedWindowAttention": _window_attention,
}


def rule_of(layer: nn.Module) -> Layer | None:
    """Return a function that computes a layer's multiply-adds per image: in products with weights, and in products of two feature maps."""
    if isinstance(layer, nn.Conv2d):
        return _convolution
    return _linear if isinstance(layer, nn.Linear) else ATTENTION.get(type(layer).__name__)


def by_definition(network: nn.Module, images: torch.Tensor) -> tuple[int, int]:
    """Return the FLOPs of a forward pass and of a training step, summed over the layers.

    The gradient of a product's weights costs as much as the product itself if the loss depends on them, and so does that of its input if
    required.
    """
    calls: list[tuple[nn.Module, bool, int, int]] = []

    def note(rule: Layer, layer: nn.Module, given: tuple[torch.Tensor, ...], made: Any) -> None:
        calls.append((layer, given[0].requires_grad, *rule(layer, given[0], made)))

    for layer in network.modules():
        rule = rule_of(layer)
        if rule is not None:
            layer.register_forward_hook(partial(note, rule))
    torch.autograd.backward(network.train()(images).sum())
    forward = training = 0
    for layer, wants_gradient, weighted, mixed in calls:
        weights = [parameter for parameter in layer.parameters() if parameter.ndim > 1 and parameter.requires_grad]
        reached = any(weight.grad is not None for weight in weights)
        forward += 2 * (weighted + mixed)
        training += 2 * weighted * (1 + reached * (1 + wants_gradient)) + 2 * mixed * (1 + 2 * reached)
    return forward, training


@pytest.mark.parametrize("name", sorted(plugins.find("search_spaces")))
def test_built_in_search_spaces_cost_their_layers(name: str) -> None:
    """Published sizes are counted on the meta device in both profiles; training costs at most three forward passes."""
    space = plugins.load("search_spaces", name)
    images = torch.zeros(2, 3, 32, 32, device="meta")
    for architecture, profile in itertools.product({space.sample(np.random.default_rng(seed)) for seed in range(3)}, PROFILES):
        with torch.device("meta"):
            network = apply_profile(space.build(architecture, 3, 10), profile)
        flops = cost.count_flops(network, images)
        assert flops.reason == ""
        assert (flops.training_forward, flops.training) == by_definition(network, images), (architecture, profile)
        assert flops.forward == flops.training_forward
        assert flops.forward is not None
        assert flops.training is not None
        assert flops.forward < flops.training <= 3 * flops.forward


CLASSIFIERS = {
    "alexnet": "AlexNet",
    "convnext_tiny": "ConvNeXt_Tiny",
    "densenet121": "DenseNet121",
    "efficientnet_b0": "EfficientNet_B0",
    "mnasnet0_5": "MNASNet0_5",
    "mobilenet_v3_small": "MobileNet_V3_Small",
    "regnet_y_400mf": "RegNet_Y_400MF",
    "resnext50_32x4d": "ResNeXt50_32X4D",
    "shufflenet_v2_x0_5": "ShuffleNet_V2_X0_5",
    "squeezenet1_1": "SqueezeNet1_1",
    "swin_t": "Swin_T",
    "vit_b_16": "ViT_B_16",
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_published_classifiers_cost_their_layers(name: str) -> None:
    """Twelve torchvision models at 224 x 224 match the sum over their layers and torchvision's published GFLOPs to three decimals."""
    network = getattr(torchvision.models, name)().to("meta")
    images = torch.zeros(2, 3, 224, 224, device="meta")
    flops = cost.count_flops(network, images)
    assert flops.reason == ""
    assert (flops.training_forward, flops.training) == by_definition(network, images)
    assert flops.forward == flops.training_forward
    published = next(iter(getattr(torchvision.models, f"{CLASSIFIERS[name]}_Weights"))).meta["_ops"]
    assert (flops.forward or 0) / 2e9 == pytest.approx(published, abs=6e-4)


class Queries(nn.Module):
    """A network that passes parameters to modules as input, like transformers with learned queries."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.norm, self.act = nn.Parameter(torch.randn(4, 8)), nn.LayerNorm(8), nn.GELU()
        self.head = nn.Linear(32, 10, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = images.flatten(2).transpose(1, 2)  # (N, 16, 8)
        queries = self.act(self.norm(self.query))
        logits: torch.Tensor = self.head((queries @ tokens.transpose(1, 2) @ tokens).flatten(1))
        return logits


def _linear_layer() -> nn.Module:
    return nn.Linear(16, 8, bias=False)


PARAMETRISED: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "weight norm": (lambda: parametrizations.weight_norm(_linear_layer()), 2 * 16 * 8),
    "older weight norm": (lambda: nn.utils.weight_norm(_linear_layer()), 2 * 16 * 8),
    # the norm takes products of the weights with two vectors, computed once for a batch of two
    "spectral norm": (lambda: parametrizations.spectral_norm(_linear_layer()), 2 * 16 * 8 + (2 * 16 * 8 + 2 * 8) // 2),
    "older spectral norm": (lambda: nn.utils.spectral_norm(_linear_layer()), 2 * 16 * 8 + (2 * 16 * 8 + 2 * 8) // 2),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("name", PARAMETRISED)
def test_parametrised_weights_are_counted(name: str) -> None:
    """Weights that a module recomputes in every pass are included in the count."""
    make, forward = PARAMETRISED[name]
    flops = cost.count_flops(nn.Sequential(nn.Flatten(), make()), torch.ones(2, 1, 4, 4))
    assert (flops.forward, flops.reason) == (forward, "")
    assert flops.training is not None


def test_modules_that_are_handed_a_parameter_are_counted() -> None:
    """The count includes the gradient of the queries, but none of the images."""
    scores, head = 2 * 4 * 16 * 8, 2 * 32 * 10
    flops = cost.count_flops(Queries(), torch.ones(2, 8, 4, 4))
    assert flops.forward == 2 * scores + head
    assert flops.training == 2 * scores + 2 * scores + 3 * head


class Fails(nn.Module):
    """A network with a forward pass that always fails."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("no such layer")


def test_a_network_that_cannot_be_counted_raises_nothing() -> None:
    """The count is None, and the reason gives the error."""
    flops = cost.count_flops(Fails(), torch.ones(2, 1, 4, 4))
    assert flops[:3] == (None, None, None)
    assert flops.reason.count("NotImplementedError: no such layer") == 2
    assert flops.of_epoch(100, 0) is None


class Remembers(nn.Module):
    """A network that keeps a tensor between passes and reads its value."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.kept = nn.Linear(16, 10, bias=False), torch.zeros(1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.kept = images.mean() + self.kept
        logits: torch.Tensor = self.layer(images.flatten(1))
        return logits if self.kept.item() < 1e9 else 2 * logits


def test_what_needs_values_is_counted_on_the_images_device() -> None:
    """A network that reads tensor values is counted on the device of the images, using a copy that leaves the original unchanged."""
    network = Remembers()
    assert cost.count_flops(network, torch.ones(2, 1, 4, 4))[:3] == (2 * 160, 2 * 160, 4 * 160)
    assert network.kept.tolist() == [0]


@pytest.mark.parametrize("surroundings", [torch.no_grad, torch.inference_mode])
def test_the_callers_gradient_mode_does_not_matter(surroundings: Callable[[], AbstractContextManager[None]]) -> None:
    """The backward pass is counted even if the caller has disabled gradients."""
    with surroundings():
        assert cost.count_flops(nn.Sequential(nn.Flatten(), nn.Linear(16, 10)), torch.ones(2, 1, 4, 4)).training == 4 * 160


def test_what_a_cpu_cannot_tell_is_missing() -> None:
    """On a CPU, device memory and energy are None, never 0."""
    cost.reset_peak_memory(CPU)
    assert cost.peak_memory_bytes(CPU) is None
    meter = cost.EnergyMeter(CPU, exclusive=True)
    assert (meter.stop(), meter.reason) == (None, "")


def test_a_gpu_without_a_counter_has_no_joules_and_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVML reports no energy on many GPUs and on all partitions; the error may also come only at the end of the measurement."""
    said = iter([5_000, 9_500, 1_000])

    def millijoules(device: torch.device) -> int:
        for number in said:
            return number
        raise RuntimeError("Not Supported")

    monkeypatch.setattr(cost, "_millijoules_of", millijoules)
    cuda = torch.device("cuda")
    assert cost.EnergyMeter(cuda, exclusive=True).stop() == 4.5
    meters = [cost.EnergyMeter(cuda, exclusive=True), cost.EnergyMeter(cuda, exclusive=True)]
    assert [(meter.stop(), meter.reason) for meter in meters] == [(None, "RuntimeError: Not Supported")] * 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU on this machine")
def test_a_gpu_tells_its_memory() -> None:
    """A GPU reports its peak memory in bytes."""
    device = torch.device("cuda")
    cost.reset_peak_memory(device)
    torch.zeros(1_000_000, device=device)
    peak = cost.peak_memory_bytes(device)
    assert peak is not None
    assert peak >= 4_000_000
