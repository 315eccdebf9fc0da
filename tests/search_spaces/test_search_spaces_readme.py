"""The README on adding a search space: its examples must work, and its lists must be correct."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

import search_spaces
from agd_bench import plugins
from agd_bench.cli import main
from agd_bench.testing import check_file

PAGE = Path(search_spaces.__path__[0], "README.md").read_text(encoding="utf-8")


def test_the_example_of_the_readme_passes_the_kit(tmp_path: Path) -> None:
    """The README's example passes the conformance kit, so an author can start from it."""
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    file = tmp_path / "two_widths.py"
    file.write_text(example, encoding="utf-8")
    assert [check for check in check_file(file) if not check.passed] == []


def commands() -> list[list[str]]:
    """Return the lines of the README's shell blocks, except those that download and install agd-bench itself."""
    lines = [line.strip() for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL) for line in block.strip().splitlines()]
    assert lines.pop(0) == "pip install uv && uv sync"
    assert all(line.startswith("uv run ") for line in lines)
    return [line.removeprefix("uv run ").split() for line in lines]


def test_the_commands_of_the_readme_lead_to_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands work as written in an empty folder; the test only shrinks the sweep and trains it in this process."""
    monkeypatch.chdir(tmp_path)
    used = commands()
    assert [words[1] for words in used if words[0] == "agd-bench"] == ["new", "check", "run", "plan", "run"]
    for words in used:
        if words[0] == "pytest":
            plain = ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:timeout", "-c", os.devnull, "--import-mode=importlib", "-q"]
            assert pytest.main([*words[1:], *plain]) == 0
            continue
        monkeypatch.setattr(sys, "argv", [*words, *(["--executor", "in-process", "--quiet"] if words[1] == "run" else [])])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
        if words[1] == "new":
            sweep = tmp_path / "my_search_spaces" / "my_space.toml"
            small = re.sub(r"epochs = 8|seeds = 4|architectures = 12", lambda match: match[0].split()[0] + " = 2", sweep.read_text())
            sweep.write_text(small.replace("share = 0.1", "share = 0.05"))
    assert {path.parent.parent.name for path in tmp_path.glob("runs/*/report/index.html")} == {"my_space", "my_space_2"}
    assert {"agd", "nadamw", "nas_bench_201_sgd"} <= set(capsys.readouterr().out.split())  # the table on the first screen


def test_the_table_of_the_readme_is_the_list(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The README's table equals the current output of the command."""
    monkeypatch.setattr(sys, "argv", ["agd-bench", "list", "search-spaces", "--markdown"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out in PAGE


@pytest.mark.parametrize("name", sorted(plugins.find("search_spaces")))
def test_every_space_states_its_facts(name: str) -> None:
    """Every space states what varies, its number of architectures, its paper, and what is tested exactly."""
    facts = plugins.describe(plugins.find("search_spaces")[name])
    assert {"VARIES", "SIZE", "PAPER", "IDENTITY"} <= facts.keys()
