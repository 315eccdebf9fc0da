"""Short trials of the networks in `layers` on the stub's GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agd_bench.records import Trial
from agd_bench.trial import Workplace

WORKPLACE = Workplace(Path(), {"search_spaces": (Path(__file__).parent / "search_spaces",)}, device="cuda")


def trial(**changes: Any) -> Trial:
    """Return a trial of two epochs on the digits with AdamW and, by default, a network that can be captured."""
    asked = {
        "search_space": "layers",
        "search_space_label": "layers",
        "architecture": "plain",
        "dataset": "digits",
        "algorithm": "adamw",
        "algorithm_label": "adamw",
        "epochs": 2,
        "batch_size": 64,
        "seed": 0,
    }
    return Trial.model_validate(asked | changes)
