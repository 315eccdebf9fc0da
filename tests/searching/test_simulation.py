"""A single run of a search method: budget, charges, pairing and errors."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from agd_bench import plugins
from agd_bench.searching import simulation
from agd_bench.searching.simulation import MethodError, Trace, incumbents, simulate, world_of
from agd_bench.tabular import Domain, Key
from tests.tabular.synthetic import ARCHITECTURES, synthetic_table


def method(ask: Callable[[Any], Any], tell: Callable[..., None] = lambda *told: None) -> ModuleType:
    """Return a search method whose state is the space and its random generator."""
    module = ModuleType("method")
    module.__dict__.update(start=lambda space, budget_seconds, rng: (space, rng), ask=ask, tell=tell)
    return module


def run(asking: ModuleType, budget: float = 80.0, algorithm: str = "plain", number: int = 0) -> Trace:
    """Run a method on the synthetic table with 2 and 8 epochs."""
    table = synthetic_table()
    cells = {epochs: table.cells[Key("digits", algorithm, epochs)] for epochs in (2, 8)}
    return simulate(asking, Domain(ARCHITECTURES, (2, 8)), world_of(cells, list(range(27))), budget, number)


def test_trainings_are_charged_until_the_budget_is_spent() -> None:
    """Trainings cost 8 s each; one that exceeds the budget is neither charged nor reported to the method."""
    told: list[tuple[str, int, float, float]] = []
    trace = run(method(lambda search: ARCHITECTURES[0], lambda search, *given: told.append(given)), budget=81.0)
    assert (trace.queries, trace.spent_seconds) == (10, 80.0)
    assert len(told) == 10
    assert {given[:2] + given[3:] for given in told} == {(ARCHITECTURES[0], 8, 8.0)}
    assert trace.found == [0]
    assert trace.seconds == [8.0]


def test_a_tuning_study_is_charged_once() -> None:
    """The first training with the tuned algorithm also pays 100 s for the study, later ones do not."""
    trace = run(method(lambda search: ARCHITECTURES[0]), budget=124.0, algorithm="tuned")
    assert (trace.queries, trace.spent_seconds) == (3, 124.0)


def test_a_study_that_budgets_share_is_charged_once() -> None:
    """Tuning found its values for all epochs of a training that is stopped early."""
    asked = iter([(ARCHITECTURES[0], 2), (ARCHITECTURES[0], 8), None])
    trace = run(method(lambda search: next(asked)), budget=1000.0, algorithm="tuned")
    assert trace.spent_seconds == 110.0


def test_more_epochs_count_more_than_accuracy() -> None:
    """The best architecture is chosen among the longest trainings so far."""
    asked = iter([(ARCHITECTURES[26], 2), (ARCHITECTURES[0], 8), (ARCHITECTURES[26], 2), None])
    trace = run(method(lambda search: next(asked)))
    assert trace.found == [26, 0]
    assert trace.seconds == [2.0, 10.0]
    assert incumbents(trace, np.array([1.0, 2.0, 9.9, 10.0, 80.0])) == [-1, 26, 26, 0, 0]


def test_runs_of_one_number_are_paired() -> None:
    """Within a run number, an architecture has the same seed for all methods and queries; other run numbers use other seeds."""
    told: dict[str, list[float]] = {"first": [], "second": []}
    for name in told:
        run(method(lambda search: ARCHITECTURES[3], lambda search, a, e, accuracy, s, name=name: told[name].append(accuracy)))
    assert len({*told["first"], *told["second"]}) == 1
    values = set()
    for number in range(20):
        run(method(lambda search: ARCHITECTURES[3], lambda search, a, e, accuracy, s: values.add(accuracy)), budget=8, number=number)
    assert len(values) == 3
    random = plugins.load("searchers", "random_search")
    assert run(random, number=4) == run(random, number=4) != run(random, number=5)


@pytest.mark.parametrize(
    ("ask", "budget", "reason"),
    [
        (lambda search: "other", 80.0, "asked for 'other', which is not among the 27"),
        (lambda search: (ARCHITECTURES[0], 4), 80.0, "asked for 4 epochs; the table has 2, 8"),
        (lambda search: ["a"], 80.0, "TypeError"),
        (lambda search: None, 80.0, r"the first ask\(\) returned None"),
        (lambda search: ARCHITECTURES[0], 7.0, "the first training costs 8 s, more than the budget of 7 s"),
        (lambda search: search[5], 80.0, r"IndexError: .* \(test_simulation.py"),
    ],
)
def test_faults_have_reasons(ask: Callable[[Any], Any], budget: float, reason: str) -> None:
    """Faults of a method raise an error that gives the reason."""
    with pytest.raises(MethodError, match=reason):
        run(method(ask), budget)


def test_endless_methods_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that loops forever or asks for trainings without end is stopped."""

    def loop(search: Any) -> None:
        while True:
            pass

    monkeypatch.setattr(simulation, "RUN_SECONDS", 0.2)
    with pytest.raises(MethodError, match="hangs in"):
        run(method(loop))
    monkeypatch.setattr(simulation, "RUN_SECONDS", 60)
    monkeypatch.setattr(simulation, "MOST_QUERIES", 50)
    with pytest.raises(MethodError, match="asked for 50 trainings"):
        run(method(lambda search: ARCHITECTURES[0]), budget=1e9)


def test_search_and_queries_charge_alike() -> None:
    """A run is charged the same seconds as the same queries to the table."""
    asked: list[str] = []
    trace = run(plugins.load("searchers", "random_search"), budget=300.0, algorithm="tuned")
    module = method(lambda search: asked.append(search[0].sample(search[1])) or asked[-1])  # type: ignore[func-returns-value]
    assert run(module, budget=300.0, algorithm="tuned").spent_seconds == trace.spent_seconds
    table = synthetic_table()
    for architecture in asked[: trace.queries]:
        table.query(architecture, "tuned")
    assert table.clock_seconds == trace.spent_seconds
