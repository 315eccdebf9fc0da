"""The driver's store: state transitions, reopening, and the errors it raises."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from agd_bench.errors import RunChangedError, RunLockedError, StorageFullError, StoreDamagedError, StoreError
from agd_bench.store import OUT_OF_MEMORY, Store, database, load_results
from agd_bench.store.database import FILE, META
from tests.scheduling.plans import curve_of, plan, result_of


def execute(folder: Path, statement: str) -> None:
    """Run a statement on the database file without going through the store."""
    with closing(sqlite3.connect(folder / database.FILE)) as connection:
        connection.execute(statement)
        connection.commit()


def test_a_trial_goes_from_pending_to_done_with_all_that_it_measured(tmp_path: Path) -> None:
    """The measurements of an attempt are read back exactly."""
    planned = plan()
    first = planned.trials[0]
    with Store.open(tmp_path, planned) as store:
        assert store.standings()[first.id].status == "pending"
        store.start(first, 1, "worker-0", 600.0)
        assert load_results(tmp_path).trials.loc[0, "status"] == "running"
        store.finish(result_of(first, seconds=1 / 3), 1)
    results = load_results(tmp_path)
    row, measured = results.trials.iloc[0], result_of(first)
    assert (row["status"], row["attempts"], row["charged_seconds"], row["reason"]) == ("done", 1, 1 / 3, "")
    assert row["val_accuracy"] == measured.val_accuracy
    assert row["flops"] == 2**40
    assert results.trials["energy_joules"].isna().all()
    assert list(results.curves["val_accuracy"]) == [point.val_accuracy for point in curve_of(first)]
    assert list(results.attempts["outcome"]) == ["done"]


def test_transitions_that_skip_a_state_are_refused(tmp_path: Path) -> None:
    """A trial cannot end before it starts, start twice, or end twice."""
    planned = plan()
    first = planned.trials[0]
    with Store.open(tmp_path, planned) as store:
        with pytest.raises(ValueError, match="is not running"):
            store.finish(result_of(first), 1)
        with pytest.raises(ValueError, match="cannot start"):
            store.start(first, 2, "worker-0", 600.0)
        store.start(first, 1, "worker-0", 600.0)
        with pytest.raises(ValueError, match="cannot start"):
            store.start(first, 1, "worker-0", 600.0)
        store.finish(result_of(first), 1)
        with pytest.raises(ValueError, match="is not running"):
            store.finish(result_of(first), 1)
        with pytest.raises(ValueError, match="is not pending"):
            store.settle(first.id, "failed", "no")
    assert len(load_results(tmp_path).attempts) == 1


def test_a_lost_attempt_is_charged_and_the_trial_is_pending_again(tmp_path: Path) -> None:
    """Only a dead worker counts as a loss, running out of memory and interruptions do not, and all attempts are charged."""
    planned = plan()
    first = planned.trials[0]
    with Store.open(tmp_path, planned) as store:
        store.start(first, 1, "worker-0", 600.0)
        store.lose(first.id, 1, 2.0, "its worker died")
        store.start(first, 2, "worker-1", 600.0)
        store.lose(first.id, 2, 3.0, "too large", outcome=OUT_OF_MEMORY)
        store.start(first, 3, "worker-1", 600.0)
        store.lose(first.id, 3, 4.0, "interrupted", blamed=False)
        standing = store.standings()[first.id]
        assert (standing.status, standing.attempts, standing.losses, standing.out_of_memory) == ("pending", 3, 1, 1)
        store.start(first, 4, "worker-2", 600.0)
        store.finish(result_of(first, seconds=1.0), 4)
    results = load_results(tmp_path)
    assert results.trials.loc[0, "charged_seconds"] == 10.0
    assert results.trials.loc[0, "total_seconds"] == 1.0
    assert list(results.attempts["outcome"]) == ["lost", "out of memory", "lost", "done"]


def test_transitions_made_together_are_one_commit_or_none(tmp_path: Path) -> None:
    """The end of one trial and the start of the next are committed together; after an error, neither is stored."""
    planned = plan()
    first, second = planned.trials[:2]
    with Store.open(tmp_path, planned) as store:
        store.start(first, 1, "worker-0", 600.0)

        def step() -> None:
            with store.together():
                store.finish(result_of(first), 1)
                store.start(second, 1, "worker-0", 600.0)
                assert list(load_results(tmp_path).trials["status"][:2]) == ["running", "pending"]
                store.start(second, 1, "worker-0", 600.0)

        with pytest.raises(ValueError, match="cannot start"):
            step()
        assert list(load_results(tmp_path).trials["status"][:2]) == ["running", "pending"]
        with store.together():
            store.finish(result_of(first), 1)
            store.start(second, 1, "worker-0", 600.0)
        assert list(load_results(tmp_path).trials["status"][:2]) == ["done", "running"]


def test_a_proposal_is_kept_with_the_trial(tmp_path: Path) -> None:
    """A tuner's proposal is read back unchanged, and trials without one have no hyperparameters."""
    planned = plan()
    proposed = planned.studies[0].rounds[0][0].model_copy(update={"proposal": {"rate": 0.1, "nesterov": True, "kind": "x"}})
    with Store.open(tmp_path, planned) as store:
        store.start(proposed, 1, "worker-0", 600.0)
        store.finish(result_of(proposed), 1)
    with Store.open(tmp_path, planned) as store:
        assert store.standings()[proposed.id].proposal == proposed.proposal
        assert store.curves([proposed.id, "none"]) == {proposed.id: curve_of(proposed)}
    trials = load_results(tmp_path).trials.set_index("trial_id")
    assert trials.loc[proposed.id, "hyperparameters"] == '{"kind":"x","nesterov":true,"rate":0.1}'
    assert trials.loc[planned.trials[0].id, "hyperparameters"] == "{}"
    assert trials["hyperparameters"].isna().sum() == len(trials) - 1 - len(planned.trials)


