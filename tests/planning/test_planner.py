"""Planning: a sweep gives the same trials on every machine, and all algorithms train on the same architectures and seeds."""

from __future__ import annotations

import collections
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agd_bench import plugins
from agd_bench.errors import InputError, PluginError, SweepError, UnknownNameError
from agd_bench.planning.architectures import choose_architectures, in_order
from agd_bench.planning.planner import plan
from agd_bench.records import TUNING_SEED, SearchSpaceChoice, Sweep
from agd_bench.sweeps import open_sweep

TUNED = {"name": "sgd_tuned", "tuning_trials": 3}


def sweep(**changes: object) -> Sweep:
    """Return a small sweep with one frozen and one tuned algorithm."""
    asked = {
        "name": "small",
        "epochs": 1,
        "seeds": 2,
        "search_spaces": [{"name": "nas_bench_201", "architectures": 5, "options": {"channels": 4, "cells": 1}}],
        "datasets": [{"name": "digits"}],
        "algorithms": [{"name": "agd"}, TUNED],
    }
    return Sweep.model_validate({**asked, **changes})


def test_a_plan_is_a_function_of_its_sweep() -> None:
    """Planning twice gives the same trials in the same order."""
    assert plan(sweep()) == plan(sweep())


def test_every_algorithm_meets_the_same_architectures_and_seeds() -> None:
    """Final trials pair one to one between any two algorithms."""
    pairs = collections.defaultdict(set)
    for trial in plan(sweep()).all_trials:
        if trial.purpose == "final":
            pairs[trial.algorithm_label].add((trial.architecture, trial.seed))
    assert pairs["agd"] == pairs["sgd_tuned"]
    assert len(pairs["agd"]) == 10


def test_an_enumerated_space_in_random_order_begins_with_a_fair_sample() -> None:
    """The order depends on the names alone, and seeds are the outer loop."""
    module = plugins.load("search_spaces", "nas_bench_201")
    choice = SearchSpaceChoice(name="nas_bench_201", architectures="all", order="random")
    first = in_order(module, choice, choose_architectures(module, choice))
    assert sorted(first) == sorted(module.architectures())
    small = {"name": "nas_bench_201", "architectures": list(module.architectures())[:40], "order": "random"}
    trials = plan(sweep(algorithms=[{"name": "agd"}], search_spaces=[small])).trials
    kept = [architecture for architecture in first if architecture in small["architectures"]]
    assert [(trial.seed, trial.architecture) for trial in trials] == [(seed, architecture) for seed in (0, 1) for architecture in kept]
    assert first[0] == "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|nor_conv_3x3~1|avg_pool_3x3~2|"
    convolutions = [architecture.count("nor_conv_3x3") for architecture in first]
    # 6 edges, 5 operations: 1.2 of each on average, with a standard deviation of 0.98, or 0.044 for the mean of 500 cells.
    assert abs(np.mean(convolutions[:500]) - 1.2) < 4 * 0.044


def test_tuning_seeds_are_never_final_seeds() -> None:
    """Final trials use other seeds than tuning trials."""
    for trial in plan(sweep()).all_trials:
        assert (trial.seed >= TUNING_SEED) == (trial.purpose == "tuning")


def test_scope_decides_what_a_study_tunes_on() -> None:
    """There is one study per architecture, or one per search space that tunes on proxies and has all architectures as finals."""
    each = plan(sweep(algorithms=[TUNED])).studies
    assert [len(study.rounds) for study in each] == [3] * 5
    assert {len(part) for study in each for part in study.rounds} == {1}
    (once,) = plan(sweep(algorithms=[{**TUNED, "tuning_scope": "search-space", "proxies": 2}])).studies
    assert [len(part) for part in once.rounds] == [2, 2, 2]
    assert len(once.final) == 10


