"""Published folders can be rebuilt from themselves, verified and listed, and contain no private names."""

from __future__ import annotations

import contextlib
import errno
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from agd_bench.claims import Claims, format_claims, parse_claims, read_claims
from agd_bench.cli import main
from agd_bench.errors import InputError, StorageFullError
from agd_bench.leaderboard import build_site, publish_results, verify_folder, write_index
from agd_bench.report import count_states
from agd_bench.report.claim_rows import SIGNS
from agd_bench.store import Results, files, load_results, status
from agd_bench.store.manifest import digests
from tests.analysis.synthetic import simulate_results, simulate_trials, spoil

PRIVATE = ("gpu-node-17.cluster.example", "/home/ada", "ada-laptop", "/scratch/ada/runs")


@pytest.fixture(scope="module")
def results(few_resamples: None) -> Results:
    """Return a run with names of machines and folders in its reasons, nodes, provenance and metadata."""
    trials = spoil(simulate_trials(9, 3, ("sgd", "agd"), tuned=("agd",)), "agd", "diverged", [1])
    trials = spoil(trials, "agd", "failed", [4], reason="OSError: cannot open '/home/ada/data/x.bin' on gpu-node-17.cluster.example")
    plain = simulate_results(trials)
    provenance = json.dumps({"torch": "2.15.0", "device": "Test GPU", "hostname": "ada-laptop", "file": "/scratch/ada/runs/a.pt"})
    attempts = plain.attempts.assign(node="gpu-node-17.cluster.example", provenance=provenance)
    return replace(plain, attempts=attempts, meta={**plain.meta, "host": "ada-laptop", "command": "agd-bench run /home/ada/sweep.toml"})


