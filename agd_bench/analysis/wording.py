"""The finding in words, with its uncertainty, also where there is none. It never says more than the numbers do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from agd_bench.analysis.accuracy import accuracy_difference
from agd_bench.analysis.agreement import FEWEST_FOR_INTERVAL, kendall_tau
from agd_bench.analysis.charging import charged_cost
from agd_bench.analysis.pairing import comparison_groups, scores
from agd_bench.errors import InputError

Verdict = Literal["changed", "not shown", "undecided"]
LOW_CEILING = 0.3
"""A ranking that agrees with itself less than this over seeds is mostly noise, and the reader is told."""


@dataclass(frozen=True)
class Finding:
    """What one challenger does against the baseline in one comparison group.

    Attributes:
        group: search space, data set, profile.
        baseline: label of the algorithm compared with.
        challenger: label of the other.
        accuracy: sentence about accuracy.
        cost: sentence about charged cost.
        ranking: sentence about the rank shift against seed noise.
        verdict: whether the ranking changes more than seed noise alone would change it.
        headline: all of it in one sentence, for a terminal or a list.
    """

    group: tuple[str, str, str]
    baseline: str
    challenger: str
    accuracy: str
    cost: str
    ranking: str
    verdict: Verdict
    headline: str

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences that there is something to say in."""
        return tuple(sentence for sentence in (self.accuracy, self.cost, self.ranking) if sentence)


def finding(
    trials: pd.DataFrame, baseline: str, challenger: str, metric: str = "test_accuracy", agreement: pd.DataFrame | None = None
) -> Finding:
    """The finding of one comparison group about one challenger.

    Args:
        trials: the trials of one comparison group.
        baseline: label of the algorithm to compare with.
        challenger: label of the other.
        metric: which accuracy.
        agreement: the group's table of `kendall_tau`, where it is at hand.

    Raises:
        InputError: trials of none or several groups.
        UnknownNameError: a label that the group does not hold.

    >>> rows = [(g, a, v) for g, accuracies in (("agd", (0.5, 0.6)), ("sgd", (0.9, 0.7))) for a, v in zip("xy", accuracies)]
    >>> trials = pd.DataFrame(rows, columns=["algorithm", "architecture", "test_accuracy"]).assign(search_space="s", dataset="d",
    ...     profile="p", purpose="final", status="done", seed=0, study=None, charged_seconds=9.0, flops=None, energy_joules=None,
    ...     peak_memory_bytes=None, attempts=1)
    >>> print(finding(trials, "sgd", "agd").ranking)
    The two rankings of 2 architectures have a Kendall's tau of -1.00, but with one seed nobody can tell that from seed noise: undecided.
    """
    groups = [key for key, _ in comparison_groups(trials)]
    if len(groups) != 1:
        raise InputError(
            f"a finding is about one comparison group, not {len(groups)}; give the rows of one search space, data set, profile"
        )
    for group in scores(trials, metric):
        group.position(baseline)
        group.position(challenger)
    table = kendall_tau(trials, metric) if agreement is None else agreement
    ranking, verdict = _ranking(table, baseline, challenger)
    difference = accuracy_difference(trials, baseline, challenger, metric).iloc[0]
    accuracy = _accuracy(trials, difference, baseline, challenger, metric)
    headline = _headline(trials, difference, table, baseline, challenger, metric, verdict)
    return Finding(groups[0], baseline, challenger, accuracy, _cost(trials, baseline, challenger), ranking, verdict, headline)


def points(share: float) -> str:
    """A share as percentage points without its sign.

    >>> points(-0.0312)
    '3.1'
    """
    return f"{abs(100 * share):.1f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


_VERDICTS: dict[Verdict, str] = {
    "changed": "the ranking of the architectures changes more than seed noise alone would change it",
    "not shown": "a change of the ranking beyond seed noise is not shown",
    "undecided": "whether the ranking changes is undecided",
}


