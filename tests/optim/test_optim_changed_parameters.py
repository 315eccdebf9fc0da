"""Parameters that are replaced, resized, cast or copied after the optimizer is built: each optimizer follows, as torch's do."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from agd_bench.errors import InputError, Refused
from agd_bench.optim.agd import AGD
from agd_bench.optim.all_layers import AGDAllLayers
from agd_bench.optim.averaging import Averaged
from agd_bench.optim.dsgd import DSGD
from agd_bench.optim.dsgd_heuristic import HeuristicDSGD
from agd_bench.optim.lamb import LAMB
from agd_bench.optim.muon import Muon
from agd_bench.optim.nadamw import NadamW

Make = Callable[[nn.Module], Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "agd": lambda network: AGD(network.parameters()),
    "agd dual": lambda network: AGD(network.parameters(), norm="dual"),
    "agd_all_layers": AGDAllLayers,
    "nadamw": lambda network: NadamW(network.parameters()),
    "lamb": lambda network: LAMB(network.parameters()),
    "muon": Muon,
}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def network() -> nn.Module:
    """Return a network of three matrices of one shape and one of another."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(*[nn.Linear(4, 4, bias=False) for _ in range(3)], nn.Linear(4, 3, bias=False))


def with_gradients(parameters: list[Tensor], seed: int = 0) -> None:
    """Set random gradients."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter)


def started(name: str) -> tuple[nn.Module, Optimizer]:
    """Return a network and its optimizer after one step."""
    made = network()
    optimizer = OPTIMIZERS[name](made)
    with_gradients(list(made.parameters()))
    optimizer.step()
    return made, optimizer


@every_optimizer
def test_a_replaced_parameter_moves_and_the_discarded_one_stays(name: str) -> None:
    """After a parameter in a group's list is replaced, the next step moves the new one and not the old one."""
    made, optimizer = started(name)
    group = optimizer.param_groups[0]
    old, new = group["params"][1], nn.Parameter(torch.eye(4))
    group["params"][1] = new
    with_gradients([*made.parameters(), new])
    before = [old.detach().clone(), new.detach().clone()]
    optimizer.step()
    assert torch.equal(old, before[0])
    assert not torch.equal(new, before[1])


@pytest.mark.parametrize("name", ["agd", "agd dual", "agd_all_layers"])
def test_a_parameter_of_another_size_is_scaled_by_that_size(name: str) -> None:
    """After a parameter is resized, a step equals that of a newly built optimizer."""
    made, optimizer = started(name)
    twin = copy.deepcopy(made)
    for each in (made, twin):
        each.get_parameter("0.weight").data = torch.ones(8, 4)
        with_gradients(list(each.parameters()), seed=1)
    optimizer.step()
    OPTIMIZERS[name](twin).step()
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), twin.parameters(), strict=True))


@pytest.mark.parametrize("name", ["agd", "agd dual", "agd_all_layers"])
def test_one_parameter_of_another_type_is_stepped_in_that_type(name: str) -> None:
    """If a parameter other than the first becomes float64, a step equals that of a newly built optimizer."""
    made, optimizer = started(name)
    twin = copy.deepcopy(made)
    for each in (made, twin):
        each.get_submodule("2").double()
        with_gradients(list(each.parameters()), seed=1)
    optimizer.step()
    OPTIMIZERS[name](twin).step()
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), twin.parameters(), strict=True))


@pytest.mark.parametrize("name", ["agd", "agd dual", "agd_all_layers"])
def test_what_is_put_into_a_group_is_checked(name: str) -> None:
    """A parameter that AGD would refuse at construction is also refused at the next step if put into a group later."""
    made, optimizer = started(name)
    optimizer.param_groups[0]["params"][0] = nn.Parameter(torch.ones(2, 2, dtype=torch.complex64))
    with_gradients(list(made.parameters()))
    with pytest.raises(Refused, match="has shape"):
        optimizer.step()


@every_optimizer
@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_a_copy_goes_on_as_the_original(name: str, way: str) -> None:
    """A network and optimizer copied together take the same steps as the original and do not affect it."""
    original = started(name)
    if way == "deepcopy":
        made, optimizer = copy.deepcopy(original)
    else:
        file = io.BytesIO()
        torch.save(original, file)
        file.seek(0)
        made, optimizer = torch.load(file, weights_only=False)
    before = copy.deepcopy(original[0].state_dict())
    with_gradients(list(made.parameters()), seed=1)
    optimizer.step()
    assert all(torch.equal(value, before[key]) for key, value in original[0].state_dict().items())
    with_gradients(list(original[0].parameters()), seed=1)
    original[1].step()
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), original[0].parameters(), strict=True))


