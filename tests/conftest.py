"""Fixtures for tests of whole reports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agd_bench.report import aggregating


@pytest.fixture(scope="module")
def few_resamples() -> Iterator[None]:
    """100 resamples instead of 1,000 behind the intervals of `aggregates`: for tests of what is done with them, not of what they say."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregating, "FEWEST_RESAMPLES", 100)
        patch.setattr(aggregating, "MOST_RESAMPLES", 100)
        yield
