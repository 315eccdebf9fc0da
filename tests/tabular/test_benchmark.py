"""Queries of a tabular benchmark, and what they are charged."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from agd_bench.errors import InputError
from agd_bench.tabular import Key
from tests.tabular.synthetic import ARCHITECTURES, synthetic_table


def test_the_clock_adds_up_what_a_search_would_have_paid() -> None:
    """Every training is charged each time, but a tuning study only once."""
    table = synthetic_table()
    first = table.query(ARCHITECTURES[0], "tuned", epochs=2)
    assert (first.train_seconds, first.tuning_seconds, first.charged_seconds) == (2.0, 100.0, 102.0)
    assert table.query(ARCHITECTURES[1], "tuned", epochs=2).charged_seconds == 2.0
    assert table.query(ARCHITECTURES[1], "tuned", epochs=2).charged_seconds == 2.0, "a repeated training is paid again"
    assert table.query(ARCHITECTURES[1], "plain", seed="all").charged_seconds == 24.0
    assert table.clock_seconds == 130.0
    with table.stopped_clock():
        table.query(ARCHITECTURES[2])
    assert table.clock_seconds == 130.0
    table.reset()
    assert table.clock_seconds == 0.0
    assert table.query(ARCHITECTURES[0], "tuned", epochs=2).tuning_seconds == 100.0


def test_seeds() -> None:
    """A query uses a given seed, a random one that `reset` reproduces, or the mean of all."""
    table = synthetic_table()
    cells, number = table.cells[Key("digits", "plain", 8)], 5
    name = ARCHITECTURES[number]
    for seed in range(3):
        answer = table.query(name, seed=seed)
        assert (answer.accuracy, answer.test_accuracy) == (cells.val_accuracy[number, seed], cells.test_accuracy[number, seed])
        assert answer.seeds == (seed,)
    both = table.query(name, seed="all")
    assert both.accuracy == pytest.approx(cells.val_accuracy[number].mean())
    assert both.flops == 3 * 80
    table.reset(4)
    drawn = [table.query(name).seeds for _ in range(20)]
    table.reset(4)
    assert drawn == [table.query(name).seeds for _ in range(20)]
    assert set(drawn) == {(0,), (1,), (2,)}


def test_what_is_missing_is_an_error_that_lists_what_is_there() -> None:
    """Unknown names, budgets, seeds and missing values raise errors that list what is available."""
    table = synthetic_table()
    key = Key("digits", "plain", 8)
    holes = table.cells[key].val_accuracy.copy()
    holes[3], holes[4, 0] = np.nan, np.nan
    table.cells[key] = dataclasses.replace(table.cells[key], val_accuracy=holes)
    with pytest.raises(InputError, match=r"unknown algorithm of synthetic: 'plian'.*'plain'"):
        table.query(ARCHITECTURES[0], "plian")
    with pytest.raises(InputError, match="no 4 epochs of plain on digits; it has 2, 8 epochs"):
        table.query(ARCHITECTURES[0], epochs=4)
    with pytest.raises(InputError, match="unknown architecture"):
        table.query("conv-conv")
    with pytest.raises(InputError, match="unknown data set"):
        table.query(ARCHITECTURES[0], dataset="cifar10")
    with pytest.raises(InputError, match=r"this architecture has digits/plain@2, digits/tuned@2, digits/tuned@8"):
        table.query(ARCHITECTURES[3])
    with pytest.raises(InputError, match="with seed 0; there are 1, 2, `random` and `all`"):
        table.query(ARCHITECTURES[4], seed=0)
    assert table.query(ARCHITECTURES[4], seed="all").seeds == (1, 2)
    assert table.clock_seconds == 16.0, "what fails is not charged"
