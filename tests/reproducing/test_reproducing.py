"""Experiments of papers: their definitions against the papers, and one small experiment from its definition to its page."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from agd_bench.errors import InputError, UnknownNameError
from agd_bench.planning import plan
from agd_bench.reproducing import Reproduction, builtin_reproductions, measured, open_reproduction, publish_reproduction, reproduce
from agd_bench.reproducing.defining import PAPER_SCALE

NAMES = sorted(builtin_reproductions())
SCALES = [(name, scale) for name in NAMES for scale in (PAPER_SCALE, *open_reproduction(name).scales)]
AGD_PAPER = {
    "agd_fcn": [0.527, 0.535],
    "agd_resnet18": [0.912, 0.929],
    "agd_vgg16": [0.674, 0.697],
    "agd_batch_size": [0.55, 0.58, 0.60, 0.598],
    "agd_width_depth": [0.4255, 0.637],
    "agd_defaults": [0.5, 0.1, 0.1],
}


@pytest.mark.parametrize(("name", "scale"), SCALES)
def test_every_scale_is_a_plan_that_holds_what_is_compared(name: str, scale: str) -> None:
    """Each number's algorithm, network and run are in the sweeps; a smaller scale says what it reduces and what that costs."""
    experiment = open_reproduction(name)
    sweeps = experiment.sweeps(scale)
    chosen = experiment.scale(scale)
    assert bool(chosen.reduced) == bool(chosen.cannot_conclude) == (scale != PAPER_SCALE)
    trained = {run: plan(sweep).all_trials for run, sweep in sweeps.items()}
    values = experiment.values if chosen.values is None else chosen.values
    assert len({value.what for value in values}) == len(values)
    for value in values:
        architecture = value.architecture and chosen.architectures.get(value.architecture, value.architecture)
        found = {(trial.algorithm_label, trial.architecture) for trial in trained[experiment.run_of(value)]}
        assert any(value.algorithm == label and architecture in (None, one) for label, one in found), value.what


@pytest.mark.parametrize("name", AGD_PAPER)
def test_the_papers_numbers(name: str) -> None:
    """As its text gives them, in the order of the definition."""
    published = [value.published for value in open_reproduction(name).values if value.published is not None]
    assert published == AGD_PAPER[name]


def experiment(**changes: Any) -> Reproduction:
    """A small network on digits at two batch sizes, with two numbers of a paper and one that it does not give."""
    asked: dict[str, Any] = {
        "name": "agd_batch_size",
        "title": "Two batch sizes",
        "paper": "Nobody: Nothing. 2020",
        "differs": "Everything.",
        "sweep": {
            "epochs": 2,
            "seeds": 3,
            "search_spaces": [{"name": "fcn", "architectures": ["2x16"], "options": {"size": 8}}],
            "datasets": [{"name": "digits", "share": 0.2}],
            "algorithms": [{"name": "agd"}],
        },
        "runs": [{"name": "small", "sweep": {"batch_size": 16}}, {"name": "large", "sweep": {"batch_size": 64}}],
        "values": [
            {"what": "small", "run": "small", "algorithm": "agd", "architecture": "2x16", "published": 0.5},
            {"what": "large", "run": "large", "algorithm": "agd", "architecture": "2x16", "published": 0.999, "source": "a figure"},
            {"what": "training", "run": "large", "algorithm": "agd", "measure": "train_accuracy"},
        ],
        "scales": {
            "tiny": {
                "reduced": "Eight units.",
                "cannot_conclude": "Much.",
                "sweep": {"seeds": 1, "search_spaces": [{"name": "fcn", "architectures": ["2x8"], "options": {"size": 8}}]},
                "architectures": {"2x16": "2x8"},
                "runs": ["small"],
            }
        },
    }
    return Reproduction.model_validate({**asked, **changes})


def run(asked: Reproduction, scale: str, out: Path, limit: float | None = None) -> Any:
    """In this process, on a CPU."""
    return reproduce(asked, scale, out, contextlib.nullcontext, limit, {"executor": "in-process", "device": "cpu"})


def test_from_a_definition_to_a_page(tmp_path: Path) -> None:
    """Ours is the mean over seeds with its t interval, beside the paper's; the page shows both, and keeps what was found by hand."""
    asked = experiment()
    results = run(asked, PAPER_SCALE, tmp_path / "runs")
    table = measured(asked, PAPER_SCALE, results).set_index("what")
    reached = results["large"].trials["test_accuracy"].to_numpy(dtype=float)
    half = stats.t.ppf(0.975, 2) * reached.std(ddof=1) / math.sqrt(3)
    row = table.loc["large"]
    assert row["ours"] == pytest.approx(reached.mean())
    assert (row["low"], row["high"]) == pytest.approx((max(0, reached.mean() - half), min(1, reached.mean() + half)))
    assert (row["n"], row["inside"]) == (3, False)
    assert row["difference"] == pytest.approx(reached.mean() - 0.999)
    assert table.loc["training", "ours"] == pytest.approx(results["large"].trials["train_accuracy"].mean())
    assert table["published"].isna().tolist() == [False, False, True]
    assert table["inside"].isna().tolist() == [False, False, True]
    page = publish_reproduction(asked, PAPER_SCALE, results, tmp_path / "pages")
    (page.parent / "notes.md").write_text("It missed because of the weather.")
    text = publish_reproduction(asked, PAPER_SCALE, results, tmp_path / "pages").read_text()
    assert f"| large &#91;2x16&#93; | 99.9 (a figure) | {100 * reached.mean():.1f} |" in text
    assert "It missed because of the weather." in text
    assert "Partial" not in text
    assert "Two batch sizes" in (tmp_path / "pages" / "README.md").read_text()
    assert set(json.loads((page.parent / "sweeps.json").read_text())) == {"small", "large"}
    assert len(pd.read_csv(page.parent / "trials.csv")) == 6


