"""The Ray pool survives the loss of workers, rejects impossible requests at once, and joins running clusters."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agd_bench.errors import DatasetError, ExecutorError
from agd_bench.identity import engine_identity
from agd_bench.records import Trial, TrialResult
from agd_bench.scheduling.deadlines import Deadlines
from agd_bench.scheduling.executors import ray_cluster, ray_pool
from agd_bench.scheduling.executors.protocol import Device, Outcome, RunTrial, Task
from agd_bench.scheduling.executors.ray_pool import RayExecutor
from agd_bench.scheduling.executors.worker import code_here
from agd_bench.scheduling.resources import Resources
from agd_bench.scheduling.runs import run_plan
from agd_bench.store import load_results
from tests.scheduling import plans
from tests.short_trials import trial as short_trial

pytestmark = pytest.mark.timeout(1800)
"""Workers import torch, which takes minutes on a busy machine."""


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """Start one Ray for all tests of the module; executors leave an existing connection open."""
    assert ray_cluster.connect("local")
    import ray

    yield
    ray.shutdown()


def wait_for_death(pid: int) -> None:
    """Wait until a process has ended."""
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.05)


def run_on_ray(folder: Path, planned: Any, run_trial: Any, grace_seconds: float = 30.0, **more: Any) -> Any:
    """Run a plan on two workers with a stand-in for training, and return the results."""
    place = plans.workplace(folder)
    resources, tuner = Resources(num_workers=2, **more), plans.HashTuner()
    run_plan(planned, folder / "run", place, resources, run_trial=run_trial, tuner=tuner, grace_seconds=grace_seconds)
    return load_results(folder / "run")


@pytest.mark.parametrize("run_trial", [plans.die_first, plans.lose_the_gpu_first])
def test_killed_workers_are_replaced_and_their_trials_repeated(
    tmp_path: Path, local_ray: None, capfd: pytest.CaptureFixture[str], run_trial: RunTrial
) -> None:
    """If SIGKILL or a lost GPU ends the first attempt, the second one counts; other trials are unaffected, and nothing is printed."""
    planned = plans.plan(architectures=2, seeds=2, rounds=2)
    results = run_on_ray(tmp_path, planned, run_trial)
    assert (results.trials["status"] == "done").all()
    assert list(results.trials["attempts"]) == [2 if seed == 1 else 1 for seed in results.trials["seed"]]
    proposals = {trial.id: trial for trial in planned.all_trials}
    assert len(results.curves) == 2 * len(proposals)
    lost = results.attempts[results.attempts["outcome"] == "lost"]
    assert set(lost["reason"]) == {"its worker or node died (ActorDiedError)"}
    assert capfd.readouterr() == ("", "")
    assert "is gone: ActorDiedError" in (tmp_path / "run" / "logs" / "driver.log").read_text()


class PretendingWorker(ray_pool.Worker):
    """A worker that claims to have a GPU."""

    def describe(self) -> dict[str, str]:
        """Return code and versions, and an imaginary GPU."""
        return {**code_here(self._workplace, self._warm_up), "GPU": "imagined", "memory": str(80 * 2**30)}


def test_trials_in_flight_share_a_worker_and_its_end(tmp_path: Path, local_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials in flight on a worker that dies are repeated, and in the end all trials are done."""
    monkeypatch.setattr(ray_pool, "Worker", PretendingWorker)
    monkeypatch.setattr(ray_pool, "gpus_and_device", lambda *asked: (0.0, "cuda"))
    executor = RayExecutor(plans.workplace(tmp_path), Resources(num_workers=2, in_flight=3), plans.succeed)
    try:
        assert executor.slots == 6
        while len(executor.idle) < 6:
            executor.wait(1.0)
        first = executor.idle[0]
        assert executor.device_of(first) == Device("imagined", 3, 80 * 2**30)
        executor.submit(first, Task(plans.trial("cell-0", 0), 1, 60.0))
        assert {name.partition(".")[0] for name in executor.idle[:2]} == {first.partition(".")[0]}
    finally:
        executor.close()
    results = run_on_ray(tmp_path, plans.plan(architectures=1, seeds=3, rounds=0), plans.die_first, in_flight=3, timed=0)
    assert (results.trials["status"] == "done").all()
    lost = results.attempts[results.attempts["outcome"] == "lost"]
    assert set(lost["reason"]) == {"its worker or node died (ActorDiedError)"}
    assert len(lost) >= 1


