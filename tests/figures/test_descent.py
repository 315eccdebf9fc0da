"""Promised and realised decreases, drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from agd_bench.figures import decreases_picture


def rows(algorithm: str, guarantee: str, realised: list[float], share: float) -> pd.DataFrame:
    """Epochs with a promise of 0.1 a step."""
    count = len(realised)
    columns = {"algorithm": algorithm, "guarantee": guarantee, "epoch": range(1, count + 1), "trials": 3, "steps": 10, "promised": 0.1}
    return pd.DataFrame({**columns, "realised": realised, "shortfalls": 0, "shortfall_share": share})


def test_both_decreases_and_the_share_are_drawn() -> None:
    """Two lines an algorithm above, one below; a loss that rose is no point, and is counted."""
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
    assert "Where the loss rose on average there is no point above: 1 times." in picture.caption
    assert "mathdefault" not in picture.svg()


def test_no_shortfall_looks_like_none() -> None:
    """The axis of shares ends at one per cent at least, and nothing is said of risen losses."""
    picture = decreases_picture(rows("dsgd", "yes", [0.2], 0.0))
    assert picture.figure.axes[1].get_ylim()[1] == pytest.approx(0.01)
    assert "rose" not in picture.caption
    assert "No step" in decreases_picture(rows("dsgd", "yes", [], 0.0)).caption
