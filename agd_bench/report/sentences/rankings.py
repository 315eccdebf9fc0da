"""Sentences about two rankings of the architectures."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from agd_bench.analysis.bootstrap import FEWEST_FOR_INTERVAL
from agd_bench.analysis.multiple_testing import ALPHA
from agd_bench.analysis.rows import Row, known
from agd_bench.report.sentences.numbers import count

Verdict = Literal["changed", "not shown", "undecided"]
LOW_CEILING = 0.3
"""A ranking that agrees with itself less than this over seeds is mostly noise, and the reader is told."""


def ranking_words(row: Row, adjusted_p: float = float("nan"), comparisons: int = 1, fitted_p: float = float("nan")) -> tuple[str, Verdict]:
    """The sentence about a ranking's change, and the verdict.

    Args:
        row: of `kendall_tau`; empty if the pair has none.
        adjusted_p: p-value of the test of 'no shift beyond noise', corrected for the number of comparisons; NaN: not tested.
        comparisons: how many rankings are compared with the baseline's.
        fitted_p: like `adjusted_p`, of the test that trusts the fitted noise.

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
    judged, verdict = _judge(row, adjusted_p, comparisons, fitted_p)
    return text + judged, verdict


def _judge(row: Row, adjusted_p: float, comparisons: int, fitted_p: float) -> tuple[str, Verdict]:
    """What the gap's interval and the test say together."""
    gap = f"The gap of {row['gap']:+.2f} (95 % interval {row['gap_low']:+.2f} to {row['gap_high']:+.2f}{_test(adjusted_p, comparisons)})"
    tested = bool(np.isfinite(adjusted_p))
    if (adjusted_p <= ALPHA if tested else row["gap_high"] < 0) and row["gap"] < 0:
        reaches = ": by the test, though the interval reaches 0," if row["gap_high"] >= 0 else " says that"
        return f"{gap}{reaches} the ranking changes more than seed noise alone would change it.", "changed"
    if fitted_p <= ALPHA and row["gap"] < 0:
        noise = f"{count(int(row['seeds']), 'seed')} of {row['architectures']} architectures do not show how noisy each one is"
        return f"{gap} would be a change if all were about equally noisy, but {noise}: cannot tell; more seeds can.", "undecided"
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


def published_sentence(row: Row) -> str:
    """What a row of `published_agreement` says, in words."""
    budget = f"{row['published_epochs']} epochs ({row['split']} accuracy)"
    start = f"Against the published ranking after {budget}, {row['algorithm']} ranks {row['architectures']} architectures with"
    if not known(row, "tau_of_means"):
        return f"{start} no tau: all are tied in one of the two."
    text = f"{start} Kendall's tau {row['tau_of_means']:.2f}"
    if known(row, "tau_low"):
        text += f" (95 % interval {row['tau_low']:.2f} to {row['tau_high']:.2f})"
    if not known(row, "kendall_tau", "noise_ceiling"):
        bound = f", at most {row['ceiling_at_most']:.2f} by the noise of our seeds" if known(row, "ceiling_at_most") else ""
        return f"{text}{bound}; single published trainings are not at hand, so nothing more can be told from noise."
    seeds, trainings = int(row["seeds_compared"]), int(row["trainings_compared"])
    text += f"; {seeds} of its seeds against {count(trainings, 'published training')}: {row['kendall_tau']:.2f}, where seed noise of "
    text += f"both alone gives {row['noise_ceiling']:.2f}"
    if not known(row, "shift_p"):
        return f"{text}."
    fitted = row.get("shift_p_fitted", float("nan")) <= ALPHA
    not_shown = "whether they differ beyond noise cannot be told from so few seeds" if fitted else "a difference beyond noise is not shown"
    beyond = "the rankings differ beyond noise" if row["shift_p"] <= ALPHA else not_shown
    p = "< 0.001" if row["shift_p"] < 0.001 else f"= {row['shift_p']:.3f}"
    return f"{text}: {beyond} (p {p})."
