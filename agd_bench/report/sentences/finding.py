"""The finding in words, with its uncertainty, also where there is none. It never says more than the published tables do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from agd_bench.analysis.intervals import FEWEST_FOR_MEAN
from agd_bench.analysis.multiple_testing import holm
from agd_bench.analysis.rows import Row, Tables, find_pair, first_row, known, rows_of
from agd_bench.analysis.scores import GROUP
from agd_bench.errors import InputError, UnknownNameError
from agd_bench.report.sentences.accuracy import accuracy_words, cost_words, crossover_sentence, driver_words, regret_words
from agd_bench.report.sentences.rankings import Verdict, decile_words, moved_words, ranking_words


@dataclass(frozen=True)
class Finding:
    """What one challenger does against the baseline in one comparison group.

    Attributes:
        group: search space, data set, profile.
        baseline: label of the algorithm compared with.
        challenger: label of the other.
        sentences: ranking, how many architectures move, the ranking among the best tenth, regret, accuracy, charged cost, crossover,
            what drives the shift; those that there is something to say in.
        verdict: whether the ranking changes more than seed noise alone would change it.
        headline: all of it in one sentence, for a terminal or a list.
    """

    group: tuple[str, str, str]
    baseline: str
    challenger: str
    sentences: tuple[str, ...]
    verdict: Verdict
    headline: str


def finding(tables: Tables, baseline: str, challenger: str) -> Finding:
    """The finding of one comparison group about one challenger.

    Args:
        tables: by name, the group's rows of `accuracy_table` (as `accuracy`), `ranks`, `kendall_tau`, `transfer_regret`, `charged_cost`
            by architecture (as `cost_by_architecture`), and `accuracy_difference` with columns `baseline` and `challenger`; where they are
            at hand also of `kendall_tau_top_decile`, `crossover`, and `rank_shift` and `interaction_drivers` with those columns.
        baseline: label of the algorithm to compare with.
        challenger: label of the other.

    Raises:
        InputError: rows of none or several groups.
        UnknownNameError: a label that the group does not hold.
    """
    accuracy = tables["accuracy"]
    groups = list(accuracy[GROUP].drop_duplicates().itertuples(index=False, name=None))
    if len(groups) != 1:
        raise InputError(
            f"a finding is about one comparison group, not {len(groups)}; give the rows of one search space, data set, profile"
        )
    for label in (baseline, challenger):
        if label not in set(accuracy["algorithm"]):
            raise UnknownNameError("algorithm", label, accuracy["algorithm"])
    pair = find_pair(tables["kendall_tau"], baseline, challenger)
    adjusted = _adjusted(tables["kendall_tau"], baseline)
    fitted = _adjusted(tables["kendall_tau"], baseline, "shift_p_fitted")
    ranking, verdict = ranking_words(pair, adjusted.get(challenger, float("nan")), len(adjusted), fitted.get(challenger, float("nan")))
    difference = first_row(tables["accuracy_difference"], baseline=baseline, challenger=challenger)
    counts = accuracy.set_index("algorithm").loc[[challenger, baseline]]
    sums = _charged(tables, baseline, challenger)
    said = (
        ranking,
        moved_words(_about(tables, "rank_shift", baseline, challenger)),
        decile_words(find_pair(tables["kendall_tau_top_decile"], baseline, challenger)) if "kendall_tau_top_decile" in tables else "",
        regret_words(first_row(tables["transfer_regret"], chosen_by=challenger, trained_by=baseline)),
        accuracy_words(counts, difference, baseline, challenger),
        cost_words(sums[challenger], sums[baseline], baseline, challenger) if sums else "",
        _crossover(tables, baseline, challenger),
        _driver(tables, baseline, challenger, max(1, len(adjusted))),
    )
    headline = _headline(difference, pair, sums, baseline, challenger, verdict)
    return Finding(groups[0], baseline, challenger, tuple(sentence for sentence in said if sentence), verdict, headline)


def _adjusted(agreement: pd.DataFrame, baseline: str, column: str = "shift_p") -> dict[str, float]:
    """Corrected p-values of the comparisons with the baseline that could be tested, by challenger."""
    if column not in agreement:
        return {}
    pairs = agreement[(agreement["algorithm"] != agreement["other"]) & agreement[column].notna()]
    others = {row["other"] if row["algorithm"] == baseline else row["algorithm"]: float(row[column])
              for row in pairs.to_dict("records") if baseline in (row["algorithm"], row["other"])}  # fmt: skip
    return dict(zip(others, (float(p) for p in holm(np.array(list(others.values())))), strict=True)) if others else {}


def _charged(tables: Tables, baseline: str, challenger: str) -> dict[str, Row]:
    """Charged seconds and FLOPs by algorithm, on the architectures that both are through with; empty where there are none."""
    ranks = tables["ranks"]
    ended = [set(ranks.loc[ranks["algorithm"] == label, "architecture"]) for label in (baseline, challenger)]
    shared = ended[0] & ended[1]
    if not shared:
        return {}
    cost = tables["cost_by_architecture"]
    kept = cost[cost["algorithm"].isin([baseline, challenger]) & cost["architecture"].isin(shared)]
    # One architecture without a figure makes the sum missing.
    sums = kept.groupby("algorithm")[["charged_seconds", "flops"]].sum(min_count=len(shared)).astype(float)
    return {str(label): row for label, row in sums.to_dict("index").items()}


def _crossover(tables: Tables, baseline: str, challenger: str) -> str:
    """After how much compute the one that is tuned overtakes the one that is not; empty for two of a kind."""
    table = tables.get("crossover")
    if table is None or table.empty:
        return ""
    found = table[table["tuned"].isin([baseline, challenger]) & table["self_tuning"].isin([baseline, challenger])]
    return "" if found.empty else crossover_sentence(rows_of(found)[0])


def _about(tables: Tables, name: str, baseline: str, challenger: str) -> pd.DataFrame:
    """Rows of a table about this challenger; none where the table is not at hand."""
    table = tables.get(name)
    if table is None or table.empty:
        return pd.DataFrame()
    return table[(table["baseline"] == baseline) & (table["challenger"] == challenger)]


def _driver(tables: Tables, baseline: str, challenger: str, comparisons: int) -> str:
    """The feature that the challenger favours or shuns most clearly; empty where none is beyond chance."""
    found = _about(tables, "interaction_drivers", baseline, challenger)
    return driver_words(rows_of(found), baseline, challenger, comparisons)


_VERDICTS: dict[Verdict, str] = {
    "changed": "the ranking of the architectures changes more than seed noise alone would change it",
    "not shown": "a change of the ranking beyond seed noise is not shown",
    "undecided": "whether the ranking changes is undecided",
}


def _headline(difference: Row, pair: Row, sums: dict[str, Row], baseline: str, challenger: str, verdict: Verdict) -> str:
    """Accuracy, charged cost and ranking in one sentence; what cannot be said is left out."""
    clauses = []
    if difference["pairs"]:
        bounds = (100 * difference["low"], 100 * difference["high"])
        enough = known(difference, "low", "high") and difference["architectures"] >= FEWEST_FOR_MEAN
        interval = f" (95 % interval {bounds[0]:+.1f} to {bounds[1]:+.1f})" if enough else ""
        clauses.append(f"{100 * difference['difference']:+.1f} points of test accuracy{interval}")
    if sums and known(sums[challenger], "flops") and known(sums[baseline], "flops") and sums[baseline]["flops"] > 0:
        clauses.append(f"{sums[challenger]['flops'] / sums[baseline]['flops']:.2f} times the charged FLOPs")
    numbers = ""
    if known(pair, "kendall_tau", "noise_ceiling"):
        numbers = f" (Kendall's tau {pair['kendall_tau']:.2f}, seed noise alone {pair['noise_ceiling']:.2f})"
    return f"{challenger} against {baseline}: {', '.join([*clauses, ''])}{_VERDICTS[verdict]}{numbers}."
