"""Which trials of an unfinished run can be compared: those that have ended under every algorithm."""

from __future__ import annotations

import pandas as pd

from agd_bench.analysis.scores import comparison_groups

UNDER_WAY = ("pending", "running")


def complete_cases(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials that can be compared fairly so far; for a finished run, all.

    A case is one architecture and one seed. It is complete when the final trials of all algorithms have ended, with any outcome. Algorithms
    without an ended final trial keep their rows. Tuning trials are kept if a kept final trial uses their study.

    Args:
        trials: the table of trials; rows of trials that have not started may be left out, as in a published folder.

    Returns:
        The same rows in the same order, without those of incomplete cases; a group without a complete case keeps its rows.

    >>> trials = pd.DataFrame({"algorithm": ["agd", "sgd", "agd", "sgd"], "architecture": ["a", "a", "b", "b"], "seed": 0,
    ...     "purpose": "final", "study": None, "status": ["done", "diverged", "done", "pending"],
    ...     "search_space": "s", "dataset": "d", "profile": "p"})
    >>> complete_cases(trials)["architecture"].tolist()
    ['a', 'a']
    """
    # A published folder may leave out trials that have not started, which shows only in unequal cases.
    if not trials["status"].isin(UNDER_WAY).any() and _is_balanced(trials):
        return trials
    trials = trials.reset_index(drop=True)
    kept = [index for _, rows in comparison_groups(trials) for index in _complete_of(rows)]
    return trials.loc[trials.index.isin(kept)].reset_index(drop=True)


def count_cases(rows: pd.DataFrame) -> dict[str, int]:
    """Count the complete cases of one group.

    Args:
        rows: rows of one group from the table of trials.

    Returns:
        `algorithms` (with a final trial), `ahead` (those of which one has ended), `architectures` (with a
        complete case) and `cases`.
    """
    final = rows[rows["purpose"] == "final"]
    complete, ended = _complete_finals(final), final[~final["status"].isin(UNDER_WAY)]
    algorithms = {"algorithms": final["algorithm"].nunique(), "ahead": ended["algorithm"].nunique()}
    return algorithms | {
        "architectures": complete["architecture"].nunique(),
        "cases": len(complete[["architecture", "seed"]].drop_duplicates()),
    }


def _is_balanced(trials: pd.DataFrame) -> bool:
    """Whether the algorithms of each group have final trials of the same cases."""
    final = trials[trials["purpose"] == "final"]
    return all(
        len(rows) == len(rows[["architecture", "seed"]].drop_duplicates()) * rows["algorithm"].nunique()
        for _, rows in comparison_groups(final)
    )


def _complete_finals(final: pd.DataFrame) -> pd.DataFrame:
    """The final trials whose counterparts have all ended."""
    ended = final[~final["status"].isin(UNDER_WAY)]
    cases = ended.groupby(["architecture", "seed"], sort=False)["algorithm"].transform("size")
    # Otherwise an algorithm that is ahead would be evaluated and charged on different cases.
    return ended[cases == ended["algorithm"].nunique()]


def _complete_of(rows: pd.DataFrame) -> list[int]:
    final = rows[rows["purpose"] == "final"]
    complete = _complete_finals(final)
    if complete.empty:
        return list(rows.index)
    # An algorithm without any ended trial must not block the others.
    waiting = final[~final["algorithm"].isin(complete["algorithm"].unique())]
    # Tuning is charged only if a kept final trial used its choice.
    used = rows[(rows["purpose"] == "tuning") & rows["study"].isin([*complete["study"].dropna(), *waiting["study"].dropna()])]
    return [*complete.index, *waiting.index, *used.index]
