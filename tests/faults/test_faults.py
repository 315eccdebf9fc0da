"""A short part of each campaign, with about one of every kind of fault and command; README.md describes the long ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import record
from tests.faults.commands import COMMANDS

pytestmark = pytest.mark.timeout(1800)


@pytest.mark.parametrize(("campaign", "count"), [("in-process", 24), ("commands", len(COMMANDS)), ("inputs", 100)])
def test_nothing_is_lost_when_something_ends(tmp_path: Path, campaign: str, count: int) -> None:
    """Faults occur but change no results, and malformed inputs are rejected."""
    command = [sys.executable, "-m", "tests.faults", campaign, "--count", str(count), "--seed", "0", "--notes", str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = record.read(tmp_path)[f"{campaign} 0"]
    assert found["wrong"] == []
    assert sum(found["counts"].values()) >= count


def test_the_tables_are_those_of_the_campaigns() -> None:
    """The README is up to date with the recorded campaigns, and says of what they found wrong whether it is mended."""
    assert record.page() == (record.HERE / record.PAGE).read_text(encoding="utf-8")
    assert record.read()
    assert all(found["wrong"] == [] or found.get("mended") or found.get("open") for found in record.read().values())
