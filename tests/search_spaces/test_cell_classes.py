"""Equivalence of NAS-Bench-201 cells: class counts, the functions that cells compute, and built networks."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

import pytest
import torch
from torch import Tensor, nn

from agd_bench.training.profiles import apply_profile
from search_spaces import _cell_classes as classes
from search_spaces import nas_bench_201 as space
from search_spaces._cell_graphs import CELL, WEIGHTED

EVERY = [space.operations_of(architecture) for architecture in space.architectures()]
PRIME = (1 << 31) - 1
OPERATIONS = {"0": "none", "s": "skip_connect", "1": "nor_conv_1x1", "3": "nor_conv_3x3", "p": "avg_pool_3x3"}


def cell(short: str) -> tuple[str, ...]:
    """Return the operations given by their letters, in string order: edges into nodes 1, 2 and 3."""
    return tuple(OPERATIONS[letter] for letter in short.replace(" ", ""))


def name(operations: Sequence[str]) -> str:
    """Return the architecture's string."""
    return "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*operations)


# ------------------------------------------------------------------------------- what a cell computes, by brute force


class Numbers:
    """Evaluates cells on random integers modulo a prime. Averages scale each of three coordinates, so they are linear; blocks are
    polynomials without a constant term that mix the coordinates, and differ between kernel sizes and weights."""

    def __init__(self) -> None:
        rng = random.Random(0)
        self.scales = [rng.randrange(PRIME) for _ in range(3)]
        self.input = tuple(rng.randrange(PRIME) for _ in range(3))
        self.weights = {size: [rng.randrange(PRIME) for _ in range(6)] for size in (1, 3)}

    def block(self, weight: int, values: tuple[int, ...]) -> tuple[int, ...]:
        mixed = sum((weight + place) ** 3 * value for place, value in enumerate(values)) % PRIME
        return tuple((weight**2 * value**3 + (weight + 7 * place) * mixed * value + mixed**5) % PRIME for place, value in enumerate(values))

    def output(self, operations: Sequence[str], weights: dict[int, int]) -> tuple[int, ...]:
        """Return the cell's output, given the weights of its blocks by edge."""
        nodes: list[tuple[int, ...]] = [self.input, (0, 0, 0), (0, 0, 0), (0, 0, 0)]
        for edge, ((start, end), operation) in enumerate(zip(CELL, operations, strict=True)):
            brought = nodes[start]
            if operation == "none":
                continue
            if operation == "avg_pool_3x3":
                brought = tuple(scale * value % PRIME for scale, value in zip(self.scales, brought, strict=True))
            elif operation in WEIGHTED:
                brought = self.block(weights.get(edge, 1), brought)
            nodes[end] = tuple((one + other) % PRIME for one, other in zip(nodes[end], brought, strict=True))
        return nodes[-1]

    def smallest(self, operations: Sequence[str]) -> tuple[object, ...]:
        """Return the smallest output over all assignments of weights to the blocks that the output depends on."""
        usual = self.output(operations, {})
        weighted = [edge for edge, operation in enumerate(operations) if operation in WEIGHTED]
        blocks = [edge for edge in weighted if self.output(operations, {edge: 2}) != usual]
        sizes = {size: [edge for edge in blocks if WEIGHTED[operations[edge]] == size] for size in (1, 3)}
        outputs = []
        for orders in itertools.product(*(itertools.permutations(edges) for edges in sizes.values())):
            given = zip(self.weights.values(), orders, strict=True)
            outputs.append(self.output(operations, {edge: one[place] for one, order in given for place, edge in enumerate(order)}))
        return len(sizes[1]), len(sizes[3]), min(outputs)


def partition(keys: Iterable[object]) -> set[frozenset[int]]:
    """Return the indices grouped by equal keys."""
    together = defaultdict(set)
    for number, key in enumerate(keys):
        together[key].add(number)
    return {frozenset(numbers) for numbers in together.values()}


