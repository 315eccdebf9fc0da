"""Threads of the test processes, and fixtures for many tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

# Tests run in as many processes as there are cores; with as many threads in each, on a busy machine most of the time went into waiting.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ray reads this when it is imported, which some tests do before agd-bench.
os.environ.setdefault("RAY_AUTH_MODE", "token")

import pytest

from agd_bench.tables import aggregation
from tests.cuda_stub import stub

FEW_FILES = 2
"""Up to so many files are tested in this process: starting workers takes longer than most of them."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """No workers for a file or two, the default number otherwise."""
    named = [argument for argument in config.args if argument.partition("::")[0].endswith(".py")]
    return 0 if len(named) == len(config.args) <= FEW_FILES else None


@pytest.fixture(autouse=stub.is_loaded())
def numbers_are_not_compared() -> Iterator[None]:
    """On the stub of a GPU every value is garbage: calls are tested there, not results."""
    with stub.values_ignored():
        yield


@pytest.fixture(scope="module")
def few_resamples() -> Iterator[None]:
    """100 resamples instead of 1,000 behind the intervals of `aggregates`: for tests of what is done with them, not of what they say."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregation, "FEWEST_RESAMPLES", 100)
        patch.setattr(aggregation, "MOST_RESAMPLES", 100)
        yield
