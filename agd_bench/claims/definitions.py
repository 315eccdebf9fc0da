"""The claims file: read validated claims with digests from TOML, and write them back.

    level = 0.95                        # probability that all intervals of the file cover the true values

    [[claims]]
    id = "agd-accuracy"
    sentence = "agd loses at most 2 points of test accuracy against sgd."
    query = "accuracy_difference"       # see agd_bench.claims.queries
    arguments = {baseline = "sgd", challenger = "agd"}
    test = "above"                      # above or below a threshold, or within two
    threshold = -0.02
    level = 0.975                       # of this claim's interval

Each claim has its own level. The probabilities of a miss, 1 − level, add up over a file, and their sum must not exceed 1 − the level of
the file.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from agd_bench.claims.queries import QUERIES
from agd_bench.errors import InputError, UnknownNameError
from agd_bench.records import Record, digest

Test = Literal["above", "below", "within"]
# strict: TOML's `true` would be read as 1
Number = Annotated[float, Field(strict=True)]
Level = Annotated[float, Field(strict=True, ge=0.5, lt=1)]
FILE = "claims.toml"


class Claim(Record):
    """One sentence that results can confirm or refute.

    Attributes:
        id: identifier of the claim within its file.
        sentence: the claim in words.
        query: name of the estimate in `QUERIES`.
        arguments: arguments of the query; also `search_space`, `dataset`, `profile` if the results hold several groups.
        test: where the interval must lie: `above` or `below` the threshold, or `within` two of them.
        threshold: in the query's unit; two values for `within`, lower first.
        level: level of the interval, in [0.5, 1).
    """

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]*$", max_length=200)]
    sentence: Annotated[str, Field(min_length=1, max_length=500)]
    query: str
    arguments: dict[str, str] = Field(default_factory=dict)
    test: Test
    threshold: Number | tuple[Number, Number]
    # Part of each claim, not only of the file, so its digest covers everything that decides its state.
    level: Level

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the definition as canonical JSON: any edit changes it."""
        return digest(self.model_dump(mode="json"), 64)

    @property
    def bounds(self) -> tuple[float, float]:
        """The bounds between which the interval must lie."""
        if isinstance(self.threshold, tuple):
            return self.threshold
        # A one-sided test has one infinite bound.
        return (self.threshold, math.inf) if self.test == "above" else (-math.inf, self.threshold)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.query not in QUERIES:
            raise ValueError(f"query: {UnknownNameError('query', self.query, QUERIES)}")
        wanted = QUERIES[self.query].arguments
        for name in self.arguments:
            if name not in (*wanted, *GROUP_ARGUMENTS):
                raise ValueError(f"arguments: {UnknownNameError(f'argument of {self.query}', name, (*wanted, *GROUP_ARGUMENTS))}")
        missing = [name for name in wanted if name not in self.arguments]
        if missing:
            raise ValueError(f"arguments: {self.query} needs {', '.join(missing)}")
        if isinstance(self.threshold, tuple) != (self.test == "within"):
            raise ValueError(
                f"threshold: test = {self.test!r} takes {'two numbers, [low, high]' if self.test == 'within' else 'one number'}"
            )
        if isinstance(self.threshold, tuple) and not self.threshold[0] < self.threshold[1]:
            raise ValueError(f"threshold: {list(self.threshold)} must ascend")
        return self


GROUP_ARGUMENTS = ("search_space", "dataset", "profile")


class Claims(Record):
    """The claims of a file.

    Attributes:
        level: lower bound on the probability that all intervals cover the true values; in [0.5, 1).
        claims: claims with unique ids.
    """

    level: Level = 0.95
    claims: tuple[Claim, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ids = [claim.id for claim in self.claims]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"claims: duplicate id {', '.join(twice)}; give each claim its own id")
        # Bonferroni's inequality: the probabilities of a miss add up, whatever the dependence between the claims.
        missed = sum(1 - claim.level for claim in self.claims)
        # 1e-9: sums of decimals are not exact in binary.
        if missed > 1 - self.level + 1e-9:
            needed = share_level(self.level, len(self.claims))
            raise ValueError(
                f"level: the claims' probabilities of a miss (1 - level) add up to {missed:.4g}, but the file's level of {self.level:g} "
                f"allows {1 - self.level:.4g}; set level = {needed} in each of the {len(ids)} claims"
            )
        return self


