"""Algorithms that wrap a third-party package, with a value for each searched hyperparameter."""

from __future__ import annotations

LEARNING_RATE_FREE = ("dadapt_adam", "dadapt_sgd", "dog", "ldog", "mechanic", "prodigy", "schedule_free_adamw", "schedule_free_sgd")
COMPETITORS: dict[str, dict[str, float]] = {
    **{name: {} for name in LEARNING_RATE_FREE},
    "soap": {"learning_rate": 3e-3, "one_minus_beta1": 0.05, "weight_decay": 0.01},
}
