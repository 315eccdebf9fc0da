"""Measuring a network during training does not change it and gives correct readings."""

from __future__ import annotations

import copy

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from agd_bench.diagnostics import Reading, Watch, log_spaced_steps, measure
from agd_bench.errors import Diverged, InputError
from search_spaces import resnet_skips
from tests.diagnostics.explicit import jacobian_of

IMAGES = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3])
cross_entropy = nn.functional.cross_entropy


def network_of(norm: str = "batch", dropout: bool = False) -> nn.Module:
    """Return a small residual network, optionally with dropout before the classifier."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = resnet_skips.build(f"fixed-1/plain/{norm}/pre/relu", 1, 4, width=4, blocks=1)
    assert isinstance(network, nn.Sequential)
    return nn.Sequential(*network[:-1], nn.Dropout(0.5), network[-1]) if dropout else network


def value_of(rows: list[Reading], **chosen: object) -> float:
    """Return the value of the only row that matches."""
    found = [row.value for row in rows if all(getattr(row, name) == wanted for name, wanted in chosen.items())]
    assert len(found) == 1
    return found[0]


def test_nothing_of_the_network_changes() -> None:
    """Measuring changes no weights, statistics, gradients, modes or random state, even with dropout and batch norm in training mode."""
    network = network_of(dropout=True).train()
    cross_entropy(network(IMAGES), LABELS).backward()  # type: ignore[no-untyped-call]
    before = copy.deepcopy(network.state_dict())
    gradients = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
    random = torch.get_rng_state()
    first = measure(network, IMAGES, LABELS, cross_entropy, largest_rank=0, probes=2, starts=1, lanczos_steps=3)
    assert first == measure(network, IMAGES, LABELS, cross_entropy, largest_rank=0, probes=2, starts=1, lanczos_steps=3)
    assert torch.equal(random, torch.get_rng_state())
    after = network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    now = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(gradients, now, strict=True))
    assert all(module.training for module in network.modules())


def test_rows_are_a_table_of_both_modes() -> None:
    """Blocks, head and slope are measured in both modes and convolutions once; with batch statistics the modes differ."""
    rows = measure(network_of(), IMAGES, LABELS, cross_entropy, step=7)
    table = pd.DataFrame(rows)
    assert list(table.columns) == ["step", "mode", "part", "place", "quantity", "value"]
    assert set(table["step"]) == {7}
    assert table["value"].notna().all()
    assert not table.duplicated(["mode", "part", "place", "quantity"]).any()
    counts = table.groupby(["part", "mode"])["place"].nunique().to_dict()
    expected = {("block", "train"): 4, ("block", "eval"): 4, ("head", "train"): 1, ("head", "eval"): 1}
    assert counts == expected | {("operator", ""): 12, ("slope", "train"): 1, ("slope", "eval"): 1}
    assert value_of(rows, part="head", mode="train", quantity="mean") != value_of(rows, part="head", mode="eval", quantity="mean")


def test_a_network_without_statistics_is_measured_once() -> None:
    """Without running statistics both modes are the same, so only one is measured."""
    rows = measure(network_of("layer"), IMAGES, parts=["head"])
    assert {row.mode for row in rows} == {"eval"}


def test_block_spectra_are_those_of_the_explicit_jacobian() -> None:
    """Block spectra match explicit Jacobians at the blocks' actual inputs, with batch statistics."""
    network = network_of().double()
    rows = measure(network, IMAGES.double(), parts=["blocks"], modes=["train"])
    given = network.train().get_submodule("0")(IMAGES.double())
    for name in ("1", "2"):
        block = network.get_submodule(name)
        values = torch.linalg.svdvals(jacobian_of(block, given))
        assert value_of(rows, place=name, quantity="mean") == pytest.approx(float(values.mean()))
        assert value_of(rows, place=name, quantity="max") == pytest.approx(float(values.max()))
        given = block(given).detach()


def test_the_head_is_the_jacobian_of_the_logits() -> None:
    """The head's spectrum is that of the logits' explicit Jacobian by the first block's input."""
    network = network_of("group").double().eval()
    assert isinstance(network, nn.Sequential)
    rows = measure(network, IMAGES.double(), parts=["head"])
    given = network[0](IMAGES.double()).detach()
    values = torch.linalg.svdvals(jacobian_of(network[1:], given))
    assert value_of(rows, quantity="mean") == pytest.approx(float(values.mean()))
    assert value_of(rows, quantity="min") == pytest.approx(float(values.min()))


def test_the_slope_of_a_quadratic_is_known() -> None:
    """The loss |w|² h / 2 has steepness 2 h and smoothness h everywhere; a higher infimum gives a higher steepness."""

    class Bowl(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))

        def forward(self, images: Tensor) -> Tensor:
            return self.weight.expand(len(images), -1)

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return 2.5 * logits[0].square().sum()

    bowl = Bowl()
    rows = measure(bowl, IMAGES, LABELS, loss, parts=["slope"])
    assert value_of(rows, quantity="loss") == pytest.approx(35)
    assert value_of(rows, quantity="gradient_norm") == pytest.approx(5 * 14**0.5)
    assert value_of(rows, quantity="steepness") == pytest.approx(10)
    raised = measure(bowl, IMAGES, LABELS, loss, parts=["slope"], infimum=17.5)
    assert value_of(raised, quantity="steepness") == pytest.approx(20)
    watch = Watch(bowl, IMAGES, LABELS, loss, last=2, parts=["slope"])
    optimizer = torch.optim.SGD(bowl.parameters(), lr=0.01)
    watch(0)
    for step in range(1, 4):
        optimizer.zero_grad()
        loss(bowl(IMAGES), LABELS).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        watch(step)
    turned = [row for row in watch.readings if row.quantity == "smoothness"]
    assert [row.step for row in turned] == [0, 1, 2]
    assert [row.value for row in turned] == pytest.approx([5, 5, 5], rel=1e-4)


