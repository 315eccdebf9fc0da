"""Scheduler scripts, run with stand-ins for the schedulers' commands."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agd_bench.cli import app
from agd_bench.errors import ExecutorError, InputError
from agd_bench.launchers import Job, read_job, submit, write_script

README = Path(__file__).parents[2] / "agd_bench" / "scheduling" / "README.md"
STAND_INS = {
    "srun": 'while [[ "$1" == --* ]]; do shift; done; exec "$@"',
    "scontrol": 'echo "$*" >> scontrol.log; [ "$1" != show ] || printf "localhost\\nother\\n"',
    "ray": f'echo "$*" >> ray.log; [ "$1 $2" != "start --head" ] || exec {sys.executable} -m http.server --bind localhost "${{3#--port=}}"',
    "agd-bench": "trap 'exit 143' TERM; echo \"$*\" >> driver.log; while [ -e stay ]; do sleep 0.1; done; exit $(cat code)",
    "sbatch": "cat > submitted; echo Submitted batch job 42",
    "kubectl": "echo no cluster >&2; exit 1",
}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="runs Bash scripts")


def job(**changes: Any) -> Job:
    """Return a job on two nodes."""
    return Job.model_validate({"sweep": "quickstart", "out": "/runs/mine", "nodes": 2, "cpus_per_node": 4} | changes)


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a function that starts a script as SLURM's first node would, with the stand-ins on the path."""
    for name, text in STAND_INS.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)
    (tmp_path / "code").write_text("0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0" * 64)
    begun: list[subprocess.Popen[bytes]] = []

    def begin(script: str) -> subprocess.Popen[bytes]:
        job_id = next(port for port in range(29000, 29999) if _is_free(port)) - 20000
        slurm = {"SLURM_JOB_ID": str(job_id), "SLURM_JOB_NODELIST": "[localhost,other]", "SLURM_ARRAY_TASK_ID": "2"}
        begun.append(subprocess.Popen(["bash", "-c", script], env=os.environ | slurm, start_new_session=True))
        return begun[-1]

    yield begin
    for process in begun:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("localhost", port)).close()
    except OSError:
        return False
    return True


def test_a_slurm_job_starts_ray_on_its_nodes_and_one_driver(batch: Any, tmp_path: Path) -> None:
    """The job's exit code is that of the driver, and a run that ended is not requeued."""
    (tmp_path / "code").write_text("4")
    (tmp_path / "stay").touch()
    process = batch(write_script("slurm", job(gpus_per_node=8, options=["--set", "name=a b"])))
    # the second node starts Ray at the same time as the driver
    while not (tmp_path / "ray.log").exists() or (tmp_path / "ray.log").read_text().count("\n") < 2:
        time.sleep(0.05)
    (tmp_path / "stay").unlink()
    assert process.wait(120) == 4
    first, second = sorted((tmp_path / "ray.log").read_text().splitlines(), key=lambda line: "--head" not in line)
    port = first.partition("--port=")[2].split()[0]
    assert first == f"start --head --port={port} --include-dashboard=false --num-cpus=4 --num-gpus=8 --block"
    assert second == f"start --address=localhost:{port} --num-cpus=4 --num-gpus=8 --block"
    said = (tmp_path / "driver.log").read_text()
    assert said == f"run quickstart --ray-address localhost:{port} --out /runs/mine --set name=a b\n"
    assert "requeue" not in (tmp_path / "scontrol.log").read_text()


def test_a_slurm_job_that_is_told_to_end_queues_again(batch: Any, tmp_path: Path) -> None:
    """SIGTERM is passed on to the driver, which ends in its own time, and the job is requeued."""
    (tmp_path / "stay").touch()
    process = batch(write_script("slurm", job(parts=4)))
    while not (tmp_path / "driver.log").exists():
        time.sleep(0.05)
    process.terminate()
    assert process.wait(120) == 143
    assert "/runs/mine/part-2 --part 2/4" in (tmp_path / "driver.log").read_text()
    assert "requeue 9" in (tmp_path / "scontrol.log").read_text()


def test_directives_follow_the_job() -> None:
    """Only requested settings become directives, and an array has one task for each part."""
    plain = write_script("slurm", job())
    assert not [word for word in ("--time", "--account", "--gpus", "--array", "--container") if word in plain]
    asked = {"time_limit": "2-00:00:00", "account": "lab", "gpus_per_node": 8, "parts": 4, "container": "lab/agd:1", "partition": "gpu"}
    full = write_script("slurm", job(**asked))
    lines = ("--time=2-00:00:00", "--account=lab", "--gpus-per-node=8", "--array=1-4", "--partition=gpu")
    assert [line for line in lines if f"#SBATCH {line}\n" not in full] == []
    assert "--container-image=lab/agd:1" in full