def test_one_study_can_span_all_workloads() -> None:
    """With the scope `sweep`, every proposal is tried on the proxies of each space and profile, and all finals use the best one."""
    spaces = [{"name": "nas_bench_201", "architectures": 5}, {"name": "plain_chain", "architectures": 2}]
    asked = sweep(
        search_spaces=spaces,
        profiles=["matrix-only", "as-published"],
        algorithms=[{**TUNED, "tuning_scope": "sweep", "proxies": 2}, {"name": "prodigy", "tuning_trials": 2, "tuning_scope": "sweep"}],
    )
    made = plan(asked)
    assert [study.algorithm for study in made.studies] == ["sgd_tuned", "prodigy"]
    study = made.studies[0]
    assert [len(part) for part in study.rounds] == [2 * 2 * 2] * 3
    tried = {(trial.search_space, trial.profile) for trial in study.rounds[0]}
    assert tried == {(space["name"], profile) for space in spaces for profile in ("matrix-only", "as-published")}
    assert {trial.study for trial in made.all_trials if trial.algorithm == "sgd_tuned"} == {study.key}
    assert len(study.final) == (5 + 2) * 2 * 2
    with pytest.raises(SweepError, match="pruners compare"):
        plan(sweep(algorithms=[{**TUNED, "tuning_scope": "sweep", "pruner": "median"}]))


SCOPES: dict[str, object] = {
    **TUNED,
    "tuning_scope": ["architecture", "search-space", "none"],
    "untuned": {"learning_rate": 0.1, "one_minus_momentum": 0.1, "weight_decay": 1e-5, "end_factor": 0.01},
}


def test_scopes_of_one_entry_are_planned_side_by_side() -> None:
    """An entry with several scopes has the trials of each, for the same architectures and seeds; `none` uses the given values."""
    made = plan(sweep(algorithms=[SCOPES]))
    alone = plan(sweep(algorithms=[TUNED]))
    assert {trial.id for trial in alone.all_trials} < {trial.id for trial in made.all_trials}
    assert [study.key for study in made.studies[:5]] == [study.key for study in alone.studies]
    assert len(made.studies) == 6
    finals = collections.defaultdict(set)
    for trial in made.all_trials:
        if trial.purpose == "final":
            finals[trial.algorithm_label].add((trial.architecture, trial.seed))
    assert len(finals) == 3
    assert len({frozenset(pairs) for pairs in finals.values()}) == 1
    assert {trial.settings["learning_rate"] for trial in made.trials} == {0.1}


def test_a_defect_is_a_row_of_every_scope() -> None:
    """An architecture with a defect has separate trials for each scope, which will all be refused."""
    dead = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    spaces = [{"name": "nas_bench_201", "architectures": [dead]}]
    made = plan(sweep(search_spaces=spaces, algorithms=[SCOPES]))
    assert len({trial.id for trial in made.trials}) == 3 * 2
    alone = plan(sweep(search_spaces=spaces, algorithms=[TUNED]))
    assert [trial.id for trial in alone.trials] == [trial.id for trial in made.trials if trial.algorithm_label == "sgd_tuned@architecture"]


def test_a_trial_takes_less_than_two_kilobytes() -> None:
    """A plan of 140,625 trials must fit beside torch on a small machine."""
    sweep = open_sweep("flagship", ["search_spaces.0.architectures=300", "search_spaces.0.representatives=false"])
    plan(sweep)  # what is computed once is not counted
    tracemalloc.start()
    made = plan(sweep)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept / len(made.all_trials) < 2000


def test_a_random_search_is_a_study_of_its_own() -> None:
    """The sampler is part of a study's key, and the keys for TPE are the same as before there was a choice."""
    made = plan(sweep(algorithms=[TUNED, {**TUNED, "label": "random", "sampler": "random"}]))
    keys = {study.sampler: study.key for study in made.studies}
    assert set(keys) == {"tpe", "random"}
    assert keys["tpe"] != keys["random"]
    (study, *_) = plan(open_sweep("fashion_mnist_cpu")).studies
    assert study.key == "ef0c118a66c03204"


