"""Information available to a search method: the architectures as words to vary, their neighbours, budgets, zero-cost scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

WORD = re.compile(r"[A-Za-z]\w*|\d+")
"""A word of an architecture's string: a name such as `conv_3x3`, or a number."""


class Domain:
    """The architectures that a search can ask for.

    Each string is split into words; a position at which the words differ is a variable, and its words are the variable's choices. Strings
    with fewer words than others are padded with empty ones.

    Args:
        architectures: their strings.
        epochs: budgets that can be asked for, ascending.
        neighbours: the search space's own function; default: architectures that differ in one variable, or if there are none, in as few
            variables as possible.
        scores: zero-cost scores by name and architecture; larger is better.

    Attributes:
        architectures: as given.
        epochs: as given.
        scores: as given.
        variables: the choices of each variable.
        position: number of each architecture.
        complete: whether every combination of choices is an architecture.
    """

    def __init__(
        self,
        architectures: Sequence[str],
        epochs: Sequence[int] = (),
        neighbours: Callable[[str], Iterable[str]] | None = None,
        scores: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        self.architectures, self.epochs, self.scores = tuple(architectures), tuple(epochs), dict(scores or {})
        self._stated = neighbours
        words = [WORD.findall(name) for name in self.architectures]
        longest = max(map(len, words))
        columns = list(zip(*([*each, *[""] * (longest - len(each))] for each in words), strict=True))
        varying = [(column, tuple(dict.fromkeys(column))) for column in columns if len(set(column)) > 1]
        self.variables = tuple(choices for _, choices in varying)
        numbered = [[choices.index(word) for word in column] for column, choices in varying]
        self._choices = [tuple(row) for row in zip(*numbered, strict=True)] or [()]
        self._codes = np.array(self._choices, dtype=np.int16)  # (N, variables)
        self.position = {name: number for number, name in enumerate(self.architectures)}
        self._of_choices = dict(zip(self._choices, self.architectures, strict=True))
        self._near: dict[str, tuple[str, ...]] = {}
        self.complete = len(self._of_choices) == np.prod([len(choices) for choices in self.variables], dtype=np.float64)

    def sample(self, rng: np.random.Generator) -> str:
        """Return a uniformly random architecture."""
        return self.architectures[rng.integers(len(self.architectures))]

    def choices(self, architecture: str) -> tuple[int, ...]:
        """Return the number of the choice of each variable."""
        return self._choices[self.position[architecture]]

    def architecture(self, choices: Sequence[int]) -> str:
        """Return the architecture with these choices, or if there is none, the first of those that differ in fewest variables."""
        found = self._of_choices.get(tuple(choices))
        return found or self.architectures[int((self._codes != np.array(choices)).sum(axis=1).argmin())]

    def neighbours(self, architecture: str) -> tuple[str, ...]:
        """Return the architectures next to one; never empty if there is more than one."""
        if architecture not in self._near:
            self._near[architecture] = self._stated_near(architecture) or self._single_changes(architecture) or self._nearest(architecture)
        return self._near[architecture]

    def mutate(self, architecture: str, rng: np.random.Generator) -> str:
        """Return a random neighbour."""
        near = self.neighbours(architecture)
        return near[rng.integers(len(near))] if near else architecture

    def _stated_near(self, architecture: str) -> tuple[str, ...]:
        stated = self._stated(architecture) if self._stated else ()
        return tuple(name for name in stated if name in self.position and name != architecture)

    def _single_changes(self, architecture: str) -> tuple[str, ...]:
        own = self.choices(architecture)
        changed = (
            (*own[:place], choice, *own[place + 1 :])
            for place, choices in enumerate(self.variables)
            for choice in range(len(choices))
            if choice != own[place]
        )
        return tuple(self._of_choices[each] for each in changed if each in self._of_choices)

    def _nearest(self, architecture: str) -> tuple[str, ...]:
        apart = (self._codes != self._codes[self.position[architecture]]).sum(axis=1)
        apart[self.position[architecture]] = len(self.variables) + 1
        near = (self.architectures[number] for number in np.flatnonzero(apart == apart.min()))
        return tuple(name for name in near if name != architecture)
