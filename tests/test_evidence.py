"""Evidence from plug-ins about a run's architectures: gathered once, published with the rows, and verified without the plug-ins."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from agd_bench.errors import InputError, PluginError, UnknownNameError
from agd_bench.evidence import gather_evidence
from agd_bench.leaderboard import publish_results, verify_folder
from agd_bench.planning.planner import Folders
from agd_bench.report import build_report, first_screen
from agd_bench.store import Results, export, load_results
from agd_bench.tables import aggregates
from tests.analysis.synthetic import simulate_results, simulate_trials

SPACE = '''
import pandas as pd

def sample(rng):
    return "x"

def build(architecture, in_channels, num_classes):
    raise NotImplementedError

def published(dataset, path=None, architectures=None):
    """Two trainings of each architecture that a file lists, after 200 epochs, and their mean after 12."""
    if dataset != "digits":
        raise LookupError(f"no results for {dataset!r}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not there")
    listed = pd.read_csv(path)
    if "accuracy" not in listed:
        raise ValueError(f"{path}: no accuracies")
    listed = listed[listed["architecture"].isin(architectures)].assign(trainings=1)
    single = [listed.assign(epochs=200, split="test", training=number, accuracy=listed["accuracy"] + number / 1000) for number in (0, 1)]
    mean = listed.assign(epochs=12, split="validation", training=pd.NA, trainings=2)
    return pd.concat([*single, mean])COLUMNS.astype({"training": "Int64"})
'''


def write_space(folder: Path, columns: str = "") -> Folders:
    """Write the simulated run's search space and return its folders; `columns` is an expression applied to the published table."""
    (folder / "cells.py").write_text(SPACE.replace("COLUMNS", columns), encoding="utf-8")
    return {"search_spaces": (folder,)}


@pytest.fixture(scope="module")
def results(few_resamples: None) -> Results:
    """Return simulated results of twelve architectures on two data sets."""
    parts = [simulate_trials(12, 3, ("sgd", "agd"), interaction=0.05, dataset=name) for name in ("digits", "mnist")]
    return simulate_results(pd.concat(parts, ignore_index=True).assign(position=lambda rows: range(len(rows))))


@pytest.fixture
def table(results: Results, tmp_path: Path) -> Path:
    """Return the path of a published table with the accuracies of sgd and one architecture that was never trained."""
    means = results.trials[results.trials["algorithm"] == "sgd"].groupby("architecture")["test_accuracy"].mean()
    path = tmp_path / "published.csv"
    pd.concat([means, pd.Series({"other": 0.5})]).rename_axis("architecture").rename("accuracy").reset_index().to_csv(path, index=False)
    return path


def test_gathered_once_then_part_of_the_rows(results: Results, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A published folder contains the published accuracies and verifies without the plug-in; exporting and loading preserve them."""
    told = gather_evidence(results, write_space(tmp_path), table)
    assert (len(told.published), told.published["dataset"].unique().tolist()) == (36, ["digits"])
    assert "other" not in set(told.published["architecture"])
    folder = publish_results(told, tmp_path / "board")
    assert verify_folder(folder) == []
    assert "published.csv" in (folder / "README.md").read_text(encoding="utf-8")
    again = load_results(folder)
    pd.testing.assert_frame_equal(again.published, told.published)
    assert gather_evidence(again).published is again.published
    export(told, tmp_path / "exported")
    pd.testing.assert_frame_equal(load_results(tmp_path / "exported").published, told.published)
    monkeypatch.setenv("AGD_BENCH_PUBLISHED", str(tmp_path / "nothing here"))
    assert gather_evidence(results).published.empty


def test_the_page_and_the_words(results: Results, table: Path, tmp_path: Path) -> None:
    """The report has a figure, a table of all budgets and a sentence per algorithm, only in the group with published results."""
    told = gather_evidence(results, write_space(tmp_path), table)
    tables = aggregates(told)
    assert tables["published_agreement"]["dataset"].unique().tolist() == ["digits"]
    page = build_report(told, tmp_path / "board", tables).read_text(encoding="utf-8")
    assert page.count("Does the published ranking hold?") == 1
    assert (tmp_path / "board" / "figures" / "g1-published.svg").is_file()
    said = [line for line in first_screen(told, tables) if isinstance(line, str) and "published" in line]
    assert len(said) == 2
    assert all(line.startswith("Against the published ranking after 200 epochs") for line in said)
    without = aggregates(results)
    assert "published_agreement" not in without
    assert not any(isinstance(line, str) and "published" in line for line in first_screen(results, without))


def test_a_published_ranking_of_its_own_noise_agrees(results: Results, table: Path, tmp_path: Path) -> None:
    """The published table is taken from sgd, so it agrees with sgd perfectly and with agd less."""
    rows = aggregates(gather_evidence(results, write_space(tmp_path), table))["published_agreement"].set_index(
        ["algorithm", "published_epochs"]
    )
    own = rows["tau_of_means"].astype(float).to_dict()
    assert own["sgd", 200] == own["sgd", 12] == 1
    assert own["agd", 200] < 1
    assert rows["trainings"].tolist() == [2, 2, 2, 2]


def test_what_cannot_be_gathered_is_said(results: Results, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing data is an error for an explicit path, but not for the environment variable; a damaged file is always an error."""
    folders = write_space(tmp_path)
    with pytest.raises(InputError, match=r"no results for this run: .*nowhere: not there; no results for 'mnist'"):
        gather_evidence(results, folders, tmp_path / "nowhere")
    damaged = tmp_path / "damaged.csv"
    damaged.write_text("architecture\nx\n", encoding="utf-8")
    with pytest.raises(InputError, match="no accuracies"):
        gather_evidence(results, folders, damaged)
    with pytest.raises(UnknownNameError, match="unknown search space 'cells'"):
        gather_evidence(results, None, table)
    monkeypatch.setenv("AGD_BENCH_PUBLISHED", str(tmp_path / "nowhere"))
    assert gather_evidence(results, folders).published.empty
    monkeypatch.setenv("AGD_BENCH_PUBLISHED", str(table))
    assert len(gather_evidence(results, folders).published) == 36
    assert gather_evidence(results).published.empty


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        (".drop(columns='split')", "with the columns"),
        (".assign(accuracy=70.0)", "return fractions"),
        (".assign(training=0)", "duplicate rows"),
        (".assign(epochs=12, split='test')", "means mixed"),
    ],
)
def test_tables_that_are_none_are_refused(results: Results, table: Path, tmp_path: Path, columns: str, fault: str) -> None:
    """An invalid table raises an error that says what is wrong with it."""
    with pytest.raises(PluginError, match=fault):
        gather_evidence(results, write_space(tmp_path, columns), table)


