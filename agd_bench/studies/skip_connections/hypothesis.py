"""Does a larger mean singular value at the start mean faster training? The pre-registered test of the skip-connection claim.

Networks that differ only in their skips are trained from the same weights, on the same data in the same order, at the same learning rate.
For each such pair (control, variant) with one seed, let

    s   the mean singular value of the blocks' Jacobians at the start, the mean over blocks
    A   the area under the logarithm of the training loss: its mean over the first steps; lower is faster

    H1: sign(s_variant − s_control) predicts −sign(A_variant − A_control).

A cell is one data set, learning rate and contrast; its pairs are the seeds. The gain of a pair is −sign(Δs) ΔA, positive if the
prediction holds. A diverged run counts as infinitely slow and is never left out. The test is Wilcoxon's signed-rank test of the gains,
two-sided and exact, with Holm's correction over all cells.

There are two controls. A larger Jacobian partly acts as a larger effective learning rate, so `tuned_rate` tunes the rate for each
variant. The mean singular value can also be raised without a path; a contrast with such a variant separates the two effects.

References:
    L. E. MacDonald, J. Valmadre, H. Saratchandran and S. Lucey, On skip connections and normalisation layers in deep optimisation,
    NeurIPS 2023 (the claim; its authors judge means over trials, with diverged ones left out).
    F. Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin, 1945.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import scipy.stats

from agd_bench.analysis.inference import holm
from agd_bench.analysis.scores import DECIMALS, Floats
from agd_bench.errors import InputError

CELL = ["dataset", "learning_rate"]
RUN = [*CELL, "variant", "seed", "mean_singular_value", "area", "diverged"]
LEAST_LOSS = 1e-8
"""Smallest loss used: the logarithm of a loss that underflowed would outweigh all others."""
TUNED = "tuned"

_TEST = [
    *CELL, "control", "variant", "pairs", "ties", "control_diverged", "variant_diverged", "singular_value_difference", "area_difference",
    "predicted", "statistic", "p_value", "p_holm", "outcome",
]  # fmt: skip
_TREND = [*CELL, "doses", "seeds", "singular_value_trend", "area_trend", "p_value", "p_holm", "outcome"]


def log_loss_area(losses: Sequence[float] | Floats, share: float = 1.0) -> float:
    """Mean natural logarithm of the loss over the first steps; infinite where one of them is not finite.

    Args:
        losses: of every step (or epoch) in order, at least one.
        share: of the steps that count, in (0, 1]; at least one step.

    Raises:
        InputError: no losses, or a share out of range.

    >>> round(log_loss_area([1.0, np.e, np.e**5], share=2 / 3), 3)
    0.5
    >>> log_loss_area([1.0, float("nan")])
    inf
    """
    if len(losses) == 0 or not 0 < share <= 1:
        raise InputError(f"got {len(losses)} losses and a share of {share:g}; pass at least one loss, and a share above 0 and at most 1")
    window = np.asarray(losses, dtype=np.float64)[: max(1, round(share * len(losses)))]
    return float(np.log(np.maximum(window, LEAST_LOSS)).mean()) if np.isfinite(window).all() else float("inf")


def skip_test(runs: pd.DataFrame, contrasts: Sequence[tuple[str, str]], *, level: float = 0.95, least_pairs: int = 10) -> pd.DataFrame:
    """Test in each cell whether the variant with the larger mean singular value trains faster.

    Args:
        runs: one row per training: `dataset`, `learning_rate` (any label), `variant`, `seed` (of weights and data order), and
            `mean_singular_value` (at the start, at least 0), `area` (`log_loss_area`; anything where diverged), `diverged` (bool).
        contrasts: pairs (control, variant).
        level: 1 − the familywise error rate over all cells.
        least_pairs: a cell with fewer pairs gets the outcome `too few pairs`, regardless of its p-value.

    Returns:
        One row per data set, learning rate and contrast that has a pair: `dataset`, `learning_rate`, `control`, `variant`; `pairs`,
        of them `ties` without a gain (equal areas, both diverged, or equal singular values), which the test leaves out;
        `control_diverged`, `variant_diverged` (counts); `singular_value_difference` (mean of variant − control), `area_difference`
        (median of variant − control; negative: the variant is faster; infinite where half of the pairs are); `predicted` (share of
        the untied pairs whose gain is positive; 0.5 if all are tied); `statistic` (sum of the signed ranks of the gains over the
        largest it can be, in [-1, 1]; positive: as predicted), `p_value`, `p_holm` (over all rows); `outcome`: `predicted`, `reversed`,
        `undecided` or `too few pairs`.

    Raises:
        InputError: columns that are missing, two runs of one kind, or a singular value or area that is missing.

    >>> runs = pd.DataFrame([("d", "0.1", v, i, s, a - i / 100, False) for i in range(10)
    ...     for v, s, a in (("projection", 0.4, 0.3), ("fixed-1", 0.8, 0.2 - i / 999))], columns=RUN)
    >>> table = skip_test(runs, [("projection", "fixed-1")])
    >>> table[["pairs", "predicted", "statistic", "p_holm", "outcome"]].round(4).values.tolist()
    [[10, 1.0, 1.0, 0.002, 'predicted']]
    """
    _check(runs)
    rows = [
        {**dict(zip(CELL, cell, strict=True)), "control": control, "variant": variant, **_contrast(paired)}
        for control, variant in contrasts
        for cell, part in runs.groupby(CELL, sort=False)
        if len(paired := _paired(part, control, variant))
    ]
    table = pd.DataFrame(rows, columns=[name for name in _TEST if name not in ("p_holm", "outcome")])
    table["p_holm"] = holm(table["p_value"].to_numpy(dtype=np.float64))
    table["outcome"] = _outcomes(table, table["pairs"], level, least_pairs)
    return table[_TEST]


def skip_pairs(runs: pd.DataFrame, control: str, variant: str) -> pd.DataFrame:
    """The differences that `skip_test` tests, pair by pair.

    Args:
        runs: as in `skip_test`.
        control: the architecture to compare with.
        variant: the other.

    Returns:
        One row per data set, learning rate and seed that has both: `dataset`, `learning_rate`, `seed`; `singular_value_difference` and
        `area_difference` (variant − control; a negative area: the variant is faster; infinite where one of the two diverged, 0 where
        both did).

    Raises:
        InputError: as `skip_test`.

    >>> runs = pd.DataFrame([("d", "0.1", v, 0, s, a, False) for v, s, a in (("without", 0.4, 0.3), ("with", 0.8, 0.2))], columns=RUN)
    >>> skip_pairs(runs, "without", "with").round(3).values.tolist()
    [['d', '0.1', 0, 0.4, -0.1]]
    """
    _check(runs)
    columns = [*CELL, "seed", "singular_value_difference", "area_difference"]
    tables = []
    for cell, part in runs.groupby(CELL, sort=False):
        paired = _paired(part, control, variant)
        larger, slower = _changes(paired)
        changes = {"seed": paired.index, "singular_value_difference": larger, "area_difference": slower}
        tables.append(pd.DataFrame({**dict(zip(CELL, cell, strict=True)), **changes}))
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def _check(runs: pd.DataFrame) -> None:
    missing = [name for name in RUN if name not in runs.columns]
    if missing:
        raise InputError(f"runs: missing columns {', '.join(missing)}; a run has the columns {', '.join(RUN)}")
    twice = runs.duplicated([*CELL, "variant", "seed"])
    if twice.any():
        raise InputError(f"runs: duplicate run ({dict(runs.loc[twice, [*CELL, 'variant', 'seed']].iloc[0])}); pass each run once")
    unknown = runs["mean_singular_value"].isna() | (runs["area"].isna() & ~runs["diverged"].astype(bool))
    if unknown.any():
        raise InputError(
            f"runs: {int(unknown.sum())} runs have no mean singular value, or no area although they did not diverge; measure them first"
        )


def _areas(part: pd.DataFrame) -> pd.Series[float]:
    """Areas, infinite where a run diverged; rounded, so a different order of summation does not break ties."""
    # Divergence gets the worst rank; dropping it would favour the variant that fails.
    areas: pd.Series[float] = part["area"].astype(float).round(DECIMALS).mask(part["diverged"].astype(bool), np.inf)
    return areas


def _paired(part: pd.DataFrame, control: str, variant: str) -> pd.DataFrame:
    """One row per seed that has both sides, with `s`, `area` and `diverged` of each side."""
    columns = part.assign(area=_areas(part)).set_index("seed")[["variant", "mean_singular_value", "area", "diverged"]]
    sides = [columns[columns["variant"] == name].drop(columns="variant") for name in (control, variant)]
    return sides[0].merge(sides[1], left_index=True, right_index=True, suffixes=("_control", "_variant"))


def _differences(control: Floats, variant: Floats) -> Floats:
    """variant − control, 0 where both are infinite."""
    both = np.isinf(control) & np.isinf(variant)
    # Inner zeros keep inf − inf from warning; the outer choice discards them.
    return np.where(both, 0.0, np.where(both, 0.0, variant) - np.where(both, 0.0, control))


def _changes(paired: pd.DataFrame) -> tuple[Floats, Floats]:
    """Variant − control of each pair: mean singular values, and areas."""
    column = {name: paired[name].to_numpy(dtype=np.float64) for name in paired.columns}
    larger = (column["mean_singular_value_variant"] - column["mean_singular_value_control"]).round(DECIMALS)
    return larger, _differences(column["area_control"], column["area_variant"]).round(DECIMALS)


def _contrast(paired: pd.DataFrame) -> dict[str, float]:
    larger, slower = _changes(paired)
    # Signed ranks need a sign, so pairs without a gain count as ties.
    changed = (larger != 0) & (slower != 0)
    gains = -np.sign(larger[changed]) * slower[changed]
    statistic, p_value = signed_ranks(gains)
    return {
        "pairs": len(paired),
        "ties": int((~changed).sum()),
        "control_diverged": int(paired["diverged_control"].sum()),
        "variant_diverged": int(paired["diverged_variant"].sum()),
        "singular_value_difference": float(larger.mean()),
        "area_difference": _middle(slower),
        "predicted": float((gains > 0).mean()) if len(gains) else 0.5,
        "statistic": statistic,
        "p_value": p_value,
    }


def _middle(values: Floats) -> float:
    """The median, where the two middle values may be infinite; for opposite infinities it is 0."""
    ordered = np.sort(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    # np.median would return NaN for the mean of opposite infinities.
    return 0.0 if np.isinf(low) and np.isinf(high) and low != high else float(low if low == high else (low + high) / 2)


def signed_ranks(gains: Floats) -> tuple[float, float]:
    """Wilcoxon's exact two-sided signed-rank test that gains are symmetric about 0; ties and infinite gains are allowed.

    Args:
        gains: non-zero gains, (n,); infinite ones rank above all others and are tied with each other.

    Returns:
        The sum of the signed ranks over the sum of the ranks, in [-1, 1], and the p value: the share of all 2ⁿ sign patterns of the
        ranks at hand whose sum is as far from 0. (0, 1) without gains.

    >>> signed_ranks(np.array([1.0, 2.0, 3.0, 4.0, -0.5]))
    (0.8666666666666667, 0.125)
    >>> signed_ranks(np.array([np.inf, np.inf, np.inf]))
    (1.0, 0.25)
    """
    if not len(gains):
        return 0.0, 1.0
    # scipy's exact method does not allow ties, and infinite gains are tied.
    doubled = np.rint(2 * scipy.stats.rankdata(np.abs(gains))).astype(int)  # ranks of ties are halves
    total = int(doubled.sum())
    # Share of the sign patterns with each sum of positive ranks.
    shares = np.zeros(total + 1)
    shares[0] = 1.0
    for rank in doubled:
        shifted = np.zeros_like(shares)
        shifted[rank:] = shares[:-rank]
        # Each sign is + or − with chance 1/2 if gains are symmetric; halving at once avoids 2ⁿ.
        shares = (shares + shifted) / 2
    positive = int(doubled[gains > 0].sum())
    # Two-sided, because the reversed outcome must be found and published as well.
    far = np.abs(2 * np.arange(total + 1) - total) >= abs(2 * positive - total)
    return (2 * positive - total) / total, float(min(shares[far].sum(), 1.0))


def _outcomes(table: pd.DataFrame, counts: pd.Series[int], level: float, least: int) -> list[str]:
    known = zip(counts, table["p_holm"], table["statistic"] if "statistic" in table else -table["area_trend"], strict=True)
    return [
        "too few pairs" if count < least else "undecided" if p >= 1 - level else "predicted" if direction > 0 else "reversed"
        for count, p, direction in known
    ]


def dose_trend(runs: pd.DataFrame, doses: Mapping[str, float], *, level: float = 0.95, least_seeds: int = 10) -> pd.DataFrame:
    """Test whether training gets faster with every increase of the fixed path's gain.

    The trend of a seed is Spearman's correlation of the dose with the area (diverged runs are tied for last). The trends are tested
    against 0 by signed ranks, with Holm's correction over the cells.

    Args:
        runs: as in `skip_test`.
        doses: variants and their doses, at least three; seeds without all of them are left out.
        level: 1 − the familywise error rate.
        least_seeds: a cell with fewer seeds gets the outcome `too few pairs`.

    Returns:
        One row per data set and learning rate: `dataset`, `learning_rate`; `doses`, `seeds` (counts); `singular_value_trend` and
        `area_trend` (means over seeds of the correlations of the dose with the mean singular value and the area, in [-1, 1];
        a negative `area_trend` is faster with a larger dose, as predicted); `p_value`, `p_holm`; `outcome` as in `skip_test`.

    Raises:
        InputError: as `skip_test`, or fewer than three doses.
    """
    _check(runs)
    if len(set(doses.values())) < 3:
        raise InputError(f"doses {sorted(doses.values())}: a trend requires at least three different doses")
    rows = []
    for cell, part in runs[runs["variant"].isin(list(doses))].groupby(CELL, sort=False):
        part = part.assign(area=_areas(part))
        tables = {name: part.pivot(index="seed", columns="variant", values=name)[list(doses)] for name in ("area", "mean_singular_value")}
        whole = tables["area"].notna().all(axis=1)
        if not whole.any():
            continue
        order = np.array(list(doses.values()))
        trends = {name: _trends(order, table[whole].to_numpy(dtype=np.float64)) for name, table in tables.items()}
        # Negated, so a positive statistic means faster training with a larger gain, as in `skip_test`.
        moved = -trends["area"][trends["area"].round(DECIMALS) != 0]
        rows.append(
            {
                **dict(zip(CELL, cell, strict=True)),
                "doses": len(doses),
                "seeds": int(whole.sum()),
                "singular_value_trend": float(trends["mean_singular_value"].mean()),
                "area_trend": float(trends["area"].mean()),
                "p_value": signed_ranks(moved.round(DECIMALS))[1],
            }
        )
    table = pd.DataFrame(rows, columns=[name for name in _TREND if name not in ("p_holm", "outcome")])
    table["p_holm"] = holm(table["p_value"].to_numpy(dtype=np.float64))
    table["outcome"] = _outcomes(table, table["seeds"], level, least_seeds)
    return table[_TREND]


def _trends(doses: Floats, values: Floats) -> Floats:
    """Spearman's correlation of the doses with each row of values, (S, D); 0 for a row of equal values."""
    places = scipy.stats.rankdata(doses) - (len(doses) + 1) / 2
    # Centred by the mean of 1 … D, so the correlation is a plain product.
    ranks = scipy.stats.rankdata(values, axis=1) - (len(doses) + 1) / 2
    spread = np.sqrt((ranks**2).sum(axis=1) * (places**2).sum())
    return np.asarray((ranks @ places) / np.where(spread > 0, spread, 1.0), dtype=np.float64)


