"""Find and load plug-ins by name: built-in, from a folder, or from an installed package.

A plug-in is a module. Its file name is the plug-in's name, its functions are the protocol, and its upper-case constants are its facts.
There is no registration and no base class. Plug-ins come from

1. a folder (`folders`, or an option of the command line): every `NAME.py` whose name has no leading underscore;
2. an entry point of an installed package, in the group `agd_bench.search_spaces`, `agd_bench.algorithms`, `agd_bench.datasets` or
   `agd_bench.searchers`. If it names a package, every module of it is a plug-in; if it names a module, that module is, under the entry
   point's name. The built-in plug-ins are found this way.

Finding a plug-in does not import it. The fact `PACKAGES` lists optional packages that a plug-in imports, and `EXTRA` names the extra of
its distribution that installs them; `load` reports missing ones instead of importing the plug-in.

A folder or package of algorithms may also have a file `presets.toml`: algorithms with fixed hyperparameters, see `agd_bench.presets`.
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

from agd_bench.errors import PluginError, UnknownNameError, training_advice
from agd_bench.facts import fault_in
from agd_bench.identity import code_identity
from agd_bench.presets import FILE, Preset, read_presets

Kind = Literal["search_spaces", "algorithms", "datasets", "searchers"]

REQUIRED: dict[Kind, tuple[dict[str, tuple[str, ...]], tuple[str, ...]]] = {
    "search_spaces": ({"sample": ("rng",), "build": ("architecture", "in_channels", "num_classes")}, ()),
    "algorithms": (
        {"prepare": ("network", "generator"), "build": ("network", "steps"), "loss": ("logits", "labels")},
        ("RANGES",),
    ),
    "datasets": ({"load": ("root",)}, ("IN_CHANNELS", "NUM_CLASSES", "IMAGE_SIZE")),
    "searchers": (
        {
            "start": ("space", "budget_seconds", "rng"),
            "ask": ("search",),
            "tell": ("search", "architecture", "epochs", "accuracy", "seconds"),
        },
        (),
    ),
}
"""What a plug-in of each kind must define: functions with their positional arguments, and facts."""


@dataclass(frozen=True)
class Source:
    """Location of a plug-in.

    Attributes:
        kind: of the plug-in.
        name: of the plug-in.
        path: its file.
        module: dotted module name; None if it comes from a folder.
        origin: the distribution or folder that provides it.
        preset: for a preset, its settings and the plug-in that they apply to.
    """

    kind: Kind
    name: str
    path: Path
    module: str | None
    origin: str
    preset: tuple[Preset, Source] | None = None

    @property
    def digest(self) -> str:
        """Identity of the code that the plug-in executes, from its files as they are now."""
        if self.preset is not None:
            preset, base = self.preset
            return preset.identity(base.digest)
        return code_identity(self.module or self.name, self.path, self.origin if self.module else "")


@cache
def executed_digest(source: Source) -> str:
    """Return the identity of the code that this process imported. Later edits of the files do not change it."""
    if source.preset is not None:
        preset, base = source.preset
        return preset.identity(executed_digest(base))
    return source.digest


def find(kind: Kind, folders: Sequence[Path] = ()) -> dict[str, Source]:
    """Return the plug-ins of a kind by name, without importing them.

    Args:
        kind: of the plug-ins.
        folders: folders with further plug-ins, one file each.

    Raises:
        PluginError: a folder does not exist, or two plug-ins have the same name.
    """
    found: dict[str, Source] = {}
    for folder in folders:
        if not folder.is_dir():
            raise PluginError(f"{folder}: no such folder of {kind.replace('_', ' ')}; give a folder with NAME.py files")
        for path in sorted(folder.glob("*.py")):
            _add(found, Source(kind, path.stem, path.resolve(), None, str(folder)))
    for source in _installed(kind):
        _add(found, source)
    if kind == "algorithms":
        # A folder may hold presets and no algorithm of its own.
        places = {source.path.parent: source.origin for source in found.values()} | {folder.resolve(): str(folder) for folder in folders}
        for place, origin in places.items():
            _add_presets(found, place, origin)
    return found


def _add_presets(found: dict[str, Source], place: Path, origin: str) -> None:
    """Add the presets of a folder of algorithms. Their base algorithms may come from elsewhere.

    Raises:
        PluginError: the file or a table of it is malformed.
        UnknownNameError: a preset names an unknown algorithm.
    """
    try:
        presets = read_presets(place)
    except ValueError as error:
        raise PluginError(str(error)) from None
    for name, preset in presets.items():
        base = found.get(preset.algorithm)
        # Presets of presets could go round in circles.
        if base is None or base.preset is not None:
            known = [other for other, source in found.items() if source.preset is None]
            raise UnknownNameError("algorithm", preset.algorithm, known, advice=f"{place / FILE} names it in [{name}].")
        _add(found, Source(base.kind, name, place / FILE, None, origin, (preset, base)))


@cache  # reading the metadata takes 5 ms, and each trial needs it five times
def _installed(kind: Kind) -> tuple[Source, ...]:
    """Return the plug-ins of installed packages."""
    sources = []
    for entry in sorted(importlib.metadata.entry_points(group=f"agd_bench.{kind}"), key=lambda entry: entry.name):
        package = entry.dist.name if entry.dist else entry.value
        try:
            spec = importlib.util.find_spec(entry.value)
        except ImportError as error:
            raise PluginError(
                f"entry point {entry.name!r} of {package} names {entry.value!r}, which cannot be imported: {error}"
            ) from error
        if spec is None or spec.origin is None:
            raise PluginError(f"entry point {entry.name!r} of {package} names {entry.value!r}, which does not exist; reinstall {package}")
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
    # One file may be found twice: through its folder and through the installed package.
    if other is not None and other.path != source.path:
        what = source.kind.replace("_", " ").removesuffix("s")
        raise PluginError(
            f"two plug-ins define {what} {source.name!r}: {other.path} (from {other.origin}) and {source.path} (from {source.origin});"
            " rename one of the files, or remove its folder or package"
        )
    found[source.name] = source


def locate(kind: Kind, name: str, folders: Sequence[Path] = ()) -> Source:
    """Return the location of a plug-in.

    Raises:
        UnknownNameError: no plug-in has this name.
    """
    found = find(kind, folders)
    if name not in found:
        what = kind.replace("_", " ").removesuffix("s")
        raise UnknownNameError(what, name, found, advice=f"Add a folder of NAME.py files with --{kind.replace('_', '-')} DIR.")
    return found[name]


def load(kind: Kind, name: str, folders: Sequence[Path] = ()) -> ModuleType:
    """Import a plug-in, once per process, and check that it follows the protocol of its kind.

    Raises:
        UnknownNameError: no plug-in has this name.
        PluginError: it raises on import, does not define a required function or fact, has a function with the wrong parameters, or needs
            a package that is not installed.
    """
    return load_source(locate(kind, name, folders))


def load_source(source: Source, with_facts: bool = True) -> ModuleType:
    """Like `load`, from a known location.

    Args:
        source: the location.
        with_facts: whether to check the values of its facts. The conformance kit checks them one by one instead.
    """
    module = _import(source)
    functions, facts = REQUIRED[source.kind]
    what = source.kind.replace("_", " ").removesuffix("s")
    missing = [f"{name}()" for name in functions if not inspect.isfunction(getattr(module, name, None))]
    missing += [name for name in facts if not hasattr(module, name)]
    if missing:
        wanted = ", ".join([f"{name}()" for name in functions] + list(facts))
        raise PluginError(f"{source.path}: {what} {source.name!r} does not define {', '.join(missing)}; it must define {wanted}")
    for name, given in functions.items():
        signature = inspect.signature(getattr(module, name))
        try:
            # By position, as they are called: a plug-in may name its parameters as it likes.
            signature.bind_partial(*given)
        except TypeError:
            raise PluginError(
                f"{source.path}: {what} {source.name!r}: {name}{signature} does not accept the arguments of agd-bench;"
                f" it must begin with {name}({', '.join(given)})"
            ) from None
        needed = [parameter.name for parameter in list(signature.parameters.values())[len(given) :] if _has_no_default(parameter)]
        if needed and source.kind != "algorithms":  # algorithms may get theirs from RANGES or the sweep
            several = len(needed) > 1
            raise PluginError(
                f"{source.path}: {what} {source.name!r}: {name}() requires argument{'s' * several} {', '.join(needed)}, which agd-bench"
                f" never passes; give {'them' if several else 'it'} a default"
            )
    fault = fault_in(source.kind, module) if with_facts else ""
    if fault:
        raise PluginError(f"{source.path}: {what} {source.name!r}: {fault}")
    return module


def _has_no_default(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)


def ranges_of(algorithm: ModuleType) -> dict[str, dict[str, Any]]:
    """Return the search ranges of an algorithm: its RANGES, or the CALIBRATION of an algorithm that needs no study."""
    found: dict[str, dict[str, Any]] = algorithm.RANGES or getattr(algorithm, "CALIBRATION", {})
    return found


def missing_packages(source: Source) -> str:
    """Return which packages of a plug-in's fact PACKAGES are not installed, and the command that installs them.

    Returns:
        A predicate that starts with `needs`; empty if all are installed.

    Raises:
        PluginError: the file cannot be parsed as Python.
    """
    facts = describe(source)
    packages = facts.get("PACKAGES", ())
    # The top-level name only: find_spec imports the parents of a dotted one.
    missing = (
        [name for name in packages if importlib.util.find_spec(name.partition(".")[0]) is None]
        if isinstance(packages, tuple | list)
        else []
    )
    if not missing:
        return ""
    extra = facts.get("EXTRA")
    wanted = f"'{source.origin if source.module else 'agd-bench'}[{extra}]'" if extra else " ".join(missing)
    optional = f" (extra {extra!r})" if extra else ""
    verb = "are" if len(missing) > 1 else "is"
    return f"needs {', '.join(missing)}{optional}, which {verb} not installed; run: pip install {wanted}"


_IMPORTING = threading.RLock()
"""Serialises imports: a second thread would find the first one's partly initialised module in sys.modules."""


