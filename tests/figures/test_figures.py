"""Figures can be drawn from small, large and incomplete tables, and equal tables give equal bytes."""

from __future__ import annotations

import re

import matplotlib
import numpy as np
import pandas as pd
import pytest

from agd_bench.analysis import accuracy_by_epoch, kendall_tau, rank_shift, standings
from agd_bench.figures import Picture, accuracy_against_cost, learning_curves, rank_shift_picture, tau_matrix
from tests.analysis.synthetic import simulate_results, simulate_trials, spoil


def ranked(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the standings with costs of 1, 2, 3 … times that of the first algorithm."""
    table = standings(trials, str(trials["algorithm"].iloc[0]))
    return table.assign(cost_ratio=np.arange(1.0, len(table) + 1))


def draw_all(trials: pd.DataFrame) -> list[Picture]:
    """Return every figure of these trials."""
    pictures = [accuracy_against_cost(ranked(trials), "sgd"), tau_matrix(kendall_tau(trials, resamples=0))]
    pictures.append(learning_curves(accuracy_by_epoch(trials, simulate_results(trials).curves)))
    labels = trials["algorithm"].unique()
    if len(labels) > 1:
        pictures.append(rank_shift_picture(rank_shift(trials, labels[0], labels[1]), labels[0], labels[1]))
    return pictures


CASES = {
    "usual": simulate_trials(12, 3, interaction=0.02),
    "one of everything": simulate_trials(1, 1, ("agd",)),
    "one seed": simulate_trials(6, 1),
    "one architecture": simulate_trials(1, 3),
    "all diverged": spoil(simulate_trials(3, 2, ("agd",)), "agd", "diverged", range(6)),
    "nothing ended": spoil(simulate_trials(3, 2, ("agd",)), "agd", "pending", range(6)),
    "ten algorithms": simulate_trials(5, 2, tuple("abcdefghij")),
    "five hundred architectures": simulate_trials(500, 2),
}


@pytest.mark.parametrize("case", CASES)
def test_every_figure_draws(case: str) -> None:
    """Each case gives an SVG, a PNG and a caption, without NaN."""
    for picture in draw_all(CASES[case]):
        assert picture.svg().rstrip().endswith("</svg>")
        assert picture.png(50).startswith(b"\x89PNG")
        assert picture.caption.endswith(".")
        assert not re.search(r"\bnan\b", picture.caption + picture.svg())


def test_of_many_algorithms_eight_are_named() -> None:
    """The best and the baseline are named; the caption counts the others, and the legend stays inside the figure."""
    labels = [f"schedule_free_adamw_calibrated_{number:02d}" for number in range(27)]
    picture = accuracy_against_cost(ranked(simulate_trials(9, 1, labels)), labels[0])
    picture.figure.canvas.draw()
    (legend,) = picture.figure.legends
    assert len(legend.get_texts()) == 8
    assert labels[0] in [text.get_text() for text in legend.get_texts()]
    assert "19 more algorithms" in picture.caption
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= picture.figure.bbox.x1


def test_marks_stand_at_their_true_places() -> None:
    """Marks are at their cost and accuracy, hollow where trainings failed; tick labels are unique."""
    table = ranked(spoil(CASES["usual"], "agd", "diverged", [0]))
    axes = accuracy_against_cost(table, "sgd").figure.axes[0]
    marks = {str(bar.get_label()): bar[0] for bar in axes.containers}
    for row in table.to_dict("records"):
        mark = marks[row["algorithm"]]
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (row["cost_ratio"], row["accuracy"])
        assert (mark.get_markerfacecolor() == "none") == (row["algorithm"] == "agd")
    labels = [tick.get_text() for tick in axes.get_xticklabels()]
    assert len(labels) == len(set(labels)) > 1


def test_equal_tables_give_equal_bytes() -> None:
    """SVG and PNG contain no date, no version and no random identifier."""
    for first, second in zip(draw_all(CASES["usual"]), draw_all(CASES["usual"]), strict=True):
        assert first.svg() == second.svg()
        assert first.png() == second.png()
        assert "Matplotlib" not in first.svg()


def test_the_users_settings_are_left_alone() -> None:
    """Drawing changes no global setting of matplotlib."""
    before = dict(matplotlib.rcParams)
    draw_all(CASES["usual"])[0].svg()
    assert dict(matplotlib.rcParams) == before


def test_names_are_no_formulas() -> None:
    """A label with dollar signs and angle brackets is drawn literally and escaped in the SVG."""
    trials = simulate_trials(4, 2, ("sgd", "$\\frac<x>$"))
    svg = accuracy_against_cost(ranked(trials), "sgd").svg()
    assert "$\\frac&lt;x&gt;$" in svg


def test_rank_marks_stand_at_their_ranks() -> None:
    """Every architecture is one mark at (baseline rank, challenger rank)."""
    shift = rank_shift(CASES["usual"], "sgd", "agd")
    marks = np.concatenate([c.get_offsets() for c in rank_shift_picture(shift, "sgd", "agd").figure.axes[0].collections[1:]])
    expected = shift[["baseline_rank", "challenger_rank"]].to_numpy()
    assert sorted(map(tuple, marks.tolist())) == sorted(map(tuple, expected.tolist()))


def test_captions_say_how_many_and_which_intervals() -> None:
    """Captions give the numbers of architectures and seeds and the kind of interval."""
    cost, tau, curves, shift = draw_all(CASES["usual"])
    assert "12 architectures" in cost.caption
    assert "95 % t interval" in cost.caption
    assert "3 seeds" in shift.caption
    assert "noise ceiling" in tau.caption
    assert "36 final trials" in curves.caption
    assert "no band" in draw_all(CASES["one seed"])[3].caption
