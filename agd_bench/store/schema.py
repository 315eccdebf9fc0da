"""The columns of the result tables: one list that makes the database, the data frames, the export and the dictionary."""

from __future__ import annotations

from typing import Literal, NamedTuple

Type = Literal["text", "integer", "real"]
Table = Literal["trials", "curves", "attempts", "diagnostics", "published", "rate_factors", "features", "equals"]
TABLES: tuple[Table, ...] = ("trials", "curves", "attempts", "diagnostics")
EVIDENCE: tuple[Table, ...] = ("published", "rate_factors", "features")
"""Tables that no training made, but the plug-ins of search spaces and algorithms. They are gathered when results are reported and published
with the raw rows, so that a leaderboard is rebuilt without the plug-ins; a run's database does not hold them."""
OPTIONAL: tuple[Table, ...] = ("diagnostics", *EVIDENCE)
"""Tables that results from before they existed, or without a row of them, do not have."""
EQUALS: Table = "equals"
"""In published folders alone: the trials whose rows follow from an equal network's; see `condensing`."""
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
"""Measurements that a trial does not take from an equal network's."""
TAKEN_AS_ZERO = ("flops", "energy_joules")
"""Those that it takes as 0, so that sums of charges stay sums; what was not measured stays missing."""


class Column(NamedTuple):
    """One column of one table.

    Attributes:
        table: where it stands.
        name: with its unit last.
        type: of its values.
        unit: of its values, `share` for a number in [0, 1]; empty for text, names and counts.
        meaning: what a value says, its sign and what a missing one means.
        nullable: whether a value can be missing.
        key: whether it belongs to the table's primary key.
        published: whether readers see it; the others are the driver's own.
        late: whether results from before it existed lack it; every value is then missing.
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
    Column("trials", "trial_id", "text", "", "sixteen hexadecimal digits: the hash of all that makes the trial what it is", key=True),
    Column("trials", "position", "integer", "", "place in the plan, from 0"),
    Column("trials", "purpose", "text", "", "tuning (a proposal is tried) or final (what is compared)"),
    Column("trials", "study", "text", "", "key of the study whose tuning it belongs to or whose choice it uses; missing: no tuning", True),
    Column("trials", "number", "integer", "", "number of the proposal within its study, from 0; missing: a final trial", True),
    Column("trials", "seed", "integer", "", "seed of initialisation, data order and augmentation"),
    Column("trials", "search_space", "text", "", "label of the search space in the sweep"),
    Column("trials", "architecture", "text", "", "the network as its search space writes it"),
    Column("trials", "dataset", "text", "", "name of the data set"),
    Column("trials", "dataset_share", "real", "share", "part of the training split that is trained on, in (0, 1]"),
    Column("trials", "algorithm", "text", "", "label of the training algorithm in the sweep"),
    Column("trials", "algorithm_name", "text", "", "name of the training algorithm's plug-in"),
    Column("trials", "profile", "text", "", "which parameters the network has: matrix-only or as-published"),
    Column("trials", "precision", "text", "", "arithmetic of forward and backward: float32 or bfloat16"),
    Column("trials", "epochs", "integer", "", "passes over the training images that were asked for"),
    Column("trials", "batch_size", "integer", "", "images a step"),
    Column("trials", "loss", "text", "", "loss that replaces the algorithm's own; missing: the algorithm's own", True),
    Column("trials", "hyperparameters", "text", "", "JSON of the fixed and proposed values; missing: nothing proposed yet", True),
    Column(
        "trials",
        "status",
        "text",
        "",
        "done, diverged, failed, refused, pruned, unneeded (adaptive seeds did without it), running, pending",
    ),
    Column("trials", "reason", "text", "", "why it ended other than done; empty when done or not ended"),
    Column("trials", "train_loss", "real", "", "mean loss of the last epoch's training batches; missing: no epoch was finished", True),
    Column("trials", "train_accuracy", "real", "share", "correct answers on the last epoch's training batches, in [0, 1]", True),
    Column(
        "trials",
        "val_loss",
        "real",
        "nats",
        "mean cross-entropy on the validation split after the last epoch; missing: it overflowed",
        True,
    ),
    Column("trials", "val_accuracy", "real", "share", "correct answers on the validation split after the last epoch, in [0, 1]", True),
    Column(
        "trials", "test_accuracy", "real", "share", "correct answers on the test split after the last epoch; never used for a choice", True
    ),
    Column("trials", "train_seconds", "real", "seconds", "training steps of the attempt that ended, resumed epochs included", True),
    Column("trials", "total_seconds", "real", "seconds", "the attempt that ended as a whole: building, training, evaluating", True),
    Column("trials", "charged_seconds", "real", "seconds", "sum of `seconds` over all attempts, lost ones included; 0: none ended yet"),
    Column("trials", "flops", "integer", "operations", "training, forward and backward, 2 per multiply-add; missing: not counted", True),
    Column("trials", "forward_flops", "integer", "operations", "forward pass of one image, 2 per multiply-add; missing: not counted", True),
    Column("trials", "parameters", "integer", "", "trainable scalars; missing: the network was not built", True),
    Column("trials", "peak_memory_bytes", "integer", "bytes", "largest device memory in use; missing: a CPU", True),
    Column("trials", "energy_joules", "real", "joules", "of a device that the trial had for itself; missing: not measured", True),
    Column("trials", "attempts", "integer", "", "executions begun, lost ones included"),
    Column(
        "trials",
        "representative",
        "text",
        "",
        "trial of an equal network whose results these are: not trained, nothing charged, 0 FLOPs; missing: trained itself",
        nullable=True,
        late=True,
    ),
    Column("trials", "proposal", "text", "", "JSON of the tuner's values; missing: none yet, or no tuning", True, published=False),
    Column("curves", "trial_id", "text", "", "the trial", key=True),
    Column("curves", "epoch", "integer", "", "epochs done, from 1", key=True),
    Column("curves", "train_loss", "real", "", "mean loss of the epoch's training batches"),
    Column("curves", "train_accuracy", "real", "share", "correct answers on the epoch's training batches, in [0, 1]"),
    Column("curves", "val_loss", "real", "nats", "mean cross-entropy on the validation split; missing: it overflowed", True),
    Column("curves", "val_accuracy", "real", "share", "correct answers on the validation split, in [0, 1]"),
    Column("curves", "train_seconds", "real", "seconds", "training steps so far, cumulative, evaluation apart"),
    Column(
        "curves", "learning_rate", "real", "", "of the epoch's last step (AGD: its automatic one); missing: the optimizer has none", True
    ),
    Column("diagnostics", "trial_id", "text", "", "the trial", key=True),
    Column("diagnostics", "epoch", "integer", "", "epochs done, from 1", key=True),
    Column("diagnostics", "name", "text", "", "what the optimizer calls the number; a layer's follows a slash", key=True),
    Column("diagnostics", "value", "real", "", "as the optimizer's `diagnostics` defines it"),
    Column("published", "search_space", "text", "", "label of the search space in the sweep"),
    Column("published", "dataset", "text", "", "name of the data set"),
    Column("published", "architecture", "text", "", "the network as its search space writes it"),
    Column("published", "epochs", "integer", "", "passes over the training images in the published training"),
    Column("published", "split", "text", "", "images that the published accuracy is of: validation, test, or validation and test"),
    Column("published", "training", "integer", "", "number of the published training, from 0; missing: a mean of several", True),
    Column("published", "trainings", "integer", "", "published trainings that the accuracy is the mean of"),
    Column("published", "accuracy", "real", "share", "correct answers as the search space's authors published them, in [0, 1]"),
    Column("rate_factors", "search_space", "text", "", "label of the search space in the sweep"),
    Column("rate_factors", "algorithm", "text", "", "label of the training algorithm in the sweep"),
    Column("rate_factors", "architecture", "text", "", "the network as its search space writes it"),
    Column("rate_factors", "factor", "real", "", "by what the algorithm multiplies a base rate for the network, from the network's graph"),
    Column("rate_factors", "signal", "real", "", "mean square of the classifier's input at the start, on noise of variance 1"),
    Column("features", "search_space", "text", "", "label of the search space in the sweep"),
    Column("features", "architecture", "text", "", "the network as its search space writes it"),
    Column("features", "feature", "text", "", "name of a number that the search space's plug-in states of its architectures"),
    Column("features", "value", "real", "", "that number for the architecture"),
    Column("equals", "trial_id", "text", "", "a trial that was not trained", key=True),
    Column("equals", "position", "integer", "", "place in the plan, from 0"),
    Column("equals", "architecture", "text", "", "its network as its search space writes it"),
    Column("equals", "representative", "text", "", "trial of an equal network whose results it has; the rest of its row is that one's"),
    Column("attempts", "trial_id", "text", "", "the trial", key=True),
    Column("attempts", "attempt", "integer", "", "number of the execution, from 1", key=True),
    Column("attempts", "node", "text", "", "worker that executed it: a number within the run, no host name"),
    Column("attempts", "started_at", "real", "seconds", "when it was sent, since 1970-01-01 UTC"),
    Column("attempts", "ended_at", "real", "seconds", "when its end was noticed, since 1970-01-01 UTC; missing: it runs", True),
    Column("attempts", "outcome", "text", "", "the trial's status, `lost`, `out of memory`, or `running`"),
    Column(
        "attempts",
        "seconds",
        "real",
        "seconds",
        "what is charged: measured where it ran, or until the loss was noticed; missing: it runs",
        True,
    ),
    Column("attempts", "reason", "text", "", "why it ended other than done; empty when done or running"),
    Column(
        "attempts",
        "provenance",
        "text",
        "",
        "JSON: versions, device, thread count, sampler of a tuning trial; missing: nothing was measured",
        True,
    ),
    Column("attempts", "deadline_at", "real", "seconds", "when it has to have ended, since 1970-01-01 UTC", published=False),
    Column("attempts", "blamed", "integer", "", "1: a loss that counts towards the attempts a trial may have; else 0", published=False),
)


def columns_of(table: Table, published: bool = True) -> tuple[Column, ...]:
    """The columns of a table in their order.

    Args:
        table: which one.
        published: leave out the driver's own.
    """
    return tuple(column for column in COLUMNS if column.table == table and (column.published or not published))


def dictionary() -> dict[str, list[dict[str, str | bool]]]:
    """The data dictionary: for each table its columns with type, unit, meaning and whether values can be missing."""
    return {
        table: [{"column": c.name, "type": c.type, "unit": c.unit, "nullable": c.nullable, "meaning": c.meaning} for c in columns_of(table)]
        for table in (*TABLES, *EVIDENCE)
    }


def dictionary_markdown() -> str:
    """The data dictionary as a page of Markdown."""
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
    """The data dictionary as lines of a docstring."""
    lines = []
    for table in (*TABLES, *EVIDENCE):
        lines.append(f"{indent}{table}:")
        for c in columns_of(table):
            unit = f" [{c.unit}]" if c.unit else ""
            lines.append(f"{indent}    {c.name} ({c.type}{', may be missing' if c.nullable else ''}){unit}: {c.meaning}")
    return "\n".join(lines)
