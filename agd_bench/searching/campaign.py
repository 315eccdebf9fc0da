"""Many runs of many search methods on several settings of one table, in processes, resumable."""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agd_bench import plugins
from agd_bench.cores import usable_cores
from agd_bench.errors import ExecutorError, InputError
from agd_bench.searching.simulation import MethodError, incumbents, simulate, world_of
from agd_bench.tabular import Domain, Key, Table
from agd_bench.tabular.benchmark import ARRAYS

CHUNK = 25
"""Runs of one piece of work; what was finished of a killed search is kept in such pieces."""
POINTS = 40
"""Times, in equal steps up to the budget, at which the best architecture known is kept."""
DEFAULT_TRAININGS = 100
"""Average trainings that the default budget pays for, or a third of the architectures if that is less."""


class Setting(NamedTuple):
    """What the methods search on.

    Attributes:
        key: data set, training algorithm, and the most epochs of a training.
        epochs: all budgets of a training up to these, ascending.
        budget_seconds: simulated seconds of one search.
    """

    key: Key
    epochs: tuple[int, ...]
    budget_seconds: float


@dataclass(frozen=True)
class Campaign:
    """What is to be run.

    Attributes:
        table: the tabular benchmark.
        settings: at least one.
        methods: names of search methods.
        kept: numbers of the architectures that have trainings in every setting.
        runs: of each method on each setting.
        folders: further folders of search methods.
    """

    table: Table
    settings: tuple[Setting, ...]
    methods: tuple[str, ...]
    kept: list[int]
    runs: int
    folders: tuple[Path, ...] = ()

    def restrictions(self) -> list[str]:
        """Return what the table cannot say, in sentences."""
        found, total = [], len(self.table.architectures)
        if len(self.kept) < total:
            found.append(f"{total - len(self.kept)} of {total} architectures are left out: they have no training in some setting.")
        for setting in self.settings:
            cells = self.table.cells[setting.key]
            seeds = (~np.isnan(cells.val_accuracy[self.kept])).sum(axis=1)
            if cells.means:
                found.append(f"{setting.key}: accuracies are means of several trainings, so a search sees less noise than in reality.")
            elif seeds.max() == 1:
                found.append(f"{setting.key}: one seed for each architecture, so noise of the seeds is not in the comparison.")
        short = {epochs for s in self.settings for epochs in s.epochs if self.table.cells[s.key._replace(epochs=epochs)].truncated}
        if short:
            found.append("Smaller budgets are earlier epochs of one training, stopped early, not trainings with a schedule of their own.")
        return found


@dataclass
class Outcome:
    """What one method came to on one setting.

    Attributes:
        picks: number, within `Campaign.kept`, of the best architecture known at each time, (runs, POINTS); -1: none yet.
        trainings: of each run.
        reason: why the method failed; empty if it did not.
        real_seconds: that its runs took.
    """

    picks: list[NDArray[np.int32]] = field(default_factory=list)
    trainings: list[NDArray[np.int32]] = field(default_factory=list)
    reason: str = ""
    real_seconds: float = 0.0

    @property
    def runs(self) -> int:
        """Runs that have ended."""
        return sum(map(len, self.picks))


Outcomes = dict[tuple[str, Key], Outcome]


