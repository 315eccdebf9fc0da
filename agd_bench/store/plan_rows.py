"""Convert a plan to rows of a store, and compare a stored run with a plan."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from datetime import UTC, datetime
from typing import Any

from agd_bench.records import Plan, Sweep, Trial, canonical_json, digest
from agd_bench.store.database import SCHEMA_VERSION
from agd_bench.store.row_code import changed_code

EXECUTION_KEYS = frozenset({"description", "max_attempts", "deadline_seconds", "checkpoint_seconds"})
"""Keys of a sweep that do not affect results: a run can be resumed with other values."""
PACKAGES = ("agd-bench", "torch", "torchvision", "numpy", "pandas", "scipy", "optuna", "ray", "sqlalchemy", "pydantic")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def planned_row(position: int, trial: Trial) -> dict[str, Any]:
    """Return the row of a trial that has not started.

    Args:
        position: in the plan, from 0.
        trial: the trial.
    """
    row = {name: getattr(trial, name) for name in ("study", "number", "seed", "architecture", "dataset_share", "profile")}
    row |= {name: getattr(trial, name) for name in ("purpose", "precision", "epochs", "batch_size", "loss", "representative")}
    row |= {"trial_id": trial.id, "position": position, "status": "pending", "reason": "", "charged_seconds": 0.0, "attempts": 0}
    row |= {"search_space": trial.search_space_label, "dataset": trial.dataset_label}
    row |= {"algorithm": trial.algorithm_label, "algorithm_name": trial.algorithm}
    # a trial of a study gets its values from the tuner, only when it starts
    return {**row, "hyperparameters": None if trial.study else canonical_json(trial.settings)}


MIXED_CODE_ADVICE = "use --allow-mixed-code to mix results of different code, which the report will state"


def meta_of(plan: Plan) -> dict[str, str]:
    """Return the meta data of a run: the sweep, digests of the plug-ins and of the plan, and versions."""
    return {
        "schema_version": str(SCHEMA_VERSION),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "sweep": plan.sweep.model_dump_json(),
        "plugin_digests": canonical_json(plan.plugin_digests),
        # ids hash all settings, so one digest covers the settings and the order of every trial
        "plan_digest": digest([trial.id for trial in plan.all_trials]),
        "versions": canonical_json(_versions()),
    }


def differences(old: dict[str, str], plan: Plan, allow_mixed_code: bool = False) -> list[str]:
    """Return the differences between a stored run and a plan, in words.

    Args:
        old: the run's meta data.
        plan: of the current sweep.
        allow_mixed_code: whether to ignore changed code of plug-ins.
    """
    before, after = _as_read_now(old["sweep"]), plan.sweep.model_dump(mode="json")
    changed = [f"the sweep's {key}" for key in after if key not in EXECUTION_KEYS and before.get(key) != after[key]]
    changed += [] if allow_mixed_code else [f"the code of {name}" for name in changed_code(old, plan)]
    # a changed sweep changes the plan too; alone, the digest reveals another planner
    if not changed and old["plan_digest"] != meta_of(plan)["plan_digest"]:
        changed.append("the planned trials (by another version of agd-bench)")
    return changed


def _as_read_now(text: str) -> dict[str, Any]:
    """Parse a stored sweep as this version would write it: keys that an older version did not have get their defaults."""
    try:
        return Sweep.model_validate_json(text).model_dump(mode="json")
    except ValueError:  # written by a version that allowed other values; compare it key by key
        return dict(json.loads(text))