def share_level(level: float, count: int) -> float:
    """The level each claim needs so that all claims together reach a level, rounded up to six decimals."""
    # Round up, or the sum would be too large; 1e-6 keeps rounding errors from adding a whole step.
    return math.ceil((1 - (1 - level) / max(count, 1)) * 1e6 - 1e-6) / 1e6


def parse_claims(text: str, source: str) -> Claims:
    """Parse claims from TOML.

    Args:
        text: content of the file.
        source: name of the file in error messages.

    Raises:
        InputError: malformed text, an unknown key, query or argument, a missing threshold, or levels that do not add up; states the line.
    """
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # the parser recurses into nested lists
        raise InputError(f"{source}: not valid TOML: {error}") from None
    try:
        return Claims.model_validate(data)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        # pydantic adds the failed member of a union, which is not a key of the file.
        place = [part for part in fault["loc"] if part not in ("float", "tuple[float, float]")]
        message = fault["msg"].removeprefix("Value error, ")
        words = {"missing": "is missing", "extra_forbidden": f"unknown key; allowed keys are {', '.join(Claim.model_fields)}"}
        key = next((str(part) for part in reversed(place) if isinstance(part, str) and part != "claims"), message.split(":")[0])
        named = ".".join(str(part + 1) if isinstance(part, int) else str(part) for part in place)
        line = _line(text, next((part for part in place if isinstance(part, int)), None), key)
        raise InputError(f"{source}{line}: {named + ': ' if named else ''}{words.get(fault['type'], message)}") from None


def _line(text: str, number: int | None, key: str) -> str:
    """`, line N` of a claim's key, or of the claim's first line if the key is missing; empty if the layout is not recognised."""
    # tomllib does not report line numbers, so search for the key in the text.
    lines = text.splitlines()
    starts = [place for place, line in enumerate(lines) if re.match(r"\s*\[\[\s*claims\s*\]\]", line)]
    if number is None:
        first, last = 0, starts[0] if starts else len(lines)
    elif number < len(starts):
        first, last = starts[number], [*starts, len(lines)][number + 1]
    else:
        return ""
    found = [place for place in range(first, last) if re.match(rf"\s*(\[\s*claims\.)?[\"']?{re.escape(key)}\b", lines[place])]
    return f", line {(found or [first])[0] + 1}"


def read_claims(path: Path) -> Claims:
    """Read the claims in the file `path`.

    Raises:
        InputError: as for `parse_claims`, or the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read claims: {error}") from None
    return parse_claims(text, path.name)


def format_claims(claims: Claims) -> str:
    """Format claims as TOML that `parse_claims` reads back unchanged."""
    lines = [HEADER, f"level = {claims.level!r}"]
    for claim in claims.claims:
        arguments = ", ".join(f"{name} = {_value(value)}" for name, value in claim.arguments.items())
        fields = {name: _value(value) for name, value in claim.model_dump().items()} | {"arguments": f"{{{arguments}}}"}
        lines += ["", "[[claims]]", *(f"{name} = {text}" for name, text in fields.items())]
    return "\n".join(lines) + "\n"


HEADER = """\
# Claims about these results. `agd-bench claims FOLDER` states which of them hold, fail or are undecided.
# The interval of the query's estimate must lie above or below the threshold, or within two thresholds. The values of 1 - level add up
# over the claims and must not exceed 1 - level of the file. The digest of each definition is published, so `agd-bench verify` detects an
# edited claim."""


def _value(value: Any) -> str:
    """Format a value as TOML; a JSON string is a TOML string except for the one control character that JSON does not escape."""
    if isinstance(value, tuple):
        return f"[{', '.join(_value(part) for part in value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else repr(value)
