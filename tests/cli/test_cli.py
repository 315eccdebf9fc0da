"""The command line, as newcomers and scripts use it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agd_bench.cli import GROUPS, main
from agd_bench.records import parse_sweep
from agd_bench.store import executed_code, load_results
from agd_bench.sweeps import open_sweep
from tests.plugin_folders import write_plugins

SWEEP = """
name = "small"
epochs = 2
batch_size = 32
seeds = 2
baseline = "plain"
[[search_spaces]]
name = "tiny"
architectures = "all"
[[datasets]]
name = "digits"
share = 0.1
[[algorithms]]
name = "plain"
[[algorithms]]
name = "agd"
[[algorithms]]
name = "raising"
[[algorithms]]
name = "searched"
tuning_trials = 2
"""


class Shell:
    """Runs `agd-bench` in this process, in a separate folder, and keeps its output."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._monkeypatch, self._capsys = folder, monkeypatch, capsys
        self.out = self.err = ""
        folders = write_plugins(folder / "plugins")
        self.plugins = ["--search-spaces", str(folders["search_spaces"][0]), "--algorithms", str(folders["algorithms"][0])]
        (folder / "sweep.toml").write_text(SWEEP)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("AGD_BENCH_DATA", str(folder / "data"))

    def __call__(self, *arguments: str) -> int:
        """Run a command and return its exit code."""
        self._monkeypatch.setattr(sys, "argv", ["agd-bench", *arguments])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        self.out, self.err = self._capsys.readouterr()
        return code

    def run(self, *more: str) -> int:
        """Run the small sweep in this process and return the exit code."""
        return self("run", "sweep.toml", "--executor", "in-process", *self.plugins, *more)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Return a shell in a folder that contains only a sweep and some plug-ins."""
    return Shell(tmp_path, monkeypatch, capsys)


def test_the_whole_path_from_a_sweep_to_a_leaderboard(shell: Shell) -> None:
    """Run, check the status, run again, report, export, publish, verify, build the site, and report on the published folder."""
    assert shell.run() == 0, shell.err
    assert "planned trouble" in shell.err, "a failure is shown as it comes"
    page = Path("runs/small/report/index.html")
    assert str(page) in shell.out
    assert page.is_file()
    assert shell("status", "small", "--json") == 0
    counts = {row["algorithm"]: row for row in json.loads(shell.out)}
    assert counts["plain"]["done"] == 4
    assert counts["plain"]["refused"] == 2
    assert counts["raising"]["failed"] == 4
    assert counts["searched"]["done"] == 2 * 2 + 2 * 2
    assert shell.run() == 0
    assert "planned trouble" not in shell.err, "nothing is trained twice"
    page.unlink()
    assert shell("report", "small") == 0
    assert page.is_file()
    assert shell("export", "runs/small", "--out", "exported") == 0
    assert {"trials.csv", "trials.parquet"} <= {path.name for path in Path("exported").iterdir()}
    assert shell("publish", "small", "--to", "leaderboards/first") == 0
    assert "(first/README.md)" in Path("leaderboards/EXPERIMENTS.md").read_text()
    assert shell("verify", "leaderboards/first") == 0
    assert shell("site", "--to", "site") == 0
    assert Path("site/first/index.html").is_file()
    assert shell("report", "leaderboards/first") == 2
    assert "--out" in shell.err
    assert shell("report", "leaderboards/first", "--out", "again") == 0
    assert Path("again/index.html").is_file()


def test_a_plan_says_what_would_run_and_starts_nothing(shell: Shell) -> None:
    """A plan lists studies, trials, FLOPs and seconds, and creates no run folder."""
    assert shell("plan", "sweep.toml", *shell.plugins, "--json") == 0
    rows = {row["algorithm"]: row for row in json.loads(shell.out)}
    assert (rows["searched"]["studies"], rows["searched"]["tuning_trials"], rows["searched"]["final_trials"]) == (2, 4, 6)
    assert rows["agd"]["flops"] > 0
    assert rows["agd"]["device_seconds"] > 0
    assert rows["raising"]["device_seconds"] is None, "what cannot be timed is not given a time"
    assert "planned trouble" in rows["raising"]["problem"]
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "quickstrat"], 2, "Did you mean 'quickstart'?"),
        (["run", "none.toml"], 2, "none.toml: cannot be read"),
        (["plan", "broken.toml"], 2, "line 1"),
        (["status", "nowhere"], 2, "unknown run 'nowhere'"),
        (["report", "."], 2, "run"),
        (["check", "none.py"], 2, "no such file"),
        (["run", "sweep.toml"], 2, "unknown search space 'tiny'"),
        (["run", "sweep.toml", "--search-spaces", "nowhere"], 2, "no such folder"),
        (["plan", "sweep.toml", "--device", "cuda"], 4, "no GPU"),
        (["list", "everything"], 2, "everything"),
        (["run"], 2, "SWEEP"),
    ],
)
def test_bad_input_is_one_line_and_an_exit_code(shell: Shell, arguments: list[str], code: int, said: str) -> None:
    """The error on standard error names the input and what to do, without a traceback."""
    Path("broken.toml").write_text("name = = 3\n")
    if "cuda" in arguments:
        import torch

        if torch.cuda.is_available():
            pytest.skip("this machine has a GPU")
        arguments = [*arguments, *shell.plugins]
    assert shell(*arguments) == code
    assert said in shell.err
    assert "Traceback" not in shell.err


@pytest.mark.parametrize(
    "before", ["show", "list", "run quickstart --executor", "run quickstart --set", "convert nas_bench_201", "status", "draw"]
)
def test_a_message_shortens_what_it_quotes(shell: Shell, before: str) -> None:
    """A name of 5,000 letters stays out of the way of what is wrong with it; so do 2,500 short words."""
    for given in ("a" * 5000, "a " * 2500):
        assert shell(*before.split(), given) in (2, 3)
        assert 0 < len(shell.err) < 2000


def test_another_sweep_under_the_same_name_is_refused_and_nothing_is_lost(shell: Shell) -> None:
    """The message says what differs and what to do, and the results are kept."""
    assert shell.run() == 0
    Path("sweep.toml").write_text(SWEEP.replace("epochs = 2", "epochs = 3"))
    assert shell.run() == 3
    assert "epochs" in shell.err
    assert "--out" in shell.err
    assert shell("status", "small") == 0


def test_an_edited_plug_in_is_refused(shell: Shell) -> None:
    """Results of two versions of a search space are never mixed, but comments may be edited."""
    assert shell.run() == 0
    file = Path(shell.plugins[1]) / "tiny.py"
    file.write_text(file.read_text() + "# edited\n")
    assert shell.run() == 0, "comments are not executed"
    file.write_text(file.read_text() + "EDITED = True\n")
    assert shell.run() == 3
    assert "search_spaces/tiny" in shell.err
    assert "--allow-mixed-code" in shell.err


TWO_ALGORITHMS = (
    SWEEP.partition('[[algorithms]]\nname = "raising"')[0].replace("epochs = 2", "epochs = 1").replace("seeds = 2", "seeds = 1")
)


def forget_imports(helper: str) -> None:
    """Unload plug-ins from folders and their helper, so that they are imported again as in a new process."""
    from agd_bench import plugins

    for name in [name for name in sys.modules if name.startswith("agd_bench_plugin_") or name == helper]:
        del sys.modules[name]
    plugins.executed_digest.cache_clear()


def test_an_edit_of_what_an_algorithm_imports_between_two_slices_is_noticed(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edited import is an error unless --allow-mixed-code is given.

    Rows then record their code, and run, report, publish, verify and merge say that two versions are mixed.
    """
    folder, helper = Path(shell.plugins[3]), f"rate_of_{shell.folder.name}"
    monkeypatch.syspath_prepend(str(folder.parent))
    plain = (folder / "plain.py").read_text()
    (folder / "plain.py").write_text(plain.replace("lr=learning_rate", "lr=RATE").replace("import os", f"from {helper} import RATE"))
    (folder.parent / f"{helper}.py").write_text("RATE = 0.1\n")
    Path("sweep.toml").write_text(TWO_ALGORITHMS)
    assert shell.run("--part", "1/2") == 0, shell.err
    (folder.parent / f"{helper}.py").write_text("RATE = 0.3  # edited\n")
    forget_imports(helper)
    assert shell.run() == 3
    assert "the code of algorithms/plain changed" in shell.err
    assert "algorithms/agd" not in shell.err
    assert shell.run("--allow-mixed-code") == 0, shell.err
    said = "Results of 2 versions of the code of algorithms/plain are mixed"
    assert said in shell.out
    assert shell.run() == 0, "accepted once"
    assert shell("report", "small") == 0
    assert said in shell.out
    assert said in Path("runs/small/report/index.html").read_text(encoding="utf-8")
    assert shell("publish", "small", "--to", "leaderboards/first") == 0
    assert said in shell.out
    assert said in Path("leaderboards/first/README.md").read_text(encoding="utf-8")
    assert shell("verify", "leaderboards/first") == 0
    assert said in shell.out
    assert shell("merge", "leaderboards/first", "--to", "runs/again", *shell.plugins) == 0, shell.err
    assert said in shell.out
    rows = executed_code(load_results("runs/again")).set_index("part")
    assert sorted(rows.loc[["algorithms/plain"], "trials"].tolist()) == [1, 2]
    assert rows.loc[["algorithms/agd"], "trials"].tolist() == [3]


