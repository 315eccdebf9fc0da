"""Time the pages of a board with many entries.

The entries are simulated: cells of NAS-Bench-201's form, three seeds, three points of the learning curve each. The time is that of the
processor, so that other programs on the machine do not count. Target: 100 entries in under two minutes.

    python -m tests.performance.board_size [--entries 100] [--architectures 12] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from pathlib import Path

from agd_bench.leaderboard import build_site
from tests.leaderboard.synthetic_board import simulate_board


def main() -> None:
    """Write a board, build its site, and print how long that took and how large it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=100)
    parser.add_argument("--architectures", type=int, default=12)
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        labels = [f"algorithm_{number:03d}" for number in range(asked.entries)]
        simulate_board(Path(name) / "boards" / "large", labels, asked.architectures)
        profile, start = cProfile.Profile(), time.process_time()
        if asked.profile:
            profile.enable()
        page = build_site(Path(name) / "boards", Path(name) / "site")
        profile.disable()
        spent = time.process_time() - start
        pages = sorted(page.parent.rglob("*.html"), key=lambda path: path.stat().st_size)
        print(f"{asked.entries} entries, {asked.architectures} architectures: {spent:.0f} s of processor time")
        print(f"{len(pages)} pages; the largest, {pages[-1].relative_to(page.parent)}, has {pages[-1].stat().st_size / 1e3:.0f} kB")
        if asked.profile:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(50)


if __name__ == "__main__":
    main()
