"""The built-in sweeps: one TOML file each, named by its file."""

from __future__ import annotations

from pathlib import Path

from agd_bench.errors import UnknownNameError
from agd_bench.records import Sweep, read_sweep


def builtin_sweeps() -> dict[str, Path]:
    """The built-in sweeps' files by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.toml"))}


def open_sweep(name_or_file: str) -> Sweep:
    """A built-in sweep by name, or the sweep in a file.

    Args:
        name_or_file: anything with a suffix or a folder in it is a file's path, all else a built-in name.

    Raises:
        UnknownNameError: no built-in sweep of that name, and no file either.
        SweepError: the file is malformed.
    """
    path = Path(name_or_file)
    if path.suffix or path.is_file() or len(path.parts) > 1:
        return read_sweep(path)
    known = builtin_sweeps()
    if name_or_file not in known:
        raise UnknownNameError("sweep", name_or_file, known, advice="A sweep of your own is given by its file, for example sweep.toml.")
    return read_sweep(known[name_or_file])
