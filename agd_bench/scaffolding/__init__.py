"""Create a working plug-in or a sweep from a template.

The templates of plug-ins are plug-ins themselves, so they are linted, typed and checked like all others.
"""

from __future__ import annotations

import datetime
import keyword
import re
from collections.abc import Mapping
from pathlib import Path

from agd_bench import plugins
from agd_bench.errors import InputError
from agd_bench.sweeps import builtin_sweeps

FILES = {"plugin.py": "{name}.py", "promises.py": "tests/test_{name}.py", "sweep.toml": "{name}.toml"}
"""The templates of each kind, and what is written of them. A test may not lie beside the plug-in: every file there is a plug-in."""


def scaffold(kind: plugins.Kind, name: str, folder: Path) -> list[Path]:
    """Write a plug-in, its test and a sweep that uses it.

    Args:
        kind: the kind of plug-in.
        name: its name, a Python name in lower case.
        folder: where to write; created if missing.

    Returns:
        The files: the plug-in, its test, the sweep.

    Raises:
        InputError: an unusable name, the name of another plug-in, or a file that exists.
    """
    what = kind.replace("_", " ").removesuffix("s")
    _check_name(what, name)
    other = plugins.find(kind).get(name)
    if other is not None:
        raise InputError(f"{name!r} is already the name of a {what}: {other.path} (from {other.origin}); choose another name")
    targets = {template: folder / target.format(name=name) for template, target in FILES.items()}
    words = {"TEMPLATE_NAME": name, "TEMPLATE_YEAR": str(datetime.date.today().year)}
    return _write({path: Path(__file__).parent / kind / template for template, path in targets.items()}, words)


def scaffold_sweep(name: str, folder: Path) -> Path:
    """Write a sweep with a comment on each setting.

    Args:
        name: names the file and the run folder.
        folder: where to write; created if missing.

    Returns:
        The file.

    Raises:
        InputError: an unusable name, the name of a built-in sweep, or a file that exists.
    """
    _check_name("sweep", name)
    if name in builtin_sweeps():
        raise InputError(f"{name!r} is already the name of a built-in sweep; choose another name")
    return _write({folder / f"{name}.toml": Path(__file__).parent / "sweep.toml"}, {"TEMPLATE_NAME": name})[0]


def _check_name(what: str, name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        likely = re.sub(r"\W+", "_", name.lower()).strip("_")
        guess = f", for example {likely}" if likely[:1].isalpha() and not keyword.iskeyword(likely) else ""
        raise InputError(f"{name!r} cannot name a {what}; use lower-case letters, digits and _, starting with a letter{guess}")


def _write(files: Mapping[Path, Path], words: Mapping[str, str]) -> list[Path]:
    """Fill templates and write them, all or none; `files` maps each target to its template."""
    existing = next((path for path in files if path.exists()), None)
    if existing is not None:
        raise InputError(f"{existing} exists and is not overwritten; choose another name, or another folder with --to")
    for path, template in files.items():
        text = template.read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    return list(files)