def test_forms_are_what_cells_compute() -> None:
    """Two cells have equal forms if and only if some pairing of their blocks makes them equal functions: 5,044 classes."""
    numbers = Numbers()
    by_form = partition(classes.form(operations)[0] for operations in EVERY)
    assert len(by_form) == 5_044
    assert by_form == partition(numbers.smallest(operations) for operations in EVERY)


def test_the_published_rule_finds_the_published_classes() -> None:
    """The published rule gives 6,466 classes, with the same first members as NATS-Bench's table."""
    first: dict[str, int] = {}
    numbers = [first.setdefault(classes.published_text(operations), number) for number, operations in enumerate(EVERY)]
    assert len(first) == 6_466
    digest = hashlib.sha256(",".join(map(str, numbers)).encode()).hexdigest()
    assert digest == "1e380d8b2c717becd4ea6731d474499027e1e101f6b0c247b10437aede927fb8"


def test_an_order_names_the_blocks_that_matter() -> None:
    """The order lists each live convolution once, smaller kernels first, and removing dead edges does not change the form."""
    for operations in EVERY[::50]:
        form, order = classes.form(operations)
        live = classes.live_edges(operations)
        assert sorted(order) == [edge for edge in sorted(live) if operations[edge] in WEIGHTED]
        assert form.kernels == tuple(WEIGHTED[operations[edge]] for edge in order) == tuple(sorted(form.kernels))
        assert classes.form([name if edge in live else "none" for edge, name in enumerate(operations)])[0] == form


ALIKE = [
    ("dead ends and zeros", "3 00 s00", "0 03 s31", "s 00 s00"),
    ("a sum in another order", "s s0 3s1", "s s0 13s", "s 0s 3s1"),
    ("the mean of a sum", "3 ss 00p", "3 00 pp0"),
    ("a skip of a skip", "s 0s 003", "0 s0 003", "0 00 300"),
    ("one pooled input, twice", "p p0 031", "p p0 013"),
    ("blocks by other names", "3 10 0ss", "1 30 0ss", "3 00 1s0"),
]
DIFFERENT = [
    ("one block used twice, two blocks", "3 0s 0ss", "3 30 0ss"),
    ("twice the input, once", "s ss 003", "0 s0 003"),
    ("an average of an average", "p 0p 00s", "p 00 0s0"),
    ("kernel sizes", "3 00 0s0", "1 00 0s0"),
    ("a block of equal inputs, of each other", "3 03 00s", "3 30 0ss"),
]


@pytest.mark.parametrize("cells", [given[1:] for given in ALIKE], ids=[given[0] for given in ALIKE])
def test_what_is_alike(cells: tuple[str, ...]) -> None:
    """Different ways to write the same cell have the same form."""
    assert len({classes.form(cell(short))[0] for short in cells}) == 1


@pytest.mark.parametrize("cells", [given[1:] for given in DIFFERENT], ids=[given[0] for given in DIFFERENT])
def test_what_is_different(cells: tuple[str, ...]) -> None:
    """Cells that a careless rule would merge have different forms."""
    assert len({classes.form(cell(short))[0] for short in cells}) == 2


# ------------------------------------------------------------------------------------------------------ built networks


def built(architecture: str, dead_edges: str = "dropped", cells: int = 1) -> nn.Module:
    """Return a small network in double precision, without scales and shifts, with weights drawn from a fixed seed."""
    torch.manual_seed(0)
    network = space.build(architecture, 3, 5, channels=2, cells=cells, dead_edges=dead_edges)
    return apply_profile(network, "matrix-only").double()