def test_a_watch_measures_at_log_spaced_steps_and_keeps_its_time() -> None:
    """Readings are taken at steps 0, 1, 2, 5 and 10 and timed; constant weights have no smoothness."""
    watch = Watch(network_of("none"), IMAGES, LABELS, cross_entropy, last=12, parts=["slope"])
    for step in range(13):
        watch(step)
    assert sorted({row.step for row in watch.readings}) == [0, 1, 2, 5, 10]
    assert {row.quantity for row in watch.readings} == {"loss", "gradient_norm", "steepness"}
    assert watch.seconds > 0
    told = watch.taken(13)
    assert told.pop("charge.seconds@13/") == watch.seconds
    assert told == {reading.name: reading.value for reading in watch.readings}
    assert list(watch.taken(14)) == ["charge.seconds@14/"]


def test_a_watch_of_the_start_alone() -> None:
    """With `last=0`, only step 0 is measured, and without the slope no gradients are compared."""
    watch = Watch(network_of(), IMAGES, LABELS, cross_entropy, last=0, parts=["head"])
    for step in range(3):
        watch(step)
    assert {(row.step, row.part) for row in watch.readings} == {(0, "head")}


def test_training_with_a_watch_is_the_same_training() -> None:
    """A watch leaves training bitwise unchanged, with batch statistics, dropout and all parts measured."""
    results = []
    for watched in (False, True):
        network = network_of(dropout=True).train()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        watch = Watch(network, IMAGES, LABELS, cross_entropy, last=3, largest_rank=0, probes=1, starts=1, lanczos_steps=2)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            for step in range(3):
                if watched:
                    watch(step)
                optimizer.zero_grad()
                cross_entropy(network(IMAGES), LABELS).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        results.append(network.state_dict())
    assert all(torch.equal(results[0][name], value) for name, value in results[1].items())


@pytest.mark.parametrize(("last", "steps"), [(0, (0,)), (1, (0, 1)), (9, (0, 1, 2, 5)), (120, (0, 1, 2, 5, 10, 20, 50, 100))])
def test_log_spaced_steps(last: int, steps: tuple[int, ...]) -> None:
    """The steps are one, two and five times each power of ten."""
    assert log_spaced_steps(last) == steps


def test_a_diverged_network_is_an_outcome() -> None:
    """Measuring a diverged network raises `Diverged`, and a watch continues without storing non-finite readings."""
    network = network_of()
    watch = Watch(network, IMAGES, LABELS, cross_entropy, last=5, parts=["blocks", "slope"], largest_rank=0, starts=1, lanczos_steps=2)
    watch(0)
    sound = len(watch.readings)
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    for parts in (["blocks"], ["head"], ["operators"], ["slope"]):
        with pytest.raises(Diverged, match="not finite"):
            measure(network, IMAGES, LABELS, cross_entropy, parts=parts)  # type: ignore[arg-type]
    for step in range(1, 6):
        watch(step)
    assert len(watch.readings) == sound > 0


def test_steepness_at_the_infimum_is_left_out() -> None:
    """At the infimum the height to divide by is zero, so there is no steepness."""
    rows = measure(network_of(), IMAGES, LABELS, lambda logits, labels: logits.sum() * 0, parts=["slope"], modes=["eval"])
    assert {row.quantity: row.value for row in rows} == {"loss": 0.0, "gradient_norm": 0.0}


def test_names_are_unique_and_tell_the_step() -> None:
    """Each reading has one name with its quantity, mode, step and place, for a table of names and values."""
    assert Reading(5, "train", "block", "layer.2", "mean", 1.0).name == "block.mean.train@5/layer.2"
    assert Reading(0, "", "operator", "0", "max", 1.0).name == "operator.max@0/0"


def test_what_cannot_be_measured_is_refused() -> None:
    """An unknown part, a slope without a loss and a block that is not called are rejected."""
    network = network_of()
    with pytest.raises(InputError, match="allowed are blocks, head, operators, slope"):
        measure(network, IMAGES, parts=["spectra"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="give labels and loss"):
        measure(network, IMAGES)
    with pytest.raises(InputError, match=r"blocks \['1.activation'\]: not called exactly once"):
        measure(network, IMAGES, parts=["blocks"], blocks=["2", "4.shortcut.fixed", "1.activation"])


def test_a_measurement_that_fails_ends_the_watch_alone() -> None:
    """A failing measurement does not interrupt the training: the reason is kept, and the watch stops measuring."""

    def no_loss(logits: Tensor, labels: Tensor) -> Tensor:
        raise RuntimeError("no such loss")

    watch = Watch(network_of(), IMAGES, LABELS, no_loss, last=4, largest_rank=0, probes=1, starts=1, lanczos_steps=2)
    for step in range(5):
        watch(step)
    assert watch.reason == "RuntimeError at step 0: no such loss"
    assert watch.readings == []