@pytest.fixture(scope="module")
def published(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish that run once and return the folder."""
    return publish_results(results, tmp_path_factory.mktemp("boards") / "first")


@pytest.fixture
def without_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build pages without pictures and tables, which take longest, for tests that do not need them."""
    monkeypatch.setattr("agd_bench.report.sections.PARTS", ())


@pytest.fixture
def copy(published: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may damage."""
    return Path(shutil.copytree(published, tmp_path / "first"))


def test_a_published_folder_verifies(published: Path) -> None:
    """Nothing differs right after publishing."""
    assert verify_folder(published) == []


def test_other_line_ends_are_no_difference(copy: Path) -> None:
    """Git or a file transfer may convert text files to Windows line ends; this is not a difference."""
    texts = [path for path in copy.rglob("*") if path.is_file() and path.suffix != ".png"]
    assert {".csv", ".json", ".md", ".svg", ".toml"} <= {path.suffix for path in texts}
    for path in texts:
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert verify_folder(copy) == []


def test_raw_rows_come_back_exactly(results: Results, published: Path) -> None:
    """Trials and curves read from the folder are exactly those that were published."""
    again = load_results(published)
    pd.testing.assert_frame_equal(again.curves, results.curves, check_exact=True)
    public = results.trials.drop(columns="reason")
    pd.testing.assert_frame_equal(again.trials.drop(columns="reason"), public, check_exact=True)
    assert again.sweep == results.sweep


def test_a_folder_is_rebuilt_from_itself(published: Path, tmp_path: Path) -> None:
    """Publishing what was loaded from a published folder gives the same files."""
    again = publish_results(load_results(published), tmp_path / "again")
    files = {path.relative_to(published) for path in published.rglob("*") if path.is_file()}
    assert files == {path.relative_to(again) for path in again.rglob("*") if path.is_file()}
    for name in files:
        assert (again / name).read_bytes() == (published / name).read_bytes(), name


def test_the_folder_of_a_growing_sweep_holds_what_was_begun(results: Results, tmp_path: Path, without_parts: None) -> None:
    """Rows of trials that were not started are left out, but their number is known, and the folder verifies."""
    first = results.trials["architecture"].unique()[:2]
    untouched = results.trials["seed"].ge(1) & ~results.trials["architecture"].isin(first) & (results.trials["purpose"] == "final")
    trials = results.trials.assign(attempts=results.trials["attempts"].mask(untouched, 0))
    trials["status"] = trials["status"].mask(untouched, "pending")
    trials["charged_seconds"] = trials["charged_seconds"].mask(untouched, 0.0)
    ids = set(trials.loc[untouched, "trial_id"])
    curves, attempts = (table[~table["trial_id"].isin(ids)].reset_index(drop=True) for table in (results.curves, results.attempts))
    partial = replace(results, trials=trials, curves=curves, attempts=attempts)
    folder = publish_results(partial, tmp_path / "growing")
    assert set(load_results(folder).trials["trial_id"]) == set(trials["trial_id"]) - ids
    assert verify_folder(folder) == []
    counts = status(folder)
    assert counts["missing"].sum() == untouched.sum()
    assert counts.sum(axis=1).sum() == len(trials)
    said = (folder / "README.md").read_text()
    assert f"{len(trials) - len(ids)} of {len(trials)} planned trials have ended" in said
    assert "Compared: 9 architectures that every algorithm has trained (13 trainings of each)" in said
    again = publish_results(load_results(folder), tmp_path / "again")
    assert (again / "README.md").read_text() == said
    cut = pd.read_csv(folder / "trials.csv", dtype="str", keep_default_na=False)
    pd.concat([cut, cut.iloc[[0]]]).to_csv(folder / "trials.csv", index=False)
    assert any(" twice" in difference for difference in verify_folder(folder))


def test_no_private_name_is_published(published: Path) -> None:
    """No file contains names of hosts, users or folders; the rest of a reason is kept."""
    for path in published.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [name for name in PRIVATE if name.encode() in content], path
    reasons = set(load_results(published).trials["reason"])
    assert "OSError: cannot open '…/x.bin' on host" in reasons


def test_a_figure_that_is_no_text_is_found(copy: Path) -> None:
    """One byte that is no UTF-8 is a difference, not an error."""
    (copy / "cost.svg").write_bytes(b"\xff" + (copy / "cost.svg").read_bytes()[1:])
    assert any(line.startswith("cost.svg") for line in verify_folder(copy))


def test_an_edited_accuracy_is_found(copy: Path) -> None:
    """An edited accuracy is found by the digest of its file and by recomputing the README."""
    trials = pd.read_csv(copy / "trials.csv", dtype=str, keep_default_na=False)
    trials.loc[trials["status"].eq("done").idxmax(), "test_accuracy"] = "0.999"
    trials.to_csv(copy / "trials.csv", index=False, lineterminator="\n")
    differences = verify_folder(copy)
    assert any(line.startswith("trials.csv: changed") for line in differences)
    assert any(line.startswith("README.md: ") for line in differences)


def test_edited_texts_are_found_without_their_digests(copy: Path) -> None:
    """Even with a renewed manifest, recomputation finds edits in the README, the figure and the manifest's summary."""
    for name in ("README.md", "cost.svg"):
        path = copy / name
        path.write_text(path.read_text(encoding="utf-8").replace("agd", "best"), encoding="utf-8")
    _renew(copy, finding="All is well.")
    assert [line.split(":")[0] for line in verify_folder(copy)] == ["README.md", "cost.svg", "manifest.json"]


def test_a_dropped_failure_is_found(copy: Path) -> None:
    """Removing a diverged trial from the rows leaves a gap in the design."""
    trials = pd.read_csv(copy / "trials.csv", dtype=str, keep_default_na=False)
    trials[trials["status"] != "diverged"].to_csv(copy / "trials.csv", index=False, lineterminator="\n")
    gone = set(trials.loc[trials["status"] == "diverged", "trial_id"])
    for name in ("curves.csv", "attempts.csv"):
        rows = pd.read_csv(copy / name, dtype=str, keep_default_na=False)
        rows[~rows["trial_id"].isin(gone)].to_csv(copy / name, index=False, lineterminator="\n")
    _renew(copy)
    assert any(re.search(r"26 final trials of agd\b.*\b27", line) for line in verify_folder(copy))


def test_missing_curves_and_uncharged_attempts_are_found(copy: Path) -> None:
    """Curves must cover every epoch, and charged seconds must be the sum over the attempts."""
    curves = pd.read_csv(copy / "curves.csv", dtype=str).iloc[1:]
    curves.to_csv(copy / "curves.csv", index=False, lineterminator="\n")
    assert any("one point per epoch" in line for line in verify_folder(copy))
    attempts = pd.read_csv(copy / "attempts.csv", dtype=str, keep_default_na=False)
    attempts.loc[0, "seconds"] = "0.5"
    attempts.to_csv(copy / "attempts.csv", index=False, lineterminator="\n")
    assert any("attempts have a different sum" in line for line in verify_folder(copy))


def test_missing_and_additional_files_are_found(copy: Path) -> None:
    """The manifest must list exactly the files in the folder."""
    (copy / "cost.svg").unlink()
    (copy / "extra.txt").write_text("x")
    assert set(verify_folder(copy)) == {
        "cost.svg: in manifest.json but not in the folder",
        "extra.txt: in the folder but not in manifest.json",
    }


def test_a_folder_of_an_earlier_format_is_published_again(copy: Path, without_parts: None) -> None:
    """Verifying an older format says how to convert it; publishing it from itself removes its old pages and tables."""
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "index.html").write_text("an earlier page")
    manifest |= {"schema_version": 1, "files": {**manifest["files"], "index.html": "0"}}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="publish it again"):
        verify_folder(copy)
    publish_results(load_results(copy), copy)
    assert not (copy / "index.html").exists()
    assert verify_folder(copy) == []


