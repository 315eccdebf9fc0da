"""Finding and loading plug-ins from all three sources, and the error messages of each."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from agd_bench import plugins
from agd_bench.api import run
from agd_bench.errors import PluginError, SweepError, UnknownNameError
from agd_bench.planning.planner import plan
from agd_bench.records import Sweep, parse_sweep, read_sweep
from agd_bench.testing import check_file

SPACE = '"""A space."""\nWIDTH = 3\ndef sample(rng): return "a"\ndef build(architecture, in_channels, num_classes): return None\n'


def write(folder: Path, name: str, text: str = SPACE) -> Path:
    """Write a plug-in's file and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.py"
    path.write_text(text)
    return path


def test_built_in_plugins_come_in_by_the_second_door() -> None:
    """Built-in plug-ins are found by file name through entry points, each with a module to import."""
    spaces = plugins.find("search_spaces")
    assert {"nas_bench_201", "plain_chain"} <= spaces.keys()
    assert spaces["nas_bench_201"].module == "search_spaces.nas_bench_201"
    assert {"digits", "mnist", "fashion_mnist", "cifar10", "cifar100"} == plugins.find("datasets").keys()
    assert "agd" in plugins.find("algorithms")


def test_a_folder_brings_its_files_but_not_underscored_ones(tmp_path: Path) -> None:
    """Plug-ins in a folder are named after their files, and finding them imports nothing."""
    write(tmp_path, "mine", "raise RuntimeError('imported')")
    write(tmp_path, "_hidden")
    found = plugins.find("search_spaces", [tmp_path])
    assert found["mine"].origin == str(tmp_path)
    assert "_hidden" not in found


def test_an_entry_point_may_name_one_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plug-in then takes the entry point's name, not the module's."""
    write(tmp_path, "outside_plugin_module")
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = importlib.metadata.EntryPoint("renamed", "outside_plugin_module", "agd_bench.search_spaces")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry])
    monkeypatch.setattr(plugins, "_installed", plugins._installed.__wrapped__)  # not kept from or for other tests
    assert plugins.load("search_spaces", "renamed").WIDTH == 3
    assert list(plugins.find("search_spaces")) == ["renamed"]


@pytest.mark.parametrize("value", ["no_such_module_at_all", "no_such_package.module"])
def test_an_entry_point_that_leads_nowhere_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """The message gives the entry point and its target."""
    entry = importlib.metadata.EntryPoint("lost", value, "agd_bench.search_spaces")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry])
    monkeypatch.setattr(plugins, "_installed", plugins._installed.__wrapped__)  # not kept from or for other tests
    with pytest.raises(PluginError, match=f"'lost'.*{value}"):
        plugins.find("search_spaces")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The message says what the folder should contain."""
    with pytest.raises(PluginError, match=r"nowhere: no such folder of search spaces; .*NAME\.py"):
        plugins.find("search_spaces", [tmp_path / "nowhere"])


def test_two_plugins_of_one_name_are_refused(tmp_path: Path) -> None:
    """The error names both files; giving the same folder twice is not a conflict."""
    write(tmp_path / "one", "twin")
    write(tmp_path / "two", "twin")
    with pytest.raises(PluginError, match=r"'twin': .*one.*\(from .*one\).*two.*\(from .*two\); rename one of the files"):
        plugins.find("search_spaces", [tmp_path / "one", tmp_path / "two"])
    write(tmp_path / "own", "vit")
    with pytest.raises(PluginError, match=r"'vit': .*own.*search_spaces/vit.py \(from agd-bench\)"):
        plugins.find("search_spaces", [tmp_path / "own"])
    assert "twin" in plugins.find("search_spaces", [tmp_path / "one", tmp_path / "one"])


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    """The error also lists the known names and says how to add another."""
    with pytest.raises(UnknownNameError, match=r"'nas_bench_2001'. Did you mean 'nas_bench_201'\? Known: .*--search-spaces DIR"):
        plugins.load("search_spaces", "nas_bench_2001")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_module_at_all", "raises on import: ModuleNotFoundError"),
        ("def sample(rng: int", "cannot be read as Python"),
        ("1 / 0", "raises on import: ZeroDivisionError"),
        ("def sample(rng): return 'a'", r"does not define build\(\); it must define sample\(\), build\(\)"),
        ("sample = build = 3", r"does not define sample\(\), build\(\)"),
        (SPACE.replace("rng", ""), r"sample\(\) does not accept the arguments.*must begin with sample\(rng\)"),
        (
            SPACE.replace("num_classes", "num_classes, width"),
            r"build\(\) requires argument width, which agd-bench never passes; give it a default",
        ),
        (
            SPACE.replace(", num_classes", ""),
            r"build\(architecture, in_channels\) .*begin with build\(architecture, in_channels, num_classes\)",
        ),
        (SPACE.replace("num_classes)", "*, num_classes)"), r"begin with build\(architecture, in_channels, num_classes\)"),
    ],
)
def test_a_broken_plugin_is_named_with_its_fault(tmp_path: Path, text: str, message: str) -> None:
    """The message starts with the file, and no partially loaded module is left behind."""
    path = write(tmp_path, "broken", text)
    before = set(sys.modules)
    for _ in range(2):
        with pytest.raises(PluginError, match=message) as caught:
            plugins.load("search_spaces", "broken", [tmp_path])
        assert str(caught.value).startswith(str(path))
    if "raises" in message:
        assert not [name for name in set(sys.modules) - before if name.endswith("broken")]


