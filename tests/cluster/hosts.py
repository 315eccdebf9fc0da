"""Simulated hosts on one machine: network, mount, process and host-name namespaces, connected by a bridge.

Each host has its own /tmp, HOME and /dev/shm; /tmp/shared is the same folder on all hosts, like a shared file system. Namespaces end with
the processes that hold them, so no name, address or mount is left behind, even if the test is killed. Root and iproute2 are required.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

REPOSITORY = Path(__file__).parents[2]
LIMIT_SECONDS = 240.0
"""Longest wait for an event; a busy machine needs most of it."""
RAY_PORT = 6379
# The shell stays as process 1 of its host and reaps orphaned processes.
SET_UP = """
set -e
hostname "$1"
mkdir -p "$2/home" "$2/shared"
mount --bind "$3" "$2/shared"
mount --rbind "$2" /tmp
mount -t tmpfs -o size=512m tmpfs /dev/shm
echo ready
sleep infinity & wait
"""
SET_UP_BRIDGE = "ip link add br0 type bridge && ip link set br0 up && echo ready; exec sleep infinity"
SETTINGS = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN_PATH": "/tmp/shared/token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # A host that is cut off is declared dead after about ten seconds instead of half a minute.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
    "OMP_NUM_THREADS": "1",
    "COLUMNS": "200",
}


def unavailable() -> str:
    """Return why hosts cannot be created here, or an empty string if they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "hosts made of namespaces need root on Linux"
    missing = [name for name in ("ip", "nsenter", "unshare", "setpriv") if shutil.which(name) is None]
    if missing:
        return f"hosts made of namespaces need {', '.join(missing)}"
    if Path("/tmp") in (*REPOSITORY.parents, *Path(sys.prefix).parents):
        return "each host has its own /tmp, which hides this checkout; clone to another folder"
    tried = subprocess.run(["unshare", "-n", "-m", "-u", "-p", "--fork", "--mount-proc", "true"], capture_output=True, text=True)
    return f"namespaces are not allowed here: {tried.stderr.strip()}" if tried.returncode else ""


def wait_for(what: str, condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: it did not happen in time, or the process that should cause it has ended.
    """
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        ended = process is not None and process.poll() is not None
        assert not ended, f"the process ended ({process.returncode if process else ''}) before {what}"
        assert time.monotonic() < deadline, f"{what} did not happen within {LIMIT_SECONDS:.0f} s"
        time.sleep(0.1)


def _hold(*command: str, **more: IO[str] | int) -> subprocess.Popen[str]:
    """Start a process that ends with this one."""
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], text=True, **more)  # type: ignore[call-overload, no-any-return]


class Bed:
    """A bridge and the hosts connected to it. Use it as a context manager.

    Attributes:
        shared: the folder that is /tmp/shared on every host.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="agd-bed-"))
        self.shared = self.folder / "shared"
        self.shared.mkdir()
        token = self.shared / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        self.hosts: dict[str, Host] = {}
        self._bridge = _hold("unshare", "-n", "sh", "-c", SET_UP_BRIDGE, stdout=subprocess.PIPE)
        assert self._bridge.stdout is not None
        assert self._bridge.stdout.readline() == "ready\n"

    def ip(self, *arguments: str) -> None:
        """Run `ip` in the network namespace of the bridge."""
        subprocess.run(["nsenter", "-t", str(self._bridge.pid), "-n", "ip", *arguments], check=True)

    def host(self, number: int) -> Host:
        """Start and return a host h1, h2, … with the address 10.77.0.number."""
        return Host(self, number)

    def __enter__(self) -> Bed:
        return self

    def __exit__(self, *error: object) -> None:
        for host in list(self.hosts.values()):
            host.end()
        self._bridge.kill()
        self._bridge.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)


class Host:
    """A simulated machine.

    Attributes:
        name: the host name.
        address: the IP address on the bridge.
        folder: the folder that is /tmp on this host.
    """

    def __init__(self, bed: Bed, number: int) -> None:
        self.name, self.address, self.folder = f"h{number}", f"10.77.0.{number}", bed.folder / f"h{number}"
        self._bed, self._started = bed, list[subprocess.Popen[str]]()
        spaces = ["unshare", "-n", "-m", "-u", "-p", "--fork", "--kill-child", "--mount-proc"]
        self._outer = _hold(*spaces, "bash", "-c", SET_UP, "_", self.name, str(self.folder), str(bed.shared), stdout=subprocess.PIPE)
        bed.hosts[self.name] = self
        assert self._outer.stdout is not None
        assert self._outer.stdout.readline() == "ready\n"
        self._inner = _child(self._outer.pid)
        bed.ip("link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", self._inner)
        bed.ip("link", "set", f"v{number}", "master", "br0", "up")
        for line in (f"addr add {self.address}/24 dev eth0", "link set eth0 up", "link set lo up", "route add default dev eth0"):
            self.run("ip", *line.split())

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command on this host, with its output in the host's /tmp/output."""
        variables = SETTINGS | {"HOME": "/tmp/home", "PYTHONPATH": str(REPOSITORY)} | environment
        variables["PATH"] = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        enter = ["nsenter", "-t", self._inner, "-n", "-m", "-u", "-p", "sh", "-c", 'cd && exec "$@"', "_"]
        with (self.folder / "output").open("a") as output:
            self._started.append(_hold(*enter, *command, env=variables, stdout=output, stderr=subprocess.STDOUT))  # type: ignore[arg-type]
        return self._started[-1]

    def run(self, *command: str) -> None:
        """Run a command on this host and wait for its end.

        Raises:
            AssertionError: it failed.
        """
        assert self.start(*command).wait(LIMIT_SECONDS) == 0, self.output

    @property
    def output(self) -> str:
        """Everything that commands on this host have printed."""
        return (self.folder / "output").read_text()

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Send SIGKILL to a process started by `start`."""
        os.kill(int(_child(process.pid)), 9)
        process.wait()

    def join(self, head: Host, cores: int) -> None:
        """Start Ray on this host, as the head or as a node that joins another host's head."""
        role = (
            [f"--address={head.address}:{RAY_PORT}"] if head is not self else ["--head", f"--port={RAY_PORT}", "--include-dashboard=false"]
        )
        memory = ["--object-store-memory=80000000"]
        self.run("ray", "start", *role, f"--node-ip-address={self.address}", f"--num-cpus={cores}", "--num-gpus=0", *memory)

    def cut_off(self) -> None:
        """Disconnect the host from the bridge."""
        self._bed.ip("link", "set", f"v{self.name[1:]}", "down")

    def end(self) -> None:
        """Power off: kill every process at once, without notice."""
        del self._bed.hosts[self.name]
        self._outer.kill()
        self._outer.communicate()
        for process in self._started:
            process.wait()


def _child(pid: int) -> str:
    """Wait until a process has a child, and return the child's id."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (found := children.read_text().split()):
        assert time.monotonic() < deadline, f"process {pid} began no other"
        time.sleep(0.05)
    return found[0]
