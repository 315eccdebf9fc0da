"""Scripts that run a sweep on a cluster, from a small TOML file: for SLURM, and for Kubernetes with KubeRay."""

from agd_bench.launchers.job import Job, read_job
from agd_bench.launchers.scripts import SUBMIT, Scheduler, submit, write_script

__all__ = ["SUBMIT", "Job", "Scheduler", "read_job", "submit", "write_script"]