def test_a_changed_sweep_is_refused_and_named(tmp_path: Path) -> None:
    """A run folder cannot be opened with a different sweep, and the error says what changed."""
    with Store.open(tmp_path, plan()):
        pass
    with pytest.raises(RunChangedError, match="the sweep's epochs changed"):
        Store.open(tmp_path, plan(epochs=3))
    with pytest.raises(RunChangedError, match="the code of algorithms/free changed"):
        Store.open(tmp_path, plan(digests={"algorithms/free": "1" * 16}))
    with pytest.raises(RunChangedError, match="the planned trials"):
        Store.open(tmp_path, plan(seeds=3))


def test_keys_that_change_no_result_may_change(tmp_path: Path) -> None:
    """A run can be continued with a different deadline, which is then stored."""
    with Store.open(tmp_path, plan()):
        pass
    with Store.open(tmp_path, plan(deadline_seconds=5.0, description="once more")):
        pass
    assert load_results(tmp_path).sweep.deadline_seconds == 5.0


def test_a_run_of_before_a_key_existed_goes_on(tmp_path: Path) -> None:
    """A stored sweep that predates a key takes the key's default and counts as the same sweep."""
    planned = plan()
    with Store.open(tmp_path, planned) as store, store._engine.begin() as connection:
        old = json.loads(planned.sweep.model_dump_json())
        del old["adaptive_seeds"]
        for choice in old["algorithms"]:
            del choice["sampler"], choice["untuned"]
        connection.execute(META.update().where(META.c.key == "sweep").values(value=json.dumps(old)))
    with Store.open(tmp_path, planned) as store:
        assert len(store.standings()) == len(planned.all_trials)
    changed = plan(algorithms=[{"name": "free"}, {"name": "tuned", "tuning_trials": 3, "sampler": "random"}])
    with pytest.raises(RunChangedError, match="the sweep's algorithms changed"):
        Store.open(tmp_path, changed)


