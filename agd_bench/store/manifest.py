"""The manifest of a published folder: the SHA-256 of each of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from agd_bench.errors import StoreDamagedError

MANIFEST = "manifest.json"


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of the folder but the manifest, by path relative to it; links are left out."""
    # a link may lead out of the folder, to files that are not published with it
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: file_digest(path) for name, path in named.items() if name != MANIFEST}


def file_digest(path: Path) -> str:
    """SHA-256 of one file, as `digests` has it."""
    return hashlib.sha256(_with_plain_ends(path.read_bytes())).hexdigest()


def _with_plain_ends(content: bytes) -> bytes:
    """A text with `\\n` at the ends of its lines; a binary file, which git too knows by its zero bytes, as it is."""
    # a checkout or a mail program may have changed the line ends, which is no change of the results
    return content if b"\0" in content else content.replace(b"\r\n", b"\n")


def check_digests(folder: Path, names: Iterable[str]) -> None:
    """Make sure that files are those of the folder's manifest; a folder without one says nothing of its files.

    Args:
        folder: a published folder, or an export.
        names: files in it, by path relative to it.

    Raises:
        StoreDamagedError: a file that was changed or added since, or a manifest that cannot be read.
    """
    if not (folder / MANIFEST).exists():
        return
    try:
        stated = dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"])
        # a file that the manifest does not list was added later, and counts as changed
        changed = [name for name in names if stated.get(name) != file_digest(folder / name)]
    # deeply nested JSON raises RecursionError; the file comes from others
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreDamagedError(f"{folder}: {MANIFEST} cannot be read ({type(error).__name__}); restore the folder") from None
    if changed:
        raise StoreDamagedError(
            f"{folder}: {', '.join(changed)} changed since it was published; restore the folder, or see `agd-bench verify {folder}`"
        )


def require_manifest(folder: Path) -> None:
    """Make sure that a folder says what its files have to be, before its results become part of a run.

    Raises:
        StoreDamagedError: it has no manifest.
    """
    if not (folder / MANIFEST).is_file():
        raise StoreDamagedError(
            f"{folder}: no {MANIFEST}, so nothing shows that its rows are those that were published; "
            "give the run's own folder, or one that `agd-bench publish` wrote"
        )
