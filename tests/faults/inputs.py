"""Give malformed inputs to everything that reads: they must be rejected in a few lines, or change no number."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import random
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agd_bench import cli
from agd_bench.errors import AgdBenchError

LIMIT_SECONDS = 120
MOST_LINES, MOST_LETTERS = 3, 1500
"""Limits for the message of an error."""
CHUNK = 50


def refused(value: object) -> str:
    """For `Case.accept`: the input should have been rejected."""
    return "accepted"


def harmless(value: object) -> str:
    """For `Case.accept`: any value is fine."""
    return ""


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        family: the kind of input.
        name: a readable name of the input.
        act: reads the input, in an empty working directory that is passed to it.
        accept: returns what is wrong with the value of `act` if the input was not rejected, or an empty string.
    """

    family: str
    name: str
    act: Callable[[Path], object]
    accept: Callable[[Any], str] = refused


class SaidError(AgdBenchError):
    """What a command said when it refused its input, all of it."""

    __str__ = Exception.__str__


def command(*arguments: str, fine: tuple[int, ...] = (0,)) -> str:
    """Run `agd-bench` in this process and return what it printed.

    Raises:
        SaidError: it ended with 2, 3 or 4.
        AssertionError: any other exit code than 0, 2, 3, 4 or one of `fine`.
    """
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["agd-bench", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
        code: object = 0
    except SystemExit as error:
        code = error.code or 0
    finally:
        sys.argv = before
    said = err.getvalue()
    if code in (2, 3, 4) and code not in fine:
        # click prints the usage above its own errors
        raise SaidError(said.strip().rpartition("help.\n")[2].replace("\n\n", "\n") or "silent")
    if code not in fine:
        raise AssertionError(f"exit code {code}: {said[-300:]}")
    return out.getvalue()


def judge(case: Case, folder: Path) -> str:
    """Return what is wrong with how an input was handled, or an empty string."""

    def give_up(number: int, frame: object) -> None:
        raise TimeoutError(f"no answer in {LIMIT_SECONDS} s")

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    home, before = os.getcwd(), signal.signal(signal.SIGALRM, give_up)
    os.chdir(folder)
    signal.alarm(LIMIT_SECONDS)
    try:
        value = case.act(folder)
    except AgdBenchError as error:
        text = str(error)
        return "" if text and text.count("\n") < MOST_LINES and len(text) < MOST_LETTERS else f"wordy: {text[:200]!r}"
    except BaseException as error:  # a plug-in's sys.exit() too
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"traceback: {type(error).__name__}: {str(error)[:150]} ({Path(place.filename).name}:{place.lineno})"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        os.chdir(home)
    return case.accept(value)


def campaign(work: Path, seed: int, first: int = 0) -> Iterator[tuple[Counter[str], list[str]]]:
    """Try one chunk of inputs after the other: first the listed ones, then endless random damage."""
    for number, chunk in enumerate(_chunks(all_cases(work, seed))):
        if number < first:
            continue
        found = [(case, judge(case, work / "case")) for case in chunk]
        yield Counter(case.family for case in chunk), [f"{case.family}: {case.name}: {wrong}" for case, wrong in found if wrong]


def _chunks(cases: Iterator[Case]) -> Iterator[list[Case]]:
    """Yield the cases in lists of `CHUNK`."""
    while chunk := list(itertools.islice(cases, CHUNK)):
        yield chunk


def all_cases(work: Path, seed: int) -> Iterator[Case]:
    """Yield every listed input in random order, then endless random damage to sweeps, tables and databases."""
    from tests.faults import malformed_folders, malformed_options, malformed_plugins, malformed_sweeps

    rng = random.Random(seed)
    folders = malformed_folders.Sources(work / "sources")
    listed = [*malformed_sweeps.cases(), *malformed_options.cases(folders), *malformed_plugins.cases(), *folders.cases()]
    rng.shuffle(listed)
    yield from listed
    while True:
        yield malformed_sweeps.damaged(rng)
        yield folders.damaged(rng)
        yield malformed_plugins.odd_architecture(rng)
