"""Remove names of machines, users and folders from results before publication."""

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
_CREDENTIALS = re.compile(r"\b([A-Za-z][\w+.-]*://)[^\s/@'\"]+@[^\s/'\"]+")
_WORD = r"[^\s/\\\"'<>|:*?,;~]+"
_PART = rf"{_WORD}(?:[ ]{_WORD}){{0,3}}"
"""A folder's name with up to three spaces; the last part of a path has none, otherwise it would include the following sentence."""
_PATHS = re.compile(
    rf"""(?P<quote>["'])(?:~|file:/*|/|[A-Za-z]:[\\/]|\\\\)(?P<quoted>[^"'\n]*[/\\][^"'\n]*)(?P=quote)  # to the closing quote
    |(?<![\w.:/])(?:~|file:/{{2,3}})?/(?:{_PART}/)+(?:{_WORD})?|(?<![\w.:/])~\w*/{_WORD}             # POSIX
    |(?:\b[A-Za-z]:|\\)\\(?:{_PART}\\)*(?:{_WORD})?                                               # Windows, and its shares""",
    re.VERBOSE,
)
_HOMES = frozenset({"home", "users", "documents and settings"})
"""Folders with children named after people."""


def scrub_text(text: str, machines: frozenset[str] = frozenset()) -> str:
    """Shorten absolute paths to their last part, and remove credentials and names of machines.

    Args:
        text: any text, JSON included.
        machines: names to remove, in addition to this machine's.

    >>> scrub_text("FileNotFoundError: '/home/ada/data/cifar.bin' (see https://example.org/a/b)")
    "FileNotFoundError: '…/cifar.bin' (see https://example.org/a/b)"
    >>> scrub_text("cannot reach http://ada:secret@db:80/x from /home/ada")
    'cannot reach http://…/x from …'
    """
    # Before paths are shortened, because that would split the URL.
    text = _CREDENTIALS.sub(r"\1…", text)
    text = _PATHS.sub(_shorten, text)
    # Longest first, because one name may be a prefix of another.
    for machine in sorted({platform.node(), *machines} - {""}, key=len, reverse=True):
        # Short names are kept because they may be ordinary words or numbers: "1" or "cpu" identify nobody.
        if len(machine) > 3:
            text = re.sub(rf"(?<![\w-]){re.escape(machine)}(?![\w-])", "host", text)
    return text


def _shorten(match: re.Match[str]) -> str:
    """The last part of a path; empty if it is a home folder or a network share."""
    quote = match["quote"] or ""
    path = match[0].strip(quote)
    parts = [part for part in re.split(r"[/\\]", path.removeprefix("file:")) if part]
    is_private = (path.startswith("\\\\") and len(parts) < 3) or (len(parts) >= 2 and parts[-2].lower() in _HOMES)
    return f"{quote}…{quote}" if is_private or not parts else f"{quote}…/{parts[-1]}{quote}"


def scrub_results(results: Results) -> Results:
    """Remove private names from reasons, provenance and metadata, and number the nodes."""
    # Numbered in order of appearance, so rows from the same node can still be recognised.
    nodes = {str(node): str(number) for number, node in enumerate(dict.fromkeys(results.attempts["node"].dropna()), 1)}
    # Rows that were published before already have numbers, which may occur in any text.
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
