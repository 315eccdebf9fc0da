"""A board shared by three people without a common store: freeze, enter, submit, supersede, withdraw, and detect forgeries."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from agd_bench import api
from agd_bench.cli import main
from agd_bench.errors import InputError, RunChangedError, StoreDamagedError
from agd_bench.leaderboard import build_site, verify_folder
from agd_bench.leaderboard.entries import write_entry
from agd_bench.leaderboard.publication import write_board
from agd_bench.records import AlgorithmChoice, Sweep
from agd_bench.records.competition import BENCHMARK, Benchmark, Entry, format_record, read_record
from agd_bench.store import Results, load_results
from agd_bench.store.entry_rows import read_benchmark
from agd_bench.store.manifest import digests
from agd_bench.submissions import enter, freeze, submit

# a test writes and verifies several boards, each of which takes seconds on an idle core
pytestmark = pytest.mark.timeout(1500)

SWEEP = {
    "name": "small",
    "search_spaces": [{"name": "fcn", "architectures": 6, "options": {"size": 8}}],
    "datasets": [{"name": "digits", "share": 0.1}],
    "algorithms": [{"name": "sgd"}, {"name": "agd"}],
    "baseline": "sgd",
    "epochs": 1,
    "seeds": 3,
}
HERE: dict[str, Any] = {"executor": "in-process", "device": "cpu"}


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Run an agd-bench command and assert that it succeeds."""
    monkeypatch.setattr(sys, "argv", ["agd-bench", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, few_resamples: None) -> Path:
    """Return the first submitter's clone: a benchmark frozen from a sweep, with both of its algorithms submitted from one run."""
    clone = tmp_path_factory.mktemp("first")
    freeze(Sweep.model_validate(SWEEP), clone / "board")
    api.run(Sweep.model_validate(SWEEP), clone / "run", executor="in-process", device="cpu")
    submitted = submit(clone / "run", clone / "board")
    assert [folder.name for folder in submitted.entries] == ["sgd", "agd"]
    assert "2 of 2 places change" in submitted.comment
    return clone


@pytest.fixture
def board(first: Path, tmp_path: Path) -> Path:
    """Return a clone of the board that a test may change."""
    return Path(shutil.copytree(first / "board", tmp_path / "board"))


def test_a_benchmark_keeps_its_budgets(tmp_path: Path) -> None:
    """Entries of a sweep over several budgets train each of them, with the trials of the sweep."""
    asked = Sweep.model_validate({**SWEEP, "epochs": [1, 2]})
    benchmark = freeze(asked, tmp_path / "board")
    assert read_benchmark(tmp_path / "board") == benchmark
    ids = {trial.id for trial in api.plan(asked).all_trials if trial.algorithm == "agd"}
    assert {trial.id for trial in api.plan(benchmark.sweep([AlgorithmChoice(name="agd")])).all_trials} == ids


def test_a_board_is_read_as_one_run(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A board's rows are those of the submitted run, in plan order; the board verifies and has a page."""
    board, run = load_results(first / "board"), load_results(first / "run")
    assert verify_folder(first / "board") == []
    columns = [name for name in run.trials if name != "position"]
    pd.testing.assert_frame_equal(board.trials[columns], run.trials[columns], check_exact=True)
    pd.testing.assert_frame_equal(board.curves, run.curves, check_exact=True)
    assert board.attempts["seconds"].sum() == pytest.approx(run.attempts["seconds"].sum())
    assert set(board.attempts["node"].str.split("/").str[0]) == {"sgd", "agd"}
    listed = board.sweep.search_spaces[0].architectures
    assert isinstance(listed, tuple)
    assert list(listed) == list(run.trials["architecture"].unique()), "the sample is frozen by name"
    monkeypatch.setattr("agd_bench.report.sections.PARTS", ())
    page = build_site(first, first.parent / "site")
    assert (page.parent / "board" / "entries" / "agd" / "trials.csv").is_file()


def test_three_clones_and_the_place_of_each(
    board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], few_resamples: None
) -> None:
    """The second submitter uses only `enter`, first on the lite part; the third submits a run of a different sweep."""
    second = Path(shutil.copytree(board, tmp_path / "second" / "board"))
    monkeypatch.chdir(second.parent)
    mine = AlgorithmChoice.model_validate({"name": "nadamw", "label": "mine"})
    lite = enter(second, mine, part="lite", **HERE)
    assert len(lite.trials) == 4 * 2
    assert [folder.name for folder in submit("runs/small-mine-lite", second).entries] == ["mine"]
    assert "## Lite part" not in (board / "README.md").read_text()
    assert "# Lite part" in (second / "README.md").read_text()
    assert "mine" not in set(load_results(second).trials["algorithm"]), "it is not ranked among entries with all rows"
    assert verify_folder(second) == []
    said: list[str] = []
    whole = enter(second, mine, inform=said.append, **HERE)
    assert "8 trials reused" in " ".join(said)
    assert len(whole.trials) == len(whole.attempts) == 18
    comment = submit("runs/small-mine", second).comment
    assert "| mine | – |" in comment
    command(monkeypatch, "verify", str(second), "--against", str(board))
    assert comment.strip() in capsys.readouterr().out

    third = Path(shutil.copytree(second, tmp_path / "third" / "board"))
    other = Sweep.model_validate({**SWEEP, "name": "larger", "seeds": 4, "algorithms": [{"name": "adamw"}], "baseline": ""})
    api.run(other, tmp_path / "third" / "run", executor="in-process", device="cpu")
    submitted = submit(tmp_path / "third" / "run", third, authors=["Ada"], code="https://example.org/adamw")
    assert verify_folder(third) == []
    assert [folder.name for folder in submitted.entries] == ["adamw"]
    assert set(load_results(third).trials["algorithm"]) == {"sgd", "agd", "mine", "adamw"}
    assert load_results(third).trials.loc[lambda rows: rows["algorithm"] == "adamw", "seed"].max() == 2
    assert "Ada" in (third / "README.md").read_text()


def test_an_entry_is_superseded_or_withdrawn_and_its_rows_stay(board: Path, monkeypatch: pytest.MonkeyPatch, few_resamples: None) -> None:
    """Superseded and withdrawn entries are listed with the reason but not ranked; a withdrawn entry no longer supersedes another."""
    run = board.parents[0] / "again"
    api.run(Sweep.model_validate(SWEEP), run, executor="in-process", device="cpu")
    with pytest.raises(InputError, match=r"has an entry agd already.*--supersedes agd"):
        submit(run, board, ["agd"])
    submit(run, board, ["agd"], name="agd-2", supersedes=["agd"])
    assert set(load_results(board).trials["algorithm"]) == {"sgd", "agd-2"}
    assert "agd was superseded by agd-2" in (board / "README.md").read_text()
    assert verify_folder(board) == []
    command(monkeypatch, "withdraw", str(board), "--entry", "agd-2", "--reason", "trained on the test split")
    assert set(load_results(board).trials["algorithm"]) == {"sgd", "agd"}
    assert "agd-2 was withdrawn: trained on the test split" in (board / "README.md").read_text()
    assert verify_folder(board) == []
    assert (board / "entries" / "agd-2" / "trials.csv").is_file()


def _forge(board: Path, name: str, change: object) -> None:
    """Edit an entry's rows and update every manifest, as a careful forger would."""
    folder = board / "entries" / name
    trials = pd.read_csv(folder / "trials.csv", dtype="str", keep_default_na=False)
    change(trials)  # type: ignore[operator]
    trials.to_csv(folder / "trials.csv", index=False, lineterminator="\n")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"files": digests(folder)}))
    write_board(board)


