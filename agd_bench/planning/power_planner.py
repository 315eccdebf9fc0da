"""Estimate the power of a sweep to detect a shift of the ranking, and find designs that reach a given power, with their cost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from agd_bench import plugins
from agd_bench.analysis import DesignCost, pilot_reliabilities, power_table, shift_of_gap, sufficient_designs
from agd_bench.analysis.inference import ALPHA
from agd_bench.analysis.rankings.power import DEFAULT_RELIABILITY, SIMULATIONS, Shift
from agd_bench.errors import InputError
from agd_bench.planning.architectures import choose_architectures
from agd_bench.planning.planner import Folders, folders_of
from agd_bench.records import SearchSpaceChoice, Sweep

Group = tuple[str, str, str]


@dataclass(frozen=True)
class Design:
    """Power of a sweep, and the designs that would reach the requested power.

    Attributes:
        own: one row per comparison group and challenger: `search_space`, `dataset`, `profile`, `challenger`; `baseline_reliability`,
            `challenger_reliability` (of one seed); `true_tau` (between noise-free rankings, if the gap exists); and this sweep's
            `architectures` (without a defect), `seeds`, `seeds_compared`, `expected_gap`, `power`, `power_error`.
        sufficient: rows of `analysis.sufficient_designs`, the cheapest first, for the challenger with the least power in each group, with
            `device_seconds` instead of `cost` (all algorithms of the sweep, including tuning, trials in sequence; NaN if unknown).
        source: of the reliabilities, in words.
    """

    own: pd.DataFrame
    sufficient: pd.DataFrame
    source: str


def design(
    sweep: Sweep,
    gap: float,
    power: float = 0.8,
    pilot: pd.DataFrame | None = None,
    timings: pd.DataFrame | None = None,
    folders: Folders | None = None,
    simulations: int = SIMULATIONS,
) -> Design:
    """Estimate whether a sweep would detect a shift of the ranking, and find designs that would.

    Args:
        sweep: the sweep. With adaptive seeds, only the first seeds count, which all architectures get.
        gap: tau − noise ceiling as the report of this sweep would show it, at half its seeds; below 0.
        power: requested power, in (0, 1).
        pilot: trials of an earlier run, from which reliabilities are estimated by algorithm label. Labels without trials get the mean of
            the others. Default: 0.8 for all, from NAS-Bench-201.
        timings: table of `scheduling.estimate`. Without it, or without a row for some algorithm, costs are NaN.
        folders: further folders of plug-ins, by kind.
        simulations: simulated runs per design.

    Raises:
        InputError: the gap or the power is out of range, the sweep has one algorithm, or the pilot has too few results.
    """
    rivals = [choice.label for choice in sweep.algorithms if choice.label != sweep.baseline_label]
    if not rivals:
        raise InputError(f"{sweep.name}: power needs at least two algorithms, whose rankings are compared; the sweep has one")
    known = pilot_reliabilities(pilot) if pilot is not None else {}
    mean = sum(known.values()) / len(known) if known else DEFAULT_RELIABILITY
    level = ALPHA / len(rivals)  # Bonferroni; Holm's correction in the report is at least as powerful
    seeds = sweep.adaptive_seeds.first if sweep.adaptive_seeds else len(sweep.seeds)
    own, sufficient = [], []
    for group, space in _groups(sweep):
        count = _trainable(space, folders_of(sweep, folders))
        shifts = {
            # The report compares halves of the seeds.
            rival: shift_of_gap(gap, (known.get(sweep.baseline_label, mean), known.get(rival, mean)), max(1, seeds // 2))
            for rival in rivals
        }
        powers = {
            # Rivals of equal reliability have one shift, and one simulation.
            shift: power_table(shift, [count], [seeds], level=level, simulations=simulations).iloc[0].to_dict()
            for shift in dict.fromkeys(shifts.values())
        }
        own += [{**group, "challenger": rival, **_described(shift), **powers[shift]} for rival, shift in shifts.items()]
        # What suffices for the hardest rival suffices for all.
        hardest = min(shifts, key=lambda rival: powers[shifts[rival]]["power"])
        cost = _cost(sweep, group, timings)
        table = sufficient_designs(shifts[hardest], power, cost=cost, level=level, simulations=simulations).rename(
            columns={"cost": "device_seconds"}
        )
        sufficient.append(table.assign(**group, challenger=hardest))
    rows = pd.concat(sufficient, ignore_index=True)
    keys = [*group, "challenger"]
    return Design(
        # `iloc[0]` above turned a row of integers and floats into floats.
        pd.DataFrame(own).drop(columns="trials").astype({"architectures": int, "seeds": int, "seeds_compared": int}),
        rows[[*keys, *(column for column in rows if column not in keys)]],
        "the pilot run"
        if known
        else f"NAS-Bench-201's best tenth ({DEFAULT_RELIABILITY:g}, tau 0.59 between two seeds), since no pilot was given",
    )


def _groups(sweep: Sweep) -> Iterator[tuple[dict[str, str], SearchSpaceChoice]]:
    for space in sweep.search_spaces:
        for dataset in sweep.datasets:
            for profile in sweep.profiles:
                yield {"search_space": space.label, "dataset": dataset.label, "profile": profile}, space


def _trainable(space: SearchSpaceChoice, folders: Folders) -> int:
    """Count the architectures of a sweep that have no defect."""
    module = plugins.load_source(plugins.locate("search_spaces", space.name, folders.get("search_spaces", ())))
    chosen = choose_architectures(module, space)
    return sum(not module.defect(architecture) for architecture in chosen) if hasattr(module, "defect") else len(chosen)


def _described(shift: Shift) -> dict[str, float]:
    baseline, challenger = shift.reliabilities
    # Infinitely many seeds: no noise is left.
    return {"baseline_reliability": baseline, "challenger_reliability": challenger, "true_tau": 1 + shift.gap(math.inf)}


def _cost(sweep: Sweep, group: dict[str, str], timings: pd.DataFrame | None) -> DesignCost | None:
    """Return the cost of a design in device seconds, from the seconds per trial of each algorithm, or None if one is not timed."""
    if timings is None:
        return None
    rows = timings[(timings[list(group)] == list(group.values())).all(axis=1)]
    trials = rows["tuning_trials"] + rows["final_trials"]
    seconds = dict(zip(rows["algorithm"], (rows["device_seconds"] / trials).astype(float), strict=True))
    fixed, architecture, trial = 0.0, 0.0, 0.0
    for choice in sweep.algorithms:
        one = seconds.get(choice.label, math.nan)
        # NaN spreads to the sum: one algorithm without a time makes the cost unknown.
        trial += one
        if choice.tuning_scope in ("search-space", "sweep"):
            # as planned: STUDY determines the trials per proposal and their epochs
            fixed += float(rows.loc[rows["algorithm"] == choice.label, "tuning_trials"].sum()) * one
        else:
            architecture += choice.tuning_trials * one
    return DesignCost(fixed, architecture, trial) if math.isfinite(trial) else None
