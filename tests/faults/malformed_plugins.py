"""Plug-ins that violate their protocol, for `check` and for a sweep that uses them, and strings that are not architectures."""

# ruff: noqa: E501 (tables of inputs)

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from agd_bench import api, plugins
from agd_bench.planning.planner import Folders
from tests.faults.inputs import Case, command, harmless, refused
from tests.faults.malformed_sweeps import SWEEP

SPACE = '''"""A space."""
import numpy as np
from torch import nn
def sample(rng):
    return str(rng.integers(4, 9))
def build(architecture, in_channels, num_classes):
    layers = [nn.Flatten(), nn.Linear(in_channels * 16, int(architecture)), nn.ReLU(), nn.Linear(int(architecture), num_classes)]
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), *layers)
'''
DRAW, NETWORK = "str(rng.integers(4, 9))", "    return nn.Sequential"
BROKEN: dict[str, str | bytes] = {
    "nothing": "", "syntax": "def f(:\n", "raises": SPACE + "raise RuntimeError('no\\nway')\n", "exits": SPACE + "raise SystemExit(3)\n",
    "interrupts": SPACE + "raise KeyboardInterrupt\n", "missing package": "import not_there\n" + SPACE, "bytes": b"\xff\xfe\x00\x01", "zero": b"x = 1\x00",
    "no build": SPACE.replace("def build", "def built"), "build is a value": SPACE + "build = 3\n", "sample takes nothing": SPACE.replace("(rng)", "()"),
    "build wants more": SPACE.replace("num_classes):", "num_classes, more):"), "sample gives a number": SPACE.replace("return str(", "return int("),
    "sample gives nothing": SPACE.replace(f"return {DRAW}", "return None"), "sample raises": SPACE.replace("return str(", "raise ValueError('x'); return str("),
    "sample ignores its generator": SPACE.replace("rng.integers", "np.random.randint"), "defect gives a number": SPACE + "def defect(a):\n    return 5\n",
    "defect raises": SPACE + "def defect(a):\n    raise RuntimeError('x')\n", "options are a number": SPACE + "OPTIONS = 5\n",
    "canonical gives nothing": SPACE + "def canonical(a):\n    return None\n", "lists nothing": SPACE + "def architectures():\n    return None\n",
    "lists numbers": SPACE + "def architectures():\n    return [1, 2, 3]\n", "build gives nothing": SPACE.replace(NETWORK, "    return None and nn.Sequential"),
    "build exits": SPACE.replace(NETWORK, f"    raise SystemExit(0)\n{NETWORK}"), "size is a text": SPACE + "def size(a, c, n, i):\n    return 'big'\n",
    "graph gives nothing": SPACE + "def graph(a):\n    return None\n", "too many logits": SPACE.replace("num_classes)]", "num_classes + 1)]"),
}  # fmt: skip
ODD = ["", " ", "\n", "\0", "x", "-1", "0", "1e9", "nan", "None", "[]", "{}", "'", "../..", "\u00e9", "\u65e5", "\u202e", "\u0661\u0662", "\u00b2x\u00b3", "1" * 5000,
       "|" * 500, "+" * 100, "(" * 1000, "__import__('os').abort()", "9" * 400, "64x64\n", "-1x-1", "0x0", "1_000x2"]  # fmt: skip


def cases() -> Iterator[Case]:
    """Yield every listed plug-in for `check` and for a plan, which may accept faults that only appear in training."""
    for name, content in BROKEN.items():
        raw = content if isinstance(content, bytes) else content.encode()
        yield Case(
            "broken plug-in",
            f"check: {name}",
            partial(_check, raw),
            lambda said: "" if "FAIL" in said else "accepted",
        )
        yield Case("broken plug-in", f"plan: {name}", partial(_plan, raw), harmless)
    yield Case("broken plug-in", "check: none", lambda folder: command("check", "nowhere.py"), refused)


def odd_architecture(rng: random.Random) -> Case:
    """Return an odd string for a function of a built-in search space, which must raise ValueError or return."""
    name, source = rng.choice(sorted(plugins.find("search_spaces").items()))
    space: Any = plugins.load_source(source)
    small = getattr(space, "SMALL", {})
    sound = space.sample(np.random.default_rng(rng.randrange(2**32)))
    text = rng.choice(ODD) if rng.random() < 0.3 else _mutated(sound, rng)
    functions: dict[str, Callable[[str], object]] = {"build": lambda given: space.build(given, 1, 10, **small)}
    for function in ("canonical", "defect", "features", "cell"):
        if hasattr(space, function):
            functions[function] = getattr(space, function)
    function = rng.choice(sorted(functions))

    def act(folder: Path) -> object:
        try:
            return functions[function](text)
        except ValueError:
            return None

    return Case("odd architecture", f"{name}.{function}({text[:60]!r})", act, harmless)


def _mutated(text: str, rng: random.Random) -> str:
    place, letters = rng.randrange(len(text)), "0123456789|+~x-_ ,.ab\n\u00e9"
    return rng.choice(
        [
            text[:place] + text[place + 1 :],
            text[:place] + rng.choice(letters) + text[place:],
            text[:place],
            text + text[place:],
            text.upper(),
            text + "\n",
        ]
    )


def _folders(folder: Path, content: bytes) -> Folders:
    (folder / "mine").mkdir()
    (folder / "mine" / "spaced.py").write_bytes(content)
    return {"search_spaces": (folder / "mine",), "algorithms": (), "datasets": ()}


def _check(content: bytes, folder: Path) -> str:
    _folders(folder, content)
    return command("check", "mine/spaced.py", fine=(0, 1))


def _plan(content: bytes, folder: Path) -> object:
    (folder / "sweep.toml").write_text(SWEEP.replace("nas_bench_201", "spaced").replace("options = { channels = 4, cells = 1 }\n", ""))
    return api.plan("sweep.toml", _folders(folder, content))
