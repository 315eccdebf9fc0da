"""The pictures of a report, each derived from tables published with it."""

from __future__ import annotations

from collections.abc import Iterator

from agd_bench import figures
from agd_bench.analysis.inference import ALPHA
from agd_bench.analysis.rows import known
from agd_bench.figures import Drawing
from agd_bench.report.comparison import Comparison, Shown
from agd_bench.report.sentences import crossover_sentence

SHOWN_SHIFTS = 4
"""Largest number of challengers with a rank-shift picture; otherwise a page with 27 algorithms would be mostly such pictures."""
SHOWN_BANDS = 1
"""Largest number of tuned algorithms whose individual studies are drawn; the table holds all of them."""


def rank_shifts(comparison: Comparison) -> Iterator[Shown]:
    """Ranks under the challengers against those under the baseline; if there are many challengers, those that shift most."""
    gaps = _gaps(comparison)
    # Most negative gap first, unknown gaps last; the sort is stable, so ties stay in the sweep's order.
    drawn = sorted(comparison.rivals, key=lambda rival: gaps.get(rival, float("inf")))[:SHOWN_SHIFTS]
    if len(drawn) < len(comparison.rivals):
        which = f"whose rankings are furthest below the noise ceiling with {comparison.baseline}" if gaps else "that the sweep lists first"
        yield (
            f"The figures show the {len(drawn)} of {len(comparison.rivals)} algorithms {which}; "
            "the others are in the matrix, in the tables and in data/rank_shift.csv."
        )
    for number, rival in enumerate(comparison.rivals, 1):
        if rival in drawn:
            picture = figures.rank_shift_picture(comparison.against("rank_shift", rival), comparison.baseline, rival)
            yield Drawing(f"{comparison.anchor}-rank-shift-{number}", picture, ("rank_shift",))


def _gaps(comparison: Comparison) -> dict[str, float]:
    """How far each challenger's agreement with the baseline is above its noise ceiling, where known."""
    pairs = [(row, {row["algorithm"], row["other"]}) for row in comparison.records("kendall_tau") if known(row, "gap")]
    return {label: row["gap"] for row, pair in pairs if comparison.baseline in pair for label in pair - {comparison.baseline}}


def agreement(comparison: Comparison) -> Iterator[Shown]:
    """Kendall's tau between all rankings."""
    yield Drawing(f"{comparison.anchor}-agreement", figures.tau_matrix(comparison.tables["kendall_tau"]), ("kendall_tau",))


def crossovers(comparison: Comparison) -> Iterator[Shown]:
    """When tuning pays: each tuned algorithm against the self-tuning ones."""
    curves, crossing = comparison.tables["anytime_curves"], comparison.tables["crossover"]
    if curves.empty or crossing.empty:
        yield "This comparison does not have both a tuned and a self-tuning algorithm, so there is no crossover to show."
        return
    yield from (crossover_sentence(record) for record in comparison.records("crossover"))
    for number, label in enumerate(dict.fromkeys(crossing["tuned"]), 1):
        curve = curves[curves["algorithm"] == label].reset_index(drop=True)
        if curve.empty:
            yield f"No study of {label} has ended, so its crossover cannot be shown."
            continue
        rows = crossing[crossing["tuned"] == label].reset_index(drop=True)
        picture = figures.crossover_picture(curve, rows, comparison.algorithms)
        yield Drawing(f"{comparison.anchor}-crossover-{number}", picture, ("anytime_curves", "crossover"))


def anytime(comparison: Comparison) -> Iterator[Shown]:
    """Accuracy found by searches so far, against their charged cost."""
    curves, bands = comparison.tables["anytime_curves"], comparison.tables["search_bands"]
    # An empty table may have no columns; a single curve cannot be compared.
    if curves["algorithm"].nunique() > 1 if len(curves) else False:
        yield Drawing(f"{comparison.anchor}-anytime", figures.anytime_picture(curves, comparison.algorithms), ("anytime_curves",))
    # Proposals of an adaptive search are not independent, so its studies have no band.
    independent = bands[bands["low"].notna()] if len(bands) else bands
    for label in list(dict.fromkeys(independent["algorithm"]))[:SHOWN_BANDS] if len(independent) else []:
        picture = figures.search_bands_picture(independent[independent["algorithm"] == label].reset_index(drop=True))
        yield Drawing(f"{comparison.anchor}-studies", picture, ("search_bands",))


