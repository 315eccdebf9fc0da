"""Damaged, truncated or edited folders, exports and databases are rejected, found by `verify`, or have exactly the same data."""

# ruff: noqa: E501 (tables of inputs)

from __future__ import annotations

import csv
import json
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from agd_bench import api
from agd_bench.claims import evaluate_claims, find_claims
from agd_bench.errors import InputError
from agd_bench.leaderboard import publish_results, verify_folder
from agd_bench.store import Results, export, load_results
from agd_bench.store.database import FILE
from agd_bench.store.manifest import MANIFEST, digests
from agd_bench.tables import aggregation
from tests.faults import drivers
from tests.faults.inputs import Case, harmless, refused

PAGE = 4096
"""Size of an SQLite page in bytes."""
Edit = Callable[[Path], object]
CELLS: dict[str, list[str]] = {
    "test_accuracy": ["2.0", "-1", "nan", "inf", "1e400", "text", "", "0x10"], "val_accuracy": ["7"], "seed": ["-1", "1.5", "9" * 20, ""],
    "status": ["won", "", "running"], "trial_id": ["", "../../x", "zzz"], "charged_seconds": ["-1", "nan", "1e300"], "flops": ["-5", "9" * 19],
    "architecture": ["<script>alert(1)</script>", "", "\n\n"], "algorithm": ["intruder", ""], "position": ["-1", "1"],
    "epochs": ["0", "1000000"], "attempts": ["-1", "1000000000"], "representative": ["f" * 16], "purpose": ["fun"], "dataset": ["../x"],
    "profile": ["none"], "dataset_share": ["7", "0"], "parameters": ["-1"], "hyperparameters": ["{not json", "[1]"],
}  # fmt: skip
"""Invalid values for a cell of `trials.csv`."""
CLASSES: dict[str, bytes] = {
    "digit": b"0123456789", "letter": b"abcdefABCDEF", "comma": b",", "line end": b"\n", "quote": b'"', "point": b".", "minus": b"-",
    "brace": b"{}[]", "space": b" ", "colon": b":", "other": b"<>/#|~+_=",
}  # fmt: skip
"""Bytes of a published file by class: of each class in each file, some are changed."""
REPLACEMENTS = {"NUL": b"\0", "a digit": b"7", "a line end": b"\n", "a comma": b",", "a quote": b'"', "no UTF-8": b"\xff"}
"""What some bytes of each file are replaced by."""


