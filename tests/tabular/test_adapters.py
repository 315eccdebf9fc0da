"""Adapters of tabular benchmarks to the interfaces of other projects."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pyarrow.parquet as pq
import pytest

from agd_bench.errors import InputError
from agd_bench.tabular import Key, NatsApi, optuna_objective, write_parquet
from tests.tabular.synthetic import ARCHITECTURES, synthetic_table


def test_the_calls_of_nats_bench() -> None:
    """Accuracies are in per cent; only `simulate_train_eval` advances the clock."""
    table = synthetic_table()
    api = NatsApi(table)
    assert len(api) == 27
    assert api.query_index_by_arch(ARCHITECTURES[4]) == 4
    assert api.query_index_by_arch("other") == -1
    assert api[4] == api.arch(4) == ARCHITECTURES[4]
    cells = table.cells[Key("digits", "plain", 2)]
    info = api.get_more_info(4, "digits", hp="2", is_random=1)
    assert info["valid-accuracy"] == pytest.approx(100 * cells.val_accuracy[4, 1])
    assert info["test-accuracy"] == pytest.approx(100 * cells.test_accuracy[4, 1])
    assert (info["train-all-time"], info["train-per-time"]) == (2.0, 1.0)
    mean = api.get_more_info(ARCHITECTURES[4], "digits", hp="2", is_random=False)
    assert mean["valid-accuracy"] == pytest.approx(100 * cells.val_accuracy[4].mean())
    assert mean["train-all-time"] == 2.0
    assert api.used_time == 0
    accuracy, latency, seconds, total = api.simulate_train_eval(4, "digits", hp="2")
    assert accuracy in (100 * cells.val_accuracy[4]).tolist()
    assert (latency, seconds, total) == (None, 2.0, 2.0)
    assert api.simulate_train_eval(ARCHITECTURES[4], "digits", hp="8")[3] == 10.0
    assert api.simulate_train_eval(4, "digits", hp="2", account_time=False)[3] == 10.0
    api.reset_time()
    assert api.used_time == 0
    assert api.get_cost_info(4, "digits", hp="8")["T-train@epoch"] == 1.0
    with pytest.raises(InputError, match="unknown data set 'cifar10'"):
        api.simulate_train_eval(4, "cifar10")


def test_parameters_are_those_of_the_real_package() -> None:
    """Parameter names and order match `nats_bench`, where it is installed."""
    api = pytest.importorskip("nats_bench.api_topology").NATStopology
    for name in ("get_more_info", "simulate_train_eval", "query_index_by_arch", "reset_time"):
        theirs, ours = (list(inspect.signature(getattr(owner, name)).parameters) for owner in (api, NatsApi))
        assert ours == theirs[: len(ours)], name


def test_an_optuna_study_optimises_it() -> None:
    """Trial parameters are the words; user attributes hold the architecture and its cost."""
    table = synthetic_table()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(optuna_objective(table, epochs=2), n_trials=20)
    assert table.clock_seconds == 40.0
    assert sum(trial.user_attrs["charged_seconds"] for trial in study.trials) == 40.0
    for trial in study.trials:
        assert "-".join(trial.params[f"word_{place}"] for place in range(3)) == trial.user_attrs["architecture"]
        row = table.cells[Key("digits", "plain", 2)].val_accuracy[table.position[trial.user_attrs["architecture"]]]
        assert trial.value in row


def test_a_parquet_file_has_every_training_and_its_dictionary(tmp_path: Path) -> None:
    """Rows match the table's cells, and each column carries its meaning as metadata."""
    table = synthetic_table()
    file = write_parquet(table, tmp_path / "new" / "table.parquet")
    rows = pd.read_parquet(file)
    assert len(rows) == 27 * 3 * 4
    wide = rows.query("algorithm == 'tuned' and epochs == 8").pivot(index="architecture", columns="seed", values="val_accuracy")
    assert np.array_equal(wide.loc[list(ARCHITECTURES)].to_numpy(), table.cells[Key("digits", "tuned", 8)].val_accuracy)
    assert set(rows.query("algorithm == 'tuned'")["study_seconds"]) == {100.0}
    assert set(rows.query("algorithm == 'plain'")["study_seconds"]) == {0.0}
    schema = pq.read_schema(file)
    assert all(field.metadata[b"meaning"] for field in schema)
    assert schema.metadata[b"search_space"] == b"words"
    with pytest.raises(InputError, match=r"ends in \.parquet"):
        write_parquet(table, tmp_path / "table.csv")
