"""The command `launch`: a script that runs a sweep on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from agd_bench.errors import InputError


def launch(
    scheduler: Annotated[Literal["slurm", "kubernetes"], typer.Argument(help="Whose script to write.")],
    job: Annotated[Path, typer.Argument(metavar="JOB", help="A TOML file: sweep, out, nodes, cpus_per_node, gpus_per_node, time_limit, …")],
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="Write the script here instead of printing it.")] = None,
    submits: Annotated[bool, typer.Option("--submit", help="Submit it with sbatch or kubectl.")] = False,
) -> None:
    """Write or submit a job that runs a sweep on a cluster.

    The same job runs again after preemption, the time limit or a lost node, and resumes.
    """
    from agd_bench.launchers import read_job, submit, write_script
    from agd_bench.store import written_beside
    from agd_bench.sweeps import builtin_sweeps, open_sweep

    asked = read_job(job)
    # Now, not hours later when the job begins.
    open_sweep(asked.sweep)
    text = None if asked.sweep in builtin_sweeps() else Path(asked.sweep).read_text(encoding="utf-8")
    script = write_script(scheduler, asked, text)
    if to is not None:
        if to.exists():
            raise InputError(f"{to} already exists; choose another name")
        with written_beside(to.parent) as beside:
            (beside / to.name).write_text(script, encoding="utf-8", newline="\n")
    if submits:
        print(submit(scheduler, script))
    elif to is None:
        print(script, end="")
