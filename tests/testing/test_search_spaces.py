"""Checks of a search space's graph by the conformance kit."""

from __future__ import annotations

from pathlib import Path

import pytest

from agd_bench.testing import check_file

SPACE = '''
"""Two linear layers and a skip.

References:
    The developers of agd-bench, tests of the project, 2026.
"""
from torch import nn

SHALLOW = "8"


def sample(rng):
    return str(rng.integers(8, 64))


def defect(architecture):
    return "{defect}"


def build(architecture, in_channels, num_classes):
    if not architecture.isdecimal():
        raise ValueError(f"{{architecture!r}} is no width; write a number")
    width = int(architecture)
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * in_channels, width), nn.ReLU(), nn.Linear(width, num_classes))


def graph(architecture):
    return {edges}
'''
CHECK = "graph() matches the built network"
SOUND = '((0, 1, 1, 1, "2"), (0, 1, 0, 1, ""), (1, 2, 1, 1, "4"))'


@pytest.mark.parametrize(
    ("edges", "defect", "said"),
    [
        (SOUND, "", ""),
        (SOUND.replace('"4"', '"2"'), "", "repeats 2"),
        (SOUND.replace('"4"', '""'), "", "omits 4"),
        (SOUND.replace("(0, 1, 0, 1, '')".replace("'", '"'), '(0, 1, 0, 1, "3")'), "", "unknown modules 3"),
        (SOUND.replace("(1, 2,", "(3, 4,"), "", "has no path from image to logits"),
        (SOUND, "it is Monday", "has a path from image to logits"),
        ("((0, 0, 1, 1, '2'),)", "", "an edge is (start, end, layers, kernel size, module)"),
    ],
)
def test_graphs_that_do_not_fit_are_found(tmp_path: Path, edges: str, defect: str, said: str) -> None:
    """Each fault of a graph is reported, and a correct graph passes."""
    file = tmp_path / "skipping.py"
    file.write_text(SPACE.format(edges=edges, defect=defect), encoding="utf-8")
    (check,) = [check for check in check_file(file) if check.name == CHECK]
    assert check.passed == (not said)
    assert said in check.message


def test_a_graph_without_a_shallow_network_is_remarked(tmp_path: Path) -> None:
    """A missing shallow network may be intended, so it is only a remark that states the consequence."""
    file = tmp_path / "skipping.py"
    file.write_text(SPACE.format(edges=SOUND, defect="").replace('SHALLOW = "8"', ""), encoding="utf-8")
    (check,) = [check for check in check_file(file) if check.name == CHECK]
    assert check.passed
    assert "without SHALLOW" in check.message
