"""The page of the algorithms: its table says of each what the algorithm says of itself."""

from __future__ import annotations

import re
from pathlib import Path

import agd_bench.algorithms
from agd_bench import plugins

PAGE = (Path(agd_bench.algorithms.__file__).parent / "README.md").read_text(encoding="utf-8")
COMMAND = "python -m tests.performance.algorithm_costs --write"
FOUR_PAPERS = {
    "agd", "agd_operator", "agd_dual", "agd_all_layers", "dsgd", "dsgd_cross_entropy", "dsgd_heuristic", "architecture_aware_sgd",
    "architecture_aware_sgd_released",
}  # fmt: skip


def rows() -> dict[str, list[str]]:
    """The cells of the table's rows, by algorithm."""
    lines = [line for line in PAGE.splitlines() if re.match(r"\| [a-z]\w* \|", line) and not line.startswith("| algorithm |")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: rest for name, *rest in cells}


def test_facts_are_those_of_the_algorithms() -> None:
    """Tier, licence and paper of every row; what was renamed or edited since asks for the command that writes the page."""
    found = plugins.find("algorithms")
    assert FOUR_PAPERS <= rows().keys() <= found.keys(), COMMAND
    for name, cells in rows().items():
        facts = plugins.describe(found[name])
        assert [cells[0], *cells[-2:]] == [facts["TIER"], facts["LICENCE"], facts["PAPER"]], f"{name}: {COMMAND}"


def test_what_was_measured_is_said() -> None:
    """Hardware, versions, n and the command; AGD keeps nothing, and the guaranteed forms of DSGD refuse convolutions."""
    assert COMMAND in PAGE
    assert re.search(r"one thread.*Python 3\.\d+\.\d+, torch \d+\.\d+", PAGE)
    assert re.search(r"n = \d+ alternating rounds", PAGE)
    table = rows()
    assert table["agd"][1] == "0.00"
    for name in ("dsgd", "dsgd_cross_entropy"):
        assert table[name][2:4] == ["refused", "refused"]
        assert "refused" not in table[name][4:6]