def test_a_second_driver_is_refused(tmp_path: Path) -> None:
    """Two drivers never write to the same run; the error of the second names the process that holds it."""
    planned = plan()
    with Store.open(tmp_path, planned), pytest.raises(RunLockedError, match=r"process \d+ on .* is running this run"):
        Store.open(tmp_path, planned)
    Store.open(tmp_path, planned).close()


def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    """The driver and the reader both detect overwritten bytes when they open the file."""
    planned = plan(architectures=40)
    with Store.open(tmp_path, planned):
        pass
    file = tmp_path / database.FILE
    content = bytearray(file.read_bytes())
    content[4096 : len(content) - 4096] = b"\xab" * (len(content) - 8192)
    file.write_bytes(content)
    with pytest.raises(StoreDamagedError, match="damaged"):
        Store.open(tmp_path, planned)
    with pytest.raises(StoreDamagedError, match="damaged"):
        load_results(tmp_path)


@pytest.mark.parametrize("content", [b"no database at all, but some text " * 400, b"SQLite format 3\x00" + b"\x00" * 5000])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file of another kind with the store's name is not overwritten."""
    (tmp_path / database.FILE).write_bytes(content)
    with pytest.raises(StoreError, match=r"database|SQLite"):
        Store.open(tmp_path, plan())
    assert (tmp_path / database.FILE).read_bytes() == content


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    """An SQLite file that agd-bench did not write is refused."""
    execute(tmp_path, "create table things (a)")
    with pytest.raises(StoreDamagedError, match="not an agd-bench store"):
        Store.open(tmp_path, plan())


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """The error says that a newer agd-bench wrote the store."""
    with Store.open(tmp_path, plan()):
        pass
    execute(tmp_path, "pragma user_version=99")
    with pytest.raises(StoreDamagedError, match=r"written by a newer agd-bench \(schema 99"):
        Store.open(tmp_path, plan())


def test_an_empty_file_of_a_killed_driver_is_taken_over(tmp_path: Path) -> None:
    """A file left by a driver that was killed before its first commit does not prevent a new run."""
    for folder, make in (
        (tmp_path / "empty", Path.touch),
        (tmp_path / "header", lambda file: execute(file.parent, "pragma journal_mode=wal")),
    ):
        folder.mkdir()
        make(folder / database.FILE)
        with Store.open(folder, plan()) as store:
            assert len(store.standings()) == len(plan().all_trials)


