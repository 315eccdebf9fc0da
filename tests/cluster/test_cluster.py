"""Runs on a simulated cluster: nodes that join late, fail, differ, are cut off or die, and drivers that are killed.

All tests use the same cluster, because Ray takes seconds to start. h1 has the head and the driver, and survives.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from agd_bench.store import Results, load_results
from tests.cluster.hosts import RAY_PORT, Bed, Host, unavailable, wait_for

WHY_NOT = unavailable()
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800), pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]
SWEEP = """
name = "night"
epochs = 1
batch_size = 32
seeds = {seeds}

[[search_spaces]]
name = "fcn"
architectures = 2
options = {{ size = 4 }}

[[datasets]]
name = "digits"
share = 0.1

[[algorithms]]
name = "gated"
"""


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """Return a bed where h1 is the head, with one core; tests add the hosts that they need."""
    with Bed() as made:
        head = made.host(1)
        equip(head)
        head.join(head, cores=1)
        yield made


def equip(host: Host) -> None:
    """Copy the plug-ins to a folder of the host."""
    shutil.copytree(Path(__file__).parent / "plugins", host.folder / "plugins")


def node(bed: Bed, number: int, cores: int) -> Host:
    """Add a host to the cluster and return it."""
    made = bed.host(number)
    equip(made)
    made.join(bed.hosts["h1"], cores)
    return made


def begin(bed: Bed, run: str, seeds: int, host: str = "h1") -> subprocess.Popen[str]:
    """Start a driver on a host, with its run in the shared folder."""
    (bed.shared / "sweep.toml").write_text(SWEEP.format(seeds=seeds))
    return bed.hosts[host].start(
        *("python", "-m", "tests.cluster.driver", "run", "/tmp/shared/sweep.toml", "--algorithms", "/tmp/plugins"),
        *("--out", f"/tmp/shared/{run}", "--ray-address", f"{bed.hosts['h1'].address}:{RAY_PORT}"),
    )


def hold(bed: Bed) -> None:
    """Make trials wait once they have started."""
    for name in ("up", "began"):
        shutil.rmtree(bed.shared / name, ignore_errors=True)
    (bed.shared / "hold").touch()


def go_on(bed: Bed) -> None:
    """Let waiting trials end."""
    (bed.shared / "hold").unlink()


def seen(bed: Bed, what: str, host: str = "h") -> int:
    """Return how many workers came up or trials started, on one host or on all."""
    return len(list((bed.shared / what).glob(f"{host}*")))


def log_of(bed: Bed, run: str) -> str:
    """Return the driver's log so far."""
    log = bed.shared / run / "logs" / "driver.log"
    return log.read_text() if log.exists() else ""


def is_named(bed: Bed, run: str, host: Host) -> bool:
    """Return whether the driver's log mentions a host."""
    return f"{host.name} ({host.address})" in log_of(bed, run)


def finished(bed: Bed, run: str, driver: subprocess.Popen[str], host: str = "h1") -> Results:
    """Wait for the driver to end, check that all trials are done, and return the results."""
    assert driver.wait(600) == 0, bed.hosts[host].output
    results = load_results(bed.shared / run)
    assert set(results.trials["status"]) == {"done"}
    return results


def lost(results: Results) -> pd.DataFrame:
    """Return the lost attempts."""
    return results.attempts[results.attempts["outcome"] == "lost"]


def test_nodes_that_lack_or_change_a_plugin_or_fail_at_once_are_named_and_set_aside(bed: Bed) -> None:
    """With three bad nodes and a good one, the good one does all the work, and no trial fails."""
    without, other, broken = (bed.host(number) for number in (2, 3, 4))
    for one in (other, broken):
        equip(one)
    with (other.folder / "plugins" / "gated.py").open("a") as source:
        source.write('\nLICENCE = "BSD"\n')
    (broken.folder / "broken").touch()
    for one in (without, other, broken):
        one.join(bed.hosts["h1"], cores=1)
    hold(bed)
    driver = begin(bed, "bad_nodes", seeds=4)
    for one in (without, other, broken):
        wait_for(f"{one.name} to be named", partial(is_named, bed, "bad_nodes", one), driver)
    go_on(bed)
    results = finished(bed, "bad_nodes", driver)
    said = log_of(bed, "bad_nodes")
    assert f"{without.name} ({without.address})" in said
    assert "'gated' is missing" in said
    assert f"{other.name} ({other.address})" in said
    assert "set aside" in said
    assert f"{broken.name} ({broken.address})" in said
    assert set(lost(results)["reason"].str.contains("Input/output error")) == {True}
    for one in (without, other, broken):
        one.end()


def test_a_late_node_gets_work_and_a_node_that_dies_or_is_cut_off_is_given_up(bed: Bed) -> None:
    """Each trial that was on such a node is lost once, however many workers the node had, and is repeated elsewhere."""
    hold(bed)
    driver = begin(bed, "night", seeds=4)
    wait_for("a trial on the head", lambda: seen(bed, "began", "h1") == 1, driver)
    dying = node(bed, 5, cores=3)
    wait_for("trials on the late node", lambda: seen(bed, "began", "h5") == 3, driver)
    cut = node(bed, 6, cores=5)
    wait_for("trials on the second late node", lambda: seen(bed, "began", "h6") == 4, driver)
    wait_for("a worker too many", lambda: seen(bed, "up", "h6") == 5, driver)
    dying.end()
    # Its three trials are repeated: one on the idle worker, and the others wait.
    wait_for("a repetition", lambda: seen(bed, "began", "h6") == 5, driver)
    cut.cut_off()
    wait_for("the cut to be noticed", partial(is_named, bed, "night", cut), driver)
    go_on(bed)
    results = finished(bed, "night", driver)
    assert len(results.trials) == 8
    assert len(lost(results)) == 3 + 5
    assert results.attempts.groupby("trial_id").size().max() <= 3
    cut.end()


def test_a_killed_drivers_run_is_continued_from_another_host(bed: Bed) -> None:
    """The second driver reports that it is waiting for the lock, and then trains what is left."""
    hold(bed)
    other = node(bed, 7, cores=1)
    first = begin(bed, "killed", seeds=1)
    wait_for("both trials", lambda: seen(bed, "began") == 2, first)
    bed.hosts["h1"].kill(first)
    second = begin(bed, "killed", seeds=1, host="h7")
    go_on(bed)
    results = finished(bed, "killed", second, "h7")
    assert "on h1 was running this run; waiting" in other.output
    assert list(results.trials["attempts"]) == [2, 2]
    assert set(lost(results)["reason"]) == {"the driver ended during this attempt"}
