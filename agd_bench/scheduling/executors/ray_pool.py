"""A pool of long-lived Ray actors on this machine or a cluster. Only this module and `ray_cluster` use Ray.

Ray is only used to run processes on nodes and to detect when one is gone.

On a cluster, every node needs this version of agd-bench and the same paths for data, plug-ins and run folder.
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
from agd_bench.scheduling.resources import Resources, gpus_and_device, notices, pool_size, refuse_silent_cpus, room, workers_per_gpu

if TYPE_CHECKING:
    from agd_bench.trial import Workplace

START_SECONDS = 300.0
"""Longest time for a worker to start: it imports torch, possibly from a slow shared disk."""
START_FAILURES = 3
"""Number of workers that may die in a row while starting on a node before it is no longer used."""
STARTING_AT_ONCE = 16
"""Number of workers of a node that start at the same time."""
JOIN_SECONDS = 1800.0
"""Longest wait for `min_workers`: an autoscaler may have to rent machines."""
FOLLOW_SECONDS = 10.0
"""Interval at which the pool checks the nodes."""
log = logging.getLogger(__name__)


class Worker:
    """An actor: limits torch's threads, keeps freed memory in the process, and runs one trial after the other."""

    def __init__(self, workplace: Workplace, run_trial: RunTrial | None, warm_up: Sequence[Trial], own_scratch: str = "") -> None:
        if own_scratch:
            workplace = replace(workplace, checkpoints=scratch.open_scratch(own_scratch))
        self._workplace, self._run_trial, self._warm_up, self._cleans = workplace, run_trial, warm_up, bool(own_scratch)
        keep_freed_memory()
        prepare(workplace, run_trial, warm_up)

    def describe(self) -> dict[str, str]:
        """Versions and code of this worker, after everything is imported and the threads are limited; with a GPU, its id and memory."""
        limit_threads(self._workplace.threads)
        return code_here(self._workplace, self._warm_up) | (_gpu() if self._workplace.device == "cuda" else {})

    def perform(self, task: Task) -> Outcome:
        """Run one attempt; if the GPU fails, end the process, so the driver counts its attempts as lost and repeats them elsewhere."""
        # In each attempt, because the setting may be per thread, and a plug-in may have changed it.
        limit_threads(self._workplace.threads)
        outcome = perform(task, self._workplace, self._run_trial)
        if isinstance(outcome.error, DeviceLostError):
            print(outcome.message, file=sys.stderr, flush=True)
            os._exit(1)  # a failed GPU recovers only in a new process
        if self._cleans and outcome.result is not None and self._workplace.checkpoints is not None:
            # The driver does not see this node's disk.
            shutil.rmtree(self._workplace.checkpoints / task.trial.id, ignore_errors=True)
        return outcome


def _gpu() -> dict[str, str]:
    """The GPU of this worker, by a name that is the same in every process and on every node, and its total memory."""
    import torch

    # Ray shows a worker only its own GPU, as number 0.
    properties = torch.cuda.get_device_properties(0)
    return {"GPU": str(properties.uuid), "memory": str(properties.total_memory)}


@dataclass
class _Node:
    """A machine of the cluster.

    Attributes:
        ray_id: Ray's id.
        name: name for the user; not stored in results.
        room: number of workers that fit.
        failures: number of workers that died in a row while starting.
    """

    ray_id: str
    name: str
    room: int
    failures: int = 0


@dataclass
class _Member:
    """A slot for an attempt in an actor of the pool: starting, busy (`task` is set) or free; `ref` is the pending call."""

    name: str
    actor: Any
    node: _Node
    since: float
    coming: bool = True
    task: Task | None = None
    ref: Any = None
    gpu: tuple[str, int] | None = None


