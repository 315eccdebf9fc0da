"""A sweep over skips, from its tables to the registered outcomes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from agd_bench.studies.skip_connections import outcomes, section
from agd_bench.studies.skip_connections.hypothesis import RUN

REST = "/plain/batch/pre/relu"
GAINS = {"projection": 0.0, "fixed-0.5": 0.5, "fixed-1": 1.0, "fixed-2": 2.0, "matched-1": 1.0}


def tables(seeds: int = 11, faster: float = 0.1) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Two rates; every unit of gain lowers the first loss's logarithm by `faster`, and raises the singular values by 0.1."""
    rng = np.random.default_rng(0)
    trials, curves, said = [], [], []
    for kind, gain in GAINS.items():
        for label in ("sgd-0.1", "sgd-1"):
            for seed in range(seeds):
                key = f"{kind} {label} {seed}"
                lost = key == "fixed-2 sgd-1 0"
                trials.append((key, "final", "s", "d", "p", kind + REST, label, seed, "diverged" if lost else "done"))
                path = 0.0 if kind.startswith("matched") else gain
                start = seed / 10 - faster * path + rng.normal(0, 0.001)
                if not lost:
                    curves += [(key, epoch, np.exp(start if epoch == 1 else -epoch)) for epoch in range(1, 6)]
                    said.append((key, 1, "block.mean.train@0/1", 0.5 + gain / 10 + rng.normal(0, 0.001)))
    names = ["trial_id", "purpose", "search_space", "dataset", "profile", "architecture", "algorithm", "seed", "status"]
    readings = pd.DataFrame(said, columns=["trial_id", "epoch", "name", "value"])
    return pd.DataFrame(trials, columns=names), pd.DataFrame(curves, columns=["trial_id", "epoch", "train_loss"]), readings


def test_every_family_says_what_was_built_in() -> None:
    """The path's variants are faster at every rate and at the tuned one; its matched control is not; more of it is faster still."""
    runs = outcomes.sweep_skip_runs(*tables())
    assert set(runs["learning_rate"]) == {"sgd-0.1", "sgd-1", "tuned"}
    found = outcomes.skip_outcomes(runs)
    assert found.groupby(["window", "family"]).size().eq(3).all()
    assert set(found.loc[found["family"] == "hypothesis", "outcome"]) == {"predicted"}
    assert set(found.loc[found["family"] == "control", "outcome"]) == {"undecided"}
    assert found["pairs"].eq(11).all()
    trends = outcomes.dose_outcomes(runs)
    assert trends["doses"].eq(4).all()
    # A seed of which every gain's training diverged once is the slowest there, not left out.
    assert (trends["area_trend"] < -0.8).all()
    assert set(trends["outcome"]) == {"predicted"}


def test_slower_paths_are_found_to_be_slower() -> None:
    """The test is two-sided: what is reversed is told so."""
    found = outcomes.skip_outcomes(outcomes.sweep_skip_runs(*tables(faster=-0.1)))
    assert set(found.loc[found["family"] == "hypothesis", "outcome"]) == {"reversed"}


def test_windows_take_their_share_of_the_epochs() -> None:
    """The first fifth of five epochs is the first."""
    runs = outcomes.sweep_skip_runs(*tables(seeds=2))
    areas = runs[(runs["variant"] == "projection" + REST) & (runs["seed"] == 0) & (runs["learning_rate"] == "sgd-1")].set_index("window")
    assert areas.loc["first fifth", "area"] == pytest.approx(0, abs=0.01)
    assert areas.loc["all epochs", "area"] == pytest.approx((0 - 2 - 3 - 4 - 5) / 5, abs=0.01)


def test_a_run_that_goes_on_has_what_there_is() -> None:
    """One seed so far: no tuned rate, too few pairs; networks that nobody has read yet are left out."""
    trials, curves, said = tables(seeds=2)
    first = trials["seed"] == 0
    runs = outcomes.sweep_skip_runs(trials[first], curves, said[~said["trial_id"].str.startswith("fixed-0.5")])
    assert set(runs["learning_rate"]) == {"sgd-0.1", "sgd-1"}
    assert "fixed-0.5" + REST not in set(runs["variant"])
    assert set(outcomes.skip_outcomes(runs)["outcome"]) == {"too few pairs"}


def test_other_sweeps_have_no_rows() -> None:
    """Neither without readings nor with architectures of another kind; the columns stay."""
    trials, curves, said = tables(seeds=2)
    for tables_ in ((trials, curves, said.iloc[:0]), (trials.assign(architecture="a"), curves, said)):
        runs = outcomes.sweep_skip_runs(*tables_)
        assert list(runs.columns) == ["search_space", "profile", "window", *RUN, "dose"]
        assert len(runs) == len(outcomes.skip_outcomes(runs)) == len(outcomes.dose_outcomes(runs)) == 0
        assert {"family", "outcome"} <= set(outcomes.skip_outcomes(runs).columns)
        assert "area_trend" in outcomes.dose_outcomes(runs).columns


def test_sentences_say_how_many_cells() -> None:
    """Outcomes are counted by name, with the rates."""
    runs = outcomes.sweep_skip_runs(*tables())
    found = outcomes.skip_outcomes(runs)
    rows = found[(found["window"] == "first fifth") & (found["family"] == "control")].to_dict("records")
    assert section.skip_sentence(rows, "first fifth") == (
        "Control (matched-1 against projection, losses of the first fifth of the epochs): undecided in 3 of 3 cells "
        "(sgd-0.1, sgd-1, tuned); 11 pairs in each."
    )
    trend = outcomes.dose_outcomes(runs).iloc[0].to_dict()
    assert section.dose_sentence(trend).startswith("More of the fixed path, sgd-0.1, losses of all epochs: rank correlation of its gain")
