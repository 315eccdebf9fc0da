"""Take part in a board: freeze a benchmark, train an algorithm on it, and submit the rows as an entry."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from agd_bench import api, plugins
from agd_bench.errors import InputError, RunChangedError, UnknownNameError
from agd_bench.evidence import gather_evidence
from agd_bench.leaderboard.entries import describe_moves, write_entry
from agd_bench.leaderboard.publication import write_board
from agd_bench.planning.architectures import architectures_of, describe_defect
from agd_bench.planning.planner import Folders, folders_of
from agd_bench.records import TERMINAL, AlgorithmChoice, SearchSpaceChoice, Sweep
from agd_bench.records.competition import BENCHMARK, ENTRIES, Benchmark, Entry, Lite, Part, format_record
from agd_bench.store import Results, as_planned, load_results, reusable_rows, written_beside
from agd_bench.store.database import shown
from agd_bench.store.entry_rows import is_board, ranked_entries, read_benchmark, read_entries
from agd_bench.store.reader import devices_of, read_board
from agd_bench.store.row_code import DIGESTS

Record = TypeVar("Record", AlgorithmChoice, Entry)
MOST_LISTED = 1000
"""Architectures of a search space that a benchmark lists by name; larger samples stay as the sweep asks for them."""
LITE_SHARE = 0.1
LITE_SEEDS = 2
"""Fewest seeds from which seed noise can be estimated."""
LITE_ARCHITECTURES = 4
"""Fewest architectures of the lite part: those on which a study of the search space tries its proposals by default."""
COMMENT = "What every entry trains. Frozen: entries state its digest, and a changed benchmark is a new version in a folder of its own."


@dataclass(frozen=True)
class Submitted:
    """What a submission wrote.

    Attributes:
        entries: the folders of the entries.
        comment: how the places moved, as Markdown for a comment on a pull request.
    """

    entries: tuple[Path, ...]
    comment: str


def freeze(sweep: Sweep | str | Path, board: Path, folders: Folders | None = None) -> Benchmark:
    """Write a sweep without its algorithms as the benchmark of a new board.

    Args:
        sweep: a sweep, a built-in one's name, or a file.
        board: the board's folder; a name that ends in `-v2` is version 2.
        folders: further folders of plug-ins, by kind.

    Raises:
        InputError: a sweep that cannot be a benchmark, or a board that has a benchmark already.
        DatasetError: a data set cannot be loaded.
    """
    asked = sweep if isinstance(sweep, Sweep) else api.read_sweep(sweep)
    if is_board(board):
        raise InputError(f"{board / BENCHMARK}: exists, and entries refer to it; freeze a changed sweep to a new folder such as {board}-v2")
    if asked.adaptive_seeds is not None:
        raise InputError("adaptive seeds: the seeds of an entry would depend on other entries; give a number of seeds")
    if asked.precision == "auto" or len(asked.seeds) < LITE_SEEDS:
        raise InputError(f"a benchmark needs at least {LITE_SEEDS} seeds and a precision, float32 or bfloat16; set them in the sweep")
    found = folders_of(asked, folders)
    spaces = {choice.label: architectures_of(choice, found.get("search_spaces", ())) for choice in asked.search_spaces}
    others = [choice.label for choice in asked.algorithms if choice.label != asked.baseline_label]
    shared = {
        name: getattr(asked, name) for name in ("description", "epochs", "batch_size", "seeds", "profiles", "precision", "diagnostics")
    }
    _, _, version = board.name.rpartition("-v")
    benchmark = Benchmark(
        name=asked.name,
        version=int(version) if version.isdecimal() and version != board.name else 1,
        baseline=asked.baseline_label,
        challenger=others[0] if others else "",
        data={choice.name: _checksum(choice.name, found) for choice in asked.datasets},
        lite=Lite(
            architectures={choice.label: _first(choice, spaces[choice.label], len(asked.seeds), found) for choice in asked.search_spaces},
            seeds=asked.seeds[:LITE_SEEDS],
        ),
        search_spaces=tuple(_listing(choice, spaces[choice.label]) for choice in asked.search_spaces),
        datasets=asked.datasets,
        **shared,
    )
    with written_beside(board) as beside:
        (beside / BENCHMARK).write_text(format_record(benchmark, COMMENT), encoding="utf-8", newline="\n")
    return benchmark


def _listing(choice: SearchSpaceChoice, architectures: tuple[str, ...]) -> SearchSpaceChoice:
    """Return the choice with its sample by name, so that it does not depend on how a plug-in draws."""
    if len(architectures) > MOST_LISTED:
        return choice
    return choice.model_copy(update={"architectures": architectures, "sampling": None, "order": "given"})


def _first(choice: SearchSpaceChoice, architectures: tuple[str, ...], seeds: int, folders: Folders) -> tuple[str, ...]:
    """Return the first architectures that, with the lite seeds, are about a tenth of the trainings."""
    module = plugins.load("search_spaces", choice.name, tuple(folders.get("search_spaces", ())))
    wanted = max(LITE_ARCHITECTURES, round(LITE_SHARE * len(architectures) * seeds / LITE_SEEDS))
    listed: list[str] = []
    trained = 0
    for architecture in architectures:
        if trained == wanted:
            break
        listed.append(architecture)
        # networks that no algorithm can train do not count
        trained += not describe_defect(module, choice.name, architecture)
    return tuple(listed)


def _checksum(dataset: str, folders: Folders) -> str:
    from agd_bench.datasets import checksum, data_root

    # numpy arrays alone, but torchvision's sets import torch
    return checksum(plugins.load("datasets", dataset, tuple(folders.get("datasets", ()))).load(data_root()))


def enter(
    board: Path,
    algorithm: AlgorithmChoice,
    *,
    part: Part = "whole",
    out: Path | None = None,
    folders: Folders | None = None,
    start_from: Sequence[Path | str] = (),
    inform: Callable[[str], None] | None = None,
    **options: Any,
) -> Results:
    """Train what is missing for one algorithm on a benchmark.

    Args:
        board: the board's folder.
        algorithm: labelled as its entry is to be called.
        part: of the benchmark.
        out: the run's folder; default: `run_folder`.
        folders: further folders of plug-ins, by kind.
        start_from: runs or published folders whose equal trials are reused, in addition to earlier runs and the entry of the same name.
        inform: receives a sentence about what is reused.
        options: of `agd_bench.run`, such as `executor`, `device` or `time_limit_seconds`.

    Raises:
        InputError: no benchmark, data that are not those of the benchmark, or as `agd_bench.run`.
    """
    benchmark = read_benchmark(board)
    sweep = benchmark.sweep([algorithm], part)
    for name, expected in benchmark.data.items():
        found = _checksum(name, folders or {})
        if found != expected:
            raise InputError(
                f"data set {name!r}: SHA-256 {found[:12]}…, but the benchmark was frozen with {expected[:12]}…; use the same images, "
                "labels and splits, or freeze a benchmark of your own"
            )
    folder = out or run_folder(benchmark, algorithm.label, part)
    own = [run_folder(benchmark, algorithm.label, "lite"), board / ENTRIES / algorithm.label]
    earlier = [place for place in own if place.is_dir() and place != folder]
    made = api.plan(sweep, folders)
    for place in earlier.copy():
        try:
            reusable_rows(str(place), load_results(place), made)
        except RunChangedError as error:
            # not asked for by the user, so no reason to stop
            earlier.remove(place)
            if inform is not None:
                inform(f"{error} (not reused)")
    return api.run(sweep, folder, folders=folders, start_from=[*start_from, *earlier], inform=inform, **options)


def run_folder(benchmark: Benchmark, label: str, part: Part) -> Path:
    """Return the folder of the run that `enter` starts."""
    return Path("runs") / f"{benchmark.name}-{label}{'-lite' if part == 'lite' else ''}"


def submit(
    run: Path | str,
    board: Path,
    algorithms: Sequence[str] = (),
    *,
    name: str = "",
    authors: Sequence[str] = (),
    code: str = "",
    supersedes: Sequence[str] = (),
    folders: Folders | None = None,
    allow_mixed_code: bool = False,
) -> Submitted:
    """Write the rows of a run as entries of a board, and the board anew.

    Args:
        run: a run folder, a published folder or a store's URL, of any sweep that contains the benchmark's trials.
        board: the board's folder.
        algorithms: labels in the run; default: all that the board does not have.
        name: of the entry, for a single algorithm; default: its label.
        authors: of the entry.
        code: where the algorithm's code is, if it is not built in.
        supersedes: entries that this one replaces.
        folders: further folders of plug-ins, by kind.
        allow_mixed_code: whether to accept rows of plug-ins that were edited since; the entry states their code.

    Raises:
        InputError: nothing to submit, trials that are missing, or an entry of that name.
        RunChangedError: the run has no trial of the benchmark.
    """
    benchmark, results = read_benchmark(board), gather_evidence(load_results(run), folders)
    entries = read_entries(board)
    before = read_board(board) if ranked_entries(entries, "whole") else None
    known = {choice.label: choice for choice in results.sweep.algorithms}
    chosen = list(algorithms) or [label for label in known if label not in entries or entries[label].part == "lite"]
    for label in chosen:
        if label not in known:
            raise UnknownNameError("algorithm of the run", label, known)
    if not chosen or (name and len(chosen) > 1):
        raise InputError(f"{shown(run)}: algorithms {', '.join(known)}; name one of them with --algorithm")
    written = []
    for label in chosen:
        choice = _changed(known[label], "--as", {"label": name or label})
        rows, part = _complete(str(run), results, benchmark, choice, folders, allow_mixed_code)
        entry = _entry(benchmark, choice, rows, part, folders)
        stated = {"authors": tuple(authors), "code": code, "supersedes": tuple(supersedes)}
        written.append(write_entry(rows, board, _changed(entry, "--author, --code or --supersedes", stated)))
    if not ranked_entries(read_entries(board), "whole"):
        return Submitted(tuple(written), "No entry has rows of the whole benchmark yet.\n")
    write_board(board)
    return Submitted(tuple(written), describe_moves(before, read_board(board)))


def _changed(record: Record, options: str, changes: dict[str, Any]) -> Record:
    """Return a record with values that a user gives, checked as the others: a label is the name of a folder.

    Raises:
        InputError: a value is not allowed.
    """
    try:
        return type(record).model_validate(record.model_dump() | changes)
    except ValidationError as error:
        raise InputError(f"{options}: {' '.join(str(error).split())[:300]}") from None


def _complete(
    run: str, results: Results, benchmark: Benchmark, choice: AlgorithmChoice, folders: Folders | None, allow_mixed_code: bool
) -> tuple[Results, Part]:
    """Return an algorithm's rows of the whole benchmark or, if some are missing, of its lite part.

    Raises:
        InputError: trials of both are missing.
    """
    missing = []
    parts: tuple[Part, ...] = ("whole", "lite")
    for part in parts:
        made = api.plan(benchmark.sweep([choice], part), folders)
        kept = reusable_rows(run, results, made, allow_mixed_code)
        if kept.edited:
            raise RunChangedError(f"{shown(run)}: the code of {', '.join(kept.edited)} changed since; train again with `agd-bench enter`")
        rows = as_planned(kept.results, made)
        left = int((~rows.trials["status"].isin(TERMINAL)).sum())
        if not left:
            factors = rows.rate_factors[rows.rate_factors["algorithm"] == choice.label].reset_index(drop=True)
            meta = rows.meta | {"devices": json.dumps(devices_of(rows.attempts))}
            return replace(rows, rate_factors=factors, meta=meta), part
        missing.append(f"{left} of {len(rows.trials)} trials of the {part} benchmark")
    raise InputError(
        f"{shown(run)}: {choice.label} is not trained to the end: {' and '.join(missing)} are missing; see `agd-bench enter --help`"
    )


def _entry(benchmark: Benchmark, choice: AlgorithmChoice, rows: Results, part: Part, folders: Folders | None) -> Entry:
    source = plugins.locate("algorithms", choice.name, tuple((folders or {}).get("algorithms", ())))
    facts = plugins.describe(source)
    return Entry(
        benchmark=benchmark.digest,
        part=part,
        title=str(facts.get("summary", choice.name)),
        tier=str(facts.get("TIER", "externally tuned" if choice.tuning_trials else "")),
        paper=str(facts.get("PAPER", "")),
        licence=str(facts.get("LICENCE", "")),
        digest=json.loads(rows.meta.get(DIGESTS, "{}")).get(f"algorithms/{choice.name}", ""),
        hardware=tuple(json.loads(rows.meta["devices"])),
    )
