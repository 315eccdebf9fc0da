"""Command-line output works on any terminal."""

from __future__ import annotations

import io
import sys

import pytest

from agd_bench.cli import main
from agd_bench.cli.printing import prepare_streams


def narrow(monkeypatch: pytest.MonkeyPatch, encoding: str) -> io.BytesIO:
    """Replace standard output with a stream in the given encoding and return the bytes written to it."""
    arrived = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(arrived, encoding=encoding, write_through=True))
    return arrived


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", "+ tau >= 0.5 +- 0.1, n2 ... - ? Lukasz"),
        ("cp1252", "+ tau >= 0.5 ± 0.1, n² … – ? Lukasz"),
        ("utf-8", "✓ τ ≥ 0.5 ± 0.1, n² … – 漢 Łukasz"),
    ],
)
def test_signs_that_a_terminal_lacks_have_plain_ones(monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str) -> None:
    """Nothing raises, and characters the encoding supports are kept."""
    arrived = narrow(monkeypatch, encoding)
    prepare_streams()
    print("✓ τ ≥ 0.5 ± 0.1, n² … – 漢 Łukasz", end="")
    assert arrived.getvalue().decode(encoding) == shown


@pytest.mark.parametrize("what", ["algorithms", "search-spaces", "datasets", "sweeps"])
def test_lists_are_shown_on_an_ascii_terminal(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Each list exits with 0 and prints some rows."""
    arrived = narrow(monkeypatch, "ascii")
    monkeypatch.setattr(sys, "argv", ["agd-bench", "list", what])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert arrived.getvalue().count(b"\n") > 3