def test_what_a_learning_rate_free_algorithm_leaves_open_can_be_searched() -> None:
    """Without tuning trials it has no study; with them its CALIBRATION is searched, and none of those values may be fixed."""
    plain = plan(sweep(algorithms=[{"name": "prodigy", "hyperparameters": {"weight_decay": 0.1}}]))
    assert not plain.studies
    searched = plan(sweep(algorithms=[{"name": "prodigy", "tuning_trials": 2}]))
    assert [len(study.rounds) for study in searched.studies] == [2] * len(searched.studies)
    with pytest.raises(SweepError, match="weight_decay cannot be both fixed"):
        plan(sweep(algorithms=[{"name": "prodigy", "tuning_trials": 2, "hyperparameters": {"weight_decay": 0.1}}]))


def test_adaptive_seeds_plan_the_trials_of_a_fixed_number() -> None:
    """The trials have the same ids in the same order as with the maximum number of seeds."""
    made = plan(sweep(seeds="adaptive", adaptive_seeds={"most": 4}))
    assert [trial.id for trial in made.all_trials] == [trial.id for trial in plan(sweep(seeds=4)).all_trials]


def test_an_architecture_with_a_defect_is_planned_but_never_tuned() -> None:
    """It has final trials, which become refused rows for every algorithm, but no study."""
    dead = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    spaces = [{"name": "nas_bench_201", "architectures": [dead]}]
    made = plan(sweep(search_spaces=spaces))
    assert made.studies == ()
    assert {trial.algorithm_label for trial in made.trials} == {"agd", "sgd_tuned"}


@given(count=st.integers(1, 12), seeds=st.integers(1, 4), tuning=st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_no_trial_is_planned_twice(count: int, seeds: int, tuning: int) -> None:
    """Ids are distinct for sweeps of any size, and there are as many final trials as requested."""
    spaces = [{"name": "nas_bench_201", "architectures": count}]
    made = plan(sweep(seeds=seeds, search_spaces=spaces, algorithms=[{"name": "agd"}, {**TUNED, "tuning_trials": tuning}]))
    ids = [trial.id for trial in made.all_trials]
    assert len(set(ids)) == len(ids)
    finals = [trial for trial in made.all_trials if trial.purpose == "final"]
    assert len(finals) == 2 * count * seeds


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"algorithms": [{"name": "adg"}]}, UnknownNameError, "Did you mean 'agd'"),
        ({"algorithms": [{"name": "agd", "tuning_trials": 2}]}, SweepError, "no RANGES to tune"),
        ({"algorithms": [{"name": "sgd_tuned"}]}, SweepError, "set tuning_trials"),
        ({"algorithms": [{"name": "agd", "hyperparameters": {"gian": 1.0}}]}, UnknownNameError, "Did you mean 'gain'"),
        ({"algorithms": [{**TUNED, "hyperparameters": {"learning_rate": 1.0}}]}, SweepError, "cannot be both fixed"),
        ({"algorithms": [{**TUNED, "tuning_scope": "search-space", "pruner": "median"}]}, SweepError, "pruners compare"),
        ({"algorithms": [{"name": "agd", "tuning_scope": "none"}]}, SweepError, "no RANGES to tune"),
        (
            {"algorithms": [{"name": "sgd_tuned", "tuning_scope": "none", "untuned": {"learning_rate": 1.0, "end_factor": 0.01}}]},
            SweepError,
            "needs a value for one_minus_momentum (0.005 to 0.3, log), weight_decay (1e-07 to 5e-05, log)",
        ),
        ({"algorithms": [{**SCOPES, "untuned": {"learning_rat": 1.0}}]}, UnknownNameError, "Did you mean 'learning_rate'"),
        ({"search_spaces": [{"name": "nas_bench_201", "options": {"chanels": 3}}]}, UnknownNameError, "Did you mean 'channels'"),
        ({"search_spaces": [{"name": "nas_bench_201", "architectures": ["|x~0|"]}]}, SweepError, "no architecture of NAS-Bench-201"),
        ({"search_spaces": [{"name": "nas_bench_201", "architectures": 20_000}]}, SweepError, "architectures = 20000, but only"),
        ({"search_spaces": [{"name": "plain_chain", "architectures": "all"}]}, SweepError, "cannot be enumerated"),
        ({"datasets": [{"name": "digit"}]}, UnknownNameError, "Did you mean 'digits'"),
        ({"algorithms": [{"name": "agd"}, {"name": "agd", "label": "again"}]}, SweepError, "identical trials under two labels"),
    ],
)
def test_what_does_not_fit_together_is_a_clear_error(changes: dict[str, object], error: type[InputError], said: str) -> None:
    """Inconsistent sweeps are one-line errors before anything is trained."""
    with pytest.raises(error) as raised:
        plan(sweep(**changes))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_edited_plug_in_changes_its_digest(tmp_path: Path) -> None:
    """An edited search space has a new digest, so that its results never mix with older ones."""
    file = tmp_path / "mine.py"
    text = '"""One."""\ndef sample(rng):\n    return "a"\ndef build(architecture, in_channels, num_classes):\n    raise ValueError\n'
    file.write_text(text)
    asked = sweep(search_spaces=[{"name": "mine", "architectures": 1}], algorithms=[{"name": "agd"}])
    folders: dict[plugins.Kind, tuple[Path, ...]] = {"search_spaces": (tmp_path,)}
    before = plan(asked, folders).plugin_digests["search_spaces/mine"]
    file.write_text(text + "EDITED = 1\n")
    assert plan(asked, folders).plugin_digests["search_spaces/mine"] != before


