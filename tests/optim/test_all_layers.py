"""AGD for all layers: each kind of layer against a plain reference, against the paper's AGD, and in training."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from agd_bench.errors import Refused
from agd_bench.optim import agd
from agd_bench.optim.agd import AGD
from agd_bench.optim.all_layers import AGDAllLayers, initialise, layer_groups
from agd_bench.optim.layers import parts
from agd_bench.optim.losses import square
from agd_bench.training.profiles import apply_profile
from search_spaces import nas_bench_201, vit

CELL = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_3x3~1|avg_pool_3x3~2|"
SHARE = 0.1


class Attention(nn.Module):
    """A transformer of two blocks for eight tokens from a vocabulary of seventeen, with three classes."""

    def __init__(self) -> None:
        """Draw the weights from torch's global generator."""
        super().__init__()
        self.tokens, self.positions = nn.Embedding(17, 16, padding_idx=0), nn.Embedding(8, 16)
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(16, 4, 32, 0.0, batch_first=True, norm_first=True) for _ in range(2))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (N, 8) to logits (N, 3)."""
        hidden = self.tokens(tokens) + self.positions(torch.arange(8))
        for block in self.blocks:
            hidden = block(hidden)
        logits: Tensor = self.head(self.norm(hidden).mean(1))
        return logits


def built(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Return a network drawn from a seed, leaving the global generator unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def with_gradients(network: nn.Module) -> nn.Module:
    """Return the network in float64 with random weights and gradients of various magnitudes."""
    generator = torch.Generator().manual_seed(0)
    network = network.double()
    for parameter in network.parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        size = 10.0 ** float(torch.randint(-3, 3, (), generator=generator))
        parameter.grad = size * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return network


Piece = tuple[Tensor, Tensor, float, float]


def sliced(weight: Tensor, slope: Tensor, scale: float, share: float, *indices: tuple[object, ...]) -> list[Piece]:
    """Return views of the indexed pieces of a weight and its gradient, with their scale and share."""
    return [(weight[index], slope[index], scale, share) for index in indices]  # type: ignore[index]


def pieces(module: nn.Module) -> Iterator[tuple[list[Piece], float]]:
    """Yield a layer's separately normalised pieces and what they add to L, written layer by layer from the definitions."""
    data = {name: (p.data, p.grad) for name, p in module.named_parameters(recurse=False) if p.grad is not None}
    for name, (weight, slope) in data.items():
        if isinstance(module, nn.Conv2d) and name == "weight":
            out, area = weight.shape[0] // module.groups, weight.shape[2] * weight.shape[3]
            scale = math.sqrt(module.out_channels / module.in_channels / area)
            taps = [(i, j) for i in range(weight.shape[2]) for j in range(weight.shape[3])]
            indices = [(slice(q * out, (q + 1) * out), slice(None), i, j) for q in range(module.groups) for i, j in taps]
            yield sliced(weight, slope, scale, 1.0, *indices), 1.0
        elif isinstance(module, nn.Linear) and name == "weight":
            yield sliced(weight, slope, math.sqrt(module.out_features / module.in_features), 1.0, (...,)), 1.0
        elif isinstance(module, nn.Embedding):
            scale = math.sqrt(module.embedding_dim)
            yield sliced(weight, slope, scale, 1.0, *[(row,) for row in range(module.num_embeddings)]), 1.0
        elif isinstance(module, nn.MultiheadAttention):
            d, share = module.embed_dim, 1.0 if name == "in_proj_weight" else SHARE
            scale = 1.0 if name == "in_proj_weight" else math.sqrt(d)
            yield sliced(weight, slope, scale, share, *[(slice(d * i, d * (i + 1)),) for i in range(3)]), 3 * share
        else:
            yield sliced(weight, slope, math.sqrt(weight.numel()), SHARE, (...,)), SHARE


