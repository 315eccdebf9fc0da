"""Which code made the rows: stated, declared, counted, and refused where it contradicts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from agd_bench import identity
from agd_bench.errors import RunChangedError
from agd_bench.leaderboard import publish_results
from agd_bench.leaderboard.verification import check_rows
from agd_bench.records import Plan, TrialResult
from agd_bench.scheduling.driver import Run
from agd_bench.scheduling.partition import Part, part_of
from agd_bench.store import Results, Store, executed_code, join, load_results, merge_into, mixed_code, reusable_rows, undeclared_code
from agd_bench.store.row_code import DIGESTS, EARLIER, FIRST, declared_meta
from tests.scheduling import plans
from tests.scheduling.scripted import Scripted, good

FREE = "algorithms/free"
OLD, NEW, OTHER = "0" * 16, "1" * 16, "2" * 16


def planned(digest: str) -> Plan:
    """A plan of self-tuning trials whose algorithm's code has this identity."""
    return plans.plan(architectures=4, rounds=0, digests={FREE: digest})


def train(location: Path, digest: str, part: Part, stated: str | None = None, allow: bool = False) -> Results:
    """Drive a part of the plan; its rows state a code, or none as rows of old did."""

    def perform(task: object) -> object:
        outcome = good(task)  # type: ignore[arg-type]
        result: TrialResult = outcome.result  # type: ignore[assignment]
        code = {"algorithm_digest": stated} if stated else {}
        return dataclasses.replace(outcome, result=result.model_copy(update={"provenance": {**result.provenance, **code}}))

    with Store.open(location, planned(digest), allow) as store:
        Run(part_of(planned(digest), part), store, Scripted(perform), plans.HashTuner()).drive()  # type: ignore[arg-type]
    return load_results(location)


def counts(results: Results) -> dict[str, int]:
    """Trials by the code of the algorithm."""
    rows = executed_code(results)
    return dict(rows[rows["part"] == FREE][["code", "trials"]].itertuples(index=False, name=None))


def test_rows_of_more_than_one_code_are_counted(tmp_path: Path) -> None:
    """A run that was continued with other code: refused, then on purpose; rows from before they stated it have that of their time."""
    train(tmp_path / "run", OLD, Part(1, 2))
    with pytest.raises(RunChangedError, match=rf"the code of {FREE} changed.*--allow-mixed-code"):
        Store.open(tmp_path / "run", planned(NEW))
    results = train(tmp_path / "run", NEW, Part(2, 2), NEW, allow=True)
    half = len(results.trials) // 2
    assert counts(results) == {OLD: half, NEW: half}
    assert json.loads(results.meta[EARLIER]) == {FREE: {OLD: "mixed"}}
    assert json.loads(results.meta[FIRST]) == {FREE: OLD}
    assert len(mixed_code(results)) == 1
    assert undeclared_code(results) == []


def test_code_known_to_give_the_same_rows_is_one_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes on, nothing is mixed, and its rows still say which code made them."""
    monkeypatch.setattr(identity, "_equal", lambda: {FREE: [OLD]})
    train(tmp_path / "run", OLD, Part(1, 2), OLD)
    results = train(tmp_path / "run", NEW, Part(2, 2), NEW)
    assert counts(results) == {NEW: len(results.trials)}
    assert mixed_code(results) == []
    assert json.loads(results.meta[EARLIER]) == {FREE: {OLD: "equal"}}
    assert results.attempts["provenance"].str.contains(OLD).sum() == len(results.trials) // 2


def test_a_merge_keeps_which_code_made_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that do not say it get what their own run declares; the target declares both."""
    parts = [train(tmp_path / "1", OLD, Part(1, 2)), train(tmp_path / "2", NEW, Part(2, 2), NEW)]
    with pytest.raises(RunChangedError, match=f"the code of {FREE} changed"):
        reusable_rows("run 1", parts[0], planned(NEW))
    monkeypatch.setattr(identity, "_equal", lambda: {FREE: [OLD]})
    reusable_rows("run 1", parts[0], planned(NEW))
    with Store.open(tmp_path / "both", planned(NEW), joined=[declared_meta(part) for part in parts]) as store:
        merge_into(store, planned(NEW), join([("1", parts[0]), ("2", parts[1])]))
    both = load_results(tmp_path / "both")
    assert both.attempts["provenance"].str.contains(OLD).sum() == len(both.trials) // 2
    assert counts(both) == {NEW: len(both.trials)}


def test_rows_that_contradict_their_run_are_refused(tmp_path: Path) -> None:
    """As of a worker with other sources: by merge and publish, and a difference for verify; declared on purpose they are mixed."""
    train(tmp_path / "run", NEW, Part(1, 2), NEW)
    results = train(tmp_path / "run", NEW, Part(2, 2), OTHER)
    assert len(undeclared_code(results)) == 1
    with pytest.raises(RunChangedError, match=f"executed by code {OTHER} of {FREE}"):
        reusable_rows("run", results, planned(NEW))
    with pytest.raises(RunChangedError, match=f"executed by code {OTHER} of {FREE}"):
        publish_results(results, tmp_path / "published")
    assert [line for line in check_rows(results) if OTHER in line]
    reusable_rows("run", results, planned(NEW), allow_mixed_code=True)
    declared = dataclasses.replace(results, meta=declared_meta(results))
    assert undeclared_code(declared) == []
    assert len(mixed_code(declared)) == 1


def test_the_engine_and_torch_are_told_but_not_refused(tmp_path: Path) -> None:
    """A sweep that grows for months meets new versions of both; rows without either say nothing."""
    results = train(tmp_path / "run", NEW, Part(1, 1), NEW)
    texts = results.attempts["provenance"].copy()
    for index, (engine, torch) in enumerate([("a", "2.9"), ("a", "2.9"), ("b", "2.10")]):
        texts.iloc[index] = json.dumps(json.loads(texts.iloc[index]) | {"engine_digest": engine, "torch": torch})
    mixed = dataclasses.replace(results, attempts=results.attempts.assign(provenance=texts))
    rows = executed_code(mixed)
    assert rows[rows["part"] == "engine_digest"]["trials"].tolist() == [2, 1]
    assert len(mixed_code(mixed)) == 2
    assert undeclared_code(mixed) == []
    assert json.loads(mixed.meta[DIGESTS]) == {FREE: NEW}
