"""From the tables of a sweep over skip connections to the registered outcomes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from agd_bench.errors import InputError
from agd_bench.studies.skip_connections import outcomes, section
from agd_bench.studies.skip_connections.hypothesis import RUN, skip_test


def readings() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return tables of two architectures, two algorithms and ten seeds; one trial diverged before anything was stored."""
    trials, curves, said = [], [], []
    for architecture, singular, loss in (("projection", 0.4, 1.0), ("fixed-1", 0.8, 0.5)):
        for algorithm in ("sgd-0.1", "sgd-1"):
            for seed in range(10):
                key = f"{architecture} {algorithm} {seed}"
                lost = key == "fixed-1 sgd-1 0"
                trials.append((key, "final", "s", "p", "d", architecture, algorithm, seed, "diverged" if lost else "done"))
                if lost:
                    continue
                curves += [(key, epoch, loss * (1 + seed / 100) / epoch) for epoch in (2, 1)]
                said += [(key, 1, name, value) for name, value in blocks(singular).items()]
    names = ["trial_id", "purpose", "search_space", "profile", "dataset", "architecture", "algorithm", "seed", "status"]
    columns = (["trial_id", "epoch", "train_loss"], ["trial_id", "epoch", "name", "value"])
    return pd.DataFrame(trials, columns=names), pd.DataFrame(curves, columns=columns[0]), pd.DataFrame(said, columns=columns[1])


def blocks(singular: float) -> dict[str, float]:
    """Return singular values of two blocks, one of them estimated, and other readings that must be ignored."""
    wanted = {"block.mean.train@0/1": singular + 0.1, "block.mean_by_quadrature.train@0/2.skip": singular - 0.1}
    blocks = ("block.mean.eval@0/1", "block.mean.train@10/1", "block.max.train@0/1", "block.mean_error.train@0/2.skip")
    others = (*blocks, "head.mean.train@0/1", "operator.mean@0/1", "eta/mean", "relative_update/0.mean")
    return wanted | dict.fromkeys(others, 9.0)


def test_readings_are_told_from_what_optimizers_say() -> None:
    """Names of readings are parsed, including module names with dots and convolutions, which have no mode."""
    table = outcomes.network_readings(readings()[2])
    assert len(table) == 39 * 8
    assert set(table["place"]) == {"1", "2.skip"}
    assert set(table.loc[table["part"] == "operator", "mode"]) == {""}
    assert set(table["step"]) == {0, 10}


def test_evaluation_mode_serves_where_there_are_no_batch_statistics() -> None:
    """For networks without batch statistics, readings in evaluation mode are used."""
    said = pd.DataFrame({"trial_id": ["x", "x"], "epoch": 1, "name": ["block.mean.eval@0/1", "block.mean.eval@0/2"], "value": [1.0, 2.0]})
    assert outcomes.initial_singular_values(said).to_dict() == {"x": 1.5}


def test_runs_of_a_sweep_can_be_tested() -> None:
    """Runs have the area of their losses and initial singular values; a diverged trial takes those of another algorithm."""
    trials, curves, said = readings()
    found = outcomes.skip_runs(trials, curves, said)
    assert list(found.columns) == RUN
    assert len(found) == 40
    assert found["diverged"].sum() == 1
    assert np.allclose(found["mean_singular_value"], found["variant"].map({"projection": 0.4, "fixed-1": 0.8}))
    first = found[(found["variant"] == "projection") & (found["seed"] == 0)]
    assert np.allclose(first["area"], np.log(0.5) / 2)
    assert np.allclose(outcomes.skip_runs(trials, curves, said, share=0.5)["area"].iloc[0], 0)
    table = skip_test(found, [("projection", "fixed-1")]).set_index("learning_rate")
    assert table["outcome"].to_dict() == {"sgd-0.1": "predicted", "sgd-1": "predicted"}
    assert table["variant_diverged"].to_dict() == {"sgd-0.1": 0, "sgd-1": 1}


def test_missing_readings_are_an_error() -> None:
    """A network without a reading under any algorithm, and trials of several profiles, are errors."""
    trials, curves, said = readings()
    with pytest.raises(InputError, match="'projection', 'seed': 3}; run the sweep with diagnostics"):
        outcomes.skip_runs(trials, curves, said[~said["trial_id"].str.match("projection .* 3")])
    with pytest.raises(InputError, match="several search spaces or profiles"):
        outcomes.skip_runs(trials.assign(profile=np.arange(len(trials)) % 2), curves, said)


