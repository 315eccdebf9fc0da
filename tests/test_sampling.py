"""Samples of search spaces: which architectures, in which order, the same everywhere."""

from __future__ import annotations

from collections import Counter
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from agd_bench import plugins
from agd_bench.errors import SweepError, UnknownNameError
from agd_bench.records import SearchSpaceChoice, Sweep
from agd_bench.sampling import REFERENCE, choose_architectures, draw_architectures
from search_spaces import nas_bench_201


def choose(architectures: Any, sampling: dict[str, Any] | None = None, module: ModuleType = nas_bench_201, **more: Any) -> tuple[str, ...]:
    """What a sweep takes from NAS-Bench-201, or from a space of ours."""
    asked = {"name": "nas_bench_201", "architectures": architectures, "sampling": sampling, **more}
    return choose_architectures(module, SearchSpaceChoice.model_validate(asked))


def test_a_smaller_draw_is_the_beginning_of_a_larger_one() -> None:
    """Growing a sweep keeps what was trained."""
    assert draw_architectures(nas_bench_201, "nas_bench_201", 32)[:12] == draw_architectures(nas_bench_201, "nas_bench_201", 12)
    for sampling in ({"unique": True}, {"stratify": "flops"}, {"unique": "strings", "stratify": "parameters", "strata": 7}):
        assert choose(33, sampling)[:12] == choose(12, sampling)


