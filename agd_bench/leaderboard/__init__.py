"""Published results: folders of raw rows, their verification, the list of folders, and the site built from them."""

from agd_bench.leaderboard.anonymisation import scrub_results
from agd_bench.leaderboard.listing import write_index
from agd_bench.leaderboard.publication import publish_results
from agd_bench.leaderboard.site import build_site
from agd_bench.leaderboard.verification import verify_folder

__all__ = ["build_site", "publish_results", "scrub_results", "verify_folder", "write_index"]
