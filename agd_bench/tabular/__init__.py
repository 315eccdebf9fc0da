"""Trained architectures as a tabular benchmark: query accuracies and costs instead of training."""

from agd_bench.tabular.adapters import NatsApi, optuna_objective, write_parquet
from agd_bench.tabular.benchmark import Answer, Cells, Key, Table
from agd_bench.tabular.domain import Domain
from agd_bench.tabular.sources import table

__all__ = ["Answer", "Cells", "Domain", "Key", "NatsApi", "Table", "optuna_objective", "table", "write_parquet"]
