"""Numeric features of an architecture from its row and its string, as possible drivers of a rank shift.

There are three sources, none of which builds a network: `parameters` and `forward_flops` of the trials; the number of occurrences of each
word in the string (`words: nor_conv_3x3`), for search spaces whose strings name operations; and the paths of the graph, for cells written
node by node as in NAS-Bench-201 (`|op~from|op~from|+|op~from|`).
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd

FEWEST_DIFFERENT = 3
"""Number of architectures whose value must differ from the most common one; rarer features identify individual architectures."""
_WORD = re.compile(r"(?<![A-Za-z0-9_])[A-Za-z][A-Za-z0-9_]*")
# One group of edges for each node after the input, as in NAS-Bench-201.
_CELL = re.compile(r"\|([^|~]+~\d+\|)+(\+\|([^|~]+~\d+\|)+)*")
_EDGE = re.compile(r"([^|~+]+)~(\d+)")
_NOTHING = {"none", "zero", "zeroize"}
_IDENTITY = ("skip", "identity")


def architecture_features(trials: pd.DataFrame, more: pd.DataFrame | None = None) -> pd.DataFrame:
    """Features of all architectures of a table of trials.

    Args:
        trials: the table of trials; `parameters` and `forward_flops` are left out if they are missing.
        more: further features, indexed by architecture, for example from a search space's function `features`.

    Returns:
        One row per architecture, in the table's order, indexed by it. Columns: those of `more`; those of `cell_features` if every string is
        a cell; the number of occurrences `words: WORD` of each word; `parameters`, `forward_flops`. A feature that differs from its most
        common value in fewer than 3 architectures is left out. NaN if a row has no value.
    """
    # Group by number below, because comparing a million long strings is much slower.
    place, found = pd.factorize(trials["architecture"])
    names = [str(name) for name in found]
    tables = [] if more is None else [more.reindex(names).astype(float)]
    tables.append(_told_by_names(tuple(names)))
    for column in ("parameters", "forward_flops"):
        if column in trials:
            values = pd.to_numeric(trials[column]).astype("Float64")
            medians = values.groupby(place).median().astype(float)  # by number: in the order of the names
            tables.append(medians.set_axis(pd.Index(names)).to_frame(column))
    table = pd.concat(tables, axis=1)
    table.index.name = "architecture"
    table = table.loc[:, ~table.columns.duplicated()]
    return table[[column for column in table if _varies(table[column])]]


@functools.lru_cache(maxsize=2)
def _told_by_names(names: tuple[str, ...]) -> pd.DataFrame:
    """Features from the strings alone. Cached, because a report needs them for every pair of algorithms; must not be modified.

    Words that occur in fewer than 3 architectures are left out; if every architecture had its own word, there would be a column per row.
    """
    words = word_counts(names, FEWEST_DIFFERENT)
    if not names or not all(_is_cell(name) for name in names):
        return words
    return pd.concat([pd.DataFrame([cell_features(name) for name in names], index=list(names)), words], axis=1)


def _is_cell(architecture: str) -> bool:
    """Whether a string is a cell written node by node, with every edge from an earlier node."""
    if not _CELL.fullmatch(architecture):
        return False
    return all(int(start) < end for end, node in enumerate(architecture.split("+"), 1) for _, start in _EDGE.findall(node))


def _varies(values: pd.Series[float]) -> bool:
    counts = values.value_counts()
    return bool(counts.sum() - counts.max() >= FEWEST_DIFFERENT) if len(counts) else False


def word_counts(architectures: Iterable[str], fewest: int = 1) -> pd.DataFrame:
    """Count the words in each string; a word consists of letters, digits and underscores and begins with a letter.

    Args:
        architectures: the strings.
        fewest: smallest number of strings that contain a word; rarer words are left out.

    >>> word_counts(["conv_3x3-skip~0", "conv_3x3-conv_3x3-16"]).to_dict("list")
    {'words: conv_3x3': [1, 2], 'words: skip': [1, 0]}
    """
    names = list(architectures)
    counts = [Counter(_WORD.findall(name)) for name in names]
    held = Counter(word for count in counts for word in count)
    words = sorted(word for word, strings in held.items() if strings >= fewest)
    return pd.DataFrame({f"words: {word}": [count[word] for count in counts] for word in words}, index=names, dtype=int)


def cell_features(architecture: str) -> dict[str, int]:
    """Paths of a cell written node by node, with edges `operation~from`; node 0 is the input, the last node the output.

    Edges with the operation none, zero or zeroize are ignored. A convolution has `conv` in its name, an identity `skip` or `identity`.

    Args:
        architecture: for example `|nor_conv_3x3~0|+|none~0|skip_connect~1|`.

    Returns:
        `depth` (most convolutions on any path from input to output), `shallowest` (fewest), `paths` (from input to output),
        `skip_paths` (those of identities alone), `live_edges` (on some path). All 0 where the input does not reach the output.

    >>> cell_features("|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|")
    {'depth': 2, 'shallowest': 0, 'paths': 2, 'skip_paths': 1, 'live_edges': 3}
    """
    edges = [
        (int(start), end, operation)
        for end, node in enumerate(architecture.split("+"), start=1)
        for operation, start in _EDGE.findall(node)
        if operation not in _NOTHING
    ]
    last = architecture.count("+") + 1
    nodes = np.zeros((4, last + 1))  # from the input: most and fewest convolutions, paths, paths of identities
    nodes[:, 1:] = np.array([[-np.inf], [np.inf], [0], [0]])
    nodes[2:, 0] = 1
    for start, end, operation in sorted(edges, key=lambda edge: edge[1]):
        deep, shallow, paths, skips = nodes[:, start]
        # Nodes are processed in order, so all paths to `start` are counted before they are extended.
        step = int("conv" in operation)
        identity = any(word in operation for word in _IDENTITY)
        nodes[0, end], nodes[1, end] = max(nodes[0, end], deep + step), min(nodes[1, end], shallow + step)
        nodes[2:, end] += paths, skips * identity
    deep, shallow, paths, skips = nodes[:, last]
    if paths == 0:
        return {"depth": 0, "shallowest": 0, "paths": 0, "skip_paths": 0, "live_edges": 0}
    reaching = {last}
    # Backwards from the output, so it is known whether `end` reaches it before its edges are processed.
    for start, end, _ in sorted(edges, key=lambda edge: -edge[1]):
        reaching |= {start} if end in reaching else set()
    # An edge is live if its start is reachable from the input and the output is reachable from its end.
    live = sum(nodes[2, start] > 0 and end in reaching for start, end, _ in edges)
    return {"depth": int(deep), "shallowest": int(shallow), "paths": int(paths), "skip_paths": int(skips), "live_edges": live}
