"""Disturb in-process runs at random moments, run the same command again, and compare the results with an undisturbed run."""

from __future__ import annotations

import itertools
import random
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from agd_bench.scheduling.executors.in_process import InProcessExecutor
from agd_bench.store import Results, load_results
from tests.faults.comparison import find_differences
from tests.faults.drivers import Driver, arm, be_impatient, has_acted, prepare, warm_up
from tests.faults.operations import (
    BROKEN_DISK,
    NO_SPACE,
    close_display,
    fill_database,
    limit_files,
    refuse_checkpoints,
    send,
    shift_clock,
)

DAY = 86_400.0
LOCKED, UNUSABLE_STORE = 3, 3
KILLED, STOPPED = -signal.SIGKILL, -signal.SIGSTOP


class Kind(NamedTuple):
    """A kind of fault.

    Attributes:
        act: called in the driver before one of its operations.
        codes: exit codes that are allowed afterwards, besides 0.
        only: operations to choose from; empty for all.
        afterwards: called with the run's folder when the driver has ended; returns whether the fault occurred.
    """

    act: Callable[[Any], object]
    codes: tuple[int, ...] = ()
    only: str = ""
    afterwards: Callable[[Path, random.Random], bool] = lambda run, rng: True


def flip_checkpoint(run: Path, rng: random.Random) -> bool:
    """Change, truncate, empty or remove a checkpoint file, or add a foreign file next to it; return False if there is none."""
    files = sorted(path for path in (run / "checkpoints").glob("*/*") if path.is_file())
    if not files:
        return False
    path = rng.choice(files)
    content = bytearray(path.read_bytes())
    how = rng.randrange(5)
    if how == 0 and content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(content))
    elif how == 1:
        path.write_bytes(bytes(content[: rng.randrange(len(content) + 1)]))
    elif how == 2:
        path.write_bytes(b"")
    elif how == 3:
        path.unlink()
    else:
        path.with_name(rng.choice(["attempt-x.epoch-1.pt", "stray.pt", "attempt-1.epoch-99.pt", "\u65e5.tmp"])).write_bytes(b"stranger")
    return True


def cut_log(run: Path, rng: random.Random) -> bool:
    """Truncate SQLite's log, as a power failure may on a disk with a volatile cache; return False if there is no log."""
    log = run / "results.sqlite-wal"
    if not log.exists() or not log.stat().st_size:
        return False
    with log.open("r+b") as file:
        file.truncate(rng.randrange(log.stat().st_size))
    return True


def kill_before_sending() -> None:
    """Make the driver die between committing an attempt and starting it."""
    InProcessExecutor.submit = lambda *_: send(signal.SIGKILL)(None)  # type: ignore[method-assign]


def kill_before_noting() -> None:
    """Make the driver die between the end of an attempt and the commit of its result."""
    InProcessExecutor.wait = lambda *_: send(signal.SIGKILL)(None)  # type: ignore[assignment,method-assign]


KINDS: dict[str, Kind] = {
    "kill -9": Kind(send(signal.SIGKILL), (KILLED,)),
    "kill -9 while a checkpoint is written": Kind(send(signal.SIGKILL), (KILLED,), only="checkpoints"),
    "kill -9 before a commit": Kind(send(signal.SIGKILL), (KILLED,), only="commit"),
    "kill -9 between commit and send": Kind(lambda _: kill_before_sending(), (KILLED,)),
    "kill -9 between result and commit": Kind(lambda _: kill_before_noting(), (KILLED,)),
    "SIGTERM": Kind(send(signal.SIGTERM), (143,)),
    "SIGINT": Kind(send(signal.SIGINT), (130,)),
    "SIGINT twice": Kind(send(signal.SIGINT, 2), (130,)),
    "SIGSTOP, a second driver, SIGCONT": Kind(send(signal.SIGSTOP), (LOCKED,)),
    "database full": Kind(fill_database, (UNUSABLE_STORE,)),
    "files limited to 4 KiB": Kind(limit_files, (UNUSABLE_STORE,)),
    "disk full under checkpoints": Kind(refuse_checkpoints(NO_SPACE), (UNUSABLE_STORE,), only="checkpoints"),
    "broken disk under checkpoints": Kind(refuse_checkpoints(BROKEN_DISK), (UNUSABLE_STORE,), only="checkpoints"),
    "damaged checkpoint": Kind(send(signal.SIGKILL), (KILLED,), only="checkpoints", afterwards=flip_checkpoint),
    "end of the database's log lost": Kind(send(signal.SIGKILL), (KILLED,), afterwards=cut_log),
    "clock a day ahead": Kind(shift_clock(DAY)),
    "clock a day behind": Kind(shift_clock(-DAY)),
    "standard error full": Kind(close_display),
    "kill -9 at a random time": Kind(lambda _: None, (KILLED,)),
    "database locked by a reader": Kind(lambda _: None),
}
"""Every kind of fault, by its name in the documentation."""
TIMED = ("kill -9 at a random time", "database locked by a reader")
"""Faults caused from outside at a random time, instead of before an operation."""


