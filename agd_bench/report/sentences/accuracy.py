"""Sentences about accuracy, its cost, and what a choice of architecture loses."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from agd_bench.analysis.costs.crossover import STATES
from agd_bench.analysis.costs.ratios import CostRatio
from agd_bench.analysis.intervals import FEWEST_FOR_MEAN
from agd_bench.analysis.multiple_testing import ALPHA
from agd_bench.analysis.rows import Row, known
from agd_bench.report.sentences.numbers import count, duration, points


def accuracy_sentence(row: Row, difference: Row, waiting: int = 0) -> str:
    """How much accuracy the challenger reached, against the baseline, failures counted as accuracy 0.

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
    # Compared as written, or it could say "0.0 points more".
    side = "as much as" if points(value) == "0.0" else f"{points(value)} points {'more' if value > 0 else 'less'} than"
    scope = count(int(row["architectures"]), "architecture")
    text = f"{prefix}{ours} reaches {100 * row['accuracy']:.1f} % test accuracy on average, {side} {theirs} ({scope}"
    if row["architectures"] < FEWEST_FOR_MEAN:
        text += "; too few for an interval, so which is better is open)."
    else:
        ends = f"{100 * row['difference_low']:+.1f} to {100 * row['difference_high']:+.1f} points"
        unsure = row["difference_low"] <= 0 <= row["difference_high"]
        text += f"; 95 % interval {ends}{', so which is better is open' if unsure else ''})."
    return text + _failed_words(row, difference)


def _failed_words(row: Row, difference: Row) -> str:
    """How many trainings ended badly, and what the difference would be without them."""
    parts = [f"{row[status]} {word}" for status, word in _OUTCOMES.items() if row[status]]
    if not parts:
        return ""
    text = f" Of {row['trainings']} trainings by {row['algorithm']} {' and '.join(parts)}; each counts as accuracy 0."
    if difference and difference["pairs"]:
        text += f" Over the trainings that both algorithms finished, the difference is {100 * difference['difference']:+.1f} points."
    return text


_OUTCOMES = {"diverged": "diverged", "failed": "failed", "refused": "were refused"}


def cost_sentence(flops: CostRatio, seconds: CostRatio, baseline: str, challenger: str) -> str:
    """What the challenger was charged against the baseline; empty where neither FLOPs nor seconds are known.

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
    """What it loses to choose the best architecture by the challenger's ranking and train it by the baseline.

    Empty where that is unknown, and where there is nothing to choose from.

    Args:
        row: of `transfer_regret`; empty if there is none.
    """
    if not known(row, "transfer_regret") or row["architectures"] < 2:
        return ""
    lost = float(row["transfer_regret"])
    interval = ""
    if known(row, "regret_low", "regret_high"):
        # A negative regret is written as a gain, so both ends change sign and order.
        ends = sorted((-row["regret_low"], -row["regret_high"]) if lost < 0 else (row["regret_low"], row["regret_high"]))
        interval = f", 95 % interval {100 * ends[0]:.1f} to {100 * ends[1]:.1f}"
    fair = "chosen and scored on different seeds" if row["disjoint"] else "chosen and scored on the same seed, so too large"
    # As above: a difference that is written as 0.0 has no direction.
    change = "changes nothing" if points(lost) == "0.0" else f"{'loses' if lost > 0 else 'gains'} {points(lost)} points"
    return (
        f"Choosing the best architecture by {row['chosen_by']} and training it by {row['trained_by']} {change} of test accuracy, compared "
        f"with choosing by {row['trained_by']} ({fair}{interval})."
    )


def driver_words(rows: Sequence[Row], baseline: str, challenger: str, comparisons: int) -> str:
    """The feature that the challenger favours or avoids most clearly, compared with the baseline; empty where none is beyond chance.

    Args:
        rows: of `interaction_drivers`.
        baseline: label of the algorithm compared with.
        challenger: label of the other.
        comparisons: how many challengers there are; p-values are corrected for them as well as for the features.
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
    """A row of `find_crossovers` in words.

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
    # NaN: too few studies for an interval; infinite: beyond what was tried.
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
        sure = "" if np.isnan(high) or high == low else f", though not beyond doubt ({interval})"
        return f"{tuned} is ahead of {other} from its first proposal on: there is no crossover{sure}."
    sure = "" if np.isnan(low) or np.isinf(low) else f", though it may ({interval})"
    return f"Tuning {tuned} does not overtake {other} within the {tried} trainings per architecture that were tried{sure}."
