"""The connection to Ray: one of our own on this machine, or a cluster's."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agd_bench.errors import ExecutorError

CONNECT_SECONDS = 5.0
OBJECT_STORE_BYTES = 200 * 2**20
"""Only trials and results travel; Ray's default takes a third of the memory."""
ENVIRONMENT = {
    # Ray listens on all interfaces: without a token, anyone who can reach it can run code.
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SCHEDULER_EVENTS": "0",
    # Under `uv run`, Ray would zip the working folder and build an environment from it for each worker.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
JOINING = {"RAY_py_gcs_connect_timeout_s": "5", "RAY_gcs_rpc_server_connect_timeout_s": "3", "RAY_NUM_REDIS_GET_RETRIES": "2"}
"""Timeouts for a port on which something other than Ray listens: half a minute instead of many minutes by default."""

log = logging.getLogger(__name__)


def import_ray() -> Any:
    """Import Ray after setting its environment variables, some of which it reads on import."""
    import ray

    return ray


def _check_reachable(address: str) -> None:
    """Check that a head answers, because Ray itself would wait a long time for one.

    Raises:
        ExecutorError: the address is not HOST:PORT, or nothing listens there.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in address:
        raise ExecutorError(f"Ray address {address!r}: must be HOST:PORT of the head node (printed by `ray start --head`), or 'local'")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ExecutorError(f"Ray address {address!r}: no answer ({error}); start a head with `ray start --head`") from None


def _protect_token() -> None:
    """Create Ray's token, readable only by its owner, because anyone who has it can run code as this user."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return
    given = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(given) if given else Path.home() / ".ray" / "auth_token"
    try:
        # Ray would write it with the default mode, readable by everyone on the machine.
        if not path.exists() and not given:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent) as own:  # with mode 0600
                own.write(secrets.token_hex(32))
                # Linked into place when complete, so no other process reads half a token.
                own.flush()
                with contextlib.suppress(FileExistsError):  # another driver was first
                    os.link(own.name, path)
        if path.is_file() and path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        log.warning("%s: Ray's token cannot be made private: %s", path, error)


STARTING = {
    "AF_UNIX path length": "the path of Ray's temporary folder is too long for its sockets; set RAY_TMPDIR to a short one, such as /tmp",
    "timed out during startup": "this machine was too slow to start Ray; try again when it is less busy, or use --executor in-process",
    "No space left": "free some space on the disk and in /dev/shm (docker run --shm-size=1g), set RAY_TMPDIR to another disk, or "
    "use --executor in-process",
    "Permission denied": "Ray writes to its temporary folder and to ~/.ray; make both writable, or set RAY_TMPDIR and HOME to other "
    "folders",
    "Read-only file system": "Ray writes to its temporary folder and to ~/.ray; set RAY_TMPDIR and HOME to writable folders",
    "determine home directory": "Ray stores its token in the home folder; set HOME, or put the token in RAY_AUTH_TOKEN",
}
"""Advice for failures to start Ray, by text that occurs in the errors of Ray and the system."""


def _advice(error: str, address: str) -> str:
    """Advice to append to an error of `ray.init`; empty if the error is unknown."""
    known = next((advice for words, advice in STARTING.items() if words in error), "")
    if address == "local" and (not known or "timed out" in error):
        with contextlib.suppress(OSError):  # other systems have no such folder
            # Ray waits for an object store that does not come up, and does not say why
            if shutil.disk_usage("/dev/shm").free < OBJECT_STORE_BYTES:
                known = f"/dev/shm has less than {OBJECT_STORE_BYTES >> 20} MiB left; {STARTING['No space left']}"
    if not known and address != "local":
        known = "check that RAY_AUTH_TOKEN and the versions of Ray and Python match the cluster"
    return f"; {known}" if known else ""


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep this process's handler of SIGTERM, which Ray replaces twice: by one that exits, and in C++ by one that aborts."""
    if threading.current_thread() is not threading.main_thread():  # where Ray leaves it too
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:  # Ray's handler was called
        signal.signal(signal.SIGTERM, before)
        signal.raise_signal(signal.SIGTERM)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def connect(address: str) -> bool:
    """Connect this process to Ray, or start Ray locally.

    Args:
        address: `local`, or HOST:PORT of a head.

    Returns:
        Whether this call connected; False if the process was already connected.

    Raises:
        ExecutorError: Ray is not reachable, the token is wrong, or the versions differ.
    """
    # Ray reads this when it is imported; set later, it would make Ray wait for minutes for itself.
    imported_without_token = "ray" in sys.modules and "RAY_AUTH_MODE" not in os.environ
    for name, value in (ENVIRONMENT | ({} if address == "local" else JOINING)).items():
        os.environ.setdefault(name, value)
    ray = import_ray()
    if ray.is_initialized():
        return False
    if imported_without_token:
        del os.environ["RAY_AUTH_MODE"]  # so that the next call fails in the same way
        raise ExecutorError(
            "ray was imported before agd-bench could turn on its authentication; restart Python (in a notebook, the kernel) and run "
            "agd-bench before you import ray, or set the environment variable RAY_AUTH_MODE=token before importing ray"
        )
    # Ray has no public option to silence its messages about dead workers; they are in its logs, and our log records the outcome.
    ray._private.worker._worker_logs_enabled = False
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        _protect_token()
        if address != "local":
            _check_reachable(address)
        with _own_sigterm():
            if address == "local":
                ray.init(address="local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet)
            else:
                ray.init(address=address, **quiet)
    except ExecutorError:
        raise
    except Exception as error:
        # A partial connection would be mistaken for a complete one at the next call.
        ray.shutdown()
        first = " ".join(str(error).split())[:300]
        raise ExecutorError(f"Ray at {address!r} cannot be used: {type(error).__name__}: {first}{_advice(first, address)}") from None
    log.info("Ray's own logs: %s", Path(ray._private.worker.global_worker.node.get_session_dir_path()) / "logs")
    return True
