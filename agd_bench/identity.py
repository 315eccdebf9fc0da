"""Identity of executed code: a digest of a module's parsed source and its imports.

Comments, docstrings, formatting, line ends, the Python version and the platform do not affect it. Imports are followed through the module's
own distribution, agd-bench, and loose files on the path, which have no version. Of a followed module, only the used top-level definitions
and its other statements (calls, conditions) count. Third-party packages that agd-bench does not require count by name and version. Packages
that agd-bench requires (torch, NumPy) are the platform: each result states their versions.

Not covered are imports with a computed name (`importlib.import_module(name)`), import-time effects of modules from which nothing is used,
compiled modules, and data files.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

OWN = "agd-bench"
OWN_PACKAGES = frozenset({"agd_bench", "search_spaces"})
WHOLE = "*"
"""Stands for a whole module instead of a name in it."""

Use = tuple[str, str]
"""A module's dotted name and the name used from it; empty if it is only imported."""


class Statement(NamedTuple):
    """One top-level statement of a module.

    Attributes:
        defines: names it binds; if empty, it always runs when the module is used.
        names: all names in it.
        uses: its imports at any level.
        text: its normal form.
    """

    defines: frozenset[str]
    names: frozenset[str]
    uses: tuple[Use, ...]
    text: str


def code_identity(module: str, path: Path, distribution: str = "") -> str:
    """The digest of a module with everything it depends on.

    Args:
        module: its dotted name, or its file's name without `.py` if it lies in no package.
        path: its file.
        distribution: the installed distribution it belongs to; empty if none.

    Returns:
        Sixteen hexadecimal digits of a SHA-256; then ` NAME==VERSION` for each third-party package that agd-bench does not require.
    """
    closure = Closure(module, path, distribution)
    closure.use(module, WHOLE)
    return closure.identity()


@functools.cache
def engine_identity() -> str:
    """The digest of the code that runs a trial in this process (building, data, training loop, measurements), without plug-ins."""
    closure = Closure("agd_bench", Path(__file__).with_name("__init__.py"), OWN)
    closure.use("agd_bench.trial", "run_trial")
    return closure.identity()


def gives_equal_results(plugin: str, former: str, present: str) -> bool:
    """Whether the current code of a built-in plug-in is known to reproduce the rows of former code to the last digit.

    Args:
        plugin: as `KIND/NAME`.
        former: the identity of the former code.
        present: the identity of the current code; a package with a version in both must have the same version.
    """
    digest, *packages = former.split()
    return digest in _equal().get(plugin, ()) and packages in ([], present.split()[1:])


@functools.cache
def _equal() -> dict[str, list[str]]:
    return tomllib.loads(Path(__file__).with_name("equal_code.toml").read_text(encoding="utf-8"))


