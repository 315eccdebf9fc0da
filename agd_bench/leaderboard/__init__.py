"""Published results: folders that can be rebuilt from themselves, their verification, and the page that lists them."""

from agd_bench.leaderboard.anonymisation import scrub_results
from agd_bench.leaderboard.index import build_index
from agd_bench.leaderboard.publication import as_plain_markdown, publish_results
from agd_bench.leaderboard.verification import verify_folder

__all__ = ["as_plain_markdown", "build_index", "publish_results", "scrub_results", "verify_folder"]
