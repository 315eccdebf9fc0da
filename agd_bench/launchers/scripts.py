"""Generate the script for a scheduler, and submit it."""

from __future__ import annotations

import importlib.metadata
import json
import shlex
import subprocess
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from agd_bench.errors import ExecutorError, InputError
from agd_bench.launchers.job import Job

Scheduler = Literal["slurm", "kubernetes"]
TEMPLATES: dict[Scheduler, str] = {"slurm": "slurm.sh.jinja", "kubernetes": "kubernetes.yaml.jinja"}
LEAST_RAY = "2.54.0"
"""With token authentication by default."""
SUBMIT: dict[Scheduler, tuple[str, ...]] = {"slurm": ("sbatch",), "kubernetes": ("kubectl", "apply", "-f", "-")}
"""The command that reads the script from standard input."""


def write_script(scheduler: Scheduler, job: Job, sweep_text: str | None = None) -> str:
    """Return the script that runs a job.

    Args:
        scheduler: scheduler to generate the script for.
        job: what to run.
        sweep_text: content of the sweep file, which is included in the script for Kubernetes; None: a built-in sweep.

    Raises:
        InputError: the job has no value for a required setting of this scheduler, or a setting that it does not support.
    """
    if scheduler == "kubernetes":
        missing = [name for name in ("container", "volume") if getattr(job, name) is None]
        if missing:
            raise InputError(
                f"Kubernetes needs {' and '.join(missing)}: an image with agd-bench, and a volume claim that keeps the results"
            )
        if job.parts > 1:
            raise InputError("parts are for SLURM; on Kubernetes one job uses all nodes")
        if not job.out.startswith("/runs/"):
            raise InputError(f"out {job.out!r}: on Kubernetes the volume is mounted at /runs; give a folder below it, such as /runs/mine")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["quote"] = shlex.quote
    return environment.get_template(TEMPLATES[scheduler]).render(
        job=job, sweep_text=sweep_text, entrypoint=_entrypoint(job, sweep_text), ray_version=_ray_version()
    )


def _entrypoint(job: Job, sweep_text: str | None) -> str:
    """The command of a RayJob, as a YAML string."""
    sweep = job.sweep if sweep_text is None else "/sweep/sweep.toml"
    quoted = shlex.join(["agd-bench", "run", sweep, "--out", job.out, *job.options])
    return json.dumps(f'{quoted} --ray-address "$RAY_ADDRESS"')


def _ray_version() -> str:
    """The version of Ray here, which the image must have too."""
    try:
        return importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        return LEAST_RAY


def submit(scheduler: Scheduler, script: str) -> str:
    """Hand a script to the scheduler's own command.

    Returns:
        What the command printed.

    Raises:
        ExecutorError: the command is missing or failed.
    """
    command = SUBMIT[scheduler]
    try:
        done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ExecutorError(f"{command[0]} is not installed here; run this on a login node, or without --submit") from None
    if done.returncode:
        raise ExecutorError(f"{' '.join(command)} failed: {' '.join(done.stderr.split())}")
    return done.stdout.strip()
