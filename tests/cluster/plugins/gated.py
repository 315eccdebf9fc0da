"""Stochastic gradient descent controlled by files on its host: it waits, or fails as if the disk were broken."""

from __future__ import annotations

import errno
import os
import socket
import time
from pathlib import Path

import torch
from torch import nn

from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.starting import as_built

RANGES: dict[str, dict[str, object]] = {}
TIER = "self-tuning"
LICENCE = "MIT"
HERE, SHARED = Path("/tmp"), Path("/tmp/shared")
WHO = f"{socket.gethostname()}-{os.getpid()}"

prepare = as_built
loss = cross_entropy

if SHARED.is_dir():  # on a host of the test bed
    # A worker loads plug-ins before it reports that it is up.
    (SHARED / "up").mkdir(exist_ok=True)
    (SHARED / "up" / WHO).touch()


def build(network: nn.Module, steps: int) -> torch.optim.SGD:
    """Record where this trial started, and wait as long as it is held."""
    if (HERE / "broken").exists():
        raise OSError(errno.EIO, "Input/output error")
    (SHARED / "began").mkdir(exist_ok=True)
    (SHARED / "began" / f"{WHO}-{time.monotonic_ns()}").touch()
    while (SHARED / "hold").exists():
        time.sleep(0.05)
    return torch.optim.SGD(network.parameters(), lr=0.1)
