"""A pool of long-lived Ray actors, on this machine or on a cluster. Only this module and `ray_cluster` know Ray.

Ray is asked for little: to keep processes on nodes and to say when one is gone.

On a cluster, every node needs this version of agd-bench and the same paths of data, plug-ins and run folder.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from agd_bench.errors import DeviceLostError, ExecutorError
from agd_bench.records import Trial
from agd_bench.scheduling.executors import scratch
from agd_bench.scheduling.executors.protocol import Device, Outcome, RunTrial, Task
from agd_bench.scheduling.executors.ray_cluster import connect, import_ray
from agd_bench.scheduling.executors.worker import code_here, keep_freed_memory, limit_threads, perform, prepare
from agd_bench.scheduling.resources import Resources, gpus_and_device, pool_size, room, workers_per_gpu

if TYPE_CHECKING:
    from agd_bench.trial import Workplace

START_SECONDS = 300.0
"""Longest time for a worker to come up: it imports torch, perhaps from a slow shared disk."""
START_FAILURES = 3
"""Workers that may die one after the other while coming up on a node, before it is used no more."""
FOLLOW_SECONDS = 10.0
"""How often the pool looks which nodes there are."""
log = logging.getLogger(__name__)


class Worker:
    """What an actor does: hold torch to its threads and freed memory to the process, and run one trial after the other."""

    def __init__(self, workplace: Workplace, run_trial: RunTrial | None, warm_up: Sequence[Trial], own_scratch: str = "") -> None:
        if own_scratch:
            workplace = replace(workplace, checkpoints=scratch.open_scratch(own_scratch))
        self._workplace, self._run_trial, self._warm_up, self._cleans = workplace, run_trial, warm_up, bool(own_scratch)
        keep_freed_memory()
        prepare(workplace, run_trial, warm_up)

    def describe(self) -> dict[str, str]:
        """Versions and code here, once everything is imported and the threads are limited; with a GPU also which it is and its bytes."""
        limit_threads(self._workplace.threads)
        return code_here(self._workplace, self._warm_up) | (_gpu() if self._workplace.device == "cuda" else {})

    def perform(self, task: Task) -> Outcome:
        """Run one attempt; if it lost the GPU, end the process: the driver then counts its attempts as lost and repeats them elsewhere."""
        # In each attempt: the setting may be a thread's own, and a plug-in may have changed it.
        limit_threads(self._workplace.threads)
        outcome = perform(task, self._workplace, self._run_trial)
        if isinstance(outcome.error, DeviceLostError):
            print(outcome.message, file=sys.stderr, flush=True)
            os._exit(1)  # a lost GPU comes back with a new process only
        if self._cleans and outcome.result is not None and self._workplace.checkpoints is not None:
            # The driver does not see this node's disk.
            shutil.rmtree(self._workplace.checkpoints / task.trial.id, ignore_errors=True)
        return outcome


def _gpu() -> dict[str, str]:
    """The GPU of this worker, as its driver names it on every process and node, and all of its memory."""
    import torch

    # Ray shows a worker no GPU but its own, which is number 0 there.
    properties = torch.cuda.get_device_properties(0)
    return {"GPU": str(properties.uuid), "memory": str(properties.total_memory)}


@dataclass
class _Node:
    """A machine of the cluster.

    Attributes:
        ray_id: Ray's name of it.
        name: for people; it is in no result.
        room: workers that it holds.
        failures: workers that died there one after the other while they came up.
    """

    ray_id: str
    name: str
    room: int
    failures: int = 0


@dataclass
class _Member:
    """One place for an attempt in an actor of the pool: coming up, busy (`task` is set), or free; `ref` is what it works on."""

    name: str
    actor: Any
    node: _Node
    since: float
    coming: bool = True
    task: Task | None = None
    ref: Any = None
    gpu: tuple[str, int] | None = None


class RayExecutor:
    """Runs attempts on a pool of actors, each with its cores and its share of a GPU. The pool grows and shrinks with the cluster.

    A node that dies takes its workers with it at once; one on which workers do not come up, or have other code or versions, is used
    no more.

    Args:
        workplace: where data, plug-ins and checkpoints are, on every node.
        resources: workers, their share of a GPU, and the cluster. How many attempts are at work on a GPU at a time is the driver's to say.
        run_trial: None: `agd_bench.trial.run_trial`.
        warm_up: what each worker gets ready for before it takes its first attempt.

    Raises:
        ExecutorError: Ray is not reachable, what was asked for does not fit, or no node can run workers.
    """

    def __init__(
        self,
        workplace: Workplace,
        resources: Resources,
        run_trial: RunTrial | None = None,
        warm_up: Sequence[Trial] = (),
    ) -> None:
        self._disconnects = connect(resources.ray_address or "local")
        self._ray = import_ray()
        self._members: dict[str, _Member] = {}
        self._pending: dict[Any, _Member] = {}
        self._orphans: list[Outcome] = []
        self._nodes: dict[str, _Node] = {}
        self._set_aside: set[str] = set()
        self._named, self._looked_at = 0, float("-inf")
        try:
            there = self._ray.cluster_resources()
            cpus, gpus, threads = there.get("CPU", 0.0), there.get("GPU", 0.0), workplace.threads
            share, device = gpus_and_device(workplace.device, resources.gpus_per_trial, gpus)
            self._in_flight = resources.in_flight
            if self._in_flight > 1 and device != "cuda":
                raise ExecutorError(f"--in-flight {self._in_flight} is for GPUs; on CPUs each core has a worker of its own")
            self._sharing = workers_per_gpu(resources.num_workers, cpus, gpus, threads) if resources.share_gpus and device == "cuda" else 1
            # Ray counts in ten-thousandths: a share that is rounded up would not fit so many times.
            share = math.floor(1e4 / self._sharing) / 1e4 if self._sharing > 1 else share
            # For its errors: what does not fit is refused before any worker starts.
            pool_size(resources.num_workers, cpus, gpus, threads, share)
            self._wanted, self._each = resources.num_workers, (threads, share)
            own = replace(workplace, device=device, exclusive=share >= 1, in_flight=self._in_flight)
            # The run folder of the driver may not exist on other nodes, or not be writable.
            away = resources.ray_address is not None and resources.checkpoints is None
            own_scratch = scratch.name_of(own.checkpoints) if away and own.checkpoints is not None else ""
            self._arguments = (own, run_trial, tuple(warm_up), own_scratch)
            self._code = code_here(own, warm_up)
            # Ray repeats nothing: what to repeat, and what it is charged, is for `driver` to decide.
            options = {"num_cpus": threads, "num_gpus": share, "max_restarts": 0, "max_task_retries": 0}
            # With concurrency Ray runs calls in a pool of threads; without, in the main thread.
            options |= {"max_concurrency": self._in_flight} if self._in_flight > 1 else {}
            # Long-lived, as a process for each trial would import torch every time.
            self._class = self._ray.remote(**options)(Worker)
            self._follow_cluster()
            # Errors of the first workers are raised here, before the run begins.
            while not self.idle:
                self.wait(1.0)
        # Ctrl-C too, as the actors would outlive this call.
        except BaseException:
            self.close()
            raise

    @property
    def _size(self) -> int:
        room = sum(node.room for node in self._nodes.values())
        return room if self._wanted is None else min(room, self._wanted)

    @property
    def slots(self) -> int:
        """Attempts that the pool's workers take together."""
        return self._size * self._in_flight

    @property
    def idle(self) -> list[str]:
        """Names of what is up and has nothing to do; first in workers that are busy, as a process more costs memory and switches."""
        free = [member for member in self._members.values() if member.ref is None]
        if self._in_flight > 1:
            free.sort(key=lambda one: -sum(other.task is not None for other in self._beside(one)))
        return [member.name for member in free]

    @property
    def nodes(self) -> list[str]:
        """Names of the nodes that it uses."""
        return [node.name for node in self._nodes.values()]

    def node_of(self, worker: str) -> str:
        """The node that a worker was placed on."""
        return self._members[worker].node.name

    def _beside(self, member: _Member) -> list[_Member]:
        """All members of the same actor."""
        if self._in_flight == 1:
            return [member]
        return [other for other in self._members.values() if other.actor is member.actor]

    def device_of(self, worker: str) -> Device:
        """The GPU of an idle worker, if it is shared; else the worker has its own cores or GPU."""
        gpu, slots = self._members[worker].gpu, self._sharing * self._in_flight
        return Device(worker) if gpu is None or slots == 1 else Device(gpu[0], slots, gpu[1])

    def _follow_cluster(self) -> None:
        """Take up nodes that have joined, give up those that are gone, and start the workers that there is room for."""
        self._looked_at = time.monotonic()
        alive = {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}
        for node in [node for node in self._nodes.values() if node.ray_id not in alive]:
            self._drop(node, "its node died")
        for ray_id, node in alive.items():
            capacity = room(node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0), *self._each)
            if capacity and ray_id not in self._nodes and ray_id not in self._set_aside:
                self._nodes[ray_id] = _Node(ray_id, f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})", capacity)
        self._fill()

    def _fill(self) -> None:
        """Start workers up to the pool's size, each where the most room is left."""
        workers = Counter(member.node.ray_id for member in self._members.values())
        # Members are places, several to an actor, while sizes and room count actors.
        for _ in range(self._size - sum(workers.values()) // self._in_flight):
            node = max(self._nodes.values(), key=lambda one: one.room - workers[one.ray_id] // self._in_flight)
            self._launch(node)
            workers[node.ray_id] += self._in_flight

    def _launch(self, node: _Node) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        name, self._named = f"worker-{self._named}", self._named + 1
        # By name, never elsewhere instead: what goes wrong there is then known to be the node's.
        there = NodeAffinitySchedulingStrategy(node.ray_id, soft=False)
        actor = self._class.options(scheduling_strategy=there).remote(*self._arguments)
        for place in range(self._in_flight):
            own = f"{name}.{place}" if self._in_flight > 1 else name
            member = self._members[own] = _Member(own, actor, node, time.monotonic())
            self._expect(member, actor.describe.remote())

    def _expect(self, member: _Member, ref: Any) -> None:
        member.ref = ref
        self._pending[ref] = member

    def submit(self, worker: str, task: Task) -> None:
        """Send the attempt to an idle worker."""
        member = self._members.get(worker)
        if member is None:  # its node went between the choice and now
            self._orphans.append(Outcome(task.trial.id, task.attempt, "lost", message="its worker was gone before it began"))
            return
        member.task = task
        self._expect(member, member.actor.perform.remote(task))

    def wait(self, seconds: float) -> list[Outcome]:
        """Attempts that ended, waiting at most so long for a first one; dead workers are replaced on the way.

        Raises:
            ExecutorError: no node is left on which workers come up.
        """
        outcomes, self._orphans = self._orphans, []
        refs = list(self._pending)
        # Ray returns at most `num_returns`: wait for a first one, then take all that are ready.
        if refs and not outcomes:
            self._ray.wait(refs, num_returns=1, timeout=seconds)
        ready, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0) if refs else ([], [])
        for ref in ready:
            if ref in self._pending:  # one that dies takes those beside it along, and tells of all
                outcomes += self._collect(self._pending[ref])
        self._check_coming()
        if time.monotonic() - self._looked_at > FOLLOW_SECONDS:
            self._follow_cluster()
        return outcomes

    def _collect(self, member: _Member) -> list[Outcome]:
        """What a worker brought: an outcome, its readiness, or its death."""
        try:
            brought = self._ray.get(member.ref)
        # Also what `describe` raises: the worker is of no use either way.
        except self._ray.exceptions.RayError as error:
            return self._bury(member, error)
        del self._pending[member.ref]
        member.ref = None
        if member.coming:
            member.coming, member.node.failures = False, 0
            member.gpu = (brought["GPU"], int(brought["memory"])) if "GPU" in brought else None
            # Results of other code would be mixed into the table unnoticed.
            difference = _difference(brought, self._code)
            if difference:
                self._give_up(member.node, f"a worker differs from the driver: {difference}; use the same code and versions on every node")
            return []
        member.task = None
        outcome: Outcome = brought
        return [outcome]

    def _bury(self, member: _Member, error: Exception) -> list[Outcome]:
        """Replace a worker that died; what it was doing is lost, or was too large for the memory of its node."""
        text = " ".join(str(error).split())
        log.warning("%s on %s is gone: %s: %s", member.name, member.node.name, type(error).__name__, text)
        starved = isinstance(error, self._ray.exceptions.OutOfMemoryError)
        # Ray's own words name hosts and processes, which have no place in results; they are in the log.
        reason = "its node ran low on memory" if starved else f"its worker or node died ({type(error).__name__})"
        tasks, node, came_up = self._remove(member), member.node, not member.coming
        # A death at work may be the doing of the trial; that is for `health` to tell.
        if not came_up:
            node.failures += 1
            if node.failures > START_FAILURES:
                hint = "install this version of agd-bench on every node" if "ModuleNotFoundError" in text else "see Ray's logs"
                self._give_up(node, f"{node.failures} workers died one after the other while coming up: {text[-300:]}; {hint}")
        # At once: a dead worker is often the first sign of a dead node.
        self._follow_cluster()
        kind: Literal["out of memory", "lost"] = "out of memory" if starved else "lost"
        return [Outcome(task.trial.id, task.attempt, kind, message=reason) for task in tasks]

    def _give_up(self, node: _Node, why: str) -> None:
        """Use a node no more, as workers cannot run there.

        Raises:
            ExecutorError: it was the last one.
        """
        log.error("%s is used no more: %s", node.name, why)
        self.set_aside(node.name)
        if not self._nodes:
            raise ExecutorError(f"{node.name}: {why}")

    def set_aside(self, node: str) -> None:
        """Use a node no more; what runs there is lost."""
        for one in [one for one in self._nodes.values() if one.name == node]:
            self._set_aside.add(one.ray_id)
            self._drop(one, "its node was set aside")

    def _drop(self, node: _Node, reason: str) -> None:
        """A node and all its workers are gone."""
        log.warning("%s: %s", node.name, reason)
        self._nodes.pop(node.ray_id, None)
        for member in [member for member in self._members.values() if member.node is node]:
            # It may have gone already with another place of its actor.
            if member.name in self._members:
                self._orphans += [Outcome(task.trial.id, task.attempt, "lost", message=reason) for task in self._remove(member)]
        self._fill()

    def _check_coming(self) -> None:
        now = time.monotonic()
        if self._members and all(member.coming and now - member.since > START_SECONDS for member in self._members.values()):
            raise ExecutorError(f"no worker came up within {START_SECONDS:.0f} s; are the cluster's nodes alive? See Ray's logs")

    def _remove(self, member: _Member) -> list[Task]:
        """End a worker; the tasks that it had."""
        tasks = []
        for other in self._beside(member):
            tasks += [other.task] if other.task is not None else []
            self._pending.pop(other.ref, None)
            del self._members[other.name]
        self._ray.kill(member.actor, no_restart=True)
        return tasks

    def kill(self, trial_id: str) -> None:
        """End the worker that has this trial, and replace it; what else it had is lost too."""
        member = next((one for one in self._members.values() if one.task is not None and one.task.trial.id == trial_id), None)
        if member is not None:
            tasks = self._remove(member)
            self._orphans += [Outcome(task.trial.id, task.attempt, "lost", message="its worker was ended by force") for task in tasks]
            self._fill()

    def refresh(self) -> None:
        """Replace every worker, and with it what its process holds of the devices' memory."""
        self._remove_all()
        self._fill()

    def _remove_all(self) -> None:
        while self._members:
            self._remove(next(iter(self._members.values())))

    def close(self) -> None:
        """End the workers; a Ray that was started here ends with them, a cluster goes on."""
        if self._disconnects:  # all of it goes, workers too
            self._members, self._pending = {}, {}
            self._ray.shutdown()
        self._remove_all()


def _difference(worker: dict[str, str], driver: dict[str, str]) -> str:
    """What a worker has in other versions or with other code than the driver; empty: nothing."""
    other = [name for name, stated in driver.items() if worker.get(name) != stated]
    return "; ".join(f"{name} is {worker.get(name, 'missing')} there and {driver[name]} here" for name in other)
