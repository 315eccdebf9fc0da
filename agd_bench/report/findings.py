"""The result of one comparison in a sentence, and the finding about each challenger; neither states more than the published tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from agd_bench.analysis.accuracy import STATUSES
from agd_bench.analysis.costs.charges import cost_ratio
from agd_bench.analysis.rankings.decision import Decision
from agd_bench.analysis.rows import Row, Tables, find_pair, first_row, known, records, rows_of
from agd_bench.analysis.scores import GROUP
from agd_bench.errors import InputError, UnknownNameError
from agd_bench.report.sentences import (
    accuracy_sentence,
    cost_sentence,
    count,
    crossover_sentence,
    decile_words,
    driver_words,
    moved_words,
    points,
    ranking_sentence,
    regret_words,
)

MOST_NAMED = 3
"""Largest number of algorithms named in a sentence; more are counted."""


def headline_sentence(rows: Sequence[Row], baseline: str) -> str:
    """State which algorithm is best, and which ones rank the architectures like the baseline.

    Args:
        rows: of `standings`, best first, each with `decision`: the algorithm's row of `ranking_decisions`, or an empty one; and
            `no_success`: what `no_success` says of the algorithm.
        baseline: label of the algorithm compared with.
    """
    if not rows or not known(rows[0], "accuracy"):
        return "No architecture has an outcome under every algorithm yet, so nothing can be compared."
    trained = [row for row in rows if not row["no_success"]]
    alone = ["there is no other algorithm to compare it with"] if len(rows) == 1 else []
    # Last, because a reason is somebody else's text and may be long.
    return "; ".join([*_compared(trained, baseline), *alone, *_unsuccessful(rows)]) + "."


def _compared(rows: Sequence[Row], baseline: str) -> list[str]:
    """What the headline says of the algorithms that trained."""
    if len(rows) <= 1:
        return [f"{row['algorithm']} reaches {100 * row['accuracy']:.1f} % test accuracy on average" for row in rows]
    others = [row for row in rows if row["algorithm"] != baseline]
    compared = len(others) < len(rows)
    first = _only_pair(others[0], baseline) if compared and len(others) == 1 else _leaders(rows)
    failing = [row for row in rows if row["bad"]]
    failed = [f"unsuccessful trainings count as accuracy 0 ({_failures(failing)})"] if failing else []
    return [first, *([_rankings(others, baseline)] if compared else []), *failed]


def _unsuccessful(rows: Sequence[Row]) -> list[str]:
    """The algorithms without a successful training, those with the same reason together."""
    by: dict[str, list[str]] = {}
    for row in rows:
        if row["no_success"]:
            by.setdefault(row["no_success"], []).append(row["algorithm"])
    if len(by) > MOST_NAMED:
        return [f"{sum(map(len, by.values()))} of the algorithms succeeded in no training"]
    # A reason often goes on with what to do, which the finding shows.
    return [f"{_named(labels)} {said.partition(';')[0]}" for said, labels in by.items()]


def _only_pair(row: Row, baseline: str) -> str:
    value = float(row["difference"])
    # If the interval contains 0, the sign of the estimate is not conclusive.
    if known(row, "difference_low", "difference_high") and row["difference_low"] <= 0 <= row["difference_high"]:
        return f"The data cannot tell whether {row['algorithm']} or {baseline} reaches the higher test accuracy ({100 * value:+.1f} points)"
    side = "more" if value > 0 else "less"
    return f"{row['algorithm']} reaches {points(value)} points {side} test accuracy than {baseline}"


def _leaders(rows: Sequence[Row]) -> str:
    best = f"{rows[0]['algorithm']} reaches the highest test accuracy, {100 * rows[0]['accuracy']:.1f} %"
    if not known(rows[0], "place_low"):
        number = int(rows[0]["architectures"])
        return f"{best}, but {count(number, 'architecture')} {'is' if number == 1 else 'are'} too few to order the algorithms"
    # Algorithms that may also be in first place.
    equal = [row["algorithm"] for row in rows[1:] if row["place_low"] == 1]
    return f"{best}, ahead of all others" if not equal else f"{best}, not clearly ahead of {_named(equal)}"


def _rankings(others: Sequence[Row], baseline: str) -> str:
    """State which algorithms rank the architectures differently, which the same way, and for which the data cannot tell."""
    by: dict[str, list[str]] = {"differs": [], "same": [], _CANNOT_TELL: []}
    for row in others:
        by[row["decision"].get("decision", _CANNOT_TELL)].append(row["algorithm"])
    if len(by[_CANNOT_TELL]) == len(others):
        whose = others[0]["algorithm"] if len(others) == 1 else "any of the others"
        return f"the data cannot tell whether {whose} ranks the architectures like {baseline}"
    parts = [f"{_named(by[decision])} {_SAID[decision][len(by[decision]) > 1]} {baseline}" for decision in _SAID if by[decision]]
    if by[_CANNOT_TELL]:
        parts.append(f"the data cannot tell for {_named(by[_CANNOT_TELL])}")
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]


_CANNOT_TELL = "cannot tell"
_SAID = {
    "differs": ("ranks the architectures differently from", "rank the architectures differently from"),
    "same": ("ranks them like", "rank them like"),
}


def _named(labels: Sequence[str]) -> str:
    """Labels by name if they are few, otherwise their number."""
    if len(labels) > MOST_NAMED:
        return f"{len(labels)} of the algorithms"
    return " and ".join(filter(None, [", ".join(labels[:-1]), labels[-1]]))


def _failures(rows: Sequence[Row]) -> str:
    if len(rows) > MOST_NAMED:
        return f"of {len(rows)} algorithms"
    return ", ".join(f"{row['bad']} of {row['trainings']} by {row['algorithm']}" for row in rows)


@dataclass(frozen=True)
class Finding:
    """How one challenger compares with the baseline in one comparison group.

    Attributes:
        group: search space, data set, profile.
        baseline: label of the algorithm compared with.
        challenger: label of the other.
        sentences: on accuracy, charged cost, ranking, how many architectures move, the ranking among the best, regret, crossover, and what
            drives the shift; sentences without content are left out.
        decision: whether the challenger ranks the architectures like the baseline.
    """

    group: tuple[str, str, str]
    baseline: str
    challenger: str
    sentences: tuple[str, ...]
    decision: Decision


def finding(tables: Tables, baseline: str, challenger: str) -> Finding:
    """Describe one challenger in one comparison group.

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
            f"a finding needs exactly one comparison group, got {len(groups)}; pass the rows of one search space, data set and profile"
        )
    for label in (baseline, challenger):
        if label not in set(accuracy["algorithm"]):
            raise UnknownNameError("algorithm", label, accuracy["algorithm"])
    decided = first_row(tables["ranking_decisions"], baseline=baseline, challenger=challenger)
    place = first_row(tables["standings"], baseline=baseline, algorithm=challenger)
    flops, seconds = (cost_ratio(tables, baseline, challenger, column) for column in ("flops", "charged_seconds"))
    cost = cost_sentence(flops, seconds, baseline, challenger)
    unsuccessful = [f"{label} {words}." for label in (challenger, baseline) if (words := no_success(tables, label))]
    if unsuccessful:  # nothing was trained that the other could be compared with
        return Finding(groups[0], baseline, challenger, tuple([*unsuccessful, cost] if cost else unsuccessful), "cannot tell")
    # Trials that have not ended can still change the sentence, so it begins with "So far".
    waiting = int(accuracy.loc[accuracy["algorithm"].isin([baseline, challenger]), "unfinished"].sum())
    # The number of challengers that the decisions were corrected for, so that all sentences agree.
    comparisons = max(1, int(decided["comparisons"]) if decided else 1)
    said = (
        accuracy_sentence(place, first_row(tables["accuracy_difference"], baseline=baseline, challenger=challenger), waiting),
        cost,
        ranking_sentence(decided),
        moved_words(_about(tables, "rank_shift", baseline, challenger)),
        decile_words(find_pair(tables["kendall_tau_top_decile"], baseline, challenger)) if "kendall_tau_top_decile" in tables else "",
        regret_words(first_row(tables["transfer_regret"], chosen_by=challenger, trained_by=baseline)),
        _crossover(tables, baseline, challenger),
        driver_words(rows_of(_about(tables, "interaction_drivers", baseline, challenger)), baseline, challenger, comparisons),
    )
    decision: Decision = decided["decision"] if decided else "cannot tell"
    return Finding(groups[0], baseline, challenger, tuple(sentence for sentence in said if sentence), decision)