def _import(source: Source) -> ModuleType:
    with _IMPORTING:
        return _import_once(source)


def _import_once(source: Source) -> ModuleType:
    if source.preset is not None:
        return _import_preset(source, *source.preset)
    # The digest of the path keeps files of one name from two folders apart in sys.modules.
    dotted = source.module or f"agd_bench_plugin_{hashlib.sha256(str(source.path).encode()).hexdigest()[:12]}_{source.name}"
    if dotted in sys.modules:
        return sys.modules[dotted]
    missing = missing_packages(source)
    if missing:
        raise PluginError(f"{source.kind.replace('_', ' ').removesuffix('s')} {source.name!r} {missing}")
    spec = importlib.util.find_spec(dotted) if source.module else importlib.util.spec_from_file_location(dotted, source.path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{source.path}: cannot be imported as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[dotted] = module  # before execution, as `import` does: dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[dotted]
        why = training_advice(error) or f"raises on import: {type(error).__name__}: {error}"
        raise PluginError(f"{source.path}: {why}") from error
    executed_digest(source)  # caches the identity before anybody can edit the file
    return module


@cache
def _import_preset(source: Source, preset: Preset, base: Source) -> ModuleType:
    missing = missing_packages(base)
    if missing:
        raise PluginError(f"algorithm {source.name!r} {missing}")
    try:
        return preset.module(source.name, load_source(base))
    except ValueError as error:
        raise PluginError(f"{source.path}: {error}") from None


def describe(source: Source) -> dict[str, object]:
    """Return the facts of a plug-in, read from its source without importing it.

    Returns:
        `summary` (first line of the docstring), and every upper-case constant with a literal value.

    Raises:
        PluginError: the file cannot be parsed as Python.
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
            except ValueError:  # computed, not a literal
                continue
    return facts


def names_defined(path: Path) -> frozenset[str]:
    """Return the names that a plug-in's file binds at its top level, without importing it.

    Raises:
        PluginError: the file cannot be parsed as Python.
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
