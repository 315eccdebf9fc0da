"""Define the columns of the result tables. The database, data frames, export and data dictionary all follow from this list."""

from __future__ import annotations

from typing import Literal, NamedTuple

Type = Literal["text", "integer", "real"]
Table = Literal["trials", "curves", "attempts", "diagnostics", "published", "rate_factors", "features", "equals"]
TABLES: tuple[Table, ...] = ("trials", "curves", "attempts", "diagnostics")
EVIDENCE: tuple[Table, ...] = ("published", "rate_factors", "features")
"""Tables that come from plug-ins rather than training (see `evidence`). They are gathered for reports and published with the raw rows, so
that a leaderboard can be rebuilt without the plug-ins. The database of a run does not contain them."""
OPTIONAL: tuple[Table, ...] = ("diagnostics", *EVIDENCE)
"""Tables that may be missing, because they are empty or the results are older than the table."""
EQUALS: Table = "equals"
"""Only in published folders: the trials whose rows follow from an equal network's; see `equal_networks`."""
SORTING: dict[Table, list[str]] = {
    "trials": ["position"],
    "curves": ["trial_id", "epoch"],
    "attempts": ["trial_id", "attempt"],
    "diagnostics": ["trial_id", "epoch", "name"],
    "published": ["search_space", "dataset", "epochs", "split", "architecture", "training"],
    "rate_factors": ["search_space", "algorithm", "architecture"],
    "features": ["search_space", "architecture", "feature"],
    EQUALS: ["position"],
}
UNTAKEN = ("train_seconds", "total_seconds", "peak_memory_bytes")
"""Measurements that a trial does not take from an equal network's trial."""
TAKEN_AS_ZERO = ("flops", "energy_joules")
"""Measurements that it takes as 0, so each cost is summed once; values that were not measured stay missing."""
LOST = "lost"
"""Outcome of an attempt that a crash ended."""
OUT_OF_MEMORY = "out of memory"


class Column(NamedTuple):
    """One column of one table.

    Attributes:
        table: the table.
        name: of the column; ends with the unit.
        type: of its values.
        unit: of its values, `share` for a number in [0, 1]; empty for text, names and counts.
        meaning: of a value, and of a missing one.
        nullable: whether values can be missing.
        key: whether it is part of the primary key.
        published: whether readers see it. The other columns are for the driver only.
        late: whether older results do not have it; all its values are then missing.
    """

    table: Table
    name: str
    type: Type
    unit: str
    meaning: str
    nullable: bool = False
    key: bool = False
    published: bool = True
    late: bool = False


