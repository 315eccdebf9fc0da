"""Links in the documentation lead to existing files, and the commands it names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agd_bench.cli import GROUPS

ROOT = Path(__file__).parents[2]
FOLDERS = ("agd_bench", "search_spaces", "tests")
PAGES = [*sorted(ROOT.glob("*.md")), *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.md")))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    """Relative links to pages and pictures lead to existing files."""
    targets = [target for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")) if "://" not in target]
    # The texts of lists of leaderboards are written into that folder.
    folder = ROOT / "leaderboards" if page.parent.name == "leaderboard" else page.parent
    missing = [target for target in targets if not (folder / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    """Every `agd-bench COMMAND` in a code span is an existing command."""
    commands = {name for group in GROUPS.values() for name in group}
    named = set(re.findall(r"`(?:uv run )?agd-bench ([a-z]+)", page.read_text(encoding="utf-8")))
    assert named <= commands
