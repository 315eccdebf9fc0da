"""What each optimizer does with each parameter of each layer of torch.nn: tried, and written into the page of the optimizers.

python -m tests.optim.layer_table --write
"""

from __future__ import annotations

import argparse
import inspect
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

import agd_bench.optim
from agd_bench.errors import InputError, Refused
from agd_bench.optim.agd import AGD
from agd_bench.optim.all_layers import AGDAllLayers, layer_groups
from agd_bench.optim.dsgd import DSGD
from agd_bench.optim.dsgd_heuristic import HeuristicDSGD
from agd_bench.optim.lamb import LAMB
from agd_bench.optim.layers import parts
from agd_bench.optim.muon import Muon
from agd_bench.optim.nadamw import NadamW

PAGE = Path(agd_bench.optim.__file__).parent / "README.md"
REFERENCE = Path(agd_bench.optim.__file__).parent / "agd_reference.py"
COMMAND = "python -m tests.optim.layer_table --write"

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "Linear": lambda: nn.Linear(4, 4),
    "Bilinear": lambda: nn.Bilinear(4, 4, 4),
    "Conv1d": lambda: nn.Conv1d(4, 4, 3),
    "Conv2d": lambda: nn.Conv2d(4, 4, 3),
    "Conv2d, groups": lambda: nn.Conv2d(4, 4, 3, groups=2),
    "Conv2d, depthwise": lambda: nn.Conv2d(4, 4, 3, groups=4),
    "Conv3d": lambda: nn.Conv3d(4, 4, 3),
    "ConvTranspose1d": lambda: nn.ConvTranspose1d(4, 4, 3),
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(4, 4, 3),
    "ConvTranspose3d": lambda: nn.ConvTranspose3d(4, 4, 3),
    "BatchNorm1d": lambda: nn.BatchNorm1d(4),
    "BatchNorm2d": lambda: nn.BatchNorm2d(4),
    "BatchNorm3d": lambda: nn.BatchNorm3d(4),
    "SyncBatchNorm": lambda: nn.SyncBatchNorm(4),
    "InstanceNorm1d": lambda: nn.InstanceNorm1d(4, affine=True),
    "InstanceNorm2d": lambda: nn.InstanceNorm2d(4, affine=True),
    "InstanceNorm3d": lambda: nn.InstanceNorm3d(4, affine=True),
    "GroupNorm": lambda: nn.GroupNorm(2, 4),
    "LayerNorm": lambda: nn.LayerNorm(4),
    "LayerNorm, two dimensions": lambda: nn.LayerNorm((4, 4)),
    "RMSNorm": lambda: nn.RMSNorm(4),
    "Embedding": lambda: nn.Embedding(4, 4),
    "Embedding, sparse": lambda: nn.Embedding(4, 4, sparse=True),
    "EmbeddingBag": lambda: nn.EmbeddingBag(4, 4),
    "EmbeddingBag, sparse": lambda: nn.EmbeddingBag(4, 4, sparse=True),
    "MultiheadAttention": lambda: nn.MultiheadAttention(4, 2, add_bias_kv=True),
    "MultiheadAttention, kdim": lambda: nn.MultiheadAttention(4, 2, kdim=3, vdim=3),
    "RNN": lambda: nn.RNN(4, 4),
    "LSTM": lambda: nn.LSTM(4, 4, proj_size=2),
    "GRU": lambda: nn.GRU(4, 4),
    "RNNCell": lambda: nn.RNNCell(4, 4),
    "LSTMCell": lambda: nn.LSTMCell(4, 4),
    "GRUCell": lambda: nn.GRUCell(4, 4),
    "PReLU": lambda: nn.PReLU(4),
}
"""Every layer of torch.nn that owns parameters, as the hidden one of a network; variants after a comma."""

TRANSFORMERS = ("Transformer", "TransformerEncoder", "TransformerEncoderLayer", "TransformerDecoder", "TransformerDecoderLayer")
COMPOSED = (*TRANSFORMERS, "AdaptiveLogSoftmaxWithLoss", "LinearCrossEntropyLoss")
"""Those that own no parameter but through layers of the table."""


def classes() -> dict[str, type[nn.Module]]:
    """Return all layers of torch.nn by name, except lazy ones, which become one of the others at their first pass."""
    found = inspect.getmembers(nn, inspect.isclass)
    return {name: kind for name, kind in found if issubclass(kind, nn.Module) and not name.startswith("Lazy")}


def own(layer: nn.Module) -> dict[str, Tensor]:
    """Return the parameters of a layer, including its output projection, by name."""
    return dict(layer.named_parameters())


def around(layer: nn.Module) -> nn.Module:
    """Return a network with the layer as a hidden one and with gradients, sparse ones if the layer's are sparse."""
    network = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False), layer, nn.Linear(4, 4, bias=False))
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
        if getattr(layer, "sparse", False) and parameter is next(layer.parameters()):
            parameter.grad = parameter.grad.to_sparse()
    return network


