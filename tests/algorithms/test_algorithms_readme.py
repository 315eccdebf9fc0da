"""The algorithms' README: its table agrees with what each algorithm module states."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import agd_bench.algorithms
from agd_bench import plugins

PAGE = (Path(agd_bench.algorithms.__file__).parent / "README.md").read_text(encoding="utf-8")
COMMAND = "python -m tests.performance.algorithm_costs --write"
WORDING = {
    "MIT": "Permission is hereby granted, free of charge, to any person obtaining a copy",
    "BSD-2-Clause": "2. Redistributions in binary form must reproduce the above copyright notice, this list of conditions",
    "Apache-2.0": "Apache License Version 2.0, January 2004",
}
"""A phrase that identifies each licence's text."""
FOUR_PAPERS = {
    "agd", "agd_operator", "agd_dual", "agd_all_layers", "dsgd", "dsgd_cross_entropy", "dsgd_heuristic", "architecture_aware_sgd",
    "architecture_aware_sgd_released",
}  # fmt: skip


def rows() -> dict[str, list[str]]:
    """Return the cells of each table row, by algorithm."""
    lines = [
        line
        for line in PAGE.partition("\n## ")[0].splitlines()
        if re.match(r"\| [a-z]\w* \|", line) and not line.startswith("| algorithm |")
    ]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: rest for name, *rest in cells}


def test_facts_are_those_of_the_algorithms() -> None:
    """Tier, licence and paper of every row match the module; the failure message gives the command that rewrites the page."""
    found = plugins.find("algorithms")
    assert FOUR_PAPERS <= rows().keys() <= found.keys(), COMMAND
    for name, cells in rows().items():
        facts = plugins.describe(found[name])
        assert [cells[0], *cells[-2:]] == [facts["TIER"], facts["LICENCE"], facts["PAPER"]], f"{name}: {COMMAND}"


def test_licences_are_those_of_the_installed_packages() -> None:
    """Stated licences match each package's licence text and its algorithms, and none excludes commercial use."""
    section = PAGE.partition("## Packages and their licences")[2]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| ")][1:]
    stated = {row[0]: row[1] for row in cells}
    owners = importlib.metadata.packages_distributions()
    needed = set()
    for name, source in plugins.find("algorithms").items():
        facts = plugins.describe(source)
        packages: Any = facts.get("PACKAGES", ())
        for package in packages:
            needed.add(owners[package][0])
            assert stated[owners[package][0]] in str(facts["LICENCE"]), name
    assert needed | {"opt_einsum"} == stated.keys()
    for package, licence in stated.items():
        files = [path for path in importlib.metadata.files(package) or () if "licen" in path.name.lower()]
        texts = [" ".join(path.read_text().split()) for path in files]
        assert texts, package
        assert all(WORDING[licence] in text for text in texts), package
        assert not [text for text in texts if re.search(r"non-?commercial", text, re.IGNORECASE)]


def test_what_was_measured_is_said() -> None:
    """The page states hardware, versions, n and the command; AGD has no state, and guaranteed DSGD refuses convolutions."""
    assert COMMAND in PAGE
    assert re.search(r"one thread.*Python 3\.\d+\.\d+, torch \d+\.\d+", PAGE)
    assert re.search(r"n = \d+ alternating rounds", PAGE)
    table = rows()
    assert table["agd"][1] == "0.00"
    for name in ("dsgd", "dsgd_cross_entropy"):
        assert table[name][2:4] == ["refused", "refused"]
        assert "refused" not in table[name][4:6]
