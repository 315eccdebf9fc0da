"""Sentences about accuracy, its cost, and what a choice of architecture loses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from agd_bench.analysis.costs.crossover import STATES
from agd_bench.analysis.intervals import FEWEST_FOR_MEAN
from agd_bench.analysis.multiple_testing import ALPHA
from agd_bench.analysis.rows import Row, known
from agd_bench.report.sentences.numbers import count, duration, points


def accuracy_words(counts: pd.DataFrame, row: Row, baseline: str, challenger: str) -> str:
    """How much accuracy the challenger reached, against the baseline.

    Args:
        counts: the two rows of `accuracy_table`, indexed by label, the challenger's first.
        row: of `accuracy_difference`.
        baseline: label of the algorithm compared with.
        challenger: label of the other.
    """
    total, waiting = int(counts[_STATUSES].to_numpy().sum()), int(counts["unfinished"].sum())
    prefix = f"So far ({total - waiting} of {total} final trials of the two have ended), " if waiting else ""
    missing = _left_out(counts)
    if row["pairs"] == 0:
        start = f"{prefix}no" if prefix else "No"
        reason = "architecture was trained to its end by both"
        return f"{start} {reason} {challenger} and {baseline}, so their accuracies cannot be compared.{missing}"
    difference = float(row["difference"])
    side = "as much as" if points(difference) == "0.0" else f"{points(difference)} points {'more' if difference > 0 else 'less'} than"
    scope = f"{count(int(row['architectures']), 'architecture')}, {row['pairs']} trials of each"
    reached = f"{challenger} reached {100 * row['challenger_accuracy']:.1f} % test accuracy on average"
    text = f"{prefix}{reached}, {side} {baseline} ({scope})"
    if not known(row, "low"):
        return f"{text}; from one architecture nothing follows about others.{missing}"
    if row["architectures"] < FEWEST_FOR_MEAN:
        return f"{text}; so few architectures are too few for an interval of the difference, and which is better is undecided.{missing}"
    interval = f"95 % interval of the difference {100 * row['low']:+.1f} to {100 * row['high']:+.1f} points"
    undecided = row["low"] <= 0 <= row["high"]
    return f"{text}; {interval}{': which of the two is better on average is undecided' if undecided else ''}.{missing}"


_OUTCOMES = {"diverged": "diverged", "failed": "failed", "refused": "were refused"}
_STATUSES = ["done", *_OUTCOMES, "unfinished"]


def _left_out(counts: pd.DataFrame) -> str:
    """What ended otherwise than well, for both algorithms: it is not in the means."""
    parts = []
    for label, row in counts.iterrows():
        total = int(row[_STATUSES].sum())
        parts += [f"{row[status]} of {total} by {label} {word}" for status, word in _OUTCOMES.items() if row[status]]
    return f" Not in these means: {'; '.join(parts)}." if parts else ""


def cost_words(ours: Row, theirs: Row, baseline: str, challenger: str) -> str:
    """What the challenger was charged against the baseline; empty where neither FLOPs nor seconds are known.

    Args:
        ours: the challenger's `charged_seconds` and `flops`, summed over the architectures that both are through with.
        theirs: the baseline's.
        baseline: label of the algorithm compared with.
        challenger: label of the other.
    """
    ratios = []
    if known(ours, "flops") and known(theirs, "flops") and theirs["flops"] > 0:
        ratios.append(f"{ours['flops'] / theirs['flops']:.2f} times the floating-point operations")
    if known(ours, "charged_seconds") and known(theirs, "charged_seconds") and theirs["charged_seconds"] > 0:
        spent, compared = duration(ours["charged_seconds"]), duration(theirs["charged_seconds"])
        ratios.append(f"{ours['charged_seconds'] / theirs['charged_seconds']:.2f} times the seconds ({spent} against {compared})")
    if not ratios:
        return ""
    return f"Tuning and failed attempts included, {challenger} was charged {' and '.join(ratios)} of {baseline} on the same architectures."


def regret_words(row: Row) -> str:
    """What it loses to choose the best architecture by the challenger's ranking and train it by the baseline.

    Empty where that is unknown, and where there is nothing to choose from.

    Args:
        row: of `transfer_regret`; empty if there is none.
    """
    if not known(row, "transfer_regret") or row["architectures"] < 2:
        return ""
    interval = ""
    if known(row, "regret_low", "regret_high"):
        interval = f", 95 % interval {100 * row['regret_low']:+.1f} to {100 * row['regret_high']:+.1f}"
    fair = "chosen and scored on other seeds" if row["disjoint"] else "chosen and scored on the same seed, so too high"
    return (
        f"Who chooses the best architecture by {row['chosen_by']} and trains it by {row['trained_by']} loses "
        f"{100 * row['transfer_regret']:+.1f} points against choosing by {row['trained_by']} ({fair}{interval})."
    )


def driver_words(rows: Sequence[Row], baseline: str, challenger: str, comparisons: int) -> str:
    """The feature that the challenger favours or shuns most clearly, compared with the baseline; empty where none is beyond chance.

    Args:
        rows: of `interaction_drivers`.
        baseline: label of the algorithm compared with.
        challenger: label of the other.
        comparisons: how many challengers there are; p-values are corrected for them as well as for the features.
    """
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