def test_an_edit_of_a_built_in_optimizer_between_two_slices_is_noticed(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plug-in of agd is unchanged, but the optimizer that it imports has a different digest."""
    from agd_bench import identity
    from agd_bench.optim import agd

    Path("sweep.toml").write_text(TWO_ALGORITHMS)
    assert shell.run("--part", "1/2") == 0, shell.err
    read = Path.read_bytes
    edited = read(Path(str(agd.__file__))).replace(b"log1p(", b"exp(")
    monkeypatch.setattr(Path, "read_bytes", lambda path: edited if path == Path(str(agd.__file__)) else read(path))
    identity._parse.cache_clear()
    code, said = shell.run(), shell.err
    monkeypatch.undo()
    identity._parse.cache_clear()
    assert code == 3
    assert "the code of algorithms/agd changed" in said


def test_a_damaged_store_is_said_to_be_damaged(shell: Shell) -> None:
    """A newer version and a file of garbage have different errors."""
    assert shell.run() == 0
    store = Path("runs/small/results.sqlite")
    with sqlite3.connect(store) as connection:
        connection.execute("pragma user_version = 999")
    connection.close()
    assert shell("status", "small") == 3
    assert "version" in shell.err
    for leftover in Path("runs/small").glob("results.sqlite-*"):
        leftover.unlink()
    store.write_bytes(b"no database" * 1000)
    assert shell("status", "small") == 3
    assert "results.sqlite" in shell.err


@pytest.mark.parametrize("what", ["search-spaces", "algorithms", "datasets", "sweeps"])
def test_lists_are_tables_and_json(shell: Shell, what: str) -> None:
    """Every row has a name and a description."""
    assert shell("list", what) == 0
    assert shell("list", what, "--json") == 0
    rows = json.loads(shell.out)
    assert rows
    assert all(row["name"] and (row["varies"] if what == "search-spaces" else row["summary"]) for row in rows)


def test_an_algorithm_whose_package_is_missing_is_listed_and_refused(shell: Shell) -> None:
    """The list says what to install, and a sweep that uses the algorithm fails before any training, naming the extra."""
    wrapper = Path(shell.plugins[3]) / "wrapper.py"
    wrapper.write_text('PACKAGES = ("no_such_package",)\nEXTRA = "more"\nimport no_such_package\n')
    assert shell("list", "algorithms", "--algorithms", str(wrapper.parent), "--json") == 0
    (row,) = [row for row in json.loads(shell.out) if row["name"] == "wrapper"]
    assert row["ready"] == "no: needs no_such_package (extra 'more'), which is not installed; run: pip install 'agd-bench[more]'"
    Path("wrapped.toml").write_text(SWEEP.replace("plain", "wrapper"))
    assert shell("run", "wrapped.toml", *shell.plugins) == 2
    assert "'agd-bench[more]'" in shell.err


def test_check_tells_a_good_plug_in_from_a_bad_one(shell: Shell) -> None:
    """`check` exits with 0 for a good plug-in; for a bad one it exits with 1 and prints the failed checks."""
    assert shell("check", str(Path(shell.plugins[1]) / "tiny.py")) == 0, shell.out
    bad = Path("bad.py")
    bad.write_text(
        '"""A space without a source."""\ndef sample(rng):\n    return 3\n'
        "def build(architecture, in_channels, num_classes):\n    return None\n"
    )
    assert shell("check", str(bad)) == 1
    assert "FAIL" in shell.out


def test_a_reproduction_is_told_from_the_rows_of_its_page(shell: Shell) -> None:
    """The numbers and the page are made from existing rows without training; rows of a different experiment are a one-line error."""
    page = str(Path(__file__).parents[2] / "leaderboards" / "reproductions" / "agd_defaults-cpu")
    assert shell("reproduce") == 0
    assert "skip_connections" in shell.out
    assert shell("reproduce", "agd_defaults", "--scale", "cpu", "--from", page, "--to", "pages") == 0
    assert "SGD at 0.1 [32x64]" in shell.out
    assert "AGD's accuracy of about 50 %" in shell.out
    assert (shell.folder / "pages" / "agd_defaults-cpu" / "README.md").is_file()
    assert not (shell.folder / "runs").exists()
    assert shell("reproduce", "agd_fcn", "--scale", "cpu", "--from", page) == 2
    assert "'agd_fcn' at scale 'cpu'" in shell.err
    assert shell.err.count("\n") == 1


def test_doctor_knows_what_is_missing(shell: Shell) -> None:
    """The embedded data set is ok, and those that must be downloaded are missing from an empty folder."""
    assert shell("doctor", "--json") == 0
    found = {row["what"]: row["verdict"] for row in json.loads(shell.out)}
    assert found["data set digits"] == "ok"
    assert found["data set cifar10"] == "missing"


def test_doctor_measures_no_gpu_where_there_is_none(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says so, and nothing is printed as measured."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert shell("doctor", "--gpu") == 4
    assert (shell.out, "no GPU" in shell.err) == ("", True)


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    """The help of the program and its commands imports neither torch nor Ray nor pandas."""
    script = (
        "import sys; sys.argv = ['agd-bench', *sys.argv[1:]]\n"
        "from agd_bench.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'ray', 'pandas', 'optuna', 'matplotlib', 'sqlalchemy'} & set(sys.modules); assert not heavy, heavy"
    )
    for arguments in (["--help"], ["run", "--help"], ["publish", "--help"]):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Usage: agd-bench" in done.stdout


def test_the_module_is_the_command() -> None:
    """`python -m agd_bench` works."""
    done = subprocess.run([sys.executable, "-m", "agd_bench", "list", "sweeps"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "quickstart" in done.stdout


def test_reading_results_needs_no_torch(shell: Shell) -> None:
    """A report can be rebuilt even if torch is not installed."""
    assert shell.run() == 0
    script = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'torch', 'ray', 'optuna'}: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "sys.argv = ['agd-bench', 'report', 'small']\n"
        "from agd_bench.cli import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C exits with 130 and keeps finished trials, and the same command does the rest."""
    from agd_bench import trial as trial_module

    original, calls = trial_module.run_trial, []

    def interrupted(*arguments: object, **keywords: object) -> object:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return original(*arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(trial_module, "run_trial", interrupted)
    assert shell.run() == 130
    assert "Run the same command to resume" in shell.err
    assert shell("status", "small", "--json") == 1
    assert sum(row["missing"] for row in json.loads(shell.out)) > 0
    assert shell.run() == 0
    assert shell("status", "small") == 0


def test_help_lists_every_command_on_one_uncut_line(shell: Shell) -> None:
    """Commands are grouped, each with its summary on one line; each command's example begins with that command."""
    assert shell("--help") == 0
    lines = shell.out.splitlines()
    for group, commands in GROUPS.items():
        assert f"{group}:" in lines
        for name, command in commands.items():
            summary = (command.function.__doc__ or "").partition("\n")[0]
            assert any(line.split(maxsplit=1) == [name, summary] for line in lines), name
            assert command.example.startswith(f"agd-bench {name}")


@pytest.mark.parametrize("name", [name for commands in GROUPS.values() for name in commands])
def test_each_command_shows_an_example(shell: Shell, name: str) -> None:
    """Each command's help includes its example."""
    assert shell(name, "--help") == 0
    assert f"Example: agd-bench {name}" in " ".join(shell.out.split())


def test_the_version_is_printed(shell: Shell) -> None:
    """The printed version is that of the Python package."""
    import agd_bench

    assert shell("--version") == 0
    assert shell.out.split() == ["agd-bench", agd_bench.__version__]


def test_show_prints_a_sweep_and_what_a_plugin_declares(shell: Shell) -> None:
    """A sweep is shown as TOML that can be run, and an algorithm with its ranges; an unknown name gets a suggestion."""
    assert shell("show", "quickstart") == 0
    assert parse_sweep(shell.out, "shown") == open_sweep("quickstart")
    assert shell("show", "sgd_tuned") == 0
    assert "learning_rate" in shell.out
    assert shell("show", "sgd_tunde") == 2
    assert "'sgd_tuned'" in shell.err


def test_set_changes_a_sweep_from_the_command_line(shell: Shell) -> None:
    """`--set` changes top-level keys and list entries by label; invalid changes are one-line errors."""
    assert shell("plan", "sweep.toml", *shell.plugins, "--set", "seeds=1", "--set", "algorithms.searched.tuning_trials=3", "--json") == 0
    rows = {row["algorithm"]: row for row in json.loads(shell.out)}
    assert (rows["searched"]["tuning_trials"], rows["searched"]["final_trials"]) == (6, 3)
    for given in ("seeds", "algorithms.nobody.tuning_trials=3", "seeds.first=1", "epochs=none", "epohcs=2"):
        assert shell("plan", "sweep.toml", *shell.plugins, "--set", given) == 2
        assert shell.err.count("\n") == 1
