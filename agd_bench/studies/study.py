"""What an experiment of one paper adds to a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from agd_bench.figures import Drawing
from agd_bench.store import Results

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Study:
    """One paper's experiment, as far as a report shows it.

    Attributes:
        question: the heading of its part of the report.
        tables: computes its tables from the compared trials and the raw rows, by name; those without rows are left out.
        conclusions: sentences about one comparison group, from its rows of all tables; they head the group's findings.
        show: notes and figures of one comparison group; the report prefixes the figures' names.
    """

    question: str
    tables: Callable[[pd.DataFrame, Results], dict[str, pd.DataFrame]]
    conclusions: Callable[[Tables], Iterator[str]]
    show: Callable[[Tables], Iterator[Drawing | str]]
