"""What a report links to and shows when it is a page of a site: the other pages, the entries, and what audits found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agd_bench.report.cells import Table


@dataclass(frozen=True)
class Surroundings:
    """What is around a report. Addresses are relative to its page.

    Attributes:
        index: page that lists this report among others; empty: the report is not part of a site.
        index_title: title of that page.
        pages: further pages of the site, by title.
        algorithms: page about an algorithm over all boards, by its label here.
        architectures: page about an architecture, by search space and architecture.
        reruns: what audits of an algorithm found, by label; empty: not a published folder, so the column is left out.
        entries: the entries of a board; None if the report is of a single sweep.
        files: published files with the raw rows and what they are, by address.
    """

    index: str = ""
    index_title: str = ""
    pages: Mapping[str, str] = field(default_factory=dict)
    algorithms: Mapping[str, str] = field(default_factory=dict)
    architectures: Mapping[tuple[str, str], str] = field(default_factory=dict)
    reruns: Mapping[str, str] = field(default_factory=dict)
    entries: Table | None = None
    files: Mapping[str, str] = field(default_factory=dict)


ALONE = Surroundings()
"""Of a report in a folder of its own."""
