"""Every algorithm and search space trains on a GPU with the step, the kernels, copies, waits and captures listed in `steps.md`."""

from __future__ import annotations

import pytest
import torch

from agd_bench import plugins
from tests.cuda_stub.steps import REFUSE, count, drawn, expected, of_cell, row
from tests.cuda_stub.stub import NEEDS_STUB

VERSION, ROWS = expected()


def comparable(line: str) -> list[str]:
    """Return the cells of a row, without the number of kernels if the page was written with another version of torch."""
    cells = line.split(" | ")
    return cells if torch.__version__.partition("+")[0] == VERSION else cells[:2] + cells[3:]


def test_every_algorithm_and_search_space_is_listed() -> None:
    """The page has one row for each algorithm that trains convolutions, and two for each search space."""
    spaces = {f"{space}, {algorithm}" for space in plugins.find("search_spaces") for algorithm in ("agd", "adamw")}
    assert set(ROWS) == (set(plugins.find("algorithms")) - REFUSE) | spaces


@pytest.mark.parametrize("name", [pytest.param(name, marks=NEEDS_STUB) for name in ROWS])
def test_a_training_does_what_its_row_says(name: str) -> None:
    """Counted anew; a graph copies nothing from the host, and none is alive after its training."""
    space, _, algorithm = name.rpartition(", ")
    if missing := plugins.missing_packages(plugins.locate("algorithms", algorithm)):
        pytest.skip(f"{algorithm} {missing}")
    found = count(drawn(space, algorithm) if space else [of_cell(algorithm)])
    assert comparable(row(name, found)) == comparable(ROWS[name])
