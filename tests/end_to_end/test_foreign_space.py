"""A search space from outside the package: one file of at most 60 lines, used in a sweep together with two of ours."""

from __future__ import annotations

from pathlib import Path

from agd_bench import plugins
from agd_bench.planning.planner import plan
from agd_bench.records import read_sweep
from agd_bench.testing import check_file

HERE = Path(__file__).parents[1] / "foreign_space"


def test_a_foreign_space_keeps_its_promises_in_sixty_lines() -> None:
    """The file imports nothing from agd-bench, and the kit counts 6,561 architectures and 3,969 networks."""
    file = HERE / "nas_bench_macro.py"
    assert [check.message for check in check_file(file) if not check.passed] == []
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert "agd_bench" not in text


def test_identities_move_to_the_end_of_their_stage() -> None:
    """Canonical names move all identities to the end of their stage, except a first one, which halves the image and is a convolution."""
    space = plugins.load("search_spaces", "nas_bench_macro", [HERE])
    assert space.canonical("00100201") == "00100210"
    assert space.canonical("12012012") == "12012012"
    sizes = [sum(p.numel() for p in space.build(name, 3, 10, channels=8).parameters()) for name in ("00000000", "00000001")]
    wide, narrow = 3 * 32, 32
    bottleneck = narrow * wide + 2 * wide + 9 * wide + 2 * wide + wide * narrow + 2 * narrow
    assert sizes[1] - sizes[0] == bottleneck


def test_a_sweep_trains_it_beside_two_of_ours() -> None:
    """Every algorithm trains ten architectures of each of the three spaces with four seeds."""
    made = plan(read_sweep(HERE / "three_spaces.toml"))
    assert len(made.all_trials) == 3 * 10 * 4 * 3
    assert {trial.search_space for trial in made.all_trials} == {"nas_bench_macro", "nas_bench_201", "fcn"}