def campaign(work: Path, seed: int, first: int = 0, names: Sequence[str] = tuple(KINDS)) -> Iterator[tuple[Counter[str], list[str]]]:
    """Disturb one run after the other; yield the faults that occurred in each, by kind, and a line for every problem.

    Args:
        work: a folder for the runs; runs with problems are kept.
        seed: determines all choices, together with the number of a run.
        first: number of the first run.
        names: kinds to choose from.
    """
    disturber = Disturber(work, seed)
    for number in itertools.count(first):
        yield disturber.disturb(number, names)


class Disturber:
    """Disturbs runs of one sweep and compares them with an undisturbed run.

    Args:
        work: a folder for the runs.
        seed: the seed of all choices.
    """

    def __init__(self, work: Path, seed: int) -> None:
        self.work, self.seed = work, seed
        self._expected, self._operations, self._seconds = self._measure()

    def _measure(self) -> tuple[Results, dict[str, int], float]:
        """Return the results of an undisturbed run, how many operations each `only` selects, and the run's seconds."""
        counts, seconds = {}, 0.0
        warm_up(self.work / "warm-up")
        for only in {kind.only for kind in KINDS.values()}:
            home = self.work / f"undisturbed-{only or 'all'}"
            prepare(home)
            before = time.monotonic()
            driver = Driver(home, arm(home, 0, lambda at_work: None, only))
            if driver.wait() != 0:
                raise RuntimeError(f"the undisturbed run failed: {driver.said}")
            seconds = time.monotonic() - before
            counts[only] = int((home / "operations").read_text())
        return load_results(self.work / "undisturbed-all" / "run"), counts, seconds

    def disturb(self, number: int, names: Sequence[str], most: int = 10) -> tuple[Counter[str], list[str]]:
        """Start a new run, disturb it up to `most` times, let it end, and return the faults and the problems."""
        rng = random.Random(f"{self.seed} {number}")
        home = self.work / f"run-{number}"
        shutil.rmtree(home, ignore_errors=True)
        prepare(home)
        suffered: list[str] = []
        wrong: list[str] = []
        for _ in range(most):
            wrong += self._suffer(home, rng.choice(names), rng, suffered)
            if _is_over(home):
                break
        last = Driver(home)
        if last.wait() != 0:
            wrong.append(f"resuming failed: {last.said[-400:]}")
        else:
            wrong += find_differences(home / "run", self._expected, "end of the database's log lost" not in suffered)
        if not wrong:
            shutil.rmtree(home)
        return Counter(suffered), [f"seed {self.seed}, run {number}, after {', '.join(suffered)}: {line}" for line in wrong]

    def _suffer(self, home: Path, name: str, rng: random.Random, suffered: list[str]) -> list[str]:
        """Run the command with one fault, add it to `suffered` if it occurred, and return what was wrong at the end."""
        kind = KINDS[name]
        most = self._operations[kind.only]
        # mostly early, where a run is opened, locked and cleaned up, and so that one run suffers many faults
        at = rng.randint(1, most) if rng.random() < 0.2 else rng.randint(1, 1 + most // 8)
        driver = Driver(home, None if name in TIMED else arm(home, at, kind.act, kind.only))
        if name == "kill -9 at a random time":
            time.sleep(rng.uniform(0.0, self._seconds))
            driver.kill()
        elif name == "database locked by a reader":
            time.sleep(rng.uniform(0.0, self._seconds))
            if hold_lock(home / "run" / "results.sqlite"):
                suffered.append(name)
        code = driver.wait()
        wrong = []
        if code == STOPPED:
            rival = Driver(home, be_impatient, said="rival.txt")
            if (met := rival.wait()) not in (0, LOCKED):
                wrong.append(f"{name}: the second driver ended with {met}: {rival.said[-400:]}")
            driver.kill(signal.SIGCONT)
            code = driver.wait()
        if has_acted(home) or code == KILLED:
            # `afterwards` may have found nothing to damage
            suffered += [name] if kind.afterwards(home / "run", rng) else []
        if code not in (0, *kind.codes):
            wrong.append(f"{name}: exit code {code}: {driver.said[-600:]}")
        return wrong


def hold_lock(database: Path, seconds: float = 0.1) -> bool:
    """Keep every writer waiting for a moment; return False if there was no database to lock."""
    if not database.exists() or not database.stat().st_size:
        return False
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=rw", uri=True, timeout=5.0, isolation_level=None)) as connection:
            connection.execute("begin immediate")
            time.sleep(seconds)
            connection.execute("rollback")
    except sqlite3.OperationalError:  # the run has just ended, or has only just begun
        return False
    return True


def _is_over(home: Path) -> bool:
    log = home / "run" / "logs" / "driver.log"
    return log.exists() and log.read_text(encoding="utf-8", errors="replace").count(" ended ") >= 14
