"""Finding and loading plug-ins: three doors, and what is said at each when something is wrong."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from pathlib import Path

import pytest

from agd_bench import plugins
from agd_bench.errors import PluginError, UnknownNameError

SPACE = '"""A space."""\nWIDTH = 3\ndef sample(rng): return "a"\ndef build(architecture, in_channels, num_classes): return None\n'


def write(folder: Path, name: str, text: str = SPACE) -> Path:
    """A plug-in's file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.py"
    path.write_text(text)
    return path


def test_built_in_plugins_come_in_by_the_second_door() -> None:
    """They are found under their files' names, with a module to import and the package that brings them."""
    spaces = plugins.find("search_spaces")
    assert {"nas_bench_201", "plain_chain"} <= spaces.keys()
    assert spaces["nas_bench_201"].module == "search_spaces.nas_bench_201"
    assert {"digits", "mnist", "fashion_mnist", "cifar10", "cifar100"} == plugins.find("datasets").keys()
    assert "agd" in plugins.find("algorithms")


def test_a_folder_brings_its_files_but_not_underscored_ones(tmp_path: Path) -> None:
    """The name is the file's; finding imports nothing."""
    write(tmp_path, "mine", "raise RuntimeError('imported')")
    write(tmp_path, "_hidden")
    found = plugins.find("search_spaces", [tmp_path])
    assert found["mine"].origin == str(tmp_path)
    assert "_hidden" not in found


def test_an_entry_point_may_name_one_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plug-in then has the entry point's name, not the module's."""
    write(tmp_path, "outside_plugin_module")
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = importlib.metadata.EntryPoint("renamed", "outside_plugin_module", "agd_bench.search_spaces")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry])
    monkeypatch.setattr(plugins, "_installed", plugins._installed.__wrapped__)  # not kept from or for other tests
    assert plugins.load("search_spaces", "renamed").WIDTH == 3
    assert list(plugins.find("search_spaces")) == ["renamed"]


@pytest.mark.parametrize("value", ["no_such_module_at_all", "no_such_package.module"])
def test_an_entry_point_that_leads_nowhere_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """The message gives the entry point and what it names."""
    entry = importlib.metadata.EntryPoint("lost", value, "agd_bench.search_spaces")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry])
    monkeypatch.setattr(plugins, "_installed", plugins._installed.__wrapped__)  # not kept from or for other tests
    with pytest.raises(PluginError, match=f"'lost'.*{value}"):
        plugins.find("search_spaces")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The message says what a folder should hold."""
    with pytest.raises(PluginError, match=r"nowhere: no such folder of search spaces; .*NAME\.py"):
        plugins.find("search_spaces", [tmp_path / "nowhere"])


def test_two_plugins_of_one_name_are_refused(tmp_path: Path) -> None:
    """Both files are named; one folder given twice is no clash."""
    write(tmp_path / "one", "twin")
    write(tmp_path / "two", "twin")
    with pytest.raises(PluginError, match=r"'twin': .*one.*two.*rename"):
        plugins.find("search_spaces", [tmp_path / "one", tmp_path / "two"])
    assert "twin" in plugins.find("search_spaces", [tmp_path / "one", tmp_path / "one"])


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    """And with the list, and with how to add another."""
    with pytest.raises(UnknownNameError, match=r"'nas_bench_2001'. Did you mean 'nas_bench_201'\? Known: .*--search-spaces DIR"):
        plugins.load("search_spaces", "nas_bench_2001")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_module_at_all", "raises on import: ModuleNotFoundError"),
        ("def sample(rng: int", "cannot be read as Python"),
        ("1 / 0", "raises on import: ZeroDivisionError"),
        ("def sample(rng): return 'a'", r"lacks build\(\); it must define sample\(\), build\(\)"),
        ("sample = build = 3", r"lacks sample\(\), build\(\)"),
    ],
)
def test_a_broken_plugin_is_named_with_its_fault(tmp_path: Path, text: str, message: str) -> None:
    """The message begins with the file; nothing half loaded stays behind."""
    path = write(tmp_path, "broken", text)
    before = set(sys.modules)
    for _ in range(2):
        with pytest.raises(PluginError, match=message) as caught:
            plugins.load("search_spaces", "broken", [tmp_path])
        assert str(caught.value).startswith(str(path))
    if "raises" in message:
        assert not [name for name in set(sys.modules) - before if name.endswith("broken")]


def test_a_plugin_is_imported_once(tmp_path: Path) -> None:
    """The same name in two folders is two modules, each imported once."""
    for folder in ("one", "two"):
        write(tmp_path / folder, "mine", SPACE + f"WHERE = {folder!r}\n")
    first, again, other = (plugins.load("search_spaces", "mine", [tmp_path / folder]) for folder in ("one", "one", "two"))
    assert first is again
    assert (first.WHERE, other.WHERE) == ("one", "two")


def test_a_digest_follows_the_source(tmp_path: Path) -> None:
    """An edited plug-in has another digest, the old text the old one."""
    digests = []
    for text in (SPACE, SPACE + "# edited", SPACE):
        write(tmp_path, "mine", text)
        digests.append(plugins.locate("search_spaces", "mine", [tmp_path]).digest)
    assert digests[0] == digests[2] != digests[1]
    assert len(digests[0]) == 16


def test_a_plugin_is_described_without_importing_it(tmp_path: Path) -> None:
    """Its first line and its literal facts; a file that is no Python is named."""
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
            "needs no_such_package.part of the extra 'more', not installed here",
        ),
        ('PACKAGES = ("no_such_package",)\nEXTRA = "more"\n', r"install with: pip install 'agd-bench\[more\]'$"),
        ('PACKAGES = ("no_such_package",)\n', "install with: pip install no_such_package$"),
        ('PACKAGES = ("torch",)\nEXTRA = "more"\n', ""),
    ],
)
def test_a_plugin_whose_packages_are_missing_is_listed_and_says_what_to_install(tmp_path: Path, facts: str, message: str) -> None:
    """It is found and described, `lacks` is empty only where nothing is missing, and loading is refused before anything is imported."""
    write(tmp_path, "wrapper", facts + ("import no_such_package\n" if message else "") + SPACE)
    source = plugins.find("search_spaces", [tmp_path])["wrapper"]
    assert bool(plugins.lacks(source)) == bool(message)
    if message:
        with pytest.raises(PluginError, match=message) as caught:
            plugins.load_source(source)
        assert str(caught.value).startswith("search space 'wrapper' needs ")
    else:
        assert plugins.load_source(source).WIDTH == 3


def test_a_digest_holds_what_plugins_share(tmp_path: Path) -> None:
    """Editing an underscored neighbour changes the digest of those that import it, and of no other."""
    (tmp_path / "_shared.py").write_text("WIDTH = 1\n")
    using = write(tmp_path, "using", "from spaces._shared import WIDTH\n" + SPACE)
    alone = write(tmp_path, "alone")

    def digest(path: Path) -> str:
        return plugins.find("search_spaces", [path.parent])[path.stem].digest

    before = digest(using), digest(alone)
    assert before[1] == hashlib.sha256(alone.read_bytes()).hexdigest()[:16]
    (tmp_path / "_shared.py").write_text("WIDTH = 2\n")
    assert digest(using) != before[0]
    assert digest(alone) == before[1]