class Sources:
    """A tiny run, its export and its publication, with the results of each.

    Args:
        folder: a new folder for them.
    """

    def __init__(self, folder: Path) -> None:
        drivers.warm_up(folder)
        aggregation.FEWEST_RESAMPLES = aggregation.MOST_RESAMPLES = 100
        self.run, self.exported, self.board = folder / "run", folder / "export", folder / "board"
        self.results = load_results(self.run)
        export(self.results, self.exported)
        publish_results(self.results, self.board)
        self.published = load_results(self.board)

    def cases(self) -> Iterator[Case]:
        """Yield every listed edit of a publication for every reader, damage to every page of the database, and to each class of bytes."""
        for name, edit in self._edits():
            for reader in READERS:
                if reader == "verify, forged" and name.startswith(MANIFEST):
                    continue  # this reader would replace the manifest
                yield Case("edited folder", f"{reader}: {name}", self._edited(edit, reader), harmless if name in FINE else refused)
        yield from self._pages()
        for path in sorted(self.board.iterdir()):
            content = path.read_bytes()
            for kind, letters in CLASSES.items():
                places = [place for place, byte in enumerate(content) if byte in letters]
                for place in places[:: max(1, len(places) // 3)][:3]:
                    yield self._changed(path.name, place, bytes([content[place] ^ 1 << place % 7]), f"{kind} changed")
            for kind, letter in REPLACEMENTS.items():
                for place in range(0, len(content), len(content) // 3 + 1):
                    yield self._changed(path.name, place, letter, f"replaced by {kind}")

    def damaged(self, rng: random.Random) -> Case:
        """Return a random case: a truncated table, a changed byte of a published file, or a damaged page of the database."""
        how = rng.randrange(3)
        if how == 0:
            path = rng.choice(sorted(self.exported.glob("*.csv")))
            return self._cut(path.name, rng.randrange(path.stat().st_size))
        if how == 1:
            path = rng.choice(sorted(self.board.iterdir()))
            place = rng.randrange(path.stat().st_size)
            return self._changed(path.name, place, bytes([path.read_bytes()[place] ^ 1 << rng.randrange(8)]), "changed at random")
        pages = (self.run / FILE).stat().st_size // PAGE
        return self._page(rng.randrange(pages), rng.choice(list(DAMAGES)), rng.randrange(2**32))

    def _edits(self) -> Iterator[tuple[str, Edit]]:
        for name in ("sweep.json", "meta.json", "trials.csv", "curves.csv", "attempts.csv"):
            content = (self.board / name).read_bytes()
            yield f"{name} is missing", partial(_remove, name)
            yield f"{name} is cut", partial(_write, name, content[: -(10 + len(name))])
            yield f"{name} is garbage", partial(_write, name, b"\x00\x01\xff\xfe" * 100)
            yield f"{name} is empty", partial(_write, name, b"")
            yield f"{name} is a folder", partial(_make_folder, name)
        for text in ("[]", "[" * 100000, '{"files": [1, 2]}', '{"files": "x"}', '{"files": {"../../x": "0"}, "schema_version": 2}', ""):
            yield f"{MANIFEST} is {text[:40]!r}", partial(_write, MANIFEST, text.encode())
        for key in ("plugin_digests", "versions", "devices", "planned_trials"):
            for value in ("nonsense", "[[1]]", "7"):
                yield f"meta.json: {key} is {value}", partial(_set_json, "meta.json", key, value)
        rows = _rows(self.board / "trials.csv")
        yield "meta.json is deep", partial(_write, "meta.json", b"[" * 100000)
        yield "a trial is missing", partial(_write_rows, "trials.csv", rows[:-1])
        yield "a trial is there twice", partial(_write_rows, "trials.csv", [*rows, rows[-1]])
        yield "a point is missing", partial(_write_rows, "curves.csv", _rows(self.board / "curves.csv")[:-1])
        yield "a header is missing", partial(_write_rows, "trials.csv", rows[1:])
        yield "a short row", partial(_write_rows, "trials.csv", [*rows, ["x", "y"]])
        yield "other seeds", partial(_set_json, "sweep.json", "seeds", [0, 1, 2])
        yield "other line ends", partial(_write, "trials.csv", (self.board / "trials.csv").read_bytes().replace(b"\n", b"\r\n"))
        for column, values in CELLS.items():
            for value in values:
                yield f"{column} is {value[:20]!r}", partial(_set_cell, "trials.csv", column, value)
        for column, value in (("seconds", "-5"), ("outcome", "<script>"), ("provenance", "[1, 2]"), ("provenance", "{not json")):
            yield f"{column} is {value!r}", partial(_set_cell, "attempts.csv", column, value)

    def _edited(self, edit: Edit, reader: str) -> Callable[[Path], object]:
        def act(folder: Path) -> object:
            shutil.copytree(self.board, folder / "board")
            edit(folder / "board")
            return READERS[reader](folder / "board", self)

        return act

    def _pages(self) -> Iterator[Case]:
        for page in range((self.run / FILE).stat().st_size // PAGE):
            for name in DAMAGES:
                yield self._page(page, name, page)

    def _page(self, page: int, name: str, seed: int) -> Case:
        def act(folder: Path) -> Results:
            content = bytearray((self.run / FILE).read_bytes())
            DAMAGES[name](content, page * PAGE, random.Random(seed))
            (folder / FILE).write_bytes(bytes(content))
            return load_results(folder)

        return Case(f"page of a database: {name}", f"page {page}, seed {seed}", act, lambda found: _unequal(found, self.results))

    def _changed(self, name: str, place: int, letter: bytes, how: str) -> Case:
        def act(folder: Path) -> object:
            shutil.copytree(self.board, folder / "board")
            content = bytearray((self.board / name).read_bytes())
            content[place : place + 1] = letter
            (folder / "board" / name).write_bytes(bytes(content))
            # the quicker one first: what it refuses need not be recomputed
            found = load_results(folder / "board")
            return None if verify_folder(folder / "board") else found

        def accept(found: Results | None) -> str:
            return "" if found is None else _unequal(found, self.published)

        return Case(f"byte of a published file: {how}", f"{name}, byte {place}", act, accept)

    def _cut(self, name: str, end: int) -> Case:
        def act(folder: Path) -> Results:
            shutil.copytree(self.exported, folder / "export")
            _write(name, (self.exported / name).read_bytes()[:end], folder / "export")
            return load_results(folder / "export")

        return Case("table cut off", f"{name} after {end} bytes", act, lambda found: _unequal(found, self.results))


def _verify(folder: Path, sources: Sources) -> object:
    """Raise an error if `verify` finds a difference, as its exit code reports."""
    differences = verify_folder(folder)
    if differences:
        raise InputError(differences[0][:500])
    return folder


def _verify_forged(folder: Path, sources: Sources) -> object:
    """Do the same after updating the digests in the manifest, as a forger would."""
    stated = json.loads((sources.board / MANIFEST).read_text())
    _write(MANIFEST, json.dumps(stated | {"files": digests(folder)}).encode(), folder)
    return _verify(folder, sources)


def _claims(folder: Path, sources: Sources) -> object:
    results = load_results(folder)
    return evaluate_claims(results, find_claims(None, folder, results.sweep))


READERS: dict[str, Callable[[Path, Sources], object]] = {
    "load": lambda folder, sources: load_results(folder),
    "verify": _verify,
    "verify, forged": _verify_forged,
    "claims": _claims,
    "merge": lambda folder, sources: api.merge([folder], "merged"),
    "run --from": lambda folder, sources: api.run(sources.results.sweep, "run", start_from=[folder], executor="in-process", device="cpu"),
}
FINE = {"other line ends"}
"""Edits that change nothing."""


def _zero(content: bytearray, at: int, rng: random.Random) -> None:
    content[at : at + PAGE] = bytes(PAGE)


def _garbage(content: bytearray, at: int, rng: random.Random) -> None:
    content[at : at + PAGE] = rng.randbytes(PAGE)


def _half(content: bytearray, at: int, rng: random.Random) -> None:
    content[at + PAGE // 2 : at + PAGE] = rng.randbytes(PAGE // 2)


def _another(content: bytearray, at: int, rng: random.Random) -> None:
    other = rng.randrange(len(content) // PAGE) * PAGE
    content[at : at + PAGE] = content[other : other + PAGE]


def _header(content: bytearray, at: int, rng: random.Random) -> None:
    content[at + rng.randrange(8)] ^= 1 << rng.randrange(8)


def _lose_rest(content: bytearray, at: int, rng: random.Random) -> None:
    del content[at + rng.randrange(PAGE) :]


DAMAGES = {"zeros": _zero, "garbage": _garbage, "half garbage": _half, "another page": _another, "header": _header, "end lost": _lose_rest}
"""What can happen to a page, given the content of the file and the offset of the page."""


def _unequal(found: Results, expected: Results) -> str:
    """Return which tables of two results differ, or an empty string."""
    tables = ("trials", "curves", "attempts", "diagnostics")
    unlike = [name for name in tables if not getattr(found, name).equals(getattr(expected, name))]
    return f"accepted with other {', '.join(unlike)}" if unlike or found.sweep != expected.sweep else ""


def _remove(name: str, folder: Path) -> None:
    (folder / name).unlink()


def _make_folder(name: str, folder: Path) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()


def _write(name: str, content: bytes, folder: Path) -> None:
    (folder / name).write_bytes(content)


def _set_json(name: str, key: str, value: Any, folder: Path) -> None:
    _write(name, json.dumps({**json.loads((folder / name).read_text()), key: value}).encode(), folder)


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def _write_rows(name: str, rows: list[list[str]], folder: Path) -> None:
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _set_cell(name: str, column: str, value: str, folder: Path) -> None:
    rows = _rows(folder / name)
    rows[1][rows[0].index(column)] = value
    _write_rows(name, rows, folder)
