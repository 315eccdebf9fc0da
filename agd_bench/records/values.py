"""What records are made of: allowed words, names, canonical JSON and its digest, and `Record` itself."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Scalar = bool | int | float | str
Scalars = dict[str, Scalar]
"""Settings by name: only numbers, strings and booleans, which can be hashed, printed and sent."""

Profile = Literal["matrix-only", "as-published"]
Purpose = Literal["tuning", "final"]
Scope = Literal["architecture", "search-space", "sweep", "none"]
BUILT_IN_SAMPLERS = ("tpe", "random", "grid", "gp", "qmc", "cma-es", "ray-tune")
Pruner = Literal["none", "median", "successive-halving", "hyperband"]
Metric = Literal["val_accuracy", "train_loss"]
LossName = Literal["square", "cross-entropy", "smoothed-cross-entropy"]
Precision = Literal["float32", "bfloat16"]
WantedPrecision = Literal["float32", "bfloat16", "auto"]
Diagnostics = Literal["optimizer", "network", "network-start"]
Status = Literal["done", "diverged", "failed", "refused", "pruned", "unneeded"]
TERMINAL: tuple[Status, ...] = ("done", "diverged", "failed", "refused", "pruned", "unneeded")
"""Statuses that a trial keeps. `unneeded`: a seed that an adaptive sweep planned but did not need; never trained."""

# above every allowed final seed, so that no choice was tuned on a seed that it is compared with
TUNING_SEED = 1_000_000
"""Seeds of tuning trials start here."""

# names become parts of paths: no slash, and no leading dot or dash
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
# with "@", which separates a label from its tuning scope
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]*$", max_length=100)]


def _known_sampler(name: str) -> str:
    if name in BUILT_IN_SAMPLERS or re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
        return name
    near = difflib.get_close_matches(name, BUILT_IN_SAMPLERS, n=1)
    hint = f"did you mean {near[0]!r}? Known" if near else "known"
    raise ValueError(f"unknown sampler {name!r}; {hint}: {', '.join(BUILT_IN_SAMPLERS)}, or a class of your own as package:Class")


Sampler = Annotated[str, AfterValidator(_known_sampler)]
"""Who proposes hyperparameters: a built-in sampler, or `package:Class`, an installed class of Optuna's type."""


def canonical_json(value: Any) -> str:
    """`value` as JSON with sorted keys and no spaces: equal values give equal text on every machine."""
    # NaN is not JSON; ASCII is the same bytes in every usual encoding
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: Any, length: int = 16) -> str:
    """The first `length` hexadecimal digits of the SHA-256 of `value` as canonical JSON."""
    # 16 digits are 64 bits: a million trials collide with a probability of 3e-8
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


class Record(BaseModel):
    """A frozen value that refuses unknown keys."""

    # a misspelt key would otherwise silently leave the default in effect
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())
