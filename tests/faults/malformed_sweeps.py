"""Sweeps with wrong types and values, unknown, repeated and missing keys, and damaged text, as TOML and as JSON."""

# ruff: noqa: E501 (tables of inputs)

from __future__ import annotations

import copy
import json
import random
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from agd_bench import api
from tests.faults.inputs import Case, harmless, refused

SWEEP = """
name = "fuzzed"
epochs = 1
batch_size = 32
seeds = 2
[[search_spaces]]
name = "nas_bench_201"
architectures = 2
options = { channels = 4, cells = 1 }
[[datasets]]
name = "digits"
share = 0.05
[[algorithms]]
name = "sgd"
hyperparameters = { learning_rate = 0.1 }
[[algorithms]]
name = "sgd_tuned"
tuning_trials = 2
"""
WRONG: dict[str, Any] = {
    "text": "x", "empty": "", "negative": -1, "zero": 0, "huge": 10**30, "nan": float("nan"), "inf": float("inf"), "list": [1, 2],
    "no items": [], "table": {"a": 1}, "true": True, "odd letters": "\u202e\u65e5 \u00e9", "fraction": 1.5,
}  # fmt: skip
RIGHT: dict[str, dict[str, set[str]]] = {
    "": {
        "name": {"text"}, "description": {"text", "empty", "odd letters"}, "epochs": set(), "batch_size": set(), "seeds": {"list"},
        "profiles": set(), "precision": set(), "baseline": {"empty"}, "max_attempts": set(), "deadline_seconds": {"huge", "fraction"},
        "checkpoint_seconds": {"huge", "fraction"}, "diagnostics": {"no items"}, "adaptive_seeds": set(), "search_spaces": set(),
        "datasets": set(), "algorithms": set(),
    },
    "search_spaces": {
        "name": set(), "label": {"text"}, "architectures": set(), "sampling": set(), "representatives": {"true"}, "order": set(), "options": set(),
    },
    "datasets": {"name": set(), "share": set(), "augment": {"true"}},
    "algorithms": {
        "name": set(), "label": {"text"}, "hyperparameters": set(), "loss": set(), "tuning_trials": set(), "tuning_scope": set(),
        "untuned": set(), "proxies": set(), "sampler": set(), "pruner": set(), "schedule": set(),
    },
}  # fmt: skip
"""Every key by its table (empty for the sweep itself), with the kinds of `WRONG` that are valid or harmless for it."""
DAMAGED: dict[str, str | bytes] = {
    "nothing": "", "blank": "\n\n", "only a comment": "# nothing", "bytes": b"\x00\xff\xfe\x80garbage", "UTF-16": SWEEP.encode("utf-16"),
    "open string": 'name = "x', "repeated key": 'name = "a"\n' + SWEEP, "JSON list": "[1, 2]", "JSON null": "null", "JSON, deep": "{" * 2000,
    "JSON with NaN": '{"name": "x", "epochs": NaN}', "JSON text": '"quickstart"', "TOML, deep": "a = " + "[" * 20000 + "]" * 20000,
    "JSON, deeper": '{"name": ' + "[" * 100000 + "]" * 100000 + "}", "unknown key": "epoch = 3\n" + SWEEP,
}  # fmt: skip
CHANGES: dict[str, str] = {
    "unknown key in a table": "search_spaces.nas_bench_201.archs=3", "unknown option": "search_spaces.nas_bench_201.options.chanels=4",
    "negative option": "search_spaces.nas_bench_201.options.channels=-4", "option of zero": "search_spaces.nas_bench_201.options.channels=0",
    "text option": "search_spaces.nas_bench_201.options.channels=many", "huge option": "search_spaces.nas_bench_201.options.channels=1000000000000",
    "true option": "search_spaces.nas_bench_201.options.channels=true", "nested option": "search_spaces.nas_bench_201.options.channels={a=1}",
    "unknown hyperparameter": "algorithms.sgd.hyperparameters.learning_rat=0.1", "rate of nan": "algorithms.sgd.hyperparameters.learning_rate=nan",
    "text rate": "algorithms.sgd.hyperparameters.learning_rate=fast", "tuning of a frozen one": "algorithms.sgd.tuning_trials=3",
    "no tuning of a tuned one": "algorithms.sgd_tuned.tuning_trials=0", "grid of ranges": "algorithms.sgd_tuned.sampler=grid",
    "scope twice": 'algorithms.sgd_tuned.tuning_scope=["none", "none"]', "mixed scope": 'algorithms.sgd_tuned.tuning_scope=["none", 1]',
    "unknown baseline": "baseline=nobody", "seed twice": "seeds=[1, 1]", "seed too large": "seeds=[1000000]", "seeds without end": "seeds=1000001",
    "adaptive without a number": 'seeds="adaptive"\nadaptive_seeds={first="two"}', "mixed seeds": 'seeds=[1, "2"]',
    "more architectures than there are": "search_spaces.nas_bench_201.architectures=15626", "no architectures": "search_spaces.nas_bench_201.architectures=[]",
    "empty architecture": 'search_spaces.nas_bench_201.architectures=[""]', "range outside": "search_spaces.nas_bench_201.architectures={first=20000,count=1}",
    "range over the end": "search_spaces.nas_bench_201.architectures={first=15620,count=100}", "negative range": "search_spaces.nas_bench_201.architectures={first=-1,count=1}",
    "no rule of sampling": "search_spaces.nas_bench_201.sampling={}", "unknown rule": 'search_spaces.nas_bench_201.sampling={unique="mine"}',
    "too many strata": 'search_spaces.nas_bench_201.sampling={stratify="flops",strata=100000}', "unknown space": "search_spaces.0.name=nas_bench_202",
    "path as a space": "search_spaces.0.name=../nas_bench_201", "private space": "search_spaces.0.name=_dag_codes", "dunder": "search_spaces.0.name=__init__",
    "unknown data set": "datasets.0.name=imagenet", "unknown algorithm": "algorithms.0.name=adamm", "name that climbs": "name=../../escape",
    "name of dots": 'name=".."', "name of two lines": 'name="a\\nb"', "name with a last line": 'name="abc\\n"', "long name": 'name="' + "a" * 101 + '"',
    "name with markup": 'name="<b>x</b>"', "label with markup": 'algorithms.sgd.label="<script>"', "label of two lines": 'algorithms.sgd.label="abc\\n"',
    "all of an endless space": 'search_spaces=[{name="darts",architectures="all"}]', "loss that is refused": 'algorithms=[{name="dsgd",loss="cross-entropy"}]',
    "data set twice": 'datasets=[{name="digits"},{name="digits"}]', "algorithm twice": 'algorithms=[{name="agd"},{name="agd"}]',
    "folder that is missing": 'folders={search_spaces=["nowhere"]}', "folder that is a text": 'folders={search_spaces="."}',
}  # fmt: skip
"""Arguments of `--set` that must all be rejected."""


