"""agd-bench: what hyperparameter-free training does to architecture search.

Train a sweep (`run`), load stored results (`load_results`, `load_board`), analyse rankings and cost (`ranks`, `rank_shift`, `kendall_tau`,
`charged_cost`), and publish them (`build_report`, `publish_results`). `AGD` is an ordinary torch optimizer.

Names are imported on first use: reading results does not import torch, and `agd-bench --help` imports nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agd_bench.analysis import charged_cost, kendall_tau, rank_architectures, rank_shift
    from agd_bench.api import build_report, plan, publish_results, read_sweep, run
    from agd_bench.architecture_forms import convert
    from agd_bench.board import load_board
    from agd_bench.optim.agd import AGD
    from agd_bench.records import Sweep
    from agd_bench.store import load_results
    from agd_bench.tabular import table

_HOMES = {
    "AGD": "optim.agd",
    "Sweep": "records",
    "build_report": "api",
    "charged_cost": "analysis",
    "convert": "architecture_forms",
    "kendall_tau": "analysis",
    "load_board": "board",
    "load_results": "store",
    "plan": "api",
    "publish_results": "api",
    "rank_shift": "analysis",
    "rank_architectures": "analysis",
    "read_sweep": "api",
    "run": "api",
    "table": "tabular",
}

__all__ = [
    "AGD",
    "Sweep",
    "build_report",
    "charged_cost",
    "convert",
    "kendall_tau",
    "load_board",
    "load_results",
    "plan",
    "publish_results",
    "rank_architectures",
    "rank_shift",
    "read_sweep",
    "run",
    "table",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # takes milliseconds that most commands never need

        return version("agd-bench")
    if name in _HOMES:
        return getattr(importlib.import_module(f"agd_bench.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'agd_bench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
