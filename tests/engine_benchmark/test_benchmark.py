"""The whole benchmark at a small size, and its reports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from agd_bench.errors import ExecutorError
from tests.performance.engine import QUICK, Effort, Size, as_json, as_markdown, benchmark, measure, parts_figure, slices, summary
from tests.performance.engine.processes import Crew, Station, crew
from tests.performance.engine.rungs import ladder

CPU = torch.device("cpu")
SMALL = Size(image_size=8, channels=2, cells=1, batch_size=64)


@contextmanager
def one_process(device_type: str, per_core: bool) -> Iterator[Any]:
    """Yield a crew of only this process, which saves starting others."""
    station = Station(torch.device(device_type), 0)

    class Alone:
        device_type = "cpu"

        def ask(self, rung: Any, method: str, *arguments: Any, alone: bool = False) -> list[Any]:
            return [station.answer(method, arguments)]

        clear = station.clear

    yield Alone()


def test_everything_is_measured_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short run measures all rungs, with consistent ratios and totals with intervals, and every report format shows them."""
    monkeypatch.setattr(benchmark, "crew", one_process)
    monkeypatch.setattr(slices, "IMAGES", 128)
    monkeypatch.setattr(slices, "EVALUATION_IMAGES", 64)
    slices._pictures.cache_clear()
    said: list[str] = []
    found = measure(SMALL, Effort(rounds=2, window_seconds=0.01, strata=1, each=3, passes=1), CPU, said.append)
    names = [rung.name for rung in ladder(CPU)]
    table = found.ladder.set_index("rung")
    assert list(table.index) == names
    assert table["ratio"].iloc[0] == table["step_ratio"].iloc[0] == 1
    assert (table["architectures_per_hour"] * table["architecture_seconds"]).to_list() == pytest.approx([3600.0] * len(names))
    assert (table["waits"] > 0).to_list() == [rung.data == "loader" for rung in ladder(CPU)]
    assert table["evaluation_share"].between(0, 1, inclusive="neither").all()
    assert set(found.parts["part"]) == {"data", "forward", "backward", "optimizer", "rest"}
    assert len(found.sample) == 6
    assert found.totals["architectures"].to_list() == [15_284, 15_284]
    assert ((found.totals["low"] > 0) & (found.totals["low"] <= found.totals["device_hours"])).all()
    assert any("round 2 of 2" in line for line in said)
    assert len(json.loads(as_json(found))["ladder"]) == len(names)
    text = as_markdown(found)
    assert all(name in text for name in names)
    assert summary(found) in text
    assert min(found.beside_bare) > 0
    assert f"{found.beside_bare[1]:.2f} times for many" in summary(found)
    assert len(parts_figure(found).png()) > 10_000


def test_a_gpu_is_asked_for_ten_minutes_at_most() -> None:
    """By default, windows are shortened to fit the time budget; the quick benchmark already fits."""
    rungs = len(ladder(torch.device("cuda")))
    for effort in (Effort(), QUICK):
        fitted = effort.within_budget(rungs)
        turns = fitted.rounds * rungs + 2 * fitted.strata * fitted.each * fitted.passes
        assert turns * 8 / 3 * fitted.window_seconds <= benchmark.GPU_SECONDS * 1.001
    assert Effort().within_budget(rungs).window_seconds < Effort().window_seconds
    assert QUICK.within_budget(rungs) == QUICK


def test_processes_answer_and_report_what_went_wrong() -> None:
    """A real worker process trains, reports its errors, and raises an error when it has died."""
    rung = ladder(CPU)[3]
    with crew("cpu", per_core=False) as workers:
        assert isinstance(workers, Crew)
        assert workers.ask(rung, "begin", rung, SMALL, "|skip_connect~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|")[0] > 0
        (window,) = workers.ask(rung, "train", rung.name, 0.01)
        assert window.images >= 64
        with pytest.raises(ExecutorError, match="no_such_method"):
            workers.ask(rung, "no_such_method", rung.name)
        workers._processes[0].kill()
        with pytest.raises(ExecutorError, match="ended"):
            workers.ask(rung, "train", rung.name, 0.01)