class RayExecutor:
    """Runs attempts on a pool of actors, each with its own cores and share of a GPU. The pool grows and shrinks with the cluster.

    If a node dies, its workers are dropped at once. A node is no longer used if workers do not start there, or have different code or
    versions.

    Args:
        workplace: location of data, plug-ins and checkpoints on every node.
        resources: workers, their share of a GPU, and the cluster. The driver decides how many attempts run on a GPU at a time.
        run_trial: None: `agd_bench.trial.run_trial`.
        warm_up: trials each worker prepares for before its first attempt.

    Raises:
        ExecutorError: Ray is not reachable, the requested resources do not fit, or no node can run workers.
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
        self._asked, self._deserted_at = False, 0.0
        try:
            cpus, gpus = self._await_room(workplace, resources)
            threads = workplace.threads
            share, device = gpus_and_device(workplace.device, resources.gpus_per_trial, gpus)
            if device == "cpu" and workplace.device != "cpu":
                refuse_silent_cpus(resources, workplace.torch_device().type == "cuda")
            self._in_flight = resources.in_flight
            if self._in_flight > 1 and device != "cuda":
                raise ExecutorError(f"--in-flight {self._in_flight} requires GPUs; on CPUs, each core has its own worker")
            self._sharing = workers_per_gpu(resources.num_workers, cpus, gpus, threads) if resources.share_gpus and device == "cuda" else 1
            # Ray counts in ten-thousandths, so a share that is rounded up would fit fewer times.
            share = math.floor(1e4 / self._sharing) / 1e4 if self._sharing > 1 else share
            # For its errors: requests that do not fit are rejected before any worker starts.
            pool_size(resources.min_workers or resources.num_workers, cpus, gpus, threads, share)
            self._wanted, self._each = resources.num_workers, (threads, share)
            own = replace(workplace, device=device, exclusive=share >= 1, in_flight=self._in_flight)
            # The run folder of the driver may not exist on other nodes, or not be writable.
            away = resources.ray_address is not None and resources.checkpoints is None
            own_scratch = scratch.name_of(own.checkpoints) if away and own.checkpoints is not None else ""
            self._arguments = (own, run_trial, tuple(warm_up), own_scratch)
            self._code = code_here(own, warm_up)
            # Ray must not retry: the driver decides what to repeat and charge.
            options = {"num_cpus": threads, "num_gpus": share, "max_restarts": 0, "max_task_retries": 0}
            # With concurrency, Ray runs calls in a thread pool; otherwise in the main thread.
            options |= {"max_concurrency": self._in_flight} if self._in_flight > 1 else {}
            # Long-lived, because a process per trial would import torch every time.
            self._class = self._ray.remote(**options)(Worker)
            self._notice_if_full()
            self._follow_cluster()
            # Errors of the first workers are raised here, before the run starts.
            while not self.idle:
                self.wait(1.0)
        # Ctrl-C too, because the actors would outlive this call.
        except BaseException:
            self.close()
            raise

    def _await_room(self, workplace: Workplace, resources: Resources) -> tuple[float, float]:
        """Wait until `min_workers` fit; return the cluster's cores and GPUs.

        Raises:
            ExecutorError: they did not fit within `JOIN_SECONDS`, or what was asked for never can.
        """
        # What contradicts itself would be waited for in vain.
        gpus_and_device(workplace.device, resources.gpus_per_trial, math.inf)
        needed, deadline, said = resources.min_workers or resources.num_workers, time.monotonic() + JOIN_SECONDS, False
        share = 1.0 if workplace.device == "cuda" and resources.gpus_per_trial is None else resources.gpus_per_trial or 0.0
        if needed and resources.ray_address is not None:
            self._ask_autoscaler([{"CPU": workplace.threads} | ({"GPU": share} if share else {})] * needed)
        while True:
            there = self._ray.cluster_resources()
            cpus, gpus = there.get("CPU", 0.0), there.get("GPU", 0.0)
            if resources.min_workers is None:
                return cpus, gpus
            try:
                own, _ = gpus_and_device(workplace.device, resources.gpus_per_trial, gpus)
                pool_size(resources.min_workers, cpus, gpus, workplace.threads, own)
                return cpus, gpus
            except ExecutorError as error:
                if time.monotonic() > deadline:
                    raise
                if not said:
                    notices.warning("waiting for nodes, for up to %.0f minutes: %s", JOIN_SECONDS / 60, error)
                    said = True
            time.sleep(1.0)

    def _notice_if_full(self) -> None:
        """Tell the user if others use the whole cluster, because workers then wait for them."""
        free = self._ray.available_resources()
        if not room(free.get("CPU", 0.0), free.get("GPU", 0.0), *self._each):
            notices.warning(
                "all cores or GPUs of Ray are in use by others; waiting for up to %.0f s until a worker fits (see `ray status`)",
                START_SECONDS,
            )

    def _ask_autoscaler(self, bundles: list[dict[str, float]]) -> None:
        from ray.autoscaler.sdk import request_resources

        # The request stands until another one replaces it; where there is no autoscaler, nobody reads it.
        request_resources(bundles=bundles)
        self._asked = bool(bundles)

    @property
    def _size(self) -> int:
        room = sum(node.room for node in self._nodes.values())
        return room if self._wanted is None else min(room, self._wanted)

    @property
    def slots(self) -> int:
        """Total number of attempts that the workers can take."""
        return self._size * self._in_flight

    @property
    def idle(self) -> list[str]:
        """Names of idle slots, first those of busy workers, because an additional process costs memory and context switches."""
        free = [member for member in self._members.values() if member.ref is None]
        if self._in_flight > 1:
            free.sort(key=lambda one: -sum(other.task is not None for other in self._beside(one)))
        return [member.name for member in free]

    @property
    def nodes(self) -> list[str]:
        """Names of the nodes that it uses."""
        return [node.name for node in self._nodes.values()]

    def node_of(self, worker: str) -> str:
        """The node of a worker."""
        return self._members[worker].node.name

    def _beside(self, member: _Member) -> list[_Member]:
        """All slots of the same actor."""
        if self._in_flight == 1:
            return [member]
        return [other for other in self._members.values() if other.actor is member.actor]

    def device_of(self, worker: str) -> Device:
        """The GPU of an idle worker if it is shared; otherwise the worker has its own cores or GPU."""
        gpu, slots = self._members[worker].gpu, self._sharing * self._in_flight
        return Device(worker) if gpu is None or slots == 1 else Device(gpu[0], slots, gpu[1])

    def _follow_cluster(self) -> None:
        """Add nodes that have joined, remove those that are gone, and start workers where there is room."""
        self._looked_at = time.monotonic()
        alive = {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}
        for node in [node for node in self._nodes.values() if node.ray_id not in alive]:
            self._drop(node, "its node died")
            if not self._nodes:
                self._deserted_at = time.monotonic()
                notices.warning("no node is left; waiting for another one, for up to %.0f s", START_SECONDS)
        for ray_id, node in alive.items():
            capacity = room(node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0), *self._each)
            if capacity and ray_id not in self._nodes and ray_id not in self._set_aside:
                self._nodes[ray_id] = _Node(ray_id, f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})", capacity)
        self._fill()

    def _fill(self) -> None:
        """Start workers up to the pool's size, each on the node with the most room."""
        workers = Counter(member.node.ray_id for member in self._members.values())
        coming = Counter(member.node.ray_id for member in self._members.values() if member.coming)
        # Members are slots, several per actor, while size and room count actors.
        for _ in range(self._size - sum(workers.values()) // self._in_flight):
            # In waves: all workers read torch and the data set from one disk.
            ready = [node for node in self._nodes.values() if coming[node.ray_id] < STARTING_AT_ONCE * self._in_flight]
            ready = [node for node in ready if workers[node.ray_id] < node.room * self._in_flight]
            if not ready:
                return
            node = max(ready, key=lambda one: one.room - workers[one.ray_id] // self._in_flight)
            self._launch(node)
            workers[node.ray_id] += self._in_flight
            coming[node.ray_id] += self._in_flight

    def _launch(self, node: _Node) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        name, self._named = f"worker-{self._named}", self._named + 1
        # Pinned to the node, so failures there can be attributed to it.
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
        if member is None:  # its node was lost since it was chosen
            self._orphans.append(Outcome(task.trial.id, task.attempt, "lost", message="its worker was gone before it started"))
            return
        member.task = task
        self._expect(member, member.actor.perform.remote(task))

    def wait(self, seconds: float) -> list[Outcome]:
        """Return ended attempts, waiting up to the given seconds for the first one; dead workers are replaced.

        Raises:
            ExecutorError: no node is left on which workers start.
        """
        outcomes, self._orphans = self._orphans, []
        refs = list(self._pending)
        # Ray returns at most `num_returns`: wait for a first one, then take all that are ready.
        if refs and not outcomes:
            self._ray.wait(refs, num_returns=1, timeout=seconds)
        ready, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0) if refs else ([], [])
        for ref in ready:
            if ref in self._pending:  # if one dies, the other slots of its actor die too and are handled with it
                outcomes += self._collect(self._pending[ref])
        self._check_coming()
        if time.monotonic() - self._looked_at > FOLLOW_SECONDS:
            self._follow_cluster()
        return outcomes

    def _collect(self, member: _Member) -> list[Outcome]:
        """Handle a message from a worker: an outcome, its readiness, or its death."""
        try:
            brought = self._ray.get(member.ref)
        # Also errors of `describe`: the worker is unusable either way.
        except self._ray.exceptions.RayError as error:
            return self._bury(member, error)
        del self._pending[member.ref]
        member.ref = None
        if member.coming:
            member.coming, member.node.failures = False, 0
            member.gpu = (brought["GPU"], int(brought["memory"])) if "GPU" in brought else None
            # Results of different code would be mixed into the table unnoticed.
            difference = _difference(brought, self._code)
            if difference:
                self._give_up(member.node, f"a worker differs from the driver: {difference}; use the same code and versions on every node")
            self._fill()
            return []
        member.task = None
        outcome: Outcome = brought
        return [outcome]

    def _bury(self, member: _Member, error: Exception) -> list[Outcome]:
        """Replace a worker that died; its attempts are lost, or ran out of memory on its node."""
        text = " ".join(str(error).split())
        log.warning("%s on %s is gone: %s: %s", member.name, member.node.name, type(error).__name__, text)
        starved = isinstance(error, self._ray.exceptions.OutOfMemoryError)
        # Ray's message names hosts and processes, which must not appear in results; it is in the log.
        reason = "its node ran low on memory" if starved else f"its worker or node died ({type(error).__name__})"
        tasks, node, came_up = self._remove(member), member.node, not member.coming
        # A death during an attempt may be caused by the trial; `health` decides.
        if not came_up:
            node.failures += 1
            if node.failures > START_FAILURES:
                hint = "install this version of agd-bench on every node" if "ModuleNotFoundError" in text else "see Ray's logs"
                self._give_up(node, f"{node.failures} workers in a row died while starting: {text[-300:]}; {hint}")
        # Immediately, because a dead worker is often the first sign of a dead node.
        self._follow_cluster()
        kind: Literal["out of memory", "lost"] = "out of memory" if starved else "lost"
        return [Outcome(task.trial.id, task.attempt, kind, message=reason) for task in tasks]

    def _give_up(self, node: _Node, why: str) -> None:
        """Stop using a node on which workers cannot run.

        Raises:
            ExecutorError: it was the last one.
        """
        log.error("%s is no longer used: %s", node.name, why)
        self.set_aside(node.name)
        if not self._nodes:
            raise ExecutorError(f"{node.name}: {why}")

    def set_aside(self, node: str) -> None:
        """Stop using a node; attempts running there are lost."""
        for one in [one for one in self._nodes.values() if one.name == node]:
            self._set_aside.add(one.ray_id)
            self._drop(one, "its node is no longer used")

    def _drop(self, node: _Node, reason: str) -> None:
        """Remove a node and all its workers."""
        log.warning("%s: %s", node.name, reason)
        self._nodes.pop(node.ray_id, None)
        for member in [member for member in self._members.values() if member.node is node]:
            # It may already have been removed with another slot of its actor.
            if member.name in self._members:
                self._orphans += [Outcome(task.trial.id, task.attempt, "lost", message=reason) for task in self._remove(member)]
        self._fill()

    def _check_coming(self) -> None:
        now = time.monotonic()
        if not self._nodes and now - self._deserted_at > START_SECONDS:
            raise ExecutorError(f"every node is gone, and none joined within {START_SECONDS:.0f} s; run the same command to resume")
        if self._members and all(member.coming and now - member.since > START_SECONDS for member in self._members.values()):
            raise ExecutorError(f"no worker started within {START_SECONDS:.0f} s; are all nodes in use? See `ray status` and Ray's logs")

    def _remove(self, member: _Member) -> list[Task]:
        """End a worker and return its tasks."""
        tasks = []
        for other in self._beside(member):
            tasks += [other.task] if other.task is not None else []
            self._pending.pop(other.ref, None)
            del self._members[other.name]
        self._ray.kill(member.actor, no_restart=True)
        return tasks

    def kill(self, trial_id: str) -> None:
        """End and replace the worker that runs this trial; its other attempts are lost too."""
        member = next((one for one in self._members.values() if one.task is not None and one.task.trial.id == trial_id), None)
        if member is not None:
            tasks = self._remove(member)
            self._orphans += [Outcome(task.trial.id, task.attempt, "lost", message="its worker was ended by force") for task in tasks]
            self._fill()

    def refresh(self) -> None:
        """Replace every worker, which releases the device memory held by its process."""
        self._remove_all()
        self._fill()

    def _remove_all(self) -> None:
        while self._members:
            self._remove(next(iter(self._members.values())))

    def close(self) -> None:
        """End the workers; a Ray instance started here ends too, a cluster keeps running."""
        if self._asked:
            # Otherwise the autoscaler would keep the nodes forever.
            self._ask_autoscaler([])
        if self._disconnects:  # ends everything, including the workers
            self._members, self._pending = {}, {}
            self._ray.shutdown()
        self._remove_all()


def _difference(worker: dict[str, str], driver: dict[str, str]) -> str:
    """Differences in versions and code between a worker and the driver; empty if there are none."""
    other = [name for name, stated in driver.items() if worker.get(name) != stated]
    return "; ".join(f"{name} is {worker.get(name, 'missing')} there and {driver[name]} here" for name in other)
