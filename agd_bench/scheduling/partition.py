"""Parts of a plan for several machines that share no store: what each trains is joined afterwards by `agd-bench merge`."""

from __future__ import annotations

from typing import NamedTuple, Self

from agd_bench.errors import InputError
from agd_bench.records import Plan
from agd_bench.scheduling.kinds import Comparison, comparison_of


class Part(NamedTuple):
    """One of several parts of equal size: the `number`-th, from 1, `of` so many."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The part that `2/3` names.

        Raises:
            InputError: it names none.
        """
        number, _, of = text.partition("/")
        # isdecimal, as int() also takes signs, spaces and underscores.
        if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            raise InputError(f"part {text!r}: give K/N with K from 1 to N, for example 2/3 on the second of three machines")
        return cls(int(number), int(of))


def part_of(plan: Plan, part: Part) -> Plan:
    """The part of a plan that one machine does.

    Architectures are dealt out one by one in the order of the plan, with all their algorithms and seeds. A study is never
    divided.

    Args:
        plan: all trials; the store keeps rows for all of them.
        part: which.

    Raises:
        InputError: adaptive seeds, which look at all architectures before they ask for more.
    """
    if plan.sweep.adaptive_seeds is not None and part.of > 1:
        raise InputError(
            "adaptive seeds look at the results of all architectures and cannot be divided; give a number of seeds, or no part"
        )
    places: dict[Comparison, dict[str, int]] = {}
    kept = []
    trained = {trial.id: trial.architecture for trial in plan.trials}
    for trial in plan.trials:
        # Networks that share results stay together, as one part trains for all of them.
        architecture = trained[trial.representative or trial.id]
        own = places.setdefault(comparison_of(trial), {})
        # Dealt one by one: each part begins with a fair sample, and its comparisons are complete on one machine.
        if own.setdefault(architecture, len(own)) % part.of == part.number - 1:
            kept.append(trial)
    counts: dict[tuple[Comparison, str], int] = {}
    studies = []
    for study in plan.studies:
        group = (comparison_of(study.final[0]), study.algorithm_label)
        # Studies of an algorithm are dealt by count, as one may cover many architectures.
        counts[group] = counts.get(group, -1) + 1
        if counts[group] % part.of == part.number - 1:
            studies.append(study)
    return Plan(sweep=plan.sweep, trials=tuple(kept), studies=tuple(studies), plugin_digests=plan.plugin_digests)
