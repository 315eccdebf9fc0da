"""A pool of long-lived Ray actors, on this machine or on a cluster. The only module that knows Ray.

Ray is asked for little: to keep processes on nodes and to say when one is gone. It retries nothing (`max_restarts=0`,
`max_task_retries=0`), because what to repeat, and what it is charged, is for `driver` to decide. A fresh process for
each trial would pay the import of torch every time, so an actor runs one trial after the other.

On a cluster, every node needs this version of agd-bench and the same paths of data, plug-ins and run folder.
"""

from __future__ import annotations

import importlib.metadata
import logging
import math
import os
import platform
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agd_bench.errors import DeviceLostError, ExecutorError
from agd_bench.records import Trial
from agd_bench.scheduling.executors.protocol import Device, Outcome, RunTrial, Task
from agd_bench.scheduling.executors.worker import keep_freed_memory, limit_threads, perform, prepare
from agd_bench.scheduling.resources import Resources

if TYPE_CHECKING:
    from agd_bench.trial import Workplace

START_SECONDS = 300.0
"""Longest time for a worker to come up: it imports torch, perhaps from a slow shared disk."""
CONNECT_SECONDS = 5.0
MOST_PER_GPU = 16
"""Workers on one GPU at most: each holds a context, and time-slicing more of them brings nothing."""
START_FAILURES = 3
"""Workers that may die one after the other while coming up, before the pool says that none can."""
OBJECT_STORE_BYTES = 200 * 2**20
"""Only trials and results travel; Ray's default takes a third of the memory."""
ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SCHEDULER_EVENTS": "0",
    # Under `uv run` Ray would zip the working folder and build an environment from it for each worker.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
JOINING = {"RAY_py_gcs_connect_timeout_s": "5", "RAY_gcs_rpc_server_connect_timeout_s": "3", "RAY_NUM_REDIS_GET_RETRIES": "2"}
"""A port where something other than Ray listens would hold Ray's defaults for many minutes; with these, half a minute."""

log = logging.getLogger(__name__)


class Worker:
    """What an actor does: hold torch to its threads and freed memory to the process, and run one trial after the other."""

    def __init__(self, workplace: Workplace, run_trial: RunTrial | None, warm_up: Sequence[Trial]) -> None:
        self._workplace, self._run_trial = workplace, run_trial
        keep_freed_memory()
        prepare(workplace, run_trial, warm_up)

    def describe(self) -> dict[str, str]:
        """Versions here, once everything is imported and the threads are limited; with a GPU also which it is and its memory in bytes."""
        limit_threads(self._workplace.threads)
        return _versions() | (_gpu() if self._workplace.device == "cuda" else {})

    def perform(self, task: Task) -> Outcome:
        """Run one attempt; if it lost the GPU, end the process: the driver then counts its attempts as lost and repeats them elsewhere."""
        limit_threads(self._workplace.threads)
        outcome = perform(task, self._workplace, self._run_trial)
        if isinstance(outcome.error, DeviceLostError):
            print(outcome.message, file=sys.stderr, flush=True)
            os._exit(1)  # a lost GPU comes back with a new process only
        return outcome


def _versions() -> dict[str, str]:
    return {"agd-bench": importlib.metadata.version("agd-bench"), "Python": platform.python_version()}


def _gpu() -> dict[str, str]:
    """The GPU of this worker, as its driver names it on every process and node, and all of its memory."""
    import torch

    properties = torch.cuda.get_device_properties(0)
    return {"GPU": str(properties.uuid), "memory": str(properties.total_memory)}


