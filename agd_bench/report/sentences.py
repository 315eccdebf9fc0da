"""Sentences of the report: numbers, accuracy and its cost, rankings, and the loss from choosing an architecture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from agd_bench.analysis.bootstrap import FEWEST_FOR_INTERVAL
from agd_bench.analysis.costs.charges import CostRatio
from agd_bench.analysis.costs.crossover import STATES
from agd_bench.analysis.inference import ALPHA, FEWEST_FOR_MEAN
from agd_bench.analysis.rankings.decision import EQUIVALENT_TAU
from agd_bench.analysis.rows import Row, known


def points(share: float) -> str:
    """A share as percentage points without its sign.

    >>> points(-0.0312)
    '3.1'
    """
    return f"{abs(100 * share):.1f}"


def count(number: int, noun: str) -> str:
    """A count with its noun.

    >>> count(1, "seed"), count(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{number} {noun}" + ("" if number == 1 else "s")


def duration(seconds: float) -> str:
    """Seconds in a readable unit.

    >>> duration(42.0), duration(90.0), duration(7200.0)
    ('42 s', '1.5 min', '2.0 h')
    """
    if seconds < 60:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def accuracy_sentence(row: Row, difference: Row, waiting: int = 0) -> str:
    """The challenger's accuracy compared with the baseline's; failures count as accuracy 0.

    Args:
        row: of `standings`, about the challenger.
        difference: of `accuracy_difference`, of the trainings that both finished.
        waiting: final trials of the two that have not ended.
    """
    prefix = "So far, " if waiting else ""
    ours, theirs = row["algorithm"], row["baseline"]
    if not known(row, "difference"):
        return f"{prefix}{ours} and {theirs} have trained no architecture in common, so their accuracies cannot be compared."
    value = float(row["difference"])
    # Compare the rounded value; otherwise the sentence could say "0.0 points more".
    side = "as much as" if points(value) == "0.0" else f"{points(value)} points {'more' if value > 0 else 'less'} than"
    scope = count(int(row["architectures"]), "architecture")
    text = f"{prefix}{ours} reaches {100 * row['accuracy']:.1f} % test accuracy on average, {side} {theirs} ({scope}"
    if row["architectures"] < FEWEST_FOR_MEAN:
        text += "; too few for an interval, so it is unclear which is better)."
    else:
        ends = f"{100 * row['difference_low']:+.1f} to {100 * row['difference_high']:+.1f} points"
        unsure = row["difference_low"] <= 0 <= row["difference_high"]
        text += f"; 95 % interval {ends}{', so it is unclear which is better' if unsure else ''})."
    return text + _failed_words(row, difference)


def _failed_words(row: Row, difference: Row) -> str:
    """How many trainings were unsuccessful, and the difference without them."""
    parts = [f"{row[status]} {word}" for status, word in _OUTCOMES.items() if row[status]]
    if not parts:
        return ""
    text = f" Of {row['trainings']} trainings by {row['algorithm']} {' and '.join(parts)}; each counts as accuracy 0."
    if difference and difference["pairs"]:
        text += f" Over the trainings that both algorithms finished, the difference is {100 * difference['difference']:+.1f} points."
    return text


_OUTCOMES = {"diverged": "diverged", "failed": "failed", "refused": "were refused"}


def cost_sentence(flops: CostRatio, seconds: CostRatio, baseline: str, challenger: str) -> str:
    """The challenger's charged cost compared with the baseline's; empty if neither FLOPs nor seconds are known.

    Args:
        flops: the two algorithms' floating-point operations.
        seconds: their charged seconds.
        baseline: label of the algorithm compared with.
        challenger: label of the other.
    """
    parts = []
    if math.isfinite(flops.ratio):
        parts.append(_times(flops.ratio, "floating-point operations"))
    if math.isfinite(seconds.ratio):
        parts.append(f"{_times(seconds.ratio, 'time')} ({duration(seconds.ours)} and {duration(seconds.theirs)})")
    if not parts:
        return ""
    return f"Tuning and lost attempts included, {challenger} is charged {' and '.join(parts)} as {baseline} on the same architectures."


def _times(ratio: float, what: str) -> str:
    return f"the same {what}" if round(ratio, 2) == 1 else f"{ratio:.2f} times the {what}"


def regret_words(row: Row) -> str:
    """Accuracy lost by choosing the best architecture by the challenger's ranking and training it with the baseline.

    Empty if unknown, or if there is nothing to choose from.

    Args:
        row: of `transfer_regret`; empty if there is none.
    """
    if not known(row, "transfer_regret") or row["architectures"] < 2:
        return ""
    lost = float(row["transfer_regret"])
    interval = ""
    if known(row, "regret_low", "regret_high"):
        # A negative regret is reported as a gain, so both ends change sign and order.
        ends = sorted((-row["regret_low"], -row["regret_high"]) if lost < 0 else (row["regret_low"], row["regret_high"]))
        interval = f", 95 % interval {100 * ends[0]:.1f} to {100 * ends[1]:.1f}"
    fair = "chosen and scored on different seeds" if row["disjoint"] else "chosen and scored on the same seed, so overestimated"
    # As above: a difference that rounds to 0.0 has no direction.
    change = "changes nothing" if points(lost) == "0.0" else f"{'loses' if lost > 0 else 'gains'} {points(lost)} points"
    return (
        f"Choosing the best architecture by {row['chosen_by']} and training it with {row['trained_by']} {change} of test accuracy, "
        f"compared with choosing it by {row['trained_by']} ({fair}{interval})."
    )


def driver_words(rows: Sequence[Row], baseline: str, challenger: str, comparisons: int) -> str:
    """The feature that the challenger favours or avoids most clearly, compared with the baseline; empty if none is beyond chance.

    Args:
        rows: of `interaction_drivers`.
        baseline: label of the algorithm compared with.
        challenger: label of the other.
        comparisons: number of challengers; p-values are corrected for them as well as for the features.
    """
    # p_holm is corrected over features; the factor is Bonferroni's correction over challengers.
    clear = [row for row in rows if known(row, "p_holm", "spearman") and comparisons * row["p_holm"] <= ALPHA]
    if not clear:
        return ""
    row = max(clear, key=lambda row: abs(row["spearman"]))
    feature = row["feature"].removeprefix("words: ")
    interval = ""
    if known(row, "spearman_low", "spearman_high"):
        interval = f", 95 % interval {row['spearman_low']:+.2f} to {row['spearman_high']:+.2f}"
    others = f"; {len(clear) - 1} more of {len(rows)} features beyond chance" if len(clear) > 1 else ""
    strength = f"Spearman's rho {row['spearman']:+.2f}{interval}, n = {row['architectures']}{others}"
    side = "more" if row["spearman"] > 0 else "less"
    return (
        f"Compared with {baseline}, {challenger} favours architectures with {side} of `{feature}` ({strength}), corrected for all "
        "features and challengers."
    )


def crossover_sentence(row: Row) -> str:
    """Describe a row of `find_crossovers`.

    Args:
        row: with the columns of `find_crossovers`.

    >>> row = {"tuned": "sgd", "self_tuning": "agd", "state": "overtakes", "crossover_trainings": 3.21, "trainings_low": 2.5,
    ...     "trainings_high": np.inf, "crossover_flops": 1.6e12, "crossover_hours": 0.02, "trainings_tried": 12.0, "studies": 20}
    >>> print(crossover_sentence(row))
    Tuning sgd overtakes agd after 3.2 charged trainings per architecture (95 % interval 2.5 to beyond the 12 tried), 1.6e+12 FLOPs or \
0.02 device-hours.
    """
    tuned, other, tried = row["tuned"], row["self_tuning"], f"{row['trainings_tried']:.3g}"
    low, high = row["trainings_low"], row["trainings_high"]
    # NaN: too few studies for an interval; infinite: beyond the trainings tried.
    if np.isnan(low):
        interval = "no interval from " + ("1 study" if row["studies"] == 1 else f"{row['studies']} studies")
    else:
        first = f"beyond the {tried} tried" if np.isinf(low) else f"{low:.1f}"
        interval = f"95 % interval {first} to " + (f"beyond the {tried} tried" if np.isinf(high) else f"{high:.1f}")
    if row["state"] == STATES[0]:
        flops = "" if np.isnan(row["crossover_flops"]) else f", {row['crossover_flops']:.2g} FLOPs or"
        after = f"{row['crossover_trainings']:.1f} charged trainings per architecture ({interval})"
        return f"Tuning {tuned} overtakes {other} after {after}{flops or ','} {row['crossover_hours']:.2g} device-hours."
    if row["state"] == STATES[1]:
        sure = "" if np.isnan(high) or high == low else f", though this is uncertain ({interval})"
        return f"{tuned} is ahead of {other} from its first proposal, so there is no crossover{sure}."
    sure = "" if np.isnan(low) or np.isinf(low) else f", though it may ({interval})"
    return f"Tuning {tuned} does not overtake {other} within the {tried} trainings per architecture tried{sure}."


LOW_CEILING = 0.3
"""Noise ceiling below which a ranking is mostly noise, and the sentence says so."""


def ranking_sentence(row: Row) -> str:
    """Describe the decision about one ranking and its evidence.

    Args:
        row: of `ranking_decisions`; empty if the pair has no decision.

    >>> row = {"architectures": 20, "seeds": 1, "kendall_tau": 0.61, "noise_ceiling": float("nan"), "gap": float("nan"),
    ...     "decision": "cannot tell", "baseline": "sgd", "challenger": "agd"}
    >>> print(ranking_sentence(row))
    The data cannot tell whether agd ranks the architectures like sgd: Kendall's tau is 0.61 (20 architectures), but one seed does not \
show how much of that is seed noise.
    """
    if not row or row["architectures"] < 2:
        return "Fewer than two architectures have an outcome for every seed under both algorithms, so the rankings cannot be compared."
    start = _DECIDED[row["decision"]].format(**row)
    number, tau = row["architectures"], row["kendall_tau"]
    if not np.isfinite(tau):
        return f"{start}: all {number} architectures are tied under one of the two."
    # The noise ceiling compares a ranking with itself over other seeds, so it requires two seeds.
    if row["seeds"] == 1:
        return f"{start}: Kendall's tau is {tau:.2f} ({number} architectures), but one seed does not show how much of that is seed noise."
    if not known(row, "noise_ceiling"):
        return f"{start}: Kendall's tau is {tau:.2f} ({number} architectures), but its noise ceiling could not be estimated."
    ceiling = row["noise_ceiling"]
    text = f"{start}: Kendall's tau is {tau:.2f}; with seed noise alone it would be about {ceiling:.2f} ({number} architectures"
    text += f"{_details(row)})."
    if number < FEWEST_FOR_INTERVAL:
        text += f" An interval or a test requires at least {FEWEST_FOR_INTERVAL} architectures."
    # Either scale alone can show a shift where there is none, see `null_test`.
    if row["decision"] == "cannot tell" and row.get("p_one_scale_holm", float("nan")) <= ALPHA and row["gap"] < 0:
        text += " The rankings differ on one of two scales, ranks and accuracies, but not on both, as uneven noise can cause."
        text += " More seeds or architectures would decide."
    if ceiling < LOW_CEILING:
        text += " The noise ceiling is low: with so few seeds the ranking is mostly noise."
    return text


_DECIDED = {
    "differs": "{challenger} ranks the architectures differently from {baseline}, by more than seed noise",
    "same": "{challenger} ranks the architectures like {baseline}",
    "cannot tell": "The data cannot tell whether {challenger} ranks the architectures like {baseline}",
}


def _details(row: Row) -> str:
    """Gap, p-value and noise-free tau, where known."""
    parts = []
    if known(row, "gap_low", "gap_high"):
        parts.append(f"gap {row['gap']:+.2f}, 95 % interval {row['gap_low']:+.2f} to {row['gap_high']:+.2f}")
    if known(row, "p_holm"):
        corrected = f", corrected for {row['comparisons']} comparisons" if row["comparisons"] > 1 else ""
        p = row["p_holm"]
        parts.append(f"no shift beyond noise: p {'< 0.001' if p < 0.001 else f'= {p:.3f}' if p < 0.1 else f'= {p:.2f}'}{corrected}")
    if row["decision"] != "differs" and known(row, "corrected_low", "corrected_high"):
        ends = f"{row['corrected_low']:.2f} to {row['corrected_high']:.2f}"
        parts.append(f"noise-free tau {ends}, where above {EQUIVALENT_TAU:g} would be the same ranking")
    return "".join(f"; {part}" for part in parts)


def decile_words(row: Row) -> str:
    """Agreement of the two rankings among the best tenth of the architectures (at least a minimum number); empty if unknown.

    Args:
        row: of `kendall_tau` over the top decile; empty if there is none.
    """
    if not known(row, "kendall_tau", "noise_ceiling", "gap"):
        return ""
    numbers = f"Kendall's tau is {row['kendall_tau']:.2f}; with seed noise alone it would be about {row['noise_ceiling']:.2f}"
    text = f"Among the {row['architectures']} best architectures (chosen by other seeds), {numbers}"
    if not known(row, "gap_low", "gap_high"):
        return f"{text}; there are too few for an interval."
    return f"{text} (gap {row['gap']:+.2f}, 95 % interval {row['gap_low']:+.2f} to {row['gap_high']:+.2f})."


def moved_words(shift: pd.DataFrame) -> str:
    """Number of architectures that move beyond noise; empty if not tested.

    Args:
        shift: `rank_shift` of one pair.
    """
    if shift.empty or "shift_p_holm" not in shift or not shift["shift_p_holm"].notna().any():
        return ""
    moved = int(shift["beyond_noise"].sum())
    verb = "moves" if moved == 1 else "move"
    return f"{moved or 'None'} of the {len(shift)} architectures {verb} by more ranks than seed noise explains (corrected for all tests)."


def published_sentence(row: Row) -> str:
    """Describe a row of `published_agreement`."""
    budget = f"{row['published_epochs']} epochs ({row['split']} accuracy)"
    start = f"Against the published ranking after {budget}, {row['algorithm']} ranks {row['architectures']} architectures with"
    if not known(row, "tau_of_means"):
        return f"{start} no tau, because all are tied in one of the two rankings."
    text = f"{start} Kendall's tau {row['tau_of_means']:.2f}"
    if known(row, "tau_low"):
        text += f" (95 % interval {row['tau_low']:.2f} to {row['tau_high']:.2f})"
    if not known(row, "kendall_tau", "noise_ceiling"):
        bound = f", at most {row['ceiling_at_most']:.2f} by the noise of our seeds" if known(row, "ceiling_at_most") else ""
        return f"{text}{bound}; without individual published trainings, seed noise cannot be separated."
    seeds, trainings = int(row["seeds_compared"]), int(row["trainings_compared"])
    text += f"; with {seeds} of its seeds and {count(trainings, 'published training')} it is {row['kendall_tau']:.2f}, and seed noise of "
    text += f"both alone would give {row['noise_ceiling']:.2f}"
    if not known(row, "shift_p"):
        return f"{text}."
    # A comparison with NaN is False, so a missing p counts as no evidence.
    one_scale = row.get("shift_p_one_scale", float("nan")) <= ALPHA
    unclear = "only one of two scales shows that they differ by more than noise" if one_scale else "no difference beyond noise was found"
    beyond = "the rankings differ by more than noise" if row["shift_p"] <= ALPHA else unclear
    p = "< 0.001" if row["shift_p"] < 0.001 else f"= {row['shift_p']:.3f}"
    return f"{text}: {beyond} (p {p})."
