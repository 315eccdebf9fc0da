"""The heuristic form of DSGD: its estimated moduli against an independent reference, what it trains, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from agd_bench.errors import InputError, Refused
from agd_bench.optim.dsgd_heuristic import HeuristicDSGD
from agd_bench.optim.dualities import EXPONENTS
from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.smoothness import CrossEntropy, Square

LABELS = torch.arange(12) % 3


def network(bias: bool = True) -> nn.Sequential:
    """Return two convolutions, a normalisation and a linear layer in float64, for images (N, 2, 6, 6) of three classes."""
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(2, 4, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, stride=2, groups=2, bias=bias),
        nn.GroupNorm(2, 4, affine=False),
        nn.Flatten(),
        nn.Linear(16, 3, bias=bias),
    ]
    return nn.Sequential(*layers).double()


def images(seed: int = 0) -> Tensor:
    """Return random images."""
    return torch.randn(12, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def backward(made: nn.Module, pixels: Tensor) -> Tensor:
    """Compute the gradients and return the loss."""
    loss = cross_entropy(made(pixels), LABELS)
    made.zero_grad()
    torch.autograd.backward(loss)
    return loss.detach()


def reference(made: nn.Sequential, pixels: Tensor, q: float) -> list[float]:
    """Return the estimated moduli, computed one image at a time with gradients taken at the output of each layer."""
    dual = {1.0: math.inf, 2.0: 2.0, math.inf: 1.0}[q]
    squares: dict[int, list[float]] = {}
    for pixel, label in zip(pixels, LABELS, strict=True):
        values, cuts = pixel.unsqueeze(0), {}
        for index, layer in enumerate(made):
            given, values = values, layer(values)
            if isinstance(layer, nn.Conv2d | nn.Linear):
                overlaps = {0: 9, 2: 4, 5: 1}[index]
                places = values[0].numel() // len(layer.weight)
                repeated = torch.cat([given.flatten()] * overlaps)
                norm = torch.cat([repeated, torch.ones(places if layer.bias is not None else 0)]).norm(q)
                cuts[index] = (float(norm.detach()), values)
        gradients = torch.autograd.grad(cross_entropy(values, label.unsqueeze(0)), [*(cut for _, cut in cuts.values()), values])
        for (index, (norm_of_input, _)), gradient in zip(cuts.items(), gradients[:-1], strict=True):
            squares.setdefault(index, []).append((norm_of_input * float(gradient.norm(dual) / gradients[-1].norm(dual))) ** 2)
    second = {1.0: 0.25, 2.0: 0.5, math.inf: 1.0}[q]
    return [math.sqrt(second * float(np.mean(each))) for each in squares.values()]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("q", EXPONENTS)
def test_moduli_are_the_guess(q: float, bias: bool) -> None:
    """Moduli measured in a single pass over the batch equal those computed one image at a time."""
    made = network(bias)
    optimizer = HeuristicDSGD(made, CrossEntropy(), q)
    backward(made, images())
    assert optimizer.moduli().tolist() == pytest.approx(reference(made, images(), q), rel=1e-10)


@pytest.mark.parametrize("q", EXPONENTS)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_patches_bound_a_convolution(q: float, stride: int) -> None:
    """A kernel's matrix never stretches an image's patches (with ones for the bias) by more than its norm allows."""
    generator = torch.Generator().manual_seed(stride)
    layer = nn.Conv2d(2, 3, 3, stride, padding=1, dtype=torch.float64)
    for _ in range(20):
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64).sign())
        pixels = torch.randn(2, 2, 7, 7, generator=generator, dtype=torch.float64)
        # With a single layer, r is 1, so for a square loss with factor 1/2 the modulus is the norm of the layer's input.
        made = nn.Sequential(layer, nn.Flatten())
        optimizer = HeuristicDSGD(made, Square(0.5), q)
        outputs = made(pixels)
        torch.autograd.backward(outputs.square().sum())
        scale = math.sqrt(outputs.shape[1]) if q == math.inf else 1.0
        acted_on = float(optimizer.moduli()) / scale
        norms = outputs.detach().norm(q, dim=1)
        stretch = float(np.linalg.norm(optimizer.blocks[0].matrix().detach().numpy(), q))
        assert float(norms.square().mean().sqrt()) <= stretch * acted_on * (1 + 1e-12)


def test_the_last_layer_has_a_bound() -> None:
    """For a single linear layer the modulus is a true bound: no step lowers the loss by less than promised."""
    for q in EXPONENTS:
        torch.manual_seed(1)
        made = nn.Sequential(nn.Flatten(), nn.Linear(72, 3)).double()
        optimizer = HeuristicDSGD(made, "cross-entropy", q)
        for _ in range(30):
            before = backward(made, images())
            optimizer.step()
            with torch.no_grad():
                optimizer.compare(before, cross_entropy(made(images()), LABELS))
        seen = optimizer.diagnostics()
        assert (int(seen["compared_steps"]), int(seen["shortfalls"])) == (30, 0)
        assert float(seen["compared_decrease"]) > 0.1


@pytest.mark.parametrize("q", EXPONENTS)
def test_a_rectified_convolution_network_trains(q: float) -> None:
    """A hundred steps lower the loss by a third, even with evaluation passes in between."""
    made = network()
    optimizer = HeuristicDSGD(made, "cross-entropy", q)
    losses = []
    for _ in range(100):
        losses.append(float(backward(made, images())))
        with torch.no_grad():
            made(images(1))
        optimizer.step()
    assert losses[-1] < 2 / 3 * losses[0]


def test_a_pass_replaces_the_one_before() -> None:
    """Moduli come only from the pass that produced the gradients; a layer used twice in it counts twice."""
    made = network()
    optimizer = HeuristicDSGD(made, "cross-entropy")
    for seed in (3, 4):
        backward(made, images(seed))
    assert optimizer.moduli().tolist() == pytest.approx(reference(made, images(4), math.inf), rel=1e-10)
    shared = nn.Linear(72, 72, dtype=torch.float64)
    twice = nn.Sequential(nn.Flatten(), shared, shared, nn.Linear(72, 3, dtype=torch.float64))
    other = HeuristicDSGD(twice, "cross-entropy", "2")
    backward(twice, images())
    assert [block.name for block in other.blocks] == ["1", "3"]
    measured = float(other.moduli()[0])
    given = [images().flatten(1)]
    for _ in range(2):
        given.append(functional.linear(given[-1], shared.weight, shared.bias))
    logits = twice[3](given[2])
    above, at_logits = torch.autograd.grad(cross_entropy(logits, LABELS), [given[2], logits])
    products = [
        (pixels.norm(dim=1).square() + 1).sqrt() * slope.norm(dim=1)
        for pixels, slope in ((given[0], above @ shared.weight), (given[1], above))
    ]
    wanted = 0.5 * ((products[0] + products[1]) / at_logits.norm(dim=1)).square().mean()
    assert measured == pytest.approx(math.sqrt(float(wanted.detach())), rel=1e-10)


def test_layers_without_gradient_stay() -> None:
    """A layer that gets no gradient from the loss has modulus 0 and is not moved."""

    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Linear(72, 3)
            self.used = nn.Linear(72, 3)

        def forward(self, pixels: Tensor) -> Tensor:
            flat = pixels.flatten(1).float()
            self.unused(flat)
            return functional.relu(self.used(flat))

    made = Aside()
    optimizer = HeuristicDSGD(made, "cross-entropy")
    backward(made, images())
    optimizer.step()
    assert optimizer.param_groups[0]["moved"].tolist() == [0, 1]
    assert float(optimizer.moduli()[0]) == 0


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (nn.BatchNorm2d(4), "layer '1' is BatchNorm2d with parameters weight, bias"),
        (nn.PReLU(), "layer '1' is PReLU with parameters weight"),
        (nn.ConvTranspose2d(4, 4, 3), "layer '1' is ConvTranspose2d"),
    ],
)
def test_other_parameters_are_refused(extra: nn.Module, said: str) -> None:
    """The message names the layer, the supported layers, and the profile that removes scales."""
    with pytest.raises(Refused) as refusal:
        HeuristicDSGD(nn.Sequential(nn.Conv2d(2, 4, 3), extra))
    for words in (said, "Linear, Conv1d, Conv2d, Conv3d", "matrix-only"):
        assert words in str(refusal.value)


def test_nothing_to_move_and_shared_weights_are_refused() -> None:
    """Networks with no layer to move or with shared weights are refused; a step before backward() is an input error."""
    with pytest.raises(Refused, match="no layer to move"):
        HeuristicDSGD(nn.Flatten())
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    with pytest.raises(Refused, match="layer '1' shares its weight"):
        HeuristicDSGD(nn.Sequential(first, second))
    made = network()
    optimizer = HeuristicDSGD(made)
    made(images())
    with pytest.raises(InputError, match=r"backward\(\) before step"):
        optimizer.step()