class Closure:
    """The statements executed by using a module, found by following names and imports.

    Args:
        module, path, distribution: as for `code_identity`.

    Attributes:
        packages: third-party packages found, as `NAME==VERSION`.
    """

    def __init__(self, module: str, path: Path, distribution: str = "") -> None:
        self.packages: set[str] = set()
        self._distribution, self._folder = _canonical(distribution), path.parent
        self._places: dict[str, Path | None] = {module: path}
        # __init__.py lies one folder deeper than a module of the same dotted name
        depth = module.count(".") + (path.name == "__init__.py")
        self._bases: dict[str, Path | None] = {module.partition(".")[0]: path.parents[depth]}
        self._included: set[tuple[str, int]] = set()

    def use(self, module: str, name: str) -> None:
        """Include the definition of a module's name and everything it uses, recursively."""
        waiting, seen = [(module, name)], set[Use]()
        while waiting:
            use = waiting.pop()
            if use not in seen:
                seen.add(use)
                waiting += self._follow(*use)

    def statements(self) -> Iterator[tuple[str, Statement]]:
        """The included statements with their modules' names, in an order that does not depend on the search."""
        for module, index in sorted(self._included):
            yield module, self._read(module)[index]

    def identity(self) -> str:
        """The digest of the included statements, and the packages."""
        total = hashlib.sha256()
        for module, statement in self.statements():
            total.update(f"{module}\0{statement.text}\0".encode())
        return " ".join([total.hexdigest()[:16], *sorted(self.packages)])

    def _follow(self, module: str, name: str) -> list[Use]:
        """Include the definition behind one use; return its direct uses."""
        if self._find(module) is None:
            return []
        statements = self._read(module)
        if not name:  # importing a module imports its parent packages
            # They run on every import, whatever is used from the module.
            begun = [index for index, statement in enumerate(statements) if not statement.defines]
            return [(module.rpartition(".")[0], ""), *self._include(module, begun)]
        # Only used definitions, so a new function in a shared module does not change the digests of its other users.
        chosen = [index for index, statement in enumerate(statements) if name == WHOLE or name in statement.defines]
        if not chosen and name != WHOLE:
            # `from package import submodule`
            if self._find(f"{module}.{name}") is not None:
                return [(module, ""), (f"{module}.{name}", WHOLE)]
            chosen = list(range(len(statements)))  # bound inside a condition, or created by the module's __getattr__
        return [(module, ""), *self._include(module, chosen)]

    def _include(self, module: str, indices: list[int]) -> list[Use]:
        statements = self._read(module)
        defined = {name for statement in statements for name in statement.defines}
        found: list[Use] = []
        for index in indices:
            self._included.add((module, index))
            found += [(module, name) for name in statements[index].names & defined]
            found += statements[index].uses
        return found

    def _read(self, module: str) -> tuple[Statement, ...]:
        place = self._find(module)
        if place is None or place.is_dir():
            return ()
        told = place.stat()
        return _parse(place, module, told.st_mtime_ns, told.st_size)

    def _find(self, module: str) -> Path | None:
        """The file of a followed module, or the folder of a package without `__init__.py`."""
        if module not in self._places:
            top, *rest = module.split(".")
            base = self._base(top)
            self._places[module] = None if base is None or not top else _file_in(base, [top, *rest])
        return self._places[module]

    def _base(self, top: str) -> Path | None:
        """The folder from which a top-level module is imported, if it is followed; otherwise record its package and version."""
        if top not in self._bases:
            self._bases[top] = self._search(top)
        return self._bases[top]

    def _search(self, top: str) -> Path | None:
        if top in sys.stdlib_module_names or not top:
            return None
        base = _imported_from(top)
        if base is None:
            return self._folder  # neighbours of a file in a folder of plug-ins
        owners = _distributions(tuple(sys.path)).get(top, frozenset())
        # A module without a distribution is a loose file, which has no version.
        if top in OWN_PACKAGES or self._distribution in owners or not owners:
            return base
        # Without the local part, because 2.3+cpu and 2.3+cu121 are built from the same code.
        versions = {owner: importlib.metadata.version(owner).partition("+")[0] for owner in owners - _required()}
        self.packages |= {f"{owner}=={version}" for owner, version in versions.items()}
        return None


def _file_in(base: Path, parts: list[str]) -> Path | None:
    place = base.joinpath(*parts)
    choices = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((file for file in choices if file.is_file()), place if place.is_dir() else None)


