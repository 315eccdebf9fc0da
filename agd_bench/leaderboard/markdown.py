"""Markdown from untrusted text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def as_plain_markdown(text: str) -> str:
    """Text that Markdown shows as it is, in one line: submitted results must not bring markup."""
    line = " ".join(text.split())
    return "".join(f"&#{ord(letter)};" if letter in "<>&|[]`*!" else letter for letter in line)


def format_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; its cells are Markdown already.

    >>> print(format_table(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [head, *rows]
    written = [f"| {' | '.join(cells)} |" for cells in lines]
    return "\n".join([written[0], "|" + "---|" * len(head), *written[1:]])
