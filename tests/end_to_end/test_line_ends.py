"""Written files have the same bytes on every system."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "agd_bench"
FILES = sorted(PACKAGE.rglob("*.py"))


def opened_as_text(call: ast.Call) -> bool:
    """Return whether a call writes text to a file."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    modes = [one.value for one in [*call.args, *(word.value for word in call.keywords)] if isinstance(one, ast.Constant)]
    return name == "write_text" or (name == "open" and any(mode in ("w", "a", "x", "wt") for mode in modes))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_text_is_written_with_explicit_line_ends(file: Path) -> None:
    """Without `newline`, Windows would write different bytes, which would change the digests of published folders."""
    calls = [node for node in ast.walk(ast.parse(file.read_bytes())) if isinstance(node, ast.Call)]
    for call in calls:
        given = {word.arg for word in call.keywords}
        assert not opened_as_text(call) or "newline" in given, f"line {call.lineno}: write_text or open without newline"
        if isinstance(call.func, ast.Attribute) and call.func.attr == "to_csv":
            assert "lineterminator" in given, f"line {call.lineno}: to_csv without lineterminator"
