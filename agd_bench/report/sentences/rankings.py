"""Sentences about two rankings of the architectures."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agd_bench.analysis.bootstrap import FEWEST_FOR_INTERVAL
from agd_bench.analysis.multiple_testing import ALPHA
from agd_bench.analysis.rankings.decision import EQUIVALENT_TAU
from agd_bench.analysis.rows import Row, known
from agd_bench.report.sentences.numbers import count

LOW_CEILING = 0.3
"""A ranking that agrees with itself less than this over seeds is mostly noise, and the sentence says so."""


def ranking_sentence(row: Row) -> str:
    """What the decision about one ranking says, and what it rests on.

    Args:
        row: of `ranking_decisions`; empty if the pair has none.

    >>> row = {"architectures": 20, "seeds": 1, "kendall_tau": 0.61, "noise_ceiling": float("nan"), "gap": float("nan"),
    ...     "decision": "cannot tell", "baseline": "sgd", "challenger": "agd"}
    >>> print(ranking_sentence(row))
    The data cannot tell whether agd ranks the architectures like sgd: Kendall's tau is 0.61 (20 architectures), but one seed does not \
show how much of that is seed noise.
    """
    if not row or row["architectures"] < 2:
        return "Fewer than two architectures have an outcome for every seed under both algorithms, so there are no rankings to compare."
    start = _DECIDED[row["decision"]].format(**row)
    number, tau = row["architectures"], row["kendall_tau"]
    if not np.isfinite(tau):
        return f"{start}: all {number} architectures are tied under one of the two."
    # The noise ceiling compares a ranking with itself over other seeds, so it takes two.
    if row["seeds"] == 1:
        return f"{start}: Kendall's tau is {tau:.2f} ({number} architectures), but one seed does not show how much of that is seed noise."
    if not known(row, "noise_ceiling"):
        return f"{start}: Kendall's tau is {tau:.2f} ({number} architectures), but its noise ceiling could not be estimated."
    ceiling = row["noise_ceiling"]
    text = f"{start}: Kendall's tau is {tau:.2f}, and seed noise alone would make it about {ceiling:.2f} ({number} architectures"
    text += f"{_details(row)})."
    if number < FEWEST_FOR_INTERVAL:
        text += f" Fewer than {FEWEST_FOR_INTERVAL} architectures are too few for an interval or a test."
    # The fitted test takes one noise level for all architectures; alone it is too weak an argument to decide.
    if row["decision"] == "cannot tell" and row.get("p_fitted_holm", float("nan")) <= ALPHA and row["gap"] < 0:
        text += f" They would differ if all architectures were about equally noisy, but {count(int(row['seeds']), 'seed')} of each do not"
        text += " show how noisy each one is; more seeds can."
    if ceiling < LOW_CEILING:
        text += " The ceiling is low: with so few seeds the ranking is mostly noise."
    return text


_DECIDED = {
    "differs": "{challenger} ranks the architectures differently from {baseline}, by more than seed noise",
    "same": "{challenger} ranks the architectures like {baseline}",
    "cannot tell": "The data cannot tell whether {challenger} ranks the architectures like {baseline}",
}


def _details(row: Row) -> str:
    """Gap, p-value and noise-free tau, as far as they are known."""
    parts = []
    if known(row, "gap_low", "gap_high"):
        parts.append(f"gap {row['gap']:+.2f}, 95 % interval {row['gap_low']:+.2f} to {row['gap_high']:+.2f}")
    if known(row, "p_holm"):
        corrected = f", corrected for {row['comparisons']} comparisons" if row["comparisons"] > 1 else ""
        p = row["p_holm"]
        parts.append(f"no shift beyond noise: p {'< 0.001' if p < 0.001 else f'= {p:.3f}' if p < 0.1 else f'= {p:.2f}'}{corrected}")
    if row["decision"] != "differs" and known(row, "corrected_low", "corrected_high"):
        ends = f"{row['corrected_low']:.2f} to {row['corrected_high']:.2f}"
        parts.append(f"noise-free tau {ends}, where above {EQUIVALENT_TAU:g} would be the same ranking")
    return "".join(f"; {part}" for part in parts)


def decile_words(row: Row) -> str:
    """The agreement of the two rankings among the best architectures, a tenth of them and never fewer than a floor; empty where unknown.

    Args:
        row: of `kendall_tau` over the top decile; empty if there is none.
    """
    if not known(row, "kendall_tau", "noise_ceiling", "gap"):
        return ""
    numbers = f"Kendall's tau is {row['kendall_tau']:.2f} where seed noise alone would make it about {row['noise_ceiling']:.2f}"
    text = f"Among the {row['architectures']} best architectures (chosen by other seeds) {numbers}"
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
    return f"{moved or 'None'} of the {len(shift)} architectures {verb} by more ranks than seed noise explains (corrected for testing all)."


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
        return f"{text}{bound}; without single published trainings, seed noise cannot be separated."
    seeds, trainings = int(row["seeds_compared"]), int(row["trainings_compared"])
    text += f"; {seeds} of its seeds against {count(trainings, 'published training')}: {row['kendall_tau']:.2f}, where seed noise of "
    text += f"both alone gives {row['noise_ceiling']:.2f}"
    if not known(row, "shift_p"):
        return f"{text}."
    # A comparison with NaN is False, so a missing p counts as no evidence.
    fitted = row.get("shift_p_fitted", float("nan")) <= ALPHA
    unclear = "so few seeds do not show whether they differ by more than noise" if fitted else "the data show no difference beyond noise"
    beyond = "the rankings differ by more than noise" if row["shift_p"] <= ALPHA else unclear
    p = "< 0.001" if row["shift_p"] < 0.001 else f"= {row['shift_p']:.3f}"
    return f"{text}: {beyond} (p {p})."
