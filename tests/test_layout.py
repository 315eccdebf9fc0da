"""The layout described in agd_bench/README.md: folders, names, layers, and tests that mirror the modules."""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "agd_bench"
MODULES = sorted(PACKAGE.rglob("*.py"))
ONE_IDEA = {
    **dict.fromkeys(("agd", "dsgd", "dsgd_heuristic", "muon", "nadamw"), "an optimizer, and the training algorithm that uses it"),
    "training_curves": "a table and its figures",
    "section": "each paper's part of the report",
    "publication": "of a run, and of a reproduction",
    **dict.fromkeys(("algorithms", "datasets", "search_spaces", "searchers"), "plug-ins, and their conformance tests"),
}
"""Names shared by several modules, and why."""
OWN_FOLDERS = {
    "cluster": "several nodes",
    "cuda_stub": "a GPU's stand-in",
    "end_to_end": "whole commands and files",
    "engine_benchmark": "tests/performance/engine",
    "faults": "injected faults, and fuzzing",
}
"""Test folders without a counterpart in the package."""
VAGUE = {"utils", "common", "helpers", "core", "base", "lib"}


def name_of(path: Path) -> str:
    """Return a module's name, which for a package is that of its folder."""
    return path.parent.name if path.stem == "__init__" else path.stem.removeprefix("_")


def test_folders_and_modules_are_small_enough_to_read() -> None:
    """A folder has at most 25 modules, except for algorithms, and a module at most 500 lines."""
    counts = Counter(path.parent.relative_to(PACKAGE).as_posix() for path in MODULES if path.stem != "__init__")
    assert {folder: count for folder, count in counts.items() if count > 25} == {"algorithms": counts["algorithms"]}
    lines = {path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {path: count for path, count in lines.items() if count > 500} == {}


def test_names_mean_one_thing() -> None:
    """No module has a vague name or that of a function in it, and modules with the same name share one idea."""
    names = Counter(name_of(path) for path in MODULES)
    assert not VAGUE & names.keys()
    assert {name for name, count in names.items() if count > 1} <= ONE_IDEA.keys()
    for path in MODULES:
        defined = {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}
        assert name_of(path) not in defined, path


def test_layers_are_at_most_ten() -> None:
    """There are at most ten layers; import-linter checks their order."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    assert max(len(contract.get("layers", ())) for contract in contracts) <= 10


def test_tests_mirror_the_package() -> None:
    """`tests/FOLDER/test_MODULE.py` or `test_MODULE_ASPECT.py` tests a module of that folder or the folder itself."""
    tests = ROOT / "tests"
    for path in tests.rglob("test_*.py"):
        folder, name = path.parent.relative_to(tests), path.stem.removeprefix("test_")
        if path == Path(__file__) or (folder.parts and folder.parts[0] in OWN_FOLDERS):
            continue
        rooms = [room / folder for room in (PACKAGE, ROOT) if (room / folder).is_dir()]
        known = {name_of(one) for room in rooms for one in [*room.glob("*.py"), *room.glob("*/__init__.py")]} | {path.parent.name}
        assert any(name == one or name.startswith(f"{one}_") for one in known), path