def test_the_draw_is_the_same_on_every_machine() -> None:
    """Pinned: published results are of these architectures."""
    drawn = [choose(1, sampling)[0] for sampling in (None, {"unique": True}, {"stratify": "flops"})]
    assert drawn == [
        "|skip_connect~0|+|none~0|nor_conv_1x1~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_1x1~2|",
        "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|",
        "|skip_connect~0|+|avg_pool_3x3~0|nor_conv_3x3~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    ]


def test_a_list_a_range_and_all_are_what_they_say() -> None:
    """In the order of the list, or of the benchmark's own numbers."""
    every = tuple(nas_bench_201.architectures())
    assert choose("all") == every
    assert choose({"first": 6111, "count": 2}) == every[6111:6113]
    assert choose(list(every[5:2:-1])) == every[5:2:-1]


def test_unique_samples_are_of_different_networks() -> None:
    """All of them by either rule, canonical names alone; and a draw takes each equally often, however many strings it has."""
    for rule, count in ((True, 5_044), ("functions", 5_044), ("strings", 6_466)):
        names = choose("all", {"unique": rule})
        assert len(set(names)) == len(names) == count
    networks = choose("all", {"unique": True})
    assert set(choose(5_044, {"unique": True})) == set(networks)
    strings = Counter(map(nas_bench_201.canonical, nas_bench_201.architectures()))
    assert all(strings[name] for name in networks)
    drawn = choose(1_000, {"unique": True})
    mean, spread = np.mean([strings[name] for name in networks]), np.std([strings[name] for name in networks])
    assert abs(np.mean([strings[name] for name in drawn]) - mean) < 4 * spread / 1_000**0.5
    plain = np.mean([strings[nas_bench_201.canonical(name)] for name in choose(1_000)])
    assert plain > 2 * mean  # a plain draw meets large classes more often


@pytest.mark.parametrize(("stratify", "which"), [("parameters", 0), ("flops", 1)])
def test_strata_have_equal_shares(stratify: str, which: int) -> None:
    """Each tenth of the sizes gives a tenth of any number of full turns, and sizes are nearer to the space's than a plain draw's."""

    def sizes(names: tuple[str, ...]) -> list[int]:
        return sorted(nas_bench_201.size(name, *REFERENCE)[which] for name in names)

    whole = np.array(sizes(tuple(nas_bench_201.architectures())))
    drawn = sizes(choose(200, {"stratify": stratify}))
    assert len(set(choose(200, {"stratify": stratify}))) == 200
    for tenth in range(10):
        low, high = whole[15_625 * tenth // 10], whole[15_625 * (tenth + 1) // 10 - 1]
        assert all(low <= size <= high for size in drawn[20 * tenth : 20 * tenth + 20])
    turn = sizes(choose(10, {"stratify": stratify}))
    assert turn[0] <= whole[1_562]
    assert turn[-1] >= whole[15_625 * 9 // 10]


def test_everything_can_be_drawn_in_strata() -> None:
    """Strata of unequal numbers run out one after the other, and each architecture comes once."""

    class Module:
        @staticmethod
        def architectures() -> list[str]:
            return [str(number) for number in range(23)]

        @staticmethod
        def size(architecture: str, in_channels: int, num_classes: int, image_size: int) -> tuple[int, int]:
            return int(architecture), 0

    drawn = choose(23, {"stratify": "parameters", "strata": 5}, Module, name="tiny")  # type: ignore[arg-type]
    assert sorted(map(int, drawn)) == list(range(23))
    stratum = [sum(int(name) >= bound for bound in (4, 9, 13, 18)) for name in drawn]
    assert [sorted(stratum[turn : turn + 5]) for turn in (0, 5, 10)] == [[0, 1, 2, 3, 4]] * 3


def test_a_space_that_repeats_itself_is_not_asked_for_ever() -> None:
    """A sampler with one architecture cannot give two."""

    class Module:
        @staticmethod
        def sample(rng: np.random.Generator) -> str:
            return "same"

    with pytest.raises(SweepError, match="only 1 different"):
        draw_architectures(Module, "tiny", 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "asked", "error", "said"),
    [
        ("nas_bench_201", {"architectures": {"first": 15_620, "count": 6}}, SweepError, "15,625 architectures, indices 0 to 15624"),
        ("nas_bench_201", {"architectures": 5_045, "sampling": {"unique": True}}, SweepError, "there are 5044; ask for fewer"),
        ("nas_bench_201", {"architectures": 5, "sampling": {"unique": "string"}}, UnknownNameError, "Did you mean 'strings'"),
        ("darts", {"architectures": 5, "sampling": {"unique": True}}, SweepError, "cannot be enumerated"),
        ("vgg", {"architectures": 5, "sampling": {"unique": True}}, SweepError, "leave `unique` out"),
        ("vgg", {"architectures": 5, "sampling": {"stratify": "flops"}}, SweepError, "does not tell the size"),
        ("nas_bench_201", {"architectures": 5, "sampling": {"stratify": "flops", "strata": 20_000}}, SweepError, "give fewer strata"),
    ],
)
def test_what_a_space_cannot_serve_is_a_clear_error(name: str, asked: dict[str, Any], error: type[Exception], said: str) -> None:
    """In one line, with what to do."""
    with pytest.raises(error) as raised:
        choose_architectures(plugins.load("search_spaces", name), SearchSpaceChoice.model_validate({"name": name, **asked}))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"architectures": ["a"], "sampling": {"unique": True}}, "nothing to draw"),
        ({"architectures": {"first": 0, "count": 3}, "sampling": {"unique": True}}, "nothing to draw"),
        ({"architectures": "all", "sampling": {"stratify": "flops"}}, "nothing to stratify"),
        ({"sampling": {}}, "leave it out for a plain draw"),
        ({"sampling": {"stratify": "flops", "strata": 1}}, "greater than or equal to 2"),
    ],
)
def test_samplings_that_say_nothing_are_refused(asked: dict[str, Any], said: str) -> None:
    """Before any plug-in is asked."""
    with pytest.raises(ValidationError, match=said):
        SearchSpaceChoice.model_validate({"name": "nas_bench_201", **asked})


def test_a_sampling_survives_its_sweep() -> None:
    """Written out and read again, it is the same sweep."""
    spaces = [
        {"name": "nas_bench_201", "architectures": 4, "sampling": {"unique": "strings", "stratify": "flops"}},
        {"name": "nas_bench_201", "label": "range", "architectures": {"first": 2, "count": 4}},
    ]
    sweep = Sweep.model_validate(
        {"name": "s", "epochs": 1, "search_spaces": spaces, "datasets": [{"name": "digits"}], "algorithms": [{"name": "agd"}]}
    )
    assert Sweep.model_validate_json(sweep.model_dump_json()) == sweep
