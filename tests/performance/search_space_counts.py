"""Count the architectures of the built-in search spaces, and time the conformance kit on each.

This includes what the default tests omit: the published hash of all 423,624 cells of NAS-Bench-101, and the canonical names of all
46,080 cells of DARTS with two operations, compared with Burnside's lemma. It takes about two minutes.

    python -m tests.performance.search_space_counts
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable
from functools import partial

import torch

from agd_bench import plugins
from agd_bench.testing import check_search_space
from search_spaces import _dag_codes, darts, nas_bench_101, nas_bench_201
from tests.search_spaces.test_darts import canonical_cells, classes


def count(what: str, names: Callable[[], Iterable[object]], expected: int) -> None:
    """Print the number of distinct names and the CPU seconds, and exit if the number is not the expected one."""
    begun = time.process_time()
    counted = len(set(names()))
    print(f"{what:<60} {counted:>9,} {time.process_time() - begun:8.1f} s", flush=True)
    if counted != expected:
        raise SystemExit(f"{what}: counted {counted:,}, expected {expected:,}")


def main() -> None:
    """Count, compare, and time the kit."""
    torch.set_num_threads(1)
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}")
    finite = {"nas_bench_201": 15_625, "nats_size": 32_768, "vgg": 4_096, "preact_resnet": 648, "resnet_skips": 312, "vit": 324, "fcn": 20}
    for name, size in finite.items():
        count(f"{name}: architectures", plugins.load("search_spaces", name).architectures, size)
    for dead_edges in ("kept", "dropped"):
        sizes = partial(nas_bench_201.size, in_channels=3, num_classes=10, image_size=32, dead_edges=dead_edges)
        count(
            f"nas_bench_201: parameters and FLOPs of all, dead edges {dead_edges}", partial(map, sizes, nas_bench_201.architectures()), 28
        )
    for rule, classes_found in (("functions", 5_044), ("strings", 6_466)):
        names = partial(nas_bench_201.canonical, rule=rule)
        count(f"nas_bench_201: networks by the rule {rule!r}", partial(map, names, nas_bench_201.architectures()), classes_found)
    count("mlp_dag, cnn_dag: networks, one of them without a path", lambda: map(_dag_codes.smallest_code, _dag_codes.codes()), 4_079)
    count("nas_bench_101: canonical names", nas_bench_101.architectures, 423_624)
    count("nas_bench_101: published hashes", lambda: map(nas_bench_101.module_hash, nas_bench_101.architectures()), 423_624)
    count("darts: cells of two operations", lambda: canonical_cells(darts.OPERATIONS[:2]), classes(2))
    for name in sorted(plugins.find("search_spaces")):
        begun = time.process_time()
        checks = check_search_space(plugins.load("search_spaces", name))
        failed = [check.name for check in checks if not check.passed]
        seconds = time.process_time() - begun
        print(f"check {name:<54} {len(checks):>9} {seconds:8.1f} s {'; '.join(failed)}", flush=True)


if __name__ == "__main__":
    main()
