"""Readings of networks, and the runs of the skip test, from the tables of a sweep."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from agd_bench.errors import InputError
from agd_bench.studies.skip_connections import readings
from agd_bench.studies.skip_connections.hypothesis import RUN, skip_test


def tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Two architectures, two algorithms and ten seeds; one trial diverged before anything of it was stored."""
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
    """Two blocks around a mean, one of them estimated; everything else is not to be taken for it."""
    wanted = {"block.mean.train@0/1": singular + 0.1, "block.mean_by_quadrature.train@0/2.skip": singular - 0.1}
    blocks = ("block.mean.eval@0/1", "block.mean.train@10/1", "block.max.train@0/1", "block.mean_error.train@0/2.skip")
    others = (*blocks, "head.mean.train@0/1", "operator.mean@0/1", "eta/mean", "relative_update/0.mean")
    return wanted | dict.fromkeys(others, 9.0)


def test_readings_are_told_from_what_optimizers_say() -> None:
    """Names are taken apart; a module's name may have dots, and a convolution has no mode."""
    table = readings.network_readings(tables()[2])
    assert len(table) == 39 * 8
    assert set(table["place"]) == {"1", "2.skip"}
    assert set(table.loc[table["part"] == "operator", "mode"]) == {""}
    assert set(table["step"]) == {0, 10}


def test_evaluation_mode_serves_where_there_are_no_batch_statistics() -> None:
    """A network with layer normalisation is read in one mode."""
    said = pd.DataFrame({"trial_id": ["x", "x"], "epoch": 1, "name": ["block.mean.eval@0/1", "block.mean.eval@0/2"], "value": [1.0, 2.0]})
    assert readings.initial_singular_values(said).to_dict() == {"x": 1.5}


def test_runs_of_a_sweep_can_be_tested() -> None:
    """Areas of the epochs' losses, singular values of the start, and the diverged trial with those of its like."""
    trials, curves, said = tables()
    found = readings.skip_runs(trials, curves, said)
    assert list(found.columns) == RUN
    assert len(found) == 40
    assert found["diverged"].sum() == 1
    assert np.allclose(found["mean_singular_value"], found["variant"].map({"projection": 0.4, "fixed-1": 0.8}))
    first = found[(found["variant"] == "projection") & (found["seed"] == 0)]
    assert np.allclose(first["area"], np.log(0.5) / 2)
    assert np.allclose(readings.skip_runs(trials, curves, said, share=0.5)["area"].iloc[0], 0)
    table = skip_test(found, [("projection", "fixed-1")]).set_index("learning_rate")
    assert table["outcome"].to_dict() == {"sgd-0.1": "predicted", "sgd-1": "predicted"}
    assert table["variant_diverged"].to_dict() == {"sgd-0.1": 0, "sgd-1": 1}


def test_missing_readings_are_an_error() -> None:
    """Without a reading of that network under any algorithm there is nothing to pair by; two profiles are two tests."""
    trials, curves, said = tables()
    with pytest.raises(InputError, match="'projection', 'seed': 3}; run the sweep with diagnostics"):
        readings.skip_runs(trials, curves, said[~said["trial_id"].str.match("projection .* 3")])
    with pytest.raises(InputError, match="one at a time"):
        readings.skip_runs(trials.assign(profile=np.arange(len(trials)) % 2), curves, said)
