"""Names of machines, users and folders are removed from texts that are published."""

from __future__ import annotations

import platform

import pytest

from agd_bench.leaderboard.anonymisation import scrub_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://example.org/a/b/c", "see https://example.org/a/b/c"),
        ("CUDA error at /opt/torch/lib/x.so:12", "CUDA error at …/x.so:12"),
        (r"C:\Users\ada\x.py failed", "…/x.py failed"),
        ("a ratio of 3/4 and conv/3x3/relu", "a ratio of 3/4 and conv/3x3/relu"),
        ("worker 1 died", "worker 1 died"),
        ("started in /home/ada", "started in …"),
        ("started in '/Users/ada lovelace'", "started in '…'"),
        ("'/home/ada lovelace/my data/x y.bin' is missing", "'…/x y.bin' is missing"),
        ("/home/ada lovelace/my data/x.bin is missing", "…/x.bin is missing"),
        ("~/secret/x.bin, ~ada/x.bin", "…/x.bin, …/x.bin"),
        ("http://ada:secret@db/x and postgresql+psycopg://ada@db:5432/runs", "http://…/x and postgresql+psycopg://…/runs"),
        (r"\\server\ada and \\server\ada\x.bin", "… and …/x.bin"),
        (r"C:\Users\ada", "…"),
        (r"'C:\Users\ada lovelace\x.bin'", "'…/x.bin'"),
        ("file:///home/ada/x.bin", "…/x.bin"),
        ("12 of 20 and/or 3 / 4 ~ 5", "12 of 20 and/or 3 / 4 ~ 5"),
    ],
)
def test_scrubbing_cuts_paths_and_nothing_else(text: str, expected: str) -> None:
    """Absolute paths lose their folders; web addresses and fractions are kept."""
    assert scrub_text(text) == expected


def test_this_machines_name_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the publishing machine is removed too, unless it could be an ordinary word."""
    monkeypatch.setattr(platform, "node", lambda: "ada-laptop")
    assert scrub_text("lost contact with ada-laptop") == "lost contact with host"
    monkeypatch.setattr(platform, "node", lambda: "vm")
    assert scrub_text("the vm died") == "the vm died"
