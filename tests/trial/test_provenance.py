"""Provenance of results: code, versions and device."""

from __future__ import annotations

import getpass
import socket
from pathlib import Path

import torch

from agd_bench.identity import engine_identity
from agd_bench.trial import provenance


def test_provenance_names_versions_and_no_machine() -> None:
    """Provenance consists of strings only, without host, user or folder names."""
    said = provenance.surroundings(torch.device("cpu"))
    assert said["torch"] == torch.__version__
    assert said["engine_digest"] == engine_identity()
    text = " ".join(said.values())
    assert socket.gethostname() not in text
    assert str(Path.home()) not in text
    assert getpass.getuser() not in said.values()
