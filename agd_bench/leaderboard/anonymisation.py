"""Take names of machines, users and folders out of results before they are published."""

from __future__ import annotations

import json
import platform
import re
from dataclasses import replace

import pandas as pd

from agd_bench.store import Results

PRIVATE_KEYS = frozenset(
    {"host", "hostname", "node", "user", "username", "cwd", "home", "path", "folder", "executable", "ip", "address", "place"}
)
_PATHS = re.compile(r"(?<![\w.:/])(?:~|file:/{2,3})?(?:/[\w.@%+~-]+){2,}/?|\b[A-Za-z]:\\[^\s\"']+")


def scrub_text(text: str, machines: frozenset[str] = frozenset()) -> str:
    """The text with absolute paths cut to their last part and machines' names replaced.

    Args:
        text: any text, JSON included.
        machines: names to take out, beside this machine's.

    >>> scrub_text("FileNotFoundError: '/home/ada/data/cifar.bin' (see https://example.org/a/b)")
    "FileNotFoundError: '…/cifar.bin' (see https://example.org/a/b)"
    """
    text = _PATHS.sub(lambda match: "…/" + re.split(r"[/\\]", match[0].rstrip("/\\"))[-1], text)
    for machine in sorted({platform.node(), *machines} - {""}, key=len, reverse=True):
        # Only names that could not be an ordinary word or number are replaced: "1" or "cpu" say nothing of anybody.
        if len(machine) > 3:
            text = re.sub(rf"(?<![\w-]){re.escape(machine)}(?![\w-])", "host", text)
    return text


def scrub_results(results: Results) -> Results:
    """The results as they may be published: nodes numbered, reasons, provenance and meta data without private names.

    Args:
        results: as they were loaded.
    """
    nodes = {str(node): str(number) for number, node in enumerate(dict.fromkeys(results.attempts["node"].dropna()), 1)}
    machines = frozenset(node for node in nodes if not node.isdigit())
    attempts = results.attempts.copy()
    attempts["node"] = attempts["node"].map(nodes, na_action="ignore").astype("str")
    attempts["reason"] = _each(attempts["reason"], machines)
    attempts["provenance"] = attempts["provenance"].map(lambda text: _scrub_provenance(text, machines), na_action="ignore").astype("str")
    trials = results.trials.copy()
    trials["reason"] = _each(trials["reason"], machines)
    meta = {key: scrub_text(value, machines) for key, value in results.meta.items() if key.lower() not in PRIVATE_KEYS}
    return replace(results, trials=trials, attempts=attempts, meta=meta)


def _each(column: pd.Series[str], machines: frozenset[str]) -> pd.Series[str]:
    return column.map(lambda text: scrub_text(text, machines), na_action="ignore").astype("str")


def _scrub_provenance(text: str, machines: frozenset[str]) -> str:
    kept = {key: value for key, value in json.loads(text).items() if key.lower() not in PRIVATE_KEYS}
    scrubbed = {key: scrub_text(value, machines) if isinstance(value, str) else value for key, value in kept.items()}
    return json.dumps(scrubbed, sort_keys=True)
