"""Rank shifts against seed noise, and agreement of rankings with each other and with a published benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from agd_bench.figures.appearance import CELL_INK, INK, Picture, canvas, count_seeds, legend_below, looks, nothing, style

MANY = 12
"""Number of rankings above which the matrix uses small cells; 27 rankings in large cells would fill four screens."""


def rank_shift_picture(shift: pd.DataFrame, baseline: str, challenger: str) -> Picture:
    """Plot ranks under the challenger against ranks under the baseline, with a band for seed noise.

    Args:
        shift: `analysis.rank_shift` of one group.
        baseline: label of the algorithm on the horizontal axis.
        challenger: label of the algorithm on the vertical axis.
    """
    title = f"Ranks of the architectures: {challenger} against {baseline}"
    if shift.empty:
        return nothing(title, f"No architecture has an outcome for every seed under both {baseline} and {challenger}.")
    count, seeds, noise = len(shift), int(shift["seeds"].iloc[0]), float(shift["noise_sd"].iloc[0])
    # A diverged training counts as accuracy 0.
    dead = (shift["baseline_accuracy"] == 0) | (shift["challenger_accuracy"] == 0)
    # 95 % of a normal distribution lies within 1.96 standard deviations.
    beyond = shift["rank_shift"].abs() > 1.96 * noise if np.isfinite(noise) else pd.Series(False, index=shift.index)
    colours = sns.color_palette("colorblind", 10)
    # Marker area in points²; more markers are drawn smaller.
    size = float(np.clip(2400 / count, 4, 64))
    with style({}):
        figure, axes = canvas(6.0, 5.6)
        ends = np.array([0.0, count + 1.0])
        if np.isfinite(noise):
            axes.fill_between(ends, ends - 1.96 * noise, ends + 1.96 * noise, color="#8c959f", alpha=0.25, lw=0, label="seed noise (95 %)")
        axes.plot(ends, ends, color=INK, lw=1, ls="--")
        for chosen, colour, marker, label in (
            (~beyond & ~dead, colours[0], "o", "within the noise" if np.isfinite(noise) else "architecture"),
            (beyond & ~dead, colours[1], "^", "beyond the noise"),
            (dead, INK, "x", "diverged under either"),
        ):
            points = shift[chosen]
            if len(points):
                # Thousands of marks become one image inside the SVG; as vectors they would take megabytes.
                axes.scatter(
                    points["baseline_rank"], points["challenger_rank"], s=size, color=colour, marker=marker, label=label,
                    alpha=0.85 if count <= 200 else 0.5, linewidths=1 if marker == "x" else 0, rasterized=count > 1000,
                )  # fmt: skip
        axes.set(
            # Reversed, so that rank 1 is at the top right.
            xlim=(count + 1, 0),
            ylim=(count + 1, 0),
            xlabel=f"rank under {baseline} (1 = best)",
            ylabel=f"rank under {challenger} (1 = best)",
        )
        inner = [int(tick) for tick in MaxNLocator(6, integer=True).tick_values(1, count) if 1 < tick <= count]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks([1, *inner])  # ranks begin at 1, where a locator would put 0
        legend_below(figure, 4)
    moved = int(shift["beyond_noise"].sum()) if shift["shift_p_holm"].notna().any() else None
    return Picture(figure, title, _shift_caption(count, seeds, noise, int(beyond.sum()), moved))


def _shift_caption(count: int, seeds: int, noise: float, beyond: int, moved: int | None) -> str:
    text = f"Each mark is one of {count} architectures, ranked by mean accuracy over {count_seeds(seeds)}; the best are at the top right. "
    if not np.isfinite(noise):
        return text + "Seed noise cannot be estimated from one seed, so no band is drawn."
    return text + (
        f"The band (± {1.96 * noise:.1f} ranks) contains 95 % of the shifts that seed noise alone would cause, estimated from disjoint "
        f"halves of the seeds. {beyond} {'architecture lies' if beyond == 1 else 'architectures lie'} outside it; noise alone would put "
        f"about {0.05 * count:.0f}."
        + (
            ""
            if moved is None
            else f" When each is tested and all {count} tests are corrected for, {moved} {'moves' if moved == 1 else 'move'}."
        )
    )


def tau_matrix(agreement: pd.DataFrame) -> Picture:
    """Plot Kendall's tau between all rankings as a matrix, with each ranking's noise ceiling on the diagonal.

    Args:
        agreement: `analysis.kendall_tau` of one group.
    """
    title = "Agreement of the rankings"
    labels = list(dict.fromkeys([*agreement["algorithm"], *agreement["other"]]))
    # The table lists each pair once; the matrix needs both halves.
    mirrored = agreement.rename(columns={"algorithm": "other", "other": "algorithm"})
    both = pd.concat([agreement, mirrored]).drop_duplicates(["algorithm", "other"])
    matrix = both.pivot(index="algorithm", columns="other", values="kendall_tau").reindex(index=labels, columns=labels).astype(float)
    if not np.isfinite(matrix.to_numpy()).any():
        return nothing(
            title, "No rankings can be compared: there are fewer than two architectures, one algorithm with one seed, or only ties."
        )
    # An algorithm that never trained has no ranking.
    unranked = [label for label in labels if not np.isfinite(matrix.loc[label].to_numpy()).any()]
    labels = [label for label in labels if label not in unranked]
    matrix = matrix.loc[labels, labels]
    many = len(labels) > MANY
    side = 0.42 * len(labels) + 2.4 if many else max(3.6, 0.75 * len(labels) + 2.4)
    with style({"axes.grid": False}):
        figure, axes = canvas(side + 0.6 + 0.09 * max(0, max(map(len, labels)) - 15), side)  # longer names than usual need the width
        values = matrix.to_numpy(dtype=float)
        edges = np.arange(len(labels) + 1) - 0.5
        # Unknown and negative values get the colour of 0; the text in the cell distinguishes them.
        axes.pcolormesh(edges, edges, np.nan_to_num(values), vmin=0, vmax=1, cmap="YlGnBu")
        axes.set(aspect="equal")
        axes.invert_yaxis()
        for row, column in np.ndindex(values.shape):
            value = values[row, column]
            # Above this value the palette is too dark for dark text.
            colour = "white" if value > 0.6 else CELL_INK
            axes.text(
                column,
                row,
                f"{value:.2f}" if np.isfinite(value) else "–",
                ha="center",
                va="center",
                color=colour,
                fontsize=7.5 if many else 10,
            )
            if row == column:
                axes.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, ec="#d55e00", lw=1.2 if many else 2))
        axes.set_xticks(
            range(len(labels)), labels, rotation=90 if many else 35, ha="right", va="center" if many else "baseline", rotation_mode="anchor"
        )
        axes.set_yticks(range(len(labels)), labels)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    count, seeds, used = int(agreement["architectures"].max()), int(agreement["seeds"].max()), int(agreement["seeds_compared"].max())
    caption = f"Kendall's tau-b between rankings of up to {count} architectures; 1 = equal rankings, 0 = unrelated. " + (
        f"All values compare disjoint sets of the {seeds} seeds, {used} against {used}. The outlined diagonal shows each ranking's "
        "agreement with itself across seeds, its noise ceiling. A value below both ceilings indicates a change of ranking if its interval "
        "agrees."
        if seeds > 1
        else "With one seed there is no noise ceiling on the diagonal, so no value can be distinguished from noise."
    )
    if unranked:
        caption += f" Left out, because they rank nothing: {', '.join(unranked)}."
    return Picture(figure, title, caption)


CEILING = "upper bound from seed noise"


def published_agreement_picture(agreement: pd.DataFrame, algorithms: Sequence[str]) -> Picture:
    """Plot Kendall's tau of each algorithm's ranking with the published one, by published budget, with its noise ceiling.

    Args:
        agreement: `analysis.published_agreement` of one group.
        algorithms: labels in the order of the sweep.
    """
    title = "Agreement with the published ranking"
    rows = [row for row in _rows(agreement) if np.isfinite(row["tau"])]
    if not rows:
        return nothing(title, "No ranking can be compared with the published one: there are fewer than two architectures, or only ties.")
    names = list(dict.fromkeys(str(row["name"]) for row in rows))
    look = looks(algorithms)
    with style({}):
        figure, axes = canvas(7.0, 1.6 + 0.75 * len(names))
        shown: dict[str, str] = {}
        for row in rows:
            label = str(row["algorithm"])
            # Algorithms are spread around the centre of the budget's row.
            place = names.index(str(row["name"])) + 0.14 * (algorithms.index(label) - (len(algorithms) - 1) / 2)
            colour, marker = look[label]
            axes.plot([row["low"], row["high"]], [place, place], color=colour, lw=1.6)
            axes.plot(row["tau"], place, marker=marker, color=colour, ls="none", ms=7, label=shown.setdefault(label, label))
            axes.plot(row["ceiling"], place, marker="|", color=INK, ls="none", ms=13, mew=2, label=CEILING)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="Kendall's tau with the published ranking", ylim=(len(names) - 0.5, -0.5))
        # By label, so each entry appears once in the legend.
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        handles[CEILING] = handles.pop(CEILING)  # the last one
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(len(handles), 3))
    return Picture(figure, title, _caption(agreement))


def _rows(agreement: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows to draw: means against means for every budget, and equal numbers of seeds where single trainings are published."""
    drawn: list[dict[str, Any]] = []
    for record in agreement.to_dict("records"):
        budget = f"{record['published_epochs']} epochs, {record['split']}"
        means = {"name": budget, "tau": record["tau_of_means"], "low": record["tau_low"], "high": record["tau_high"]}
        drawn.append(means | {"algorithm": record["algorithm"], "ceiling": record["ceiling_at_most"]})
    for record in agreement.dropna(subset=["kendall_tau"]).to_dict("records"):
        seeds, trainings = int(record["seeds_compared"]), int(record["trainings_compared"])
        name = f"{record['published_epochs']} epochs, {record['split']}:\n{seeds} of our seeds, {trainings} published"
        ceiling = record["noise_ceiling"]
        # The interval of tau − ceiling, shifted by the ceiling.
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
        "accuracy over its trainings; 95 % bootstrap intervals over architectures. The vertical bar is the highest tau to be expected "
        "if the rankings differed only by the noise of our seeds (means) or of both sides (where numbers of seeds are given; there the "
        "interval is that of the distance to the bar). A mark further left of its bar than its interval reaches is a difference beyond "
        "seed noise, due to recipe, images, network size or epochs; these causes cannot be separated here."
    )
