"""Profiles: which parameters a network has.

Automatic gradient descent is defined only for matrices and kernels, so a fair comparison removes biases and learned normalisation scales
from the networks of all algorithms.
"""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from agd_bench.records import Profile

_NORMALISATIONS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)  # _NormBase: batch and instance norm of any dimension
_WEIGHTED = (nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd, nn.MultiheadAttention)


def apply_profile(network: nn.Module, profile: Profile) -> nn.Module:
    """Give a network the parameters of a profile, in place.

    `matrix-only` removes the biases of linear, bilinear, convolution and attention layers, and the learned scales and shifts of
    normalisation layers; running statistics are kept. Vectors and scalars of other modules are also kept; an algorithm that cannot train
    them refuses the network. `as-published` changes nothing.

    Args:
        network: any module, freshly built, before it is initialised.
        profile: the profile.

    Returns:
        The network itself.
    """
    if profile == "matrix-only":
        for module in network.modules():
            _keep_matrices(module)
    elif profile != "as-published":
        raise ValueError(f"unknown profile {profile!r}; give 'matrix-only' or 'as-published'")
    return network


def _keep_matrices(module: nn.Module) -> None:
    if isinstance(module, _NORMALISATIONS):
        _remove(module, "weight", "bias")
        for flag in ("affine", "elementwise_affine"):
            if hasattr(module, flag):
                setattr(module, flag, False)
    elif isinstance(module, _WEIGHTED):
        # The last three belong to attention; its output projection is a separate linear layer.
        _remove(module, "bias", "in_proj_bias", "bias_k", "bias_v")


def _remove(module: nn.Module, *names: str) -> None:
    """Register None for those parameters that the module has; torch's layers then work without them."""
    for name in names:
        if isinstance(getattr(module, name, None), nn.Parameter):
            module.register_parameter(name, None)