def test_a_full_disk_is_said_and_what_was_committed_stays(tmp_path: Path) -> None:
    """A write that does not fit raises an error and changes nothing that was committed."""
    planned = plan(architectures=1, seeds=200)
    done = 0
    with Store.open(tmp_path, planned) as store:
        with store._engine.connect() as connection:
            pages = connection.exec_driver_sql("pragma page_count").scalar_one()
        # The limit applies to a single connection, so set it on every connection of the pool.
        sa.event.listen(store._engine, "checkout", lambda raw, record, proxy: raw.execute(f"pragma max_page_count={pages + 4}"))

        def fill() -> None:
            nonlocal done
            for trial in planned.trials:
                store.start(trial, 1, "worker-0", 600.0)
                store.finish(result_of(trial), 1)
                done += 1

        with pytest.raises(StorageFullError, match="no space left"):
            fill()
        assert 0 < done < len(planned.trials)
    with Store.open(tmp_path, planned) as store:
        standings = [standing.status for standing in store.standings().values()]
    assert standings.count("done") == done
    assert standings.count("running") == 0


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """A run folder inside a file raises a StoreError."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot create the run folder"):
        Store.open(tmp_path / "file" / "run", plan())


def test_a_url_without_its_driver_is_said() -> None:
    """If SQLAlchemy has no driver for a URL, the error names the extra to install and does not contain the password."""
    with pytest.raises(StoreError, match=r"agd-bench\[postgres\]") as caught:
        Store.open("nosuchdatabase+driver://user:secret@host/run", plan())
    assert "secret" not in str(caught.value)


def test_a_url_holds_a_run_as_a_folder_does(tmp_path: Path) -> None:
    """A run can be stored in any database that SQLAlchemy supports, here another SQLite file given by its URL."""
    url, planned = f"sqlite:///{tmp_path / 'elsewhere.db'}", plan()
    with Store.open(url, planned) as store:
        store.start(planned.trials[0], 1, "worker-0", 600.0)
    with Store.open(url, planned) as store:
        assert store.standings()[planned.trials[0].id].status == "pending"
        store.start(planned.trials[0], 2, "worker-0", 600.0)
        store.finish(result_of(planned.trials[0]), 2)
    assert list(load_results(url).attempts["outcome"]) == ["lost", "done"]


MOUNTS = """\
/dev/a / ext4 rw 0 0
server:/x {0}/far nfs4 rw 0 0
b {0}/far/near xfs rw 0 0
systemd-1 {0}/auto autofs rw 0 0
server:/y {0}/auto nfs rw 0 0
c {0}/a\\040b fuse.glusterfs rw 0 0
"""


def test_the_last_and_longest_mount_point_counts(tmp_path: Path) -> None:
    """The type comes from the most specific mount point, also under an automounter and if the name contains a space."""
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.format(tmp_path))
    kinds = {"far/run": "nfs4", "far/near/run": "xfs", "farther": "ext4", "auto/run": "nfs", "a b/run": "fuse.glusterfs"}
    assert {name: database.file_system_type(tmp_path / name, mounts) for name in kinds} == kinds


@pytest.mark.parametrize(
    ("kind", "mode"),
    [(kind, "wal") for kind in ("ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "")]
    + [
        (kind, "delete")
        for kind in [
            "nfs4",
            "autofs",
            "fuse.glusterfs",
            "fuse.ceph-fuse",
            "wekafs",
            "fuse.juicefs",
            "virtiofs",
            "9p",
            "lustre",
            "gpfs",
            "fhgfs",
            "new",
        ]
    ],
)
def test_file_systems_that_may_be_a_networks_get_no_write_ahead_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str, mode: str
) -> None:
    """WAL needs memory shared between processes, which different hosts do not have; a warning names the file system."""
    monkeypatch.setattr(database, "file_system_type", lambda path: kind)
    assert database.journal_mode(tmp_path) == mode
    assert (repr(kind) in caplog.text) == (mode == "delete")
    with Store.open(tmp_path / "run", plan()) as store, store._engine.connect() as connection:
        assert connection.exec_driver_sql("pragma journal_mode").scalar_one() == mode


def test_commits_are_flushed_to_the_disk(tmp_path: Path) -> None:
    """The driver's connections use the write-ahead log and wait for the disk; a closed run is a single file."""
    with Store.open(tmp_path, plan()) as store, store._engine.connect() as connection:
        assert connection.exec_driver_sql("pragma journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("pragma synchronous").scalar_one() == 2
    assert [path.name for path in tmp_path.iterdir()] == [database.FILE]


def test_a_copy_of_the_file_alone_holds_what_was_committed_a_minute_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database file can be copied without its write-ahead log while the driver is running."""
    planned = plan(architectures=2, seeds=1)
    first, second = planned.trials[:2]
    with Store.open(tmp_path / "run", planned) as store:
        monkeypatch.setattr("agd_bench.store.writer.LOG_SECONDS", 0.0)
        for one in (first, second):
            store.start(one, 1, "worker-0", 600.0)
            store.finish(result_of(one), 1)
        (tmp_path / "copy").mkdir()
        shutil.copyfile(tmp_path / "run" / FILE, tmp_path / "copy" / FILE)
    copied = load_results(tmp_path / "copy").trials.set_index("trial_id")["status"]
    assert list(copied[[first.id, second.id]]) == ["done", "done"]