def cases() -> Iterator[Case]:
    """Yield every listed sweep."""
    for table, keys in RIGHT.items():
        for key, right in keys.items():
            for kind, value in WRONG.items():
                for form in ("TOML", "JSON"):
                    data = _sweep()
                    (data if not table else data[table][-1])[key] = value
                    yield _case(f"sweep in {form}", f"{table}.{key} = {kind}", _written(data, form), kind in right)
    for name, content in DAMAGED.items():
        yield _case("damaged sweep", name, content if isinstance(content, bytes) else content.encode())
    for name, change in CHANGES.items():
        yield Case("change of a sweep", name, partial(_plan_changed, change))


def damaged(rng: random.Random) -> Case:
    """Return a valid sweep with some bytes changed, removed or repeated; it may still be valid."""
    content = bytearray(_written(_sweep(), rng.choice(["TOML", "JSON"])))
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(content))
        how = rng.randrange(4)
        if how == 0:
            content[place] = rng.randrange(256)
        elif how == 1:
            del content[place : place + rng.randint(1, 20)]
        elif how == 2:
            content[place:place] = content[place : place + rng.randint(1, 20)]
        else:
            content[place:place] = rng.choice([b"-", b"9" * 12, b'"', b"[", b"\n", b"nan", b"\xc3\xa9", b"e9", b"{", b"true"])
    return _case("sweep with random damage", bytes(content).decode(errors="replace")[:80], bytes(content), sound=True)


def _sweep() -> dict[str, Any]:
    return copy.deepcopy(tomllib.loads(SWEEP))


def _case(family: str, name: str, content: bytes, sound: bool = False) -> Case:
    def act(folder: Path) -> object:
        (folder / "sweep.toml").write_bytes(content)
        return api.plan("sweep.toml")

    return Case(family, name, act, harmless if sound else refused)


def _plan_changed(change: str, folder: Path) -> object:
    from agd_bench.sweeps import open_sweep

    (folder / "sweep.toml").write_text(SWEEP)
    return api.plan(open_sweep("sweep.toml", change.split("\n")))


def _written(data: dict[str, Any], form: str) -> bytes:
    if form == "JSON":
        return json.dumps(data).encode()
    tables = {key: value for key, value in data.items() if isinstance(value, list) and value and isinstance(value[0], dict)}
    lines = [f"{key} = {_toml(value)}" for key, value in data.items() if key not in tables]
    for name, rows in tables.items():
        for row in rows:
            lines += [f"[[{name}]]", *(f"{key} = {_toml(value)}" for key, value in row.items())]
    return ("\n".join(lines) + "\n").encode()


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("NaN", "nan").replace("Infinity", "inf")