def _better(trials: pd.DataFrame) -> None:
    trials["val_accuracy"] = "0.9"


def _other_settings(trials: pd.DataFrame) -> None:
    trials.loc[[0, 1], "architecture"] = trials.loc[[1, 0], "architecture"].to_numpy()


@pytest.mark.parametrize(("change", "found"), [(_better, "but its curve ends at"), (_other_settings, "is not the hash of its settings")])
def test_a_forged_entry_is_found_with_every_digest_renewed(board: Path, change: object, found: str, few_resamples: None) -> None:
    """Edited rows contradict the curves or the trial ids, even with every digest updated."""
    _forge(board, "agd", change)
    assert [line for line in verify_folder(board) if found in line]


def test_an_edited_row_is_found_by_its_digest(board: Path) -> None:
    """Loading an edited board fails, and verification names the file."""
    path = board / "entries" / "agd" / "trials.csv"
    path.write_text(path.read_text().replace("done", "done ", 1))
    assert any(line.startswith("entries/agd/trials.csv: changed since") for line in verify_folder(board))
    with pytest.raises(StoreDamagedError, match=r"trials\.csv changed since"):
        load_results(board)


def test_rows_of_another_benchmark_are_no_entry(board: Path, tmp_path: Path, few_resamples: None) -> None:
    """Different epochs, missing trials and a benchmark edited after its entries were made are all rejected."""
    run = tmp_path / "run"
    api.run(Sweep.model_validate(SWEEP | {"epochs": 2}), run, executor="in-process", device="cpu")
    with pytest.raises(RunChangedError, match=r"none of its .* trials can be reused"):
        submit(run, board, ["agd"], name="longer")
    few = Sweep.model_validate(SWEEP | {"seeds": 1, "algorithms": [{"name": "nadamw"}], "baseline": ""})
    api.run(few, tmp_path / "few", executor="in-process", device="cpu")
    with pytest.raises(InputError, match=r"12 of 18 trials of the whole benchmark and 4 of 8 trials of the lite benchmark are missing"):
        submit(tmp_path / "few", board)
    with pytest.raises(InputError, match=r"exists, and entries refer to it.*board-v2"):
        freeze(Sweep.model_validate(SWEEP), board)
    assert freeze(Sweep.model_validate(SWEEP | {"epochs": 2}), tmp_path / "board-v2").version == 2
    text = (board / BENCHMARK).read_text()
    (board / BENCHMARK).write_text(text.replace("epochs = 1", "epochs = 2"))
    assert any("a changed benchmark is a new version" in line for line in verify_folder(board))


