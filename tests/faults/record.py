"""The results of campaigns, stored in `campaigns.json`, from which the tables in README.md are written."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FILE, PAGE = "campaigns.json", "README.md"
BEGIN, END = "<!-- written by `python -m tests.faults page` -->", "<!-- end -->"


def read(folder: Path = HERE) -> dict[str, dict[str, Any]]:
    """Every campaign so far by its name and seed: `commits` it ran on, `units` done, `counts` by kind, `wrong`, one line each,
    and `mended` and `open`, what was done about these and what is not."""
    path = folder / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def note(campaign: str, seed: int, units: int, counts: Mapping[str, int], wrong: list[str], folder: Path = HERE) -> None:
    """Add to the results of a campaign with this seed; `units` is the number of runs or inputs done, where it will continue."""
    found = read(folder)
    before = found.get(f"{campaign} {seed}", {"counts": {}, "wrong": [], "commits": []})
    total = Counter(before["counts"]) + Counter(counts)
    found[f"{campaign} {seed}"] = {
        "commits": list(dict.fromkeys([*before["commits"], _commit()])),
        "units": units,
        "counts": dict(sorted(total.items())),
        "wrong": before["wrong"] + wrong,
        "mended": before.get("mended", []),
        "open": before.get("open", []),
    }
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f"{FILE}.{os.getpid()}"
    beside.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    beside.replace(folder / FILE)


@cache
def _commit() -> str:
    """What is tested; empty outside a clone."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(HERE), *arguments], capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "../../agd_bench", "../../search_spaces")
    return git("rev-parse", "--short=8", "HEAD") + (" with changes" if changed else "")


def tables(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table of all campaigns, and the counts by kind of each, in Markdown."""
    lines = ["| campaign | seed | commits | faults or inputs | kinds | wrong |", "|---|---|---|---|---|---|"]
    totals: dict[str, Counter[str]] = {}
    for key, value in found.items():
        name, _, seed = key.rpartition(" ")
        counts: Mapping[str, int] = value["counts"]
        row = [name, seed, ", ".join(value["commits"]), f"{sum(counts.values()):,}", str(len(counts)), str(len(value["wrong"]))]
        lines.append(f"| {' | '.join(row)} |")
        totals.setdefault(name, Counter()).update(counts)
    details = []
    for name, total in totals.items():
        kinds = "; ".join(f"{kind} {count:,}" for kind, count in sorted(total.items()))
        details.append(f"**{name}**, {total.total():,} of {len(total)} kinds: {kinds}.")
    for state in ("mended", "open"):
        said = dict.fromkeys(f"- {line}" for value in found.values() for line in value.get(state, []))
        details += [f"Wrong, and {state}:", "\n".join(said)] if said else []
    return "\n\n".join(["\n".join(lines), *details])


def page(folder: Path = HERE) -> str:
    """Return README.md with its tables updated from `campaigns.json`."""
    before, _, rest = (folder / PAGE).read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables(read(folder))}\n\n{END}{rest.partition(END)[2]}"
