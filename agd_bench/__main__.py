"""`python -m agd_bench` is `agd-bench`."""

from agd_bench.cli import main

main()
