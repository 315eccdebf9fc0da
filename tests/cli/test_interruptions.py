"""SIGTERM ends a command in the same way as Ctrl-C."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
import typer

from agd_bench.cli.interruptions import resumable
from agd_bench.store import load_results

pytestmark = pytest.mark.timeout(1800)
SWEEP = """
name = "long"
epochs = 100000
seeds = 1
search_spaces = [{name = "fcn", architectures = ["2x32"], options = {size = 8}}]
datasets = [{name = "digits", share = 0.1}]
algorithms = [{name = "sgd"}]
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_becomes_an_exit_code_and_the_handler_is_given_back(number: signal.Signals, code: int) -> None:
    """The previous handler is restored, and a second SIGTERM during cleanup is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests started in a shell's background would ignore it
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as ended:
        be_signalled(number)
    assert ended.value.exit_code == code
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_interruption_that_cannot_be_said_has_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error is full: the line is lost, and the command still ends as interrupted."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open("/dev/full", "w", buffering=1, encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stderr", full)
        with pytest.raises(typer.Exit) as ended:
            be_signalled(signal.SIGINT)
        monkeypatch.undo()
        with suppress(OSError):
            full.close()
    assert ended.value.exit_code == 130


def test_a_termination_that_ray_turns_into_an_interruption_is_still_one() -> None:
    """SLURM's script requeues a job by this exit code."""
    with pytest.raises(typer.Exit) as ended, resumable():
        interrupt_anew()
    assert ended.value.exit_code == 143


def interrupt_anew() -> None:
    """Raise a new KeyboardInterrupt on SIGTERM, as `ray.wait` does."""
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    except KeyboardInterrupt:
        raise KeyboardInterrupt from None


def be_signalled(number: signal.Signals) -> None:
    """Receive the signal while working, and SIGTERM a second time during cleanup."""
    with resumable():
        try:
            os.kill(os.getpid(), number)
            time.sleep(60)
        finally:
            if number == signal.SIGTERM:
                os.kill(os.getpid(), number)


@pytest.mark.parametrize("executor", ["in-process", "ray"])
def test_a_run_that_is_terminated_is_in_order(tmp_path: Path, executor: str) -> None:
    """Its attempt is closed without blame, its lock is released, and its last line says how to resume."""
    (tmp_path / "long.toml").write_text(SWEEP)
    command = [sys.executable, "-m", "agd_bench", "run", str(tmp_path / "long.toml"), "--executor", executor, "--device", "cpu"]
    process = subprocess.Popen([*command, "--out", str(tmp_path / "run")], stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not attempts_begun(tmp_path / "run"):
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    if "too slow to start Ray" in said:
        pytest.skip("Ray did not start within its own limit")
    assert process.returncode == 143, said
    assert "Run the same command to resume" in said
    results = load_results(tmp_path / "run")
    assert list(results.attempts["outcome"]) == ["lost"]
    assert list(results.trials["status"]) == ["pending"]
    with closing(sqlite3.connect(tmp_path / "run" / "results.sqlite")) as connection:
        assert connection.execute("select token from driver").fetchall() == [("",)]
        assert connection.execute("select blamed from attempts").fetchall() == [(0,)]


def attempts_begun(folder: Path) -> int:
    """Return the number of attempts in a run's database so far."""
    try:
        with closing(sqlite3.connect(f"file:{folder / 'results.sqlite'}?mode=ro", uri=True)) as connection:
            return int(connection.execute("select count(*) from attempts").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
