"""The conformance kit: what a plug-in must keep, checked, with what to do about it where it does not.

`agd-bench check FILE` prints these lists, and the package's own tests run them over every built-in plug-in.
"""

from __future__ import annotations

from pathlib import Path

from agd_bench import plugins
from agd_bench.datasets import data_root
from agd_bench.errors import PluginError
from agd_bench.testing._algorithms import check_algorithm
from agd_bench.testing._checking import Check
from agd_bench.testing._datasets import check_dataset
from agd_bench.testing._search_spaces import check_search_space

LOADS = "The file can be imported, and defines the functions and facts of its kind: its name is then the plug-in's name."

__all__ = ["Check", "check_algorithm", "check_dataset", "check_file", "check_search_space"]


def check_file(path: Path, kind: plugins.Kind | None = None) -> list[Check]:
    """Run the kit over a plug-in in a file.

    Args:
        path: the plug-in.
        kind: which kind it is; null: what its functions say.

    Raises:
        PluginError: the file is no Python, or defines no function of any kind's protocol.
    """
    kind = kind or _kind_of(path)
    what = kind.replace("_", " ")
    try:
        module = plugins.load_source(plugins.Source(kind, path.stem, path.resolve(), None, str(path.parent)), with_facts=False)
    except PluginError as error:
        return [Check("it loads and defines its protocol", False, str(error), LOADS)]
    loads = [Check("it loads and defines its protocol", True, f"as one of the {what}", LOADS)]
    if kind == "datasets":
        return loads + check_dataset(module, data_root())
    return loads + (check_search_space(module) if kind == "search_spaces" else check_algorithm(module))


def _kind_of(path: Path) -> plugins.Kind:
    """The kind whose telling name the file defines at its top level."""
    names = plugins.names_defined(path)
    telling: dict[str, plugins.Kind] = {"sample": "search_spaces", "prepare": "algorithms", "RANGES": "algorithms", "load": "datasets"}
    for name, kind in telling.items():
        if name in names:
            return kind
    raise PluginError(f"{path}: no plug-in: define sample() for a search space, prepare() for an algorithm or load() for a data set")
