"""Trials that take a fraction of a second."""

from __future__ import annotations

from typing import Any

from agd_bench.records import Trial


def trial(**changes: Any) -> Trial:
    """Return a trial that briefly trains a small fully connected network on a tenth of the digits."""
    asked = {
        "search_space": "fcn",
        "search_space_label": "fcn",
        "search_space_options": {"size": 8},
        "architecture": "3x32",
        "dataset": "digits",
        "dataset_share": 0.1,
        "algorithm": "agd",
        "algorithm_label": "agd",
        "epochs": 3,
        "batch_size": 32,
        "seed": 0,
    }
    return Trial.model_validate({**asked, **changes})
