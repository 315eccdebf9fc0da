"""Figures of the optimizers' steps, decreases and updates per layer, also where there is nothing to draw."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.lines import Line2D

from agd_bench.analysis import layer_steps, step_summaries
from agd_bench.figures import automatic_rates, decreases_picture, layer_updates
from agd_bench.figures.training_curves import updates_per_layer

GROUP = {"search_space": "s", "dataset": "d", "profile": "matrix-only"}


def diagnosed(epochs: int, layers: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two AGD trials, whose layers move less with depth, and their diagnostics."""
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
    """Return the height of a line's first point."""
    return float(np.asarray(line.get_ydata())[0])


@pytest.mark.parametrize(("epochs", "layers"), [(1, 1), (3, 12)])
def test_each_layer_has_its_line(epochs: int, layers: int) -> None:
    """One trial's layers each have a line, in numeric order; both rates are medians over both trials."""
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
    """Without diagnostics the captions say so, and the tables keep their columns."""
    trials, said = diagnosed(1, 1)
    summaries, steps = step_summaries(trials, said[:0]), layer_steps(trials, said[:0])
    assert {"name", "median"} <= set(summaries.columns)
    assert {"layer", "value"} <= set(steps.columns)
    assert "No optimizer" in automatic_rates(summaries).caption
    assert "agd does not record" in layer_updates(steps, "agd").caption


def test_the_network_with_the_most_layers_is_the_example() -> None:
    """The example is the deepest network among the final trials; ties go to the first."""
    trials, said = diagnosed(1, 2)
    deeper = pd.DataFrame([("y", 1, "relative_update/2", 0.5)], columns=["trial_id", "epoch", "name", "value"])
    assert set(layer_steps(trials, said)["architecture"]) == {"a"}
    assert set(layer_steps(trials, pd.concat([said, deeper], ignore_index=True))["architecture"]) == {"b"}


def rows(algorithm: str, guarantee: str, realised: list[float], share: float) -> pd.DataFrame:
    """Return epochs with a promised decrease of 0.1 per step."""
    count = len(realised)
    columns = {"algorithm": algorithm, "guarantee": guarantee, "epoch": range(1, count + 1), "trials": 3, "steps": 10, "promised": 0.1}
    return pd.DataFrame({**columns, "realised": realised, "shortfalls": 0, "shortfall_share": share})


def test_both_decreases_and_the_share_are_drawn() -> None:
    """The upper axes have two lines per algorithm, the lower ones one; rising losses are counted instead of drawn."""
    table = pd.concat([rows("dsgd", "yes", [0.2, 0.3, 0.2], 0.0), rows("guess", "no", [0.2, -0.1, 0.05], 0.4)], ignore_index=True)
    picture = decreases_picture(table, ("sgd", "dsgd", "guess"))
    above, below = picture.figure.axes
    heights = [np.asarray(line.get_ydata(), dtype=float).tolist() for line in above.lines]
    assert heights[0] == [0.2, 0.3, 0.2]
    assert heights[1] == [0.1, 0.1, 0.1]
    assert heights[2] == pytest.approx([0.2, np.nan, 0.05], nan_ok=True)
    assert [float(np.asarray(line.get_ydata())[0]) for line in below.lines] == [0.0, 0.4]
    (legend,) = picture.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["dsgd, guaranteed", "guess, estimated"]
    assert "rose on average (1)" in picture.caption
    assert "mathdefault" not in picture.svg()


def test_no_shortfall_looks_like_none() -> None:
    """Without shortfalls the share axis ends at 1 %, and the caption does not mention rising losses."""
    picture = decreases_picture(rows("dsgd", "yes", [0.2], 0.0))
    assert picture.figure.axes[1].get_ylim()[1] == pytest.approx(0.01)
    assert "rose" not in picture.caption
    assert "No trial" in decreases_picture(rows("dsgd", "yes", [], 0.0)).caption


def table(*counts: int) -> pd.DataFrame:
    """Return update counts of layers named by position."""
    return pd.DataFrame({"layer": [f"{i}.linear" for i in range(len(counts))], "updates": list(counts)})


def test_bars_are_shares_in_the_order_of_the_layers() -> None:
    """The first layer is at the top, lengths are shares, labels are counts, and the caption counts."""
    picture = updates_per_layer(table(25, 0, 175), "dsgd q=inf")
    (axes,) = picture.figure.axes
    assert [bar.get_width() for bar in axes.containers[0]] == [0.125, 0, 0.875]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0.linear", "1.linear", "2.linear"]
    assert axes.yaxis_inverted()
    assert [text.get_text() for text in axes.texts] == ["25", "0", "175"]
    for words in ("3 layers", "200 updates", "1 of them never moved"):
        assert words in picture.caption
    assert picture.title == "Updates per layer: dsgd q=inf"


def test_trials_are_summed() -> None:
    """Rows of the same layer are summed over trials."""
    both = updates_per_layer(pd.concat([table(1, 2), table(3, 4)]))
    assert [text.get_text() for text in both.figure.axes[0].texts] == ["4", "6"]


def test_the_network_is_named() -> None:
    """The caption names the network if the table contains exactly one."""
    one = table(1, 2).assign(architecture="3x8", seed=1)
    assert "2 layers of 3x8, seed 1, moved in 3 updates" in updates_per_layer(one).caption
    assert "2 layers moved" in updates_per_layer(pd.concat([one, one.assign(seed=2)])).caption


def test_equal_tables_give_equal_bytes() -> None:
    """Equal tables give the same SVG, so rebuilt pages do not change."""
    assert updates_per_layer(table(3, 1)).svg() == updates_per_layer(table(3, 1)).svg()


def test_nothing_moved() -> None:
    """When no layer moved, the caption says so."""
    assert "No layer moved" in updates_per_layer(table(0, 0)).caption
    assert "No layer moved" in updates_per_layer(table()).caption
