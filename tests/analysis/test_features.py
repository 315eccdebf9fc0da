"""Features of architectures, computed from their strings and trials."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agd_bench.analysis import architecture_features
from agd_bench.analysis.features import cell_features, word_counts
from search_spaces import nas_bench_201
from tests.analysis.synthetic import simulate_trials

Edge = tuple[int, int, str]


def walks(edges: list[Edge], node: int = 0) -> Iterator[list[Edge]]:
    """Yield every path from a node to the output (node 3) of a NAS-Bench-201 cell."""
    if node == 3:
        yield []
    for edge in edges:
        if edge[0] == node and edge[2] != "none":
            for rest in walks(edges, edge[1]):
                yield [edge, *rest]


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_paths_are_those_that_walking_finds(seed: int) -> None:
    """The features of a NAS-Bench-201 cell equal those computed by enumerating its paths."""
    architecture = nas_bench_201.sample(np.random.default_rng(seed))
    operations = nas_bench_201.operations_of(architecture)
    edges = [(start, end, name) for (start, end), name in zip(nas_bench_201.EDGES, operations, strict=True)]
    found = list(walks(edges))
    depths = [sum("conv" in name for _, _, name in walk) for walk in found]
    expected = {"depth": max(depths, default=0), "shallowest": min(depths, default=0), "paths": len(found)}
    expected["skip_paths"] = sum(all(name == "skip_connect" for _, _, name in walk) for walk in found)
    expected["live_edges"] = len({edge for walk in found for edge in walk})
    assert cell_features(architecture) == expected
    assert (len(found) > 0) == nas_bench_201.has_path(architecture)


def test_words_are_operations_of_any_string() -> None:
    """Words start with a letter; numbers, and letters directly after a number, do not count."""
    table = word_counts(["16-32s-64", "conv(3,mb_conv)2|conv", "_x 3x3"])
    assert table.columns.tolist() == ["words: conv", "words: mb_conv"]
    assert table["words: conv"].tolist() == [0, 2, 0]


def test_features_come_from_rows_strings_and_tables() -> None:
    """The table combines parameters, words, paths and given columns; constant and rare features are left out."""
    rng = np.random.default_rng(0)
    names = [nas_bench_201.sample(rng) for _ in range(40)]
    trials = pd.DataFrame({"architecture": [name for name in names for _ in range(2)], "parameters": range(80)})
    trials["forward_flops"] = pd.array([None, 7] * 40, dtype="Int64")
    more = pd.DataFrame({"width": range(40), "constant": 1.0, "rare": [1.0, 1.0] + [0.0] * 38}, index=names)
    table = architecture_features(trials, more.iloc[::-1])
    assert table.index.tolist() == list(dict.fromkeys(names))
    assert table.columns.tolist() == ["width", "depth", "shallowest", "paths", "skip_paths", "live_edges"] + [
        f"words: {word}" for word in sorted(nas_bench_201.OPERATIONS)
    ] + ["parameters"]
    assert table.loc[names[3], "width"] == 3
    assert table.loc[names[3], "parameters"] == pytest.approx(6.5)


def test_strings_that_are_no_cells_have_words_alone() -> None:
    """If one string is not a cell, path features are left out; without parameters in the table, so are they."""
    trials = simulate_trials(12, 1)
    assert "words: skip" not in architecture_features(trials)  # which occurs once in every string
    mixed = pd.DataFrame({"architecture": ["|conv~0|", "|conv~0|+|skip~0|conv~1|", *("conv-" * count for count in range(1, 9))]})
    assert architecture_features(mixed).columns.tolist() == ["words: conv"]


def test_names_of_their_own_are_no_features() -> None:
    """Words that occur in a single architecture are not counted; otherwise 15,625 names would give as many columns."""
    names = [f"net{number}-conv-{'skip-' * (number % 3)}end" for number in range(600)]
    assert word_counts(names, fewest=3).columns.tolist() == ["words: conv", "words: end", "words: skip"]
    table = architecture_features(pd.DataFrame({"architecture": names}))
    assert table.to_dict("list") == {"words: skip": [number % 3 for number in range(600)]}
