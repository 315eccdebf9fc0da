"""Check a search method on a small table with a known best architecture."""

from __future__ import annotations

import itertools
from types import ModuleType

from agd_bench.searching.simulation import Trace, World, simulate
from agd_bench.tabular import Domain
from agd_bench.testing._checking import Check, cites, demand, misspelt, run

WORDS, PLACES = ("none", "skip", "conv_1x1", "conv_3x3"), 4
EPOCHS = (2, 6, 18)
TRAININGS = 60
"""Trainings with the most epochs that the budget pays for: about a quarter of the 256 architectures."""


def check_searcher(module: ModuleType) -> list[Check]:
    """Check that a search method follows its protocol."""
    method = _Method(module)
    checks = run({"the docstring cites a source": method.source, "a search ends within its budget": method.search})
    if not checks[-1].passed:
        return checks  # the other checks need a search
    return checks + run(
        {
            "a search is reproducible": method.repeats,
            "a search works on a single architecture": method.single,
            "a search continues if all trainings fail": method.failures,
            "facts are not misspelt": lambda: misspelt("searchers", module),
        }
    )


def kit_domain() -> Domain:
    """256 architectures: four operations on each of four edges; scored by the number of their convolutions."""
    names = ["|".join(words) for words in itertools.product(WORDS, repeat=PLACES)]
    count = {name: float(name.count("conv")) for name in names}
    return Domain(names, EPOCHS, scores={"parameters": count, "synflow": count})


def kit_world(domain: Domain, accuracy: float | None = None) -> World:
    """Accuracies that rise with the number of each word, less with few epochs; a training costs one second per epoch."""
    total = [sum(WORDS.index(word) for word in name.split("|")) / 12 for name in domain.architectures]
    seen = {epochs: [[0.1 + 0.8 * each * epochs / 18 if accuracy is None else accuracy] for each in total] for epochs in EPOCHS}
    return World(seen, {e: [[float(e)]] * len(total) for e in EPOCHS}, {e: [-1] * len(total) for e in EPOCHS}, {e: [] for e in EPOCHS})


class _Method:
    """The checks of a search method."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.domain = module, kit_domain()

    def run(self, seed: int = 0, accuracy: float | None = None) -> Trace:
        given = kit_world(self.domain, accuracy)
        return simulate(self.module, self.domain, given, TRAININGS * EPOCHS[-1], seed)

    def source(self) -> None:
        """The module docstring says where the method comes from, with a year: a paper, or its author."""
        cites(self.module)

    def search(self) -> str:
        """On 256 architectures with budgets of 2, 6 and 18 epochs, the method asks only for existing architectures and epochs, until the
        budget is spent or ask() returns None.
        """
        trace = self.run()
        return f"{trace.queries} trainings in {trace.spent_seconds:.0f} of {TRAININGS * EPOCHS[-1]} simulated seconds"

    def repeats(self) -> None:
        """Two searches with the same seed ask for the same trainings, even with another search in between, because methods are compared run
        by run."""
        first = self.run(7)
        self.run(2)
        demand(
            self.run(7) == first,
            "two searches with the same seed differ; draw random numbers from `rng` only, and keep everything in what start() returns",
        )

    def single(self) -> None:
        """A table may have one architecture; the method then asks for it, or stops."""
        name = self.domain.architectures[0]
        one = Domain([name], EPOCHS, scores={score: {name: 0.0} for score in self.domain.scores})
        simulate(self.module, one, kit_world(one), 10 * EPOCHS[-1], 0)

    def failures(self) -> None:
        """Diverged trainings are reported as accuracy 0, and the method must continue."""
        self.run(accuracy=0.0)