def test_nothing_to_gather_imports_no_torch() -> None:
    """Reports stay fast when there is nothing to gather, because torch is not imported."""
    code = (
        "import sys; from agd_bench.evidence import gather_evidence; from tests.analysis.synthetic import *; "
        "gather_evidence(simulate_results(simulate_trials(4, 2))); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env={"PATH": "", "PYTHONPATH": "."}, check=False).returncode == 0


def stating(features: str) -> str:
    """Return the source of a search space that defines architecture features."""
    plain = SPACE[: SPACE.index("def published")]
    return f"{plain}\ndef features(architecture):\n    return {features}\n"


def test_a_feature_that_a_plugin_states_is_tried_as_a_driver(results: Results, tmp_path: Path) -> None:
    """A plug-in's feature is published with the rows, listed in the report's table of drivers, and verified without the plug-in."""
    (tmp_path / "cells.py").write_text(stating('{"shade": float(architecture.split("~")[1].split("|")[0]) ** 2 % 7}'), encoding="utf-8")
    without = aggregates(results)["interaction_drivers"]
    told = gather_evidence(results, {"search_spaces": (tmp_path,)})
    assert told.features["feature"].unique().tolist() == ["shade"]
    assert told.features.set_index("architecture").loc["|conv~3|+|skip~0|", "value"] == 2
    tables = aggregates(told)
    assert set(tables["interaction_drivers"]["feature"]) - set(without["feature"]) == {"shade"}
    assert (tables["interaction_explained"]["features"] >= 1).all()
    folder = publish_results(told, tmp_path / "board")
    assert verify_folder(folder) == []
    again = load_results(folder)
    pd.testing.assert_frame_equal(again.features, told.features)
    assert gather_evidence(again).features is again.features


@pytest.mark.parametrize("stated", ["{'depth': 'deep'}", "{'depth': float('nan')}", "[1]", "{}[architecture]"])
def test_features_that_are_no_numbers_are_refused(results: Results, tmp_path: Path, stated: str) -> None:
    """The error names the search space and the architecture."""
    (tmp_path / "cells.py").write_text(stating(stated), encoding="utf-8")
    with pytest.raises(PluginError, match=r"'cells': features\('\|conv~0"):
        gather_evidence(results, {"search_spaces": (tmp_path,)})


def test_features_of_one_space_do_not_reach_another(results: Results) -> None:
    """Two search spaces may use the same string for different networks."""
    long = pd.DataFrame({"search_space": ["other"] * 12, "architecture": results.trials["architecture"].unique(), "feature": "shade"})
    other = dataclasses.replace(results, features=long.assign(value=[float(number**2 % 7) for number in range(12)]))
    assert "shade" not in set(aggregates(other)["interaction_drivers"]["feature"])
