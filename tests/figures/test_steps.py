"""What optimizers say of their steps, drawn: also where they say nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.lines import Line2D

from agd_bench.analysis import layer_steps, step_summaries
from agd_bench.figures import automatic_rates, layer_updates

GROUP = {"search_space": "s", "dataset": "d", "profile": "matrix-only"}


def diagnosed(epochs: int, layers: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two trials of AGD whose layers 0, 1, … move ever less, and what they said."""
    trials = pd.DataFrame({"trial_id": ["x", "y"], "purpose": "final", "algorithm": "agd", "architecture": ["a", "b"], "seed": 0, **GROUP})
    rows = [
        (trial, epoch, name, value)
        for trial in ("x", "y")
        for epoch in range(1, epochs + 1)
        for name, value in [("eta/mean", 0.2), ("gradient_summary/mean", 0.3)]
        + [(f"relative_update/{layer}", 0.01 / (1 + layer)) for layer in range(layers)]
    ]
    return trials, pd.DataFrame(rows, columns=["trial_id", "epoch", "name", "value"])


def first_of(line: Line2D) -> float:
    """Height of a line's first point."""
    return float(np.asarray(line.get_ydata())[0])


@pytest.mark.parametrize(("epochs", "layers"), [(1, 1), (3, 12)])
def test_each_layer_has_its_line(epochs: int, layers: int) -> None:
    """As many lines as layers, in the order of their numbers, of one trial; and both rates over both trials."""
    trials, said = diagnosed(epochs, layers)
    steps = layer_steps(trials, said)
    picture = layer_updates(steps, "agd")
    lines = picture.figure.axes[0].lines
    assert [first_of(line) for line in lines] == [0.01 / (1 + layer) for layer in range(layers)]
    assert f"each of {layers} layers of a, seed 0" in picture.caption
    assert "mathdefault" not in picture.svg()
    rates = automatic_rates(step_summaries(trials, said))
    assert [first_of(axes.lines[0]) for axes in rates.figure.axes] == [0.2, 0.3]
    assert "median over 2 final trials" in rates.caption


def test_nothing_said_is_told() -> None:
    """Without rows the figures say so, and the tables keep their columns."""
    trials, said = diagnosed(1, 1)
    summaries, steps = step_summaries(trials, said[:0]), layer_steps(trials, said[:0])
    assert {"name", "median"} <= set(summaries.columns)
    assert {"layer", "value"} <= set(steps.columns)
    assert "No optimizer" in automatic_rates(summaries).caption
    assert "does not say" in layer_updates(steps, "agd").caption


def test_the_network_with_the_most_layers_is_the_example() -> None:
    """Of the final trials of an algorithm, whichever comes first; of equally deep ones the first."""
    trials, said = diagnosed(1, 2)
    deeper = pd.DataFrame([("y", 1, "relative_update/2", 0.5)], columns=["trial_id", "epoch", "name", "value"])
    assert set(layer_steps(trials, said)["architecture"]) == {"a"}
    assert set(layer_steps(trials, pd.concat([said, deeper], ignore_index=True))["architecture"]) == {"b"}
