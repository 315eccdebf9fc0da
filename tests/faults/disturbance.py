"""Disturb runs of a tiny sweep, run the same command again, and compare with the undisturbed run."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agd_bench.store import Results
from tests.faults.comparison import find_differences
from tests.faults.drivers import RUN, Driver, acted, arm, be_impatient, prepare
from tests.faults.operations import Fault

LOCKED, UNUSABLE_STORE = 3, 3
KILLED, STOPPED = -signal.SIGKILL, -signal.SIGSTOP


class Kind(NamedTuple):
    """A kind of fault.

    Attributes:
        act: done by the driver to itself before one of its operations.
        codes: exit codes that are allowed afterwards, next to 0.
        only: operations to choose from; empty: all.
        afterwards: done to the run's folder when the driver has ended; whether it found something to damage.
        outside: instead of `act`: done to the driver or its run at a random time; whether it came to pass.
    """

    act: Callable[[Any], object] = lambda at_work: None
    codes: tuple[int, ...] = ()
    only: str = ""
    afterwards: Callable[[Path, random.Random], bool] = lambda run, rng: True
    outside: Callable[[Driver, Path, random.Random], bool] | None = None


class Disturber:
    """Disturbs runs.

    Args:
        work: a folder for the runs; those that differ stay there.
        seed: with the number of a run, determines all choices.
        kinds: of faults, by name.
        expected: results of the undisturbed run.
        operations: how many operations it has that contain each kind's `only`.
        arguments: of the command.
        prepare_place: called before each command.
    """

    def __init__(
        self,
        work: Path,
        seed: int,
        kinds: Mapping[str, Kind],
        expected: Results,
        operations: Mapping[str, int],
        arguments: Sequence[str] = RUN,
        prepare_place: Callable[[], object] = lambda: None,
    ) -> None:
        self.work, self.seed = work, seed
        self._kinds, self._expected, self._operations = kinds, expected, operations
        self._arguments, self._prepare_place = arguments, prepare_place

    def disturb(self, number: int, most: int = 10) -> tuple[Counter[str], list[str]]:
        """Make a new run, disturb up to `most` of its drivers, and let it end; the faults by kind, and what was wrong, one line each."""
        rng = random.Random(f"{self.seed} {number}")
        home = self.work / f"run-{number}"
        shutil.rmtree(home, ignore_errors=True)
        prepare(home)
        suffered: list[str] = []
        wrong: list[str] = []
        for _ in range(most):
            code, faults = self._suffer(home, rng, suffered)
            wrong += faults
            if code == 0:
                break
        else:
            self._prepare_place()
            last = Driver(home, arguments=self._arguments)
            wrong += [f"resuming failed: {last.said[-400:]}"] if last.wait() != 0 else []
        wrong += find_differences(home / "run", self._expected, "end of the database's log lost" not in suffered)
        if not wrong:
            shutil.rmtree(home)
        return Counter(suffered), [f"seed {self.seed}, run {number}, after {', '.join(suffered)}: {line}" for line in wrong]

    def _suffer(self, home: Path, rng: random.Random, suffered: list[str]) -> tuple[int, list[str]]:
        """Run the command with some faults, and note in `suffered` those that came to pass; its exit code, and what was wrong."""
        self._prepare_place()
        faults, outside = self._choose(rng)
        driver = Driver(home, arm(home, faults), self._arguments)
        met = [name for name in outside if self._act_outside(name, driver, home, rng)]
        code, wrong = driver.wait(), []
        if code == STOPPED:
            rival = Driver(home, be_impatient, self._arguments, "rival.txt")
            if (ended := rival.wait()) not in (0, LOCKED):
                wrong.append(f"the second driver ended with {ended}: {rival.said[-400:]}")
            driver.kill(signal.SIGCONT)
            code = driver.wait()
        met += acted(home)
        # some only prepare their end, which then does not come
        met = [name for name in met if KILLED not in self._kinds[name].codes or code == KILLED]
        suffered += [name for name in met if self._kinds[name].afterwards(home / "run", rng)]
        if code not in {0, *(allowed for name in met for allowed in self._kinds[name].codes)}:
            wrong.append(f"{', '.join(met)}: exit code {code}: {driver.said[-600:]}")
        return code, wrong

    def _choose(self, rng: random.Random) -> tuple[list[Fault], list[str]]:
        """Some that a run survives, and after them mostly one that ends it: faults of the driver, and kinds that come from outside."""
        ends = [name for name, kind in self._kinds.items() if kind.codes]
        names = rng.sample([name for name in self._kinds if name not in ends], rng.randrange(4))
        names += [rng.choice(ends)] if rng.random() < 0.9 else []
        outside = [name for name in names if self._kinds[name].outside is not None]
        inside = [name for name in names if name not in outside]
        # mostly early, where a run is opened, locked and put in order, and so that one run meets many
        latest = 1.0 if outside or rng.random() < 0.2 else 0.12
        places = sorted(rng.uniform(0.0, latest) for _ in inside)
        return [self._fault(name, place) for name, place in zip(inside, places, strict=True)], outside

    def _fault(self, name: str, place: float) -> Fault:
        kind = self._kinds[name]
        return Fault(name, 1 + int(place * self._operations[kind.only]), kind.act, kind.only)

    def _act_outside(self, name: str, driver: Driver, home: Path, rng: random.Random) -> bool:
        """Wait until some more attempts have started, and a moment; then act."""
        act, wanted = self._kinds[name].outside, _count(home, " attempt ") + rng.randrange(4)
        assert act is not None
        while _count(home, " attempt ") < wanted and driver.is_running():
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.3))
        return driver.is_running() and act(driver, home, rng)


def _count(home: Path, words: str) -> int:
    """How often the log of a run has these words."""
    log = home / "run" / "logs" / "driver.log"
    return log.read_text(encoding="utf-8", errors="replace").count(words) if log.exists() else 0
