"""Where a trial runs."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import torch

from agd_bench import plugins
from agd_bench.errors import ExecutorError


@dataclass(frozen=True)
class Workplace:
    """Where a trial runs. Only `device` and `threads` can change what it computes.

    Attributes:
        data_root: folder of the data sets.
        folders: folders of additional plug-ins, by kind.
        device: `"cpu"`, `"cuda"` or `"auto"` (a GPU if there is one).
        checkpoints: folder for the trials' checkpoints; None: none are written.
        checkpoint_seconds: seconds between checkpoints.
        threads: CPU threads per trial.
        exclusive: whether a trial uses the device exclusively (other programs aside), so its energy can be charged and its seconds
            compared; set by the executor.
        in_flight: trials that may train at the same time in this process, each in its own thread.
        cancelled: set when the executor gives up the trial, which then ends at its next step; None: never.
    """

    data_root: Path
    folders: Mapping[plugins.Kind, Sequence[Path]] = field(default_factory=dict)
    device: str = "auto"
    checkpoints: Path | None = None
    checkpoint_seconds: float = 60.0
    threads: int = 1
    exclusive: bool = False
    in_flight: int = 1
    cancelled: threading.Event | None = None

    @property
    def is_shared(self) -> bool:
        """Whether other trials may train concurrently in this process; their memory cannot be separated."""
        return self.in_flight > 1 and not self.exclusive

    def torch_device(self) -> torch.device:
        """The device as torch names it.

        Raises:
            ExecutorError: a GPU is requested but not available.
        """
        available = torch.cuda.is_available()
        if self.device == "cuda" and not available:
            raise ExecutorError("device 'cuda' was asked for, but torch sees no GPU here; use device 'cpu' or 'auto'")
        return torch.device("cuda" if available and self.device != "cpu" else "cpu")

    def load(self, kind: plugins.Kind, name: str) -> ModuleType:
        """The plug-in `name`, from `folders` or from the installed packages."""
        return plugins.load(kind, name, self.folders.get(kind, ()))

    def executed_digest(self, kind: plugins.Kind, name: str) -> str:
        """The identity of the code of the plug-in `name` that this process executes."""
        return plugins.executed_digest(plugins.locate(kind, name, self.folders.get(kind, ())))
