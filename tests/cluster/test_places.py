"""Where people run it: a run works there, or one line says what to set. Each place is a mount namespace, as root."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cluster.hosts import REPOSITORY, unavailable

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(unavailable()), reason=unavailable()),
]
SWEEP = """
name = "tiny"
epochs = 1
batch_size = 32
seeds = 2
search_spaces = [{name = "fcn", architectures = ["2x8"], options = {size = 8}}]
datasets = [{name = "digits", share = 0.05}]
algorithms = [{name = "agd"}]
"""
NOBODY = 12345
"""An id without a name or a home; it may read everything, as the interpreter may be in root's home, and write only its own files."""
CAPABILITY = "-all,+dac_read_search"
HERE = ("--executor", "in-process")


class Place(NamedTuple):
    """Where the command runs.

    Attributes:
        mounts: shell commands that make the place; its /tmp is empty but for the working directory /tmp/home.
        options: of the command.
        code: its exit code.
        said: a setting that its last line names, if it does not work there.
        user: id.
        variables: of the environment, which has no HOME.
    """

    mounts: str
    options: tuple[str, ...]
    code: int = 0
    said: str = ""
    user: int = 0
    variables: tuple[str, ...] = ("HOME=/tmp/home",)


DATA = ("AGD_BENCH_DATA=/tmp/home/data",)
PLACES = {
    "no home": Place("true", HERE, user=NOBODY, variables=DATA),
    "no home, no data folder": Place("true", HERE, 2, "AGD_BENCH_DATA", NOBODY, ()),
    "read-only packages": Place(f"mount --bind {REPOSITORY} {REPOSITORY} && mount -o remount,bind,ro {REPOSITORY}", HERE),
    "read-only folder": Place("mount -t tmpfs -o ro tmpfs /tmp/home && cd /", ("--out", "/tmp/home/run", *HERE), 3, "--out"),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_run_works_there_or_one_line_says_what_to_set(tmp_path: Path, name: str) -> None:
    """Exit code 0, or that of its error and a last line that names the setting; never a traceback."""
    place = PLACES[name]
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "tiny.toml").write_text(SWEEP)
    (home / "tiny.toml").write_text(SWEEP)
    tmp_path.chmod(0o1777)
    subprocess.run(["chown", "-R", str(place.user), str(home)], check=True)
    user = ["setpriv", f"--reuid={place.user}", f"--regid={place.user}", "--clear-groups"]
    user += [f"--inh-caps={CAPABILITY}", f"--ambient-caps={CAPABILITY}", f"--bounding-set={CAPABILITY}"] if place.user else []
    made = f'mount --rbind {tmp_path} /tmp && cd /tmp/home && {place.mounts} && exec "$@"'
    command = [sys.executable, "-m", "agd_bench", "run", "/tmp/tiny.toml", "--device", "cpu", *place.options]
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", made, "_", *user, "env", "-u", "HOME", *place.variables, *command],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == place.code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if place.code:
        assert place.said in done.stderr.strip().splitlines()[-1]