COLUMNS: tuple[Column, ...] = (
    Column("trials", "trial_id", "text", "", "sixteen hexadecimal digits: hash of all settings of the trial", key=True),
    Column("trials", "position", "integer", "", "place in the plan, from 0"),
    Column("trials", "purpose", "text", "", "tuning (evaluates a proposal) or final (is compared)"),
    Column("trials", "study", "text", "", "key of the tuning study that it belongs to or takes its values from; missing: no tuning", True),
    Column("trials", "number", "integer", "", "number of the proposal within its study, from 0; missing: a final trial", True),
    Column("trials", "seed", "integer", "", "seed of initialisation, data order and augmentation"),
    Column("trials", "search_space", "text", "", "label of the search space in the sweep"),
    Column("trials", "architecture", "text", "", "the network as its search space writes it"),
    Column("trials", "dataset", "text", "", "name of the data set; with its epochs, as digits@16, if the sweep lists several budgets"),
    Column("trials", "dataset_share", "real", "share", "fraction of the training split that is used, in (0, 1]"),
    Column("trials", "algorithm", "text", "", "label of the training algorithm in the sweep"),
    Column("trials", "algorithm_name", "text", "", "name of the training algorithm's plug-in"),
    Column("trials", "profile", "text", "", "which parameters the network has: matrix-only or as-published"),
    Column("trials", "precision", "text", "", "arithmetic of forward and backward: float32 or bfloat16"),
    Column("trials", "epochs", "integer", "", "planned passes over the training images"),
    Column("trials", "batch_size", "integer", "", "images per step"),
    Column("trials", "loss", "text", "", "loss that replaces the algorithm's own; missing: the algorithm's own", True),
    Column("trials", "hyperparameters", "text", "", "JSON of the fixed and proposed values; missing: nothing proposed yet", True),
    Column(
        "trials",
        "status",
        "text",
        "",
        "done, diverged, failed, refused, pruned, unneeded (the adaptive seed rule did not need it), running, pending",
    ),
    Column("trials", "reason", "text", "", "why the status is not done; empty if done, running or pending"),
    Column("trials", "train_loss", "real", "", "mean loss of the last epoch's training batches; missing: no epoch ended", True),
    Column("trials", "train_accuracy", "real", "share", "accuracy on the last epoch's training batches, in [0, 1]", True),
    Column(
        "trials",
        "val_loss",
        "real",
        "nats",
        "mean cross-entropy on the validation split after the last epoch; missing: it overflowed",
        True,
    ),
    Column("trials", "val_accuracy", "real", "share", "accuracy on the validation split after the last epoch, in [0, 1]", True),
    Column("trials", "test_accuracy", "real", "share", "accuracy on the test split after the last epoch; never used for tuning", True),
    Column("trials", "train_seconds", "real", "seconds", "training steps of the last attempt, including epochs before it resumed", True),
    Column("trials", "total_seconds", "real", "seconds", "the whole last attempt: building, training, evaluation", True),
    Column("trials", "charged_seconds", "real", "seconds", "sum of `seconds` over all attempts, including lost ones; 0: none ended yet"),
    Column("trials", "flops", "integer", "operations", "training, forward and backward, 2 per multiply-add; missing: not counted", True),
    Column("trials", "forward_flops", "integer", "operations", "forward pass of one image, 2 per multiply-add; missing: not counted", True),
    Column("trials", "parameters", "integer", "", "trainable scalars; missing: the network was not built", True),
    Column("trials", "peak_memory_bytes", "integer", "bytes", "peak memory on the GPU; missing: trained on a CPU", True),
    Column("trials", "energy_joules", "real", "joules", "of a device that the trial did not share; missing: not measured", True),
    Column("trials", "attempts", "integer", "", "executions started, including lost ones"),
    Column(
        "trials",
        "representative",
        "text",
        "",
        "trial of an equal network that these results come from; costs are then 0; missing: this trial was trained itself",
        nullable=True,
        late=True,
    ),
    Column("trials", "proposal", "text", "", "JSON of the tuner's values; missing: none yet, or no tuning", True, published=False),
    Column("curves", "trial_id", "text", "", "the trial", key=True),
    Column("curves", "epoch", "integer", "", "epochs done, from 1", key=True),
    Column("curves", "train_loss", "real", "", "mean loss of the epoch's training batches"),
    Column("curves", "train_accuracy", "real", "share", "accuracy on the epoch's training batches, in [0, 1]"),
    Column("curves", "val_loss", "real", "nats", "mean cross-entropy on the validation split; missing: it overflowed", True),
    Column("curves", "val_accuracy", "real", "share", "accuracy on the validation split, in [0, 1]"),
    Column("curves", "train_seconds", "real", "seconds", "training steps so far, cumulative, without evaluation"),
    Column(
        "curves", "learning_rate", "real", "", "of the epoch's last step (AGD: its automatic one); missing: the optimizer has none", True
    ),
    Column("diagnostics", "trial_id", "text", "", "the trial", key=True),
    Column("diagnostics", "epoch", "integer", "", "epochs done, from 1", key=True),
    Column("diagnostics", "name", "text", "", "name that the optimizer gives the number; a layer's name follows a slash", key=True),
    Column("diagnostics", "value", "real", "", "as the optimizer's `diagnostics` defines it"),
    Column("published", "search_space", "text", "", "label of the search space in the sweep"),
    Column("published", "dataset", "text", "", "name of the data set"),
    Column("published", "architecture", "text", "", "the network as its search space writes it"),
    Column("published", "epochs", "integer", "", "passes over the training images in the published training"),
    Column("published", "split", "text", "", "split of the published accuracy: validation, test, or validation and test"),
    Column("published", "training", "integer", "", "number of the published training, from 0; missing: a mean of several", True),
    Column("published", "trainings", "integer", "", "number of published trainings in the mean"),
    Column("published", "accuracy", "real", "share", "accuracy that the search space's authors published, in [0, 1]"),
    Column("rate_factors", "search_space", "text", "", "label of the search space in the sweep"),
    Column("rate_factors", "algorithm", "text", "", "label of the training algorithm in the sweep"),
    Column("rate_factors", "architecture", "text", "", "the network as its search space writes it"),
    Column("rate_factors", "factor", "real", "", "factor of the base learning rate for the network, from its graph"),
    Column("rate_factors", "signal", "real", "", "mean square of the classifier's input at initialisation, on noise of variance 1"),
    Column("features", "search_space", "text", "", "label of the search space in the sweep"),
    Column("features", "architecture", "text", "", "the network as its search space writes it"),
    Column("features", "feature", "text", "", "name of a feature that the search space defines"),
    Column("features", "value", "real", "", "value of the feature for the architecture"),
    Column("equals", "trial_id", "text", "", "a trial that was not trained", key=True),
    Column("equals", "position", "integer", "", "place in the plan, from 0"),
    Column("equals", "architecture", "text", "", "its network as its search space writes it"),
    Column("equals", "representative", "text", "", "trial of an equal network; the rest of the row is taken from it"),
    Column("attempts", "trial_id", "text", "", "the trial", key=True),
    Column("attempts", "attempt", "integer", "", "number of the execution, from 1", key=True),
    Column("attempts", "node", "text", "", "worker that executed it: a number within the run, not a host name"),
    Column("attempts", "started_at", "real", "seconds", "when it was sent to the worker, since 1970-01-01 UTC"),
    Column("attempts", "ended_at", "real", "seconds", "when its end was noticed, since 1970-01-01 UTC; missing: still running", True),
    Column("attempts", "outcome", "text", "", "the trial's status, `lost`, `out of memory`, or `running`"),
    Column(
        "attempts",
        "seconds",
        "real",
        "seconds",
        "charged time: measured by the worker, or until the loss was noticed; missing: still running",
        True,
    ),
    Column("attempts", "reason", "text", "", "why the outcome is not done; empty if done or running"),
    Column(
        "attempts",
        "provenance",
        "text",
        "",
        "JSON: versions, device, thread count, sampler of a tuning trial; missing: nothing was measured",
        True,
    ),
    Column("attempts", "deadline_at", "real", "seconds", "deadline, since 1970-01-01 UTC", published=False),
    Column(
        "attempts", "blamed", "integer", "", "1: a loss that counts towards the trial's maximum of attempts; 0: any other", published=False
    ),
)


