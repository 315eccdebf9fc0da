"""The rule that decides whether two algorithms rank the architectures alike; headline, badge, table and claims all use it.

`differs` requires a significant test of 'no shift beyond seed noise' (`null_test`), corrected for all challengers of the comparison, and a
tau below its ceiling. `same` is an equivalence test with a fixed margin: the whole 95 % interval of the noise-free tau lies above
`EQUIVALENT_TAU`. Everything else is `cannot tell`.

References:
    D. J. Schuirmann, A comparison of the two one-sided tests procedure and the power approach for assessing the equivalence of average
    bioavailability, Journal of Pharmacokinetics and Biopharmaceutics, 1987.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from agd_bench.analysis.inference import ALPHA, holm
from agd_bench.analysis.rows import Row, known, rows_of
from agd_bench.analysis.scores import GROUP, comparison_groups, describe

Decision = Literal["differs", "same", "cannot tell"]
EQUIVALENT_TAU = 0.8
"""Rankings with a noise-free Kendall's tau above this count as the same: nine of ten pairs of architectures are in the same order."""
COLUMNS = ["kendall_tau", "noise_ceiling", "gap", "gap_low", "gap_high", "corrected_tau", "corrected_low", "corrected_high"]


def ranking_decisions(agreement: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Whether each challenger ranks the architectures like the baseline.

    Args:
        agreement: `kendall_tau` of all comparison groups.
        baseline: label of the algorithm that the others are compared with.

    Returns:
        One row per group and challenger: `search_space`, `dataset`, `profile`, `baseline`, `challenger`; `decision` (`differs`, `same` or
        `cannot tell`); `p_holm` (p-value of no shift beyond seed noise, corrected for the challengers of the group; NaN: not tested),
        `p_one_scale_holm` (the same, on the scale with the smaller p-value) and `comparisons` (number tested); `kendall_tau`,
        `noise_ceiling`, `gap`, `gap_low`, `gap_high`, `corrected_tau`, `corrected_low`, `corrected_high`, `architectures`, `seeds` as in
        `kendall_tau`.

    >>> pair = {"search_space": "s", "dataset": "d", "profile": "p", "algorithm": "sgd", "other": "agd", "shift_p": 0.01, "gap": -0.2}
    >>> row = pd.DataFrame([pair | dict.fromkeys([*COLUMNS[:2], *COLUMNS[3:], "architectures", "seeds"], 0.5)])
    >>> ranking_decisions(row, "sgd")[["challenger", "decision", "p_holm"]].values.tolist()
    [['agd', 'differs', 0.01]]
    """
    rows = []
    for group, part in comparison_groups(agreement):
        # Only pairs with the baseline are tested, so Holm's correction is over the challengers, not over all pairs.
        pairs = [row for row in rows_of(part) if row["algorithm"] != row["other"] and baseline in (row["algorithm"], row["other"])]
        adjusted, one_scale = _corrected(pairs, "shift_p"), _corrected(pairs, "shift_p_one_scale")
        tested = sum(math.isfinite(p) for p in adjusted)
        for row, p, p_one_scale in zip(pairs, adjusted, one_scale, strict=True):
            found = {"decision": decide(row, p), "p_holm": p, "p_one_scale_holm": p_one_scale, "comparisons": tested}
            # Pairs in `kendall_tau` are unordered, so the baseline may be on either side.
            challenger = row["other"] if row["algorithm"] == baseline else row["algorithm"]
            named = {**describe(group), "baseline": baseline, "challenger": challenger}
            rows.append(named | found | {name: row[name] for name in [*COLUMNS, "architectures", "seeds"]})
    tested_by = ["decision", "p_holm", "p_one_scale_holm", "comparisons"]
    columns = [*GROUP, "baseline", "challenger", *tested_by, *COLUMNS, "architectures", "seeds"]
    return pd.DataFrame(rows, columns=columns)


def _corrected(pairs: Sequence[Row], column: str) -> list[float]:
    """The p-values of a column after Holm's correction over the known ones; NaN for the others."""
    places = [place for place, row in enumerate(pairs) if known(row, column)]
    found = np.full(len(pairs), np.nan)
    found[places] = holm(np.array([pairs[place][column] for place in places], dtype=np.float64))
    return [float(p) for p in found]


def decide(row: Row, p: float) -> Decision:
    """Decide whether two rankings differ, are the same, or cannot be classified.

    Args:
        row: of `kendall_tau`.
        p: corrected p-value of no shift beyond seed noise; NaN: not tested.
    """
    # NaN fails both comparisons, so an untested pair never counts as different.
    if p <= ALPHA and row["gap"] < 0:
        return "differs"
    # The whole interval must exceed the margin (Schuirmann 1987), because a non-significant difference is not evidence of agreement.
    return "same" if known(row, "corrected_low") and row["corrected_low"] >= EQUIVALENT_TAU else "cannot tell"
