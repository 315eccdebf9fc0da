"""States come back as they were, and nothing but data can be in a file."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from agd_bench.optim.agd import AGD
from agd_bench.training import serialising

CPU = torch.device("cpu")


def returned(state: dict[str, Any]) -> dict[str, Any]:
    """The state, written and read."""
    return serialising.from_bytes(serialising.to_bytes(state), CPU)


def trained(build: Any) -> tuple[nn.Module, Any]:
    """A convolution in channels-last order and its optimizer, after two steps."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.Flatten(), nn.Linear(16, 2, bias=False)).to(
        memory_format=torch.channels_last
    )
    optimizer = build(network.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        network(torch.randn(5, 3, 4, 4)).square().sum().backward()
        optimizer.step()
    return network, optimizer


@pytest.mark.parametrize(
    "build",
    [AGD, lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, fused=True), lambda p: torch.optim.AdamW(p, 0.1), torch.optim.RMSprop],
)
def test_weights_and_optimizer_states_come_back(build: Any) -> None:
    """To the last bit, with their types, keys and memory layouts."""
    network, optimizer = trained(build)
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
    back = returned(state)
    torch.testing.assert_close(back["network"], dict(state["network"]), rtol=0, atol=0, check_stride=True)
    assert back["optimizer"].keys() == state["optimizer"].keys()
    assert back["optimizer"]["param_groups"] == state["optimizer"]["param_groups"]
    torch.testing.assert_close(back["optimizer"]["state"], state["optimizer"]["state"], rtol=0, atol=0, check_stride=True)
    assert [type(key) for key in back["optimizer"]["state"]] == [type(key) for key in state["optimizer"]["state"]]


def test_containers_numbers_and_shared_tensors_come_back() -> None:
    """Tuples stay tuples, whole keys whole, infinities and NaN themselves; one tensor twice is no fault, nor is half of another."""
    one = torch.arange(6.0)
    state: dict[str, Any] = {
        "a": (1, [True, None, "é"], {}),
        "rates": {0: math.inf, 1: 0.1},
        "tensors": [one, one, one[2:], torch.tensor(2, dtype=torch.int64)],
    }
    back = returned(state)
    assert (back["a"], back["rates"]) == (state["a"], state["rates"])
    assert all(
        torch.equal(found, given) and found.dtype == given.dtype for found, given in zip(back["tensors"], state["tensors"], strict=True)
    )
    assert math.isnan(returned({"x": math.nan})["x"])


@pytest.mark.parametrize(("value", "named"), [(object(), "object"), ({1.5: 2}, "key of type float"), (torch.float32, "dtype")])
def test_what_is_no_data_is_refused(value: Any, named: str) -> None:
    """With its place and what is allowed."""
    with pytest.raises(TypeError, match=rf"^optimizer/x: a checkpoint cannot hold a {named}"):
        serialising.to_bytes({"optimizer": {"x": value}})


def test_other_programs_can_read_the_weights() -> None:
    """Under the names of the state dictionary, by safetensors alone."""
    network, _ = trained(AGD)
    content = serialising.to_bytes({"network": network.state_dict(), "curve": [{"epoch": 1}]})
    assert set(safetensors.torch.load(content)) == {"network/0.weight", "network/2.weight"}
    assert "pickle" not in json.dumps(content[:2000].decode("latin-1"))
