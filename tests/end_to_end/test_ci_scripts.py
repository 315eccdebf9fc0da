"""CI's script for boards: changed boards are verified against their earlier state, and one comment reports everything."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# replaces `uv run agd-bench verify BOARD --against EARLIER`: a board that contains "forged" does not verify
UV = """#!/bin/sh
[ "$1 $2 $3 $5" = "run agd-bench verify --against" ] || { echo "unexpected: $*" >&2; exit 9; }
if grep -q forged "$4/README.md"; then echo "README.md: does not follow"; exit 1; fi
if [ -e "$6" ]; then echo "### $4 was $(cat "$6/README.md")"; else echo "### $4 is new"; fi
"""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository with a published folder, the reproductions and CI's scripts."""
    clone = tmp_path / "clone"
    shutil.copytree(ROOT / ".ci", clone / ".ci")
    write(clone, "first", "one")
    write(clone, "reproductions", "papers")
    (clone / "leaderboards/README.md").write_text("index")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/uv").write_text(UV)
    (tmp_path / "bin/uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    git(clone, "init", "-q")
    commit(clone)
    return clone


def write(clone: Path, board: str, text: str) -> None:
    """Write a published folder with the given text in its files."""
    folder = clone / "leaderboards" / board
    (folder / "entries/agd").mkdir(parents=True, exist_ok=True)
    for name in ("README.md", "manifest.json", "entries/agd/trials.csv"):
        (folder / name).write_text(text)


def git(clone: Path, *arguments: str) -> None:
    """Run git with a test identity."""
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=clone, check=True, capture_output=True)


def commit(clone: Path) -> None:
    """Commit everything."""
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "state")


def check(clone: Path) -> tuple[int, str]:
    """Return exit code and comment of the check against the previous commit."""
    done = subprocess.run([clone / ".ci/check_boards", "HEAD~1", "comment.md"], cwd=clone, capture_output=True, text=True, check=False)
    return done.returncode, (clone / "comment.md").read_text()


def test_changed_boards_are_verified_against_their_earlier_state(clone: Path) -> None:
    """Changed and new folders are verified once each, however many files changed; the index and reproductions are not boards."""
    write(clone, "first", "two")
    write(clone, "second", "new")
    write(clone, "reproductions", "more papers")
    (clone / "leaderboards/README.md").write_text("index of two")
    commit(clone)
    assert check(clone) == (0, "### leaderboards/first was one\n\n### leaderboards/second is new\n\n")


def test_a_board_that_does_not_verify_fails_the_check(clone: Path) -> None:
    """The check fails, and the comment shows the differences and still covers the other boards."""
    write(clone, "first", "forged")
    write(clone, "second", "new")
    commit(clone)
    code, said = check(clone)
    assert code == 1
    assert said.startswith("**leaderboards/first does not verify:**\n\n```\nREADME.md: does not follow\n```\n\n### leaderboards/second")


def test_without_changed_boards_the_check_says_so(clone: Path) -> None:
    """The comment says that no board changed, and names removed folders."""
    (clone / "notes.txt").write_text("x")
    commit(clone)
    assert check(clone) == (0, "No published folder changes.")
    shutil.rmtree(clone / "leaderboards/first")
    commit(clone)
    assert check(clone) == (0, "**leaderboards/first** was removed.\n\n")
