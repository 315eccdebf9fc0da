"""The command line on the stub: `python -m tests.cuda_stub python -m tests.cuda_stub.cli doctor --gpu --quick`."""

from __future__ import annotations

from agd_bench.cli import main
from tests.cuda_stub.stub import values_ignored

if __name__ == "__main__":
    # Initial weights that are computed on the device would be garbage there.
    with values_ignored():
        main()
