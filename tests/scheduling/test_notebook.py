"""Progress in a notebook is one output, updated in place."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from agd_bench.scheduling import notebook
from agd_bench.scheduling.notebook import NotebookProgress, notebook_observer
from agd_bench.scheduling.progress import Snapshot


class Cell:
    """A fake notebook cell that records its outputs and updates."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, str]] = []
        self.updates: list[dict[str, str]] = []

    def display(self, data: dict[str, str], raw: bool, display_id: bool) -> SimpleNamespace:
        """Record a new output and return a handle that updates it."""
        assert raw
        assert display_id
        self.outputs.append(data)
        return SimpleNamespace(update=lambda data, raw: self.updates.append(data))


def snapshot(done: int) -> Snapshot:
    """Return a snapshot of a run of 100 trials."""
    return Snapshot(100, {"done": done, "pending": 100 - done}, (), 7.0, None, {})


def test_a_run_is_one_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one output however many events there are, and the end is shown at once."""
    cell = Cell()
    progress = NotebookProgress(cell)
    for done in range(101):
        progress(None, snapshot(done))
    assert len(cell.outputs) == 1
    assert [data["text/plain"].split(" (")[0] for data in cell.updates] == ["agd-bench: 0 of 100 trials", "agd-bench: 100 of 100 trials"]
    assert 'max="100" value="100"' in cell.updates[-1]["text/html"]
    monkeypatch.setattr(notebook, "UPDATE_SECONDS", 0.0)
    for done in range(3):
        progress(None, snapshot(done))
    assert len(cell.updates) == 5


@pytest.mark.parametrize(
    ("modules", "shell", "shown"), [((), None, False), (("ipykernel",), object(), False), (("ipykernel",), SimpleNamespace(kernel=1), True)]
)
def test_only_a_notebook_is_a_notebook(monkeypatch: pytest.MonkeyPatch, modules: tuple[str, ...], shell: Any, shown: bool) -> None:
    """A script or IPython in a terminal gets no notebook display."""
    fake = {name: ModuleType(name) for name in ("IPython", "IPython.display", *modules)}
    vars(fake["IPython"])["get_ipython"] = lambda: shell
    vars(fake["IPython.display"])["display"] = Cell().display
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    for name, module in fake.items():
        monkeypatch.setitem(sys.modules, name, module)
    assert (notebook_observer() is not None) is shown
