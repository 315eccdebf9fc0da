"""Kill each command that writes before a random operation, run the same command again, and compare the files."""

from __future__ import annotations

import hashlib
import itertools
import random
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from agd_bench import api
from agd_bench.leaderboard import publish_results
from agd_bench.store import load_results
from agd_bench.tables import aggregation
from tests.faults import drivers
from tests.faults.comparison import TIMES
from tests.faults.drivers import Driver, acted, arm, count_operations
from tests.faults.operations import Fault, send

COMMANDS: dict[str, list[str]] = {
    "run": ["run", "faulty.toml", "--executor", "in-process", "--device", "cpu", "--quiet", "--out", "out"],
    "merge": ["merge", "source", "--to", "out"],
    "report": ["report", "source", "--out", "out"],
    "export": ["export", "source", "--out", "out"],
    "publish": ["publish", "source", "--to", "boards/mine"],
    "publish again": ["publish", "source", "--to", "boards/earlier"],
    "publish, empty folder": ["publish", "source", "--to", "boards/empty"],
    "site": ["site", "boards", "--to", "out"],
    "draw": ["draw", "fcn", "--to", "out/fcn.svg"],
    "new": ["new", "search-space", "mine", "--to", "out"],
    "reproduce": ["reproduce", "agd_fcn", "--scale", "cpu", "--from", "page", "--to", "out", "--executor", "in-process", "--quiet"],
}
"""Every command that writes. `source` is a run, `boards/earlier` a publication of it, `page` that of a reproduction."""


def campaign(work: Path, seed: int, first: int = 0, names: Sequence[str] = tuple(COMMANDS)) -> Iterator[tuple[Counter[str], list[str]]]:
    """Kill one command after the other; yield whether each was killed, and a line for everything that differs afterwards."""
    sources = _make_sources(work / "sources")
    undisturbed: dict[str, tuple[dict[str, str], int]] = {}
    for number in itertools.count(first):
        name = names[number % len(names)]
        if name not in undisturbed:
            home = _new_home(sources, work / "undisturbed" / name)
            operations = count_operations(home, arguments=COMMANDS[name])[""]
            undisturbed[name] = (_contents(home), operations)
        expected, operations = undisturbed[name]
        home = _new_home(sources, work / f"kill-{number}")
        at = random.Random(f"{seed} {number}").randint(1, operations)
        Driver(home, arm(home, [Fault(name, at, send(signal.SIGKILL))]), COMMANDS[name]).wait()
        killed, again = acted(home), Driver(home, None, COMMANDS[name])
        wrong = [f"exit code: {again.said[-400:]}"] if again.wait() != 0 else _differences(_contents(home), expected)
        yield Counter(killed), [f"{name}, killed at operation {at} of {operations}: {line}" for line in wrong]
        if not wrong:
            shutil.rmtree(home)


def _make_sources(folder: Path) -> Path:
    drivers.warm_up(folder)
    # only the writing of intervals is tested, not their values
    aggregation.FEWEST_RESAMPLES = aggregation.MOST_RESAMPLES = 100
    (folder / "run").rename(folder / "source")
    results = load_results(folder / "source")
    publish_results(results, folder / "boards" / "earlier")
    (folder / "boards" / "empty").mkdir()
    api.build_report(results, folder / "warm")
    shutil.rmtree(folder / "warm")
    shutil.copytree(Path(__file__).parents[2] / "leaderboards" / "reproductions" / "agd_fcn-cpu", folder / "page")
    return folder


def _new_home(sources: Path, home: Path) -> Path:
    shutil.copytree(sources, home)
    return home


def _contents(home: Path) -> dict[str, str]:
    """Return the digest of each file that a command may have written, by path; for a run, only what two runs have in common."""
    files = {path.relative_to(home): path for name in ("out", "boards") for path in sorted((home / name).rglob("*")) if path.is_file()}
    is_run = (home / "out" / "results.sqlite").exists()
    contents = {str(name): "" if is_run else hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    if is_run:
        trials = load_results(home / "out").trials
        contents["trials"] = trials.drop(columns=list(TIMES)).to_json()
    return contents


def _differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    unlike = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    return [f"differs: {', '.join(unlike[:5])}"] if unlike else []
