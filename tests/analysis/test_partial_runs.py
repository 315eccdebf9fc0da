"""Comparisons in an unfinished run use only complete cases, and two seeds as soon as noise can be estimated."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from agd_bench.analysis import accuracy_difference, charged_cost, complete_cases, count_cases, kendall_tau
from agd_bench.analysis.scores import _equal_seeds, paired_scores


def growing(architectures: int = 30, seeds: int = 3, done: int = 0, ahead: int = 0) -> pd.DataFrame:
    """Return trials of two algorithms, ordered by seed: both ended `done` cases, the first `ahead` more, and the rest is pending."""
    rng = np.random.default_rng(5)
    quality = rng.random(architectures)
    rows = []
    for label, ended, shift in (("plain", done + ahead, 0.1), ("agd", done, 0.0)):
        for number in range(architectures * seeds):
            seed, place = divmod(number, architectures)
            row: dict[str, object] = {"algorithm": label, "architecture": f"a{place}", "seed": seed, "purpose": "final", "study": None}
            row |= {"status": "done" if number < ended else "pending", "attempts": int(number < ended), "trial_id": f"{label}-{number}"}
            value = 0.4 * quality[place] + shift + 0.01 * rng.random()
            row |= {"test_accuracy": value if number < ended else None, "charged_seconds": float(number < ended), "flops": 1}
            rows.append(row | {"energy_joules": None, "peak_memory_bytes": None})
    return pd.DataFrame(rows).assign(search_space="s", dataset="d", profile="p")


def test_a_run_that_has_ended_is_compared_whole() -> None:
    """A finished run is returned unchanged, so published numbers cannot change."""
    trials = growing(done=90)
    assert complete_cases(trials) is trials


@pytest.mark.parametrize(("done", "ahead"), [(11, 4), (30, 0), (35, 7), (59, 1)])
def test_only_cases_that_all_have_ended_are_compared(done: int, ahead: int) -> None:
    """All algorithms are compared and charged on the same cases, with or without rows of pending trials."""
    trials = growing(done=done, ahead=ahead)
    kept = complete_cases(trials)
    assert len(kept) == 2 * done
    assert (kept["status"] == "done").all()
    pd.testing.assert_frame_equal(complete_cases(trials[trials["status"] == "done"]).reset_index(drop=True), kept)
    assert count_cases(trials) == {"algorithms": 2, "ahead": 2, "architectures": min(done, 30), "cases": done}
    cost = charged_cost(kept).set_index("algorithm")["charged_seconds"]
    assert cost["plain"] == cost["agd"] == done
    difference = accuracy_difference(kept, "plain", "agd").iloc[0]
    assert (difference["architectures"], difference["pairs"]) == (min(done, 30), done)
    assert abs(difference["difference"] + 0.1) < 0.01


def test_intervals_shrink_as_a_sweep_grows() -> None:
    """The intervals of the accuracy difference and of the rank gap shrink as more cases end."""
    widths = []
    for done in (220, 400, 600):  # two seeds of 20 architectures, two seeds of all, three seeds of all
        trials = complete_cases(growing(architectures=200, done=done))
        difference = accuracy_difference(trials, "plain", "agd").iloc[0]
        gap = kendall_tau(trials, resamples=200).query("algorithm != other").iloc[0]
        widths.append((difference["high"] - difference["low"], gap["gap_high"] - gap["gap_low"]))
    for earlier, later in itertools.pairwise(widths):
        assert 0 < later[0] < earlier[0]
        assert 0 < later[1] < earlier[1]


def test_equally_many_are_not_the_same() -> None:
    """Two algorithms with equally many ended trials are compared only on the architectures that they share."""
    trials = growing(done=10)
    trials = trials[(trials["status"] == "done") & ((trials["algorithm"] == "agd") == ~trials["architecture"].isin(["a0", "a1"]))]
    swapped = pd.concat([trials[trials["algorithm"] == "agd"], growing(done=8).query("algorithm == 'plain' and status == 'done'")])
    assert swapped["algorithm"].value_counts().to_dict() == {"plain": 8, "agd": 8}
    assert set(complete_cases(swapped)["architecture"]) == {f"a{place}" for place in range(2, 8)}


def test_an_algorithm_that_has_not_begun_holds_nobody_up() -> None:
    """An algorithm without ended trials does not restrict the cases of the others, and its rows are kept."""
    trials = growing(done=40)
    third = growing(done=0).query("algorithm == 'agd'").assign(algorithm="late")
    kept = complete_cases(pd.concat([trials, third], ignore_index=True))
    assert kept["algorithm"].value_counts().to_dict() == {"plain": 40, "agd": 40, "late": 90}
    assert accuracy_difference(kept, "plain", "late").iloc[0]["pairs"] == 0


def test_tuning_is_charged_with_the_cases_that_use_it() -> None:
    """Tuning trials of a study are left out as long as its final trials are."""
    trials = growing(architectures=2, seeds=1, done=1)
    trials["study"] = ("study-" + trials["architecture"]).where(trials["algorithm"] == "agd")
    tuning = trials[trials["algorithm"] == "agd"].assign(purpose="tuning", status="done", seed=1_000_000, charged_seconds=5.0)
    kept = complete_cases(pd.concat([trials, tuning], ignore_index=True))
    assert kept.loc[kept["purpose"] == "tuning", "study"].tolist() == ["study-a0"]
    assert charged_cost(kept).set_index("algorithm")["charged_seconds"].to_dict() == {"plain": 1.0, "agd": 6.0}


def test_rankings_use_two_seeds_as_soon_as_noise_can_be_judged() -> None:
    """One seed of all architectures is used at first, then the architectures with two seeds as soon as there are enough."""
    for done, architectures, seeds in ((25, 25, 1), (37, 30, 1), (38, 8, 2), (60, 30, 2), (65, 30, 2), (75, 30, 2), (85, 25, 3)):
        (group,) = paired_scores(complete_cases(growing(done=done)))
        assert (len(group.architectures), len(group.seeds)) == (architectures, seeds), done
        assert group.architectures == tuple(f"a{place}" for place in range(architectures))
        assert group.complete().all()
    ceiling = kendall_tau(complete_cases(growing(done=45))).query("algorithm != other").iloc[0]
    assert ceiling["architectures"] == 15
    assert np.isfinite(ceiling["noise_ceiling"])


def test_seeds_that_most_have_come_first() -> None:
    """Seeds that most architectures have are used first, whatever their numbers."""
    given = np.zeros((10, 3), dtype=bool)
    given[:, 2], given[:9, 0] = True, True
    architectures, seeds = _equal_seeds(given)
    assert (architectures.tolist(), seeds.tolist()) == (list(range(9)), [0, 2])
