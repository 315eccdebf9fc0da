"""Experiments of papers: their definitions match the papers, and a small experiment goes from its definition to its page."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError
from scipy import stats

from agd_bench.errors import InputError, UnknownNameError
from agd_bench.leaderboard import publish_results
from agd_bench.planning.planner import plan
from agd_bench.reproductions import (
    Reproduction,
    build_pages,
    builtin_reproductions,
    measured,
    open_reproduction,
    publish_reproduction,
    reproduce,
    rows_at_hand,
)
from agd_bench.reproductions.experiments import PAPER_SCALE, SKIP_MEASURES, Value
from agd_bench.reproductions.publication import describe_page, read_notes
from agd_bench.reproductions.published_tables import _noises
from agd_bench.store import load_results
from agd_bench.studies.skip_connections.hypothesis import TUNED

PAGES = sorted(path.parent for path in (Path(__file__).parents[2] / "leaderboards" / "reproductions").glob("*/page.json"))
NAMES = sorted(builtin_reproductions())
SCALES = [(name, scale) for name in NAMES for scale in (PAPER_SCALE, *open_reproduction(name).scales)]
PUBLISHED = {
    "agd_fcn": [0.527, 0.535],
    "agd_resnet18": [0.912, 0.929],
    "agd_vgg16": [0.674, 0.697],
    "agd_batch_size": [0.55, 0.58, 0.60, 0.598],
    "agd_width_depth": [0.4255, 0.637],
    "agd_defaults": [0.5, 0.1, 0.1],
    "architecture_aware_prediction": [0.838, 0.962, 0.856],
    "architecture_aware_ranking": [0.0044],
    "nas_bench_201": [],
    "skip_connections": [],
}


@pytest.mark.parametrize(("name", "scale"), SCALES)
def test_every_scale_is_a_plan_that_holds_what_is_compared(name: str, scale: str) -> None:
    """The sweeps have each number's algorithm, network and run; a smaller scale says what it reduces and cannot conclude."""
    experiment = open_reproduction(name)
    sweeps = experiment.sweeps(scale)
    chosen = experiment.scale(scale)
    assert bool(chosen.reduced) == bool(chosen.cannot_conclude) == (scale != PAPER_SCALE)
    trained = {run: plan(sweep).all_trials for run, sweep in sweeps.items()}
    values = experiment.values_at(scale)
    assert len({value.what for value in values}) == len(values)
    for value in values:
        found = {(trial.algorithm_label, trial.architecture) for trial in trained[experiment.run_of(value)]}
        tuned = value.measure in SKIP_MEASURES and value.algorithm == TUNED
        assert any((tuned or value.algorithm == label) and value.architecture in (None, one) for label, one in found), value.what
        assert value.control is None or any(value.control in pair for pair in found), value.what
    for listed in experiment.listed:
        assert listed.algorithm in {trial.algorithm_label for trial in trained[experiment.run_of(listed)]}


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_numbers(name: str) -> None:
    """They are those in the paper's text, in the order of the definition."""
    published = [value.published for value in open_reproduction(name).values if value.published is not None]
    assert published == PUBLISHED[name]


def experiment(**changes: Any) -> Reproduction:
    """Return an experiment with a small network on digits at two batch sizes, with two published numbers and an unpublished one."""
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
    """Run an experiment in this process, on a CPU."""
    return reproduce(asked, scale, out, contextlib.nullcontext, limit, {"executor": "in-process", "device": "cpu"})


def test_from_a_definition_to_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our number is the mean over seeds with its t interval; the page shows it next to the paper's, and keeps handwritten notes."""
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
    monkeypatch.setattr("agd_bench.reproductions.publication.open_reproduction", lambda name: asked)
    monkeypatch.setattr("agd_bench.reproductions.publication.open_reproduction", lambda name: asked)
    site = build_pages(tmp_path / "pages", tmp_path / "site")
    for listed in (tmp_path / "pages" / "README.md", site):
        assert "It missed because of the weather." in listed.read_text()
        assert "agd_vgg16" in listed.read_text(), "what has no page is named"
    (own,) = site.parent.glob("*/index.html")
    assert "It missed because of the weather." in own.read_text()
    assert pd.read_csv(own.parent / "values.csv")["n"].tolist() == table["n"].tolist()
    assert set(json.loads((page.parent / "page.json").read_text())["rows"]) == {"small", "large"}
    assert [len(load_results(page.parent / "rows" / name).trials) for name in ("small", "large")] == [3, 3]


