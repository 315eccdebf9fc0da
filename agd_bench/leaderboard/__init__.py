"""Published results: folders that can be rebuilt from themselves, their verification, and the page that lists them."""

from agd_bench.leaderboard.indexing import build_index
from agd_bench.leaderboard.publishing import as_plain_markdown, publish_results
from agd_bench.leaderboard.scrubbing import scrub_results
from agd_bench.leaderboard.verifying import verify_folder

__all__ = ["as_plain_markdown", "build_index", "publish_results", "scrub_results", "verify_folder"]