def reference_step(network: nn.Module) -> float:
    """Take one step, piece by piece, and return eta."""
    found = [each for module in network.modules() for each in pieces(module)]
    depth = sum(count for _, count in found)
    flat = [piece for group, _ in found for piece in group]
    summary = sum(scale * share * float(slope.norm()) for _, slope, scale, share in flat) / depth
    eta = math.log((1 + math.sqrt(1 + 4 * summary)) / 2)
    for weight, slope, scale, share in flat:
        if float(slope.norm()) > 0:
            weight -= eta / depth * scale * share * slope / slope.norm()
    return eta


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear with bias": lambda: nn.Linear(4, 3),
    "convolution with bias": lambda: nn.Conv2d(3, 4, (3, 2)),
    "grouped convolution": lambda: nn.Conv2d(6, 8, 3, groups=2),
    "depthwise convolution": lambda: nn.Conv2d(5, 5, 3, groups=5, bias=False),
    "depthwise convolution with multiplier": lambda: nn.Conv2d(3, 6, 3, groups=3),
    "batch normalisation": lambda: nn.BatchNorm2d(5),
    "layer normalisation over two dimensions": lambda: nn.LayerNorm((3, 4)),
    "group normalisation": lambda: nn.GroupNorm(2, 4),
    "embedding": lambda: nn.Embedding(7, 4),
    "fused attention": lambda: nn.MultiheadAttention(8, 2),
    "PReLU": lambda: nn.PReLU(3),
}


@pytest.mark.parametrize("name", LAYERS)
def test_agrees_with_the_definition_of_each_layer(name: str) -> None:
    """Two steps of each layer next to a plain matrix equal the reference, even with a zero gradient in one block."""
    network = with_gradients(nn.Sequential(built(LAYERS[name]), nn.Linear(3, 2, bias=False)))
    first = next(network.parameters())
    assert first.grad is not None
    first.grad[0] = 0
    twin = copy.deepcopy(network)
    for parameter, other in zip(network.parameters(), twin.parameters(), strict=True):
        other.grad = None if parameter.grad is None else parameter.grad.clone()
    optimizer = AGDAllLayers(network)
    for _ in range(2):
        optimizer.step()
        assert optimizer.param_groups[0]["lr"].item() == pytest.approx(reference_step(twin), rel=1e-12)
    for parameter, other in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter, other, rtol=1e-12, atol=1e-12)


def test_agrees_on_a_whole_transformer() -> None:
    """All kinds of layers in a network share a single L and a single eta."""
    network = with_gradients(built(Attention))
    twin = copy.deepcopy(network)
    for parameter, other in zip(network.parameters(), twin.parameters(), strict=True):
        other.grad = parameter.grad
    optimizer = AGDAllLayers(network)
    optimizer.step()
    assert optimizer.param_groups[0]["lr"].item() == pytest.approx(reference_step(twin), rel=1e-12)
    for parameter, other in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter, other, rtol=1e-12, atol=1e-12)


def images() -> tuple[Tensor, Tensor]:
    """Return 96 images of three classes that differ in which rows are bright, and their labels."""
    labels = torch.arange(96) % 3
    pixels = 0.5 * torch.randn(96, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    for label in range(3):
        pixels[labels == label, :, 2 * label : 2 * label + 2] += 1
    return pixels, labels


def train(network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, labels: Tensor, steps: int) -> list[float]:
    """Train on one batch and return the loss before each step."""
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = square(network(inputs), labels)
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("norm", ["frobenius", "dual"])
def test_equals_the_papers_agd_on_matrix_only_networks(norm: str) -> None:
    """On a NAS-Bench-201 network with only matrices and kernels, initialisation and six steps agree bit for bit."""
    network = apply_profile(built(lambda: nas_bench_201.build(CELL, 2, 3, channels=4, cells=1)), "matrix-only")
    twin = copy.deepcopy(network)
    agd.initialise(network, torch.Generator().manual_seed(1))
    initialise(twin, torch.Generator().manual_seed(1))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), twin.parameters(), strict=True))
    pixels, labels = images()
    losses = train(network, AGD(network.named_parameters(), norm=norm), pixels, labels, 6)
    assert losses == train(twin, AGDAllLayers(twin, norm=norm), pixels, labels, 6)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), twin.parameters(), strict=True))


