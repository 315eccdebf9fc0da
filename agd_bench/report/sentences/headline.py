"""The answer of one comparison in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from agd_bench.analysis.rows import Row, known
from agd_bench.report.sentences.numbers import points

MOST_NAMED = 3
"""Algorithms that a sentence names before it counts them."""


def headline_sentence(rows: Sequence[Row], baseline: str) -> str:
    """Who is best, and which algorithms rank the architectures like the baseline.

    Args:
        rows: of `standings`, the best first, with `decision`: the row of `ranking_decisions` about the algorithm, or an empty one.
        baseline: label of the algorithm compared with.
    """
    others = [row for row in rows if row["algorithm"] != baseline]
    if not rows or not known(rows[0], "accuracy"):
        return "No architecture has an outcome under every algorithm yet, so nothing can be compared."
    if not others or len(others) == len(rows):
        reached = f"{rows[0]['algorithm']} reaches {100 * rows[0]['accuracy']:.1f} % test accuracy on average"
        return f"{reached}; there is nothing to compare it with."
    first = _only_pair(others[0], baseline) if len(others) == 1 else _leaders(rows)
    failing = [row for row in rows if row["bad"]]
    failed = f"; trainings that ended badly count as accuracy 0 ({_failures(failing)})" if failing else ""
    return f"{first}; {_rankings(others, baseline)}{failed}."


def _only_pair(row: Row, baseline: str) -> str:
    value = float(row["difference"])
    # Where the interval holds 0, the sign of the estimate decides nothing.
    if known(row, "difference_low", "difference_high") and row["difference_low"] <= 0 <= row["difference_high"]:
        return f"The data cannot tell whether {row['algorithm']} or {baseline} reaches the higher test accuracy ({100 * value:+.1f} points)"
    side = "more" if value > 0 else "less"
    return f"{row['algorithm']} reaches {points(value)} points {side} test accuracy than {baseline}"


def _leaders(rows: Sequence[Row]) -> str:
    best = f"{rows[0]['algorithm']} reaches the highest test accuracy, {100 * rows[0]['accuracy']:.1f} %"
    if not known(rows[0], "place_low"):
        return f"{best}, but from {rows[0]['architectures']} architectures no order of the algorithms follows"
    # Algorithms for which the first place cannot be excluded.
    equal = [row["algorithm"] for row in rows[1:] if row["place_low"] == 1]
    return f"{best}, ahead of all others" if not equal else f"{best}, not clearly ahead of {_named(equal)}"


def _rankings(others: Sequence[Row], baseline: str) -> str:
    """Which algorithms rank the architectures differently or alike, and for which the data cannot tell."""
    by: dict[str, list[str]] = {"differs": [], "same": [], _CANNOT_TELL: []}
    for row in others:
        by[row["decision"].get("decision", _CANNOT_TELL)].append(row["algorithm"])
    if len(by[_CANNOT_TELL]) == len(others):
        whose = others[0]["algorithm"] if len(others) == 1 else "any of the others"
        return f"the data cannot tell whether {whose} ranks the architectures like {baseline}"
    parts = [f"{_named(by[decision])} {_SAID[decision][len(by[decision]) > 1]} {baseline}" for decision in _SAID if by[decision]]
    if by[_CANNOT_TELL]:
        parts.append(f"for {_named(by[_CANNOT_TELL])} the data cannot tell")
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]


_CANNOT_TELL = "cannot tell"
_SAID = {
    "differs": ("ranks the architectures differently from", "rank the architectures differently from"),
    "same": ("ranks them like", "rank them like"),
}


def _named(labels: Sequence[str]) -> str:
    """A few labels by name, more of them by number."""
    if len(labels) > MOST_NAMED:
        return f"{len(labels)} of the algorithms"
    return " and ".join(filter(None, [", ".join(labels[:-1]), labels[-1]]))


def _failures(rows: Sequence[Row]) -> str:
    if len(rows) > MOST_NAMED:
        return f"of {len(rows)} algorithms"
    return ", ".join(f"{row['bad']} of {row['trainings']} by {row['algorithm']}" for row in rows)
