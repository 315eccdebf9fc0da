"""Numbers as sentences write them."""

from __future__ import annotations


def points(share: float) -> str:
    """A share as percentage points without its sign.

    >>> points(-0.0312)
    '3.1'
    """
    return f"{abs(100 * share):.1f}"


def count(number: int, noun: str) -> str:
    """A number of things.

    >>> count(1, "seed"), count(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{number} {noun}" + ("" if number == 1 else "s")


def duration(seconds: float) -> str:
    """Seconds in a unit that reads well.

    >>> duration(42.0), duration(90.0), duration(7200.0)
    ('42 s', '1.5 min', '2.0 h')
    """
    if seconds < 60:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