def columns_of(table: Table, published: bool = True) -> tuple[Column, ...]:
    """Return the columns of a table in order.

    Args:
        table: its name.
        published: whether to omit the driver's columns.
    """
    return tuple(column for column in COLUMNS if column.table == table and (column.published or not published))


def dictionary() -> dict[str, list[dict[str, str | bool]]]:
    """Return the data dictionary: the columns of each table with type, unit, meaning, and whether values can be missing."""
    return {
        table: [{"column": c.name, "type": c.type, "unit": c.unit, "nullable": c.nullable, "meaning": c.meaning} for c in columns_of(table)]
        for table in (*TABLES, *EVIDENCE)
    }


def dictionary_markdown() -> str:
    """Return the data dictionary as Markdown."""
    lines = [
        "# Data dictionary",
        "",
        "A missing value is empty in CSV and null in Parquet; it is never 0. Accuracies are shares in [0, 1].",
    ]
    for table in (*TABLES, *EVIDENCE):
        lines += ["", f"## {table}", "", "| column | type | unit | missing? | meaning |", "|---|---|---|---|---|"]
        lines += [f"| `{c.name}` | {c.type} | {c.unit} | {'yes' if c.nullable else 'no'} | {c.meaning} |" for c in columns_of(table)]
    return "\n".join(lines) + "\n"


def dictionary_text(indent: str = "    ") -> str:
    """Return the data dictionary for a docstring."""
    lines = []
    for table in (*TABLES, *EVIDENCE):
        lines.append(f"{indent}{table}:")
        for c in columns_of(table):
            unit = f" [{c.unit}]" if c.unit else ""
            lines.append(f"{indent}    {c.name} ({c.type}{', may be missing' if c.nullable else ''}){unit}: {c.meaning}")
    return "\n".join(lines)
