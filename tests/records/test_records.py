"""Records: which sweeps are valid, and what identifies a trial."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agd_bench.errors import InputError, SweepError
from agd_bench.records import Sweep, Trial, TrialResult, canonical_json, digest, parse_sweep, read_sweep

SWEEP = """
name = "small"
epochs = 2
seeds = 2
[[search_spaces]]
name = "nas_bench_201"
architectures = 3
[[datasets]]
name = "digits"
[[algorithms]]
name = "agd"
"""

TRIAL = Trial(
    search_space="nas_bench_201",
    search_space_label="a",
    architecture="x",
    dataset="digits",
    algorithm="agd",
    algorithm_label="b",
    epochs=1,
    batch_size=8,
    seed=0,
)


def test_a_count_of_seeds_means_the_first_ones() -> None:
    """`seeds = 2` means the seeds 0 and 1, and a list is used as given."""
    assert parse_sweep(SWEEP, "s.toml").seeds == (0, 1)
    assert parse_sweep(SWEEP.replace("seeds = 2", "seeds = [7, 3]"), "s.toml").seeds == (7, 3)


def test_labels_default_to_names() -> None:
    """An entry without a label is labelled with its name, and the first algorithm is the baseline."""
    sweep = parse_sweep(SWEEP, "s.toml")
    assert sweep.algorithms[0].label == "agd"
    assert sweep.baseline_label == "agd"


def test_a_sweep_survives_json() -> None:
    """Writing a sweep as JSON and reading it gives the same sweep."""
    sweep = parse_sweep(SWEEP, "s.toml")
    assert parse_sweep(sweep.model_dump_json(), "s.json") == sweep


def test_a_sweep_of_version_0_1_loads() -> None:
    """`replicas = 1` is still accepted, because every run and leaderboard of version 0.1 contains it."""
    assert parse_sweep(SWEEP, "s.toml") == parse_sweep(SWEEP.replace("seeds = 2", "seeds = 2\nreplicas = 1"), "s.toml")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seeds = 2", "seedz = 2", "did you mean 'seeds'"),
        ("epochs = 2", "epochs = 0", "epochs: Input should be greater than or equal to 1"),
        ("epochs = 2", "epochs = = 2", "line 3"),
        ('name = "digits"', 'name = "digits"\nshare = 1.5', "datasets.0.share: Input should be less than or equal to 1"),
        ("seeds = 2", "seeds = [1, 1]", "seeds: [1, 1]"),
        ("seeds = 2", "seeds = 0", "seeds: []"),
        ("seeds = 2", "replicas = 3", "replicas was removed in 0.2; delete the line"),
        ('name = "agd"', 'name = "agd"\n[[algorithms]]\nname = "agd"', "algorithms: agd"),
        ("seeds = 2", 'baseline = "sgd"', "baseline: 'sgd'"),
        ('name = "agd"', 'name = "../agd"', "algorithms.0.name"),
        ("seeds = 2", "deadline_seconds = nan", "deadline_seconds"),
        ("seeds = 2", 'seeds = "adaptiv"', "seeds: 'adaptiv'"),
        ("seeds = 2", 'seeds = "adaptive"\n[adaptive_seeds]\nmots = 3', "adaptive_seeds.mots: no such key; did you mean 'most'?"),
        (
            "seeds = 2",
            'seeds = "adaptive"\n[adaptive_seeds]\nfirst = 1',
            "adaptive_seeds.first: Input should be greater than or equal to 2",
        ),
        ("seeds = 2", 'seeds = "adaptive"\n[adaptive_seeds]\nfirst = 4\nmost = 4', "most = 4 must be more than first = 4"),
        ("seeds = 2", 'seeds = "adaptive"\n[adaptive_seeds]\nmost = "many"', "adaptive_seeds.most: Input should be a valid integer"),
        ("seeds = 2", "seeds = 2\n[adaptive_seeds]\nfirst = 2", "adaptive_seeds: "),
        ('name = "agd"', 'name = "x"\ntuning_scope = "none"\ntuning_trials = 2', "algorithms.0: tuning_trials: "),
        ('name = "agd"', 'name = "x"\nuntuned = { rate = 1.0 }', "algorithms.0: untuned: "),
        (
            'name = "agd"',
            'name = "x"\ntuning_scope = "none"\nuntuned = { rate = 1.0 }\nhyperparameters = { rate = 1.0 }',
            "algorithms.0: untuned: rate ",
        ),
        ('name = "agd"', 'name = "x"\ntuning_scope = []', "algorithms: tuning_scope = "),
        (
            'name = "agd"',
            'name = "x"\ntuning_scope = ["none", "nome"]',
            "algorithms: tuning_scope = ",
        ),
        ('name = "agd"', 'name = "x"\ntuning_scope = ["architecture"]\nuntuned = { rate = 1.0 }', 'does not list "none"'),
        ('name = "agd"', 'name = "x"\nlabel = "a b"', "algorithms.0.label"),
    ],
)
def test_a_bad_sweep_is_one_clear_line(old: str, new: str, said: str) -> None:
    """Every error is one line that begins with the file, and names the place and what is allowed."""
    with pytest.raises(SweepError) as raised:
        parse_sweep(SWEEP.replace(old, new), "s.toml")
    assert said in str(raised.value)
    assert str(raised.value).startswith("s.toml: ")
    assert "\n" not in str(raised.value)


def test_adaptive_seeds_plan_the_most() -> None:
    """All seeds that might be needed are listed, from 0; a round trip through JSON keeps them and the rule."""
    sweep = parse_sweep(SWEEP.replace("seeds = 2", 'seeds = "adaptive"\n[adaptive_seeds]\nmost = 5\nbatch = 2'), "s.toml")
    assert sweep.seeds == (0, 1, 2, 3, 4)
    assert sweep.adaptive_seeds is not None
    assert sweep.adaptive_seeds.looks == (2, 4, 5)
    assert parse_sweep(sweep.model_dump_json(), "s.json") == sweep
    plain = parse_sweep(SWEEP.replace("seeds = 2", 'seeds = "adaptive"'), "s.toml")
    assert plain.seeds == tuple(range(8))


def test_a_list_of_scopes_is_an_entry_each() -> None:
    """Entries are labelled by scope; those that tune get the tuning settings, and the one that does not gets the untuned values."""
    entry = """
