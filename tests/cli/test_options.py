"""Every option named in a message or document exists on the command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from agd_bench.cli import GROUPS, app, expand_home

ROOT = Path(__file__).parents[2]
OPTION = re.compile(r"(?<![\w/-])--[a-z][a-z-]*[a-z]")
FOREIGN = {
    "ray": {"--address", "--block", "--head", "--include-dashboard", "--min-nodes", "--num-cpus", "--num-gpus", "--port", "--working-dir"},
    "srun": {"--container-image", "--nodelist", "--nodes", "--ntasks-per-node", "--overlap"},
    "sbatch": {"--account", "--cpus-per-task", "--gpus-per-node", "--job-name", "--open-mode", "--requeue", "--signal", "--time"},
    "docker": {"--shm-size"},
    "git": {"--porcelain"},
    "mlflow": {"--backend-store-uri"},
    "pytest": {"--generate"},
    "tensorboard": {"--logdir"},
    "scripts of tests/performance": {
        "--architectures",
        "--dataset",
        "--epochs",
        "--figure",
        "--only",
        "--quick",
        "--seeds",
        "--share",
        "--write",
    },
}
"""Options of other programs that our texts mention."""


def known_options() -> set[str]:
    """Return every option of every command, as the command line parses them."""
    command = get_command(app)
    commands = [command, *command.commands.values()]  # type: ignore[attr-defined]
    return {name for one in commands for parameter in one.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}


def texts() -> Iterator[tuple[str, str]]:
    """Yield each text with its location: string constants of the package, and Markdown files."""
    for path in sorted((ROOT / "agd_bench").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value
    # The changelog may name options that have been removed.
    documents = [path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"]
    for path in [*documents, *(ROOT / "agd_bench").rglob("*.md"), *(ROOT / "search_spaces").rglob("*.md")]:
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def test_every_option_that_is_named_exists() -> None:
    """No text may send a user to an option that does not exist."""
    known = known_options().union(*FOREIGN.values())
    unknown = {(place, option) for place, text in texts() for option in OPTION.findall(text) if option not in known}
    assert unknown == set()


@pytest.mark.parametrize("text", ["give --data DIR", "`--data`", "(--data)", "or --data."])
def test_an_option_is_found_wherever_it_stands(text: str) -> None:
    """The pattern finds options next to punctuation, so the test above checks them."""
    assert OPTION.findall(text) == ["--data"]


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--out=~/runs", "--out=/home/ada/runs"),
        ("~/a.toml", "/home/ada/a.toml"),
        ("--set=name=~x", "--set=name=~x"),
        ("a~b", "a~b"),
        ("-0.2", "-0.2"),
    ],
)
def test_the_home_directory_may_be_a_tilde(monkeypatch: pytest.MonkeyPatch, argument: str, expected: str) -> None:
    """A leading tilde is expanded even where the shell does not do it."""
    monkeypatch.setenv("HOME", "/home/ada")
    assert expand_home(argument) == expected


def test_security_states_what_each_command_reads_and_runs() -> None:
    """The table has every command, and none that was removed."""
    text = (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    stated = [name.split()[0] for row in rows for name in re.findall("`([^`]+)`", row)]
    assert sorted(stated) == sorted(name for commands in GROUPS.values() for name in commands)
