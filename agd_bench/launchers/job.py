"""Description of a job on a cluster."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agd_bench.errors import InputError

# Such values become directives of the script, where a line end or a space would begin another one.
Word = Annotated[str, Field(pattern=r"^[\w./:@+=,-]+$")]
TimeLimit = Annotated[str, Field(pattern=r"^(\d+-)?\d{1,2}:[0-5]\d:[0-5]\d$")]


class Job(BaseModel):
    """A sweep on a cluster.

    Attributes:
        name: of the job; Kubernetes allows lower-case letters, digits and hyphens.
        sweep: a built-in sweep or a TOML file.
        out: the run folder, on a file system that every host that may run the driver sees.
        nodes: machines.
        cpus_per_node: cores of each.
        gpus_per_node: GPUs of each.
        memory_per_node: of each, for example `64G` (SLURM) or `64Gi` (Kubernetes); None: the scheduler's default.
        time_limit: HH:MM:SS or DAYS-HH:MM:SS; None: the scheduler's default.
        account: SLURM account.
        partition: SLURM partition.
        container: image with agd-bench installed. Needed by Kubernetes; on SLURM for `srun --container-image` (Pyxis).
        volume: persistent volume claim on Kubernetes, mounted at /runs.
        parts: jobs that each train one part of the architectures (`--part`), for SLURM; `agd-bench merge` joins them.
        options: further options of `agd-bench run`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")] = "agd-bench"
    sweep: str
    out: str
    nodes: Annotated[int, Field(strict=True, ge=1)] = 1
    cpus_per_node: Annotated[int, Field(strict=True, ge=1)]
    gpus_per_node: Annotated[int, Field(strict=True, ge=0)] = 0
    memory_per_node: Word | None = None
    time_limit: TimeLimit | None = None
    account: Word | None = None
    partition: Word | None = None
    container: Word | None = None
    volume: Word | None = None
    parts: Annotated[int, Field(strict=True, ge=1)] = 1
    options: tuple[str, ...] = ()

    @property
    def time_limit_seconds(self) -> int | None:
        """The time limit in seconds."""
        if self.time_limit is None:
            return None
        days, _, clock = self.time_limit.rpartition("-")
        hours, minutes, seconds = map(int, clock.split(":"))
        return 86_400 * int(days or 0) + 3600 * hours + 60 * minutes + seconds


def read_job(path: Path) -> Job:
    """Read a job from a TOML file.

    Raises:
        InputError: the file cannot be read, or a key is unknown, missing or has an invalid value.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as TOML: {error}") from None
    try:
        return Job.model_validate(given)
    except ValidationError as error:
        raise InputError(f"{path}: {'; '.join(_explain(fault) for fault in error.errors(include_url=False))}") from None


def _explain(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(place, Job.model_fields, n=1)
        return f"{place}: no such key; " + (f"did you mean {near[0]!r}?" if near else f"allowed are {', '.join(Job.model_fields)}")
    return f"{place}: {fault['msg']}" + ("" if fault["type"] == "missing" else f", got {fault['input']!r:.60}")
