"""What is found about one challenger, in sentences. They say no more than the published tables do."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from agd_bench.analysis.costs.ratios import cost_ratio
from agd_bench.analysis.rankings.decision import Decision
from agd_bench.analysis.rows import Tables, find_pair, first_row, rows_of
from agd_bench.analysis.scores import GROUP
from agd_bench.errors import InputError, UnknownNameError
from agd_bench.report.sentences.accuracy import accuracy_sentence, cost_sentence, crossover_sentence, driver_words, regret_words
from agd_bench.report.sentences.rankings import decile_words, moved_words, ranking_sentence


@dataclass(frozen=True)
class Finding:
    """What one challenger does against the baseline in one comparison group.

    Attributes:
        group: search space, data set, profile.
        baseline: label of the algorithm compared with.
        challenger: label of the other.
        sentences: accuracy, charged cost, ranking, how many architectures move, the ranking among the best, regret, crossover, what
            drives the shift; those that there is something to say in.
        decision: whether the challenger ranks the architectures like the baseline.
    """

    group: tuple[str, str, str]
    baseline: str
    challenger: str
    sentences: tuple[str, ...]
    decision: Decision


def finding(tables: Tables, baseline: str, challenger: str) -> Finding:
    """The finding of one comparison group about one challenger.

    Args:
        tables: the group's rows of `aggregates`; of those, `standings`, `ranking_decisions`, `accuracy`, `accuracy_difference`, `ranks`,
            `transfer_regret` and `cost_by_architecture` are needed.
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
            f"a finding is about one comparison group, not {len(groups)}; give the rows of one search space, data set and profile"
        )
    for label in (baseline, challenger):
        if label not in set(accuracy["algorithm"]):
            raise UnknownNameError("algorithm", label, accuracy["algorithm"])
    decided = first_row(tables["ranking_decisions"], baseline=baseline, challenger=challenger)
    place = first_row(tables["standings"], baseline=baseline, algorithm=challenger)
    flops, seconds = (cost_ratio(tables, baseline, challenger, column) for column in ("flops", "charged_seconds"))
    # Trials without an end can still change the sentence, which then begins "So far".
    waiting = int(accuracy.loc[accuracy["algorithm"].isin([baseline, challenger]), "unfinished"].sum())
    # The number of challengers that the decisions were corrected for, so that all sentences agree.
    comparisons = max(1, int(decided["comparisons"]) if decided else 1)
    said = (
        accuracy_sentence(place, first_row(tables["accuracy_difference"], baseline=baseline, challenger=challenger), waiting),
        cost_sentence(flops, seconds, baseline, challenger),
        ranking_sentence(decided),
        moved_words(_about(tables, "rank_shift", baseline, challenger)),
        decile_words(find_pair(tables["kendall_tau_top_decile"], baseline, challenger)) if "kendall_tau_top_decile" in tables else "",
        regret_words(first_row(tables["transfer_regret"], chosen_by=challenger, trained_by=baseline)),
        _crossover(tables, baseline, challenger),
        driver_words(rows_of(_about(tables, "interaction_drivers", baseline, challenger)), baseline, challenger, comparisons),
    )
    decision: Decision = decided["decision"] if decided else "cannot tell"
    return Finding(groups[0], baseline, challenger, tuple(sentence for sentence in said if sentence), decision)


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
