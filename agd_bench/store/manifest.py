"""The manifest of a published folder: the SHA-256 of each of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from agd_bench.errors import StoreDamagedError

MANIFEST = "manifest.json"


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of the folder except the manifest, by relative path; links are left out."""
    # a link may lead outside the folder, to files that are not published
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: file_digest(path) for name, path in named.items() if name != MANIFEST}


def file_digest(path: Path) -> str:
    """SHA-256 of one file, as in `digests`."""
    return hashlib.sha256(_with_plain_ends(path.read_bytes())).hexdigest()


def _with_plain_ends(content: bytes) -> bytes:
    """Normalise line ends to `\\n`; leave binary files, recognised by zero bytes as in git, unchanged."""
    # a checkout or a mail program may change line ends, which does not change the results
    return content if b"\0" in content else content.replace(b"\r\n", b"\n")


def check_digests(folder: Path, names: Iterable[str]) -> None:
    """Check that files match the folder's manifest, if it has one.

    Args:
        folder: a published folder, or an export.
        names: files in it, by relative path.

    Raises:
        StoreDamagedError: a file was changed or added since, or the manifest cannot be read.
    """
    if not (folder / MANIFEST).exists():
        return
    try:
        stated = dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"])
        # a file missing from the manifest was added later and counts as changed
        changed = [name for name in names if stated.get(name) != file_digest(folder / name)]
    # deeply nested JSON raises RecursionError; the file may come from a third party
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreDamagedError(f"{folder}: {MANIFEST} cannot be read ({type(error).__name__}); restore the folder") from None
    if changed:
        raise StoreDamagedError(
            f"{folder}: {', '.join(changed)} changed since it was published; restore the folder, or see `agd-bench verify {folder}`"
        )


def require_manifest(folder: Path) -> None:
    """Check that a folder has a manifest before its results become part of a run.

    Raises:
        StoreDamagedError: it has no manifest.
    """
    if not (folder / MANIFEST).is_file():
        raise StoreDamagedError(
            f"{folder}: no {MANIFEST}, so it cannot be checked that its rows are the published ones; "
            "pass the run's folder, or one written by `agd-bench publish`"
        )
