"""Claims as code: sentences with a query, a test and a threshold that hold, fail or are undecided given the results."""

from agd_bench.claims.definitions import Claim, Claims, format_claims, parse_claims, read_claims
from agd_bench.claims.evaluation import STATES, evaluate_claims
from agd_bench.claims.proposals import find_claims, propose_claims
from agd_bench.claims.queries import QUERIES, Estimate, Query

__all__ = [
    "QUERIES",
    "STATES",
    "Claim",
    "Claims",
    "Estimate",
    "Query",
    "evaluate_claims",
    "find_claims",
    "format_claims",
    "parse_claims",
    "propose_claims",
    "read_claims",
]
