"""Experiments of individual papers: analysis, figures and report section, one folder each.

`STUDIES` connects them to the tables and the report. Only the reproductions of their papers import them otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd

from agd_bench.analysis.rows import Tables
from agd_bench.figures import Drawing
from agd_bench.store import Results
from agd_bench.studies.rate_prediction import section as rate_prediction
from agd_bench.studies.skip_connections import section as skip_connections


@dataclass(frozen=True)
class Study:
    """One paper's experiment in a report.

    Attributes:
        question: the heading of its part of the report.
        tables: computes its tables by name from the compared trials and the raw rows; empty tables are left out.
        conclusions: sentences about one comparison group, from its rows of all tables; shown above the group's findings.
        show: notes and figures of one comparison group; the report adds a prefix to the figures' names.
    """

    question: str
    tables: Callable[[pd.DataFrame, Results], dict[str, pd.DataFrame]]
    conclusions: Callable[[Tables], Iterator[str]]
    show: Callable[[Tables], Iterator[Drawing | str]]


STUDIES = tuple(
    Study(question, module.compute_tables, module.conclude, module.show)
    for question, module in (
        ("Do skips with larger singular values train faster?", skip_connections),
        ("Do predicted learning rates hold?", rate_prediction),
    )
)
