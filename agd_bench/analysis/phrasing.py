"""Sentences about one pair of algorithms, each from a row of a published table: accuracy, charged cost, ranking, regret."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from agd_bench.analysis.rankings.kendall import FEWEST_FOR_INTERVAL

Verdict = Literal["changed", "not shown", "undecided"]
Row = dict[str, Any]
LOW_CEILING = 0.3
"""A ranking that agrees with itself less than this over seeds is mostly noise, and the reader is told."""
FEWEST_FOR_MEAN = 4
"""Architectures from which on the t interval of a mean is told: of two it reaches 9 of their standard deviations to either side, which
can be further than 100 points, of three 2.5."""
ALPHA = 0.05
"""Familywise chance of calling a ranking changed that did not change."""


def points(share: float) -> str:
    """A share as percentage points without its sign.

    >>> points(-0.0312)
    '3.1'
    """
    return f"{abs(100 * share):.1f}"


def count(number: int, noun: str) -> str:
    """A number of things.

    >>> count(1, "seed"), count(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{number} {noun}" + ("" if number == 1 else "s")


def duration(seconds: float) -> str:
    """Seconds in a unit that reads well.

    >>> duration(42.0), duration(90.0), duration(7200.0)
    ('42 s', '1.5 min', '2.0 h')
    """
    if seconds < 60:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def known(row: Row, *keys: str) -> bool:
    """Whether the row has finite numbers for all the keys."""
    return all(row.get(key) is not None and bool(np.isfinite(row[key])) for key in keys)


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


def ranking_words(row: Row, adjusted_p: float = float("nan"), comparisons: int = 1) -> tuple[str, Verdict]:
    """The sentence about a ranking's change, and the verdict.

    Args:
        row: of `kendall_tau`; empty if the pair has none.
        adjusted_p: p-value of the test of 'no shift beyond noise', corrected for the number of comparisons; NaN: not tested.
        comparisons: how many rankings are compared with the baseline's.

    >>> row = {"architectures": 20, "seeds": 1, "kendall_tau": 0.61, "noise_ceiling": float("nan"), "gap": float("nan")}
    >>> ranking_words(row)[0]
    "The two rankings of 20 architectures have a Kendall's tau of 0.61, but with one seed nobody can tell that from seed noise: undecided."
    """
    if not row or row["architectures"] < 2:
        return "Fewer than two architectures have an outcome for every seed under both, so there are no rankings to compare.", "undecided"
    number, tau, ceiling = row["architectures"], row["kendall_tau"], row["noise_ceiling"]
    if not np.isfinite(tau):
        return f"All of the {number} architectures are tied under one of the two, so there is no ranking to compare.", "undecided"
    if row["seeds"] == 1:
        start = f"The two rankings of {number} architectures have a Kendall's tau of {tau:.2f}"
        return f"{start}, but with one seed nobody can tell that from seed noise: undecided.", "undecided"
    if not np.isfinite(ceiling):
        return f"Kendall's tau between the two rankings is {tau:.2f}; its noise ceiling could not be estimated: undecided.", "undecided"
    scope = f"{number} architectures, both at {count(int(row['seeds_compared']), 'seed')}"
    text = f"Between the two rankings Kendall's tau is {tau:.2f}; seed noise alone would make it about {ceiling:.2f} ({scope}). "
    if ceiling < LOW_CEILING:
        text += "That ceiling is low: at so few seeds the ranking is mostly noise. "
    if not known(row, "gap_low", "gap_high"):
        few = f"from {number} architectures (fewer than {FEWEST_FOR_INTERVAL}) " if number < FEWEST_FOR_INTERVAL else ""
        return f"{text}No interval can be given {few}for the gap of {row['gap']:+.2f}: undecided.", "undecided"
    judged, verdict = _judge(row, adjusted_p, comparisons)
    return text + judged, verdict


def _judge(row: Row, adjusted_p: float, comparisons: int) -> tuple[str, Verdict]:
    """What the gap's interval and the test say together."""
    gap = f"The gap of {row['gap']:+.2f} (95 % interval {row['gap_low']:+.2f} to {row['gap_high']:+.2f}{_test(adjusted_p, comparisons)})"
    tested = bool(np.isfinite(adjusted_p))
    if (adjusted_p <= ALPHA if tested else row["gap_high"] < 0) and row["gap"] < 0:
        reaches = ": by the test, though the interval reaches 0," if row["gap_high"] >= 0 else " says that"
        return f"{gap}{reaches} the ranking changes more than seed noise alone would change it.", "changed"
    if row["gap_high"] < 0:
        return f"{gap} points to a change, but the test does not confirm it: a change beyond seed noise is not shown.", "not shown"
    if row["gap_low"] > 0:
        return f"{gap} gives no sign of a change beyond seed noise.", "not shown"
    return f"{gap} includes 0: a change of the ranking beyond seed noise is not shown, nor excluded.", "not shown"


def _test(adjusted_p: float, comparisons: int) -> str:
    if not np.isfinite(adjusted_p):
        return ""
    corrected = f", corrected for {comparisons} comparisons" if comparisons > 1 else ""
    value = "p < 0.001" if adjusted_p < 0.001 else f"p = {adjusted_p:.3f}" if adjusted_p < 0.1 else f"p = {adjusted_p:.2f}"
    return f"; test of no shift beyond noise: {value}{corrected}"


def decile_words(row: Row) -> str:
    """The agreement of the two rankings among the best tenth of the architectures; empty where it is unknown.

    Args:
        row: of `kendall_tau` over the top decile; empty if there is none.
    """
    if not known(row, "kendall_tau", "noise_ceiling", "gap"):
        return ""
    numbers = f"Kendall's tau is {row['kendall_tau']:.2f} where seed noise alone would make it about {row['noise_ceiling']:.2f}"
    text = f"Among the top tenth ({row['architectures']} architectures, chosen by other seeds) {numbers}"
    if not known(row, "gap_low", "gap_high"):
        return f"{text}; they are too few for an interval."
    return f"{text} (gap {row['gap']:+.2f}, 95 % interval {row['gap_low']:+.2f} to {row['gap_high']:+.2f})."


def moved_words(shift: pd.DataFrame) -> str:
    """How many architectures move beyond noise; empty where that was not tested.

    Args:
        shift: `rank_shift` of one pair.
    """
    if shift.empty or "shift_p_holm" not in shift or not shift["shift_p_holm"].notna().any():
        return ""
    moved = int(shift["beyond_noise"].sum())
    verb = "moves" if moved == 1 else "move"
    return f"{moved or 'None'} of the {len(shift)} architectures {verb} by more ranks than seed noise explains, corrected for all of them."


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


def driver_words(rows: list[Row], baseline: str, challenger: str, comparisons: int) -> str:
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
