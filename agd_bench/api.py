"""Plan, run and load sweeps. The command line and the Python API call the same functions."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agd_bench.cores import usable_cores
from agd_bench.errors import ExecutorError, InputError, RunChangedError
from agd_bench.planning.planner import Folders, folders_of
from agd_bench.planning.planner import plan as plan_sweep
from agd_bench.planning.unions import unite_sweeps
from agd_bench.records import TERMINAL, Plan, Sweep
from agd_bench.scheduling.resources import Resources
from agd_bench.store import (
    Results,
    Reusable,
    Store,
    declared_meta,
    ended_trials,
    join,
    load_results,
    merge_into,
    reusable_rows,
    stored_sweep,
)
from agd_bench.store.database import file_of, is_url, shown
from agd_bench.store.manifest import require_manifest
from agd_bench.store.plan_rows import MIXED_CODE_ADVICE
from agd_bench.store.reader import is_published
from agd_bench.sweeps import open_sweep

if TYPE_CHECKING:
    import pandas as pd

    from agd_bench.claims import Claims
    from agd_bench.scheduling.progress import Observer
    from agd_bench.trial import Workplace


def read_sweep(sweep: str | Path) -> Sweep:
    """A built-in sweep by name, or the sweep in a TOML or JSON file.

    Args:
        sweep: `"quickstart"`, or a path such as `"mine.toml"`.

    Raises:
        UnknownNameError: no built-in sweep or file has this name.
        SweepError: a malformed file.

    >>> read_sweep("quickstart").epochs > 0
    True
    """
    return open_sweep(sweep)


def plan(sweep: Sweep | str | Path, folders: Folders | None = None) -> Plan:
    """All trials of a sweep; depends only on the sweep and the plug-ins.

    Args:
        sweep: a sweep, a built-in one's name, or a file.
        folders: folders with more plug-ins, by kind.

    Raises:
        InputError: unknown names, plug-ins that cannot be loaded, or incompatible settings.
    """
    return plan_sweep(sweep if isinstance(sweep, Sweep) else open_sweep(sweep), folders)


def build_report(results: Results | str | Path, folder: str | Path, *, folders: Folders | None = None) -> Path:
    """Write the report of a run, finished or not.

    Args:
        results: what `run` or `load_results` returned, or where a run or a leaderboard is.
        folder: created if missing; files of the same names are replaced.
        folders: folders with more plug-ins, by kind.

    Returns:
        The page, which loads nothing from other hosts.
    """
    from agd_bench.report import build_report as build

    return build(_with_evidence(results, folders), Path(folder).expanduser())


def publish_results(
    results: Results | str | Path,
    folder: str | Path,
    name: str | None = None,
    claims: Claims | None = None,
    *,
    folders: Folders | None = None,
) -> Path:
    """Write results as a leaderboard folder, without names of machines, users and folders.

    Args:
        results: what `run` or `load_results` returned, or where a run or a leaderboard is.
        folder: new, or a leaderboard to replace.
        name: the leaderboard's name; default: the sweep's.
        claims: see `agd_bench.claims`; default: the folder's own, or those that the sweep implies.
        folders: folders with more plug-ins, by kind.

    Returns:
        The folder.

    Raises:
        InputError: a folder that holds something else, an unusable name, or claims about what the results do not hold.
    """
    from agd_bench.leaderboard import publish_results as publish

    return publish(_with_evidence(results, folders), Path(folder).expanduser(), name, claims)


def _with_evidence(results: Results | str | Path, folders: Folders | None) -> Results:
    from agd_bench.evidence import gather_evidence

    return gather_evidence(results if isinstance(results, Results) else load_results(results), folders)


class Merged(NamedTuple):
    """Result of a merge.

    Attributes:
        taken: trials that ended in the target through it.
        repeated: trials that ended in more than one of the runs given, equally, and were kept once.
        planned: all trials of the sweep.
        missing: how many trials are still to be done there, by `(algorithm, search space, data set, profile)`.
    """

    taken: int
    repeated: int
    planned: int
    missing: dict[tuple[str, str, str, str], int]

    @property
    def left(self) -> int:
        """How many trials are still to be done."""
        return sum(self.missing.values())


def _workplace(folders: Folders, resources: Resources) -> Workplace:
    # Imported here, because torch takes seconds to import.
    from agd_bench.datasets import data_root
    from agd_bench.trial import Workplace

    return Workplace(data_root=data_root(), folders=folders, device=resources.device, checkpoints=resources.checkpoints)


def _with_precision(sweep: Sweep, location: Path | str, workplace: Workplace, start_from: Sequence[Path | str] = ()) -> Sweep:
    """The sweep with `auto` replaced by the precision of the run that has started there, or of the run it starts from, or the best one for
    this machine.
    """
    if sweep.precision != "auto":
        return sweep
    from agd_bench.training.fit import suited_precision

    # A started run keeps its precision, even if another one would suit this machine better.
    begun = stored_sweep(location) or next((load_results(earlier).sweep for earlier in start_from), None)
    precision = begun.precision if begun is not None else suited_precision(workplace.torch_device())
    return sweep.model_copy(update={"precision": precision})


def run(
    sweep: Sweep | str | Path,
    out: Path | str | None = None,
    *,
    resources: Resources | None = None,
    store_url: str | None = None,
    folders: Folders | None = None,
    observer: Observer | None = None,
    time_limit_seconds: float | None = None,
    part: str | None = None,
    start_from: Sequence[Path | str] = (),
    allow_mixed_code: bool = False,
    retry: Collection[str] = (),
    inform: Callable[[str], None] | None = None,
    **options: Any,
) -> Results:
    """Train the remaining trials of a sweep.

    Args:
        sweep: the sweep, a built-in one's name, or a TOML file.
        out: the run's folder; default `runs/NAME`.
        resources: resources for training; default: a local Ray instance with all cores or GPUs of this machine.
        store_url: URL of a database to use instead of a SQLite file in `out`.
        folders: folders of further plug-ins by kind.
        observer: receives every event and the progress; default: one line that is updated in place in a notebook, else nothing.
        time_limit_seconds: limit from now; the next call continues with the remaining trials.
        part: `K/N` for the K-th of N machines without a common store, which trains every N-th architecture; default: all.
        start_from: runs, published folders or stores' URLs, of this sweep or others, whose results of equal trials are reused. Rows of
            plug-ins that were edited since are not; those trials are trained.
        allow_mixed_code: whether to keep rows of plug-ins that were edited since; rows and report state which code produced them.
        retry: outcomes of trials to train again: `failed`, `lost` (failed because attempts were lost or ran out of memory), `refused`,
            `diverged`. Their cost remains charged.
        inform: receives a sentence about what is reused from each of `start_from`.
        options: fields of `Resources` to change, for example `executor="in-process"`, `num_workers=4` or `device="cpu"`.

    Returns:
        The stored results.

    Raises:
        AgdBenchError: a run failed; finished trials are kept.
        KeyboardInterrupt: passed on; the same call resumes the run.
    """
    from agd_bench.scheduling.notebook import notebook_observer
    from agd_bench.scheduling.partition import Part
    from agd_bench.scheduling.runs import run_plan

    _check_url(store_url)
    # First, because merging and planning count towards the limit.
    stop_at = None if time_limit_seconds is None else time.monotonic() + time_limit_seconds
    own = None if part is None else Part.parse(part)
    chosen = replace(resources or Resources(), **options)
    asked = sweep if isinstance(sweep, Sweep) else open_sweep(str(sweep))
    folder = _folder_of(asked, out)
    observer = observer or notebook_observer()
    _refuse_package_cache(store_url or folder)
    workplace = _workplace(folders_of(asked, folders), chosen)
    asked = _with_precision(asked, store_url or folder, workplace, start_from)
    made = plan(asked, folders)
    if start_from:
        reused = _reusable(start_from, made, allow_mixed_code)
        if inform is not None:
            for name, rows in reused.items():
                inform(_said(name, rows))
        _store(reused, store_url or folder, made, allow_mixed_code)
    elif allow_mixed_code:
        Store.open(store_url or folder, made, allow_mixed_code).close()
    run_plan(made, folder, workplace, chosen, observer=observer, store_url=store_url, stop_at=stop_at, part=own, retry=retry)
    return load_results(store_url or folder)


def _folder_of(sweep: Sweep, out: Path | str | None) -> Path:
    return Path("runs") / sweep.name if out is None else Path(out).expanduser()


def _check_url(store_url: str | None) -> None:
    if store_url is not None and not is_url(store_url):
        raise InputError(
            f"--store {shown(store_url)}: not a database URL; use one such as postgresql+psycopg://user@host/run or sqlite:///run.db, "
            "or --out for a folder"
        )


def _refuse_package_cache(location: Path | str) -> None:
    file = file_of(location)
    if file is not None and "/runtime_resources/working_dir_files/" in file.absolute().as_posix():
        raise InputError(
            f"{file.absolute()}: this is Ray's copy of --working-dir, which Ray removes and which moves when any file changes; "
            "give an absolute --out on a disk that stays, or a database with --store"
        )


def merge(runs: Sequence[Path | str], to: Path | str, *, folders: Folders | None = None, allow_mixed_code: bool = False) -> Merged:
    """Join runs into one that can be continued, reported and published: parts of one sweep, or sweeps that have a union.

    Of a trial that ended in several runs one row is kept, if all measured the same: status, hyperparameters, and every accuracy, loss,
    count and curve point to the last digit. Seconds, joules and memory may differ; those of the first run given are kept.

    Args:
        runs: run folders, published folders or stores' URLs.
        to: a run folder or a database's URL; made if it is not there, else its own results come first.
        folders: folders of further plug-ins by kind.
        allow_mixed_code: join rows of plug-ins that were edited in between; every row, and the report, says which code made it.

    Returns:
        How many trials ended there through this, and which are still to be done.

    Raises:
        InputError: no run, nothing to read, or a trial that ended differently in two runs; nothing is written then.
        SweepError: sweeps that have no union; see `unite_sweeps`.
        RunChangedError: rows that do not belong to the union, or of plug-ins that were edited since.
        StoreError: the target cannot be written.
    """
    if not runs:
        raise InputError("nothing to merge; pass at least one run")
    made = plan(unite_sweeps([load_results(run).sweep for run in runs], folders), folders)
    reusable = _reusable(runs, made, allow_mixed_code)
    for name, rows in reusable.items():
        if rows.edited:
            raise RunChangedError(
                f"{name} was made with different code: the code of {', '.join(rows.edited[:4])} changed; merge runs of the same "
                f"plug-ins, or {MIXED_CODE_ADVICE}"
            )
        if rows.omitted:
            raise RunChangedError(
                f"{name}: {rows.omitted} of its trials are none of the union of the runs given: a study that covers several "
                "architectures or data sets proposes others in a larger sweep; leave this run out, or start a run of the union with --from"
            )
    return _store(reusable, to, made, allow_mixed_code)


def _reusable(runs: Sequence[Path | str], made: Plan, allow_mixed_code: bool) -> dict[str, Reusable]:
    """The rows of each run that belong to a plan, by the run's name for messages."""
    for run in runs:
        if is_published(run):
            require_manifest(Path(run))
    return {shown(run): reusable_rows(shown(run), load_results(run), made, allow_mixed_code) for run in runs}