def test_trials_in_flight_are_for_gpus(tmp_path: Path, local_ray: None) -> None:
    """On CPUs several trials in flight per worker are an error, because each core has its own worker."""
    with pytest.raises(ExecutorError, match="--in-flight"):
        RayExecutor(plans.workplace(tmp_path), Resources(in_flight=2), plans.succeed)


def test_a_poisonous_trial_fails_and_the_rest_is_done(tmp_path: Path, local_ray: None) -> None:
    """A trial that kills every worker fails after the sweep's maximum number of attempts."""
    results = run_on_ray(tmp_path, plans.plan(architectures=1, seeds=3, rounds=0, max_attempts=2), plans.always_die)
    assert list(results.trials["status"]) == ["done", "failed", "done"]
    assert list(results.trials["attempts"]) == [1, 2, 1]


def test_a_hung_worker_is_ended_at_the_deadline(tmp_path: Path, local_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that hangs in C code and does not respond is killed from outside, and its trial is repeated."""
    hangs = tmp_path / "hangs"

    def seconds(self: Deadlines, trial: Trial) -> float:
        if trial.seed != 1 or not hangs.exists():
            return 1e6
        hangs.unlink()
        return 0.0

    monkeypatch.setattr(Deadlines, "seconds", seconds)
    results = run_on_ray(tmp_path, plans.plan(architectures=1, seeds=2, rounds=0), plans.hang_first, grace_seconds=0.0)
    assert list(results.trials["status"]) == ["done", "done"]
    assert list(results.trials["attempts"]) == [1, 2]


def test_out_of_memory_gets_fresh_workers(tmp_path: Path, local_ray: None) -> None:
    """The worker's out-of-memory error reaches the driver, which repeats the trial alone on a fresh worker."""
    results = run_on_ray(tmp_path, plans.plan(architectures=1, seeds=3, rounds=0), plans.starve_first)
    assert list(results.trials["status"]) == ["done"] * 3
    assert sorted(results.attempts["outcome"]) == ["done", "done", "done", "out of memory"]
    assert "worker-0" not in set(results.attempts.groupby("trial_id")["node"].last().loc[[results.trials.loc[1, "trial_id"]]])


def test_a_missing_data_set_stops_the_run_with_its_own_error(tmp_path: Path, local_ray: None) -> None:
    """An installation error raised on a worker reaches the user unchanged."""
    with pytest.raises(DatasetError, match="the images went away"):
        run_on_ray(tmp_path, plans.plan(rounds=0), plans.miss_data)


def report_pid(one: Trial, place: object, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
    """Return the process id as the reason of a failed trial."""
    return TrialResult(trial_id=one.id, status="failed", reason=str(os.getpid()))


def report_threads(one: Trial, place: object, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
    """Return torch's number of threads as the reason of a failed trial."""
    import torch

    return TrialResult(trial_id=one.id, status="failed", reason=f"{torch.get_num_threads()} {os.environ.get('OMP_NUM_THREADS')}")


def test_an_idle_worker_that_dies_is_replaced(tmp_path: Path, local_ray: None) -> None:
    """If a worker dies between two trials, the next attempt on it is lost, and the worker is replaced."""
    executor = RayExecutor(plans.workplace(tmp_path), Resources(num_workers=1), report_pid)
    task = Task(plans.trial("cell", 0), 1, 60.0)

    def attempt() -> Outcome:
        while not executor.idle:
            executor.wait(1.0)
        executor.submit(executor.idle[0], task)
        while not (ended := executor.wait(1.0)):
            pass
        return ended[0]

    first = attempt().result
    assert first is not None
    os.kill(int(first.reason), signal.SIGKILL)
    wait_for_death(int(first.reason))
    lost, again = attempt(), attempt().result
    executor.close()
    assert lost.kind == "lost"
    assert again is not None
    assert again.reason != first.reason


def test_workers_hold_torch_to_its_threads(tmp_path: Path, local_ray: None) -> None:
    """Each trial uses one thread, whatever the number of cores."""
    results = run_on_ray(tmp_path, plans.plan(architectures=2, seeds=1, rounds=0), report_threads)
    assert set(results.trials["reason"]) == {"1 1"}


def look_at_checkpoints(one: Trial, place: Any, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
    """Leave a checkpoint, and return its folder as the reason of a failed trial."""
    (place.checkpoints / one.id).mkdir(exist_ok=True)
    return TrialResult(trial_id=one.id, status="failed", reason=str(place.checkpoints))


def test_a_worker_keeps_checkpoints_on_its_nodes_disk_and_removes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints are kept on the worker's own disk, because the driver's run folder may not exist on its node."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = plans.workplace(tmp_path, checkpoints=Path("/nowhere/checkpoints"))
    worker = ray_pool.Worker(place, look_at_checkpoints, (), own_scratch="abc")
    outcome = worker.perform(Task(plans.trial("cell", 0), 1, 60.0))
    assert outcome.result is not None
    assert Path(outcome.result.reason) == tmp_path / f"agd-bench-{os.getuid()}" / "abc"
    assert not list(Path(outcome.result.reason).iterdir())


class StrangeWorker(ray_pool.Worker):
    """A worker with an edited copy of the package."""

    def describe(self) -> dict[str, str]:
        """Return a different code digest for the same version."""
        return {**super().describe(), "code of agd-bench": "0123456789abcdef"}


def test_a_worker_with_other_code_gets_no_trial(tmp_path: Path, local_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node with different code is given up; if it was the last one, the run ends with an error that names both digests."""
    monkeypatch.setattr(ray_pool, "Worker", StrangeWorker)
    with pytest.raises(ExecutorError, match=f"code of agd-bench is 0123456789abcdef there and {engine_identity()} here"):
        RayExecutor(plans.workplace(tmp_path), Resources(num_workers=1), plans.succeed)


@pytest.mark.parametrize(("name", "there"), [("torch", "2.0.0"), ("agd-bench", "9.9.9"), ("code of algorithm 'agd'", "0123456789abcdef")])
def test_what_a_worker_has_otherwise_is_named(tmp_path: Path, name: str, there: str) -> None:
    """The message names differing versions and plug-ins, and anything that the worker does not report."""
    here = code_here(plans.workplace(tmp_path), [short_trial()])
    assert {"Python", "torch", "code of agd-bench", "code of search space 'fcn'"} < here.keys()
    assert ray_pool._difference(dict(here), here) == ""
    assert ray_pool._difference({**here, name: there}, here) == f"{name} is {there} there and {here[name]} here"
    without = {key: value for key, value in here.items() if key != name}
    assert ray_pool._difference(without, here).startswith(f"{name} is missing there")


def test_a_plugin_that_is_not_on_a_node_is_named(tmp_path: Path) -> None:
    """A plug-in that a node cannot find is reported as missing; its folder may not be mounted there."""
    stated = code_here(plans.workplace(tmp_path), [short_trial(search_space="nowhere")])
    assert stated["code of search space 'nowhere'"].startswith("missing (unknown search space 'nowhere'")


def test_more_than_there_is_is_refused_at_once(tmp_path: Path, local_ray: None) -> None:
    """Requests that do not fit are rejected at once, because Ray would wait for them forever."""
    with pytest.raises(ExecutorError, match=r"1000 workers .*do not fit: Ray has \d+ cores"):
        RayExecutor(plans.workplace(tmp_path), Resources(num_workers=1000), plans.succeed)
    with pytest.raises(ExecutorError, match="64 GPUs per trial"):
        RayExecutor(plans.workplace(tmp_path), Resources(gpus_per_trial=64), plans.succeed)


def test_the_token_is_readable_for_its_owner_alone(local_ray: None) -> None:
    """Only the owner can read the token, because anyone who has it can run code as this user."""
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


HEAD = """
import os, sys, time
from pathlib import Path
from agd_bench.scheduling.resources import Resources
from agd_bench.scheduling.runs import run_plan
from agd_bench.errors import ExecutorError
from tests.scheduling import plans

folder = Path(sys.argv[1])
try:
    resources = Resources(num_workers=1, ray_address=sys.argv[2])
    run_plan(plans.plan(rounds=0), folder / "run", plans.workplace(folder), resources, run_trial=plans.succeed)
except ExecutorError as error:
    print("ExecutorError", error)
    sys.exit(4)
"""


def free_ports(count: int) -> list[int]:
    """Return ports that are currently unused."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Start a Ray head with its own session and token, and end it by its process group, never by `ray stop`."""
    home = tmp_path / "home"
    (home / ".ray").mkdir(parents=True)
    token = home / ".ray" / "auth_token"
    token.write_text("0123456789abcdef" * 4)
    token.chmod(0o600)
    environment = os.environ | {"HOME": str(home), "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
    port, metrics, agent = free_ports(3)
    temporary = tempfile.mkdtemp(prefix="ray-")  # it holds sockets, so its path must be short
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={port}", "--num-cpus=1", "--num-gpus=0"]
    command += ["--include-dashboard=false", f"--metrics-export-port={metrics}"]
    command += [f"--dashboard-agent-listen-port={agent}", "--object-store-memory=100000000", f"--temp-dir={temporary}"]
    head = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while head.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.2)
    yield f"127.0.0.1:{port}", environment
    head.send_signal(signal.SIGTERM)
    try:
        head.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(head.pid, signal.SIGKILL)
        head.wait()
    shutil.rmtree(temporary, ignore_errors=True)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a Linux machine")
def test_a_cluster_that_runs_already_is_joined_and_left_running(tmp_path: Path, cluster: tuple[str, dict[str, str]]) -> None:
    """Two runs join the same head one after the other; with a wrong token, the driver exits with an error."""
    address, environment = cluster
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        joined = subprocess.run(
            [sys.executable, "-c", HEAD, str(tmp_path / name), address], env=environment, capture_output=True, text=True, timeout=900
        )
        assert (joined.returncode, joined.stdout) == (0, ""), joined.stderr
        assert (load_results(tmp_path / name / "run").trials["status"] == "done").all()
    stranger = environment | {"RAY_AUTH_TOKEN": "f" * 64}
    (tmp_path / "third").mkdir()
    refused = subprocess.run(
        [sys.executable, "-c", HEAD, str(tmp_path / "third"), address], env=stranger, capture_output=True, text=True, timeout=900
    )
    assert refused.returncode == 4, refused.stderr
    assert "token" in refused.stdout.lower()


class CountedRay:
    """A cluster that grows with each query."""

    def __init__(self, *cores: float) -> None:
        self.cores = list(cores)

    def cluster_resources(self) -> dict[str, float]:
        """Return the current number of cores."""
        return {"CPU": self.cores.pop(0) if len(self.cores) > 1 else self.cores[0]}


def bare_executor(ray: Any = None) -> Any:
    """Return an executor that is not connected to Ray."""
    executor: Any = RayExecutor.__new__(RayExecutor)
    executor._ray, executor._members, executor._nodes = ray, {}, {}
    executor._in_flight, executor._wanted, executor._asked = 1, None, False
    return executor


def test_fewest_workers_are_waited_for_and_asked_of_the_autoscaler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The run starts once `min_workers` fit, or fails after a while; the request to the autoscaler is withdrawn at the end."""
    from ray.autoscaler import sdk

    asked: list[list[dict[str, float]]] = []
    monkeypatch.setattr(sdk, "request_resources", lambda bundles: asked.append(bundles))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    place, resources = plans.workplace(tmp_path), Resources(min_workers=3, ray_address="head:1")
    executor = bare_executor(CountedRay(0, 2, 4))
    assert executor._await_room(place, resources) == (4, 0)
    assert asked == [[{"CPU": 1}] * 3]
    assert "waiting for nodes" in caplog.text
    monkeypatch.setattr(ray_pool, "JOIN_SECONDS", -1.0)
    with pytest.raises(ExecutorError, match="room for 2"):
        bare_executor(CountedRay(2))._await_room(place, resources)
    executor._disconnects = False
    executor.close()
    assert asked[-1] == []


@pytest.mark.parametrize(("free", "said"), [({"CPU": 2.0}, False), ({"CPU": 0.5}, True), ({}, True)])
def test_a_cluster_that_others_use_up_is_reported(free: dict[str, float], said: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Without the message, the command would seem to hang."""
    executor = bare_executor(SimpleNamespace(available_resources=lambda: free))
    executor._each = (1, 0.0)
    executor._notice_if_full()
    assert ("in use by others" in caplog.text) == said


def test_workers_of_a_node_come_up_in_waves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node with 64 cores starts 16 workers at a time, independently of a second node."""
    executor = bare_executor()
    nodes = [ray_pool._Node(name, name, size) for name, size in (("big", 64), ("small", 8))]
    executor._nodes = {node.ray_id: node for node in nodes}

    def launch(node: Any) -> None:
        executor._members[str(len(executor._members))] = ray_pool._Member(str(len(executor._members)), None, node, 0.0)

    monkeypatch.setattr(executor, "_launch", launch)
    sizes = []
    while len(executor._members) < 72:
        executor._fill()
        sizes.append(len(executor._members))
        for member in executor._members.values():
            member.coming = False
    assert sizes == [24, 40, 56, 72]
    executor._fill()
    assert len(executor._members) == 72


def test_a_pool_without_nodes_waits_and_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without nodes, the pool waits for others to join, but gives up before it wastes its whole allocation."""
    executor = bare_executor()
    executor._deserted_at = time.monotonic()
    executor._check_coming()
    monkeypatch.setattr(ray_pool, "START_SECONDS", -1.0)
    with pytest.raises(ExecutorError, match="every node is gone"):
        executor._check_coming()