@pytest.mark.parametrize("norm", ["frobenius", "operator", "dual"])
def test_trains_an_as_published_network(norm: str) -> None:
    """A NAS-Bench-201 network with scales, shifts and bias learns, and every parameter moves."""
    network = built(lambda: nas_bench_201.build(CELL, 2, 3, channels=4, cells=1))
    initialise(network, torch.Generator().manual_seed(1))
    before = copy.deepcopy(list(network.parameters()))
    pixels, labels = images()
    losses = train(network, AGDAllLayers(network, norm=norm), pixels, labels, 25)
    assert losses[-1] < 0.6 * losses[0]
    assert not any(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


def test_trains_a_transformer() -> None:
    """A network of LayerNorm, attention and embeddings learns each sequence's most frequent token; the padding row stays 0."""
    network = built(Attention)
    initialise(network, torch.Generator().manual_seed(1))
    labels = torch.arange(60) % 3
    tokens = torch.randint(4, 17, (60, 8), generator=torch.Generator().manual_seed(0))
    tokens[:, ::2] = labels.unsqueeze(1) + 1
    tokens[:, 1] = 0
    losses = train(network, AGDAllLayers(network), tokens, labels, 60)
    assert losses[-1] < 0.6 * losses[0]
    assert isinstance(network, Attention)
    assert not network.tokens.weight[0].any()


def test_initialisation_follows_the_table() -> None:
    """Biases and shifts are 0, scales 1, embedding rows have unit RMS, and blocks and taps have singular values equal to their scale."""
    network = nn.ModuleDict(
        {
            "conv": nn.Conv2d(4, 8, 3, groups=2),
            "depthwise": nn.Conv2d(4, 4, 2, groups=4),
            "norm": nn.BatchNorm2d(8),
            "attention": nn.MultiheadAttention(6, 2),
            "table": nn.Embedding(9, 5, padding_idx=2),
            "slopes": nn.PReLU(3, init=0.3),
        }
    ).double()
    initialise(network, torch.Generator().manual_seed(0))
    state = {name: parameter.detach() for name, parameter in network.named_parameters()}
    for name in ("conv.bias", "depthwise.bias", "norm.bias", "attention.in_proj_bias", "attention.out_proj.bias"):
        assert not state[name].any(), name
    assert bool((state["norm.weight"] == 1).all())
    assert torch.equal(state["slopes.weight"], torch.full((3,), 0.3).double())
    assert state["table.weight"].square().mean(1).sqrt().tolist() == pytest.approx([0.0 if row == 2 else 1.0 for row in range(9)])
    torch.testing.assert_close(state["depthwise.weight"].abs(), torch.full((4, 1, 2, 2), 0.5, dtype=torch.float64))
    assert 0 < int((state["depthwise.weight"] > 0).sum()) < 16
    for group in torch.split(state["conv.weight"], 4):
        for tap in group.flatten(2).unbind(-1):
            assert torch.linalg.svdvals(tap).tolist() == pytest.approx(2 * [math.sqrt(8 / 4) / 3])
    for matrix in torch.split(state["attention.in_proj_weight"], 6):
        assert torch.linalg.svdvals(matrix).tolist() == pytest.approx(6 * [1.0])


def test_kinds_of_parameters() -> None:
    """Each parameter, including a vision transformer's class token, has the kind in the table; shared ones count once."""
    network = built(Attention)
    network.register_parameter("class_token", nn.Parameter(torch.zeros(1, 1, 16)))
    network.get_submodule("head").weight = network.get_submodule("tokens").weight
    kinds = {part.name: part.kind for part in parts(network)}
    assert kinds["class_token"] == kinds["tokens.weight"] == "embedding"
    assert "head.weight" not in kinds
    assert kinds["blocks.0.self_attn.in_proj_weight"] == "stacked"
    assert kinds["blocks.0.self_attn.in_proj_bias"] == kinds["norm.weight"] == "vector"
    groups = layer_groups(network)
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters())) == len(kinds)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (nn.ConvTranspose2d(2, 3, 3), "transposed convolutions"),
        (nn.Bilinear(2, 3, 4), "parameter 1.weight of Bilinear has shape (4, 2, 3)"),
        (nn.Embedding(5, 4, sparse=True), "sparse=False"),
    ],
    ids=["transposed", "unknown", "sparse"],
)
def test_refuses_layers_without_a_rule(layer: nn.Module, said: str) -> None:
    """Layers without a rule are refused by name before any weight is drawn."""
    network = nn.Sequential(nn.Linear(2, 2), layer)
    before = copy.deepcopy(network.state_dict())
    for act in (AGDAllLayers, lambda network: initialise(network, torch.Generator())):
        with pytest.raises(Refused) as refusal:
            act(network)
        assert said in str(refusal.value)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in before.items())