def contrasts(comparison: Comparison) -> Iterator[Shown]:
    """Which algorithms differ, and how soon each reaches the baseline's accuracy."""
    if len(comparison.algorithms) < 2:
        return
    ranked, profiles = comparison.tables["critical_difference"], comparison.tables.get("performance_profiles")
    if ranked.empty:
        yield "Fewer than two architectures have an outcome for every seed under every algorithm, so the algorithms are not ranked."
    else:
        picture = figures.critical_difference_picture(ranked)
        yield Drawing(f"{comparison.anchor}-critical-difference", picture, ("critical_difference",))
    if profiles is None or profiles.empty:
        yield "The baseline sets no target accuracies, so there is no performance profile."
    else:
        picture = figures.performance_profile_picture(profiles, str(profiles["time"].iloc[0]), comparison.baseline)
        yield Drawing(f"{comparison.anchor}-profiles", picture, ("performance_profiles", "speed_ups", "reference_targets"))


def drivers(comparison: Comparison) -> Iterator[Shown]:
    """Sources of variance, and architecture features that the challengers favour."""
    if len(comparison.algorithms) < 2:
        return
    components = comparison.tables["variance_components"]
    yield Drawing(f"{comparison.anchor}-variance", figures.variance_components_picture(components), ("variance_components",))
    quiet = []
    for number, rival in enumerate(comparison.rivals, 1):
        found = comparison.against("interaction_drivers", rival)
        if found.empty or not (found["p_holm"] <= ALPHA).any():
            quiet.append(rival)
            continue
        picture = figures.drivers_picture(found, comparison.baseline, rival)
        yield Drawing(f"{comparison.anchor}-drivers-{number}", picture, ("interaction_drivers", "interaction_explained"))
    if quiet:
        yield f"No architecture feature was found that {' or '.join(quiet)} favours over {comparison.baseline}."


def published(comparison: Comparison) -> Iterator[Shown]:
    """The ranking against that of a published benchmark, if its table is available."""
    if comparison.records("published_agreement"):
        picture = figures.published_agreement_picture(comparison.tables["published_agreement"], comparison.algorithms)
        yield Drawing(f"{comparison.anchor}-published", picture, ("published_agreement", "published_ranks"))


def curves(comparison: Comparison) -> Iterator[Shown]:
    """Accuracy by epoch."""
    yield Drawing(f"{comparison.anchor}-curves", figures.learning_curves(comparison.tables["learning_curves"]), ("learning_curves",))


def steps(comparison: Comparison) -> Iterator[Shown]:
    """What optimizers recorded about their steps, if the sweep requests it."""
    summaries, layers = comparison.tables["step_summaries"], comparison.tables["layer_steps"]
    if summaries["name"].isin(list(figures.RATES)).any():
        picture = figures.automatic_rates(summaries, comparison.algorithms)
        yield Drawing(f"{comparison.anchor}-rates", picture, ("step_summaries",))
    if len(comparison.tables.get("decreases", ())):
        picture = figures.decreases_picture(comparison.tables["decreases"], comparison.algorithms)
        yield Drawing(f"{comparison.anchor}-decreases", picture, ("decreases",))
    for number, label in enumerate(comparison.algorithms, 1):
        own = layers[layers["algorithm"] == label]
        if (own["quantity"] == "relative_update").any():
            yield Drawing(f"{comparison.anchor}-layers-{number}", figures.layer_updates(own, label), ("layer_steps",))
        if (own["quantity"] == "updates").any():
            # `layer_steps` holds every quantity as a float.
            counts = own[own["quantity"] == "updates"].assign(updates=lambda rows: rows["value"].astype(int))
            yield Drawing(f"{comparison.anchor}-updates-{number}", figures.updates_per_layer(counts, label), ("layer_steps",))
