"""Presets: named training algorithms with fixed hyperparameters, listed in a file `presets.toml`.

Each table of the file is one preset, for example

    SOURCE = "our own calibration"          # a fact of every preset of the file

    [adamw_calibrated]
    algorithm = "adamw_tuned"               # the plug-in that trains
    summary = "AdamW at one setting."
    TIER = "self-tuning"                    # facts that differ from the plug-in's
    hyperparameters = { learning_rate = 0.003, weight_decay = 0.25 }

A preset is used like a plug-in. It has no RANGES, so it is not tuned.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

FILE = "presets.toml"
NEVER_INHERITED = ("RANGES", "CALIBRATION", "STUDY")
"""Facts about tuning, which do not apply to presets."""


@dataclass(frozen=True)
class Preset:
    """One algorithm with fixed hyperparameters.

    Attributes:
        algorithm: name of the plug-in that trains.
        summary: one line.
        facts: upper-case facts that differ from the plug-in's, as JSON.
        hyperparameters: values for the plug-in's `build`, as JSON with sorted keys.
    """

    algorithm: str
    summary: str
    # JSON texts, because caches need hashable presets.
    facts: str
    hyperparameters: str

    def describe(self, base: dict[str, object]) -> dict[str, object]:
        """The facts of the preset, from those of its plug-in."""
        kept = {name: value for name, value in base.items() if name not in NEVER_INHERITED}
        return {**kept, "summary": self.summary, **json.loads(self.facts), "RANGES": {}}

    def identity(self, base: str) -> str:
        """The digest of the preset, from that of its plug-in and its values, which count as code."""
        digest, *packages = base.split()
        return " ".join([hashlib.sha256(f"{digest}\0{self.hyperparameters}".encode()).hexdigest()[:16], *packages])

    def module(self, name: str, base: ModuleType) -> ModuleType:
        """A module with the functions of its plug-in; its `build` does not accept the values fixed by the preset.

        Raises:
            ValueError: a hyperparameter is not accepted by the plug-in's `build`.
        """
        values = json.loads(self.hyperparameters)
        signature = inspect.signature(base.build)
        unknown = sorted(values.keys() - signature.parameters.keys())
        if unknown:
            raise ValueError(f"[{name}] fixes {', '.join(unknown)}, which build{signature} of {self.algorithm!r} does not take")

        def build(network: Any, steps: int, **others: Any) -> Any:
            return base.build(network, steps, **values, **others)

        # The planner reads missing hyperparameters from the signature, which must not include the fixed ones.
        free = [parameter for parameter in signature.parameters.values() if parameter.name not in values]
        build.__signature__ = signature.replace(parameters=free)  # type: ignore[attr-defined]
        made = ModuleType(name, self.summary)
        inherited = {key: value for key, value in vars(base).items() if not key.startswith("__") and key not in NEVER_INHERITED}
        vars(made).update(inherited, __file__=base.__file__, **json.loads(self.facts), RANGES={}, build=build)
        return made


def read_presets(folder: Path) -> dict[str, Preset]:
    """The presets of a folder of algorithms by name; empty without the file.

    Raises:
        ValueError: the file is not valid TOML, or a table is not a valid preset.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    stat = path.stat()
    return _parse(path, stat.st_mtime_ns, stat.st_size)


@functools.cache
def _parse(path: Path, modified: int, size: int) -> dict[str, Preset]:
    """The presets of a file; `modified` and `size` identify its version for the cache."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from None
    common = {key: value for key, value in tables.items() if key.isupper()}
    return {name: _preset(path, name, table, common) for name, table in tables.items() if name not in common}


def _preset(path: Path, name: str, table: Any, common: dict[str, Any]) -> Preset:
    own = {key: value for key, value in table.items() if key.isupper()} if isinstance(table, dict) else {}
    fields = {key: value for key, value in table.items() if key not in own} if isinstance(table, dict) else {}
    wanted = {"algorithm": str, "summary": str, "hyperparameters": dict}
    if fields.keys() != wanted.keys() or any(not isinstance(fields[key], kind) for key, kind in wanted.items()):
        raise ValueError(f"{path}: [{name}] must have algorithm and summary (text), hyperparameters (a table), and facts in capitals")
    if not fields["hyperparameters"] or any(
        not isinstance(value, bool | int | float | str) for value in fields["hyperparameters"].values()
    ):
        raise ValueError(f"{path}: [{name}] hyperparameters must be one or more numbers, texts, true or false")
    if set(NEVER_INHERITED) & own.keys():
        raise ValueError(f"{path}: [{name}] must not state {', '.join(NEVER_INHERITED)}: a preset is not tuned")
    # Sorted: their order in the file must not change the identity.
    values = json.dumps(fields["hyperparameters"], sort_keys=True)
    return Preset(fields["algorithm"], fields["summary"], json.dumps({**common, **own}), values)
