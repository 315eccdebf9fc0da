"""Create a working plug-in or sweep from a template.

The templates are valid plug-ins, so linters, type checkers and the conformance kit check them too.
"""

from __future__ import annotations

import datetime
import keyword
import re
from collections.abc import Mapping
from pathlib import Path

from agd_bench import plugins
from agd_bench.errors import InputError
from agd_bench.store import written_beside
from agd_bench.sweeps import builtin_sweeps

FILES = {"plugin.py": "{name}.py", "promises.py": "tests/test_{name}.py", "sweep.toml": "{name}.toml"}
"""Target of each template; `algorithms_plugin.py` is the plug-in of algorithms. The test goes to its own folder:
files next to a plug-in count as plug-ins."""


def scaffold(kind: plugins.Kind, name: str, folder: Path) -> list[Path]:
    """Write a plug-in, its test and, unless it is a search method, a sweep that uses it.

    Args:
        kind: the kind of plug-in.
        name: its name, a Python name in lower case.
        folder: where to write; created if it does not exist.

    Returns:
        Paths of the plug-in, its test and the sweep, if there is one.

    Raises:
        InputError: the name is invalid or taken, or a file exists.
    """
    what = "search method" if kind == "searchers" else kind.replace("_", " ").removesuffix("s")
    _check_name(what, name)
    other = plugins.find(kind).get(name)
    if other is not None:
        raise InputError(f"{name!r} is already the name of a {what}: {other.path} (from {other.origin}); choose another one")
    templates = {target.format(name=name): Path(__file__).with_name(f"{kind}_{template}") for template, target in FILES.items()}
    words = {"TEMPLATE_NAME": name, "TEMPLATE_YEAR": str(datetime.date.today().year)}
    return _write({target: template for target, template in templates.items() if template.exists()}, folder, words)


def scaffold_sweep(name: str, folder: Path) -> Path:
    """Write a sweep with a comment on each setting.

    Args:
        name: of the file and of the run folder.
        folder: where to write; created if it does not exist.

    Returns:
        Path of the sweep.

    Raises:
        InputError: the name is invalid or that of a built-in sweep, or the file exists.
    """
    _check_name("sweep", name)
    if name in builtin_sweeps():
        raise InputError(f"{name!r} is already the name of a built-in sweep; choose another one")
    return _write({f"{name}.toml": Path(__file__).parent / "sweep.toml"}, folder, {"TEMPLATE_NAME": name})[0]


def _check_name(what: str, name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        likely = re.sub(r"\W+", "_", name.lower()).strip("_")
        guess = f", for example {likely}" if likely[:1].isalpha() and not keyword.iskeyword(likely) else ""
        raise InputError(f"invalid name {name!r} for a {what}; use lower-case letters, digits and _, starting with a letter{guess}")


def _write(files: Mapping[str, Path], folder: Path, words: Mapping[str, str]) -> list[Path]:
    """Fill in templates and write all of them into a folder, or none if another file is in the way. `files` maps targets to templates."""
    texts = {path: _fill(template, words) for path, template in files.items()}
    # equal files are left by a call that was killed, and no reason to refuse the next one
    existing = next((path for path, text in texts.items() if (folder / path).exists() and not _holds(folder / path, text)), None)
    if existing is not None:
        raise InputError(f"{folder / existing} already exists; choose another name, or another folder with --to")
    with written_beside(folder) as beside:
        for path, text in texts.items():
            (beside / path).parent.mkdir(exist_ok=True)
            (beside / path).write_text(text, encoding="utf-8", newline="\n")
    return [folder / path for path in texts]


def _fill(template: Path, words: Mapping[str, str]) -> str:
    text = template.read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()
