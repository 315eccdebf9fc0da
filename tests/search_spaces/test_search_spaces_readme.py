"""The page on adding a search space: what it shows must work, and what it lists must be so."""

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
    """An author who copies the example starts from a sound plug-in."""
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    file = tmp_path / "two_widths.py"
    file.write_text(example, encoding="utf-8")
    assert [check for check in check_file(file) if not check.passed] == []


def commands() -> list[list[str]]:
    """The lines of the page's shell blocks, those apart that fetch and install agd-bench itself."""
    lines = [line.strip() for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL) for line in block.strip().splitlines()]
    assert lines.pop(0) == "pip install uv && uv sync"
    assert all(line.startswith("uv run ") for line in lines)
    return [line.removeprefix("uv run ").split() for line in lines]


def test_the_commands_of_the_readme_lead_to_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they stand there, in an empty folder; the sweep that is written is made small, and trains in this process."""
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
    assert {"agd", "nadamw", "nas_bench_201_sgd"} <= set(capsys.readouterr().out.split())  # the table of the first screen


def test_the_table_of_the_readme_is_the_list(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As the command prints it now."""
    monkeypatch.setattr(sys, "argv", ["agd-bench", "list", "search-spaces", "--markdown"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out in PAGE


@pytest.mark.parametrize("name", sorted(plugins.find("search_spaces")))
def test_every_space_states_its_facts(name: str) -> None:
    """What varies, how many architectures, which paper, and what is tested to be exactly so."""
    facts = plugins.describe(plugins.find("search_spaces")[name])
    assert {"VARIES", "SIZE", "PAPER", "IDENTITY"} <= facts.keys()
