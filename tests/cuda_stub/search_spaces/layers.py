"""A search space whose networks contain one layer with work that a capture forbids, or that the dispatcher does not show."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

VARIES = "a layer"


class Mask(nn.Module):
    """Writes to the places that a mask selects, whose number the host asks for."""

    def forward(self, values: Tensor) -> Tensor:
        """Halve what is positive."""
        halved = values.clone()
        halved[values > 0] *= 0.5
        return halved


class Constant(nn.Module):
    """Moves a number from the host in each step."""

    def forward(self, values: Tensor) -> Tensor:
        """Half of it."""
        return values * torch.tensor([0.5], device=values.device)


class Unique(nn.Module):
    """Asks how many different values there are, without using them."""

    def forward(self, values: Tensor) -> Tensor:
        """As given."""
        torch.unique(values.detach() > 0)
        return values


class Item(nn.Module):
    """Reads a value on the host."""

    def forward(self, values: Tensor) -> Tensor:
        """As given."""
        return values * (1 + 0 * float(values.detach().mean()))


class Noise(nn.Module):
    """Draws from torch's default generator."""

    def forward(self, values: Tensor) -> Tensor:
        """With a little noise."""
        return values + 0.01 * torch.randn_like(values)


class OwnGenerator(nn.Module):
    """Draws from a generator of its own, which no graph knows."""

    def forward(self, values: Tensor) -> Tensor:
        """With a little noise."""
        if not hasattr(self, "generator"):
            self.generator = torch.Generator(values.device).manual_seed(1)
        return values + 0.01 * torch.randn(values.shape, generator=self.generator, device=values.device)


LAYERS: dict[str, type[nn.Module]] = {
    "plain": nn.Identity,
    "mask": Mask,
    "constant": Constant,
    "unique": Unique,
    "item": Item,
    "noise": Noise,
    "own_generator": OwnGenerator,
}


def sample(rng: np.random.Generator) -> str:
    """Any of them."""
    return str(rng.choice(list(LAYERS)))


def build(architecture: str, in_channels: int, num_classes: int) -> nn.Module:
    """Two linear layers with the layer between them, for images of 8 × 8 pixels."""
    first = nn.Linear(64 * in_channels, 16, bias=False)
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), LAYERS[architecture](), nn.Linear(16, num_classes, bias=False))