def step(network: nn.Module) -> tuple[Tensor, list[Tensor | None]]:
    """Return the logits of fixed images and the gradients of their square loss."""
    images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    targets = torch.randn(6, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    logits: Tensor = network(images)
    torch.autograd.backward((logits - targets).square().mean())
    return logits.detach(), [parameter.grad for parameter in network.parameters()]


def sample_classes(count: int) -> list[list[tuple[str, ...]]]:
    """Return classes of two or more architectures with a path, with at most three members each."""
    together = defaultdict(list)
    for operations in EVERY:
        together[classes.form(operations)[0]].append(operations)
    several = [members for members in together.values() if len(members) > 1 and space.has_path(name(members[0]))]
    return [random.Random(0).sample(members, min(3, len(members))) for members in several[:: len(several) // count]][:count]


def test_equal_cells_build_equal_networks() -> None:
    """With the same seed, equal cells have the same logits and gradients, block by block, without pairing blocks by hand."""
    for members in sample_classes(16):
        first, gradients = step(built(name(members[0])))
        for other in members[1:]:
            logits, others = step(built(name(other)))
            torch.testing.assert_close(logits, first, rtol=1e-9, atol=1e-9)
            assert len(others) == len(gradients)
            for one, two in zip(gradients, others, strict=True):
                assert one is not None
                torch.testing.assert_close(two, one, rtol=1e-7, atol=1e-9)


def test_cells_that_a_careless_rule_takes_for_one_are_different_networks() -> None:
    """No assignment of weights to blocks makes the networks compute the same."""
    compared = 0
    for _, *pair in DIFFERENT:
        here, there = (built(name(cell(short))) for short in pair)
        mine, theirs = list(here.parameters()), list(there.parameters())
        if [weight.shape for weight in mine] != [weight.shape for weight in theirs]:
            continue
        expected, _ = step(here)
        blocks = [index for index, (key, _) in enumerate(there.named_parameters()) if "edges" in key]
        for order in itertools.permutations(blocks):
            given = dict(zip(blocks, order, strict=True))
            sources = [mine[given.get(index, index)] for index in range(len(mine))]
            if all(source.shape == weight.shape for source, weight in zip(sources, theirs, strict=True)):
                for source, weight in zip(sources, theirs, strict=True):
                    weight.data.copy_(source)
                assert not torch.allclose(step(there)[0], expected, rtol=1e-6)
                compared += 1
    assert compared


WITH_DEAD = ["3 00 s00", "0 03 s31", "1 3s 0p0", "3 33 330", "0 31 3ps", "0 01 1s3", "s 30 0s0"]


@pytest.mark.parametrize("short", WITH_DEAD)
def test_dead_edges_change_nothing(short: str) -> None:
    """Dropping dead edges leaves logits and gradients unchanged; the dropped weights had zero gradients or none."""
    architecture = name(cell(short))
    kept, dropped = built(architecture, "kept"), built(architecture)
    live = {parameter for parameter, _ in dropped.named_parameters()}
    dropped.load_state_dict({key: value for key, value in kept.state_dict().items() if key in dropped.state_dict()})
    (one, _), (other, _) = step(kept), step(dropped)
    assert torch.equal(one, other)
    gradients = dict(dropped.named_parameters())
    for key, parameter in kept.named_parameters():
        if key in live:
            assert gradients[key].grad is not None
            assert torch.equal(torch.as_tensor(parameter.grad), torch.as_tensor(gradients[key].grad))
        else:
            assert parameter.grad is None or not parameter.grad.any()
    assert len(live) < len(dict(kept.named_parameters()))


@pytest.mark.parametrize("short", WITH_DEAD[:3])
def test_networks_without_dead_edges_train_alike(short: str) -> None:
    """After several steps with momentum and weight decay, live weights are bitwise equal with and without dead edges."""
    architecture = name(cell(short))
    kept, dropped = built(architecture, "kept", cells=2), built(architecture, cells=2)
    dropped.load_state_dict({key: value for key, value in kept.state_dict().items() if key in dropped.state_dict()})
    before = {key: weights.clone() for key, weights in dropped.state_dict().items()}
    for network in (kept, dropped):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
        for _ in range(4):
            optimizer.zero_grad()
            step(network)
            optimizer.step()
    after = kept.state_dict()
    for key, weights in dropped.state_dict().items():
        assert torch.equal(weights, after[key])
        assert not torch.equal(weights, before[key])
