"""A page with many algorithms shows a few rank shifts and the pairs with the baseline, and says what is left out."""

from __future__ import annotations

import dataclasses
import itertools

import pandas as pd
import pytest

from agd_bench.analysis import GROUP, kendall_tau, rank_shift
from agd_bench.figures import Drawing, tau_matrix
from agd_bench.report import pictures, ranking_tables
from agd_bench.report.cells import Table
from agd_bench.report.comparison import Comparison
from tests.analysis.synthetic import simulate_trials

GROUP_NAMES = ("cells", "digits", "matrix-only")


def comparison(rivals: int, baseline: str = "base") -> Comparison:
    """Return a group in which challenger k has a gap of -k / 100 and the last one has none."""
    labels = ["base", *(f"rival{number}" for number in range(1, rivals + 1))]
    rows = []
    for first, second in itertools.combinations_with_replacement(labels, 2):
        gap = float("nan") if second == labels[-1] else -0.01 * int(second.removeprefix("rival")) if second != "base" else 0.0
        numbers = dict.fromkeys(("kendall_tau", "noise_ceiling", "shift_p", "corrected_tau", "spearman", "kendall_tau_noise_ties"), 0.5)
        ends = {"gap": gap, "gap_low": gap - 0.1, "gap_high": gap + 0.1, "architectures": 9, "seeds": 2, "seeds_compared": 1}
        rows.append({**dict(zip(GROUP, GROUP_NAMES, strict=True)), "algorithm": first, "other": second, **numbers, **ends})
    trials = simulate_trials(5, 2, ("base", "rival1"))
    shift = rank_shift(trials, "base", "rival1")
    shifts = pd.concat([shift.assign(baseline="base", challenger=label) for label in labels[1:]])
    tables = {"kendall_tau": pd.DataFrame(rows), "rank_shift": shifts}
    return Comparison(GROUP_NAMES, "g1", tables, baseline, tuple(labels))


def test_a_few_challengers_are_all_drawn() -> None:
    """A few challengers are all drawn, without a sentence about others."""
    shown = list(pictures.rank_shifts(comparison(pictures.SHOWN_SHIFTS)))
    assert [item.name for item in shown if isinstance(item, Drawing)] == [f"g1-rank-shift-{n}" for n in range(1, pictures.SHOWN_SHIFTS + 1)]
    assert len(shown) == pictures.SHOWN_SHIFTS


def test_of_many_challengers_the_most_shifted_are_drawn() -> None:
    """The challengers with the smallest gaps are drawn in the sweep's order; a sentence says how many there are in total."""
    sentence, *drawings = pictures.rank_shifts(comparison(9))
    assert [item.name for item in drawings if isinstance(item, Drawing)] == [f"g1-rank-shift-{number}" for number in (5, 6, 7, 8)]
    assert isinstance(sentence, str)
    assert sentence.find("4 of 9 algorithms whose rankings are furthest below the noise ceiling with base") > 0


def test_without_gaps_the_first_challengers_are_drawn() -> None:
    """Without gaps, as with one seed, the challengers that the sweep lists first are drawn, and the sentence says so."""
    made = comparison(9)
    without = {**made.tables, "kendall_tau": made.tables["kendall_tau"].assign(gap=float("nan"))}
    sentence, *drawings = pictures.rank_shifts(dataclasses.replace(made, tables=without))
    assert [item.name for item in drawings if isinstance(item, Drawing)] == [f"g1-rank-shift-{number}" for number in (1, 2, 3, 4)]
    assert "that the sweep lists first" in str(sentence)


@pytest.mark.parametrize(("rivals", "rows"), [(9, 45), (16, 16)])
def test_of_many_pairs_those_with_the_baseline_are_shown(rivals: int, rows: int) -> None:
    """All 45 pairs of ten algorithms are shown, but only 16 of the 136 pairs of 17 algorithms, with the total number."""
    (table,) = ranking_tables.agreement(comparison(rivals))
    assert isinstance(table, Table)
    assert (len(table.rows), table.total) == (rows, (rivals + 1) * rivals // 2)
    assert table.caption.endswith("; those with base") is (rows < table.total)
    assert all("base" in row[0].text for row in table.rows) is (rows < table.total)


def test_without_the_baseline_the_first_algorithm_stands_in() -> None:
    """If the baseline has no row in a group, pairs with the first algorithm are shown."""
    (table,) = ranking_tables.agreement(comparison(16, baseline="missing"))
    assert isinstance(table, Table)
    assert len(table.rows) == 16


def test_a_matrix_of_many_rankings_stays_readable() -> None:
    """A matrix of 27 algorithms fits on a page and stays under 700 kB; a small matrix has large cells."""
    many = tau_matrix(kendall_tau(simulate_trials(4, 2, [f"algorithm_{number:02d}" for number in range(27)]), resamples=0))
    width, height = many.figure.get_size_inches()
    assert max(width, height) < 16
    assert len(many.png()) < 700_000
    assert many.wide
    few = tau_matrix(kendall_tau(simulate_trials(4, 2, ("a", "b", "c")), resamples=0))
    assert few.figure.get_size_inches()[1] == pytest.approx(0.75 * 3 + 2.4)
    assert not few.wide
