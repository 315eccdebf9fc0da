"""The figure of updates per layer."""

from __future__ import annotations

import pandas as pd

from agd_bench.figures.updates import updates_per_layer


def table(*counts: int) -> pd.DataFrame:
    """Layers named by their place."""
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
    """Rows of one layer add up."""
    both = updates_per_layer(pd.concat([table(1, 2), table(3, 4)]))
    assert [text.get_text() for text in both.figure.axes[0].texts] == ["4", "6"]


def test_the_network_is_named() -> None:
    """Where the table says which one it is, and it is one alone."""
    one = table(1, 2).assign(architecture="3x8", seed=1)
    assert "2 layers of 3x8, seed 1, moved in 3 updates" in updates_per_layer(one).caption
    assert "2 layers moved" in updates_per_layer(pd.concat([one, one.assign(seed=2)])).caption


def test_equal_tables_give_equal_bytes() -> None:
    """So that pages rebuilt from results do not change."""
    assert updates_per_layer(table(3, 1)).svg() == updates_per_layer(table(3, 1)).svg()


def test_nothing_moved() -> None:
    """The figure says so."""
    assert "No layer moved" in updates_per_layer(table(0, 0)).caption
    assert "No layer moved" in updates_per_layer(table()).caption
