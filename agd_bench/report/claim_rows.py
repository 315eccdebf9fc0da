"""Evaluated claims for the page: sentence, state as a word and a sign, numbers with their unit, digest."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

SIGNS = {"holds": "✓", "fails": "✗", "undecided": "?"}
"""Shown next to the word, so a state is never indicated by colour alone."""


@dataclass(frozen=True)
class ShownClaim:
    """One claim on the page.

    Attributes:
        id: its name.
        sentence: what is claimed.
        state: holds, fails or undecided.
        sign: of the state.
        numbers: estimate and interval.
        rule: where the interval must lie.
        reason: of the state.
        digest: SHA-256 of the definition.
    """

    id: str
    sentence: str
    state: str
    sign: str
    numbers: str
    rule: str
    reason: str
    digest: str


def present_claims(claims: pd.DataFrame) -> list[ShownClaim]:
    """Format the claims for the page."""
    shown = []
    for row in claims.to_dict("records"):
        numbers = "no estimate"
        if not np.isnan(row["estimate"]):
            numbers = number(row["estimate"], row["unit"])
            if not np.isnan(row["low"]):
                ends = (number(row[end], row["unit"], bare=True) for end in ("low", "high"))
                numbers += f", {100 * row['level']:.4g} % interval {' to '.join(ends)}"
            numbers += f", n = {row['n']} architectures"
        threshold = json.loads(row["threshold"])
        limits = threshold if isinstance(threshold, list) else [threshold]
        rule = f"{row['test']} {' and '.join(number(limit, row['unit']) for limit in limits)}"
        shown.append(ShownClaim(row["id"], row["sentence"], row["state"], SIGNS[row["state"]], numbers, rule, row["reason"], row["digest"]))
    return shown


def describe_claims(claims: pd.DataFrame) -> list[str]:
    """The claims as lines for a terminal: two per claim, then the number in each state."""
    lines = []
    for claim in present_claims(claims):
        # 9: the length of the longest state, "undecided".
        lines.append(f"{claim.sign} {claim.state:<9}  {claim.sentence}")
        lines.append(f"             {claim.id}: {claim.numbers}; required {claim.rule}: {claim.reason}. SHA-256 {claim.digest[:16]}")
    return [*lines, count_states(claims)]


def number(value: float, unit: str, bare: bool = False) -> str:
    """A number of a claim in its unit; shares as points.

    >>> number(-0.0213, "share"), number(0.5, "times"), number(-0.12, "tau", bare=True)
    ('-2.1 points', '0.5 times', '-0.12')
    """
    text = f"{100 * value:.3g}" if unit == "share" else f"{value:.3g}"
    # Below 0.05 points, one decimal would show 0.0.
    text = f"{100 * value:.1f}" if unit == "share" and abs(value) >= 0.0005 else text
    words = {"share": "points", "tau": "in tau"}
    return text if bare else f"{text} {words.get(unit, unit)}"


def count_states(claims: pd.DataFrame) -> str:
    """The number of claims in each state, in words; `no claims` if there are none."""
    if claims.empty:
        return "no claims"
    counts = claims["state"].value_counts()
    words = {"holds": ("holds", "hold"), "fails": ("fails", "fail"), "undecided": ("undecided", "undecided")}
    return ", ".join(f"{SIGNS[state]} {counts[state]} {words[state][int(counts[state] > 1)]}" for state in SIGNS if counts.get(state, 0))