def workers_per_gpu(num_workers: int | None, cpus: float, gpus: float, threads: int) -> int:
    """How many workers each GPU gets where they share: as many as may turn out to pay.

    Args:
        num_workers: as the user said; null: as many as the cores allow.
        cpus: cores of the cluster.
        gpus: GPUs of the cluster.
        threads: cores of a trial.
    """
    workers = num_workers or int(cpus // threads)
    return max(1, min(MOST_PER_GPU, int(workers // max(1.0, gpus))))


def gpus_and_device(device: str, gpus_per_trial: float | None, available: float) -> tuple[float, str]:
    """How much of a GPU a trial gets, and the device that it is told.

    A worker without a share of a GPU is told to use the CPU: Ray no longer hides GPUs from it, and all would crowd on the first.

    Args:
        device: `cpu`, `cuda` or `auto`, as the user said.
        gpus_per_trial: as the user said; null: one whole GPU where there are some.
        available: GPUs of the cluster.

    Raises:
        ExecutorError: the wishes contradict each other or what there is.
    """
    wanted = gpus_per_trial
    if wanted is None:
        wanted = 1.0 if device == "cuda" or (device == "auto" and available >= 1) else 0.0
    if wanted < 0 or (wanted > 1 and wanted != int(wanted)):
        raise ExecutorError(f"{wanted:g} GPUs per trial: give a share of one in [0, 1], or a whole number")
    if device == "cpu" and wanted:
        raise ExecutorError(f"{wanted:g} GPUs per trial were asked for, but the device is 'cpu'; use device 'cuda' or 'auto'")
    if device == "cuda" and not wanted:
        raise ExecutorError("device 'cuda' was asked for with 0 GPUs per trial; give a share such as 1 or 0.5")
    if wanted > available:
        raise ExecutorError(
            f"{wanted:g} GPUs per trial were asked for, but Ray sees {available:g}; ask for less, use 'cpu' or another cluster"
        )
    return wanted, "cuda" if wanted else "cpu"


def pool_size(num_workers: int | None, cpus: float, gpus: float, threads: int, gpus_per_trial: float) -> int:
    """How many workers to keep.

    Args:
        num_workers: as the user said; null: as many as fit.
        cpus: cores of the cluster.
        gpus: GPUs of the cluster.
        threads: cores of a trial.
        gpus_per_trial: of a trial; 0 on CPUs.

    Raises:
        ExecutorError: fewer than one fits, or fewer than asked for: Ray alone would wait for ever.
    """
    fitting = int(cpus // threads)
    if gpus_per_trial:
        on_gpus = int(gpus) * int(1 / gpus_per_trial + 1e-9) if gpus_per_trial < 1 else int(gpus // gpus_per_trial)
        fitting = min(fitting, on_gpus)
    each = f"{threads} core{'s' * (threads != 1)}" + (f" and {gpus_per_trial:g} GPU" if gpus_per_trial else "")
    there = f"Ray has {cpus:g} cores and {gpus:g} GPUs"
    if num_workers is not None and num_workers < 1:
        raise ExecutorError(f"{num_workers} workers were asked for; give at least 1")
    if fitting < max(1, num_workers or 1):
        raise ExecutorError(
            f"{num_workers or 1} workers of {each} do not fit: {there}, room for {fitting}; ask for fewer workers or threads"
        )
    return num_workers or fitting


def _import_ray() -> Any:
    """Ray, once its environment is set: it reads some of it when it is imported."""
    import ray

    return ray


def _check_reachable(address: str) -> None:
    """Ray itself would wait long for a head that is not there.

    Raises:
        ExecutorError: not HOST:PORT, or nothing listens.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in address:
        raise ExecutorError(f"Ray address {address!r}: give HOST:PORT of the head node (as `ray start --head` says), or 'local'")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ExecutorError(f"Ray address {address!r}: nothing answers there ({error}); start a head with `ray start --head`") from None


def _protect_token() -> None:
    """Ray writes its token readable for everybody on the machine; whoever has it can run code as this user."""
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    try:
        if path.is_file() and path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        log.warning("%s: others can read Ray's token, and its mode cannot be changed: %s", path, error)


def connect(address: str) -> bool:
    """Connect this process to Ray, or start a Ray of its own.

    Args:
        address: `local`, or HOST:PORT of a head.

    Returns:
        Whether this call connected; False if the process was connected already.

    Raises:
        ExecutorError: not reachable, no right token, another version.
    """
    for name, value in (ENVIRONMENT | ({} if address == "local" else JOINING)).items():
        os.environ.setdefault(name, value)
    ray = _import_ray()
    if ray.is_initialized():
        return False
    # Ray has no public switch against its remarks on dead workers; they stand in its logs, and ours say what we make of them.
    ray._private.worker._worker_logs_enabled = False
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address == "local":
            ray.init(address="local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet)
        else:
            _check_reachable(address)
            ray.init(address=address, **quiet)
    except ExecutorError:
        raise
    except Exception as error:
        ray.shutdown()
        hint = (
            "is a folder for the token writable (HOME)?"
            if address == "local"
            else "are the token (RAY_AUTH_TOKEN) and the versions its own?"
        )
        first = " ".join(str(error).split())[:300]
        raise ExecutorError(f"Ray at {address!r} cannot be used: {type(error).__name__}: {first}; {hint}") from None
    _protect_token()
    log.info("Ray's own logs: %s", Path(ray._private.worker.global_worker.node.get_session_dir_path()) / "logs")
    return True


@dataclass
class _Member:
    """One place for an attempt in an actor of the pool: coming up (`coming` is set), busy (`task` and `ref` are), or free."""

    name: str
    actor: Any
    since: float
    coming: Any = None
    task: Task | None = None
    ref: Any = None
    gpu: tuple[str, int] | None = None

    @property
    def pending(self) -> Any:
        return self.coming if self.coming is not None else self.ref


class RayExecutor:
    """Runs attempts on a pool of actors, each with its cores and its share of a GPU.

    Args:
        workplace: where data, plug-ins and checkpoints are, on every node.
        resources: workers, their share of a GPU, and the cluster. How many attempts are at work on a GPU at a time is the driver's to say.
        run_trial: None: `agd_bench.trial.run_trial`.
        warm_up: what each worker gets ready for before it takes its first attempt.

    Raises:
        ExecutorError: Ray is not reachable, what was asked for does not fit, or a node has another version.
    """

    def __init__(
        self,
        workplace: Workplace,
        resources: Resources,
        run_trial: RunTrial | None = None,
        warm_up: Sequence[Trial] = (),
    ) -> None:
        self._disconnects = connect(resources.ray_address or "local")
        self._ray = _import_ray()
        self._members: list[_Member] = []
        self._orphans: list[Outcome] = []
        self._named = 0
        self._failures = 0
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
            self._size = pool_size(resources.num_workers, cpus, gpus, threads, share)
            own = replace(workplace, device=device, exclusive=share >= 1, in_flight=self._in_flight)
            self._arguments = (own, run_trial, tuple(warm_up))
            options = {"num_cpus": workplace.threads, "num_gpus": share, "max_restarts": 0, "max_task_retries": 0}
            options |= {"max_concurrency": self._in_flight} if self._in_flight > 1 else {}
            self._class = self._ray.remote(**options)(Worker)
            for _ in range(self._size):
                self._launch()
            self._await_first()
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> int:
        """Attempts that the pool's workers take together."""
        return self._size * self._in_flight

    @property
    def idle(self) -> list[str]:
        """Names of what is up and has nothing to do; first in workers that are busy, as a process more costs memory and switches."""
        free = [member for member in self._members if member.pending is None]
        return [member.name for member in sorted(free, key=lambda one: -sum(other.task is not None for other in self._beside(one)))]

    def _beside(self, member: _Member) -> list[_Member]:
        """All members of the same actor."""
        return [other for other in self._members if other.actor is member.actor]

    def device_of(self, worker: str) -> Device:
        """The GPU of an idle worker, if it is shared; else the worker has its own cores or GPU."""
        gpu = next(member.gpu for member in self._members if member.name == worker)
        slots = self._sharing * self._in_flight
        return Device(worker) if gpu is None or slots == 1 else Device(gpu[0], slots, gpu[1])

    def _launch(self) -> None:
        name, self._named = f"worker-{self._named}", self._named + 1
        actor = self._class.remote(*self._arguments)
        for place in range(self._in_flight):
            own = f"{name}.{place}" if self._in_flight > 1 else name
            self._members.append(_Member(own, actor, time.monotonic(), coming=actor.describe.remote()))

    def _await_first(self) -> None:
        while not self.idle:
            self.wait(1.0)

    def submit(self, worker: str, task: Task) -> None:
        """Send the attempt to an idle worker."""
        member = next(member for member in self._members if member.name == worker and member.pending is None)
        member.task, member.ref = task, member.actor.perform.remote(task)

    def wait(self, seconds: float) -> list[Outcome]:
        """Attempts that ended, waiting at most so long for a first one; dead workers are replaced on the way.

        Raises:
            ExecutorError: no worker comes up any more, or one has another version.
        """
        if self._orphans:
            orphans, self._orphans = self._orphans, []
            return orphans
        pending = {member.pending: member for member in self._members if member.pending is not None}
        if not pending:
            return []
        refs = list(pending)
        self._ray.wait(refs, num_returns=1, timeout=seconds)
        ready, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        # One that dies takes those beside it along, and tells of all.
        outcomes = [outcome for ref in ready if pending[ref] in self._members for outcome in self._collect(pending[ref])]
        self._check_coming()
        return outcomes

    def _collect(self, member: _Member) -> list[Outcome]:
        """What a worker brought: outcomes, its readiness, or its death."""
        try:
            brought = self._ray.get(member.pending)
        except self._ray.exceptions.RayError as error:
            return self._bury(member, error)
        if member.coming is not None:
            member.coming = None
            self._failures = 0
            _check_versions(brought)
            member.gpu = (brought["GPU"], int(brought["memory"])) if "GPU" in brought else None
            return []
        member.task, member.ref = None, None
        outcome: Outcome = brought
        return [outcome]

    def _bury(self, member: _Member, error: Exception) -> list[Outcome]:
        """Replace a worker that died; what it was doing is lost, or was too large for the memory of its node."""
        exceptions = self._ray.exceptions
        tasks = [other.task for other in self._beside(member) if other.task is not None]
        self._remove(member)
        text = " ".join(str(error).split())
        log.warning("%s is gone: %s: %s", member.name, type(error).__name__, text)
        if not tasks:
            self._failures += 1
            if self._failures > START_FAILURES:
                hint = "install this version of agd-bench on every node" if "ModuleNotFoundError" in text else "see Ray's logs"
                raise ExecutorError(f"{self._failures} workers died one after the other while coming up: {text[-300:]}; {hint}")
        self._launch()
        # Ray's own words name hosts and processes, which have no place in results; they are in the log.
        starved = isinstance(error, exceptions.OutOfMemoryError)
        reason = "its node ran low on memory" if starved else f"its worker or node died ({type(error).__name__})"
        kind: Literal["out of memory", "lost"] = "out of memory" if starved else "lost"
        return [Outcome(task.trial.id, task.attempt, kind, message=reason) for task in tasks]

    def _check_coming(self) -> None:
        late = [member for member in self._members if member.coming is not None and time.monotonic() - member.since > START_SECONDS]
        if late and len(late) == len(self._members):
            raise ExecutorError(f"no worker came up within {START_SECONDS:.0f} s; are the cluster's nodes alive? See Ray's logs")

    def _remove(self, member: _Member) -> None:
        for other in self._beside(member):
            self._members.remove(other)
        self._ray.kill(member.actor, no_restart=True)

    def kill(self, trial_id: str) -> None:
        """End the worker that has this trial, and replace it; what else it had is lost too."""
        member = next((one for one in self._members if one.task is not None and one.task.trial.id == trial_id), None)
        if member is not None:
            tasks = [other.task for other in self._beside(member) if other.task is not None]
            self._orphans += [Outcome(task.trial.id, task.attempt, "lost", message="its worker was ended by force") for task in tasks]
            self._remove(member)
            self._launch()

    def refresh(self) -> None:
        """Replace every worker, and with it what its process holds of the devices' memory."""
        while self._members:
            self._remove(self._members[0])
        for _ in range(self._size):
            self._launch()

    def close(self) -> None:
        """End the workers; a Ray that was started here ends with them, a cluster goes on."""
        while self._members:
            self._remove(self._members[0])
        if self._disconnects:
            self._ray.shutdown()


def _check_versions(there: dict[str, str]) -> None:
    for name, version in _versions().items():
        # Python's last digit may differ: Ray itself insists on the rest.
        same = there[name] == version or (name == "Python" and there[name].rpartition(".")[0] == version.rpartition(".")[0])
        if not same:
            raise ExecutorError(f"a worker has {name} {there[name]}, the driver has {version}; install the same version on every node")
