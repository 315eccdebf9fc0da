"""A trial is unaffected by settings of the caller and of other trials, and the caller's settings are restored afterwards."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from agd_bench import plugins
from agd_bench.training.settings import OF_THE_PROCESS, own_process_settings
from agd_bench.trial import Workplace, run_trial
from tests import short_trials
from tests.plugin_folders import write_plugins

LEAKING = """
import os, random
import numpy as np
import torch

RANGES = {}


def prepare(network, generator):
    return network


def build(network, steps):
    return torch.optim.SGD(network.parameters(), lr=0.1)


def loss(logits, labels):
    found = torch.nn.functional.cross_entropy(logits, labels)
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = True
    torch.autograd.set_detect_anomaly(True)
    torch.set_num_threads(2)
    os.chdir("/")
    os.environ["LEAKED"] = "yes"
    os.environ.pop("KEPT", None)
    random.random(), np.random.random(), torch.rand(1)
    return found
"""


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    """Return a workplace with an algorithm that changes every setting in its loss."""
    folders = cast("dict[plugins.Kind, tuple[Path, ...]]", write_plugins(tmp_path / "plugins"))
    (folders["algorithms"][0] / "leaking.py").write_text(LEAKING, encoding="utf-8")
    return Workplace(data_root=tmp_path, folders=folders, device="cpu")


@contextmanager
def changed(write: Callable[[Any], object], value: Any, before: Any) -> Iterator[None]:
    """Temporarily change one of the caller's settings."""
    write(value)
    try:
        yield
    finally:
        write(before)


CALLERS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "float64": lambda: changed(torch.set_default_dtype, torch.float64, torch.float32),
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "meta device": lambda: changed(torch.set_default_device, "meta", None),
    "coarse matrix products": lambda: changed(torch.set_float32_matmul_precision, "medium", "highest"),
    "three threads": lambda: changed(torch.set_num_threads, 3, torch.get_num_threads()),
}


def measured(workplace: Workplace) -> dict[str, Any]:
    """Run a short trial and return its result without times."""
    result = run_trial(short_trials.trial(epochs=1), workplace)
    return {"status": result.status, "reason": result.reason, "loss": result.train_loss, "accuracy": result.test_accuracy}


@pytest.mark.parametrize("name", CALLERS)
def test_a_trial_is_the_same_whatever_the_caller_has_set(workplace: Workplace, name: str) -> None:
    """A trial succeeds with exactly the same results under any setting of the caller."""
    expected = measured(workplace)
    with CALLERS[name]():
        found = measured(workplace)
    assert expected["status"] == "done"
    assert found == expected


def process_state() -> list[Any]:
    """Return all process state that a trial may change, in a comparable form."""
    values = [setting.read() for setting in OF_THE_PROCESS]
    comparable = [{**value, "state": str(value["state"])} if isinstance(value, dict) and "state" in value else value for value in values]
    return [*comparable, torch.get_num_threads(), torch.get_rng_state().tolist(), torch.is_grad_enabled()]


def test_what_a_trial_changes_is_put_back(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Working directory, environment, generators, threads and torch settings are restored, and the next trial is unaffected."""
    monkeypatch.setenv("KEPT", "yes")
    expected, before = measured(workplace), process_state()
    leaked = run_trial(short_trials.trial(epochs=1, algorithm="leaking", algorithm_label="leaking"), workplace)
    assert leaked.status == "done"
    assert process_state() == before
    assert measured(workplace) == expected


def test_settings_come_back_after_an_error() -> None:
    """After an error, the caller's settings are restored, not torch's defaults."""
    with changed(torch.set_default_dtype, torch.float64, torch.float32):
        with contextlib.suppress(RuntimeError), own_process_settings():
            assert torch.get_default_dtype() == torch.float32
            assert not torch.backends.cudnn.allow_tf32
            raise RuntimeError
        assert torch.get_default_dtype() == torch.float64


def test_a_deleted_working_directory_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deleted working directory cannot be restored, which is not an error."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with own_process_settings():
        random.random()
        np.random.random()
        os.chdir(tmp_path)