def _said(name: str, rows: Reusable) -> str:
    taken = int(rows.results.trials["status"].isin(TERMINAL).sum())
    left = f"; rows of {', '.join(rows.edited)} are of other code and not reused" if rows.edited else ""
    return f"{name}: {taken} trials reused{left}"


def _store(reusable: dict[str, Reusable], to: Path | str, made: Plan, allow_mixed_code: bool) -> Merged:
    # Everything is checked and joined before the target is opened, so a failing merge writes nothing.
    joined = join([(name, rows.results) for name, rows in reusable.items()])
    with Store.open(to, made, allow_mixed_code, [declared_meta(rows.results) for rows in reusable.values()]) as store:
        taken = merge_into(store, made, joined)
        standings = store.standings()
    left = [trial for trial in made.all_trials if standings[trial.id].status not in TERMINAL]
    cells: list[tuple[str, str, str, str]] = [(one.algorithm_label, one.search_space_label, one.dataset_label, one.profile) for one in left]
    return Merged(taken, joined.repeated, len(made.all_trials), dict(Counter(cells)))


def estimate(
    sweep: Sweep | str | Path,
    out: Path | str | None = None,
    *,
    resources: Resources | None = None,
    store_url: str | None = None,
    folders: Folders | None = None,
    **options: Any,
) -> tuple[pd.DataFrame, int]:
    """Estimate the remaining trials of a sweep and their cost on this machine.

    Args:
        sweep: the sweep, a built-in one's name, or a TOML file.
        out: the run's folder; its finished trials are left out. Default: `runs/NAME`.
        resources: resources for training; default: all cores or GPUs of this machine.
        store_url: URL of the run's database, if it does not use a SQLite file in `out`.
        folders: folders of further plug-ins by kind.
        options: fields of `Resources` to change.

    Returns:
        The table of `scheduling.estimate.estimate_plan`, and the assumed number of concurrent trials.
    """
    from agd_bench.scheduling.estimate import estimate_plan
    from agd_bench.scheduling.runs import fetch_datasets

    _check_url(store_url)
    chosen = replace(resources or Resources(), **options)
    asked = sweep if isinstance(sweep, Sweep) else open_sweep(str(sweep))
    folder = _folder_of(asked, out)
    workplace = _workplace(folders_of(asked, folders), chosen)
    asked = _with_precision(asked, store_url or folder, workplace)
    made = plan(asked, folders)
    done = ended_trials(store_url or folder)
    fetch_datasets(made, workplace)
    slots = chosen.num_workers or _slots_here(workplace, chosen.gpus_per_trial)
    return estimate_plan(made, workplace, slots, done), slots


def _slots_here(workplace: Workplace, gpus_per_trial: float | None) -> int:
    """Number of concurrent trials on this machine: one per usable core, or as many as its GPUs hold."""
    if workplace.torch_device().type == "cuda":
        import torch

        share = 1.0 if gpus_per_trial is None else gpus_per_trial
        if share > torch.cuda.device_count():
            raise ExecutorError(f"{share:g} GPUs per trial were requested, but this machine has {torch.cuda.device_count()}")
        if share > 0:
            return max(1, int(torch.cuda.device_count() / share))
    return usable_cores()