def test_a_plug_in_that_raises_on_import_is_named(tmp_path: Path) -> None:
    """The one-line message names the file and the error."""
    (tmp_path / "broken.py").write_text("raise RuntimeError('oh no')\n")
    with pytest.raises(PluginError, match=r"broken\.py: raises on import: RuntimeError: oh no"):
        plan(sweep(search_spaces=[{"name": "broken"}]), {"search_spaces": (tmp_path,)})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise KeyError('x')", r"odd\.py: sample\(rng\) raises KeyError: 'x'; run `agd-bench check`"),
        ("return 3", r"odd\.py: sample\(rng\) returns 3 \(int\); return the architecture's string"),
    ],
)
def test_a_draw_that_goes_wrong_is_the_plug_ins(tmp_path: Path, body: str, message: str) -> None:
    """The one-line message names the file and what `sample` did."""
    build = "def build(architecture, in_channels, num_classes): ..."
    (tmp_path / "odd.py").write_text(f"def sample(rng): {body}\n{build}\n")
    with pytest.raises(PluginError, match=message):
        plan(sweep(search_spaces=[{"name": "odd"}]), {"search_spaces": (tmp_path,)})


def test_what_is_recorded_beside_the_curves_changes_no_trial() -> None:
    """Requesting diagnostics keeps ids and study keys, so an existing run can be resumed."""
    plain, diagnosed = plan(sweep()), plan(sweep(diagnostics=["optimizer"]))
    assert all(trial.diagnostics == ("optimizer",) for trial in diagnosed.all_trials)
    assert [trial.id for trial in plain.all_trials] == [trial.id for trial in diagnosed.all_trials]
    assert [study.key for study in plain.studies] == [study.key for study in diagnosed.studies]


def test_a_loss_that_an_algorithm_is_not_made_for_is_refused() -> None:
    """A guarantee holds only for the loss that its constants were derived for."""
    with pytest.raises(SweepError, match="supports the loss square, not 'cross-entropy'"):
        plan(sweep(algorithms=[{"name": "dsgd", "loss": "cross-entropy"}]))


def test_each_budget_is_planned_as_a_sweep_of_its_own() -> None:
    """Trials and studies of a list of epochs have the ids that sweeps of one budget give them, so their rows can be reused."""
    both = plan(sweep(epochs=[1, 3]))
    single = [plan(sweep(epochs=epochs)) for epochs in (1, 3)]
    assert {trial.id for trial in both.all_trials} == {trial.id for made in single for trial in made.all_trials}
    assert {study.key for study in both.studies} == {study.key for made in single for study in made.studies}
    assert {(trial.dataset_label, trial.dataset, trial.epochs) for trial in both.all_trials} == {
        ("digits@1", "digits", 1),
        ("digits@3", "digits", 3),
    }
