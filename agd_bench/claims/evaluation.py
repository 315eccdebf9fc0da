"""Evaluation of claims: whether the interval lies on the claim's side of the threshold, on the other side, or on both."""

from __future__ import annotations

import math

import pandas as pd
import scipy.stats

from agd_bench.analysis.rows import Group, split_groups
from agd_bench.claims.definitions import GROUP_ARGUMENTS, Claim, Claims
from agd_bench.claims.queries import QUERIES, Estimate
from agd_bench.errors import InputError, UnknownNameError
from agd_bench.records import canonical_json
from agd_bench.store import Results
from agd_bench.tables import aggregates

STATES = ("holds", "fails", "undecided")
COLUMNS = ["id", "sentence", "query", "arguments", "test", "threshold", "level", "digest"]
FOUND = ["state", "estimate", "low", "high", "unit", "n", "reason"]


def evaluate_claims(results: Results, claims: Claims, tables: dict[str, pd.DataFrame] | None = None) -> pd.DataFrame:
    """Evaluate the query of every claim and decide the claim's state.

    A claim `holds` if its interval lies entirely on its side of the threshold, `fails` if it lies entirely on the other side, and is
    `undecided` if it lies on both sides or does not exist. If every interval has its nominal coverage, then with probability at least the
    file's level no claim holds or fails wrongly.

    Args:
        results: the raw rows.
        claims: the claims.
        tables: `aggregates` of the results, if already computed.

    Returns:
        One row per claim: `id`, `sentence`, `query`, `arguments` (JSON), `test`, `threshold` (JSON), `level` (of the interval),
        `digest` (SHA-256 of the definition); `state`, `estimate`, `low`, `high` (interval at that level), `unit` (of the four numbers),
        `n` (architectures), `reason` (of the state). NaN where nothing can be estimated.

    Raises:
        InputError: a claim is about an algorithm or group that is not in the results.
    """
    groups = split_groups(aggregates(results) if tables is None else tables)
    rows = []
    for claim in claims.claims:
        try:
            found = QUERIES[claim.query].ask(groups[_group(claim, list(groups))], claim.arguments)
        except InputError as error:
            raise InputError(f"claim {claim.id!r}: {error}") from None
        # The same rule as for every statement about a ranking, so claims and report cannot disagree.
        if found.state:
            state, reason = found.state, "decided by the rule for all statements about this ranking"
        else:
            found = widen(found, claim.level)
            state, reason = judge(claim, found)
        threshold, arguments = canonical_json(claim.threshold), canonical_json(claim.arguments)
        defined = [claim.id, claim.sentence, claim.query, arguments, claim.test, threshold, claim.level, claim.digest]
        rows.append([*defined, state, found.estimate, found.low, found.high, QUERIES[claim.query].unit, found.n, reason])
    return pd.DataFrame(rows, columns=[*COLUMNS, *FOUND])


def _group(claim: Claim, groups: list[Group]) -> Group:
    """The one comparison group that a claim is about."""
    fitting = groups
    for place, name in enumerate(GROUP_ARGUMENTS):
        wanted = claim.arguments.get(name)
        if wanted is not None:
            known = {group[place] for group in groups}
            if wanted not in known:
                raise UnknownNameError(name, wanted, known)
            fitting = [group for group in fitting if group[place] == wanted]
    if len(fitting) != 1:
        what = "no comparison group matches" if not fitting else f"{len(fitting)} comparison groups match"
        shown = "; ".join(" / ".join(group) for group in groups)
        raise InputError(f"{what}; select one with the arguments {', '.join(GROUP_ARGUMENTS)} (available: {shown})")
    return fitting[0]


def widen(found: Estimate, level: float) -> Estimate:
    """Convert the 95 % interval of an estimate to another level.

    Each half is scaled by the ratio of Student's t quantiles at n − 1 degrees of freedom.

    Args:
        found: with a 95 % interval, or none.
        level: level of the requested interval, in (0, 1).
    """
    # If the estimate is infinite ('never'), a half of the interval cannot be scaled.
    if found.n < 2 or math.isnan(found.low) or math.isnan(found.high) or (math.isinf(found.estimate) and level > 0.95):
        return Estimate(found.estimate, n=found.n)
    # At 95 % or less, the unchanged interval has sufficient coverage.
    if math.isinf(found.estimate):
        return found
    # Exact for t intervals of means; bootstrap intervals get the same tails, which are heavier than normal.
    quantile = scipy.stats.t(found.n - 1).ppf
    factor = float(quantile((1 + level) / 2) / quantile(0.975))
    low, high = (found.estimate + factor * (end - found.estimate) for end in (found.low, found.high))
    return Estimate(found.estimate, low, high, found.n)


def judge(claim: Claim, found: Estimate) -> tuple[str, str]:
    """State of a claim, and the reason for it.

    Args:
        claim: the claim with its test and thresholds.
        found: with an interval at the claim's level.
    """
    low, high = claim.bounds
    if math.isnan(found.estimate):
        return "undecided", "no estimate: the required trials were unsuccessful"
    if math.isnan(found.low) or math.isnan(found.high):
        return "undecided", f"no interval at this level can be computed from {found.n} architecture{'' if found.n == 1 else 's'}"
    # An infinite end of the interval may coincide with the infinite bound of a one-sided test.
    if (low < found.low or math.isinf(low)) and (found.high < high or math.isinf(high)):
        return "holds", "the whole interval satisfies it"
    if found.high < low or found.low > high:
        return "fails", "no part of the interval satisfies it"
    return "undecided", "only part of the interval satisfies it"
