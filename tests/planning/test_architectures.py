"""Samples of search spaces: which architectures in which order, identical on every machine."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from agd_bench import plugins
from agd_bench.errors import SweepError, UnknownNameError
from agd_bench.planning.architectures import REFERENCE, choose_architectures, draw_architectures, in_order
from agd_bench.planning.planner import plan
from agd_bench.records import SearchSpaceChoice, Sweep
from agd_bench.trial import Workplace, run_trial
from search_spaces import nas_bench_201


def choose(architectures: Any, sampling: dict[str, Any] | None = None, module: ModuleType = nas_bench_201, **more: Any) -> tuple[str, ...]:
    """Return the architectures that a sweep takes from NAS-Bench-201 or another module."""
    asked = {"name": "nas_bench_201", "architectures": architectures, "sampling": sampling, **more}
    return choose_architectures(module, SearchSpaceChoice.model_validate(asked))


def test_a_smaller_draw_is_the_beginning_of_a_larger_one() -> None:
    """Growing a sweep keeps the architectures that were already trained."""
    assert draw_architectures(nas_bench_201, "nas_bench_201", 32)[:12] == draw_architectures(nas_bench_201, "nas_bench_201", 12)
    for sampling in ({"unique": True}, {"stratify": "flops"}, {"unique": "strings", "stratify": "parameters", "strata": 7}):
        assert choose(33, sampling)[:12] == choose(12, sampling)


def test_the_draw_is_the_same_on_every_machine() -> None:
    """The draw is pinned, because published results are for these architectures."""
    drawn = [choose(1, sampling)[0] for sampling in (None, {"unique": True}, {"stratify": "flops"})]
    assert drawn == [
        "|skip_connect~0|+|none~0|nor_conv_1x1~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_1x1~2|",
        "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|",
        "|skip_connect~0|+|avg_pool_3x3~0|nor_conv_3x3~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    ]


def test_a_list_a_range_and_all_are_what_they_say() -> None:
    """A list keeps its order; a range and `all` follow the numbering of the benchmark."""
    every = tuple(nas_bench_201.architectures())
    assert choose("all") == every
    assert choose({"first": 6111, "count": 2}) == every[6111:6113]
    assert choose(list(every[5:2:-1])) == every[5:2:-1]


def test_unique_samples_are_of_different_networks() -> None:
    """Unique samples have only canonical names, and draw each network equally often, however many strings it has."""
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
    assert plain > 2 * mean  # a plain draw favours large classes


@pytest.mark.parametrize(("stratify", "which"), [("parameters", 0), ("flops", 1)])
def test_strata_have_equal_shares(stratify: str, which: int) -> None:
    """Each tenth of the size distribution gives a tenth of the sample after any number of full turns."""

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
    """Strata of unequal size run out one after the other, and each architecture is drawn once."""

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
    """A sampler with a single architecture raises an error instead of looping forever."""

    class Module:
        @staticmethod
        def sample(rng: np.random.Generator) -> str:
            return "same"

    with pytest.raises(SweepError, match="only 1 distinct"):
        draw_architectures(Module, "tiny", 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "asked", "error", "said"),
    [
        (
            "nas_bench_201",
            {"architectures": {"first": 15_620, "count": 6}},
            SweepError,
            "give indices from 0 to 15624",
        ),
        ("nas_bench_201", {"architectures": 5_045, "sampling": {"unique": True}}, SweepError, "only 5044 exist"),
        ("nas_bench_201", {"architectures": 5, "sampling": {"unique": "string"}}, UnknownNameError, "Did you mean 'strings'"),
        ("darts", {"architectures": 5, "sampling": {"unique": True}}, SweepError, "cannot be enumerated"),
        ("vgg", {"architectures": 5, "sampling": {"unique": True}}, SweepError, "leave `unique` out"),
        ("vgg", {"architectures": 5, "sampling": {"stratify": "flops"}}, SweepError, "does not define size()"),
        ("nas_bench_201", {"architectures": 5, "sampling": {"stratify": "flops", "strata": 20_000}}, SweepError, "give fewer strata"),
    ],
)
def test_what_a_space_cannot_serve_is_a_clear_error(name: str, asked: dict[str, Any], error: type[Exception], said: str) -> None:
    """The one-line error says what to do."""
    with pytest.raises(error) as raised:
        choose_architectures(plugins.load("search_spaces", name), SearchSpaceChoice.model_validate({"name": name, **asked}))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"architectures": ["a"], "sampling": {"unique": True}}, "sampling: "),
        ({"architectures": {"first": 0, "count": 3}, "sampling": {"unique": True}}, "sampling: "),
        ({"architectures": "all", "sampling": {"stratify": "flops"}}, "sampling: "),
        ({"sampling": {}}, "sampling: "),
        ({"sampling": {"stratify": "flops", "strata": 1}}, "greater than or equal to 2"),
    ],
)
def test_samplings_that_say_nothing_are_refused(asked: dict[str, Any], said: str) -> None:
    """Contradictory sampling options are an error before any plug-in is loaded."""
    with pytest.raises(ValidationError, match=said):
        SearchSpaceChoice.model_validate({"name": "nas_bench_201", **asked})


# ------------------------------------------------------------------------------------- training one of several equal networks

EQUAL = [  # the mean of a sum, the sum of the means, and next to a dead block
    "|nor_conv_3x3~0|+|skip_connect~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|",
    "|nor_conv_3x3~0|+|none~0|none~1|+|avg_pool_3x3~0|avg_pool_3x3~1|none~2|",
    "|nor_conv_1x1~0|+|nor_conv_3x3~0|none~1|+|avg_pool_3x3~0|none~1|avg_pool_3x3~2|",
]
CROSSED = [  # three blocks, on different edges in a different order
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|avg_pool_3x3~1|skip_connect~2|",
    "|nor_conv_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|skip_connect~2|",
]
OTHER = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
NO_PATH = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def shared_sweep(space: dict[str, Any] | None = None, **changes: Any) -> Sweep:
    """Return a sweep of three equal networks, a different one and one without a path, with two algorithms, one of them tuned."""
    options = {"channels": 4, "cells": 1, "dead_edges": "dropped"}
    asked = {"name": "nas_bench_201", "architectures": [*EQUAL, OTHER, NO_PATH], "representatives": True, "options": options}
    given = {"name": "s", "epochs": 1, "seeds": 2, "search_spaces": [{**asked, **(space or {})}], "datasets": [{"name": "digits"}]}
    return Sweep.model_validate({**given, "algorithms": [{"name": "agd"}, {"name": "sgd_tuned", "tuning_trials": 2}], **changes})


def test_one_of_equal_networks_is_planned_to_be_trained() -> None:
    """Only the first of equal networks is trained, in final trials and studies alike; trial ids stay the same."""
    shared, plain = plan(shared_sweep()), plan(shared_sweep({"representatives": False}))
    assert [trial.id for trial in shared.trials] == [trial.id for trial in plain.trials]
    by_id = {trial.id: trial for trial in shared.all_trials}
    for trial in shared.all_trials:
        if trial.architecture in EQUAL[1:]:
            other = by_id[str(trial.representative)]
            assert (other.architecture, other.seed, other.algorithm, other.study) == (EQUAL[0], trial.seed, trial.algorithm, trial.study)
        else:
            assert trial.representative is None
    assert [[trial.architecture for trial in study.final] for study in shared.studies] == [EQUAL * 2, [OTHER] * 2]
    assert [study.key for study in shared.studies] == [plain.studies[0].key, plain.studies[3].key]
    scope = {"name": "sgd_tuned", "tuning_trials": 1, "tuning_scope": "search-space", "proxies": 3}
    (study,) = plan(shared_sweep(algorithms=[scope])).studies
    assert [trial.architecture for trial in study.rounds[0]] == [EQUAL[0], OTHER]


@pytest.mark.parametrize("algorithm", ["agd", "nas_bench_201_sgd", "nadamw"])
def test_equal_networks_train_to_equal_results(algorithm: str, tmp_path: Path) -> None:
    """Trained separately from one seed, equal networks have the same results up to rounding, and different networks do not."""
    space = {"representatives": False, "architectures": [*EQUAL, *CROSSED]}
    asked = shared_sweep(space, seeds=1, datasets=[{"name": "digits", "share": 0.3}], algorithms=[{"name": algorithm}], batch_size=64)
    results = [run_trial(trial, Workplace(tmp_path, device="cpu")) for trial in plan(asked).trials]
    for equal in (results[:3], results[3:]):
        for one in equal[1:]:
            assert (one.parameters, one.forward_flops) == (equal[0].parameters, equal[0].forward_flops)
            assert one.train_loss == pytest.approx(equal[0].train_loss, rel=1e-4)
            assert one.val_loss == pytest.approx(equal[0].val_loss, rel=1e-4)
            assert one.test_accuracy == pytest.approx(equal[0].test_accuracy, abs=0.01)
    assert results[0].train_loss != pytest.approx(results[3].train_loss, rel=2e-4)


@pytest.mark.parametrize(
    ("space", "changes", "said"),
    [
        ({}, {"profiles": ["matrix-only", "as-published"]}, "requires profiles"),
        ({"options": {}}, {}, 'requires options = { dead_edges = "dropped" }'),
        ({}, {"seeds": "adaptive"}, "cannot be combined with adaptive seeds"),
        ({}, {"algorithms": [{"name": "architecture_aware_sgd", "tuning_trials": 4}]}, "uses the architecture's graph"),
        ({"name": "fcn", "architectures": 2, "options": {}}, {}, "does not guarantee that equal networks train to equal results"),
        ({"name": "nas_bench_101", "architectures": 2, "options": {}}, {}, "does not guarantee"),
    ],
)
def test_where_equality_is_not_exact_all_are_trained(space: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    """Representatives are a one-line error where equal networks may not train to equal results."""
    asked = shared_sweep(space, **changes)
    with pytest.raises(SweepError) as raised:
        plan(asked)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_growing_sample_of_networks_stays_fair() -> None:
    """Networks are shuffled, not strings: the first ones have as many strings as others, and equal ones are adjacent.

    If strings were shuffled, networks with many strings would tend to come first.
    """
    asked = {"name": "nas_bench_201", "architectures": "all", "order": "random"}
    shared, plain = (SearchSpaceChoice.model_validate({**asked, "representatives": given}) for given in (True, False))
    listed = tuple(nas_bench_201.architectures())
    strings = Counter(map(nas_bench_201.canonical, listed))
    networks, early = ([nas_bench_201.canonical(name) for name in in_order(nas_bench_201, choice, listed)] for choice in (shared, plain))
    assert len([name for name, _ in itertools.groupby(networks)]) == len(strings) == 5_044
    single, first = (np.array([strings[name] == 1 for name in dict.fromkeys(names)]) for names in (networks, early))
    share = single.mean()
    spread = (share * (1 - share) / 500) ** 0.5
    assert abs(single[:500].mean() - share) < 3 * spread
    assert first[:500].mean() < share - 6 * spread


def test_a_sampling_survives_its_sweep() -> None:
    """A sweep is unchanged after writing and reading it."""
    spaces = [
        {"name": "nas_bench_201", "architectures": 4, "sampling": {"unique": "strings", "stratify": "flops"}},
        {"name": "nas_bench_201", "label": "range", "architectures": {"first": 2, "count": 4}},
    ]
    sweep = Sweep.model_validate(
        {"name": "s", "epochs": 1, "search_spaces": spaces, "datasets": [{"name": "digits"}], "algorithms": [{"name": "agd"}]}
    )
    assert Sweep.model_validate_json(sweep.model_dump_json()) == sweep
