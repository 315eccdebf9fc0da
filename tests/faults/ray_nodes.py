"""A Ray cluster of two nodes on this machine, whose processes can be killed and are started again."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

LIMIT_SECONDS = 300.0
MARK = "AGD_BENCH_FAULTS_NODE"
"""A variable in the environment of every process of a node."""
SETTINGS = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SCHEDULER_EVENTS": "0",
    # a process that no driver asked for costs a second
    "RAY_prestart_worker_first_driver": "0",
    "OMP_NUM_THREADS": "1",
}


class Nodes:
    """A head and a second node, of one core each.

    Attributes:
        address: of the head.
    """

    def __init__(self) -> None:
        # before Ray is imported, and for those that are forked from this process
        os.environ.update(SETTINGS | {"RAY_AUTH_TOKEN": secrets.token_hex(32)})
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self._port}"
        self._mark = secrets.token_hex(8)
        # sockets lie in it, so its path must be short
        self._folder = tempfile.mkdtemp(prefix="ray-")
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start what does not run."""
        if not self._is_alive("head"):
            for name in ("second", "head"):
                self._end(name)
            head = ["--head", f"--port={self._port}", "--include-dashboard=false", f"--temp-dir={self._folder}"]
            self._start("head", head)
        if not self._is_alive("second"):
            self._end("second")
            self._start("second", [f"--address={self.address}"])

    def _start(self, name: str, role: list[str]) -> None:
        command = [str(Path(sys.executable).with_name("ray")), "start", *role, "--block", "--num-cpus=1", "--num-gpus=0"]
        command += ["--object-store-memory=80000000", "--disable-usage-stats"]
        said = Path(self._folder) / f"{name}.txt"
        with said.open("wb") as file:
            # compiled once: half of what a worker costs
            own = os.environ | {MARK: f"{self._mark} {name}", "PYTHONPYCACHEPREFIX": f"{self._folder}/compiled"}
            own.pop("PYTHONDONTWRITEBYTECODE", None)
            process = subprocess.Popen(command, env=own, stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True)
        self._started[name] = process
        deadline = time.monotonic() + LIMIT_SECONDS
        while b"Ray runtime started" not in said.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Ray's node {name!r} did not start: {said.read_text(errors='replace')[-1000:]}")
            time.sleep(0.1)

    def _is_alive(self, name: str) -> bool:
        needed = {"head": ("gcs_server", "raylet/raylet"), "second": ("raylet/raylet",)}[name]
        return name in self._started and self._started[name].poll() is None and all(self.find(part, name) for part in needed)

    def find(self, part: str, node: str = "") -> list[int]:
        """Processes of the cluster, or of one node, whose command line contains `part`."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                marked = f"{MARK}={self._mark} {node}".encode() in (entry / "environ").read_bytes()
                if marked and part.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found

    def _end(self, name: str) -> None:
        process = self._started.pop(name, None)
        for pid in self.find("", name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if process is not None:
            process.wait()

    def close(self) -> None:
        """End both, and remove what they wrote."""
        for name in ("second", "head"):
            self._end(name)
        shutil.rmtree(self._folder, ignore_errors=True)
