"""Inject faults and malformed inputs for any length of time; `campaigns.json` and README.md in this folder keep the counts.

python -m tests.faults in-process --count 1000 --seed 1    # continues where an earlier call with this seed ended
python -m tests.faults page                                # writes the tables of README.md
"""

from __future__ import annotations

import os

# drivers are forked from a process that has trained, which is safe only without threads
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import importlib
import signal
import sys
import tempfile
from pathlib import Path

from tests.faults import record

CAMPAIGNS = {"in-process": "in_process", "under-ray": "under_ray", "commands": "commands", "inputs": "inputs"}
"""The module of each campaign: its `campaign(work, seed, first)` yields, for each unit, counts by kind and what was wrong."""


def main() -> int:
    """Run a campaign until enough was injected; return 1 if there was any problem."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("campaign", choices=[*CAMPAIGNS, "page"])
    parser.add_argument("--count", type=int, default=20, help="faults or inputs, those of earlier calls with this seed included")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--notes", type=Path, default=record.HERE, help="folder of campaigns.json")
    options = parser.parse_args()
    if options.campaign == "page":
        text = record.page(options.notes)
        (options.notes / record.PAGE).write_text(text, encoding="utf-8")
        return 0
    before = record.read(options.notes).get(f"{options.campaign} {options.seed}", {"units": 0, "counts": {}, "wrong": []})
    unit, total, wrong = before["units"], sum(before["counts"].values()), list(before["wrong"])
    module = importlib.import_module(f"tests.faults.{CAMPAIGNS[options.campaign]}")
    # in memory where there is such a folder: no fault here is about what a disk keeps when the power fails
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    work = Path(tempfile.mkdtemp(prefix="agd-bench-faults-", dir=memory))
    # An exception would be taken for one of what is tested; so a campaign that is stopped ends and notes its unit first.
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    for counts, lines in module.campaign(work, options.seed, unit) if total < options.count else ():
        unit, total, wrong = unit + 1, total + sum(counts.values()), wrong + lines
        record.note(options.campaign, options.seed, unit, counts, lines, options.notes)
        print("\n".join([f"{options.campaign}, seed {options.seed}: {total} in {unit} units, {len(wrong)} wrong", *lines]), flush=True)
        if total >= options.count or stopped:
            break
    return 128 + stopped[0] if stopped else int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
