"""The figure of agreement with a published benchmark."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agd_bench.figures import published_agreement_picture


def agreement() -> pd.DataFrame:
    """Return agreement of two algorithms at two budgets; only the longer one has single published trainings."""
    rows = [
        (label, epochs, 0.3 + 0.1 * place, 0.9, *((0.25, 0.6, -0.35, -0.6, -0.1, 1, 1) if epochs == 200 else [np.nan] * 7))
        for place, label in enumerate(("sgd", "agd"))
        for epochs in (12, 200)
    ]
    columns = [
        "algorithm",
        "published_epochs",
        "tau_of_means",
        "ceiling_at_most",
        "kendall_tau",
        "noise_ceiling",
        "gap",
        "gap_low",
        "gap_high",
    ]
    table = pd.DataFrame(rows, columns=[*columns, "seeds_compared", "trainings_compared"])
    spread = {"tau_low": table["tau_of_means"] - 0.2, "tau_high": table["tau_of_means"] + 0.2}
    return table.assign(split="test", epochs=6, seeds=3, architectures=24, **spread)


def test_every_budget_is_a_row_and_every_ceiling_a_bar() -> None:
    """There is a row for each budget's means and one for equal seeds; ceilings and intervals are drawn as given."""
    picture = published_agreement_picture(agreement(), ("sgd", "agd"))
    (axes,) = picture.figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["12 epochs, test", "200 epochs, test", "200 epochs, test:\n1 of our seeds, 1 published"]
    lines = [(np.asarray(line.get_xdata(), dtype=float).ravel().round(6).tolist(), line.get_marker()) for line in axes.lines]
    bars = [values[0] for values, marker in lines if marker == "|"]
    assert bars == [0.9] * 4 + [0.6] * 2
    assert [values for values, marker in lines if marker == "None"][-1] == [0.0, 0.5]
    assert [values[0] for values, marker in lines if marker == "s"] == [0.4, 0.4, 0.25]
    for words in ("24 architectures", "6 epochs and 3 seeds", "beyond seed noise"):
        assert words in picture.caption
    assert picture.svg() == published_agreement_picture(agreement(), ("sgd", "agd")).svg()


def test_where_nothing_agrees_or_differs_it_says_so() -> None:
    """Without any tau the caption says that no ranking can be compared."""
    empty = agreement().assign(tau_of_means=np.nan, kendall_tau=np.nan)
    assert "No ranking can be compared" in published_agreement_picture(empty, ("sgd", "agd")).caption