def test_a_smaller_scale_says_what_it_reduced(tmp_path: Path) -> None:
    """It trains only its own runs and networks, a single training has no interval, and the page says what was reduced."""
    asked = experiment()
    results = run(asked, "tiny", tmp_path / "runs")
    assert list(results) == ["small"]
    table = measured(asked, "tiny", results)
    assert table[["what", "architecture", "n"]].values.tolist() == [["small", "2x8", 1]]
    assert table["low"].isna().all()
    text = publish_reproduction(asked, "tiny", results, tmp_path / "pages").read_text()
    assert "Eight units." in text
    assert ":** Much." in text


def test_a_published_table_is_held_against_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ranking, the mean and each architecture are compared; without the table, the error names the variable to set."""
    names = plan(open_reproduction("nas_bench_201").sweeps("cpu")["all"]).sweep.search_spaces[0]
    sweep = {
        "epochs": 1,
        "seeds": 2,
        "search_spaces": [{**names.model_dump(), "architectures": 4, "options": {"channels": 4, "cells": 1}}],
        "datasets": [{"name": "digits", "share": 0.1}],
        "algorithms": [{"name": "nas_bench_201_sgd"}],
    }
    listed = {"algorithm": "nas_bench_201_sgd", "epochs": 12, "split": "test"}
    asked = experiment(sweep=sweep, runs=[{"name": "all"}], values=[], listed=[listed], scales={})
    monkeypatch.delenv("AGD_BENCH_PUBLISHED", raising=False)
    results = run(asked, PAPER_SCALE, tmp_path / "runs")
    with pytest.raises(InputError, match="AGD_BENCH_PUBLISHED"):
        measured(asked, PAPER_SCALE, results)
    trials = results["all"].trials
    means = trials[trials["status"] == "done"].groupby("architecture")["test_accuracy"].mean()
    published = pd.DataFrame({"architecture": means.index, "accuracy": 1 - means.rank().to_numpy() / 10})
    published = published.assign(search_space="nas_bench_201", dataset="digits", epochs=12, split="test", training=0, trainings=1)
    table = measured(asked, PAPER_SCALE, {"all": dataclasses.replace(results["all"], published=published)})
    assert table["measure"].tolist() == ["kendall_tau", "mean_accuracy", *["accuracy"] * len(means)], (
        "no noise of single trainings is known"
    )
    assert table.loc[0, "ours"] == pytest.approx(-1)
    assert table.loc[0, "n"] == len(means)
    assert table[["what", "n"]].values.tolist()[1] == ["mean over architectures", len(means)]
    assert table.loc[1, "ours"] == pytest.approx(means.mean())
    each = table.iloc[2:].set_index("what")
    assert set(each.index) == set(means.index)
    assert each["ours"].to_dict() == pytest.approx(means.to_dict())


def test_seed_noise_of_the_published_trainings_stands_beside_ours() -> None:
    """For two published trainings and two seeds of ours: the agreement between the two, and the pooled standard deviation."""
    names = [f"a{place}" for place in range(9)]
    ours, theirs = (
        [(name, training, 0.3 + place / 20 + offset) for place, name in enumerate(names) for training, offset in enumerate(offsets)]
        for offsets in ((0.0, 0.002), (0.001, 0.011))
    )
    about = {"search_space": "s", "dataset": "d"}
    trials = pd.DataFrame(ours, columns=["architecture", "seed", "test_accuracy"])
    trials = trials.assign(**about, profile="p", algorithm="x", purpose="final", status="done", epochs=1)
    published = pd.DataFrame(theirs, columns=["architecture", "training", "accuracy"]).assign(
        **about, epochs=200, split="validation", trainings=1
    )
    rows = list(_noises(trials, published))
    assert [(row["measure"], row["n"]) for row in rows] == [("kendall_tau", 9), ("accuracy_sd", 9)]
    assert [rows[0]["published"], rows[0]["ours"]] == [1, 1]
    assert [rows[1]["published"], rows[1]["ours"]] == pytest.approx([0.01 / math.sqrt(2), 0.002 / math.sqrt(2)])


def test_rows_at_hand_stand_for_training(tmp_path: Path) -> None:
    """A page is rewritten byte for byte from its own rows without training; rows of a different sweep are an error."""
    asked = experiment()
    results = run(asked, PAPER_SCALE, tmp_path / "runs")
    page = publish_reproduction(asked, PAPER_SCALE, results, tmp_path / "pages").parent
    taken = rows_at_hand(asked, PAPER_SCALE, [page])
    assert list(taken) == ["small", "large"]
    there = {name: rows.results for name, rows in taken.items()}
    again = reproduce(asked, PAPER_SCALE, tmp_path / "none", contextlib.nullcontext, None, {}, there)
    assert not (tmp_path / "none").exists()
    written = {path.relative_to(page): path.read_bytes() for path in page.rglob("*") if path.is_file()}
    publish_reproduction(asked, PAPER_SCALE, again, tmp_path / "pages", {name: rows.place for name, rows in taken.items()})
    assert {path.relative_to(page): path.read_bytes() for path in page.rglob("*") if path.is_file()} == written
    with pytest.raises(InputError, match=r"'small'.* in .*epochs"):
        rows_at_hand(experiment(sweep={**asked.sweep, "epochs": 3}), PAPER_SCALE, [page / "rows" / "small"])


def test_a_leaderboard_beside_the_pages_is_named_and_not_copied(tmp_path: Path) -> None:
    """The page links to the rows of a leaderboard, but rows of a run are written into the page's folder."""
    asked = experiment()
    results = run(asked, PAPER_SCALE, tmp_path / "runs")
    board = publish_results(results["small"], tmp_path / "boards" / "small-ones")
    taken = rows_at_hand(asked, PAPER_SCALE, [board])
    assert list(taken) == ["small"]
    places = {name: rows.place for name, rows in taken.items()}
    page = publish_reproduction(asked, PAPER_SCALE, results, tmp_path / "boards" / "reproductions", places).parent
    assert json.loads((page / "page.json").read_text())["rows"] == {"small": "../../small-ones", "large": "rows/large"}
    assert [path.name for path in (page / "rows").iterdir()] == ["large"]
    assert list(rows_at_hand(asked, PAPER_SCALE, [page])) == ["small", "large"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_published_page_follows_from_its_rows(page: Path) -> None:
    """Writing a page again from the rows that it names gives the same text."""
    about = json.loads((page / "page.json").read_text())
    asked = open_reproduction(about["experiment"])
    results = {name: rows.results for name, rows in rows_at_hand(asked, about["scale"], [page]).items()}
    assert set(results) == set(asked.sweeps(about["scale"]))
    text = describe_page(asked, about["scale"], results, about["rows"], read_notes(page))
    assert text == (page / "README.md").read_text(encoding="utf-8")


def test_a_difference_names_what_it_is_taken_from() -> None:
    """A gain requires a control, an accuracy must have none, and the effect of a skip requires an architecture."""
    with pytest.raises(ValidationError, match="control"):
        Value(what="x", algorithm="a", measure="accuracy_gain")
    with pytest.raises(ValidationError, match="control"):
        Value(what="x", algorithm="a", control="b")
    with pytest.raises(ValidationError, match="requires an architecture"):
        Value(what="x", algorithm="a", control="b", measure="area_difference")


def test_what_was_not_run_in_time_is_missing_and_said(tmp_path: Path) -> None:
    """Without time nothing is trained and the table has no number of ours; a page of only some runs says that it is partial."""
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
    """Unknown names get the nearest one, and invalid keys of a sweep are named with their place."""
    with pytest.raises(UnknownNameError, match="Did you mean 'agd_batch_size'"):
        open_reproduction("agd_batchsize")
    with pytest.raises(UnknownNameError, match="Did you mean 'tiny'"):
        experiment().sweeps("tinny")
    with pytest.raises(InputError, match=r"run 'all', scale 'paper': epochs"):
        experiment(runs=[{"name": "all", "sweep": {"epochs": 0}}], values=[{"what": "x", "algorithm": "agd"}]).sweeps(PAPER_SCALE)
    values = [{"what": "x", "run": "small", "algorithm": "agd", "architecture": "9x9"}]
    with pytest.raises(InputError, match="no architecture '9x9'"):
        measured(experiment(values=values), PAPER_SCALE, {"small": _Held()})  # type: ignore[dict-item]


class _Held:
    """Results of a single trial of a different network."""

    trials = pd.DataFrame({"algorithm": ["agd"], "architecture": ["2x16"]})
    sweep = experiment().sweeps(PAPER_SCALE)["small"]
