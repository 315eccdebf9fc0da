"""Experiments of single papers: the analysis, figures and report section of each in a folder of its own.

`STUDIES` joins them to the tables and the report. Nothing else of the package knows them, except the reproductions of their papers.
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


STUDIES = tuple(
    Study(question, module.compute_tables, module.conclude, module.show)
    for question, module in (
        ("Do skips with larger singular values train faster?", skip_connections),
        ("Do predicted learning rates hold?", rate_prediction),
    )
)
