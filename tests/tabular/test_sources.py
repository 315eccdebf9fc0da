"""Tables from published folders and from published accuracies."""

from __future__ import annotations

import dataclasses
import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import agd_bench
from agd_bench.errors import InputError
from agd_bench.store import load_results
from agd_bench.tabular import Key

BOARDS = Path(__file__).parents[2] / "leaderboards"
BOARD = BOARDS / "nas_bench_201-fashion_mnist-cpu"
HEADER = (
    "index,arch_str,n_seeds_200,flops_M_cifar10,flops_M_cifar100,flops_M_in16,params_M_cifar10,params_M_cifar100,params_M_in16,"
    "train_s_200_cifar10valid,train_s_200_cifar100,train_s_200_in16,cifar10_val_12,cifar10_test_12,cifar100_val_12,cifar100_test_12,"
    "in16_val_12,in16_test_12,cifar10_val_200,cifar10_test_200,cifar100_val_200,cifar100_test_200,in16_val_200,in16_test_200"
)
CELLS = (
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
)


def write_published(folder: Path) -> Path:
    """Write published files for two cells: round accuracies, seconds and single CIFAR-10 trainings of 200 epochs."""
    rows = [
        f"{i},{name},2,10,11,3,0.1,0.2,0.3,{2000 + i},4000,8000" + "".join(f",{50 + i + j}" for j in range(12))
        for i, name in enumerate(CELLS)
    ]
    with gzip.open(folder / "nb201_tss.csv.gz", "wt") as file:
        file.write("\n".join([HEADER, *rows]) + "\n")
    (folder / "nb201_tss_seeds_200.csv").write_text("index,trial,cifar10_val_200\n0,0,60\n0,1,62\n1,0,70\n")
    (folder / "nb201_zero_cost_1.csv").write_text("index,dataset,synflow,nwot\n1,cifar10,40.5,400\n1,ImageNet16-120,30,300\n")
    return folder


def test_a_published_board_answers_with_its_rows() -> None:
    """Answers have the trial's accuracies and seconds; the tuning cost is the sum over its study."""
    table, trials = agd_bench.table(BOARD), load_results(BOARD).trials
    assert table.search_space == "nas_bench_201"
    assert table.baseline == "nas_bench_201_sgd"
    final = trials[(trials["purpose"] == "final") & (trials["algorithm"] == "sgd_tuned") & (trials["status"] == "done")].iloc[0]
    answer = table.query(final["architecture"], "sgd_tuned", seed=int(final["seed"]))
    assert (answer.accuracy, answer.test_accuracy) == (final["val_accuracy"], final["test_accuracy"])
    assert answer.train_seconds == final["charged_seconds"]
    tuning = trials[(trials["purpose"] == "tuning") & (trials["study"] == final["study"])]
    assert len(tuning) > 1
    assert answer.tuning_seconds == pytest.approx(tuning["charged_seconds"].sum())
    assert table.clock_seconds == answer.charged_seconds


def test_curves_are_truncated_budgets() -> None:
    """Earlier epochs cost proportionally less, have no test accuracy, and are marked as truncated."""
    table = agd_bench.table(BOARD)
    assert table.budgets("fashion_mnist", "agd") == list(range(1, 9))
    assert table.cells[Key("fashion_mnist", "agd", 2)].truncated
    assert not table.cells[Key("fashion_mnist", "agd", 8)].truncated
    short, whole = (table.query(table.architectures[0], "agd", epochs=epochs, seed=0) for epochs in (2, 8))
    assert short.train_seconds == pytest.approx(whole.train_seconds / 4)
    assert np.isnan(short.test_accuracy)
    results = load_results(BOARD)
    trials = results.trials.query("algorithm == 'agd' and seed == 0").set_index("architecture")
    curve = results.curves[(results.curves["trial_id"] == trials.loc[table.architectures[0], "trial_id"]) & (results.curves["epoch"] == 2)]
    assert short.accuracy == curve["val_accuracy"].item()