name = "sgd_tuned"
tuning_scope = ["search-space", "none"]
tuning_trials = 3
proxies = 2
sampler = "random"
hyperparameters = { a = 1 }
untuned = { learning_rate = 0.1 }"""
    sweep = parse_sweep(SWEEP.replace('name = "agd"', entry), "s.toml")
    once, never = sweep.algorithms
    assert (once.label, once.tuning_scope, once.tuning_trials, once.proxies) == ("sgd_tuned@search-space", "search-space", 3, 2)
    assert (once.sampler, once.untuned) == ("random", {})
    assert (never.label, never.tuning_scope, never.tuning_trials) == ("sgd_tuned@none", "none", 0)
    assert (never.sampler, never.untuned, never.hyperparameters) == ("tpe", {"learning_rate": 0.1}, {"a": 1})
    assert parse_sweep(sweep.model_dump_json(), "s.json") == sweep
    single = parse_sweep(SWEEP.replace('name = "agd"', entry.replace('["search-space", "none"]', '"none"').replace("3", "0")), "s.toml")
    assert [choice.label for choice in single.algorithms] == ["sgd_tuned"]


def test_an_unreadable_sweep_file_is_an_input_error(tmp_path: object) -> None:
    """The error names the missing file."""
    from pathlib import Path

    missing = Path(str(tmp_path)) / "none.toml"
    with pytest.raises(InputError, match=r"none\.toml: cannot be read"):
        read_sweep(missing)


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.booleans(), max_size=6))
def test_the_digest_ignores_the_order_of_keys(value: dict[str, object]) -> None:
    """Equal values have equal digests, whatever the order of their keys."""
    turned = dict(reversed(list(value.items())))
    assert digest(value) == digest(turned)
    assert json.loads(canonical_json(value)) == value


def test_the_id_is_the_identity_alone() -> None:
    """Labels and proposals do not change the id; a seed, a number or a fixed hyperparameter does."""
    assert TRIAL.model_copy(update={"search_space_label": "z", "algorithm_label": "z"}).id == TRIAL.id
    proposed = Trial.model_validate({**TRIAL.model_dump(), "proposal": {"lr": 0.1}, "stop_below": {1: 0.5}})
    assert proposed.id == TRIAL.id
    for change in ({"seed": 1}, {"number": 0}, {"hyperparameters": {"gain": 2.0}}, {"epochs": 2}, {"profile": "as-published"}):
        assert Trial.model_validate({**TRIAL.model_dump(), **change}).id != TRIAL.id


def test_the_id_is_stable_across_versions() -> None:
    """This id must never change without a change of the schema, so that stored results are still found."""
    assert TRIAL.id == "53830e4cfb6e40df"


def test_what_the_tuner_proposed_goes_over_what_the_sweep_fixed() -> None:
    """In `settings`, which are passed to `build`, proposed values override fixed ones."""
    trial = Trial.model_validate({**TRIAL.model_dump(), "hyperparameters": {"a": 1, "b": 1}, "proposal": {"b": 2}})
    assert trial.settings == {"a": 1, "b": 2}


def test_no_nan_enters_a_result() -> None:
    """A result with a number that is not finite is an error."""
    with pytest.raises(ValueError, match="finite"):
        TrialResult(trial_id="x", status="done", test_accuracy=float("nan"))


def test_the_schema_can_be_published() -> None:
    """The JSON schema of a sweep names its keys."""
    assert {"search_spaces", "algorithms", "datasets", "seeds"} <= set(Sweep.model_json_schema()["properties"])
