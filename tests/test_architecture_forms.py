"""Architecture formats of other projects: known pairs, conversion in both directions, and invalid input."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from agd_bench import plugins
from agd_bench.architecture_forms import FORMS, convert
from agd_bench.errors import InputError, UnknownNameError

DARTS_V2 = """Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 1),
('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0),
('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2),
('max_pool_3x3', 1)], reduce_concat=range(2, 6))"""
"""The cell that the paper on DARTS reports as its second-order result."""
DARTS_V2_STRING = (
    "|sep_conv_3x3~0|sep_conv_3x3~1|+|sep_conv_3x3~0|sep_conv_3x3~1|+|skip_connect~0|sep_conv_3x3~1|+|skip_connect~0|dil_conv_3x3~2|"
    "/|max_pool_3x3~0|max_pool_3x3~1|+|max_pool_3x3~1|skip_connect~2|+|max_pool_3x3~0|skip_connect~2|+|max_pool_3x3~1|skip_connect~2|"
)


@pytest.mark.parametrize("space", FORMS)
def test_every_form_is_exact_in_both_directions(space: str) -> None:
    """50 random architectures survive conversion and back, both as objects and as text."""
    module = plugins.load("search_spaces", space)
    rng = np.random.default_rng(0)
    for architecture in {module.sample(rng) for _ in range(50)}:
        for form in FORMS[space]:
            written = convert(space, architecture, form)
            assert convert(space, written) == architecture
            assert convert(space, repr(written)) == architecture


def test_a_published_darts_genotype_in_any_order_of_edges() -> None:
    """The genotype is read as text with `range`, as an object, and as NASLib's tuple."""
    assert convert("darts", DARTS_V2) == DARTS_V2_STRING
    genotype = convert("darts", DARTS_V2_STRING, "genotype")
    swapped = SimpleNamespace(
        **{**genotype._asdict(), "normal": [pair for k in range(0, 8, 2) for pair in genotype.normal[k : k + 2][::-1]]}
    )
    assert convert("darts", swapped) == DARTS_V2_STRING
    assert convert("darts", DARTS_V2_STRING, "naslib")[0] == ((0, 3), (1, 3), (0, 3), (1, 3), (0, 2), (1, 3), (0, 2), (2, 5))


def test_a_published_nas_bench_101_cell() -> None:
    """The Inception-like cell of NAS-Bench-101's README converts from a list or array matrix, a spec and NASLib's tuple."""
    matrix = [[0, 1, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0, 1],
              [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0]]  # fmt: skip
    operations = ["input", *(["conv1x1-bn-relu"] + ["conv3x3-bn-relu"] * 3), "maxpool3x3", "output"]
    expected = "1_10_100_0001_10000_011011:conv1x1,conv3x3,conv3x3,conv3x3,maxpool3x3"
    for given in ((matrix, operations), {"matrix": np.array(matrix), "ops": operations}, SimpleNamespace(matrix=matrix, ops=operations)):
        assert convert("nas_bench_101", given) == expected
    assert convert("nas_bench_101", expected, "spec") == {"matrix": matrix, "ops": operations}
    assert convert("nas_bench_101", expected, "naslib") == (*np.ravel(matrix), 0, 3, 4, 4, 4, 2, 1)


def test_nas_bench_201_forms_list_edges_by_target_or_by_source() -> None:
    """The operations are chosen so that a wrong order of the six edges would be noticed."""
    architecture = "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    assert convert("nas_bench_201", architecture, "naslib") == (2, 3, 0, 4, 1, 2)
    nodes = convert("nas_bench_201", architecture, "genotype")
    assert nodes[1] == (("nor_conv_1x1", 0), ("avg_pool_3x3", 1))
    assert convert("nas_bench_201", f"Structure(4 nodes with {architecture})") == architecture


@pytest.mark.parametrize(
    ("space", "given"),
    [
        ("nas_bench_201", (0, 1, 2, 3, 4)),
        ("nas_bench_201", (0, 1, 2, 3, 4, 5)),
        ("nas_bench_201", (0, 1, 2, 3, 4, -1)),
        ("nas_bench_201", (0, 1, 2, 3, 4, 0.5)),
        ("nas_bench_201", "__import__('os').getcwd()"),
        ("nas_bench_201", "(" * 500),
        ("nas_bench_101", {"matrix": [[0, 1], [1, 0]], "ops": ["input", "output"]}),
        ("nas_bench_101", {"matrix": [[0, 0], [0, 0]], "ops": ["input", "output"]}),
        ("nas_bench_101", (1,) * 7),
        ("darts", DARTS_V2.replace("('sep_conv_3x3', 1)", "('sep_conv_3x3', 0)")),
        ("darts", DARTS_V2.replace("range(2, 6)", "[2, 3, 4]")),
        ("darts", DARTS_V2.replace("skip_connect", "none")),
        ("darts", None),
    ],
)
def test_anything_else_is_an_error(space: str, given: object) -> None:
    """Wrong counts, unknown or negative operations, cycles and code all raise the same error, which lists the accepted forms."""
    with pytest.raises(InputError, match=", ".join(FORMS[space])):
        convert(space, given)


def test_unknown_spaces_and_forms() -> None:
    """The error suggests the nearest known name."""
    with pytest.raises(UnknownNameError, match="Did you mean 'darts'"):
        convert("dart", ())
    with pytest.raises(UnknownNameError, match="Did you mean 'naslib'"):
        convert("darts", DARTS_V2, "naslab")
