"""A small tabular benchmark with known numbers."""

from __future__ import annotations

import itertools

import numpy as np

from agd_bench.tabular import Cells, Key, Table

WORDS = ("none", "skip", "conv")
ARCHITECTURES = tuple(f"{first}-{second}-{third}" for first, second, third in itertools.product(WORDS, repeat=3))


def quality(architecture: str) -> float:
    """Return a value in [0, 1] that rises with the number of convolutions, most for the last place."""
    return sum((place + 1) * WORDS.index(word) for place, word in enumerate(architecture.split("-"))) / 12


def synthetic_table(noise: float = 0.01, seeds: int = 3, reversed_at: str = "") -> Table:
    """Return a table of 27 architectures, algorithms `plain` and `tuned` (one study for all), 2 and 8 epochs of one second each.

    Args:
        noise: Standard deviation over seeds at 8 epochs; four times as large at 2 epochs.
        seeds: Number of seeds.
        reversed_at: Algorithm whose accuracies decrease with quality.
    """
    rng = np.random.default_rng(0)
    true = np.array([quality(name) for name in ARCHITECTURES])
    cells = {}
    for algorithm, epochs in itertools.product(("plain", "tuned"), (2, 8)):
        level = 0.2 + 0.6 * (1 - true if algorithm == reversed_at else true) * epochs / 8
        val, test = (np.clip(level[:, None] + noise * 8 / epochs * rng.standard_normal((len(true), seeds)), 0, 1) for _ in range(2))
        studies = np.full(len(true), 0 if algorithm == "tuned" else -1)
        seconds = np.full(val.shape, float(epochs))
        cells[Key("digits", algorithm, epochs)] = Cells(val, test, 1 - val, seconds, 10 * seconds, studies, np.array([100.0]))
    parameters = {"digits": 1000 * (1 + true)}
    return Table("synthetic", "words", ARCHITECTURES, tuple(range(seeds)), cells, "plain", parameters, {"digits": {"synflow": true}})