def no_success(tables: Tables, label: str) -> str:
    """What is said of an algorithm of which every training was refused, failed or diverged; empty if one succeeded or trials are left.

    Args:
        tables: the group's rows of `aggregates`; of those, `accuracy` is needed, and `failures` for the reason.
        label: of the algorithm.
    """
    outcomes = first_row(tables["accuracy"], algorithm=label)
    ended = {status: int(outcomes[status]) for status in (*STATUSES, "unfinished") if outcomes.get(status)}
    if not ended or not ended.keys() <= set(_NO_SUCCESS):
        return ""
    trainings = count(sum(ended.values()), "training")
    if len(ended) > 1:
        return f"succeeded in none of {trainings} ({', '.join(f'{number} {status}' for status, number in ended.items())})"
    (status,) = ended
    said = f"{_NO_SUCCESS[status]} all {trainings}"
    reasons = pd.DataFrame(records(tables, "failures"), columns=["algorithm", "purpose", "status", "reason", "trials"])
    own = reasons[(reasons["algorithm"] == label) & (reasons["purpose"] == "final") & (reasons["status"] == status)]
    if own.empty or not (commonest := own.sort_values("trials").iloc[-1])["reason"]:
        return said
    share = f" ({commonest['trials']} of them)" if len(own) > 1 else ""
    return f"{said}: {commonest['reason'].rstrip('.')}{share}"


_NO_SUCCESS = {"refused": "refused", "failed": "failed in", "diverged": "diverged in"}


def _crossover(tables: Tables, baseline: str, challenger: str) -> str:
    """The compute after which the tuned algorithm overtakes the self-tuning one; empty if both are of the same kind."""
    table = tables.get("crossover")
    if table is None or table.empty:
        return ""
    found = table[table["tuned"].isin([baseline, challenger]) & table["self_tuning"].isin([baseline, challenger])]
    return "" if found.empty else crossover_sentence(rows_of(found)[0])


def _about(tables: Tables, name: str, baseline: str, challenger: str) -> pd.DataFrame:
    """Rows of a table about this challenger; empty if the table is missing."""
    table = tables.get(name)
    if table is None or table.empty:
        return pd.DataFrame()
    return table[(table["baseline"] == baseline) & (table["challenger"] == challenger)]
