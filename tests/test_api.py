"""The Python API, from a sweep to its results, including settings that depend on the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import agd_bench
from agd_bench.api import estimate, merge, run
from agd_bench.errors import InputError, RunChangedError, StoreError, SweepError
from agd_bench.leaderboard import verify_folder
from agd_bench.planning.planner import plan
from agd_bench.records import Sweep
from agd_bench.training import fit


def sweep(**changes: Any) -> Sweep:
    """Return a sweep that trains a small fully connected network twice on a few digits."""
    asked: dict[str, Any] = {
        "name": "small",
        "search_spaces": [{"name": "fcn", "architectures": ["2x32"], "options": {"size": 8}}],
        "datasets": [{"name": "digits", "share": 0.1}],
        "algorithms": [{"name": "agd"}, {"name": "sgd"}],
        "epochs": 1,
        "seeds": 1,
    }
    return Sweep.model_validate({**asked, **changes})


def test_auto_precision_is_settled_once_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first machine chooses the precision of every trial; another machine keeps it and retrains nothing."""
    wanted = sweep(precision="auto")
    for suited in ("bfloat16", "float32"):
        monkeypatch.setattr(fit, "suited_precision", lambda device, suited=suited: suited)
        results = run(wanted, tmp_path, executor="in-process", device="cpu")
        assert results.sweep.precision == "bfloat16"
        assert set(results.trials["precision"]) == {"bfloat16"}
        assert len(results.attempts) == 2
    assert estimate(wanted, tmp_path, device="cpu")[0]["final_trials"].sum() == 0


def test_auto_precision_cannot_be_planned_without_a_machine() -> None:
    """Planning rejects "auto", since a plan must depend on the sweep alone."""
    with pytest.raises(SweepError, match='"float32" or "bfloat16"'):
        plan(sweep(precision="auto"))


def test_names_and_texts_serve_as_sweeps_and_paths(tmp_path: Path) -> None:
    """Names, files and folders can be given as strings or as paths, as the README shows."""
    file = tmp_path / "small.json"
    file.write_text(sweep().model_dump_json(), encoding="utf-8")
    assert agd_bench.read_sweep(str(file)) == agd_bench.read_sweep(file) == sweep()
    made = agd_bench.plan(str(file))
    assert made == agd_bench.plan(sweep())
    assert repr(made) == "Plan(small: 2 trials, 0 studies)"
    results = run(str(file), str(tmp_path / "run"), executor="in-process", device="cpu")
    assert repr(results) == "Results(small: 2 trials (2 done), 1 architectures)"
    assert "<table" in results._repr_html_()
    page = agd_bench.build_report(str(tmp_path / "run"), str(tmp_path / "report"))
    assert page.is_file()
    folder = agd_bench.publish_results(results, str(tmp_path / "boards" / "small"))
    assert repr(agd_bench.load_results(str(folder))) == repr(results)


def test_completion_offers_the_public_names() -> None:
    """`agd_bench.<TAB>` offers the names in `__all__` and the version, and all of them exist."""
    assert set(dir(agd_bench)) == {*agd_bench.__all__, "__version__"}
    assert all(getattr(agd_bench, name) is not None for name in dir(agd_bench))