def prepare(
    table: Table,
    settings: Sequence[str] = (),
    methods: Sequence[str] = (),
    runs: int = 500,
    budget_seconds: float | None = None,
    folders: Sequence[Path] = (),
) -> Campaign:
    """Check what is asked and complete it.

    Args:
        table: the tabular benchmark.
        settings: `ALGORITHM`, `ALGORITHM@EPOCHS` or `DATASET/ALGORITHM@EPOCHS`; default: every data set and algorithm, at every budget
            that is a training of its own.
        methods: names; default: all whose packages are installed.
        runs: of each method on each setting.
        budget_seconds: simulated, of each search. Default: what 100 average trainings of the setting cost, or as many as a third of the
            architectures.
        folders: further folders of search methods.

    Raises:
        InputError: an unknown name, no training for a setting, or no architecture that has trainings in all settings.
    """
    keys = [_parse(table, text) for text in settings] or [key for key, cells in table.cells.items() if not cells.truncated]
    known = plugins.find("searchers", folders)
    named = tuple(methods) or tuple(name for name, source in known.items() if not plugins.missing_packages(source))
    for name in named:
        plugins.load("searchers", name, folders)  # reports what is wrong before anything runs
    budgets = {key: tuple(e for e in table.budgets(key.dataset, key.algorithm) if e <= key.epochs) for key in keys}
    holes = [np.isnan(table.cells[key._replace(epochs=e)].val_accuracy).all(axis=1) for key in keys for e in budgets[key]]
    kept = np.flatnonzero(~np.any(holes, axis=0)).tolist()
    if len(kept) < 2:
        raise InputError(
            f"{table.name}: {len(kept)} architectures have a training in every setting ({', '.join(map(str, keys))}); drop one"
        )
    made = []
    for key in keys:
        cells, trainings = table.cells[key], max(2, min(DEFAULT_TRAININGS, len(kept) // 3))
        studies = cells.study_seconds[np.unique(cells.studies[kept][cells.studies[kept] >= 0])]
        # One study for all is paid once, a study for each architecture with each training.
        default = trainings * np.nanmean(cells.seconds[kept]) + studies.sum() * min(1, trainings / max(1, len(studies)))
        made.append(Setting(key, budgets[key], float(default if budget_seconds is None else budget_seconds)))
    return Campaign(table, tuple(made), named, kept, runs, tuple(folders))


def _parse(table: Table, text: str) -> Key:
    dataset, _, rest = text.rpartition("/")
    algorithm, _, epochs = rest.partition("@")
    if epochs and not epochs.isdecimal():
        raise InputError(
            f"setting {text!r}: epochs must be a whole number; write DATASET/ALGORITHM@EPOCHS, for example {next(iter(table.cells))}"
        )
    return table.key(algorithm or None, dataset or None, int(epochs) if epochs else None)


def run_campaign(
    campaign: Campaign,
    folder: Path,
    limit_seconds: float = 120.0,
    observe: Callable[[int, int], None] = lambda done, planned: None,
    workers: int | None = None,
) -> Outcomes:
    """Run every method on every setting.

    Args:
        campaign: what to run.
        folder: of finished runs, which are not repeated: a file's name is a digest of all that its contents depend on.
        limit_seconds: real seconds of one method on one setting, after which it gets no further runs.
        observe: called with the runs that are done and planned.
        workers: processes; default: the usable cores.

    Raises:
        ExecutorError: a process died.
    """
    folder.mkdir(parents=True, exist_ok=True)
    outcomes: Outcomes = {(method, s.key): Outcome() for s in campaign.settings for method in campaign.methods}
    streams = [(method, number) for number in range(len(campaign.settings)) for method in campaign.methods]
    planned = len(streams) * campaign.runs
    content = _digest_of_table(campaign)
    waiting: dict[Future[Any], tuple[str, int]] = {}
    count = workers or usable_cores()
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin, (campaign,)) as pool:
        while streams or waiting:
            while streams and len(waiting) < count:
                # Fast methods first, which are done while slow ones would still hold every process.
                method, number = min(streams, key=lambda each: outcomes[each[0], campaign.settings[each[1]].key].real_seconds)
                streams.remove((method, number))
                first = outcomes[method, campaign.settings[number].key].runs
                size = min(CHUNK, campaign.runs - first)
                file = folder / f"{_digest(campaign, content, method, number, first, size)}.npz"
                waiting[pool.submit(_chunk, method, number, first, size, file)] = method, number
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                method, number = waiting.pop(future)
                outcome = outcomes[method, campaign.settings[number].key]
                try:
                    picks, trainings, seconds, outcome.reason = future.result()
                except BrokenProcessPool:
                    raise ExecutorError(f"a process that ran {method} died; run the same command again, or leave the method out") from None
                outcome.picks.append(picks)
                outcome.trainings.append(trainings)
                outcome.real_seconds += seconds
                if not outcome.reason and outcome.runs < campaign.runs and outcome.real_seconds < limit_seconds:
                    streams.append((method, number))
                else:
                    planned -= campaign.runs - outcome.runs
                observe(sum(each.runs for each in outcomes.values()), planned)
    return outcomes


def _digest_of_table(campaign: Campaign) -> str:
    made = hashlib.sha256(repr((campaign.table.architectures, campaign.kept)).encode())
    for key, cells in campaign.table.cells.items():
        made.update(str(key).encode())
        for name in (*ARRAYS[:1], *ARRAYS[3:4], "studies", "study_seconds"):
            made.update(np.ascontiguousarray(getattr(cells, name)).tobytes())
    for scores in campaign.table.scores.values():
        for name, values in scores.items():
            made.update(name.encode() + np.ascontiguousarray(values).tobytes())
    return made.hexdigest()


def _digest(campaign: Campaign, content: str, method: str, number: int, first: int, size: int) -> str:
    code = plugins.locate("searchers", method, campaign.folders).digest
    return hashlib.sha256(repr((content, code, campaign.settings[number], first, size, POINTS)).encode()).hexdigest()[:24]


_HERE: list[Campaign] = []
"""The campaign of this process."""


def _begin(campaign: Campaign) -> None:
    _HERE[:] = [campaign]


@cache
def _ground(number: int) -> tuple[Domain, Any]:
    """Return what a method may know, and what it is told, on one setting."""
    campaign = _HERE[0]
    table, setting = campaign.table, campaign.settings[number]
    names = [table.architectures[place] for place in campaign.kept]
    scored = {**table.scores.get(setting.key.dataset, {}), "parameters": table.parameters[setting.key.dataset]}
    scores = {
        name: {table.architectures[place]: float(values[place]) for place in campaign.kept if not np.isnan(values[place])}
        for name, values in scored.items()
    }
    cells = {epochs: table.cells[setting.key._replace(epochs=epochs)] for epochs in setting.epochs}
    return Domain(names, setting.epochs, _neighbours(table.search_space), scores), world_of(cells, campaign.kept)


def _neighbours(search_space: str) -> Callable[[str], Any] | None:
    source = plugins.find("search_spaces").get(search_space)
    # Read from the source: importing a search space imports torch.
    if source is None or "neighbours" not in plugins.names_defined(source.path):
        return None
    stated: Callable[[str], Any] = plugins.load_source(source).neighbours
    return stated


def _chunk(method: str, number: int, first: int, size: int, file: Path) -> tuple[NDArray[np.int32], NDArray[np.int32], float, str]:
    """Return picks, trainings, real seconds and the reason of a failure of some runs, from the file if it is there."""
    if file.exists():
        with np.load(file) as kept:
            return kept["picks"], kept["trainings"], float(kept["seconds"]), ""
    began, campaign = time.monotonic(), _HERE[0]
    module = plugins.load("searchers", method, campaign.folders)
    domain, world = _ground(number)
    budget = campaign.settings[number].budget_seconds
    times = budget * np.arange(1, POINTS + 1) / POINTS
    picks, trainings = np.full((size, POINTS), -1, dtype=np.int32), np.zeros(size, dtype=np.int32)
    for run in range(size):
        try:
            trace = simulate(module, domain, world, budget, first + run)
        except MethodError as error:
            return picks[:run], trainings[:run], time.monotonic() - began, f"run {first + run}: {error}"
        picks[run], trainings[run] = incumbents(trace, times), trace.queries
    seconds = time.monotonic() - began
    unfinished = file.with_suffix(".part.npz")
    np.savez(unfinished, picks=picks, trainings=trainings, seconds=seconds)
    unfinished.replace(file)
    return picks, trainings, seconds, ""
