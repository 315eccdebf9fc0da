"""Profiles: which parameters a network keeps, for all kinds of layers."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from agd_bench.training.profiles import apply_profile

IMAGES = (4, 8, 6, 6)
SEQUENCES = (4, 6, 8)

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(8, 3), SEQUENCES),
    "convolution": (lambda: nn.Conv2d(8, 4, 3), IMAGES),
    "transposed": (lambda: nn.ConvTranspose2d(8, 4, 3), IMAGES),
    "sequence convolution": (lambda: nn.Conv1d(6, 4, 3), SEQUENCES),
    "batch norm": (lambda: nn.BatchNorm2d(8), IMAGES),
    "batch norm without statistics": (lambda: nn.BatchNorm2d(8, track_running_stats=False), IMAGES),
    "instance norm": (lambda: nn.InstanceNorm2d(8, affine=True), IMAGES),
    "group norm": (lambda: nn.GroupNorm(2, 8), IMAGES),
    "layer norm": (lambda: nn.LayerNorm(8), SEQUENCES),
    "root mean square norm": (lambda: nn.RMSNorm(8), SEQUENCES),
    "transformer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), SEQUENCES),
    "nested": (
        lambda: nn.Sequential(nn.Conv2d(8, 4, 1), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()), nn.Flatten(), nn.Linear(144, 2)),
        IMAGES,
    ),
}


def neutral(network: nn.Module) -> nn.Module:
    """Return a copy with all biases 0 and all learned scales 1, which the matrix-only profile must match."""
    twin = copy.deepcopy(network)
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            if parameter.ndim < 2:
                parameter.fill_(0.0 if "bias" in name else 1.0)
    return twin


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("training", [True, False])
def test_matrix_only_computes_what_neutral_biases_and_scales_would(name: str, training: bool) -> None:
    """The profile removes all vectors, keeps all matrices, and computes the same as with biases 0 and scales 1."""
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = make().train(training)
    matrices = {key: value.clone() for key, value in network.named_parameters() if value.ndim > 1}
    twin = neutral(network)
    assert apply_profile(network, "matrix-only") is network
    left = dict(network.named_parameters())
    assert left.keys() == matrices.keys()
    assert all(torch.equal(left[key], matrices[key]) for key in left)
    values = torch.randn(shape)
    torch.testing.assert_close(network(values), twin(values))


def test_running_statistics_stay() -> None:
    """Batch norm without learned scales still tracks running means and variances."""
    network = apply_profile(nn.BatchNorm2d(3), "matrix-only")
    network(torch.randn(8, 3, 4, 4) + 5)
    assert set(dict(network.named_buffers())) == {"running_mean", "running_var", "num_batches_tracked"}
    assert float(network.get_buffer("running_mean").mean()) > 0.3


def test_extra_attention_biases_go() -> None:
    """The extra attention biases are removed as vectors, although torch stores them with three dimensions."""
    attention = apply_profile(nn.MultiheadAttention(8, 2, add_bias_kv=True), "matrix-only")
    assert set(dict(attention.named_parameters())) == {"in_proj_weight", "out_proj.weight"}
    values = torch.randn(5, 2, 8)
    assert attention(values, values, values)[0].shape == (5, 2, 8)


def test_a_vector_of_a_module_of_ones_own_stays() -> None:
    """A vector of a custom module is kept, since its meaning is unknown; algorithms for matrices refuse it."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.ones(3))

    assert [name for name, _ in apply_profile(nn.Sequential(Scaled(), nn.Linear(3, 3)), "matrix-only").named_parameters()] == [
        "0.bias",
        "1.weight",
    ]


def test_as_published_changes_nothing() -> None:
    """The as-published profile keeps every parameter and value."""
    network = NETWORKS["nested"][0]()
    before = copy.deepcopy(network.state_dict())
    after = apply_profile(network, "as-published").state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_an_unknown_profile_is_refused() -> None:
    """The message lists the two valid profiles."""
    with pytest.raises(ValueError, match="'matrix-only' or 'as-published'"):
        apply_profile(nn.Linear(2, 2), "bare")  # type: ignore[arg-type]
