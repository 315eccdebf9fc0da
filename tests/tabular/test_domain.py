"""The search domain: architectures split into words that can be varied."""

from __future__ import annotations

import numpy as np

from agd_bench.tabular import Domain
from tests.tabular.synthetic import ARCHITECTURES


def test_words_of_a_whole_space() -> None:
    """Changing any one word gives a neighbour; choices and architectures convert both ways."""
    domain = Domain(ARCHITECTURES)
    assert domain.complete
    assert domain.variables == (("none", "skip", "conv"),) * 3
    assert set(domain.neighbours("none-skip-conv")) == {
        "skip-skip-conv", "conv-skip-conv", "none-none-conv", "none-conv-conv", "none-skip-none", "none-skip-skip"
    }  # fmt: skip
    assert all(domain.architecture(domain.choices(name)) == name for name in ARCHITECTURES)
    rng = np.random.default_rng(0)
    assert {domain.mutate("none-skip-conv", rng) for _ in range(200)} == set(domain.neighbours("none-skip-conv"))
    assert {domain.sample(rng) for _ in range(500)} == set(ARCHITECTURES)


def test_a_sample_of_a_space_has_the_nearest_as_neighbours() -> None:
    """Strings of different lengths are padded; every architecture has a neighbour."""
    domain = Domain(["8:8", "8:16", "16:32:32", "64:64:64:64"])
    assert not domain.complete
    assert domain.neighbours("8:8") == ("8:16",)
    assert domain.neighbours("16:32:32") == ("8:8", "8:16")
    assert domain.architecture([0, 0, 1, 1]) == "8:8"
    assert Domain(["8:8"]).mutate("8:8", np.random.default_rng(0)) == "8:8"


def test_a_search_space_may_state_neighbours() -> None:
    """Stated neighbours missing from the table are dropped; if none are stated, words decide."""
    domain = Domain(("a-a", "a-b", "b-b"), neighbours=lambda name: ["b-b", "z-z"] if name == "a-a" else [])
    assert domain.neighbours("a-a") == ("b-b",)
    assert domain.neighbours("b-b") == ("a-b",)
