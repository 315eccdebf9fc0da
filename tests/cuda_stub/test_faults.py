"""Machine faults and their effects on an attempt."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from agd_bench import cost
from agd_bench.errors import OutOfMemory
from agd_bench.training.fit import Fit
from agd_bench.trial import make_fit, run_trial
from tests.cuda_stub import stub
from tests.cuda_stub.stub import NEEDS_STUB
from tests.cuda_stub.trials import WORKPLACE, trial

pytestmark = NEEDS_STUB


@pytest.mark.parametrize(
    ("function", "calls"),
    [("cudaEventCreateWithFlags", 1), ("cudaLaunchKernel", 20), ("cudaGraphInstantiateWithFlags", 1)],
)
def test_memory_that_runs_out_is_the_schedulers_to_handle(function: str, calls: int) -> None:
    """Out-of-memory errors from any CUDA call are raised for the scheduler, and the next trial trains normally."""
    with stub.fault(function, stub.OUT_OF_MEMORY, calls), pytest.raises(OutOfMemory):
        run_trial(trial(), WORKPLACE)
    assert run_trial(trial(), WORKPLACE).status == "done"


@pytest.mark.parametrize("function", ["nvmlInit", "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetTotalEnergyConsumption"])
def test_energy_that_cannot_be_read_is_missing(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver without an energy counter, as in a partition of a GPU, costs the energy alone, with the reason in the row."""

    def refuse(*given: Any) -> Any:
        raise RuntimeError("Not Supported")

    names = ("nvmlInit", "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetTotalEnergyConsumption")
    driver = SimpleNamespace(**{name: refuse if name == function else lambda *given: 1 for name in names})
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    result = run_trial(trial(), replace(WORKPLACE, exclusive=True))
    assert (result.status, result.energy_joules) == ("done", None)
    assert "Not Supported" in result.provenance["energy_not_measured"]


def test_flops_are_counted_without_the_device() -> None:
    """On the meta device: counting launches no kernel and copies nothing."""
    network = torch.nn.Linear(64, 10, device="cuda")
    images = torch.zeros((), device="cuda").expand(8, 64)
    before = stub.counts()
    assert cost.count_flops(network, images).forward == 2 * 64 * 10
    assert stub.counts() == before


def test_a_full_device_is_the_schedulers_to_handle() -> None:
    """An out-of-memory error of torch's allocator is raised for the scheduler."""
    torch.cuda.empty_cache()
    with stub.memory(4 << 20), pytest.raises(OutOfMemory):
        run_trial(trial(), WORKPLACE)


LOSE = """
from agd_bench.errors import DeviceLostError
from agd_bench.trial import run_trial
from tests.cuda_stub import stub
from tests.cuda_stub.trials import WORKPLACE, trial
with stub.fault("cudaLaunchKernel", {error}, {calls}):
    try:
        run_trial(trial(), WORKPLACE)
    except DeviceLostError:
        print("lost")
"""


@pytest.mark.parametrize(("error", "calls"), [(stub.ECC, 1), (stub.ILLEGAL_ADDRESS, 20), (stub.ASSERT, 60), (stub.LAUNCH_FAILURE, 150)])
def test_a_lost_device_ends_the_work_of_the_process(error: int, calls: int) -> None:
    """A lost device is an error of the process, not a result of the trial, in the first kernel, in eager steps and in the capture."""
    done = subprocess.run([sys.executable, "-c", LOSE.format(error=error, calls=calls)], capture_output=True, text=True, check=False)
    assert done.stdout == "lost\n", done.stderr


@pytest.mark.parametrize("where", ["an eager step", "the capture"])
def test_a_trial_without_memory_leaves_none_behind(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network of a trial that ran out of memory is freed before the next attempt, without the garbage collector."""
    networks: list[weakref.ref[nn.Module]] = []
    update = Fit.update

    def noted(*given: Any) -> Fit:
        fit = make_fit(*given)
        networks.append(weakref.ref(fit.network))
        return fit

    def starving(self: Fit, *given: Any) -> Any:
        done = update(self, *given)
        if torch.cuda.is_current_stream_capturing() or where == "an eager step":
            torch.empty(1 << 50, dtype=torch.uint8, device="cuda")
        return done

    monkeypatch.setattr("agd_bench.trial.attempt.make_fit", noted)
    monkeypatch.setattr(Fit, "update", starving)
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(OutOfMemory):
            run_trial(trial(), WORKPLACE)
        assert [network() for network in networks] == [None]
    finally:
        gc.enable()
