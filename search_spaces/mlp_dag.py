"""Fully connected networks on graphs of five nodes: 59,049 codes, of which 4,078 are different networks that can be trained.

An architecture is its published code: for each node after the first, the operation of its edge from each earlier node: 0
none, 1 identity, 2 a linear layer and a ReLU. `2_02_002_0002` is a chain of four layers. A node is the sum of its edges;
a linear layer and a ReLU lead from the image to the first node, a linear layer from the last one to the logits. Codes of
two to four nodes, such as the paper's `2_02_002`, are valid too. In 2,471 codes, the last node is not reachable.

Edges on no path from the first node to the last are omitted. The published code builds them, with zero biases, but they contribute exactly
nothing before and after training. Biases start at 0, weights with He initialisation for ReLU. The paper proposes to scale them by the
graph, which is left to training algorithms (see `graph`).

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

VARIES = "nothing, the identity or a linear layer on the ten edges of a graph"
SIZE = 59_049
NETWORKS = 4_079
PAPER = "Chen et al. 2024, arXiv 2402.17440"
IDENTITY = "classes by equal outputs; the published factors of learning rates"
OPTIONS = {"width": 256, "size": 32}
SHALLOW = "2"
"""Network with one hidden layer, from which learning rates transfer to the others."""
CELL_OFFSET = 3
"""Number of layers that the published code adds to each path: first layer, hidden layer, classifier."""


def architectures() -> Iterator[str]:
    """Yield all 59,049 codes of five nodes in the published order: the operation of the last edge changes fastest."""
    return dag_codes.codes()


def sample(rng: np.random.Generator) -> str:
    """Return a uniformly random code of five nodes."""
    return dag_codes.draw(rng)


def canonical(architecture: str) -> str:
    """Return the first code, in the order of `architectures`, with the same network and number of nodes."""
    return dag_codes.smallest_code(architecture)


def defect(architecture: str) -> str:
    """Return why an architecture cannot be trained, or an empty string."""
    return dag_codes.describe_defect(architecture)


def graph(architecture: str, width: int = 256, size: int = 32) -> tuple[dag_codes.PathEdge, ...]:
    """Return the network's edges: (from node, to node, weighted layers, kernel size, module with the weight).

    Node 0 is the image; the last edge leads to the logits. Options are those of `build`, without effect.
    """
    return dag_codes.network_edges(architecture, 1, "2.0", "3.layers", "4")


def cell(architecture: str) -> tuple[dag_codes.PathEdge, ...]:
    """Return the edges between first layer and classifier."""
    return dag_codes.cell_edges(architecture, 1, "3.layers")


def features(architecture: str) -> dict[str, float]:
    """Return possible drivers of rank shifts: see `path_features`."""
    return dag_codes.path_features(architecture)


class Linear(nn.Sequential):
    """A linear layer and a ReLU, initialised to preserve the scale of activations."""

    def __init__(self, inputs: int, outputs: int) -> None:
        layer = nn.Linear(inputs, outputs)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
        super().__init__(layer, nn.ReLU())


class Graph(nn.Module):
    """The nodes between the first layer and the classifier; `layers` has the weighted edges, by `from_to`."""

    def __init__(self, architecture: str, width: int) -> None:
        super().__init__()
        self.nodes = architecture.count("_") + 2
        self.edges = dag_codes.named_edges(architecture)
        self.layers = nn.ModuleDict({f"{start}_{end}": Linear(width, width) for start, end, kind in self.edges if kind == "weights"})

    def forward(self, values: Tensor) -> Tensor:
        """Map the first node (N, width) to the last node (N, width)."""
        nodes = [values, *[torch.zeros_like(values)] * (self.nodes - 1)]
        for start, end, kind in self.edges:
            nodes[end] = nodes[end] + (self.layers[f"{start}_{end}"](nodes[start]) if kind == "weights" else nodes[start])
        return nodes[-1]


def build(architecture: str, in_channels: int, num_classes: int, width: int = 256, size: int = 32) -> nn.Module:
    """Return the network of an architecture.

    Args:
        architecture: its code.
        in_channels: of the images.
        num_classes: size of the logits.
        width: units of every node, at least 1.
        size: side length in pixels to which images are averaged (or repeated) before they are flattened, at least 1.

    Returns:
        A network that maps images (N, in_channels, H, W) to logits (N, num_classes).
    """
    dag_codes.edges_of(architecture)
    dag_codes.check_positive(width=width, size=size)
    readout = nn.Linear(width, num_classes)
    nn.init.kaiming_normal_(readout.weight, nonlinearity="linear")
    nn.init.zeros_(readout.bias)
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(size), nn.Flatten(), Linear(in_channels * size**2, width), Graph(architecture, width), readout
    )
