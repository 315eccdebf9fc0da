"""Audits: trials are drawn by seed, retrained, and compared within stated tolerances, and anyone can verify the record."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agd_bench import api
from agd_bench.cli import main
from agd_bench.errors import UnknownNameError
from agd_bench.leaderboard import publish_results, verify_folder
from agd_bench.leaderboard.audits import auditable, badges, draw_trials, judge, noise_bands, read_audits
from agd_bench.records import Sweep
from agd_bench.records.audit import Outcome
from agd_bench.store import load_results
from agd_bench.store.manifest import digests

# a test writes and verifies several boards, each of which takes seconds on an idle core
pytestmark = pytest.mark.timeout(1500)

SWEEP = {
    "name": "small",
    "search_spaces": [{"name": "fcn", "architectures": 4, "options": {"size": 8}}],
    "datasets": [{"name": "digits", "share": 0.1}],
    "algorithms": [{"name": "sgd"}, {"name": "agd"}],
    "epochs": 1,
    "seeds": 3,
}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, few_resamples: None) -> Path:
    """Return a published run of this machine with an audit of a quarter of one algorithm's trials."""
    place = tmp_path_factory.mktemp("audit")
    folder = place / "published"
    publish_results(api.run(Sweep.model_validate(SWEEP), place / "run", executor="in-process", device="cpu"), folder)
    assert call("audit", str(folder), "--entry", "agd", "--share", "0.25", "--seed", "3", "--yes", "--by", "Ada", "--device", "cpu") == 0
    return folder


def call(*arguments: str) -> int:
    """Run a command and return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["agd-bench", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
    return int(end.value.code or 0)


def test_the_same_machine_and_code_give_the_same_numbers(published: Path) -> None:
    """Three of twelve trials are retrained with equal results; the page counts them, and the folder verifies."""
    (audit,) = read_audits(published).values()
    assert [one.trial_id for one in audit.reruns] == draw_trials(load_results(published), "agd", 0.25, 3)
    assert (len(audit.reruns), {one.verdict for one in audit.reruns}) == (3, {"equal"})
    assert all(one.same and one.band > 0 for one in audit.reruns)
    assert badges(load_results(published), [audit]) == {"sgd": "consistent", "agd": "rerun: 3 of 12 inside the band"}
    assert "| agd | 3 | 3 | 0 |" in (published / "README.md").read_text()
    assert verify_folder(published) == []


def test_nothing_is_executed_without_consent(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any answer but yes ends the command before the first training."""
    monkeypatch.setattr("agd_bench.reruns.audit", lambda *given, **more: pytest.fail("it trained"))
    monkeypatch.setattr("typer.confirm", lambda question: False)
    assert call("audit", str(published)) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda audit: audit["reruns"].pop(), "its trials are not the 3 that share 0.25 and seed 3 draw"),
        (lambda audit: audit.update(seed=4), "its trials are not the 3"),
        (lambda audit: audit["reruns"][0]["published"].update(test_accuracy=0.5), "its published values are not those of the row"),
        (lambda audit: audit["reruns"][0].update(band=1.0), "its band is 1, but"),
        (lambda audit: audit["reruns"][0]["found"].update(test_accuracy=0.0), "its verdict is equal, which is not"),
    ],
)
def test_an_edited_record_is_found(published: Path, tmp_path: Path, change: Any, said: str) -> None:
    """Verification finds edits of an audit record even if every digest has been updated."""
    import shutil

    folder = Path(shutil.copytree(published, tmp_path / "published"))
    (path,) = (folder / "audits").glob("*.json")
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"files": digests(folder)}))
    assert [line for line in verify_folder(folder) if line.startswith("audits/") and said in line]


def test_verdicts_follow_from_the_tolerances() -> None:
    """A rerun is equal within a few ulps, inside the band, or outside; a different status is outside."""
    row = Outcome(status="done", train_loss=1.0, val_accuracy=0.5, test_accuracy=0.6)
    near = row.model_copy(update={"train_loss": 1.0 + 2**-51})
    assert judge(row, near, 0.1) == "equal"
    assert judge(row, row.model_copy(update={"train_loss": 1.1}), 0.0) == "inside"
    assert judge(row, row.model_copy(update={"test_accuracy": 0.69}), 0.1) == "inside"
    assert judge(row, row.model_copy(update={"test_accuracy": 0.71}), 0.1) == "outside"
    assert judge(row, Outcome(status="diverged"), 1.0) == "outside"
    assert judge(Outcome(status="diverged"), Outcome(status="diverged"), 0.1) == "equal"


def test_a_badge_counts_each_trial_once(published: Path) -> None:
    """A trial of two audits counts once, a rerun outside the band is named, and rows that contradict each other are not consistent."""
    results = load_results(published)
    (audit,) = read_audits(published).values()
    first, second, third = audit.reruns
    other = audit.model_copy(update={"reruns": (third, third.model_copy(update={"trial_id": "other"}))})
    assert badges(results, [audit, other])["agd"] == "rerun: 4 of 12 inside the band"
    failed = audit.model_copy(update={"reruns": (first.model_copy(update={"verdict": "outside"}), second)})
    assert badges(results, [audit, failed, failed])["agd"] == "rerun: 1 outside"
    forged = replace(results, trials=results.trials.assign(val_accuracy=0.9))
    assert badges(forged, [audit]) == {"sgd": "inconsistent", "agd": "rerun: 3 of 12 inside the band"}


def test_the_band_is_a_prediction_limit_of_seed_noise(published: Path) -> None:
    """The band is t(1 - 0.025 / n; df) · √2 · s, recomputed here for four architectures with three seeds."""
    results = load_results(published)
    (band,) = noise_bands(results, "agd", 3).values()
    rows = auditable(results, "agd")
    spread = (rows.groupby("architecture")["test_accuracy"].var().mean()) ** 0.5
    # 3.0158: quantile 1 - 0.025 / 3 of the t distribution with 8 degrees of freedom, from a table
    assert band == pytest.approx(3.0158 * 2**0.5 * spread, rel=1e-4)
    with pytest.raises(UnknownNameError, match="sgd"):
        draw_trials(results, "sdg", 0.1, 0)


def test_another_seed_draws_other_trials(published: Path) -> None:
    """The sample depends on the share and the seed."""
    results = load_results(published)
    draws = {tuple(draw_trials(results, "agd", 0.25, seed)) for seed in range(20)}
    assert len(draws) > 10
    assert {len(draw) for draw in draws} == {3}
    assert len(draw_trials(results, "agd", 1.0, 0)) == 12