def _headline(
    trials: pd.DataFrame,
    difference: pd.Series[Any],
    agreement: pd.DataFrame,
    baseline: str,
    challenger: str,
    metric: str,
    verdict: Verdict,
) -> str:
    """Accuracy, charged cost and ranking in one sentence; what cannot be said is left out."""
    clauses = []
    if difference["pairs"]:
        bounds = (100 * difference["low"], 100 * difference["high"])
        interval = f" (95 % interval {bounds[0]:+.1f} to {bounds[1]:+.1f})" if np.isfinite(difference["low"]) else ""
        clauses.append(f"{100 * difference['difference']:+.1f} points of {_metric_name(metric)}{interval}")
    sums = _charged(trials, baseline, challenger)
    if sums and np.isfinite(sums[challenger]["flops"]) and sums[baseline]["flops"] > 0:
        clauses.append(f"{sums[challenger]['flops'] / sums[baseline]['flops']:.2f} times the charged FLOPs")
    pair = agreement[agreement["algorithm"].isin([baseline, challenger]) & agreement["other"].isin([baseline, challenger])]
    row = pair[pair["algorithm"] != pair["other"]].iloc[:1]
    numbers = ""
    if len(row) and np.isfinite(row["kendall_tau"].iloc[0]) and np.isfinite(row["noise_ceiling"].iloc[0]):
        numbers = f" (Kendall's tau {row['kendall_tau'].iloc[0]:.2f}, seed noise alone {row['noise_ceiling'].iloc[0]:.2f})"
    return f"{challenger} against {baseline}: {', '.join([*clauses, ''])}{_VERDICTS[verdict]}{numbers}."


def _metric_name(metric: str) -> str:
    return metric.replace("_", " ").replace("val ", "validation ")


def _accuracy(trials: pd.DataFrame, row: pd.Series[Any], baseline: str, challenger: str, metric: str) -> str:
    final = trials[trials["purpose"] == "final"]
    told = final[final["algorithm"].isin([baseline, challenger])]
    waiting = int(told["status"].isin(["pending", "running"]).sum())
    prefix = f"So far ({len(told) - waiting} of {len(told)} final trials of the two have ended), " if waiting else ""
    if row["pairs"] == 0:
        text = (
            f"{prefix}no architecture was trained to its end by both {challenger} and {baseline}, so their accuracies cannot be compared."
        )
        return (text[0].upper() + text[1:] if not prefix else text) + _diverged(told, baseline, challenger)
    what = _metric_name(metric)
    difference = float(row["difference"])
    side = "as much as" if points(difference) == "0.0" else f"{points(difference)} points {'more' if difference > 0 else 'less'} than"
    scope = f"{_count(int(row['architectures']), 'architecture')}, {row['pairs']} trials of each"
    text = f"{prefix}{challenger} reached {100 * row['challenger_accuracy']:.1f} % {what} on average, {side} {baseline} ({scope})"
    if not np.isfinite(row["low"]):
        text += "; from one architecture nothing follows about others."
    else:
        interval = f"95 % interval of the difference {100 * row['low']:+.1f} to {100 * row['high']:+.1f} points"
        undecided = row["low"] <= 0 <= row["high"]
        text += f"; {interval}" + (": which of the two is better on average is undecided." if undecided else ".")
    return text + _diverged(told, baseline, challenger)


def _diverged(told: pd.DataFrame, baseline: str, challenger: str) -> str:
    """What ended otherwise than well, for both algorithms: it is not in the means."""
    parts = []
    for label in (challenger, baseline):
        counts = told.loc[told["algorithm"] == label, "status"].value_counts()
        total = int(counts.sum())
        parts += [f"{counts[status]} of {total} by {label} {word}" for status, word in _OUTCOMES.items() if counts.get(status, 0)]
    return f" Not in these means: {'; '.join(parts)}." if parts else ""


_OUTCOMES = {"diverged": "diverged", "failed": "failed", "refused": "were refused"}


