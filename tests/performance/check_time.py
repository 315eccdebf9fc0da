"""Time `agd-bench check` for every built-in search space.

python -m tests.performance.check_time
"""

from __future__ import annotations

import time

import torch

from agd_bench import plugins
from agd_bench.testing import check_search_space

ROUNDS = 3


def main() -> None:
    """Print the least CPU seconds of each space over the rounds, and their sum, on one thread and without imports."""
    torch.set_num_threads(1)
    names = sorted(plugins.find("search_spaces"))
    spaces = {name: plugins.load("search_spaces", name) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name, space in spaces.items():
            started = time.process_time()
            checks = check_search_space(space)
            seconds[name].append(time.process_time() - started)
            assert all(check.passed for check in checks), name
    for name, taken in seconds.items():
        print(f"{name:15} {min(taken):6.2f} s of CPU (most {max(taken):.2f})")
    print(f"{'all':15} {sum(map(min, seconds.values())):6.2f} s of CPU, least of {ROUNDS} rounds each")


if __name__ == "__main__":
    main()