def test_a_rayjob_carries_its_sweep_and_resumes() -> None:
    """The script is valid YAML that includes a sweep given as a file, and the run folder is on the volume."""
    yaml = pytest.importorskip("yaml")
    text = 'name = "mine"\n\n[[datasets]]\nname = "digits"\n'
    asked = job(container="lab/agd:1", volume="results", gpus_per_node=8, time_limit="01:00:00", sweep="mine.toml", name="mine")
    config, ray_job = yaml.safe_load_all(write_script("kubernetes", asked, text))
    assert config["data"]["sweep.toml"] == text
    spec = ray_job["spec"]
    assert spec["entrypoint"] == 'agd-bench run /sweep/sweep.toml --out /runs/mine --ray-address "$RAY_ADDRESS"'
    assert (spec["activeDeadlineSeconds"], spec["rayClusterSpec"]["authOptions"]) == (3600, {"mode": "token"})
    workers = spec["rayClusterSpec"]["workerGroupSpecs"][0]
    pod = workers["template"]["spec"]
    assert (workers["replicas"], pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]) == (2, "8")
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "results"}
    built_in = list(yaml.safe_load_all(write_script("kubernetes", job(container="lab/agd:1", volume="results"))))
    assert [one["kind"] for one in built_in] == ["RayJob"]


@pytest.mark.parametrize("missing", [{"container": None}, {"volume": None}, {"parts": 2}, {"out": "here"}])
def test_what_kubernetes_cannot_do_is_refused(missing: dict[str, Any]) -> None:
    """A Kubernetes job needs an image and a volume, must keep its results on the volume, and cannot be an array."""
    with pytest.raises(InputError):
        write_script("kubernetes", job(**{"container": "lab/agd:1", "volume": "results"} | missing))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nodes = 2\ncpus_per_node = 4\nsweep = 'a'", "out: Field required"),
        ("node = 2\ncpus_per_node = 4\nsweep = 'a'\nout = 'b'", "did you mean 'nodes'"),
        ("time_limit = '1 hour'\ncpus_per_node = 4\nsweep = 'a'\nout = 'b'", "time_limit"),
        ("account = 'a\\n#SBATCH --mem=1'\ncpus_per_node = 4\nsweep = 'a'\nout = 'b'", "account"),
        ("nodes = true\ncpus_per_node = 4\nsweep = 'a'\nout = 'b'", "nodes"),
        ("sweep = ", "cannot be read as TOML"),
    ],
)
def test_a_wrong_job_is_explained(tmp_path: Path, text: str, said: str) -> None:
    """The error names the key and says what is wrong with it."""
    (tmp_path / "job.toml").write_text(text)
    with pytest.raises(InputError, match=said):
        read_job(tmp_path / "job.toml")


def test_scripts_are_submitted(batch: Any, tmp_path: Path) -> None:
    """Scripts are submitted by the scheduler's own command, and its output or error is passed on."""
    script = write_script("slurm", job())
    assert submit("slurm", script) == "Submitted batch job 42"
    assert (tmp_path / "submitted").read_text() == script
    with pytest.raises(ExecutorError, match=r"kubectl .* failed: no cluster"):
        submit("kubernetes", "")
    (tmp_path / "bin" / "sbatch").unlink()
    with pytest.raises(ExecutorError, match="sbatch is not installed"):
        submit("slurm", script)


def test_the_command_writes_prints_and_submits(batch: Any, tmp_path: Path) -> None:
    """The script can be printed, written and submitted; an unknown sweep is reported before the job is queued."""
    from typer.testing import CliRunner

    (tmp_path / "job.toml").write_text('sweep = "quickstart"\nout = "mine"\ncpus_per_node = 4\n')
    call = CliRunner().invoke
    printed = call(app, ["launch", "slurm", "job.toml"])
    assert printed.output.startswith("#!/bin/bash\n#SBATCH")
    written = call(app, ["launch", "slurm", "job.toml", "--to", "job.sh", "--submit"])
    assert written.output == "Submitted batch job 42\n"
    assert (tmp_path / "job.sh").read_text() == printed.output
    (tmp_path / "job.toml").write_text('sweep = "no_such_sweep"\nout = "mine"\ncpus_per_node = 4\n')
    assert isinstance(call(app, ["launch", "slurm", "job.toml", "--submit"]).exception, InputError)


def test_the_recipes_of_the_page_are_what_the_command_writes(tmp_path: Path) -> None:
    """The script in the README is the one that is written for the job in it."""
    page = README.read_text(encoding="utf-8")
    blocks = [block.partition("\n") for block in page.split("```")[1::2]]
    jobs = [text for kind, _, text in blocks if kind == "toml"]
    (tmp_path / "job.toml").write_text(jobs[0])
    scripts = [text for kind, _, text in blocks if kind == "bash"]
    assert scripts == [write_script("slurm", read_job(tmp_path / "job.toml"))]
