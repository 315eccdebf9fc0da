"""Published results: folders that can be rebuilt from themselves, their verification, and the page that lists them."""

from agd_bench.leaderboard.indexing import build_index
from agd_bench.leaderboard.publishing import publish_results
from agd_bench.leaderboard.verifying import verify_folder

__all__ = ["build_index", "publish_results", "verify_folder"]
