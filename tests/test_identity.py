"""Code identity depends on the code that is executed: which edits change a digest, and which do not."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from agd_bench import identity
from agd_bench.identity import OWN, Closure, code_identity, engine_identity, gives_equal_results, normal_form

PLUGIN = '''
"""A plug-in."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from pack.steps import scale, unused_import
from pack import shared

if TYPE_CHECKING:
    from pack.types_only import Kind

RATE = 0.1


def build(width: int) -> Kind:
    """Build it."""
    from pack.late import finish

    return finish(scale(RATE * math.pi), shared.SHARED)  # a comment
'''
FILES = {
    "pack/__init__.py": "from pack.stranger import NOBODY\nunneeded = 1\nprint('begun')\n",
    "pack/plugin.py": PLUGIN,
    "pack/steps.py": "from .deep import BASE\nOFFSET = 1\ndef scale(x): return inner(x) + OFFSET\ndef inner(x): return x * BASE\n"
    "def unused_import(): return 1\ndef other(): return elsewhere()\ndef elsewhere(): return 2\n",
    "pack/deep.py": "BASE = 2\n",
    "pack/shared.py": "SHARED = 3\n",
    "pack/late.py": "def finish(x, y): return x + y\n",
    "pack/types_only.py": "class Kind: ...\n",
    "pack/stranger.py": "NOBODY = 'uses this'\n",
}


@pytest.fixture
def edit(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes the files, optionally with a replacement in one of them, and returns the plug-in's identity."""

    def write(name: str = "pack/plugin.py", old: str = "", new: str = "", ends: str = "\n") -> str:
        for file, text in FILES.items():
            (tmp_path / file).parent.mkdir(exist_ok=True)
            text = text.replace(old, new) if file == name else text
            (tmp_path / file).write_bytes(text.replace("\n", ends).encode())
        assert not old or old in FILES[name]
        return code_identity("pack.plugin", tmp_path / "pack" / "plugin.py", "pack")

    return write


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pack/plugin.py", "RATE = 0.1", "RATE = 0.2"),
        ("pack/steps.py", "return inner(x) + OFFSET", "return inner(x) - OFFSET"),
        ("pack/steps.py", "return x * BASE", "return x / BASE"),
        ("pack/steps.py", "OFFSET = 1", "OFFSET = 2"),
        ("pack/deep.py", "BASE = 2", "BASE = 3"),
        ("pack/shared.py", "SHARED = 3", "SHARED = 4"),
        ("pack/late.py", "x + y", "x - y"),
        ("pack/__init__.py", "begun", "ended"),
    ],
)
def test_whatever_is_executed_counts(edit: Callable[..., str], name: str, old: str, new: str) -> None:
    """Functions, constants and imports count, including indirect ones, imports inside functions, and code run on package import."""
    assert edit(name, old, new) != edit()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pack/plugin.py", "  # a comment", ""),
        ("pack/plugin.py", '    """Build it."""\n', ""),
        ("pack/plugin.py", '"""A plug-in."""', '"""Another text."""'),
        ("pack/plugin.py", "RATE = 0.1", "RATE = (\n    0.10\n)"),
        ("pack/steps.py", "return elsewhere()", "return 3"),
        ("pack/steps.py", "def elsewhere(): return 2\n", ""),
        ("pack/__init__.py", "unneeded = 1", "unneeded = 2"),
        ("pack/types_only.py", "...", "x = 1"),
        ("pack/stranger.py", "uses", "needs"),
    ],
)
def test_what_is_not_executed_does_not_count(edit: Callable[..., str], name: str, old: str, new: str) -> None:
    """Comments, docstrings, formatting, type-checking imports and uncalled functions of shared modules do not count."""
    assert edit(name, old, new) == edit()


def test_line_ends_do_not_count(edit: Callable[..., str]) -> None:
    """A checkout with Windows line endings has the same digests."""
    assert edit(ends="\r\n") == edit()


def test_a_moved_folder_has_the_same_identity(edit: Callable[..., str], tmp_path: Path) -> None:
    """The identity does not depend on file-system paths."""
    here = edit()
    moved = (tmp_path / "pack").rename(tmp_path / "elsewhere").rename(tmp_path.parent / f"{tmp_path.name}-moved")
    (tmp_path / "site").mkdir()
    moved = moved.rename(tmp_path / "site" / "pack")
    assert code_identity("pack.plugin", moved / "plugin.py", "pack") == here


def test_a_loose_helper_on_the_path_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Helpers next to a plug-in or elsewhere on the path have no version, so their code is part of the identity."""
    folder, library = tmp_path / "mine", tmp_path / "library"
    for place in (folder, library / "my_lab"):
        place.mkdir(parents=True)
    (folder / "plugin.py").write_text("from _helper import step\nfrom my_lab.rates import RATE\nBOTH = step, RATE\n")
    (folder / "_helper.py").write_text("def step(): return 1\n")
    (library / "my_lab" / "rates.py").write_text("RATE = 1\n")
    monkeypatch.syspath_prepend(str(library))

    def now() -> str:
        return code_identity("plugin", folder / "plugin.py")

    identities = [now()]
    (folder / "_helper.py").write_text("def step(): return 2\n")
    identities.append(now())
    (library / "my_lab" / "rates.py").write_text("RATE = 2.5\n")
    identities.append(now())
    assert len(set(identities)) == 3


def test_other_packages_count_by_name_and_version(tmp_path: Path) -> None:
    """Packages that agd-bench itself requires do not count, since every row records their versions."""
    path = tmp_path / "plugin.py"
    path.write_text("import numpy\nimport torch\nfrom hypothesis import given\nUSED = given\n")
    digest, *packages = code_identity("plugin", path).split()
    assert len(digest) == 16
    assert [one.partition("==")[0] for one in packages] == ["hypothesis"]
    assert packages[0].partition("==")[2][0].isdigit()


def test_an_edit_of_the_optimizer_is_an_edit_of_the_built_in_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Editing optim/agd.py changes the identity of agd and of the algorithms built on it, and of no others."""
    from agd_bench import plugins
    from agd_bench.optim import agd

    found = plugins.find("algorithms")
    before = {name: found[name].digest for name in ("agd", "agd_dual", "agd_operator", "sgd")}
    assert agd.__file__ is not None
    edited, read = Path(agd.__file__), Path.read_bytes

    def with_an_edit(path: Path) -> bytes:
        content = read(path)
        return content.replace(b"log1p(", b"exp(") if path == edited else content

    assert with_an_edit(edited) != read(edited)
    monkeypatch.setattr(Path, "read_bytes", with_an_edit)
    identity._parse.cache_clear()
    after = {name: found[name].digest for name in before}
    monkeypatch.undo()
    identity._parse.cache_clear()
    assert {name for name in before if before[name] != after[name]} == {"agd", "agd_dual", "agd_operator"}


def test_the_engine_is_what_runs_a_trial() -> None:
    """The engine includes the training loop and the data, but not reports, stores or plug-ins."""
    package = Path(identity.__file__).parent
    closure = Closure("agd_bench", package / "__init__.py", OWN)
    closure.use("agd_bench.trial", "run_trial")
    modules = {module for module, _ in closure.statements()}
    assert {"agd_bench.training.data", "agd_bench.optim.losses"} <= modules
    assert not [name for name in modules if name.split(".")[1:2] in (["report"], ["store"], ["figures"], ["algorithms"], ["scheduling"])]
    assert engine_identity() == closure.identity()


def test_the_normal_form_is_the_same_in_every_python_version() -> None:
    """The expected form is written out, so a Python version that parses fields or f-strings differently fails here."""
    text = "@d\nasync def f(a, *, b: int = -1, **k) -> None:\n    'text'\n"
    text += "    x = u'\\u00e9' f'{a!r:>{b}}{{}}' 'c', 1e999, ..., b'\\xff', 0x10, None\n"
    assert normal_form(ast.parse(text).body[0]) == (
        "AsyncFunctionDef(name='f', args=arguments(args=[arg(arg='a')], kwonlyargs=[arg(arg='b', annotation=Name(id='int'))], "
        "kw_defaults=[UnaryOp(op=USub(), operand=int 0x1)], kwarg=arg(arg='k')), body=[Assign(targets=[Name(id='x')], value=Tuple(elts=["
        "JoinedStr(['\\xe9', FormattedValue(value=Name(id='a'), conversion=114, format_spec=JoinedStr(['>', "
        "FormattedValue(value=Name(id='b'), conversion=-1)])), '{}c']), float inf, ellipsis Ellipsis, bytes b'\\xff', int 0x10, "
        "NoneType None]))], decorator_list=[Name(id='d')], returns=NoneType None)"
    )


def test_fields_of_later_versions_count_only_if_used() -> None:
    """Python 3.12 added type parameters to functions and classes; the list is empty for code that 3.11 can parse."""
    function = ast.parse("def f(): return 1").body[0]
    before = normal_form(function)
    function._fields = (*function._fields, "type_params_of_later")  # type: ignore[misc]
    function.type_params_of_later = []  # type: ignore[attr-defined]
    assert normal_form(function) == before


def test_code_that_does_not_parse_counts_as_text(tmp_path: Path) -> None:
    """Unparsable code is hashed as text, except for line endings; importing it reports the error."""
    path = tmp_path / "broken.py"
    path.write_bytes(b"def\nx\n")
    one = code_identity("broken", path)
    path.write_bytes(b"def\r\nx\r\n")
    assert code_identity("broken", path) == one
    path.write_bytes(b"def\nyy\n")
    assert code_identity("broken", path) != one


def test_former_code_that_gives_the_same_rows_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equivalent code is looked up by plug-in and digest; a package version given by both must match."""
    monkeypatch.setattr(identity, "_equal", lambda: {"algorithms/a": ["0" * 16]})
    assert gives_equal_results("algorithms/a", "0" * 16, "1" * 16)
    assert gives_equal_results("algorithms/a", "0" * 16, "1" * 16 + " x==1")
    assert gives_equal_results("algorithms/a", "0" * 16 + " x==1", "1" * 16 + " x==1")
    assert not gives_equal_results("algorithms/a", "0" * 16 + " x==1", "1" * 16 + " x==2")
    assert not gives_equal_results("algorithms/a", "2" * 16, "1" * 16)
    assert not gives_equal_results("algorithms/b", "0" * 16, "1" * 16)