def test_a_plugin_is_imported_once(tmp_path: Path) -> None:
    """The same name in two folders gives two modules, each imported once."""
    for folder in ("one", "two"):
        write(tmp_path / folder, "mine", SPACE + f"WHERE = {folder!r}\n")
    first, again, other = (plugins.load("search_spaces", "mine", [tmp_path / folder]) for folder in ("one", "one", "two"))
    assert first is again
    assert (first.WHERE, other.WHERE) == ("one", "two")


def test_a_digest_follows_the_source(tmp_path: Path) -> None:
    """A changed value changes the digest, and restoring the text restores it."""
    digests = []
    for text in (SPACE, SPACE.replace("WIDTH = 3", "WIDTH = 4"), SPACE):
        write(tmp_path, "mine", text)
        digests.append(plugins.locate("search_spaces", "mine", [tmp_path]).digest)
    assert digests[0] == digests[2] != digests[1]
    assert len(digests[0]) == 16


def test_an_edit_after_the_import_does_not_change_what_is_executed(tmp_path: Path) -> None:
    """The executed digest is that of the code imported by this process."""
    write(tmp_path, "mine", SPACE)
    source = plugins.locate("search_spaces", "mine", [tmp_path])
    before = source.digest
    plugins.load_source(source)
    write(tmp_path, "mine", SPACE.replace("WIDTH = 3", "WIDTH = 4"))
    assert plugins.executed_digest(source) == before != source.digest


def test_a_plugin_is_described_without_importing_it(tmp_path: Path) -> None:
    """The description has the first docstring line and the literal facts; a file that is not valid Python raises an error."""
    path = write(tmp_path, "mine", SPACE + "RATE: float = 0.5\nROOT = __file__\nraise RuntimeError\n")
    assert plugins.describe(plugins.locate("search_spaces", "mine", [tmp_path])) == {"summary": "A space.", "WIDTH": 3, "RATE": 0.5}
    path.write_text("def")
    with pytest.raises(PluginError, match="cannot be read as Python"):
        plugins.describe(plugins.locate("search_spaces", "mine", [tmp_path]))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (
            'PACKAGES = ("torch", "no_such_package.part")\nEXTRA = "more"\n',
            r"needs no_such_package.part \(extra 'more'\), which is not installed",
        ),
        ('PACKAGES = ("no_such_package",)\nEXTRA = "more"\n', r"run: pip install 'agd-bench\[more\]'$"),
        ('PACKAGES = ("no_such_package",)\n', "run: pip install no_such_package$"),
        ('PACKAGES = ("torch",)\nEXTRA = "more"\n', ""),
    ],
)
def test_a_plugin_whose_packages_are_missing_is_listed_and_says_what_to_install(tmp_path: Path, facts: str, message: str) -> None:
    """A plug-in with missing packages is found, but loading it fails before anything is imported."""
    write(tmp_path, "wrapper", facts + ("import no_such_package\n" if message else "") + SPACE)
    source = plugins.find("search_spaces", [tmp_path])["wrapper"]
    assert bool(plugins.missing_packages(source)) == bool(message)
    if message:
        with pytest.raises(PluginError, match=message) as caught:
            plugins.load_source(source)
        assert str(caught.value).startswith("search space 'wrapper' needs ")
    else:
        assert plugins.load_source(source).WIDTH == 3


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("algorithms", "def prepare(network): ...", r"prepare\(network\) .*begin with prepare\(network, generator\)"),
        ("algorithms", "def build(network): ...", r"build\(network\) .*begin with build\(network, steps\)"),
        ("algorithms", "def loss(logits): ...", r"loss\(logits\) .*begin with loss\(logits, labels\)"),
        ("datasets", "def load(): ...", r"load\(\) .*begin with load\(root\)"),
    ],
)
def test_a_function_that_cannot_be_called_is_named(tmp_path: Path, kind: plugins.Kind, text: str, message: str) -> None:
    """The message shows the actual and the required signature; parameter names are up to the author."""
    functions, facts = plugins.REQUIRED[kind]
    sound = "".join(f"def {name}(*, {name}=0): ...\n".replace("*, ", "*given, ") for name in functions)
    sound += "".join(f"{name} = {'{}' if name == 'RANGES' else 1}\n" for name in facts)
    write(tmp_path, "whole", sound)
    assert plugins.load(kind, "whole", [tmp_path])
    write(tmp_path, "wrong", f"{sound}{text}\n")
    with pytest.raises(PluginError, match=message):
        plugins.load(kind, "wrong", [tmp_path])


