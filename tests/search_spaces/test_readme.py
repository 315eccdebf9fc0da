"""The page on adding a search space: what it shows must work."""

from __future__ import annotations

import re
from pathlib import Path

import search_spaces
from agd_bench.testing import check_file


def test_the_example_of_the_readme_passes_the_kit(tmp_path: Path) -> None:
    """An author who copies the example starts from a sound plug-in."""
    page = Path(search_spaces.__path__[0], "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    file = tmp_path / "two_widths.py"
    file.write_text(example, encoding="utf-8")
    assert [check for check in check_file(file) if not check.passed] == []
