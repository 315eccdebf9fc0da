"""Vision transformers: published sizes, attention, positions, and images of any size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from search_spaces import vit as space
from tests.search_spaces.measuring import parameters_of, size_of


@pytest.mark.parametrize(("architecture", "parameters"), [("d12-w768-h12-p16-m4", 86_567_656), ("d24-w1024-h16-p16-m4", 304_326_632)])
def test_sizes_are_the_published_ones(architecture: str, parameters: int) -> None:
    """Sizes match torchvision's ViT-B/16 and ViT-L/16, apart from their class token and 197 learned positions."""
    width = space.numbers_of(architecture)[1]
    with torch.device("meta"):
        assert parameters_of(space.build(architecture, 3, 1000)) + 198 * width == parameters


def test_multiply_adds_by_hand() -> None:
    """Multiply-adds match a hand count of patches, linear layers, attention (twice T x T x width per block) and the classifier."""
    tokens, width = 64, 128
    block = tokens * width * (3 * width + width + 2 * 2 * width) + 2 * tokens**2 * width
    assert size_of(space.build, "d6-w128-h4-p4-m2")[1] == tokens * 3 * 16 * width + 6 * block + 10 * width


def test_attention_is_torchs() -> None:
    """Attention equals torch's multi-head attention with the same weights."""
    ours, other = space.Attention(12, 3), nn.MultiheadAttention(12, 3, batch_first=True)
    assert other.in_proj_weight is not None
    with torch.no_grad():
        other.in_proj_weight.copy_(ours.queries_keys_values.weight)
        other.out_proj.load_state_dict(ours.output.state_dict())
    tokens = torch.randn(2, 5, 12)
    torch.testing.assert_close(ours(tokens), other(tokens, tokens, tokens, need_weights=False)[0])


def test_positions_tell_all_tokens_apart() -> None:
    """Positions differ between all tokens; the first half encodes the row and the second the column, by sines and cosines."""
    codes = space.positions(3, 5, 16).reshape(3, 5, 16)
    assert len({tuple(code.tolist()) for code in codes.flatten(0, 1)}) == 15
    torch.testing.assert_close(codes[:, :1, :8].expand(3, 5, 8), codes[..., :8])
    torch.testing.assert_close(codes[:1, :, 8:].expand(3, 5, 8), codes[..., 8:])
    torch.testing.assert_close(codes[..., :4] ** 2 + codes[..., 4:8] ** 2, torch.ones(3, 5, 4))
    torch.testing.assert_close(codes[2, 3, [0, 8]], torch.tensor([2.0, 3.0]).sin())


def test_positions_matter() -> None:
    """Reordering patches changes the logits, which it would not without positions."""
    network = space.build("d2-w64-h2-p4-m1", 1, 7)
    images = torch.randn(2, 1, 8, 8)
    swapped = torch.cat([images[..., 4:], images[..., :4]], dim=3)
    assert not torch.allclose(network(images), network(swapped), atol=1e-3)


@pytest.mark.parametrize("size", [1, 8, 13, 32])
@pytest.mark.parametrize("patch", [2, 8])
def test_any_image_size_works(size: int, patch: int) -> None:
    """An image that patches do not cover exactly is padded, and the logits still depend on nearly all of its pixels."""
    network = space.build(f"d2-w64-h2-p{patch}-m1", 1, 7)
    images = torch.randn(2, 1, size, size, requires_grad=True)
    logits = network(images)
    assert logits.shape == (2, 7)
    (gradient,) = torch.autograd.grad(logits.square().sum(), images)
    assert gradient.count_nonzero() > 0.9 * gradient.numel()


def test_the_grid_is_listed_once() -> None:
    """There are 324 names, which can be parsed."""
    listed = list(space.architectures())
    assert len(set(listed)) == len(listed) == 4 * 3**4
    assert space.numbers_of(listed[-1]) == (8, 256, 8, 8, 4)


@pytest.mark.parametrize("wrong", ["", "d6-w128-h4-p4", "d0-w128-h4-p4-m2", "d6-w128-h3-p4-m2", "d6-w6-h2-p4-m2", "d6-w128-h4-p4-m2 "])
def test_malformed_architectures_are_refused(wrong: str) -> None:
    """The message shows the format or the divisibility that is required."""
    with pytest.raises(ValueError, match="d6-w128-h4-p4-m2"):
        space.build(wrong, 3, 10)


def test_features_are_the_five_numbers() -> None:
    """The features are the five numbers, by name."""
    assert space.features("d6-w128-h4-p8-m2") == {"depth": 6, "width": 128, "heads": 4, "patch": 8, "ratio": 2}