def moves(optimizer: torch.optim.Optimizer, parameter: Tensor) -> bool:
    """Take a step and return whether it moved the parameter."""
    before = parameter.detach().clone()
    optimizer.step()
    return not torch.equal(before, parameter)


def by_agd(layer: nn.Module, name: str) -> str:
    """Return how AGD treats the parameter, given alone, since AGD looks only at shapes."""
    parameter = own(around(layer)[2])[name]  # type: ignore[index]
    assert moves(AGD([parameter]), parameter)
    return "one matrix" if parameter.dim() == 2 else "one kernel"


def by_all_layers(layer: nn.Module, name: str) -> str:
    """Return how AGDAllLayers treats the parameter, by its kind and number of blocks."""
    layer_groups(layer)  # refuses the whole layer if it refuses one parameter
    part = next(part for part in parts(layer) if part.name == name)
    around(layer)
    groups = [{"params": [part.tensor], "kind": part.kind, "blocks": part.blocks}]
    assert moves(AGDAllLayers(groups), part.tensor)
    several = {"grouped": "kernels", "stacked": "matrices", "vector": "vectors"}
    if part.blocks > 1:
        return f"{part.blocks} {several[part.kind]}"
    return {"dense": "one matrix" if part.tensor.dim() == 2 else "one kernel", "embedding": "rows", "vector": "vector"}[part.kind]


def by_muon(layer: nn.Module, name: str) -> str:
    """Return whether Muon or AdamW trains the parameter of a hidden layer and, for Muon, as how many matrices."""
    network = around(layer)
    optimizer, parameter = Muon(network), own(layer)[name]
    assert moves(optimizer, parameter)
    group = next(group for group in optimizer.param_groups if any(parameter is each for each in group["params"]))
    count = group.get("blocks", 1)
    return ("one matrix" if count == 1 else f"{count} matrices") if group["muon"] else "AdamW"


def by_elements(layer: nn.Module, name: str) -> str:
    """Check that NadamW and LAMB, which treat all shapes alike, train the parameter."""
    for make in (NadamW, LAMB):
        assert moves(make(around(layer).parameters(), lr=0.1), own(layer)[name])
    return "trains"


def by_dsgd(layer: nn.Module, name: str) -> str:
    """Check that DSGD accepts the layer in a chain with activations, which it requires."""
    chain = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), layer, nn.Tanh(), nn.Linear(4, 4))
    DSGD(chain, input_norm=1.0)
    return "with its layer"


def by_heuristic(layer: nn.Module, name: str) -> str:
    """Check that HeuristicDSGD accepts the layer in a network."""
    HeuristicDSGD(around(layer))
    return "with its layer"


COLUMNS = {
    "AGD": by_agd,
    "AGDAllLayers": by_all_layers,
    "Muon": by_muon,
    "NadamW, LAMB": by_elements,
    "DSGD": by_dsgd,
    "HeuristicDSGD": by_heuristic,
}


def outcome(tried: Callable[[nn.Module, str], str], layer: nn.Module, name: str) -> str:
    """Return what an optimizer does with a parameter; only our own errors count as a refusal."""
    try:
        return tried(layer, name)
    except (Refused, InputError):
        return "refuses"


def rows() -> Iterator[tuple[str, ...]]:
    """Yield the table's rows (layers, parameters, one cell per column), merging those with equal cells."""
    alike: dict[tuple[str, ...], list[str]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for layer, make in LAYERS.items():
            merged: dict[tuple[str, ...], list[str]] = {}
            for name in own(make()):
                merged.setdefault(tuple(outcome(tried, make(), name) for tried in COLUMNS.values()), []).append(f"`{name}`")
            for cells, names in merged.items():
                alike.setdefault((", ".join(names), *cells), []).append(layer)
    for row, found in alike.items():
        yield "; ".join(found), *row


def table() -> str:
    """Return the table in Markdown."""
    heads = ("layer", "parameter", *COLUMNS)
    lines = [heads, ("---",) * len(heads), *rows()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(text: str) -> str:
    """Return the page with the table and the reference implementation between their markers updated."""
    for mark, made in (("layers", table()), ("reference", f"```python\n{REFERENCE.read_text(encoding='utf-8')}```")):
        begin, end = f"<!-- {mark}: {COMMAND} -->\n", f"\n<!-- end of {mark} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{made}{end}{rest.partition(end)[2]}"
    return text


def main() -> None:
    """Print the table, and update the page with --write."""
    parser = argparse.ArgumentParser(description="What each optimizer does with each layer")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} beside the optimizers")
    if parser.parse_args().write:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
    print(table())


if __name__ == "__main__":
    main()
