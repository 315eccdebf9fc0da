"""Connecting to Ray: the token, the address, and the errors if Ray does not start."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import stat
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from agd_bench.errors import ExecutorError
from agd_bench.scheduling.executors import ray_cluster

pytestmark = pytest.mark.timeout(1800)
"""Workers import torch, which takes minutes on a busy machine."""


@pytest.mark.parametrize(
    ("raised", "setting"),
    [
        (OSError("AF_UNIX path length cannot exceed 107 bytes: '/a'"), "RAY_TMPDIR"),
        (Exception("The current node timed out during startup. This could happen because"), "--executor in-process"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "/dev/shm"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/tmp/ray"), "HOME"),
        (RuntimeError("Could not determine home directory."), "RAY_AUTH_TOKEN"),
    ],
)
def test_a_ray_that_does_not_start_says_what_to_do_about_its_cause(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, setting: str
) -> None:
    """Each known cause has its own advice; an unknown one gets none."""
    import ray

    def fail(**settings: object) -> None:
        raise raised

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(ExecutorError, match=re.escape(setting)):
        ray_cluster.connect("local")
    assert ray_cluster._advice("something else", "local") == ""


@pytest.mark.parametrize("error", ["The current node timed out during startup. This could happen because", "something else"])
def test_a_full_shared_memory_is_named(monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    """Ray only says that it did not start in time, or nothing that is known."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**16))
    assert "/dev/shm has less than 200 MiB left" in ray_cluster._advice(error, "local")
    assert "/dev/shm" not in ray_cluster._advice(error, "host:1")
    assert "/dev/shm" not in ray_cluster._advice("Permission denied", "local")


@pytest.mark.parametrize("while_it_starts", [False, True])
def test_a_driver_answers_sigterm_itself(monkeypatch: pytest.MonkeyPatch, while_it_starts: bool) -> None:
    """Ray's handlers are replaced as soon as it has started; a signal that comes before is passed on."""
    import ray

    received: list[int] = []

    def start(**settings: object) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        if while_it_starts:
            signal.raise_signal(signal.SIGTERM)
        raise RuntimeError("no Ray in this test")

    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "init", start)
    try:
        with pytest.raises(SystemExit if while_it_starts else ExecutorError):
            ray_cluster.connect("local")
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM] * (1 + while_it_starts)


def test_the_token_is_private_before_ray_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is created once, with mode 0600 whatever the umask; if others can read an existing one, its mode is corrected."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / ".ray" / "auth_token"
    before = os.umask(0)
    try:
        ray_cluster._protect_token()
    finally:
        os.umask(before)
    token = path.read_text()
    assert re.fullmatch("[0-9a-f]{64}", token)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    ray_cluster._protect_token()
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == (token, 0o600)
    assert [one.name for one in path.parent.iterdir()] == ["auth_token"]


@pytest.mark.parametrize("address", ["auto", "ray://host:10001", "host", "127.0.0.1:1", "127.0.0.1:99999"])
def test_an_address_that_does_not_answer_is_said_within_seconds(address: str) -> None:
    """Neither a bare word nor a closed port makes the driver hang."""
    begun = time.monotonic()
    with pytest.raises(ExecutorError, match=re.escape(address)):
        ray_cluster._check_reachable(address)
    assert time.monotonic() - begun < 10


def test_ray_that_was_imported_first_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray reads its authentication settings on import and would otherwise hang for minutes; a second call raises the same error."""
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    vars(sys.modules["ray"])["is_initialized"] = lambda: False
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    for _ in range(2):
        with pytest.raises(ExecutorError, match="RAY_AUTH_MODE=token"):
            ray_cluster.connect("local")
