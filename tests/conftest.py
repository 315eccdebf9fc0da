"""Thread settings of the test processes, and fixtures shared by many tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

# Tests run in one process per core. With as many threads in each, a busy machine would spend most of its time waiting.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ray reads this on import, and some tests import Ray before agd-bench.
os.environ.setdefault("RAY_AUTH_MODE", "token")

import pytest

from agd_bench.tables import aggregation
from tests.cuda_stub import stub

FEW_FILES = 2
"""Up to this many files are tested in the main process, because starting workers takes longer than most of them."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Use no workers for one or two files, and the default number otherwise."""
    named = [argument for argument in config.args if argument.partition("::")[0].endswith(".py")]
    return 0 if len(named) == len(config.args) <= FEW_FILES else None


@pytest.fixture(autouse=stub.is_loaded())
def numbers_are_not_compared() -> Iterator[None]:
    """Ignore values on the GPU stub, where they are all garbage: it is for testing calls, not results."""
    with stub.values_ignored():
        yield


@pytest.fixture(scope="module")
def few_resamples() -> Iterator[None]:
    """Compute the intervals of `aggregates` from 100 resamples instead of 1,000, for tests that do not depend on their values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregation, "FEWEST_RESAMPLES", 100)
        patch.setattr(aggregation, "MOST_RESAMPLES", 100)
        yield
