"""One run of a search method on a table: ask, charge, tell, until the simulated budget is spent."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from agd_bench.errors import InputError
from agd_bench.tabular import Cells, Domain
from agd_bench.tabular.benchmark import Floats

MOST_QUERIES = 100_000
"""Maximum number of trainings in one run; a method that exceeds it asks for trainings that cost nothing, and would never end."""
RUN_SECONDS = 120
"""Real seconds of one run, after which a method counts as hanging."""


class MethodError(InputError):
    """A search method violated its protocol. The message is shown in its row."""


class World(NamedTuple):
    """Results and costs of the trainings that a run can ask for.

    Attributes:
        accuracy: by epochs, the validation accuracies of each architecture, one for each of its seeds.
        seconds: charged seconds, likewise.
        studies: by epochs, the number of the tuning study of each architecture; -1: not tuned.
        study_seconds: charged seconds of each study, by epochs.
    """

    accuracy: dict[int, list[list[float]]]
    seconds: dict[int, list[list[float]]]
    studies: dict[int, list[int]]
    study_seconds: dict[int, list[float]]


class Trace(NamedTuple):
    """Result of one run.

    Attributes:
        seconds: simulated time at which each better architecture was known, ascending.
        found: number of that architecture.
        queries: total number of trainings.
        spent_seconds: total simulated seconds.
    """

    seconds: list[float]
    found: list[int]
    queries: int
    spent_seconds: float


def world_of(cells: Mapping[int, Cells], kept: list[int]) -> World:
    """Return results and costs of some architectures.

    Args:
        cells: by epochs.
        kept: numbers of the architectures; each has a training in all cells.
    """
    made = World({}, {}, {}, {})
    for epochs, each in cells.items():
        there = ~np.isnan(each.val_accuracy[kept])
        for values, rows in ((each.val_accuracy[kept], made.accuracy), (each.seconds[kept], made.seconds)):
            rows[epochs] = [row[known].tolist() for row, known in zip(values, there, strict=True)]
        made.studies[epochs] = each.studies[kept].tolist()
        made.study_seconds[epochs] = each.study_seconds.tolist()
    return made


def simulate(method: ModuleType, domain: Domain, given: World, budget_seconds: float, run: int) -> Trace:
    """Run a search method once.

    Runs of one number are paired: an architecture gets the same seed in all of them, whatever the method and the training algorithm, and
    the method's generator starts in the same state. A training that does not fit into what is left of the budget ends the run; it is
    neither charged nor reported to the method. The best architecture is the most accurate of those trained for the most epochs.

    Args:
        method: the plug-in.
        domain: the information that the method may use.
        given: results and costs.
        budget_seconds: simulated.
        run: its number, which seeds everything.

    Raises:
        MethodError: the method violated its protocol, raised an exception, or hung.
    """
    number = domain.position
    draws = np.random.default_rng((run, 0)).random(len(domain.architectures)).tolist()
    seconds: list[float] = []
    found: list[int] = []
    best, clock, paid, queries = (0, -1.0), 0.0, set[int](), 0
    with _faults():
        search = method.start(domain, budget_seconds, np.random.default_rng((run, 1)))
        while (asked := method.ask(search)) is not None:
            architecture, epochs = asked if isinstance(asked, tuple) else (asked, domain.epochs[-1])
            place = number.get(architecture)
            if place is None or epochs not in given.accuracy:
                raise MethodError(_unknown(architecture, epochs, domain))
            accuracies, study = given.accuracy[epochs][place], given.studies[epochs][place]
            seed = int(draws[place] * len(accuracies))
            accuracy, cost = accuracies[seed], given.seconds[epochs][place][seed]
            if study >= 0 and study not in paid:
                cost += given.study_seconds[epochs][study]
                paid.add(study)
            if clock + cost > budget_seconds:
                break
            clock, queries = clock + cost, queries + 1
            if (epochs, accuracy) > best:
                best = (epochs, accuracy)
                seconds.append(clock)
                found.append(place)
            if queries == MOST_QUERIES:
                raise MethodError(f"asked for {MOST_QUERIES:,} trainings; they cost next to nothing, so it would never end")
            method.tell(search, architecture, epochs, accuracy, cost)
    if not queries and asked is None:
        raise MethodError("nothing was trained: the first ask() returned None")
    if not queries:
        raise MethodError(f"nothing was trained: the first training costs {cost:.0f} s, more than the budget of {budget_seconds:.0f} s")
    return Trace(seconds, found, queries, clock)


def _unknown(architecture: object, epochs: object, domain: Domain) -> str:
    if architecture in domain.architectures:
        return f"asked for {epochs!r} epochs; the table has {', '.join(map(str, domain.epochs))}"
    shown = repr(architecture)
    return f"asked for {shown[:80]}, which is not among the {len(domain.architectures)} architectures of the table"


@contextmanager
def _faults() -> Iterator[None]:
    """Convert any exception or endless loop in a method to a `MethodError`."""
    alarmed = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()
    if alarmed:
        before = signal.signal(signal.SIGALRM, _interrupt)
        signal.setitimer(signal.ITIMER_REAL, RUN_SECONDS)
    try:
        yield
    except MethodError:
        raise
    except Exception as error:  # a plug-in may raise anything
        frame = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split())
        raise MethodError(f"{type(error).__name__}: {text} ({Path(frame.filename).name}:{frame.lineno})") from error
    finally:
        if alarmed:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _interrupt(number: int, frame: object) -> None:
    raise MethodError(f"one run took more than {RUN_SECONDS} s; it hangs in start(), ask() or tell()")


def incumbents(trace: Trace, times: Floats) -> list[int]:
    """Return the number of the best architecture known at each time; -1 before the first."""
    known = np.searchsorted(np.array(trace.seconds), times, side="right") - 1
    return [trace.found[place] if place >= 0 else -1 for place in known.tolist()]