REST = "/plain/batch/pre/relu"
GAINS = {"projection": 0.0, "fixed-0.5": 0.5, "fixed-1": 1.0, "fixed-2": 2.0, "matched-1": 1.0}


def tables(seeds: int = 11, faster: float = 0.1) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return tables with two rates; each unit of gain lowers the first log loss by `faster` and raises singular values by 0.1."""
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
    said_rows = pd.DataFrame(said, columns=["trial_id", "epoch", "name", "value"])
    return pd.DataFrame(trials, columns=names), pd.DataFrame(curves, columns=["trial_id", "epoch", "train_loss"]), said_rows


def test_every_family_says_what_was_built_in() -> None:
    """Variants with the path are faster at every rate and at the tuned one, the control is not, and a larger gain is faster."""
    runs = outcomes.sweep_skip_runs(*tables())
    assert set(runs["learning_rate"]) == {"sgd-0.1", "sgd-1", "tuned"}
    found = outcomes.skip_outcomes(runs)
    assert found.groupby(["window", "family"]).size().eq(3).all()
    assert set(found.loc[found["family"] == "hypothesis", "outcome"]) == {"predicted"}
    assert set(found.loc[found["family"] == "control", "outcome"]) == {"undecided"}
    assert found["pairs"].eq(11).all()
    trends = outcomes.dose_outcomes(runs)
    assert trends["doses"].eq(4).all()
    # The diverged run ranks as the slowest of its seed instead of being left out.
    assert (trends["area_trend"] < -0.8).all()
    assert set(trends["outcome"]) == {"predicted"}


def test_slower_paths_are_found_to_be_slower() -> None:
    """The test is two-sided, so a reversed effect is reported as reversed."""
    found = outcomes.skip_outcomes(outcomes.sweep_skip_runs(*tables(faster=-0.1)))
    assert set(found.loc[found["family"] == "hypothesis", "outcome"]) == {"reversed"}


def test_windows_take_their_share_of_the_epochs() -> None:
    """The first fifth of five epochs is the first epoch."""
    runs = outcomes.sweep_skip_runs(*tables(seeds=2))
    areas = runs[(runs["variant"] == "projection" + REST) & (runs["seed"] == 0) & (runs["learning_rate"] == "sgd-1")].set_index("window")
    assert areas.loc["first fifth", "area"] == pytest.approx(0, abs=0.01)
    assert areas.loc["all epochs", "area"] == pytest.approx((0 - 2 - 3 - 4 - 5) / 5, abs=0.01)


def test_a_run_that_goes_on_has_what_there_is() -> None:
    """With only one seed there is no tuned rate and there are too few pairs; networks without readings are left out."""
    trials, curves, said = tables(seeds=2)
    first = trials["seed"] == 0
    runs = outcomes.sweep_skip_runs(trials[first], curves, said[~said["trial_id"].str.startswith("fixed-0.5")])
    assert set(runs["learning_rate"]) == {"sgd-0.1", "sgd-1"}
    assert "fixed-0.5" + REST not in set(runs["variant"])
    assert set(outcomes.skip_outcomes(runs)["outcome"]) == {"too few pairs"}


def test_other_sweeps_have_no_rows() -> None:
    """Sweeps without readings or with other architectures give empty tables that keep their columns."""
    trials, curves, said = tables(seeds=2)
    for tables_ in ((trials, curves, said.iloc[:0]), (trials.assign(architecture="a"), curves, said)):
        runs = outcomes.sweep_skip_runs(*tables_)
        assert list(runs.columns) == ["search_space", "profile", "window", *RUN, "dose"]
        assert len(runs) == len(outcomes.skip_outcomes(runs)) == len(outcomes.dose_outcomes(runs)) == 0
        assert {"family", "outcome"} <= set(outcomes.skip_outcomes(runs).columns)
        assert "area_trend" in outcomes.dose_outcomes(runs).columns


def test_sentences_say_how_many_cells() -> None:
    """Sentences count the outcomes by name and list the rates."""
    runs = outcomes.sweep_skip_runs(*tables())
    found = outcomes.skip_outcomes(runs)
    rows = found[(found["window"] == "first fifth") & (found["family"] == "control")].to_dict("records")
    assert section.skip_sentence(rows, "first fifth") == (
        "Control (matched-1 against projection, losses of the first fifth of the epochs): undecided in 3 of 3 cells "
        "(sgd-0.1, sgd-1, tuned); 11 pairs in each."
    )
    trend = outcomes.dose_outcomes(runs).iloc[0].to_dict()
    assert section.dose_sentence(trend).startswith("Gain of the fixed path, sgd-0.1, losses of all epochs: ")
