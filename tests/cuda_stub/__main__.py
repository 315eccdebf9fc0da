"""Run a command where torch finds a GPU that computes nothing.

python -m tests.cuda_stub pytest -n 0 -m "gpu or cuda_stub"
"""

from __future__ import annotations

import os
import sys

from tests.cuda_stub.build import build

if __name__ == "__main__":
    try:
        folder = build()
    except (RuntimeError, OSError) as error:
        sys.exit(str(error))
    os.environ |= {"LD_PRELOAD": str(folder / "stub.so"), "LD_LIBRARY_PATH": str(folder), "OMP_NUM_THREADS": "1"}
    os.execvp(sys.argv[1], sys.argv[1:])
