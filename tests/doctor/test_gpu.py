"""`agd-bench doctor --gpu`: rehearsed on the stub; the choice of the number of trials in flight."""

from __future__ import annotations

from typing import Any

import pytest

from agd_bench.doctor.gpu import ALGORITHMS, ARCHITECTURES, IN_FLIGHT, QUICK, Bench, best_number, measure
from agd_bench.errors import ExecutorError
from tests.cuda_stub.stub import NEEDS_STUB


@pytest.mark.parametrize(
    ("speeds", "best"),
    [({1: 100.0, 2: 180.0, 4: 185.0, 8: 400.0}, 2), ({1: 100.0, 2: 106.0, 4: 112.0, 8: 118.0}, 8), ({1: 100.0, 2: 50.0}, 1), ({1: 7.0}, 1)],
)
def test_the_number_in_flight_is_the_last_that_gains(speeds: dict[int, float], best: int) -> None:
    """A number is kept if it trains 5 % more images per second than the one before, as in the scheduler."""
    assert best_number(speeds) == best


class TestOnTheStub:
    """On a GPU that computes nothing."""

    pytestmark = NEEDS_STUB

    def test_all_is_measured_and_decided(self) -> None:
        """Every part succeeds and gives numbers."""
        found = {finding.what: finding for finding in measure(QUICK)}
        expected = {f"step of {algorithm}, {name}" for name in ARCHITECTURES for algorithm in ("agd", "nas_bench_201_sgd")}
        expected |= {f"agreement of {algorithm}" for algorithm in ALGORITHMS} | {f"{number} in flight" for number in IN_FLIGHT}
        assert found.keys() == expected | {"trials in flight", "NAS-Bench-201", "cudnn.benchmark"}
        assert all(finding.numbers for finding in found.values())
        assert {finding.verdict for name, finding in found.items() if name != "cudnn.benchmark"} == {"ok"}
        assert found["NAS-Bench-201"].numbers["hours"] > 0
        assert found["trials in flight"].numbers["in_flight"] in IN_FLIGHT

    def test_a_training_that_fails_ends_those_beside_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its error is raised, and no thread waits for ever."""
        fit = Bench.fit

        def failing(self: Bench, *given: Any, seed: int = 0, **options: Any) -> Any:
            if seed == 1:
                raise RuntimeError("a fault of the test")
            return fit(self, *given, seed=seed, **options)

        monkeypatch.setattr(Bench, "fit", failing)
        with pytest.raises(ExecutorError, match="a fault of the test"):
            Bench(QUICK).images_per_second(3)