def test_equal_networks_cost_what_a_training_costs() -> None:
    """A trial that reuses the result of an equal network is charged as if it had been trained."""
    results = load_results(BOARD)
    trials = results.trials.copy()
    rows = trials.index[(trials["algorithm"] == "agd") & (trials["seed"] == 0) & (trials["status"] == "done")][:2]
    trials.loc[rows[1], ["representative", "charged_seconds", "flops"]] = [trials.loc[rows[0], "trial_id"], 0.0, 0]
    table = agd_bench.table(dataclasses.replace(results, trials=trials))
    answer = table.query(trials.loc[rows[1], "architecture"], "agd", seed=0)
    assert (answer.train_seconds, answer.flops) == (trials.loc[rows[0], "charged_seconds"], trials.loc[rows[0], "flops"])


def test_several_search_spaces_need_a_name() -> None:
    """A board with several search spaces needs a name; the error lists them."""
    with pytest.raises(InputError, match="several values of search_space; name one of"):
        agd_bench.table(BOARDS / "three_spaces-digits-cpu")
    space = load_results(BOARDS / "three_spaces-digits-cpu").sweep.search_spaces[0]
    assert agd_bench.table(BOARDS / "three_spaces-digits-cpu", search_space=space.label).search_space == space.name


def test_the_published_table(tmp_path: Path) -> None:
    """The published table has single trainings, means, seconds proportional to epochs, and scores with gaps."""
    table = agd_bench.table("nas_bench_201", published=write_published(tmp_path))
    assert table.architectures == CELLS
    assert [table.query(CELLS[0], dataset="cifar10", seed=seed).accuracy for seed in (0, 1)] == [0.60, 0.62]
    assert table.query(CELLS[1], dataset="cifar10", seed="all").seeds == (0,)
    short = table.query(CELLS[1], dataset="cifar10", epochs=12)
    assert (short.accuracy, short.test_accuracy) == (0.51, 0.52)
    assert short.train_seconds == pytest.approx(12 * 2001 / 200)
    assert short.flops == pytest.approx(6 * 10e6 * 25_000 * 12)
    assert table.cells[Key("cifar10", "published", 12)].means
    assert not table.cells[Key("cifar10", "published", 200)].means
    assert table.scores["cifar10"]["synflow"].tolist()[1] == 40.5
    assert np.isnan(table.scores["cifar10"]["synflow"][0])
    assert table.parameters["imagenet16_120"].tolist() == [300_000, 300_000]


def test_without_costs_there_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing cost columns, a missing file and a search space without published results are errors."""
    file = write_published(tmp_path) / "nb201_tss.csv.gz"
    pd.read_csv(file).drop(columns="train_s_200_cifar100").to_csv(file, index=False)
    with pytest.raises(InputError, match="has no column train_s_200_cifar100"):
        agd_bench.table("nas_bench_201", published=tmp_path)
    monkeypatch.delenv("AGD_BENCH_PUBLISHED", raising=False)
    monkeypatch.setenv("AGD_BENCH_DATA", str(tmp_path))
    with pytest.raises(InputError, match="no published results of NAS-Bench-201 are at hand"):
        agd_bench.table("nas_bench_201")
    with pytest.raises(InputError, match="'vgg' has no published table"):
        agd_bench.table("vgg")


@pytest.mark.skipif(
    not (Path(os.environ.get("AGD_BENCH_DATA", "")) / "nas" / "nb201_tss.csv.gz").is_file(), reason="AGD_BENCH_DATA has no NAS-Bench-201"
)
def test_the_real_table() -> None:
    """The best published test accuracy on CIFAR-10 is 94.37 %, of architecture 6111."""
    table = agd_bench.table("nas_bench_201")
    assert len(table.architectures) == 15_625
    means = np.nanmean(table.cells[Key("cifar10", "published", 200)].test_accuracy, axis=1)
    assert int(means.argmax()) == 6111
    assert means.max() == pytest.approx(0.9437, abs=5e-5)