SWEEP = """
name = "three-doors"
epochs = 1
seeds = 1
[[datasets]]
name = "{dataset}"
share = 0.2
[[algorithms]]
name = "{algorithm}"
[[search_spaces]]
name = "{space}"
architectures = 2
"""


def test_a_folder_may_stand_in_the_sweep(tmp_path: Path) -> None:
    """A folder is relative to the sweep file and is not stored or published, so plans and trial ids do not depend on it."""
    write(tmp_path / "mine", "doubled", SPACE)
    text = SWEEP.format(dataset="digits", algorithm="agd", space="doubled").replace("architectures = 2", 'architectures = ["a"]')
    file = tmp_path / "sweep.toml"
    file.write_text(text + '[folders]\nsearch_spaces = ["mine"]\n')
    sweep = read_sweep(file)
    assert sweep.folders.search_spaces == (tmp_path / "mine",)
    given = plan(parse_sweep(text, "s"), {"search_spaces": [tmp_path / "mine"]})
    assert [trial.id for trial in plan(sweep).all_trials] == [trial.id for trial in given.all_trials]
    assert plan(sweep, {"search_spaces": [tmp_path / "mine"]}).sweep.model_dump_json() == given.sweep.model_dump_json()
    assert "mine" not in sweep.model_dump_json()
    with pytest.raises(UnknownNameError, match="'doubled'"):
        plan(Sweep.model_validate_json(sweep.model_dump_json()))
    file.write_text(text + '[folders]\nsearch_space = ["mine"]\n')
    with pytest.raises(SweepError, match=r"folders.search_space: no such key; did you mean 'search_spaces'\?"):
        read_sweep(file)


def test_a_file_in_the_folder_of_built_in_ones_is_found(tmp_path: Path) -> None:
    """A file dropped into the folder needs no registration; the test uses a copy to leave the real folder unchanged."""
    import search_spaces

    copied = tmp_path / "search_spaces"
    shutil.copytree(Path(search_spaces.__file__).parent, copied, ignore=shutil.ignore_patterns("__pycache__"))
    write(copied, "dropped_in")
    script = "from agd_bench import plugins; print(plugins.load('search_spaces', 'dropped_in').__file__)"
    places = os.pathsep.join([str(tmp_path), str(Path(plugins.__file__).parents[1])])
    command, environment = [sys.executable, "-c", script], {**os.environ, "PYTHONPATH": places}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str(copied / "dropped_in.py"), done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder where the sample package is installed, built as a user would but without network access."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(Path(__file__).parent / "sample_package", folder / "source")  # building writes next to the sources
    installer = os.environ.get("UV") or shutil.which("uv")
    if installer is None:
        pytest.skip("neither `uv run` nor a uv on the path, which installs the sample package")
    command = [installer, "pip", "install", "--python", sys.executable, "--target", str(folder / "site"), "--offline", "--quiet"]
    subprocess.run([*command, "--no-deps", "--no-build-isolation", str(source)], check=True, timeout=120)
    return folder / "site"


def test_an_installed_package_brings_all_three_kinds(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plug-ins are found by entry points alone, pass the checks, and can be trained together."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(plugins, "_installed", plugins._installed.__wrapped__)  # not kept from or for other tests
    names: dict[plugins.Kind, str] = {"search_spaces": "sample_funnel", "algorithms": "sample_descent", "datasets": "sample_blobs"}
    for kind, name in names.items():
        source = plugins.find(kind)[name]
        assert source.origin == "sample-plugins"
        assert source.path.is_relative_to(site)
        assert [check.message for check in check_file(source.path) if not check.passed] == []
    sweep = parse_sweep(SWEEP.format(dataset=names["datasets"], algorithm=names["algorithms"], space=names["search_spaces"]), "s.toml")
    trials = run(sweep, tmp_path / "run", executor="in-process", device="cpu").trials
    assert trials["status"].tolist() == ["done", "done"]
    write(tmp_path / "mine", "sample_funnel")
    with pytest.raises(
        PluginError, match=r"'sample_funnel': .*\(from .*mine\) and .*\(from sample-plugins\); .*remove its folder or package"
    ):
        plugins.find("search_spaces", [tmp_path / "mine"])


def test_threads_wait_for_an_import_instead_of_getting_half_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that loads a plug-in while another imports it gets the complete module."""
    gate = ModuleType("import_gate")
    entered, leave = threading.Event(), threading.Event()
    gate.__dict__.update(entered=entered, leave=leave)
    monkeypatch.setitem(sys.modules, "import_gate", gate)
    (tmp_path / "slow.py").write_text(
        "import import_gate\nimport_gate.entered.set()\nimport_gate.leave.wait(60)\n"
        "def sample(rng): return 'a'\ndef build(architecture, in_channels, num_classes): return None\n"
    )
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(plugins.load, "search_spaces", "slow", (tmp_path,))
        assert entered.wait(60)
        second = threads.submit(plugins.load, "search_spaces", "slow", (tmp_path,))
        with contextlib.suppress(TimeoutError):
            second.exception(timeout=0.1)
        leave.set()
        assert first.result() is second.result()
