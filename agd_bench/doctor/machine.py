"""Check that this machine can run agd-bench: versions, optional packages, devices, Ray, data sets, disk space."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from agd_bench import plugins
from agd_bench.cores import usable_cores

Verdict = Literal["ok", "missing", "warning"]

REQUIRED = ("pandas", "seaborn", "sqlalchemy", "pydantic")
TO_TRAIN = ("torch", "torchvision", "ray", "optuna", "scikit-learn")
EXTRAS = {"energy": "pynvml", "postgres": "psycopg"}


class Finding(NamedTuple):
    """Result of one check.

    Attributes:
        what: what was checked.
        verdict: the result.
        detail: what was found.
        advice: what to do about it; empty if nothing.
        numbers: measured values, with the unit last in their names.
    """

    what: str
    verdict: Verdict
    detail: str
    advice: str = ""
    numbers: Mapping[str, float] = MappingProxyType({})


def _versions() -> Iterator[Finding]:
    yield Finding("agd-bench", "ok", importlib.metadata.version("agd-bench"))
    yield Finding("Python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in (*REQUIRED, *TO_TRAIN):
        try:
            yield Finding(package, "ok", importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            trains = "only needed to train: `pip install 'agd-bench[train]'`"
            yield Finding(package, "missing", "not installed", trains if package in TO_TRAIN else "reinstall agd-bench")
    for extra, module in EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            yield Finding(f"extra [{extra}]", "missing", f"{module} is not installed", f"optional: `pip install agd-bench[{extra}]`")
        else:
            yield Finding(f"extra [{extra}]", "ok", f"{module} is installed")


def _devices() -> Iterator[Finding]:
    yield Finding("CPU", "ok", f"{usable_cores()} usable cores; by default one trial per core")
    if importlib.util.find_spec("torch") is None:
        yield Finding("GPU", "missing", "not looked for without torch")
        return
    import torch

    if not torch.cuda.is_available():
        yield Finding("GPU", "missing", "torch finds none", "sweeps run on the CPU; use a reduced size, as the built-in *_cpu sweeps do")
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        yield Finding(f"GPU {index}", "ok", f"{device.name}, {device.total_memory / 2**30:.0f} GiB")


def _ray() -> Iterator[Finding]:
    home = Path(os.path.expanduser("~"))  # stays `~` for a user without a home directory
    token = home / ".ray" / "auth_token"
    if os.access(home, os.W_OK) or os.environ.get("RAY_AUTH_TOKEN"):
        yield Finding("Ray token", "ok", "every run uses token authentication")
    else:
        yield Finding("Ray token", "warning", f"{home} is not writable", "set HOME to a writable folder, or RAY_AUTH_TOKEN")
    # Whoever reads the token can run code in the cluster.
    if token.exists() and token.stat().st_mode & 0o077:
        yield Finding("Ray token file", "warning", "other users can read ~/.ray/auth_token", "run `chmod 600 ~/.ray/auth_token`")
    stale = Path("/tmp/ray/ray_current_cluster")  # `ray start` writes it, and a crash leaves it
    if stale.exists() and not os.environ.get("RAY_ADDRESS"):
        yield Finding("Ray cluster", "warning", f"{stale} names a cluster", "agd-bench ignores it; use --ray-address to join a cluster")


def _datasets(root: Path) -> Iterator[Finding]:
    if "AGD_BENCH_DATA" not in os.environ:
        yield Finding("data folder", "ok", f"{root} (AGD_BENCH_DATA is not set)")
    else:
        yield Finding("data folder", "ok", f"{root} (from AGD_BENCH_DATA)")
    for name, source in plugins.find("datasets").items():
        files = plugins.describe(source).get("FILES", ())
        present = all((root / str(file)).exists() for file in files) if isinstance(files, tuple) else True
        if present:
            yield Finding(f"data set {name}", "ok", "found")
        else:
            yield Finding(f"data set {name}", "missing", "not downloaded", "a sweep downloads it on first use")


def _disk(folder: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free
    verdict: Verdict = "ok" if free > 2 * 2**30 else "warning"
    yield Finding("disk", verdict, f"{free / 2**30:.1f} GiB free in this folder", "" if verdict == "ok" else "a sweep may need more")


def examine(root: Path) -> list[Finding]:
    """Run all checks.

    Args:
        root: folder of the data sets.
    """
    return [*_versions(), *_devices(), *_ray(), *_datasets(root), *_disk(Path.cwd())]
