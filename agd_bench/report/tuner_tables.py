"""The tuners of a sweep: their settings, cost and accuracy, and the cheapest one that reaches the baseline."""

from __future__ import annotations

from collections.abc import Iterator

from agd_bench.analysis.costs.crossover import STATES
from agd_bench.analysis.costs.tuners import MARGIN
from agd_bench.analysis.rows import Row, known
from agd_bench.report.cells import ALGORITHM, Column, interval, make_table, per_cent, points_lost, times
from agd_bench.report.comparison import Comparison, Shown

COLUMNS = (
    ALGORITHM,
    Column("Sampler", "who proposes hyperparameters", "sampler", numeric=False),
    Column("Early stopping", "how tuning trials are stopped", "pruner", numeric=False),
    Column("Scope", "what shares one study", "tuning_scope", numeric=False),
    Column("Proposals", "tuning trials of each study, or rounds of them", "tuning_trials"),
    Column("Stopped, %", "share of the tuning trials that were stopped early", "stopped", per_cent),
    Column("Charged cost", "FLOPs, tuning included, as a multiple of the baseline's", "cost_ratio", times),
    Column("Accuracy, %", "mean test accuracy; unsuccessful trainings count as 0", "accuracy", per_cent),
    Column("Difference, points", "from the baseline", "difference", points_lost),
    Column("95 % interval", "paired by architecture", "interval", numeric=False),
    Column("Reaches the baseline", f"reaches: at most {100 * MARGIN:g} points below it", "reach", numeric=False),
    Column(
        "Overtakes", "charged trainings per architecture after which it overtakes each self-tuning algorithm", "overtakes", numeric=False
    ),
)


def tuners(comparison: Comparison) -> Iterator[Shown]:
    """Cost and accuracy of each tuner, with the crossover with each self-tuning algorithm."""
    records = comparison.records("tuners")
    if not records:
        return
    yield tuner_sentence(records, comparison.baseline)
    crossings = comparison.records("crossover")
    for record in records:
        record["interval"] = interval(record, "difference_low", "difference_high", points_lost)
        record["overtakes"] = "; ".join(_overtakes(row) for row in crossings if row["tuned"] == record["algorithm"]) or None
    yield make_table(f"{comparison.anchor}-tuners", "The tuners, the cheapest first", COLUMNS, records, "data/tuners.csv")


def _overtakes(row: Row) -> str:
    """The crossover of a tuner with one self-tuning algorithm in a few words."""
    words = {STATES[0]: f"after {row['crossover_trainings']:.1f}", STATES[1]: "from the start", STATES[2]: "not in the trials made"}
    return f"{row['self_tuning']}: {words[row['state']]}"


def tuner_sentence(records: list[dict[str, object]], baseline: str) -> str:
    """Name the cheapest tuner that reaches the baseline.

    Args:
        records: rows of `analysis.costs.tuners.compare_tuners` of one group.
        baseline: label of the baseline.

    >>> row = {"algorithm": "sgd_tuned", "reach": "reaches", "cost_ratio": 4.0, "difference": 0.01}
    >>> tuner_sentence([row], "sgd")
    'The cheapest tuner that reaches sgd is sgd_tuned, at 4.00 times its charged cost (+1.0 points).'
    >>> tuner_sentence([row | {"reach": "cannot tell"}], "sgd")
    'No tuner is shown to reach sgd within 2 points.'
    """
    # Missing for the baseline itself.
    rivals = [row for row in records if isinstance(row["reach"], str)]
    if not rivals:
        return f"{baseline} is itself the only tuned algorithm, so there is no recipe for a tuner to reach."
    reaching = [row for row in rivals if row["reach"] == "reaches" and known(row, "cost_ratio", "difference")]
    if not reaching:
        return f"No tuner is shown to reach {baseline} within {100 * MARGIN:g} points."
    best = min(reaching, key=lambda row: float(str(row["cost_ratio"])))
    cost, gained = float(str(best["cost_ratio"])), float(str(best["difference"]))
    where = f"at {times(cost)} times its charged cost ({points_lost(gained)} points)"
    return f"The cheapest tuner that reaches {baseline} is {best['algorithm']}, {where}."
