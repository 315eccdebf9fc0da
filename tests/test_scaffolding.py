"""The output of `agd-bench new` works as written: the plug-in passes the checks, its test passes, and its sweep can be planned."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from agd_bench import plugins
from agd_bench.cli import main
from agd_bench.errors import InputError
from agd_bench.planning import plan
from agd_bench.records import read_sweep
from agd_bench.scaffolding import scaffold, scaffold_sweep
from agd_bench.sweeps import open_sweep
from agd_bench.testing import check_file

KINDS: tuple[plugins.Kind, ...] = ("search_spaces", "algorithms", "datasets")
"""Kinds of plug-ins that are written with a sweep."""


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_works_at_once(tmp_path: Path, kind: plugins.Kind) -> None:
    """The plug-in passes the checks and its tests, its sweep finds it, and no template placeholder is left."""
    written = scaffold(kind, "fresh_one", tmp_path / "mine")
    plugin, test, sweep = written
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "mine/fresh_one.py",
        "mine/tests/test_fresh_one.py",
        "mine/fresh_one.toml",
    ]
    assert not [path for path in written if "TEMPLATE" in path.read_text()]
    assert "agd_bench" not in plugin.read_text().replace("agd-bench", ""), "a plug-in imports nothing of ours"
    checks = check_file(plugin)
    assert [check.message for check in checks if not check.passed] == []
    tests = {name: thing for name, thing in runpy.run_path(str(test)).items() if name.startswith("test_")}
    assert len(tests) == 2
    tests.pop("test_all_checks_pass")  # already checked above
    for check in tests.values():
        check()
    made = plan(read_sweep(sweep))
    assert len(made.all_trials) >= 96
    assert f"{kind}/fresh_one" in made.plugin_digests


def test_a_search_method_is_written_without_a_sweep(tmp_path: Path) -> None:
    """The search method passes the checks, and its test functions pass."""
    plugin, test = scaffold("searchers", "fresh_one", tmp_path)
    assert [check.message for check in check_file(plugin) if not check.passed] == []
    for name, check in runpy.run_path(str(test)).items():
        if name.startswith("test_"):
            check()


def test_the_written_test_finds_a_fault(tmp_path: Path) -> None:
    """The test of a faulty plug-in fails with a message that says what is wrong and how to fix it."""
    plugin, test, _ = scaffold("datasets", "fresh_one", tmp_path)
    plugin.write_text(plugin.read_text().replace("default_rng(0)", "default_rng()"))
    with pytest.raises(AssertionError, match=r"load\(\) is reproducible: .*draw splits with a fixed seed"):
        runpy.run_path(str(test))["test_all_checks_pass"]()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My-Space", "invalid name 'My-Space' for a search space; use .* for example my_space$"),
        ("3d", "starting with a letter$"),
        ("class", "starting with a letter$"),
        ("vit", r"'vit' is already .*search_spaces/vit.py \(from agd-bench\)"),
    ],
)
def test_names_that_cannot_be_used(tmp_path: Path, name: str, message: str) -> None:
    """An invalid name raises an error, and nothing is written."""
    with pytest.raises(InputError, match=message):
        scaffold("search_spaces", name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["fresh_one.py", "tests/test_fresh_one.py", "fresh_one.toml"])
def test_nothing_is_overwritten(tmp_path: Path, there: str) -> None:
    """An existing file raises an error that names it, and none of the other files are written."""
    path = tmp_path / there
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(InputError, match=rf"{there} already exists.*--to"):
        scaffold("datasets", "fresh_one", tmp_path)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


def test_the_command_says_what_comes_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The default folder depends on the kind, and the command prints the next commands to run."""
    monkeypatch.chdir(tmp_path)
    for arguments in (["new", "algorithm", "fresh_one"], ["new", "dataset", "fresh_one", "--to", "here"]):
        monkeypatch.setattr(sys, "argv", ["agd-bench", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
    assert (tmp_path / "my_algorithms" / "fresh_one.py").is_file()
    said = capsys.readouterr().out
    assert "    agd-bench check here/fresh_one.py\n    pytest here/tests/test_fresh_one.py\n" in said


def test_a_new_sweep_can_be_planned(tmp_path: Path) -> None:
    """The template can be planned as written; a built-in name or an edited file is rejected."""
    path = scaffold_sweep("mine", tmp_path)
    sweep = open_sweep(path)
    assert sweep.name == "mine"
    assert {trial.algorithm for trial in plan(sweep).all_trials} == {choice.name for choice in sweep.algorithms}
    assert scaffold_sweep("mine", tmp_path) == path  # as after a call that was killed
    path.write_text(path.read_text() + "# mine\n")
    with pytest.raises(InputError, match="exists"):
        scaffold_sweep("mine", tmp_path)
    assert path.read_text().endswith("# mine\n")
    with pytest.raises(InputError, match="built-in"):
        scaffold_sweep("quickstart", tmp_path)