def tuned_rate(runs: pd.DataFrame) -> pd.DataFrame:
    """Every variant at its best learning rate, as a control for a mere change of the effective rate.

    The rate for a seed is chosen on the other seeds: the one with the lowest mean rank (within a seed, rates are ranked by area, diverged
    runs last), or the first in the table if several are tied.

    Args:
        runs: as in `skip_test`, with at least two learning rates and seeds; seeds without all rates of their variant are left out.

    Returns:
        One row per data set, variant and seed, as in `runs`, with `learning_rate` = `tuned` and `chosen_rate` (the label it had).

    Raises:
        InputError: as `skip_test`, or a data set and variant with fewer than two seeds that have every rate.
    """
    _check(runs)
    chosen = []
    for (dataset, variant), part in runs.groupby(["dataset", "variant"], sort=False):
        rates = list(dict.fromkeys(part["learning_rate"]))
        areas = part.assign(area=_areas(part)).pivot(index="seed", columns="learning_rate", values="area")[rates].dropna()
        if len(areas) < 2:
            raise InputError(
                f"{variant} on {dataset}: {len(areas)} seeds have every rate, but a rate is chosen on the other seeds; at least 2 are "
                "required"
            )
        ranks = areas.rank(axis=1)
        # Exclude the own seed from the rank sums, so no run is judged by the noise that chose its rate.
        others = (ranks.sum() - ranks).round(DECIMALS)
        best = dict(zip(areas.index, others.to_numpy().argmin(axis=1), strict=True))
        picked = [part["learning_rate"].iloc[i] == rates[best[seed]] if seed in best else False for i, seed in enumerate(part["seed"])]
        chosen.append(part[picked])
    table = pd.concat(chosen, ignore_index=True)
    return table.assign(chosen_rate=table["learning_rate"], learning_rate=TUNED)