def test_data_that_are_not_the_benchmarks_are_noticed_before_training(board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed label fails the data set's checksum before any training starts."""
    from agd_bench.datasets import digits

    load = digits.load

    def edited(root: Path) -> object:
        splits = load(root)
        splits["test"][1][0] += 1
        return splits

    monkeypatch.setattr(digits, "load", edited)
    with pytest.raises(InputError, match="data set 'digits': SHA-256"):
        enter(board, AlgorithmChoice(name="agd"), out=tmp_path / "run", **HERE)
    assert not (tmp_path / "run").exists()


def test_a_benchmark_and_an_entry_survive_their_files(board: Path, tmp_path: Path) -> None:
    """Records survive a round trip through TOML, including quotes and newlines; an unknown key is an error."""
    benchmark = read_benchmark(board)
    changed = benchmark.model_copy(update={"description": 'Sweep "x" \\ of – two\nlines'})
    assert changed.digest == benchmark.digest
    (tmp_path / "b.toml").write_text(format_record(changed, "a comment"), encoding="utf-8")
    assert read_record(Benchmark, tmp_path / "b.toml") == changed
    entry = read_record(Entry, board / "entries" / "agd" / "entry.toml")
    assert (entry.tier, entry.benchmark, entry.part) == ("self-tuning", benchmark.digest, "whole")
    (tmp_path / "e.toml").write_text(format_record(entry, "a comment") + "colour = 1\n")
    with pytest.raises(InputError, match="colour"):
        read_record(Entry, tmp_path / "e.toml")


def test_what_an_entry_states_is_compared_with_its_rows(board: Path, few_resamples: None) -> None:
    """An entry that claims a different device or different code than its rows is found."""
    results, entry = _read(board, "agd")
    shutil.rmtree(board / "entries" / "agd")
    write_entry(results, board, entry.model_copy(update={"hardware": ("Faster GPU",), "digest": "0" * 16}))
    write_board(board)
    found = verify_folder(board)
    assert len([line for line in found if line.startswith("entries/agd/entry.toml: ")]) == len(found) == 2


def _read(board: Path, name: str) -> tuple[Results, Entry]:
    folder = board / "entries" / name
    return replace(load_results(folder)), read_record(Entry, folder / "entry.toml")


@pytest.mark.parametrize("name", ["../../up", "a/b", "", "-x"])
def test_an_entry_cannot_be_written_outside_its_board(first: Path, name: str) -> None:
    """The name of an entry is the name of its folder."""
    before = sorted(first.rglob("*"))
    with pytest.raises(InputError):
        submit(first / "run", first / "board", ["sgd"], name=name)
    with pytest.raises(InputError, match="--supersedes"):
        submit(first / "run", first / "board", ["sgd"], name="new", supersedes=["../up"])
    assert sorted(first.rglob("*")) == before
