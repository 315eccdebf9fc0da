"""FLOPs of single operations compared with their definitions: 2 per multiply-add."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from agd_bench.cost import count_flops


class Computes(nn.Module):
    """A module that calls a function with the images and a parameter of the given shape."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], *shape: int) -> None:
        super().__init__()
        self.function, self.weight = function, nn.Parameter(torch.ones(shape))

    def forward(self, images: Tensor) -> Tensor:
        return self.function(images, self.weight)


LAYERS: dict[str, tuple[nn.Module, tuple[int, ...], int]] = {
    # output positions x output channels x (input channels / groups) x kernel
    "convolution": (nn.Conv2d(6, 8, 3), (6, 7, 9), 5 * 7 * 8 * 6 * 9),
    "strided": (nn.Conv2d(6, 8, 3, stride=2, padding=1), (6, 8, 8), 4 * 4 * 8 * 6 * 9),
    "dilated": (nn.Conv2d(6, 8, 3, dilation=2), (6, 8, 8), 4 * 4 * 8 * 6 * 9),
    "oblong": (nn.Conv2d(6, 8, (1, 5)), (6, 8, 8), 8 * 4 * 8 * 6 * 5),
    "grouped": (nn.Conv2d(6, 8, 3, groups=2), (6, 7, 9), 5 * 7 * 8 * 3 * 9),
    "depthwise": (nn.Conv2d(6, 6, 3, groups=6), (6, 7, 9), 5 * 7 * 6 * 9),
    "depthwise with a multiplier": (nn.Conv2d(6, 12, 3, groups=6), (6, 7, 9), 5 * 7 * 12 * 9),
    "pointwise": (nn.Conv2d(6, 8, 1), (6, 7, 9), 7 * 9 * 8 * 6),
    "in one dimension": (nn.Conv1d(6, 8, 3), (6, 9), 7 * 8 * 6 * 3),
    "in three": (nn.Conv3d(2, 4, 3), (2, 4, 5, 6), 2 * 3 * 4 * 4 * 2 * 27),
    # input positions x input channels x (output channels / groups) x kernel
    "transposed": (nn.ConvTranspose2d(6, 8, 3, stride=2), (6, 5, 5), 25 * 6 * 8 * 9),
    "transposed and grouped": (nn.ConvTranspose2d(6, 8, 3, groups=2), (6, 5, 5), 25 * 6 * 4 * 9),
    "linear": (nn.Linear(6, 8), (6,), 6 * 8),
    "linear on tokens": (nn.Linear(6, 8), (5, 6), 5 * 6 * 8),
    "linear without bias": (nn.Linear(6, 8, bias=False), (6,), 6 * 8),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_costs_its_definition(name: str) -> None:
    """A first layer costs twice its forward pass, since the image needs no gradient; after another layer it costs three times as much."""
    layer, shape, multiply_adds = LAYERS[name]
    images = torch.ones(2, *shape)
    assert count_flops(layer, images)[:3] == (2 * multiply_adds, 2 * multiply_adds, 4 * multiply_adds)
    behind = nn.Sequential(Computes(torch.mul, 1), layer)
    assert count_flops(behind, images)[:3] == (2 * multiply_adds, 2 * multiply_adds, 6 * multiply_adds)


@pytest.mark.parametrize("groups", [8, 64])
def test_published_grouped_convolutions(groups: int) -> None:
    """Torch's own counter ignores groups and reports 21,233,664 and 19,169,280 for these two layers."""
    layer = nn.Conv2d(64, 64, 3, padding=1, groups=groups, bias=False)
    assert count_flops(layer, torch.randn(1, 64, 16, 16)).training == {8: 4_718_592, 64: 589_824}[groups]


PRODUCTS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], tuple[int, ...], tuple[int, ...], int]] = {
    "matmul": (torch.matmul, (4, 6), (6, 8), 4 * 6 * 8),
    "einsum": (lambda x, w: torch.einsum("nij,jk->nik", x, w), (4, 6), (6, 8), 4 * 6 * 8),
    "einsum of two indices": (lambda x, w: torch.einsum("nij,ijk->nk", x, w), (4, 6), (4, 6, 8), 4 * 6 * 8),
    "bmm": (lambda x, w: torch.bmm(x, w.expand(len(x), -1, -1)), (4, 6), (6, 8), 4 * 6 * 8),
    "baddbmm": (lambda x, w: torch.baddbmm(x[:, :, :1], x, w.expand(len(x), -1, -1)), (4, 6), (6, 8), 4 * 6 * 8),
    "addbmm": (lambda x, w: torch.addbmm(x[0, :, :1], x, w.expand(len(x), -1, -1)), (4, 6), (6, 8), 4 * 6 * 8),
    "addmm": (lambda x, w: torch.addmm(w[:1], x, w), (6,), (6, 8), 6 * 8),
    "mv": (torch.mv, (6,), (6,), 6),
    "addmv": (lambda x, w: torch.addmv(x[:, 0], x, w), (6,), (6,), 6),
    "embedding": (lambda x, w: functional.embedding(x.long(), w), (6,), (9, 8), 0),
    "elementwise": (torch.mul, (4, 6), (4, 6), 0),
    "mean and softmax": (lambda x, w: (x * w).softmax(1).mean(1), (4, 6), (4, 6), 0),
    "interpolation": (lambda x, w: functional.interpolate(x * w, scale_factor=2, mode="bilinear"), (2, 4, 6), (1,), 0),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_costs_its_definition(name: str) -> None:
    """Products of the image with a weight are counted; lookups, elementwise operations and reductions cost nothing."""
    function, image, weight, multiply_adds = PRODUCTS[name]
    flops = count_flops(Computes(function, *weight), torch.ones(2, *image))
    assert flops.reason == ""
    assert flops.forward == flops.training_forward == 2 * multiply_adds


class Attends(nn.Module):
    """Projects tokens to queries, keys and values of two heads and applies torch's scaled dot-product attention."""

    def __init__(self, looks: bool = False) -> None:
        super().__init__()
        self.projection, self.looks = nn.Linear(8, 24, bias=False), looks

    def forward(self, tokens: Tensor) -> Tensor:
        """Take tokens of shape (N, 5, 8)."""
        if self.looks and tokens.sum().item() < 0:  # needs a value, and so a real device
            return tokens
        parts = self.projection(tokens).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        return functional.scaled_dot_product_attention(*parts)


@pytest.mark.parametrize("looks", [False, True])
def test_attention_costs_its_two_products(looks: bool) -> None:
    """The count is the same for the decomposed and the fused kernel, although the fused one recomputes the scores in its backward pass."""
    projection, products = 2 * 5 * 8 * 24, 2 * 2 * (5 * 5 * 4) * 2
    flops = count_flops(Attends(looks), torch.zeros(2, 5, 8))
    assert flops.reason == ""
    assert flops.forward == projection + products
    assert flops.training == 2 * projection + 3 * products


class Recurrent(nn.Module):
    """An LSTM of 16 units on sequences of 8 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(8, 16, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """Take tokens of shape (N, 5, 8)."""
        states: Tensor = self.layer(tokens)[0]
        return states


def test_layers_of_many_products_cost_their_sum() -> None:
    """An LSTM costs its four gates, and a transformer layer its projections, attention and MLP."""
    tokens = torch.ones(2, 5, 8)
    assert count_flops(Recurrent(), tokens).forward == 2 * 5 * 4 * 16 * (8 + 16)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    assert count_flops(layer, tokens).forward == 2 * 5 * (8 * 24 + 2 * 5 * 8 + 8 * 8 + 2 * 8 * 16)


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x, w: torch.fft.rfft(x * w).abs(), "_fft"),
        (lambda x, w: torch.cdist(x * w, x), "_cdist"),
        (lambda x, w: x.to_sparse() @ w, ""),
    ],
)
def test_what_is_not_known_is_missing_with_a_reason(function: Callable[[Tensor, Tensor], Tensor], named: str) -> None:
    """With an unknown operation the count is None, never 0 or a partial sum."""
    flops = count_flops(Computes(function, 6, 6), torch.ones(6, 6))
    assert flops[:3] == (None, None, None)
    assert named in flops.reason
    assert flops.reason
