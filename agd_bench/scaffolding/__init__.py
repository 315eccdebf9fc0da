"""Write a working plug-in to begin with: the file, its test, and a sweep that compares it.

The templates beside this file are plug-ins themselves, so that they are linted, typed and checked like the others; what is written is a
template with its name and the year put in.
"""

from __future__ import annotations

import datetime
import keyword
import re
from pathlib import Path

from agd_bench import plugins
from agd_bench.errors import InputError

FILES = {"plugin.py": "{name}.py", "promises.py": "tests/test_{name}.py", "sweep.toml": "{name}.toml"}
"""The templates of each kind, and what is written of them. A test may not lie beside the plug-in: every file there is a plug-in."""


def scaffold(kind: plugins.Kind, name: str, folder: Path) -> list[Path]:
    """Write a plug-in, its test and a sweep that uses it.

    Args:
        kind: which kind.
        name: the plug-in's, a Python name in small letters.
        folder: where to; made if it is not there.

    Returns:
        What was written: the plug-in, its test, the sweep.

    Raises:
        InputError: a name that cannot be one or that a plug-in has already, or a file that is there.
    """
    what = kind.replace("_", " ").removesuffix("s")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        likely = re.sub(r"\W+", "_", name.lower()).strip("_")
        guess = f", for example {likely}" if likely[:1].isalpha() and not keyword.iskeyword(likely) else ""
        raise InputError(f"{name!r} cannot name a {what}; use small letters, digits and _, and begin with a letter{guess}")
    other = plugins.find(kind).get(name)
    if other is not None:
        raise InputError(f"{name!r} is the name of a {what} already: {other.path} (from {other.origin}); choose another name")
    targets = {template: folder / target.format(name=name) for template, target in FILES.items()}
    there = next((path for path in targets.values() if path.exists()), None)
    if there is not None:
        raise InputError(f"{there} is there already, and nothing is overwritten; choose another name, or another folder by --to")
    words = {"TEMPLATE_NAME": name, "TEMPLATE_YEAR": str(datetime.date.today().year)}
    for template, path in targets.items():
        text = (Path(__file__).parent / kind / template).read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(targets.values())
