"""The built-in sweeps: one TOML file each, named by its file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agd_bench.errors import UnknownNameError
from agd_bench.records import Sweep, read_sweep


def builtin_sweeps() -> dict[str, Path]:
    """The built-in sweeps' files by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.toml"))}


def open_sweep(name_or_file: str | Path, changes: Sequence[str] = ()) -> Sweep:
    """A built-in sweep by name, or the sweep in a file.

    Args:
        name_or_file: anything with a suffix or a folder in it is the path of a file, everything else a built-in name.
        changes: `KEY=VALUE` assignments that replace what the sweep says, see `records.sweep_files.change`.

    Raises:
        UnknownNameError: no built-in sweep of that name, and no file either.
        SweepError: the file is malformed.
    """
    path = Path(name_or_file).expanduser()
    if path.suffix or path.is_file() or len(path.parts) > 1:
        return read_sweep(path, changes)
    known = builtin_sweeps()
    if str(name_or_file) not in known:
        raise UnknownNameError("sweep", str(name_or_file), known, advice="Give a sweep of your own by its file, for example sweep.toml.")
    return read_sweep(known[str(name_or_file)], changes)
