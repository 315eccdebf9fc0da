"""Rows state which code made them; mixed code is counted, and contradictions are refused."""

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
    """Return a plan of trials without tuning, with this digest for the algorithm's code."""
    return plans.plan(architectures=4, rounds=0, digests={FREE: digest})


def train(location: Path, digest: str, part: Part, stated: str | None = None, allow: bool = False) -> Results:
    """Run a part of the plan; its rows state the given digest, or none, like rows of earlier versions."""

    def perform(task: object) -> object:
        outcome = good(task)  # type: ignore[arg-type]
        result: TrialResult = outcome.result  # type: ignore[assignment]
        code = {"algorithm_digest": stated} if stated else {}
        return dataclasses.replace(outcome, result=result.model_copy(update={"provenance": {**result.provenance, **code}}))

    with Store.open(location, planned(digest), allow) as store:
        Run(part_of(planned(digest), part), store, Scripted(perform), plans.HashTuner()).drive()  # type: ignore[arg-type]
    return load_results(location)


def counts(results: Results) -> dict[str, int]:
    """Return the number of trials for each digest of the algorithm's code."""
    rows = executed_code(results)
    return dict(rows[rows["part"] == FREE][["code", "trials"]].itertuples(index=False, name=None))


def test_rows_of_more_than_one_code_are_counted(tmp_path: Path) -> None:
    """Continuing a run with different code is refused unless allowed; rows that state no code count as made by the run's first code."""
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
    """The run can be continued, nothing counts as mixed, and each row still says which code made it."""
    monkeypatch.setattr(identity, "_equal", lambda: {FREE: [OLD]})
    train(tmp_path / "run", OLD, Part(1, 2), OLD)
    results = train(tmp_path / "run", NEW, Part(2, 2), NEW)
    assert counts(results) == {NEW: len(results.trials)}
    assert mixed_code(results) == []
    assert json.loads(results.meta[EARLIER]) == {FREE: {OLD: "equal"}}
    assert results.attempts["provenance"].str.contains(OLD).sum() == len(results.trials) // 2


def test_a_merge_keeps_which_code_made_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that state no code get the digest that their own run declares; the target declares both."""
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
    """Rows of a worker with different sources are refused by `merge` and `publish`, and `verify` reports a difference.

    If they are allowed explicitly, they count as mixed.
    """
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
    """A sweep may run for months and see new versions of the engine and of torch; rows that state neither are not counted."""
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
