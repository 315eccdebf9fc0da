"""The report section about the pre-registered test of skip connections: figures and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns

from agd_bench.analysis.rows import Row, Tables, records
from agd_bench.figures import Drawing
from agd_bench.figures.appearance import INK, Picture, canvas, legend_below, looks, nothing, style
from agd_bench.store import Results
from agd_bench.studies.skip_connections.outcomes import dose_outcomes, skip_outcomes, sweep_skip_runs

_OUTCOMES = {"predicted": ("o", 2), "reversed": ("s", 3), "undecided": ("D", 7), "too few pairs": ("X", 7)}


def skip_test_picture(table: pd.DataFrame) -> Picture:
    """Plot the signed-rank statistic of every cell and the outcome of its corrected test.

    Args:
        table: `studies.skip_connections.skip_test`.
    """
    title = "Does the larger mean singular value train faster?"
    if table.empty:
        return nothing(title, "No pair of networks was trained from equal weights, so nothing can be tested.")
    palette = sns.color_palette("colorblind", 10)
    rows = table.to_dict("records")
    labels = [f"{row['variant']} against {row['control']}\n{row['dataset']}, rate {row['learning_rate']}" for row in rows]
    with style({"axes.grid.axis": "x"}):
        figure, axes = canvas(6.8, 1.5 + 0.46 * len(table))
        axes.axvline(0, color=INK, lw=1)
        for outcome, (marker, colour) in _OUTCOMES.items():
            places = np.flatnonzero((table["outcome"] == outcome).to_numpy())
            if len(places):
                values = table["statistic"].to_numpy(dtype=float)[places]
                axes.scatter(values, places, marker=marker, s=64, color=palette[colour], label=outcome, zorder=3, clip_on=False)
        for place, row in enumerate(rows):
            axes.text(1.04, place, f"{round(row['predicted'] * (row['pairs'] - row['ties']))} of {row['pairs']}", va="center", fontsize=9)
        axes.set_yticks(range(len(labels)), labels, fontsize=8)
        # Top to bottom, in the order of the table.
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set(xlim=(-1.0, 1.0), xlabel="← reversed      signed ranks of the gains      as predicted →")
        legend_below(figure, int(table["outcome"].nunique()))
    counts = table["outcome"].value_counts()
    least, most = int(table["pairs"].min()), int(table["pairs"].max())
    caption = (
        f"{len(table)} cells, each with {f'{least} to ' if least < most else ''}{most} pairs of trainings with equal "
        "weights, data and order. Right of 0, the network with the larger mean singular value at the start had the smaller area under the "
        "logarithm of its loss; at 1, in every pair. In the margin: pairs as predicted. Outcomes by Wilcoxon's exact test, two-sided, "
        "Holm-corrected: "
        + ", ".join(f"{counts[name]} {name}" for name in _OUTCOMES if name in counts)
        + f". Diverged runs count as slowest (variants: {int(table['variant_diverged'].sum())}, "
        f"controls: {int(table['control_diverged'].sum())})."
    )
    return Picture(figure, title, caption)


def dose_response_picture(runs: pd.DataFrame, doses: Mapping[str, float]) -> Picture:
    """Plot how the loss changes with the gain of the fixed path, compared with the same network without it.

    Args:
        runs: as in `studies.skip_connections.skip_test`, of one data set.
        doses: variants and their doses; one dose must be 0.
    """
    title = "Dose-response of the fixed path"
    # The axis cannot show an infinite area; the caption counts what is not drawn.
    areas = runs[~runs["diverged"].astype(bool)].pivot_table(index=["learning_rate", "seed"], columns="variant", values="area", sort=False)
    order = sorted((name for name in doses if name in areas), key=doses.__getitem__)
    if not order or doses[order[0]] != 0 or len(order) < 2:
        return nothing(title, "This figure requires trainings with and without the fixed path that did not diverge.")
    # Paired by seed, so effects of weights and data order cancel.
    changes = areas[order].sub(areas[order[0]], axis=0)
    with style({}):
        figure, axes = canvas()
        axes.axhline(0, color=INK, lw=1, ls="--")
        rates = list(dict.fromkeys(areas.index.get_level_values("learning_rate")))
        for rate, (colour, marker) in looks(rates).items():
            grouped = changes.xs(rate, level="learning_rate")
            axes.plot([doses[name] for name in order], grouped.median(), color=colour, marker=marker, label=f"rate {rate}")
            low, high = grouped.quantile(0.25), grouped.quantile(0.75)
            axes.fill_between([doses[name] for name in order], low, high, color=colour, alpha=0.15, lw=0)
        axes.set(xlabel="gain of the fixed path", ylabel="change of the log-loss area")
        legend_below(figure, len(rates))
    lost = int(runs.loc[runs["variant"].isin(order), "diverged"].sum())
    caption = (
        "Mean logarithm of the training loss, minus that of the network without the fixed path from the same weights, data and order; "
        f"below 0, it trains faster. Medians and quartiles over {runs['seed'].nunique()} seeds. Diverged runs, which are not drawn: {lost}."
    )
    return Picture(figure, title, caption)


def compute_tables(trials: pd.DataFrame, results: Results) -> dict[str, pd.DataFrame]:
    """Tables for sweeps over skips with networks measured at the start; empty for other sweeps."""
    runs = sweep_skip_runs(trials, results.curves, results.diagnostics)
    return {"skip_runs": runs, "skip_outcomes": skip_outcomes(runs), "dose_outcomes": dose_outcomes(runs)}


def conclude(tables: Tables) -> Iterator[str]:
    """One sentence for each family of the registered test and each window."""
    families: dict[tuple[str, str], list[Row]] = {}
    for row in records(tables, "skip_outcomes"):
        families.setdefault((row["window"], row["family"]), []).append(row)
    yield from (skip_sentence(rows, window) for (window, _), rows in families.items())


def show(tables: Tables) -> Iterator[Drawing | str]:
    """The registered test cell by cell, and the dose-response."""
    if not records(tables, "skip_outcomes"):
        return
    runs, outcomes = tables["skip_runs"], tables["skip_outcomes"]
    yield from (dose_sentence(trend) for trend in records(tables, "dose_outcomes"))
    # The first window covers all epochs; the others appear in the table and the sentences.
    whole = outcomes[outcomes["window"] == outcomes["window"].iloc[0]].reset_index(drop=True)
    if whole["variant"].str.split("/", n=1).str[1].nunique() == 1:  # only the skip differs, so its kind is enough of a name
        whole = whole.assign(**{side: whole[side].str.split("/", n=1).str[0] for side in ("variant", "control")})
    yield Drawing("skip-test", skip_test_picture(whole), ("skip_outcomes",))
    drawn = runs[(runs["window"] == runs["window"].iloc[0]) & runs["dose"].notna()]
    doses = {str(name): float(dose) for name, dose in drawn.drop_duplicates("variant").set_index("variant")["dose"].items()}
    yield Drawing("dose-response", dose_response_picture(drawn, doses), ("skip_runs", "dose_outcomes"))


def skip_sentence(rows: Sequence[Row], window: str) -> str:
    """Describe the outcome of one family and the cells in which it was found.

    Args:
        rows: of `skip_outcomes`, of one group, window and family.
        window: which losses count.

    >>> row = {"family": "hypothesis", "variant": "fixed-1/x", "control": "projection/x", "outcome": "predicted", "learning_rate": "sgd-1",
    ...     "pairs": 12}
    >>> skip_sentence([row], "all epochs")
    'Hypothesis (fixed-1 against projection, losses of all epochs): predicted in 1 of 1 cells (sgd-1); 12 pairs in each.'
    """
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["outcome"], []).append(str(row["learning_rate"]))
    said = [f"{outcome} in {len(labels)} of {len(rows)} cells ({', '.join(labels)})" for outcome, labels in found.items()]
    variant, control = (str(rows[0][side]).split("/", 1)[0] for side in ("variant", "control"))
    pairs = sorted({int(row["pairs"]) for row in rows})
    counted = f"{pairs[0]} to {pairs[-1]}" if len(pairs) > 1 else str(pairs[0])
    family = str(rows[0]["family"]).capitalize()
    return f"{family} ({variant} against {control}, losses of {_words(window)}): {'; '.join(said)}; {counted} pairs in each."


def dose_sentence(row: Row) -> str:
    """Describe the effect of the fixed path's gain in one cell."""
    return (
        f"Gain of the fixed path, {row['learning_rate']}, losses of {_words(str(row['window']))}: rank correlation with the "
        f"log-loss area {row['area_trend']:+.2f} (below 0: faster; {row['doses']} gains, {row['seeds']} seeds, corrected p = "
        f"{row['p_holm']:.3f}): {row['outcome']}."
    )


def _words(window: str) -> str:
    return window if window.startswith("all") else f"the {window} of the epochs"
