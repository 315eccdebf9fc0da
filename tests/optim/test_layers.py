"""Every layer of torch.nn with every optimizer, and the README table that documents the results."""

from __future__ import annotations

import itertools
import warnings

import pytest
import torch
from torch import nn

from agd_bench.errors import Refused
from agd_bench.optim.agd import initialise
from tests.optim import layer_table

ARGUMENTS = ((), (2,), (2, 2), (1, 1, 1), ([2],))
"""Constructor arguments to try for layers without parameters."""
ABSTRACT = {"Module", "Container", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict", "RNNBase", "RNNCellBase"}


def built(kind: type[nn.Module]) -> nn.Module | None:
    """Return a layer built with the first arguments that its class accepts, or None."""
    for arguments in ARGUMENTS:
        try:
            return kind(*arguments)
        except (TypeError, ValueError, AssertionError):
            continue
    return None


def test_the_table_has_every_layer_with_parameters() -> None:
    """Every torch.nn layer is in the table or owns no parameter, so that layers added by new torch versions are noticed."""
    known = {name.partition(",")[0] for name in layer_table.LAYERS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, kind in layer_table.classes().items():
            if name in known or name in ABSTRACT or name in layer_table.COMPOSED:
                continue
            layer = built(kind)
            if layer is None:
                assert "Parameter" not in kind.__init__.__code__.co_names, f"{name} is not in the table"
            else:
                assert not list(layer.parameters()), f"{name} is not in the table"


def test_composed_layers_own_nothing_themselves() -> None:
    """All parameters of composed layers belong to layers in the table."""
    transformer = nn.Transformer(4, 2, 1, 1, 8, batch_first=True)
    made = (transformer, nn.AdaptiveLogSoftmaxWithLoss(8, 6, [2, 4], div_value=2.0), nn.LinearCrossEntropyLoss(4, 3))
    known = {name.partition(",")[0] for name in layer_table.LAYERS} | {"NonDynamicallyQuantizableLinear"}
    modules = itertools.chain(*(each.modules() for each in made))
    owners = {type(module).__name__ for module in modules if list(module.parameters(recurse=False))}
    assert owners <= known


def test_the_page_is_what_was_tried() -> None:
    """The table and the reference implementation on the page are up to date with the code."""
    written = layer_table.PAGE.read_text(encoding="utf-8")
    assert layer_table.page(written) == written, layer_table.COMMAND


@pytest.mark.parametrize(
    "layer",
    [nn.Embedding(4, 4), nn.ConvTranspose2d(4, 4, 3, bias=False), nn.LayerNorm((4, 4), bias=False)],
    ids=["rows", "transposed", "norm"],
)
def test_the_papers_agd_refuses_what_only_looks_like_a_matrix(layer: nn.Module) -> None:
    """Given the network, AGD's initialisation refuses layers whose weight only has the shape of a matrix or kernel."""
    with pytest.raises(Refused, match=r"0\.weight of"):
        initialise(nn.Sequential(layer), torch.Generator())
