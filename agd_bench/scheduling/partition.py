"""Parts of a plan for several machines without a shared store; `agd-bench merge` joins their results afterwards."""

from __future__ import annotations

from typing import NamedTuple, Self

from agd_bench.errors import InputError
from agd_bench.records import Plan
from agd_bench.scheduling.kinds import Comparison, comparison_of


class Part(NamedTuple):
    """One of `of` parts of equal size, with its `number` from 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a part such as `2/3`.

        Raises:
            InputError: the text is not a valid part.
        """
        number, _, of = text.partition("/")
        # isdecimal, because int() also accepts signs, spaces and underscores.
        if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            raise InputError(f"part {text!r}: give K/N with K from 1 to N, for example 2/3 on the second of three machines")
        return cls(int(number), int(of))


def part_of(plan: Plan, part: Part) -> Plan:
    """The part of a plan for one machine.

    Architectures are assigned to parts in turn, in the order of the plan, with all their algorithms and seeds. A study is never divided.

    Args:
        plan: all trials; the store holds rows for all of them.
        part: the part.

    Raises:
        InputError: the sweep has adaptive seeds, which need results of all architectures.
    """
    if plan.sweep.adaptive_seeds is not None and part.of > 1:
        raise InputError(
            "a sweep with adaptive seeds cannot be divided, because they depend on the results of all architectures; set a number of "
            "seeds, or omit the part"
        )
    places: dict[Comparison, dict[str, int]] = {}
    kept = []
    trained = {trial.id: trial.architecture for trial in plan.trials}
    for trial in plan.trials:
        # Networks that share results stay together, because one part trains for all of them.
        architecture = trained[trial.representative or trial.id]
        own = places.setdefault(comparison_of(trial), {})
        # In turn, so each part starts with a uniform sample and its comparisons are complete on one machine.
        if own.setdefault(architecture, len(own)) % part.of == part.number - 1:
            kept.append(trial)
    counts: dict[tuple[Comparison, str], int] = {}
    studies = []
    for study in plan.studies:
        group = (comparison_of(study.final[0]), study.algorithm_label)
        # Studies of an algorithm are assigned by count, because one may cover many architectures.
        counts[group] = counts.get(group, -1) + 1
        if counts[group] % part.of == part.number - 1:
            studies.append(study)
    return Plan(sweep=plan.sweep, trials=tuple(kept), studies=tuple(studies), plugin_digests=plan.plugin_digests)
