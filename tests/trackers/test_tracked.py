"""What trackers receive: the same from a result as it arrives and from the store."""

from __future__ import annotations

from pathlib import Path

from agd_bench.store import Store, load_results
from agd_bench.trackers.tracked import tracked_result, tracked_results
from tests.scheduling import plans


def test_a_result_and_its_stored_row_give_the_same(tmp_path: Path) -> None:
    """Apart from the time, which the driver and its store read one after the other; trials that never ran are left out."""
    planned = plans.plan(rounds=0)
    ran, gave_up, *_ = planned.trials
    result = plans.result_of(ran)
    point = result.curve[0].model_copy(update={"diagnostics": {"norm/layer": 2.0}})
    result = result.model_copy(update={"curve": (point, *result.curve[1:])})
    with Store.open(tmp_path, planned) as store:
        store.start(ran, 1, "worker-0", 60.0)
        store.finish(result, 1)
        store.settle(gave_up.id, "failed", "hopeless")
    (stored,) = tracked_results(load_results(tmp_path))
    arrived = tracked_result(ran, 1, result, stored.ended_at)
    assert stored == arrived
    assert stored.points[0].values["diagnostics/norm/layer"] == 2.0
    assert stored.settings["architecture"] == ran.architecture