@every_optimizer
def test_a_sparse_gradient_is_refused_by_name(name: str) -> None:
    """Sparse gradients are refused with a message that says what to do."""
    made = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    optimizer = OPTIMIZERS[name](made)
    table = made.get_parameter("0.weight")
    table.grad = torch.eye(5)[:, :4].to_sparse()
    with pytest.raises(Refused, match="sparse=False"):
        optimizer.step()


GREEDY: dict[str, Make] = {"dsgd": DSGD, "dsgd_heuristic": HeuristicDSGD}


def chain() -> nn.Module:
    """Return a network of two layers that both forms of DSGD accept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def pass_and_step(made: nn.Module, optimizer: Optimizer) -> None:
    """Run a forward and backward pass and take a step."""
    optimizer.zero_grad()
    torch.autograd.backward(made(torch.eye(4)).square().mean())
    optimizer.step()


@pytest.mark.parametrize("name", GREEDY)
@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_a_copy_with_hooks_goes_on_as_the_original(name: str, way: str) -> None:
    """After copying, each network's hooks report to its own optimizer."""
    made = chain()
    optimizer = GREEDY[name](made)
    pass_and_step(made, optimizer)
    if way == "deepcopy":
        copied, other = copy.deepcopy((made, optimizer))
    else:
        copied, other = pickle.loads(pickle.dumps((made, optimizer)))
    before = copy.deepcopy(made.state_dict())
    pass_and_step(copied, other)
    assert all(torch.equal(value, before[key]) for key, value in made.state_dict().items())
    pass_and_step(made, optimizer)
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), copied.parameters(), strict=True))
    assert not all(torch.equal(value, before[key]) for key, value in made.state_dict().items())


@pytest.mark.parametrize("name", GREEDY)
@pytest.mark.parametrize("where", ["group", "network"])
def test_what_trains_one_network_refuses_a_replaced_parameter(name: str, where: str) -> None:
    """DSGD refuses replaced parameters, since its bounds and hooks belong to the layers it was built with."""
    made = chain()
    optimizer = GREEDY[name](made)
    pass_and_step(made, optimizer)
    new = nn.Parameter(torch.ones(5, 4))
    if where == "group":
        optimizer.param_groups[0]["params"][0] = new
    else:
        made.get_submodule("0").weight = new
    with pytest.raises(InputError, match="replaced"):
        pass_and_step(made, optimizer)


def test_a_copy_of_an_averaged_optimizer_has_its_own_average() -> None:
    """A copy of the averaging wrapper that DoG uses keeps its own average and continues as the original does."""
    made = chain()
    averager = Average(made)
    optimizer = Averaged(torch.optim.SGD(made.parameters(), lr=0.1), made, averager)
    pass_and_step(made, optimizer)
    copied, other = copy.deepcopy((made, optimizer))
    for network_, each in ((made, optimizer), (copied, other)):
        pass_and_step(network_, each)
        each.eval()
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), copied.parameters(), strict=True))


class Average:
    """Averages all iterates with equal weight."""

    def __init__(self, network: nn.Module) -> None:
        """Start from the network's current weights."""
        self.network, self.averaged_model = network, copy.deepcopy(network)
        self.count = 0

    def step(self) -> None:
        """Add the network's current weights to the average."""
        self.count += 1
        with torch.no_grad():
            for mean, parameter in zip(self.averaged_model.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(parameter, 1 / self.count)

    def state_dict(self) -> dict[str, object]:
        """Return an empty state; the test does not store any."""
        return {}

    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        """Do nothing."""


def test_diagnostics_speak_of_the_last_step() -> None:
    """Diagnostics omit a parameter that was replaced after the last step."""
    _, optimizer = started("agd")
    assert isinstance(optimizer, AGD)
    optimizer.param_groups[0]["params"][1] = nn.Parameter(torch.eye(4))
    assert [name for name in optimizer.diagnostics() if name.startswith("relative_update/")] == [
        "relative_update/0",
        "relative_update/2",
        "relative_update/3",
    ]


@pytest.mark.parametrize("name", ["agd", "agd_all_layers", "muon", "dsgd", "dsgd_heuristic"])
def test_a_lazy_layer_is_refused(name: str) -> None:
    """Lazy weights have no shape yet, so these optimizers refuse them; NadamW and LAMB wait for the first pass, as torch's do."""
    made = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Tanh(), nn.LazyLinear(3, bias=False), nn.Tanh(), nn.Linear(3, 3, bias=False))
    with pytest.raises(Refused):
        (OPTIMIZERS | GREEDY)[name](made)
