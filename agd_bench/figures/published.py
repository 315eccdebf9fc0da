"""Agreement with a published benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from agd_bench.figures.style import INK, Picture, canvas, count_seeds, looks, nothing, style

CEILING = "as far as seed noise allows"


def published_agreement_picture(agreement: pd.DataFrame, algorithms: Sequence[str]) -> Picture:
    """Kendall's tau of each algorithm's ranking with the published one, by published budget, beside what seed noise allows.

    Args:
        agreement: `analysis.published_agreement` of one group.
        algorithms: labels in the order of the sweep.
    """
    title = "Agreement with the published ranking"
    rows = [row for row in _rows(agreement) if np.isfinite(row["tau"])]
    if not rows:
        return nothing(title, "No ranking can be compared with the published one: fewer than two architectures, or all tied.")
    names = list(dict.fromkeys(str(row["name"]) for row in rows))
    look = looks(algorithms)
    with style({}):
        figure, axes = canvas(7.0, 1.6 + 0.75 * len(names))
        shown: dict[str, str] = {}
        for row in rows:
            label = str(row["algorithm"])
            # Algorithms next to each other around the centre of the budget's row.
            place = names.index(str(row["name"])) + 0.14 * (algorithms.index(label) - (len(algorithms) - 1) / 2)
            colour, marker = look[label]
            axes.plot([row["low"], row["high"]], [place, place], color=colour, lw=1.6)
            axes.plot(row["tau"], place, marker=marker, color=colour, ls="none", ms=7, label=shown.setdefault(label, label))
            axes.plot(row["ceiling"], place, marker="|", color=INK, ls="none", ms=13, mew=2, label=CEILING)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="Kendall's tau with the published ranking", ylim=(len(names) - 0.5, -0.5))
        # By label, so that each entry is in the legend once.
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        handles[CEILING] = handles.pop(CEILING)  # the last one
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(len(handles), 3))
    return Picture(figure, title, _caption(agreement))


def _rows(agreement: pd.DataFrame) -> list[dict[str, Any]]:
    """What is drawn: means against means for every budget, and equal seeds where single trainings are published."""
    drawn: list[dict[str, Any]] = []
    for record in agreement.to_dict("records"):
        budget = f"{record['published_epochs']} epochs, {record['split']}"
        means = {"name": budget, "tau": record["tau_of_means"], "low": record["tau_low"], "high": record["tau_high"]}
        drawn.append(means | {"algorithm": record["algorithm"], "ceiling": record["ceiling_at_most"]})
    for record in agreement.dropna(subset=["kendall_tau"]).to_dict("records"):
        seeds, trainings = int(record["seeds_compared"]), int(record["trainings_compared"])
        name = f"{record['published_epochs']} epochs, {record['split']}:\n{seeds} of our seeds, {trainings} published"
        ceiling = record["noise_ceiling"]
        # The interval of tau − ceiling, moved to the ceiling.
        ends = {"low": ceiling + record["gap_low"], "high": ceiling + record["gap_high"]}
        drawn.append(
            {"name": name, "tau": record["kendall_tau"], "algorithm": record["algorithm"], "ceiling": record["noise_ceiling"], **ends}
        )
    return drawn


def _caption(agreement: pd.DataFrame) -> str:
    fewest, most = int(agreement["architectures"].min()), int(agreement["architectures"].max())
    count = f"{most}" if fewest == most else f"{fewest} to {most}"
    ours = f"{int(agreement['epochs'].max())} epochs and {count_seeds(int(agreement['seeds'].max()))}"
    return (
        f"Kendall's tau-b between our ranking of {count} architectures, by test accuracy after {ours}, and the published one, by mean "
        "accuracy over its trainings; 95 % bootstrap intervals over architectures. The upright bar is the tau that could at most be "
        "seen if both were equal but for the noise of our seeds (means) or of both (where numbers of seeds are given; there the "
        "interval is that of the distance to the bar). A mark left of its bar by more than its interval is a difference beyond seed "
        "noise: of recipe, images, network size or epochs, which cannot be told apart here."
    )