def test_a_smaller_scale_says_what_it_reduced(tmp_path: Path) -> None:
    """Only its runs and networks, one training without an interval, and both sentences on the page."""
    asked = experiment()
    results = run(asked, "tiny", tmp_path / "runs")
    assert list(results) == ["small"]
    table = measured(asked, "tiny", results)
    assert table[["what", "architecture", "n"]].values.tolist() == [["small", "2x8", 1]]
    assert table["low"].isna().all()
    text = publish_reproduction(asked, "tiny", results, tmp_path / "pages").read_text()
    assert "Eight units." in text
    assert "**What cannot be concluded:** Much." in text


def test_a_published_table_is_held_against_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ranking first, then the mean and each architecture by its name; without the table the message says what names it."""
    names = plan(open_reproduction("nas_bench_201").sweeps("cpu")["all"]).sweep.search_spaces[0]
    sweep = {
        "epochs": 1,
        "seeds": 2,
        "search_spaces": [{**names.model_dump(), "architectures": 4, "options": {"channels": 4, "cells": 1}}],
        "datasets": [{"name": "digits", "share": 0.1}],
        "algorithms": [{"name": "nas_bench_201_sgd"}],
    }
    listed = {"algorithm": "nas_bench_201_sgd", "epochs": 12, "split": "test"}
    asked = experiment(sweep=sweep, runs=[{"name": "all"}], values=[], listed=listed, scales={})
    monkeypatch.delenv("AGD_BENCH_PUBLISHED", raising=False)
    results = run(asked, PAPER_SCALE, tmp_path / "runs")
    with pytest.raises(InputError, match="AGD_BENCH_PUBLISHED names"):
        measured(asked, PAPER_SCALE, results)
    trials = results["all"].trials
    means = trials[trials["status"] == "done"].groupby("architecture")["test_accuracy"].mean()
    published = pd.DataFrame({"architecture": means.index, "accuracy": 1 - means.rank().to_numpy() / 10})
    published = published.assign(search_space="nas_bench_201", dataset="digits", epochs=12, split="test", training=0, trainings=1)
    table = measured(asked, PAPER_SCALE, {"all": dataclasses.replace(results["all"], published=published)})
    assert table.loc[0, "ours"] == pytest.approx(-1)
    assert table.loc[0, "n"] == len(means)
    assert table[["what", "n"]].values.tolist()[1] == ["mean over architectures", len(means)]
    assert table.loc[1, "ours"] == pytest.approx(means.mean())
    each = table.iloc[2:].set_index("what")
    assert set(each.index) == set(means.index)
    assert each["ours"].to_dict() == pytest.approx(means.to_dict())


def test_what_was_not_run_in_time_is_missing_and_said(tmp_path: Path) -> None:
    """Without time nothing is trained; the table has no number of ours, and a page of a part says that it is partial."""
    asked = experiment()
    assert run(asked, PAPER_SCALE, tmp_path / "none", 0.0) == {}
    table = measured(asked, PAPER_SCALE, {})
    assert table["ours"].isna().all()
    assert (table["n"] == 0).all()
    with pytest.raises(InputError, match="nothing to publish"):
        publish_reproduction(asked, PAPER_SCALE, {}, tmp_path / "pages")
    part = {name: result for name, result in run(asked, PAPER_SCALE, tmp_path / "runs").items() if name == "small"}
    assert "Partial" in publish_reproduction(asked, PAPER_SCALE, part, tmp_path / "pages").read_text()


def test_what_cannot_be_used_is_one_clear_line() -> None:
    """Unknown names with the nearest one, and keys that make no sweep with their place."""
    with pytest.raises(UnknownNameError, match="Did you mean 'agd_batch_size'"):
        open_reproduction("agd_batchsize")
    with pytest.raises(UnknownNameError, match="Did you mean 'tiny'"):
        experiment().sweeps("tinny")
    with pytest.raises(InputError, match=r"run 'all', scale 'paper': epochs"):
        experiment(runs=[{"name": "all", "sweep": {"epochs": 0}}], values=[{"what": "x", "algorithm": "agd"}]).sweeps(PAPER_SCALE)
    values = [{"what": "x", "run": "small", "algorithm": "agd", "architecture": "9x9"}]
    with pytest.raises(InputError, match="architecture '9x9', which run"):
        measured(experiment(values=values), PAPER_SCALE, {"small": _Held()})  # type: ignore[dict-item]


class _Held:
    """Results of one trial of another network."""

    trials = pd.DataFrame({"algorithm": ["agd"], "architecture": ["2x16"]})
    sweep = experiment().sweeps(PAPER_SCALE)["small"]
