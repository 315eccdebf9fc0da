"""Performance profiles and speed-ups: worked examples, monotonicity and coverage of intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agd_bench.analysis import profile_performance, speed_ups
from agd_bench.errors import InputError, UnknownNameError


def times_of(values: dict[str, list[float]], seeds: int = 1) -> pd.DataFrame:
    """Return the times of each algorithm on consecutive problems, `seeds` of them per architecture."""
    parts = []
    for algorithm, given_times in values.items():
        place = np.arange(len(given_times))
        names = [f"a{number}" for number in place // seeds]
        parts.append(pd.DataFrame({"algorithm": algorithm, "architecture": names, "seed": place % seeds, "flops": given_times}))
    return pd.concat(parts, ignore_index=True).assign(search_space="s", dataset="d", profile="p", quantile=0.5)


def test_a_worked_example() -> None:
    """Shares of four problems, one of them unsolved, match a computation by hand at factors 1, 2 and 4."""
    inf = np.inf
    times = times_of({"a": [1.0, 4.0, 3.0, inf], "b": [2.0, 1.0, inf, inf]})
    table = profile_performance(times, factors=[1, 2, 4]).set_index(["algorithm", "factor"])
    assert table["share"].to_dict() == {
        ("a", 1): 0.5, ("a", 2): 0.5, ("a", 4): 0.75, ("b", 1): 0.25, ("b", 2): 0.5, ("b", 4): 0.5,
    }  # fmt: skip
    assert (table["problems"] == 4).all()
    assert (table["unsolved"] == 1).all()


@given(
    times=st.lists(st.tuples(*[st.floats(1e-3, 1e3) | st.just(np.inf)] * 3), min_size=1, max_size=30),
)
@settings(max_examples=40, deadline=None)
def test_profiles_rise_and_someone_is_fastest(times: list[tuple[float, float, float]]) -> None:
    """Shares never decrease and end at the share of solved problems; at factor 1 they sum to at least the share any algorithm solves."""
    columns = dict(zip("abc", map(list, zip(*times, strict=True)), strict=True))
    table = profile_performance(times_of(columns), resamples=20)
    for algorithm, rows in table.groupby("algorithm"):
        assert (np.diff(rows["share"]) >= 0).all()
        assert rows["share"].iloc[-1] == pytest.approx(np.isfinite(columns[str(algorithm)]).mean())
    solved = np.isfinite(np.array(times)).any(axis=1).mean()
    assert table.loc[table["factor"] == 1, "share"].sum() >= solved - 1e-12


def test_an_algorithm_without_an_outcome_drops_the_problem() -> None:
    """A problem for which one algorithm has no row is left out for all algorithms."""
    times = times_of({"a": [1.0, 1.0, 1.0], "b": [2.0, 2.0]})
    assert (profile_performance(times)["problems"] == 2).all()


def test_the_speed_up_is_found_and_covered() -> None:
    """In at least 51 of 60 simulations of 20 architectures the 95 % interval contains the true factor of 2."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(60):
        base = np.exp(rng.normal(0, 1, 60))
        own = base / 2 * np.exp(np.repeat(rng.normal(0, 0.3, 20), 3) + rng.normal(0, 0.2, 60))
        row = speed_ups(times_of({"slow": list(base), "fast": list(own)}, seeds=3), "slow", resamples=200).iloc[0]
        covered += bool(row["low"] <= 2 <= row["high"])
    assert covered >= 51


def test_who_solves_what_is_counted() -> None:
    """The mean covers problems that both solve; the others are counted by which algorithm solves them."""
    inf = np.inf
    row = speed_ups(times_of({"slow": [4.0, 9.0, inf, 1.0, inf], "fast": [1.0, 1.0, 5.0, inf, inf]}), "slow").iloc[0]
    assert row["speed_up"] == pytest.approx(6.0)
    assert row[["both", "only_algorithm", "only_baseline", "neither"]].tolist() == [2, 1, 1, 1]
    assert np.isnan(row["low"])


def test_wrong_questions_are_errors() -> None:
    """An unknown column, missing times, a factor below 1 and an unknown baseline are errors."""
    times = times_of({"a": [1.0, 2.0], "b": [2.0, 1.0]})
    with pytest.raises(UnknownNameError, match="'hours'"):
        profile_performance(times, "hours")
    with pytest.raises(InputError, match=r"0\.5"):
        profile_performance(times, factors=[0.5, 1.0])
    with pytest.raises(UnknownNameError, match="'c'"):
        speed_ups(times, "c")
    times.loc[0, "flops"] = np.nan
    with pytest.raises(InputError, match="flops"):
        profile_performance(times)
