"""States of a training as safetensors: nothing that is read back can run code, and other programs can read the weights.

Tensors are stored under their place, for example `network/0.weight`. What is around them (numbers, strings, containers) stands as
JSON in the file's metadata, where each tensor leaves its name. Memory layouts survive: dimensions are stored in the order in
which they lie in memory, so that a channels-last kernel comes back channels-last.
"""

from __future__ import annotations

import json
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

STRUCTURE = "structure"
"""Key of the metadata under which the JSON stands."""


def to_bytes(state: dict[str, Any]) -> bytes:
    """The content of a safetensors file that holds `state`.

    Args:
        state: dictionaries, lists and tuples of dense tensors, numbers, strings, truth values and null.

    Raises:
        TypeError: anything else in it, with its place.
    """
    tensors: dict[str, Tensor] = {}
    structure = _described(state, "", tensors)
    return safetensors.torch.save(tensors, {STRUCTURE: json.dumps(structure)})


def from_bytes(content: bytes, device: torch.device) -> dict[str, Any]:
    """The state that `to_bytes` was given, its tensors on a device."""
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    state: dict[str, Any] = _restored(json.loads(metadata[STRUCTURE]), safetensors.torch.load(content), device)
    return state


def _described(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON; its tensors are put into `tensors`. Containers become {kind: items}, so that keys keep their type."""
    if isinstance(value, Tensor):
        order = sorted(range(value.dim()), key=value.stride, reverse=True)
        # A copy of its own: safetensors refuses tensors that share memory.
        tensors[place] = value.detach().permute(order).contiguous().cpu().clone()
        return {"tensor": place, "order": order}
    if isinstance(value, dict):
        return {"dict": [[key, _described(item, _inside(place, key), tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [_described(item, _inside(place, number), tensors) for number, item in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"{place}: a checkpoint cannot hold a {type(value).__name__}; states of networks, optimizers and schedulers may hold dense "
        "tensors, numbers, strings, and dictionaries, lists and tuples of them"
    )


def _inside(place: str, key: object) -> str:
    if not isinstance(key, str | int):
        raise TypeError(f"{place}: a checkpoint cannot hold a key of type {type(key).__name__}; keys may be strings and whole numbers")
    return f"{place}/{key}" if place else str(key)


def _restored(described: Any, tensors: dict[str, Tensor], device: torch.device) -> Any:
    if not isinstance(described, dict):
        return described
    if "tensor" in described:
        order: list[int] = described["order"]
        return tensors[described["tensor"]].to(device).permute([order.index(dimension) for dimension in range(len(order))])
    if "dict" in described:
        return {key: _restored(item, tensors, device) for key, item in described["dict"]}
    if "tuple" in described:
        return tuple(_restored(item, tensors, device) for item in described["tuple"])
    return [_restored(item, tensors, device) for item in described["list"]]