@pytest.mark.parametrize("call", [run, estimate])
def test_a_store_that_is_no_url_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Any) -> None:
    """An invalid store URL is rejected before any file is created."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="://: cannot open this database"):
        call(sweep(), store_url="://", executor="in-process")
    with pytest.raises(InputError, match="--store nonsense"):
        call(sweep(), store_url="nonsense", executor="in-process")
    assert not list(tmp_path.iterdir())


def test_runs_of_different_sweeps_become_one(tmp_path: Path) -> None:
    """Merging runs with different algorithms and architectures lists the missing trials, and running the union trains only those."""
    wide = [{"name": "fcn", "architectures": ["2x32", "3x32"], "options": {"size": 8}}]
    run(sweep(), tmp_path / "a", executor="in-process", device="cpu")
    second = run(
        sweep(name="other", search_spaces=wide, algorithms=[{"name": "nadamw"}]), tmp_path / "b", executor="in-process", device="cpu"
    )
    joined = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "both")
    assert (joined.taken, joined.planned, joined.left) == (4, 6, 2)
    assert set(joined.missing) == {(name, "fcn", "digits", "matrix-only") for name in ("agd", "sgd")}
    said: list[str] = []
    united = agd_bench.load_results(tmp_path / "both").sweep
    found = run(united, tmp_path / "next", start_from=[tmp_path / "both"], executor="in-process", device="cpu", inform=said.append)
    assert said == [f"{tmp_path / 'both'}: 4 trials reused"]
    assert set(found.trials["status"]) == {"done"}
    taken = found.attempts.merge(second.attempts, on=["trial_id", "started_at", "provenance", "seconds"])
    assert len(taken) == len(second.attempts)
    run(sweep(epochs=2), tmp_path / "c", executor="in-process", device="cpu")
    with pytest.raises(SweepError, match="epochs is 1 and 2"):
        merge([tmp_path / "a", tmp_path / "c"], tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with pytest.raises(RunChangedError, match=r"none of its 2 trials can be reused: .*epochs"):
        run(sweep(epochs=2, name="longer"), tmp_path / "d", start_from=[tmp_path / "a"], executor="in-process", device="cpu")


@pytest.mark.parametrize("location", ["run", "sqlite:///run.db"])
def test_a_run_in_rays_package_cache_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str) -> None:
    """`ray job submit --working-dir` runs in a copy that Ray deletes, so nothing may be written there."""
    copy = tmp_path / "ray" / "runtime_resources" / "working_dir_files" / "_ray_pkg_0123456789abcdef"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    with pytest.raises(InputError, match="absolute --out"):
        agd_bench.run("quickstart", location, store_url=location if "://" in location else None)
    assert not list(copy.iterdir())


@pytest.mark.timeout(1500)
def test_budgets_are_compared_separately_everywhere(tmp_path: Path, few_resamples: None) -> None:
    """A sweep over two budgets reuses a run of one of them, publishes one comparison per budget, and is a table of both."""
    tuned = [{"name": "sgd"}, {"name": "sgd_tuned", "tuning_trials": 1}]
    spaces = [{"name": "fcn", "architectures": ["2x32", "3x32"], "options": {"size": 8}}]
    run(sweep(epochs=2, algorithms=tuned, search_spaces=spaces), tmp_path / "one", executor="in-process", device="cpu")
    both = sweep(name="both", epochs=[1, 2], algorithms=tuned, search_spaces=spaces)
    said: list[str] = []
    results = run(both, tmp_path / "both", start_from=[tmp_path / "one"], executor="in-process", device="cpu", inform=said.append)
    assert said == [f"{tmp_path / 'one'}: 6 trials reused"]
    assert results.trials.groupby("dataset")["epochs"].unique().map(list).to_dict() == {"digits@1": [1], "digits@2": [2]}
    assert list(estimate(both, tmp_path / "both", device="cpu")[0]["final_trials"]) == []
    folder = agd_bench.publish_results(results, tmp_path / "board")
    assert verify_folder(folder) == []
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert "digits@1" in page
    assert "digits@2" in page
    table = agd_bench.table(folder)
    assert [(key.dataset, key.algorithm, key.epochs) for key in table.cells] == [
        ("digits", label, epochs) for label in ("sgd", "sgd_tuned") for epochs in (1, 2)
    ]
    # each budget has a study of its own, which is charged when it is first needed
    assert all(table.query("2x32", "sgd_tuned", epochs=epochs).tuning_seconds > 0 for epochs in (1, 2))
    assert table.query("2x32", "sgd_tuned", epochs=1).tuning_seconds == 0
    merged = merge([tmp_path / "both", folder], tmp_path / "merged")
    assert (merged.taken, merged.left) == (12, 0)
