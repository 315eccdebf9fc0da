"""The graph of stacked cells agrees with the networks that NAS-Bench-201 builds."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from agd_bench.optim.path_scaling import path_counts, read_edges
from search_spaces import _cell_graphs as cell_graphs
from search_spaces import nas_bench_201 as space

SKIP = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"


@pytest.mark.parametrize("cells", [1, 2, 5])
def test_every_weight_is_on_one_edge(cells: int) -> None:
    """The edges name each convolution and the classifier exactly once, including dead ones, with their kernel sizes."""
    rng = np.random.default_rng(0)
    for architecture in [SKIP, *(space.sample(rng) for _ in range(4))]:
        edges = read_edges(cell_graphs.network_edges(space.operations_of(architecture), cells))
        network = space.build(architecture, 3, 10, channels=2, cells=cells)
        weighted = {name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
        assert sorted(edge.module for edge in edges if edge.module) == sorted(weighted)
        for edge in edges:
            if edge.module:
                module = network.get_submodule(edge.module)
                assert edge.kernel_size == (module.kernel_size[0] if isinstance(module, nn.Conv2d) else 1)


def test_paths_of_a_stack_multiply() -> None:
    """The number of paths is a cell's to the power of the number of cells, times two for each residual block."""
    operations = ("nor_conv_3x3",) * 6
    assert path_counts(read_edges(cell_graphs.cell_edges(operations))) == {1: 1, 2: 2, 3: 1}
    counts = path_counts(read_edges(cell_graphs.network_edges(operations, 5)))
    assert counts.total() == 4**15 * 2**2
    assert (min(counts), max(counts)) == (1 + 15 + 2 + 1, 1 + 45 + 4 + 1)
    assert path_counts(read_edges(cell_graphs.network_edges(space.operations_of(SKIP), 5))) == {4: 1, 5: 2, 6: 1}
