"""Whether claims hold: their interval lies on the claim's side, on the other side, or on both."""

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
    """Ask every claim's query and judge the answer.

    A claim `holds` if its interval lies wholly on its side of the threshold, `fails` if wholly on the other, and is `undecided` if the
    interval lies on both or there is none. With probability at least the file's level no claim holds or fails wrongly, if every
    interval covers its truth as often as its level says.

    Args:
        results: the raw rows.
        claims: what is claimed.
        tables: `aggregates` of the results, where they are at hand.

    Returns:
        One row per claim: `id`, `sentence`, `query`, `arguments` (JSON), `test`, `threshold` (JSON), `level` (of the interval),
        `digest` (SHA-256 of the definition); `state`, `estimate`, `low`, `high` (interval at that level), `unit` (of the four numbers),
        `n` (architectures), `reason` (of the state). NaN where nothing can be estimated.

    Raises:
        InputError: a claim about an algorithm or group that the results do not hold.
    """
    groups = split_groups(aggregates(results) if tables is None else tables)
    rows = []
    for claim in claims.claims:
        try:
            found = QUERIES[claim.query].ask(groups[_group(claim, list(groups))], claim.arguments)
        except InputError as error:
            raise InputError(f"claim {claim.id!r}: {error}") from None
        # One rule for every statement about a ranking, so that claims and report cannot disagree.
        if found.state:
            state, reason = found.state, "by the rule that decides every statement about this ranking"
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
        what = "no comparison group fits" if not fitting else f"{len(fitting)} comparison groups fit"
        shown = "; ".join(" / ".join(group) for group in groups)
        raise InputError(f"{what}; name one by the arguments {', '.join(GROUP_ARGUMENTS)} (there are: {shown})")
    return fitting[0]


def widen(found: Estimate, level: float) -> Estimate:
    """The estimate with its 95 % interval carried to another level.

    Each half is scaled by the ratio of Student's t quantiles at n − 1 degrees of freedom.

    Args:
        found: with a 95 % interval, or none.
        level: of the interval that is wanted, in (0, 1).
    """
    # From an estimate that is infinite ('never') a half of the interval cannot be scaled.
    if found.n < 2 or math.isnan(found.low) or math.isnan(found.high) or (math.isinf(found.estimate) and level > 0.95):
        return Estimate(found.estimate, n=found.n)
    # At 95 % or less the interval as it is covers often enough.
    if math.isinf(found.estimate):
        return found
    # Exact for t intervals of means; bootstrap intervals are given the same tails, heavier than normal ones.
    quantile = scipy.stats.t(found.n - 1).ppf
    factor = float(quantile((1 + level) / 2) / quantile(0.975))
    low, high = (found.estimate + factor * (end - found.estimate) for end in (found.low, found.high))
    return Estimate(found.estimate, low, high, found.n)


def judge(claim: Claim, found: Estimate) -> tuple[str, str]:
    """State of a claim, and the reason for it.

    Args:
        claim: its test and thresholds are used.
        found: with an interval at the claim's level.
    """
    low, high = claim.bounds
    if math.isnan(found.estimate):
        return "undecided", "nothing can be estimated: the trials that it needs did not end well"
    if math.isnan(found.low) or math.isnan(found.high):
        return "undecided", f"no interval at that level can be given from {found.n} architecture{'' if found.n == 1 else 's'}"
    # An infinite end of the interval may touch the infinite bound of a one-sided test.
    if (low < found.low or math.isinf(low)) and (found.high < high or math.isinf(high)):
        return "holds", "all of the interval lies there"
    if found.high < low or found.low > high:
        return "fails", "no part of the interval lies there"
    return "undecided", "only a part of the interval lies there"
