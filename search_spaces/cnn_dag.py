"""Convolutional networks on graphs of five nodes: 59,049 codes, of which 4,078 are different networks that can be trained.

An architecture is its published code: for each node after the first, the operation of its edge from each earlier node, 0
nothing, 1 the identity, 2 a convolution and a ReLU. `2_02_002_0002` is a chain of four convolutions. A node is the sum of its
edges; a convolution and a ReLU lead from the image to the first node, global average pooling and a linear layer from the last
one to the logits. Nothing is normalised, and no image is made smaller on the way. Codes of two to four nodes, such as the
paper's `2_02_002`, build as well. In 2,471 codes the last node is not reached.

Edges on no path from the first node to the last are left out. The published code builds them; there they start with zero biases
and add exactly nothing, at initialisation and after training. Biases start at 0, weights as He et al. have them for
ReLUs; scaling both to the graph is what the paper proposes, and a training algorithm's to do, from `graph`.

References:
    W. Chen, J. Wu, Z. Wang and B. Hanin, "Principled Architecture-aware Scaling of Hyperparameters", ICLR 2024, section 4.1.
    K. He, X. Zhang, S. Ren and J. Sun, "Delving Deep into Rectifiers", ICCV 2015, equation 10.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from search_spaces import _dag_codes as dag_codes

VARIES = "nothing, the identity or a convolution on the ten edges of a graph"
SIZE = 59_049
NETWORKS = 4_079
PAPER = "Chen et al. 2024, arXiv 2402.17440"
IDENTITY = "classes by equal outputs; parameters and multiply-adds counted by hand"
OPTIONS = {"width": 64, "kernel_size": 3}
SHALLOW = "2"
"""The network with one hidden layer, whose learning rate is carried over to the others."""
SHALLOW_OPTIONS = {"kernel_size": 3}
"""Its options where a sweep has others, so that the rule for kernel sizes applies."""
CELL_OFFSET = 3
"""Layers that the published code adds to each path: first layer, hidden layer, classifier."""


def architectures() -> Iterator[str]:
    """All 59,049 of five nodes, the last edge's operation changing fastest, as in the published list."""
    return dag_codes.codes()


def sample(rng: np.random.Generator) -> str:
    """One code of five nodes, all equally likely."""
    return dag_codes.draw(rng)


def canonical(architecture: str) -> str:
    """The first code, in the order of `architectures`, of the same network (of as many nodes)."""
    return dag_codes.smallest_code(architecture)


def defect(architecture: str) -> str:
    """Why an architecture cannot be trained; empty if it can."""
    return dag_codes.describe_defect(architecture)


def graph(architecture: str, width: int = 64, kernel_size: int = 3) -> tuple[dag_codes.PathEdge, ...]:
    """The network's edges, for counting paths: from node, to node, weighted layers, kernel size, module with the weight.

    Node 0 is the image, the end of the last edge the logits. Options as for `build`; the width changes nothing.
    """
    return dag_codes.network_edges(architecture, kernel_size, "0.0", "1.layers", "4")


def cell(architecture: str) -> tuple[dag_codes.PathEdge, ...]:
    """The edges between first layer and pooling; kernels as by default."""
    return dag_codes.cell_edges(architecture, OPTIONS["kernel_size"], "1.layers")


def features(architecture: str) -> dict[str, float]:
    """What may drive a rank shift: most and fewest weighted layers on a path, paths, those of identities alone, live edges."""
    return dag_codes.path_features(architecture)


class Convolution(nn.Sequential):
    """A convolution and a ReLU, initialised to keep the size of what passes."""

    def __init__(self, in_channels: int, channels: int, kernel_size: int) -> None:
        layer = nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
        super().__init__(layer, nn.ReLU())


class Graph(nn.Module):
    """The nodes between the first layer and the pooling; `layers` holds the weighted ones, by `from_to`."""

    def __init__(self, architecture: str, width: int, kernel_size: int) -> None:
        super().__init__()
        self.nodes = architecture.count("_") + 2
        self.edges = dag_codes.named_edges(architecture)
        weighted = [(start, end) for start, end, kind in self.edges if kind == "weights"]
        self.layers = nn.ModuleDict({f"{start}_{end}": Convolution(width, width, kernel_size) for start, end in weighted})

    def forward(self, images: Tensor) -> Tensor:
        """First node (N, width, H, W) to last node of that shape."""
        nodes = [images, *[torch.zeros_like(images)] * (self.nodes - 1)]
        for start, end, kind in self.edges:
            nodes[end] = nodes[end] + (self.layers[f"{start}_{end}"](nodes[start]) if kind == "weights" else nodes[start])
        return nodes[-1]


def build(architecture: str, in_channels: int, num_classes: int, width: int = 64, kernel_size: int = 3) -> nn.Module:
    """The network of an architecture.

    Args:
        architecture: its code.
        in_channels: of the images.
        num_classes: logits a network gives.
        width: channels of every node, at least 1.
        kernel_size: pixels a side of every kernel, odd; the paper varies it.

    Returns:
        A network that maps images (N, in_channels, H, W) to logits (N, num_classes).
    """
    dag_codes.edges_of(architecture)
    dag_codes.check_positive(width=width, kernel_size=kernel_size)
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size {kernel_size} is out of range; give an odd one, which keeps the image's size")
    readout = nn.Linear(width, num_classes)
    nn.init.kaiming_normal_(readout.weight, nonlinearity="linear")
    nn.init.zeros_(readout.bias)
    stem = Convolution(in_channels, width, kernel_size)
    return nn.Sequential(stem, Graph(architecture, width, kernel_size), nn.AdaptiveAvgPool2d(1), nn.Flatten(), readout)
