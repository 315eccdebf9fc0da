"""CI's scripts for boards, with what they call replaced, and the workflows that call them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# replaces `uv run --no-dev agd-bench verify BOARD --against EARLIER`: a board that contains "forged" does not verify
UV = """#!/bin/sh
[ "$1 $2 $3" = "run --no-dev agd-bench" ] || { echo "unexpected: $*" >&2; exit 9; }
if [ "$4 $5" = "site --to" ]; then mkdir -p "$6"; echo "a page" > "$6/index.html"; exit; fi
[ "$4 $6" = "verify --against" ] || { echo "unexpected: $*" >&2; exit 9; }
if grep -q forged "$5/README.md"; then echo "README.md: does not follow"; exit 1; fi
if [ -e "$7" ]; then echo "### $5 was $(cat "$7/README.md")"; else echo "### $5 is new"; fi
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


def test_the_comment_is_shown_with_the_check(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the code host, the comment is also in the summary of the check."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    write(clone, "second", "new")
    commit(clone)
    assert check(clone)[1] == (tmp_path / "summary").read_text() == "### leaderboards/second is new\n\n"


def test_the_site_is_built_for_a_static_host(clone: Path) -> None:
    """The pages are in the given folder, with the file that keeps the host from hiding some of them."""
    subprocess.run([clone / ".ci/site", "public"], cwd=clone, check=True)
    assert {path.name for path in (clone / "public").iterdir()} == {"index.html", ".nojekyll"}


@pytest.mark.parametrize(("found", "code"), [("7", 0), ("", 1)])
def test_a_comment_is_posted_to_the_forks_pull_request(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str, code: int
) -> None:
    """The comment goes to the open pull request of that owner's branch; without one, the step fails."""
    (tmp_path / "bin/gh").write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\n[ "$2" = comment ] || echo "{found}"\n')
    (tmp_path / "bin/gh").chmod(0o755)
    monkeypatch.setenv("GITHUB_REPOSITORY", "main/agd-bench")
    done = subprocess.run([clone / ".ci/post_comment", "ada", "mine", "comment.md"], cwd=clone, capture_output=True, check=False)
    asked, *posted = (tmp_path / "calls").read_text().splitlines()
    assert done.returncode == code
    assert asked.startswith("pr list --repo main/agd-bench --state open --head mine ")
    assert posted == (["pr comment 7 --repo main/agd-bench --body-file comment.md"] if found else [])


def test_workflows_run_only_these_scripts() -> None:
    """Every step of every workflow is an action of the code host, the installation of uv, or a script in .ci, which exists."""
    yaml = pytest.importorskip("yaml")
    called = set()
    for path in sorted((ROOT / ".github/workflows").glob("*.yml")):
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["permissions"], path.name
        # YAML 1.1 reads the key `on` as true
        assert workflow[True], path.name
        for job in workflow["jobs"].values():
            commands = [step["run"] for step in job["steps"] if "run" in step]
            assert all("uses" in step for step in job["steps"] if "run" not in step), path.name
            called |= {command.removeprefix("bash ").split()[0] for command in commands if command != "pip install uv"}
    assert called == {".ci/run", ".ci/check_boards", ".ci/site", ".ci/post_comment"}
    assert all(os.access(ROOT / script, os.X_OK) for script in called)