def test_unreadable_rows_are_a_difference_not_a_crash(copy: Path) -> None:
    """A damaged table is reported as a difference."""
    (copy / "trials.csv").write_text("nonsense\n1\n")
    assert any(line.startswith("raw rows: ") for line in verify_folder(copy))


def test_what_is_no_leaderboard_is_refused(tmp_path: Path, results: Results) -> None:
    """Verifying an empty folder, publishing over other files and an invalid name are refused."""
    with pytest.raises(InputError, match=r"manifest\.json cannot be read"):
        verify_folder(tmp_path)
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="not a published leaderboard"):
        publish_results(results, tmp_path)
    with pytest.raises(InputError, match="leaderboard"):
        publish_results(results, tmp_path / "new", name="../up")


def test_publishing_again_replaces(copy: Path, without_parts: None) -> None:
    """Files of the previous publication are removed, and a manifest cannot delete files outside its folder."""
    outside = copy.parent / "precious.txt"
    outside.write_text("keep")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["../precious.txt"] = "0"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    publish_results(simulate_results(simulate_trials(3, 1, ("agd",))), copy, name="smaller")
    assert outside.read_text() == "keep"
    assert verify_folder(copy) == []
    assert load_results(copy).sweep.name == "smaller"


def test_an_earlier_publication_survives_a_full_disk(copy: Path, without_parts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk is full, all earlier files are unchanged and nothing else is left, whichever file did not fit."""
    before, results = digests(copy), simulate_results(simulate_trials(3, 1))
    writes = {name: getattr(Path, name) for name in ("write_text", "write_bytes")} | {"to_csv": pd.DataFrame.to_csv}
    left = 0

    def full(write: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(*arguments, **named)

        return wrapped

    with monkeypatch.context() as patch:
        for name, write in writes.items():
            patch.setattr(pd.DataFrame if name == "to_csv" else Path, name, full(write))
        for fits in (0, 1, 5):
            for folder in (copy, copy.parent / "new"):
                left = fits
                with pytest.raises(StorageFullError, match="no space left"):
                    publish_results(results, folder, name="other")
            assert digests(copy) == before
            assert not (copy.parent / "new").exists()


def test_what_a_killed_writer_left_is_cleared_away(copy: Path, results: Results, without_parts: None) -> None:
    """Half-written files of a killed `publish` are removed when the same command runs again."""
    (copy / ".writing-dead" / "data").mkdir(parents=True)
    (copy / ".writing-dead" / "data" / "half.csv").write_text("a,")
    publish_results(results, copy)
    assert not list(copy.glob(".writing-*"))
    assert verify_folder(copy) == []


def test_publishing_into_an_empty_folder_can_be_killed_at_any_file(
    results: Results, tmp_path: Path, without_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before each file is moved into place, the same command completes the folder."""
    publish_results(results, tmp_path / "whole")
    expected, moved = digests(tmp_path / "whole"), [0]
    replace = Path.replace

    def die(path: Path, target: Path) -> Path:
        moved[0] -= 1
        if moved[0] < 0:
            raise KeyboardInterrupt
        return replace(path, target)

    # what a killed process leaves behind: its temporary folder
    monkeypatch.setattr(files, "TemporaryDirectory", lambda prefix, dir: contextlib.nullcontext(tempfile.mkdtemp(prefix=prefix, dir=dir)))
    for count in (0, 1, len(expected) - 1, len(expected)):
        folder = tmp_path / str(count)
        folder.mkdir()
        moved[0] = count
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", die)
            with pytest.raises(KeyboardInterrupt):
                publish_results(results, folder)
        publish_results(results, folder)
        for left in folder.glob(".writing-*"):
            shutil.rmtree(left)
        assert digests(folder) == expected


def test_every_folder_is_listed(copy: Path, tmp_path: Path, without_parts: None) -> None:
    """The index and the site list good, edited and unreadable folders; the site also shows their state."""
    boards = tmp_path / "boards"
    boards.mkdir()
    copy = copy.rename(boards / "first")
    publish_results(simulate_results(simulate_trials(4, 1), name="second"), boards / "second run")
    shutil.copytree(copy, boards / "edited")
    (boards / "edited" / "README.md").write_text("better")
    (boards / "broken").mkdir()
    (boards / "broken" / "manifest.json").write_text("{}")
    page = build_site(boards, tmp_path / "site").with_name("experiments.html").read_text(encoding="utf-8")
    readme = write_index(boards).read_text(encoding="utf-8")
    for text in (page, (boards / "EXPERIMENTS.md").read_text(encoding="utf-8")):
        assert "Cannot be read" in text
        assert "second%20run/" in text
        assert str(boards) not in text
    assert "recomputed" in page
    assert "self-reported" in page
    assert "(2 differences)" in page
    assert "unreadable" in page
    assert "## Enter a board" in readme
    assert "<script>alert" not in page
    with pytest.raises(InputError, match=r"--to .* inside"):
        build_site(boards, boards / "first")


def test_a_site_has_what_folders_leave_out(published: Path, tmp_path: Path) -> None:
    """The site has a page, the tables and the raw rows of every board; building it twice gives identical files."""
    sites = []
    for name in ("one", "two"):
        page = build_site(published.parent, tmp_path / name)
        assert (page.parent / "first" / "index.html").is_file()
        assert (page.parent / "first" / "trials.csv").read_bytes() == (published / "trials.csv").read_bytes()
        assert list(pd.read_csv(page.parent / "first" / "data" / "claims.csv")["state"])
        sites.append({path.relative_to(page.parent): path.read_bytes() for path in page.parent.rglob("*") if path.is_file()})
    assert sites[0] == sites[1]


def test_an_edited_claim_is_found(copy: Path) -> None:
    """Moving a threshold until the claim holds changes its digest, and the published state no longer follows."""
    before = (copy / "claims.toml").read_text(encoding="utf-8")
    (copy / "claims.toml").write_text(before.replace("threshold = -0.02", "threshold = -0.9"), encoding="utf-8")
    _renew(copy)
    differences = verify_folder(copy)
    assert any("claims.toml: the definition of claim agd-accuracy was edited" in line for line in differences)
    assert any(line.startswith("README.md: ") for line in differences)


def test_a_withdrawn_claim_is_found(copy: Path) -> None:
    """Removing or adding a claim is noticed."""
    before = (copy / "claims.toml").read_text(encoding="utf-8")
    (copy / "claims.toml").write_text(before.replace('id = "agd-accuracy"', 'id = "agd-better"'), encoding="utf-8")
    differences = verify_folder(copy)
    assert "claims.toml: claim agd-accuracy was published but is not in the file" in differences
    assert "claims.toml: claim agd-better is in the file but was not published" in differences


def test_an_edited_state_is_found(copy: Path) -> None:
    """A state that does not follow from the raw rows is a difference, even if the digests match."""
    text = (copy / "README.md").read_text(encoding="utf-8")
    (copy / "README.md").write_text(text.replace("- undecided: ", "- holds: ", 1), encoding="utf-8")
    _renew(copy)
    assert [line.split(":")[0] for line in verify_folder(copy)] == ["README.md"]


def test_claims_that_somebody_wrote_stay(copy: Path, results: Results, without_parts: None) -> None:
    """Publishing again keeps claims written by hand; claims about unknown algorithms are refused before any file changes."""
    written = parse_claims(
        (copy / "claims.toml").read_text(encoding="utf-8").replace("at most 2 points", "two points or less"), "claims.toml"
    )
    publish_results(results, copy, claims=written)
    publish_results(results, copy)
    assert read_claims(copy / "claims.toml") == written
    assert verify_folder(copy) == []
    with pytest.raises(InputError, match="claim 'agd-accuracy': unknown baseline 'sgd'"):
        publish_results(simulate_results(simulate_trials(3, 2, ("adamw", "agd"))), copy)
    assert verify_folder(copy) == []


def test_the_page_shows_every_claim_with_its_state_and_digest(published: Path, tmp_path: Path) -> None:
    """The page shows each claim's sentence, state, sign and digest; the list counts the states."""
    index = build_site(published.parent, tmp_path).with_name("experiments.html").read_text(encoding="utf-8")
    page = (tmp_path / "first" / "index.html").read_text(encoding="utf-8")
    claims = read_claims(published / "claims.toml").claims
    table = pd.read_csv(tmp_path / "first" / "data" / "claims.csv")
    assert len(claims) == len(table) == 3
    for claim, state in zip(claims, table["state"], strict=True):
        assert claim.sentence in page
        assert claim.digest in page
        assert f"{SIGNS[state]}</span> {state}</strong> {claim.sentence}" in page
    assert all(part in index.replace("\N{NO-BREAK SPACE}", " ") for part in count_states(table).split(", "))


def test_claims_on_the_command_line(
    copy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Exit code 0 if all hold, 1 if any fails or is undecided, 2 for a bad file; JSON for scripts."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["agd-bench", "claims", str(copy), *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    written = tmp_path / "mine.toml"
    text = format_claims(Claims(claims=read_claims(copy / "claims.toml").claims[:1]))
    written.write_text(text.replace("-0.02", "-0.9"), encoding="utf-8")
    code, out, _ = run("--claims", str(written))
    assert code == 0
    assert out.endswith("✓ 1 holds\n")
    written.write_text(text.replace("-0.02", "0.9"), encoding="utf-8")
    code, out, _ = run("--claims", str(written), "--json")
    assert code == 1
    assert json.loads(out)[0]["state"] == "fails"
    assert run()[0] == 1
    written.write_text(text.replace("threshold", "treshold"), encoding="utf-8")
    code, out, err = run("--claims", str(written))
    assert code == 2
    assert "mine.toml, line " in err


def test_an_empty_index_says_so(tmp_path: Path) -> None:
    """Without any leaderboard, both lists are written, without a table."""
    readme = write_index(tmp_path / "boards")
    assert "| leaderboard |" not in readme.read_text(encoding="utf-8")
    assert "| leaderboard |" not in readme.with_name("EXPERIMENTS.md").read_text(encoding="utf-8")


def test_experiments_lead_to_reproductions(tmp_path: Path) -> None:
    """The list of experiments links to the reproductions only if there are any."""
    boards = tmp_path / "boards"

    def lists() -> tuple[str, str]:
        readme, page = write_index(boards), build_site(boards, tmp_path / "site")
        return readme.with_name("EXPERIMENTS.md").read_text(encoding="utf-8"), page.with_name("experiments.html").read_text(
            encoding="utf-8"
        )

    assert "(reproductions/README.md)" not in lists()[0]
    assert "reproductions/index.html" not in lists()[1]
    (boards / "reproductions").mkdir()
    (boards / "reproductions" / "README.md").write_text("pages")
    assert "(reproductions/README.md)" in lists()[0]
    assert 'href="reproductions/index.html"' in lists()[1]


def _renew(folder: Path, **summary: str) -> None:
    """Write a manifest that fits the edited files, as a forger would, with changes to its summary."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"files": digests(folder), "summary": manifest["summary"] | summary}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_what_optimizers_said_is_published_where_there_is_any(results: Results, tmp_path: Path, without_parts: None) -> None:
    """Diagnostics are published, read back and verified like other raw rows."""
    trial = str(results.trials.loc[results.trials["purpose"] == "final", "trial_id"].iloc[0])
    said = pd.DataFrame({"trial_id": [trial], "epoch": [1], "name": ["eta/mean"], "value": [0.25]})
    folder = publish_results(replace(results, diagnostics=said), tmp_path / "board")
    assert load_results(folder).diagnostics.to_dict("records") == said.to_dict("records")
    assert verify_folder(folder) == []
    publish_results(results, folder)
    assert not (folder / "diagnostics.csv").exists()


@pytest.mark.parametrize("command", ["run", "plan", "merge", "search", "report", "claims", "export", "publish", "verify", "freeze"])
def test_a_published_sweep_cannot_name_code(
    tmp_path: Path, published: Path, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No command imports code from a published folder, even if the folder's sweep names plug-in folders."""
    folder = tmp_path / "stranger"
    shutil.copytree(published, folder)
    spaces = folder / "spaces"
    spaces.mkdir()
    (spaces / "nas_bench_201.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    sweep = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    (folder / "sweep.json").write_text(json.dumps({**sweep, "folders": {"search_spaces": ["spaces"]}}), encoding="utf-8")
    arguments = {
        "run": ["run", str(folder / "sweep.json"), "--executor", "in-process", "--out", str(tmp_path / "run")],
        "plan": ["plan", str(folder / "sweep.json")],
        "merge": ["merge", str(folder), "--to", str(tmp_path / "merged")],
        "publish": ["publish", str(folder), "--to", str(tmp_path / "again")],
        "freeze": ["freeze", str(folder / "sweep.json"), "--to", str(tmp_path / "board")],
    }.get(command, [command, str(folder)])
    monkeypatch.setattr("sys.argv", ["agd-bench", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in (1, 2, 3)
    assert "plug-in folders" in "".join(capsys.readouterr())
    assert not (tmp_path / "ran").exists()
