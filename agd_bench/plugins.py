"""Find and load plug-ins by name: built-in, from a folder, or from an installed package.

A plug-in is a module: its name is its file's name, its functions are its protocol, its capitals are its facts. Nothing
registers, nothing inherits. Three doors lead in, and the built-in plug-ins use the second one like anybody else:

1. a folder given on the command line or in the call (`folders`): every `NAME.py` in it, underscored names apart;
2. an installed package's entry point in the group `agd_bench.search_spaces`, `agd_bench.algorithms` or
   `agd_bench.datasets` that names a package: every module of it;
3. the same with an entry point that names one module: that module, under the entry point's name.

A folder or package of algorithms may also hold a file `presets.toml`: algorithms at fixed hyperparameters, see `agd_bench.presets`.

Finding never imports a plug-in; `load` imports the one that is asked for. A plug-in that needs optional packages names them in the fact
`PACKAGES`, and in `EXTRA` the extra of its distribution that installs them; where they are missing, `load` says so instead of importing.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import inspect
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from agd_bench.errors import PluginError, UnknownNameError
from agd_bench.facts import fault_in
from agd_bench.identity import code_identity
from agd_bench.presets import FILE, Preset, read_presets

Kind = Literal["search_spaces", "algorithms", "datasets"]

REQUIRED: dict[Kind, tuple[dict[str, tuple[str, ...]], tuple[str, ...]]] = {
    "search_spaces": ({"sample": ("rng",), "build": ("architecture", "in_channels", "num_classes")}, ()),
    "algorithms": (
        {"prepare": ("network", "generator"), "build": ("network", "steps"), "loss": ("logits", "labels")},
        ("RANGES",),
    ),
    "datasets": ({"load": ("root",)}, ("IN_CHANNELS", "NUM_CLASSES", "IMAGE_SIZE")),
}
"""What a plug-in of each kind must define: functions, with what they are given by position, and facts in capitals."""


@dataclass(frozen=True)
class Source:
    """Where a plug-in is: its file, its dotted module name if it is installed, and who brings it.

    A preset also has what it fixes and the plug-in that it fixes it of.
    """

    kind: Kind
    name: str
    path: Path
    module: str | None
    origin: str
    preset: tuple[Preset, Source] | None = None

    @property
    def digest(self) -> str:
        """The identity of the code that it executes, as its files are now."""
        if self.preset is not None:
            preset, base = self.preset
            return preset.identity(base.digest)
        return code_identity(self.module or self.name, self.path, self.origin if self.module else "")


@cache
def executed_digest(source: Source) -> str:
    """The identity of the code that a plug-in was imported from in this process, which an edit since then does not change."""
    if source.preset is not None:
        preset, base = source.preset
        return preset.identity(executed_digest(base))
    return source.digest


def find(kind: Kind, folders: Sequence[Path] = ()) -> dict[str, Source]:
    """The plug-ins of a kind, by name, without importing any.

    Args:
        kind: which kind.
        folders: folders with further plug-ins, one file each.

    Raises:
        PluginError: a folder does not exist, or two plug-ins have one name.
    """
    found: dict[str, Source] = {}
    for folder in folders:
        if not folder.is_dir():
            raise PluginError(f"{folder}: no such folder of {kind.replace('_', ' ')}; give a folder that holds NAME.py files")
        for path in sorted(folder.glob("*.py")):
            _add(found, Source(kind, path.stem, path.resolve(), None, str(folder)))
    for source in _installed(kind):
        _add(found, source)
    if kind == "algorithms":
        places = {source.path.parent: source.origin for source in found.values()} | {folder.resolve(): str(folder) for folder in folders}
        for place, origin in places.items():
            _add_presets(found, place, origin)
    return found


def _add_presets(found: dict[str, Source], place: Path, origin: str) -> None:
    """Add the presets of a folder of algorithms, which may be of algorithms from anywhere.

    Raises:
        PluginError: the file or a table of it is malformed.
        UnknownNameError: a preset of an algorithm that does not exist.
    """
    try:
        presets = read_presets(place)
    except ValueError as error:
        raise PluginError(str(error)) from None
    for name, preset in presets.items():
        base = found.get(preset.algorithm)
        if base is None or base.preset is not None:
            known = [other for other, source in found.items() if source.preset is None]
            raise UnknownNameError("algorithm", preset.algorithm, known, advice=f"{place / FILE} names it in [{name}].")
        _add(found, Source(base.kind, name, place / FILE, None, origin, (preset, base)))


@cache
def _installed(kind: Kind) -> tuple[Source, ...]:
    """What the installed packages bring. Kept for the process, since reading their metadata costs 5 ms and a trial asks five times."""
    sources = []
    for entry in sorted(importlib.metadata.entry_points(group=f"agd_bench.{kind}"), key=lambda entry: entry.name):
        package = entry.dist.name if entry.dist else entry.value
        try:
            spec = importlib.util.find_spec(entry.value)
        except ImportError as error:
            raise PluginError(f"entry point {entry.name!r} of {package} names {entry.value!r}, which does not import: {error}") from error
        if spec is None or spec.origin is None:
            raise PluginError(f"entry point {entry.name!r} of {package} names {entry.value!r}, which is not there; reinstall {package}")
        if spec.submodule_search_locations is None:
            sources.append(Source(kind, entry.name, Path(spec.origin), entry.value, package))
            continue
        for location in spec.submodule_search_locations:
            for path in sorted(Path(location).glob("*.py")):
                sources.append(Source(kind, path.stem, path, f"{entry.value}.{path.stem}", package))
    return tuple(sources)


def _add(found: dict[str, Source], source: Source) -> None:
    if source.name.startswith("_"):
        return
    other = found.get(source.name)
    if other is not None and other.path != source.path:
        what = source.kind.replace("_", " ").removesuffix("s")
        raise PluginError(
            f"two plug-ins are called {what} {source.name!r}: {other.path} (from {other.origin}) and {source.path} (from {source.origin});"
            " rename one of the files, or leave its folder or package out"
        )
    found[source.name] = source


def locate(kind: Kind, name: str, folders: Sequence[Path] = ()) -> Source:
    """Where the plug-in `name` is.

    Raises:
        UnknownNameError: nothing of that name; the message offers the nearest one.
    """
    found = find(kind, folders)
    if name not in found:
        what = kind.replace("_", " ").removesuffix("s")
        raise UnknownNameError(what, name, found, advice=f"A folder with NAME.py files can be added by --{kind.replace('_', '-')} DIR.")
    return found[name]


def load(kind: Kind, name: str, folders: Sequence[Path] = ()) -> ModuleType:
    """The plug-in `name`, imported (once in a process) and checked for what its kind must define.

    Raises:
        UnknownNameError: nothing of that name.
        PluginError: it raises on import, lacks a function or a fact, has a function that cannot be called as its kind is, or needs a
            package that is not installed.
    """
    return load_source(locate(kind, name, folders))


def load_source(source: Source, with_facts: bool = True) -> ModuleType:
    """As `load`, from a place already found.

    Args:
        source: the place.
        with_facts: whether to check what its capitals hold; the conformance kit does that itself, one by one.
    """
    module = _import(source)
    functions, facts = REQUIRED[source.kind]
    what = source.kind.replace("_", " ").removesuffix("s")
    missing = [f"{name}()" for name in functions if not inspect.isfunction(getattr(module, name, None))]
    missing += [name for name in facts if not hasattr(module, name)]
    if missing:
        wanted = ", ".join([f"{name}()" for name in functions] + list(facts))
        raise PluginError(f"{source.path}: {what} {source.name!r} lacks {', '.join(missing)}; it must define {wanted}")
    for name, given in functions.items():
        signature = inspect.signature(getattr(module, name))
        try:
            signature.bind_partial(*given)
        except TypeError:
            raise PluginError(
                f"{source.path}: {what} {source.name!r}: {name}{signature} cannot take what it is given;"
                f" begin with {name}({', '.join(given)})"
            ) from None
        needed = [parameter.name for parameter in list(signature.parameters.values())[len(given) :] if _has_no_default(parameter)]
        if needed and source.kind != "algorithms":  # those may need what their RANGES or the sweep give
            raise PluginError(
                f"{source.path}: {what} {source.name!r}: {name} needs {', '.join(needed)}, which nobody gives; give a default"
            )
    fault = fault_in(source.kind, module) if with_facts else ""
    if fault:
        raise PluginError(f"{source.path}: {what} {source.name!r}: {fault}")
    return module


def _has_no_default(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)


def ranges_of(algorithm: ModuleType) -> dict[str, dict[str, Any]]:
    """What a study of an algorithm searches: its RANGES, or the CALIBRATION of one that needs no study."""
    found: dict[str, dict[str, Any]] = algorithm.RANGES or getattr(algorithm, "CALIBRATION", {})
    return found


def lacks(source: Source) -> str:
    """Which of the packages that a plug-in needs (its fact PACKAGES) are not installed here, and the command that installs them.

    Returns:
        The end of a sentence about the plug-in; empty if nothing is missing.

    Raises:
        PluginError: the file is no Python.
    """
    facts = describe(source)
    packages = facts.get("PACKAGES", ())
    missing = (
        [name for name in packages if importlib.util.find_spec(name.partition(".")[0]) is None]
        if isinstance(packages, tuple | list)
        else []
    )
    if not missing:
        return ""
    extra = facts.get("EXTRA")
    wanted = f"'{source.origin if source.module else 'agd-bench'}[{extra}]'" if extra else " ".join(missing)
    optional = f" of the extra {extra!r}" if extra else ""
    return f"needs {', '.join(missing)}{optional}, not installed here; install with: pip install {wanted}"


_IMPORTING = threading.RLock()
"""One import at a time: a second thread would find the module of the first one half made."""


def _import(source: Source) -> ModuleType:
    with _IMPORTING:
        return _import_once(source)


def _import_once(source: Source) -> ModuleType:
    if source.preset is not None:
        return _import_preset(source, *source.preset)
    dotted = source.module or f"agd_bench_plugin_{hashlib.sha256(str(source.path).encode()).hexdigest()[:12]}_{source.name}"
    if dotted in sys.modules:
        return sys.modules[dotted]
    lacking = lacks(source)
    if lacking:
        raise PluginError(f"{source.kind.replace('_', ' ').removesuffix('s')} {source.name!r} {lacking}")
    spec = importlib.util.find_spec(dotted) if source.module else importlib.util.spec_from_file_location(dotted, source.path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{source.path}: cannot be imported as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[dotted] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[dotted]
        raise PluginError(f"{source.path}: raises on import: {type(error).__name__}: {error}") from error
    executed_digest(source)
    return module


@cache
def _import_preset(source: Source, preset: Preset, base: Source) -> ModuleType:
    lacking = lacks(base)
    if lacking:
        raise PluginError(f"algorithm {source.name!r} {lacking}")
    try:
        return preset.module(source.name, load_source(base))
    except ValueError as error:
        raise PluginError(f"{source.path}: {error}") from None


def describe(source: Source) -> dict[str, object]:
    """What a plug-in says of itself, read from its source without importing it.

    Returns:
        `summary` (first line of the docstring) and every fact in capitals whose value is a literal.

    Raises:
        PluginError: the file is no Python.
    """
    if source.preset is not None:
        preset, base = source.preset
        return preset.describe(describe(base))
    tree = _tree(source.path)
    facts: dict[str, object] = {"summary": (ast.get_docstring(tree) or "").split("\n", 1)[0]}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target if isinstance(node, ast.AnnAssign) else None
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id.isupper() and value is not None:
            try:
                facts[target.id] = ast.literal_eval(value)
            except ValueError:
                continue
    return facts


def names_defined(path: Path) -> frozenset[str]:
    """The functions and other names that a plug-in's file binds at its top level, read without importing it.

    Raises:
        PluginError: the file is no Python.
    """
    names: set[str] = set()
    for node in _tree(path).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return frozenset(names)


def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise PluginError(f"{path}: cannot be read as Python: {error}") from None
