"""A search space of networks with one layer that does something a capture forbids or the dispatcher does not show."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

VARIES = "a layer"


class Mask(nn.Module):
    """Writes to masked elements, whose number the host reads."""

    def forward(self, values: Tensor) -> Tensor:
        """Halve the positive values."""
        halved = values.clone()
        halved[values > 0] *= 0.5
        return halved


class Constant(nn.Module):
    """Copies a number from the host in each step."""

    def forward(self, values: Tensor) -> Tensor:
        """Halve the values."""
        return values * torch.tensor([0.5], device=values.device)


class Unique(nn.Module):
    """Computes the unique values without using them."""

    def forward(self, values: Tensor) -> Tensor:
        """Return the input unchanged."""
        torch.unique(values.detach() > 0)
        return values


class Item(nn.Module):
    """Reads a value on the host."""

    def forward(self, values: Tensor) -> Tensor:
        """Return the input unchanged."""
        return values * (1 + 0 * float(values.detach().mean()))


class Noise(nn.Module):
    """Draws from torch's default generator."""

    def forward(self, values: Tensor) -> Tensor:
        """Add a little noise."""
        return values + 0.01 * torch.randn_like(values)


class OwnGenerator(nn.Module):
    """Draws from its own generator, which is not registered with any graph."""

    def forward(self, values: Tensor) -> Tensor:
        """Add a little noise."""
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
    """Draw a random architecture."""
    return str(rng.choice(list(LAYERS)))


def build(architecture: str, in_channels: int, num_classes: int) -> nn.Module:
    """Return two linear layers with the architecture's layer between them, for 8 × 8 images."""
    first = nn.Linear(64 * in_channels, 16, bias=False)
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), LAYERS[architecture](), nn.Linear(16, num_classes, bias=False))