def _charged(trials: pd.DataFrame, baseline: str, challenger: str) -> dict[Any, dict[Any, float]]:
    """Charged seconds and FLOPs by algorithm, on the architectures that both are through with; empty where there are none."""
    pair = trials[trials["algorithm"].isin([baseline, challenger])]
    outcome = next(scores(pair), None)
    if outcome is None:
        return {}
    ended = np.array(outcome.architectures, dtype=object)[outcome.complete().all(axis=0)]
    if len(ended) == 0:
        return {}
    cost = charged_cost(pair, by_architecture=True)
    kept = cost[cost["architecture"].isin(ended)].groupby("algorithm")[["charged_seconds", "flops"]]
    # One architecture without a figure makes the sum missing.
    return kept.sum(min_count=len(ended)).astype(float).to_dict("index")


def _cost(trials: pd.DataFrame, baseline: str, challenger: str) -> str:
    """Charged cost on the architectures that both algorithms are through with."""
    sums = _charged(trials, baseline, challenger)
    if not sums:
        return ""
    ours, theirs = sums[challenger], sums[baseline]
    ratios = []
    if np.isfinite(ours["flops"]) and theirs["flops"] > 0:
        ratios.append(f"{ours['flops'] / theirs['flops']:.2f} times the floating-point operations")
    if np.isfinite(ours["charged_seconds"]) and theirs["charged_seconds"] > 0:
        seconds = f"{ours['charged_seconds'] / theirs['charged_seconds']:.2f} times the seconds"
        spent, compared = duration(ours["charged_seconds"]), duration(theirs["charged_seconds"])
        ratios.append(f"{seconds} ({spent} against {compared})")
    if not ratios:
        return ""
    return f"Tuning and failed attempts included, {challenger} was charged {' and '.join(ratios)} of {baseline} on the same architectures."


def duration(seconds: float) -> str:
    """Seconds in a unit that reads well.

    >>> duration(42.0), duration(90.0), duration(7200.0)
    ('42 s', '1.5 min', '2.0 h')
    """
    if seconds < 60:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _ranking(table: pd.DataFrame, baseline: str, challenger: str) -> tuple[str, Verdict]:
    """The sentence about the ranking, and the verdict."""
    pair = {baseline, challenger}
    found = [row for row in table.to_dict("records") if {row["algorithm"], row["other"]} == pair]
    if not found or found[0]["architectures"] < 2:
        return "Fewer than two architectures have an outcome for every seed under both, so there are no rankings to compare.", "undecided"
    row = found[0]
    count, tau, ceiling, gap = row["architectures"], row["kendall_tau"], row["noise_ceiling"], row["gap"]
    if not np.isfinite(tau):
        return f"All of the {count} architectures are tied under one of the two, so there is no ranking to compare.", "undecided"
    if row["seeds"] == 1:
        start = f"The two rankings of {count} architectures have a Kendall's tau of {tau:.2f}"
        return f"{start}, but with one seed nobody can tell that from seed noise: undecided.", "undecided"
    if not np.isfinite(ceiling):
        return f"Kendall's tau between the two rankings is {tau:.2f}; its noise ceiling could not be estimated: undecided.", "undecided"
    scope = f"{count} architectures, both at {_count(int(row['seeds_compared']), 'seed')}"
    text = f"Between the two rankings Kendall's tau is {tau:.2f}; seed noise alone would make it about {ceiling:.2f} ({scope}). "
    if ceiling < LOW_CEILING:
        text += "That ceiling is low: at so few seeds the ranking is mostly noise. "
    if not np.isfinite(row["gap_low"]):
        few = f"from {count} architectures (fewer than {FEWEST_FOR_INTERVAL}) " if count < FEWEST_FOR_INTERVAL else ""
        return f"{text}No interval can be given {few}for the gap of {gap:+.2f}: undecided.", "undecided"
    interval = f"{gap:+.2f} (95 % interval {row['gap_low']:+.2f} to {row['gap_high']:+.2f})"
    if row["gap_high"] < 0:
        return f"{text}The gap of {interval} says that the ranking changes more than seed noise alone would change it.", "changed"
    if row["gap_low"] > 0:
        return f"{text}The gap of {interval} gives no sign of a change beyond seed noise.", "not shown"
    return f"{text}The gap of {interval} includes 0: a change of the ranking beyond seed noise is not shown, nor excluded.", "not shown"