def test_own_groups_are_checked() -> None:
    """A user's own fused layer can be passed as a group with its kind and blocks; invalid groups are refused."""
    fused = nn.Linear(4, 12, bias=False)
    network = with_gradients(fused)
    apart: list[Tensor] = [nn.Parameter(part.clone()) for part in torch.split(network.get_parameter("weight").detach(), 4)]
    assert fused.weight.grad is not None
    for part, slope in zip(apart, torch.split(fused.weight.grad, 4), strict=True):
        part.grad = slope
    AGDAllLayers([{"params": [fused.weight], "kind": "stacked", "blocks": 3}]).step()
    AGD(apart).step()
    torch.testing.assert_close(fused.weight, torch.cat(apart), rtol=1e-13, atol=1e-14)
    with pytest.raises(Refused, match="5 blocks do not divide"):
        AGDAllLayers([{"params": [fused.weight], "kind": "stacked", "blocks": 5}])
    with pytest.raises(Refused, match="give groups with a `kind` of dense, grouped"):
        AGDAllLayers([{"params": [fused.weight], "kind": "fused"}])
    with pytest.raises(Refused, match="gain is 0"):
        AGDAllLayers(fused, gain=0)


def test_state_goes_through_a_file() -> None:
    """Kinds and blocks are part of the state, and training resumed from a file continues bit for bit."""
    network = built(lambda: nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3)))
    pixels, labels = images()
    optimizer = AGDAllLayers(network)
    train(network, optimizer, pixels, labels, 2)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    twin = copy.deepcopy(network)
    other = AGDAllLayers(twin)
    other.load_state_dict(torch.load(file, weights_only=True))
    train(network, optimizer, pixels, labels, 2)
    train(twin, other, pixels, labels, 2)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), twin.parameters(), strict=True))


def test_fused_projections_and_gates_are_matrices_of_their_own() -> None:
    """Our vision transformer's fused query, key and value and the gates of recurrent layers are split, as are their biases."""
    found = {part.name: part for part in parts(vit.build("d1-w64-h2-p4-m1", 3, 10))}
    fused = "1.attention.1.queries_keys_values"
    assert (found[f"{fused}.weight"].kind, found[f"{fused}.weight"].blocks) == ("stacked", 3)
    assert (found[f"{fused}.bias"].kind, found[f"{fused}.bias"].blocks) == ("vector", 3)
    gates = [(part.kind, part.blocks, part.start) for part in parts(nn.LSTM(3, 4, proj_size=2))]
    assert gates == [("stacked", 4, None), ("stacked", 4, None), ("vector", 4, 0.0), ("vector", 4, 0.0), ("dense", 1, None)]
    assert [(part.kind, part.blocks) for part in parts(nn.RNN(3, 4, bias=False))] == 2 * [("dense", 1)]


def test_a_fused_projection_is_stepped_as_three() -> None:
    """A fused projection is stepped as three linear layers, each with its own bias, would be."""
    fused = with_gradients(built(lambda: vit.QueriesKeysValues(4, 12)))
    apart: list[dict[str, object]] = []
    for name, kind in (("weight", "dense"), ("bias", "vector")):
        whole = fused.get_parameter(name)
        assert whole.grad is not None
        copies = [nn.Parameter(part.clone()) for part in whole.detach().chunk(3)]
        for part, slope in zip(copies, whole.grad.chunk(3), strict=True):
            part.grad = slope
        apart.append({"params": copies, "kind": kind, "blocks": 1})
    one, other = AGDAllLayers(fused), AGDAllLayers(apart)
    for optimizer in (one, other):
        optimizer.step()
    for whole, group in zip((fused.get_parameter("weight"), fused.get_parameter("bias")), other.param_groups, strict=True):
        torch.testing.assert_close(whole, torch.cat(group["params"]), rtol=1e-12, atol=1e-13)
