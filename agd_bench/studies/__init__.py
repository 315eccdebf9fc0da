"""Experiments of single papers: the analysis, figures and report section of each in a folder of its own.

`STUDIES` joins them to the tables and the report. Nothing else of the package knows them, except the reproductions of their papers.
"""

from agd_bench.studies.rate_prediction.section import RATE_PREDICTION
from agd_bench.studies.skip_connections.section import SKIP_CONNECTIONS
from agd_bench.studies.study import Study

STUDIES: tuple[Study, ...] = (SKIP_CONNECTIONS, RATE_PREDICTION)

__all__ = ["STUDIES", "Study"]
