"""Faults of runs under Ray: of the driver, of workers, of nodes, and of the disk under them."""

from __future__ import annotations

import itertools
import os
import random
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from tests.faults.disturbance import KILLED, LOCKED, UNUSABLE_STORE, Disturber, Kind
from tests.faults.drivers import Driver, count_operations, prepare
from tests.faults.in_process import DAY, flip_checkpoint, hold_lock, kill_driver, measure_undisturbed
from tests.faults.operations import close_display, fill_database, send, shift_clock
from tests.faults.ray_nodes import Nodes

NOBODY = 4
"""Exit code where nothing is left that could run trials."""
WORKER = "ray::Worker"


def kinds_on(nodes: Nodes) -> dict[str, Kind]:
    """Every kind of fault on a cluster, by its name in the documentation."""

    def kill(part: str, most: int = 1, node: str = "") -> Callable[[Driver, Path, random.Random], bool]:
        def act(driver: Driver, home: Path, rng: random.Random) -> bool:
            found = nodes.find(part, node)
            rng.shuffle(found)
            return sum(_signal(pid, signal.SIGKILL) for pid in found[:most]) > 0

        return act

    def pause(driver: Driver, home: Path, rng: random.Random) -> bool:
        found = nodes.find(WORKER)
        pid = rng.choice(found) if found else 0
        if not pid or not _signal(pid, signal.SIGSTOP):
            return False
        time.sleep(rng.uniform(0.0, 2.0))
        return _signal(pid, signal.SIGCONT)

    def limit_worker(driver: Driver, home: Path, rng: random.Random) -> bool:
        found = nodes.find(WORKER)
        with suppress(OSError, IndexError):
            # as small as a full disk: no file of this worker grows
            resource.prlimit(rng.choice(found), resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            return True
        return False

    def damage(driver: Driver, home: Path, rng: random.Random) -> bool:
        """While a worker that had them is being replaced."""
        return kill(WORKER, 2)(driver, home, rng) and flip_checkpoint(home / "run", rng)

    return {
        "driver: kill -9": Kind(send(signal.SIGKILL), (KILLED,)),
        "driver: kill -9 before a commit": Kind(send(signal.SIGKILL), (KILLED,), only="commit"),
        "driver: kill -9 at a random time": Kind(codes=(KILLED,), outside=kill_driver),
        "driver: SIGTERM": Kind(send(signal.SIGTERM), (143,)),
        "driver: SIGINT": Kind(send(signal.SIGINT), (130,)),
        "driver: SIGINT twice": Kind(send(signal.SIGINT, 2), (130,)),
        "driver: SIGSTOP, a second driver, SIGCONT": Kind(send(signal.SIGSTOP), (LOCKED,)),
        "driver: database full": Kind(fill_database, (UNUSABLE_STORE,)),
        "driver: clock a day ahead": Kind(shift_clock(DAY)),
        "driver: standard error full": Kind(close_display),
        "database locked by a reader": Kind(outside=hold_lock),
        "worker: kill -9": Kind(outside=kill(WORKER)),
        "all workers: kill -9": Kind(outside=kill(WORKER, 99)),
        "worker: SIGSTOP, SIGCONT": Kind(outside=pause),
        "worker: disk full": Kind(codes=(NOBODY,), outside=limit_worker),
        "workers: kill -9, a checkpoint damaged": Kind(outside=damage),
        "node: raylet killed": Kind(outside=kill("raylet/raylet", node="second")),
        "head: raylet killed": Kind(codes=(NOBODY,), outside=kill("raylet/raylet", node="head")),
        "head: GCS killed": Kind(codes=(NOBODY,), outside=kill("gcs_server")),
    }


def _signal(pid: int, number: int) -> bool:
    """Send a signal, unless the process has ended; whether it was sent."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def campaign(work: Path, seed: int, first: int = 0) -> Iterator[tuple[Counter[str], list[str]]]:
    """Disturb one run after the other on one cluster; what differs from the undisturbed run in one process, one line each."""
    nodes = Nodes()
    import ray  # noqa: F401 (drivers are forked from a process that has imported it)

    arguments = ["run", "faulty.toml", "--ray-address", nodes.address, "--num-workers", "2", "--device", "cpu", "--quiet"]
    arguments += ["--checkpoints", "run/checkpoints", "--out", "run"]
    expected, _ = measure_undisturbed(work)
    try:
        nodes.start()
        prepare(work / "undisturbed-ray")
        kinds = kinds_on(nodes)
        operations = count_operations(work / "undisturbed-ray", sorted({kind.only for kind in kinds.values()}), arguments)
        disturber = Disturber(work, seed, kinds, expected, operations, arguments, nodes.start)
        for number in itertools.count(first):
            yield disturber.disturb(number)
    finally:
        nodes.close()