def _imported_from(top: str) -> Path | None:
    """The folder in which Python finds a top-level module, without importing it."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).parent
    return Path(spec.origin).parent if spec.origin and spec.has_location else None


def _canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


@functools.cache
def _distributions(path: tuple[str, ...]) -> dict[str, frozenset[str]]:
    """The installed distributions by their top-level modules; loose files and editable installations have none."""
    return {
        top: frozenset(_canonical(name) for name in names if name) for top, names in importlib.metadata.packages_distributions().items()
    }


@functools.cache
def _required() -> frozenset[str]:
    """The packages that agd-bench requires to train."""
    needed = importlib.metadata.requires(OWN) or []
    # `train` is an extra only for those who read results; a digest must not depend on how agd-bench was installed
    platform = [one for one in needed if "extra ==" not in one or re.search(r"extra == ['\"]train['\"]", one)]
    return frozenset(_canonical(re.split(r"[^\w.-]", one, maxsplit=1)[0]) for one in platform)


@functools.cache
def _parse(file: Path, module: str, modified: int, size: int) -> tuple[Statement, ...]:
    """The statements of a file; `modified` and `size` identify its version for the cache."""
    content = file.read_bytes()
    try:
        tree = _Executed().visit(ast.parse(content))
    except (SyntaxError, ValueError):  # importing it reports the error
        return (Statement(frozenset(), frozenset(), (), hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()),)
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    single = [part for node in tree.body for part in _split(node)]
    return tuple(
        Statement(
            _defined(node),
            frozenset(one.id for one in ast.walk(node) if isinstance(one, ast.Name)),
            tuple(use for one in ast.walk(node) if isinstance(one, ast.Import | ast.ImportFrom) for use in _imported(one, package)),
            normal_form(node),
        )
        for node in single
        if not _is_text(node)
    )


class _Executed(ast.NodeTransformer):
    """Leaves out code that is only for type checkers."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        test = node.test.id if isinstance(node.test, ast.Name) else node.test.attr if isinstance(node.test, ast.Attribute) else ""
        return node.orelse if test == "TYPE_CHECKING" else node


def _split(node: ast.stmt) -> list[ast.stmt]:
    """Split an import of several names into single imports."""
    # Otherwise a user of one name would depend on all of them.
    if isinstance(node, ast.Import):
        return [ast.Import(names=[alias]) for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [ast.ImportFrom(module=node.module, names=[alias], level=node.level) for alias in node.names]
    return [node]


def _defined(node: ast.stmt) -> frozenset[str]:
    """The names that a statement binds, if it does nothing else."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return frozenset({node.name})
    if isinstance(node, ast.Import | ast.ImportFrom):
        return frozenset(alias.asname or alias.name.partition(".")[0] for alias in node.names if alias.name != WHOLE)
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []
    bound = [one for target in targets for one in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return (
        frozenset(one.id for one in bound if isinstance(one, ast.Name)) if all(isinstance(one, ast.Name) for one in bound) else frozenset()
    )


def _imported(node: ast.Import | ast.ImportFrom, package: str) -> list[Use]:
    if isinstance(node, ast.Import):
        return [(alias.name, WHOLE) for alias in node.names]
    # One dot is the package itself, each further dot a parent.
    parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    module = ".".join([*parts, *([node.module] if node.module else [])])
    return [(module, alias.name) for alias in node.names]


def _is_text(node: object) -> bool:
    """Whether a statement is a docstring, another unused string, or `pass`."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def normal_form(node: object) -> str:
    """A syntax tree as text that is the same in every Python version, without positions, empty fields, docstrings or type comments.

    Args:
        node: a tree, or any field of one.
    """
    if isinstance(node, ast.Constant):
        value = node.value
        # Hex, because Python limits the decimal digits of an int. ascii, because repr depends on Python's Unicode tables.
        return f"{type(value).__name__} {hex(value) if isinstance(value, int) else ascii(value)}"
    if isinstance(node, ast.JoinedStr):  # Python versions split the literal text of an f-string differently
        return f"JoinedStr([{', '.join(_joined(node.values))}])"
    if isinstance(node, ast.AST):
        fields = [(key, value) for key, value in ast.iter_fields(node) if key not in ("ctx", "kind", "type_comment")]
        told = [(key, normal_form(value)) for key, value in fields if value is not None]
        # Newer Python versions add fields that are empty in older code, such as type_params.
        return f"{type(node).__name__}({', '.join(f'{key}={text}' for key, text in told if text != '[]')})"
    if isinstance(node, list):
        return f"[{', '.join(normal_form(one) for one in node if not _is_text(one))}]"
    return ascii(node)


def _joined(values: list[ast.expr]) -> Iterator[str]:
    literal = ""
    for value in values:
        if isinstance(value, ast.Constant):
            literal += str(value.value)
            continue
        if literal:
            yield ascii(literal)
        literal = ""
        yield normal_form(value)
    if literal:
        yield ascii(literal)
